package sim_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dlm/sim"
	"dlm/sim/run"
)

// sameSeeds are those whose traces are compared.
var sameSeeds = run.Range{First: 1, Last: 50}

// TestDeterminism: a seed gives the same trace, event by event, whatever the process it runs in. The hash that stands for
// the trace is over our own canonical bytes.
func TestDeterminism(t *testing.T) {
	here := map[uint64]uint64{}
	next := sameSeeds.Each()
	for seed, ok := next(); ok; seed, ok = next() {
		r := run.Run(sim.Expand(seed), nil)
		if r.Failure != nil {
			t.Fatalf("seed %d fails: a trace that ends early says little: %v", seed, r.Failure)
		}
		here[seed] = r.Hash
	}
	distinct := map[uint64]bool{}
	for _, hash := range here {
		distinct[hash] = true
	}
	if len(distinct) != len(here) {
		t.Errorf("%d seeds have only %d different traces: the hash leaves things out", len(here), len(distinct))
	}

	t.Run("again in this process, recorded", func(t *testing.T) {
		compare(t, here, func(got func(run.Result)) error {
			for seed := sameSeeds.Last; seed >= sameSeeds.First; seed-- { // in another order: runs leave nothing behind
				got(run.Run(sim.Expand(seed), sim.NewRecorder()))
			}
			return nil
		})
	})
	for _, c := range []struct {
		name string
		env  []string
	}{
		{"another process", nil},
		{"one processor", []string{"GOMAXPROCS=1"}},
		{"seven processors", []string{"GOMAXPROCS=7"}},
		{"memory pressure", []string{"GOGC=1", "GOMEMLIMIT=16MiB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			compare(t, here, func(got func(run.Result)) error {
				return run.Pool{Env: c.env}.Each(context.Background(), sameSeeds.Each(), got)
			})
		})
	}
	t.Run("race detector", func(t *testing.T) {
		program := raceProgram(t)
		compare(t, here, func(got func(run.Result)) error {
			return run.Pool{Program: program, Processes: 2}.Each(context.Background(), sameSeeds.Each(), got)
		})
	})
}

// compare runs the seeds once more and compares their hashes.
func compare(t *testing.T, want map[uint64]uint64, again func(got func(run.Result)) error) {
	t.Helper()
	compared := 0
	err := again(func(r run.Result) {
		compared++
		if r.Failure != nil || r.Hash != want[r.Seed] {
			t.Errorf("seed %d: trace %016x, was %016x (%v)\nto see where they part: go test ./sim -seed=%d -tracefile=FILE, twice",
				r.Seed, r.Hash, want[r.Seed], r.Failure, r.Seed)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if compared != len(want) {
		t.Errorf("%d of %d seeds were compared", compared, len(want))
	}
}

// raceProgram builds a program that runs seeds under the race detector.
func raceProgram(t *testing.T) string {
	t.Helper()
	cc, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Skipf("SKIPPED: no go command here, which is needed to build with -race: %v", err)
	}
	compiler, _, _ := strings.Cut(strings.TrimSpace(string(cc)), " ")
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("SKIPPED: no C compiler here, which the race detector needs: %v", err)
	}
	program := filepath.Join(t.TempDir(), "soak")
	build := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", program, "dlm/sim/soak")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build -race: %v\n%s", err, out)
	}
	return program
}
