package sim

import (
	"testing"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// A snapshot that lost something which no answer shows yet is noticed by the state's hash.
func TestTwinCheckerComparesStates(t *testing.T) {
	cfg := core.Config{Limits: core.DefaultLimits()}
	cfg.Limits.MinTtlNanos = 1
	w := &complaints{}
	checker, err := newTwinChecker(w, cfg)
	if err != nil {
		t.Fatal(err)
	}
	other := core.Config{Limits: core.DefaultLimits()}
	other.Limits.MinTtlNanos = 1
	other.Limits.Files++
	if checker.twin, err = core.New(other); err != nil {
		t.Fatal(err)
	}
	server, err := core.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(twinEvery) {
		reqs := []*dlmv1.Request{opening(i).req}
		if len(w.got) != 0 {
			t.Fatalf("complains %q before it has compared states", w.got)
		}
		checker.entry(i+1, i, hashEntry(i, reqs, server.Apply(i+1, i, reqs)), reqs, server)
	}
	if !w.first("G5") {
		t.Errorf("complains %q of a twin in another state, want G5", w.got)
	}
}
