package sim

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var flagSave = flag.String("save", "", "save the plan of -seed to this JSON file and do not run it")

// TestKeptPlans runs the plans of failures that were found once. testdata/plans/README.md says what each was.
func TestKeptPlans(t *testing.T) {
	names, err := filepath.Glob("testdata/plans/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no kept plans: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var p Plan
		if err := json.Unmarshal(b, &p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := runPlan(p, nil); err != nil {
			t.Errorf("go test ./sim -v -plan=%s\n    %v", name, err)
		}
	}
}
