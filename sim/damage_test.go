package sim

import (
	"testing"
	"time"

	"dlm/sim/simdisk"
	"dlm/wal"
)

// A repaired harm explains the failure of the file task that was under way then, and of no later one.
func TestRepairExplainsTheTaskUnderWay(t *testing.T) {
	const file = "data/files/1"
	d := &diskFaults{filingAt: 3 * time.Second}
	h := &harm{Damage: &simdisk.Damage{File: file}, place: "data file"}
	d.harm = append(d.harm, h)
	for _, c := range []struct {
		name     string
		repaired time.Duration
		file     string
		want     bool
	}{
		{"while the task ran", 4 * time.Second, file, true},
		{"before the task began", 2 * time.Second, file, false},
		{"never, and it is gone", 0, file, false},
		{"of another file", 4 * time.Second, "data/files/2", false},
	} {
		h.repaired = c.repaired
		if got := d.filingRefused(&wal.DamageError{File: c.file}); got != c.want {
			t.Errorf("repaired %s: explains %v, want %v", c.name, got, c.want)
		}
	}
}

// Only damage to a file's own sidecar that the last recovery met explains that the file stays refused.
func TestSpoiledByWhatRecoveryMet(t *testing.T) {
	const file = "data/files/1"
	d := &diskFaults{openings: 3}
	h := &harm{}
	d.harm = append(d.harm, h)
	for _, c := range []struct {
		name     string
		damaged  string
		place    string
		repaired int // in which life; 0 = not
		want     bool
	}{
		{"repaired since", file + ".crc", "sidecar", 3, true},
		{"still there", file + ".crc", "sidecar", 0, true},
		{"repaired before", file + ".crc", "sidecar", 2, false},
		{"of another file", "data/files/2.crc", "sidecar", 0, false},
		{"of its bytes", file, "data file", 0, false},
	} {
		h.Damage, h.place, h.repairedIn, h.repaired = &simdisk.Damage{File: c.damaged}, c.place, c.repaired, time.Duration(c.repaired)*time.Second
		if got := d.spoiled(&wal.DamageError{File: file}); got != c.want {
			t.Errorf("damage %s: explains %v, want %v", c.name, got, c.want)
		}
	}
	if d.spoiled(nil) {
		t.Error("explains bytes that are served and wrong")
	}
}
