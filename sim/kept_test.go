package sim_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"dlm/sim/explain"
	"dlm/sim/run"
)

// TestKeptPlans runs the plans of failures that were found once. testdata/plans/README.md says what each was.
func TestKeptPlans(t *testing.T) {
	names, err := filepath.Glob("testdata/plans/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no kept plans: %v", err)
	}
	for _, name := range names {
		f, err := run.LoadPlan(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range f.Runs() {
			if r := run.Run(p, nil); r.Failure != nil {
				fail(t, fmt.Sprintf("%s -seed=%d", explain.PlanLine("sim/"+name), p.Seed), p, r.Failure, 0)
				break
			}
		}
	}
}
