package inspect

import (
	"errors"
	"fmt"
	"testing"

	"dlm/wal"
)

// Each thing that is wrong is listed once: two files that cannot be read are two, and one place is one, whoever finds it.
func TestDamageIsListedOnce(t *testing.T) {
	var r Report
	for _, err := range []error{
		nil,
		errors.New("read segment-1: input/output error"),
		errors.New("read segment-2: input/output error"),
		errors.New("read segment-1: input/output error"),
		&wal.DamageError{File: "snapshot-1", Offset: 12, Why: "the checksum is wrong"},
		fmt.Errorf("recovering: %w", &wal.DamageError{File: "snapshot-1", Offset: 12, Why: "cannot be decoded"}),
		&wal.DamageError{File: "snapshot-1", Offset: 13, Why: "the checksum is wrong"},
	} {
		r.damage(err)
	}
	if len(r.Damage) != 4 {
		t.Errorf("%d things are listed, want 4: %+v", len(r.Damage), r.Damage)
	}
}
