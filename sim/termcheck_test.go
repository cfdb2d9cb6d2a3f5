package sim

import "testing"

func TestTermCheckerRejects(t *testing.T) {
	c := &complaints{}
	k := &termChecker{w: c}
	k.leads(1, 2)
	k.leads(1, 2)
	k.leads(5, 4)
	if len(c.got) != 0 {
		t.Fatalf("complains %q of terms that grow", c.got)
	}
	k.leads(7, 4)
	if !c.first("G5") {
		t.Fatalf("complains %q of a term that two processes led in, want G5", c.got)
	}
}
