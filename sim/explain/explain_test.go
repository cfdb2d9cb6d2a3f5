package explain

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm/sim"
	"dlm/sim/run"
)

// planted runs no world: it says that G3 is broken while two faults are left, and records events of its own.
func planted(p sim.Plan, rec *sim.Recorder) run.Result {
	r := run.Result{Seed: p.Seed}
	fails := len(p.Faults) >= 2
	if rec != nil {
		for i := range 100 {
			rec.Add(sim.Event{Kind: sim.KindCall, Text: fmt.Sprintf("lock-2 sequence:%d.", i), Locks: []string{"lock-2"}, Sessions: []uint64{5}})
			rec.Add(sim.Event{Kind: sim.KindCall, Text: "lock-3", Locks: []string{"lock-3"}, Sessions: []uint64{6}})
		}
		rec.Add(sim.Event{Kind: sim.KindDown, Text: "server down"})
		if fails {
			rec.Add(sim.Event{Kind: sim.KindViolation, Text: "G3", Locks: []string{"lock-2"}, Sessions: []uint64{5}})
		}
	}
	if fails {
		r.Failure = &sim.Failure{Number: "G3", Text: `session 5 holds "lock-2" twice`, At: time.Hour}
	}
	return r
}

func TestReport(t *testing.T) {
	p := sim.Expand(4)
	p.Seed = 1<<63 + 4 // a name of its own below bin/failures
	var b strings.Builder
	Report(&b, p, planted(p, nil).Failure, Options{Line: SeedLine(p.Seed), Minimise: 300, Run: planted})
	out := b.String()

	lines := strings.Split(out, "\n")
	if want := fmt.Sprintf("go test ./sim -v -seed=%d", p.Seed); lines[0] != want {
		t.Errorf("the first line is %q, want %q", lines[0], want)
	}
	if !strings.HasPrefix(lines[1], "G3 is broken: fencing: tokens grow") {
		t.Errorf("the second line does not say in words what broke: %q", lines[1])
	}
	kept := fmt.Sprintf("bin/failures/seed-%d.json", p.Seed)
	defer os.Remove(filepath.Join("..", "..", kept))
	for _, want := range []string{
		"2 faults, 0 actors, 0 operations, of ", "go test ./sim -v -plan=" + kept, "server down", "lock-2", "sequence:99.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
	for _, not := range []string{"lock-3", "sequence:40."} {
		if strings.Contains(out, not) {
			t.Errorf("%q is shown, which has nothing to do with it:\n%s", not, out)
		}
	}
	picture := strings.TrimSuffix(kept, ".json") + ".html"
	defer os.Remove(filepath.Join("..", "..", picture))
	if page, err := os.ReadFile(filepath.Join("..", "..", picture)); err != nil || !strings.Contains(string(page), kept) || !strings.Contains(out, picture) {
		t.Errorf("the picture of %d bytes is not there, or does not name %s, or is not named: %v", len(page), kept, err)
	}
	f, err := run.LoadPlan(kept)
	if err != nil {
		t.Fatal(err)
	}
	if f.Broke != "G3" || len(f.Plan.Faults) != 2 {
		t.Errorf("the kept plan broke %q and has %s", f.Broke, run.Size(f.Plan))
	}
}

// A failure that does not repeat in this process is shown all the same, and that it does not.
func TestReportOfWhatDoesNotRepeat(t *testing.T) {
	var b strings.Builder
	p := sim.Expand(4)
	p.Faults = nil
	Report(&b, p, &sim.Failure{Number: "G3", Text: "once"}, Options{Line: "the line", Minimise: 300, Run: planted})
	for _, want := range []string{"the line\nG3 is broken", "once", "does not repeat"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, b.String())
		}
	}
}

// Each number of the contract has its words.
func TestPromises(t *testing.T) {
	for _, number := range []string{
		"G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "L1", "L2", "L3", "L4", "L5", "sim", run.Panic, run.Died,
	} {
		if promises[number] == "" {
			t.Errorf("%s has no words", number)
		}
	}
}
