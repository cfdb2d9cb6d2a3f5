package wal

import (
	"bytes"
	"testing"

	"dlm/sim/simdisk"
)

// TestSlotOfADamagedChecksum damages a block's checksum in the sidecar while the file grows, so that slots get a copy of it,
// and mends it in place. After a power cut the copy must not take the place of the good one.
func TestSlotOfADamagedChecksum(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const (
		block = 4 // whose checksum is hit
		syncs = 3
	)
	content := bytes.Repeat([]byte("0123456789abcde"), 1600) // five blocks and more
	length := uint64(len(content))
	for copies := range 3 {
		w := newWorld(1, 1)
		must(w.start())
		name := fileName(testDir, 1) + sidecarSuffix
		var damage *simdisk.Damage
		at := length - 1000
		must(w.store.WriteFile(1, 0, content[:at]))
		must(w.store.SyncFiles())
		for i := range syncs {
			if i == syncs-copies {
				place := tableAt(block) + 1
				var err error
				damage, err = w.disk.Damage(name, place, []byte{w.disk.Bytes(name)[place] ^ 8}, true)
				must(err)
			}
			next := at + 100
			if i == syncs-1 {
				next = length
			}
			must(w.store.WriteFile(1, at, content[at:next]))
			must(w.store.SyncFiles())
			at = next
		}
		if damage != nil {
			damage.Undo()
		}
		w.restart(true)
		must(w.open())
		must(w.store.RecoverFile(1, length, tailCRC(content)))
		got, err := w.store.ReadFile(1, length, tailCRC(content), 0, length)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("copies in %d slots: %v", copies, err)
		}
	}
}
