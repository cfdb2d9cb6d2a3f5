package sim_test

import (
	"runtime"
	"testing"

	"dlm/sim"
	"dlm/sim/run"
)

// TestDiskTasksEnd: a task that a crash, or the end of a run, has caught in the midst of its work ends too: its coroutine
// would stay in memory for ever.
func TestDiskTasksEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	crashes := 0
	for seed := uint64(1); seed <= 30; seed++ {
		p := sim.Expand(seed)
		p.Config.Interleave = true
		r := run.Run(p, nil)
		if r.Failure != nil {
			t.Fatal(seed, r.Failure)
		}
		crashes += r.Counts["crash in a log task"] + r.Counts["crash in a file task"]
	}
	if crashes == 0 {
		t.Error("no task was caught in the midst: this tests nothing")
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}
