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
