package wal

import (
	"bytes"
	"fmt"
	"testing"
)

// TestFileSectorsThatWereDurable grows a file over sectors, of the file and
// of its sidecar, that a snapshot counts on, and cuts the power; again and
// again, at several lengths.
func TestFileSectorsThatWereDurable(t *testing.T) {
	for seed := range uint64(150) {
		if err := growAndCut(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func growAndCut(seed uint64) error {
	w := newWorld(seed, seed)
	if err := w.start(); err != nil {
		return err
	}
	content := make([]byte, 40*BlockSize)
	for i := range content {
		content[i] = byte(w.rng.Uint32())
	}
	length := 0 // that the snapshot counts on
	for range 5 {
		at := length
		for range 1 + w.rng.IntN(3) {
			next := at + w.rng.IntN(2*BlockSize)
			if err := w.store.WriteFile(1, uint64(at), content[at:next]); err != nil {
				return err
			}
			at = next
			if w.rng.IntN(2) == 0 {
				if err := w.store.SyncFiles(); err != nil {
					return err
				}
				if w.rng.IntN(2) == 0 {
					length = at // else the snapshot after it failed
				}
			}
		}
		w.restart(w.rng.IntN(4) > 0)
		if err := w.open(); err != nil {
			return err
		}
		if err := w.store.RecoverFile(1, uint64(length), tailCRC(content[:length])); err != nil {
			return err
		}
		got, err := w.store.ReadFile(1, uint64(length), tailCRC(content[:length]), 0, uint64(length))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, content[:length]) {
			return fmt.Errorf("%d bytes differ", length)
		}
	}
	return nil
}

// TestLengthThatOnlyTheCacheKnows: a file grows, its sync fails, the process dies, and the next one writes the same bytes
// again. The length must reach the disk then, although the cache has shown it all along.
func TestLengthThatOnlyTheCacheKnows(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	content := bytes.Repeat([]byte("0123456789"), 100)
	const synced = 300
	for seed := range uint64(50) {
		w := newWorld(seed, seed)
		must(w.start())
		must(w.store.WriteFile(1, 0, content[:synced]))
		must(w.store.SyncFiles())
		must(w.store.WriteFile(1, synced, content[synced:]))
		w.disk.FailSync(0)
		if w.store.SyncFiles() == nil {
			t.Fatal("the sync did not fail")
		}
		w.restart(false)
		must(w.open())
		must(w.store.RecoverFile(1, synced, tailCRC(content[:synced])))
		must(w.store.WriteFile(1, synced, content[synced:]))
		must(w.store.SyncFiles()) // a snapshot counts on it now
		w.restart(true)
		must(w.open())
		must(w.store.RecoverFile(1, uint64(len(content)), tailCRC(content)))
	}
}

// TestFewOpenFiles writes many files in turns, more than may be open: what
// SyncFiles was called after is there when the power was cut.
func TestFewOpenFiles(t *testing.T) {
	const files = 7
	for _, most := range []int{1, 2, files} {
		w := newWorld(uint64(most), 1)
		if err := w.start(); err != nil {
			t.Fatal(err)
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		open := func() (*Store, error) {
			store, _, err := Open(w.system(), testDir, Options{SegmentBytes: 4096, OpenFiles: most})
			return store, err
		}
		store, err := open()
		if err != nil {
			t.Fatal(err)
		}
		var content [files][]byte
		for i := range 5 * files {
			id, data := i%files, bytes.Repeat([]byte{byte(i)}, 1000+i)
			if err := store.WriteFile(uint64(id+100), uint64(len(content[id])), data); err != nil {
				t.Fatal(err)
			}
			content[id] = append(content[id], data...)
			if n := len(store.files.open); n > most {
				t.Fatalf("%d files are open, at most %d may be", n, most)
			}
		}
		if err := store.SyncFiles(); err != nil {
			t.Fatal(err)
		}
		w.disk.PowerCut()
		if store, err = open(); err != nil {
			t.Fatal(err)
		}
		for id, want := range content {
			n := uint64(len(want))
			if err := store.RecoverFile(uint64(id+100), n, tailCRC(want)); err != nil {
				t.Fatalf("%d open files: %v", most, err)
			}
			got, err := store.ReadFile(uint64(id+100), n, tailCRC(want), 0, n)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d open files: file %d has other bytes (%v)", most, id, err)
			}
		}
	}
}
