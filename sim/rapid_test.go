package sim_test

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dlm/netsim"
	"dlm/sim"
	"dlm/sim/explain"
	"dlm/sim/minimise"
	"dlm/sim/run"
)

// drawn is a sim.Chooser on rapid's draws: the distribution of the seeds, but every part of it can be shrunk on its own.
// Each choice is a number of rapid's: 0 is the simplest choice, any other one is the seed of a generator that chooses. (To
// take rapid's numbers as they are would not do: it prefers small ones, and nearly every fault would strike at once.)
type drawn struct{ t *rapid.T }

var number = rapid.Uint64()

// rng is nil for the simplest choice.
func (d drawn) rng() *netsim.RNG {
	if v := number.Draw(d.t, "choice"); v != 0 {
		return netsim.NewRNG(v)
	}
	return nil
}

func (d drawn) Uint64() uint64 {
	if r := d.rng(); r != nil {
		return r.Uint64()
	}
	return 0
}

func (d drawn) IntN(n int) int {
	if r := d.rng(); r != nil {
		return r.IntN(n)
	}
	return 0
}

func (d drawn) Chance(ppm int) bool {
	r := d.rng()
	return r != nil && r.Chance(ppm)
}

func (d drawn) Between(low, high time.Duration) time.Duration {
	if r := d.rng(); r != nil {
		return r.Between(low, high)
	}
	return low
}

func (d drawn) Tail(low, high time.Duration) time.Duration {
	if r := d.rng(); r != nil {
		return r.Tail(low, high)
	}
	return low
}

// Times lets a list become empty, however short the seeds' lists may be.
func (d drawn) Times(_, most int, draw func(sim.Chooser)) {
	element := rapid.Custom(func(t *rapid.T) struct{} {
		draw(drawn{t})
		return struct{}{}
	})
	rapid.SliceOfN(element, 0, most).Draw(d.t, "list")
}

// drawnPlan prints itself shortly in rapid's log; the plan itself is kept in a file when it fails.
type drawnPlan struct{ sim.Plan }

func (p drawnPlan) GoString() string { return run.Size(p.Plan) }

var plans = rapid.Custom(func(t *rapid.T) drawnPlan {
	p := sim.Draw(func(uint64) sim.Chooser { return drawn{t} })
	p.Seed = rapid.Uint64().Draw(t, "seed")
	return drawnPlan{p}
})

// drawnChecks bounds TestDrawnPlans, unless -rapid.checks says otherwise.
const drawnChecks = 200

// TestDrawnPlans runs plans that rapid draws through the whole simulator. They are the same each time, so that a test run
// that fails speaks of the change at hand; -rapid.seed=0 draws others. One that fails is shrunk by rapid, then by our own minimiser, and kept in a file.
func TestDrawnPlans(t *testing.T) {
	setUnlessGiven(t, "rapid.checks", fmt.Sprint(drawnChecks))
	setUnlessGiven(t, "rapid.seed", "1")
	setUnlessGiven(t, "rapid.nofailfile", "true") // the plan's own file is what a reader can use
	var last sim.Plan
	var failure *sim.Failure
	defer func() {
		if failure == nil {
			return
		}
		name, err := run.KeepFailure(last, failure.Number, "")
		if err != nil {
			t.Error(err)
		}
		fail(t, explain.PlanLine(name), last, failure, minimise.DefaultRuns)
	}()
	rapid.Check(t, func(rt *rapid.T) {
		p := plans.Draw(rt, "plan").Plan
		if r := run.Run(p, nil); r.Failure != nil {
			last, failure = p, r.Failure
			rt.Fatalf("%s is broken", failure.Number) // no more: rapid shrinks as long as the message stays the same
		}
	})
}

// setUnlessGiven sets a flag for the time of a test.
func setUnlessGiven(t *testing.T, name, value string) {
	if given[name] {
		return
	}
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, before) })
}

// quiet is a rapid.TB that fails without a word.
type quiet struct{ rapid.TB }

func (quiet) Logf(string, ...any)   {}
func (quiet) Errorf(string, ...any) {}
func (quiet) FailNow()              { runtime.Goexit() }

// Drawn plans are like those of seeds, and shrink to what matters.
func TestDrawnPlansShrink(t *testing.T) {
	setUnlessGiven(t, "rapid.seed", "1")
	setUnlessGiven(t, "rapid.nofailfile", "true")
	hasFault := func(p sim.Plan, kind sim.FaultKind) bool {
		return slices.ContainsFunc(p.Faults, func(f sim.Fault) bool { return f.Kind == kind })
	}
	large := 0
	for i := range 50 {
		p := plans.Example(i).Plan
		if err := p.Check(); err != nil {
			t.Errorf("a drawn plan cannot be run: %v", err)
		}
		if len(p.Faults) >= 5 {
			large++
		}
	}
	if large < 10 {
		t.Errorf("%d of 50 drawn plans have five faults or more: they are too small", large)
	}
	var last sim.Plan
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		rapid.Check(quiet{t}, func(rt *rapid.T) {
			p := plans.Draw(rt, "plan").Plan
			holds := slices.ContainsFunc(p.Actors, func(a sim.Actor) bool {
				return slices.ContainsFunc(a.Ops, func(o sim.Op) bool { return o.Kind == sim.OpLock && o.Hold > 0 })
			})
			if holds && hasFault(p, sim.FaultServerCrash) && hasFault(p, sim.FaultCut) && p.Config.Net.DropPPM > 0 {
				last = p
				rt.Fatalf("planted")
			}
		})
	}()
	<-ended
	if last.Faults == nil {
		t.Fatal("no drawn plan met the planted bug")
	}
	if size := run.Size(last); size != "2 faults, 1 actor, 1 operation" {
		t.Errorf("rapid shrank it to %s, want 2 faults, 1 actor, 1 operation\n%s", size, run.Describe(last))
	}
	if strings.Contains(fmt.Sprintf("%#v", drawnPlan{last}), "Actors") {
		t.Error("rapid's log will print whole plans")
	}
}
