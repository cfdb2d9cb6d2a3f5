package sim

import "testing"

func TestBytesAreAppendedOnce(t *testing.T) {
	w := &complaints{}
	l := &logChecker{w: w}
	for _, data := range []string{"short", "short", "long enough to be told apart", "long enough to be told apar!"} {
		l.once([]byte(data))
	}
	if len(w.got) != 0 {
		t.Fatalf("complains %q of different bytes", w.got)
	}
	l.once([]byte("long enough to be told apart"))
	if !w.first("G4") {
		t.Errorf("complains %q of bytes that are appended twice, want G4", w.got)
	}
}
