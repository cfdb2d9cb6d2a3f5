package minimise

import (
	"errors"
	"slices"
	"testing"
	"time"

	"dlm/netsim"
	"dlm/sim"
	"dlm/sim/run"
)

// hasFault and hasOp say whether a plan holds a kind.
func hasFault(p sim.Plan, kind sim.FaultKind) bool {
	return slices.ContainsFunc(p.Faults, func(f sim.Fault) bool { return f.Kind == kind })
}

func hasOp(p sim.Plan, kind sim.OpKind) bool {
	return slices.ContainsFunc(p.Actors, func(a sim.Actor) bool {
		return slices.ContainsFunc(a.Ops, func(o sim.Op) bool { return o.Kind == kind })
	})
}

// breaks makes a runner that runs no world: a promise is broken when the plan says so.
func breaks(number string, when func(sim.Plan) bool) func(sim.Plan) *sim.Failure {
	return func(p sim.Plan) *sim.Failure {
		if when(p) {
			return &sim.Failure{Number: number, At: time.Hour}
		}
		return nil
	}
}

// large finds a seed whose plan is one that the test can use.
func large(t *testing.T, usable func(sim.Plan) bool) sim.Plan {
	t.Helper()
	for seed := uint64(1); seed < 2000; seed++ {
		if p := sim.Expand(seed); usable(p) {
			return p
		}
	}
	t.Fatal("no seed has such a plan")
	return sim.Plan{}
}

func operations(p sim.Plan) (n int) {
	for _, a := range p.Actors {
		n += len(a.Ops)
	}
	return n
}

// Nothing is left but what matters.
func TestOnlyWhatMatters(t *testing.T) {
	matters := func(p sim.Plan) bool {
		crashes := 0
		for _, f := range p.Faults {
			if f.Kind == sim.FaultServerCrash && f.Power {
				crashes++
			}
		}
		return crashes >= 2 && hasFault(p, sim.FaultClientStall) && hasOp(p, sim.OpRevoke) && p.Config.Net.DropPPM > 0
	}
	p := large(t, func(p sim.Plan) bool { return matters(p) && len(p.Faults) >= 12 && operations(p) >= 40 })
	out, err := Minimise(p, Options{Run: breaks("G1", matters)})
	if err != nil {
		t.Fatal(err)
	}
	if !matters(out.Plan) {
		t.Fatal("the result does not break what it has to")
	}
	if !out.Finished || len(out.Plan.Faults) != 3 || len(out.Plan.Actors) != 1 || operations(out.Plan) != 1 {
		t.Errorf("finished %v, %s; want 3 faults, 1 actor, 1 operation\n%s", out.Finished, run.Size(out.Plan), run.Describe(out.Plan))
	}
	if n := out.Plan.Config.Net; n.DropPPM == 0 || n.DupPPM != 0 || n.LatePPM != 0 || n.ResetPPM != 0 || n.SlowPPM != 0 {
		t.Errorf("want drops and nothing else of the network's faults: %+v", n)
	}
	if out.Plan.Config.Clients > 2 {
		t.Errorf("%d clients are left", out.Plan.Config.Clients)
	}
}

// A smaller plan that breaks another promise is never taken for the one that was to be found; it is reported.
func TestNumberStays(t *testing.T) {
	// With many faults G1 breaks, with few of them G5 does.
	p := large(t, func(p sim.Plan) bool { return len(p.Faults) >= 15 })
	brittle := func(p sim.Plan) *sim.Failure {
		if len(p.Faults) >= 10 {
			return &sim.Failure{Number: "G1", At: time.Hour}
		}
		return &sim.Failure{Number: "G5", At: time.Hour}
	}
	out, err := Minimise(p, Options{Run: brittle})
	if err != nil {
		t.Fatal(err)
	}
	if out.Failure.Number != "G1" || len(out.Plan.Faults) != 10 {
		t.Errorf("%s with %s; want G1 with 10 faults", out.Failure.Number, run.Size(out.Plan))
	}
	if len(out.Others) != 1 || out.Others[0].Failure.Number != "G5" || brittle(out.Others[0].Plan).Number != "G5" {
		t.Errorf("others: %d, want the plan that broke G5", len(out.Others))
	}
}

// Two panics are one finding only if they come from the same place.
func TestPanicPlaceStays(t *testing.T) {
	p := large(t, func(p sim.Plan) bool { return len(p.Faults) >= 8 })
	panics := func(p sim.Plan) *sim.Failure {
		if len(p.Faults) >= 5 {
			return &sim.Failure{Number: run.Panic, Text: "index 5\n\tat core.a (core.go:1)", At: time.Hour}
		}
		return &sim.Failure{Number: run.Panic, Text: "index 3\n\tat wal.b (wal.go:9)", At: time.Hour}
	}
	out, err := Minimise(p, Options{Run: panics})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Plan.Faults) != 5 || len(out.Others) != 1 {
		t.Errorf("%s, %d others; want 5 faults and one other panic", run.Size(out.Plan), len(out.Others))
	}
}

// The bound is kept, and what was reached by then is a plan that fails.
func TestBoundedAndRepeatable(t *testing.T) {
	p := large(t, func(p sim.Plan) bool { return len(p.Faults) >= 15 })
	matters := func(p sim.Plan) bool { return len(p.Faults) >= 3 && operations(p) >= 7 }
	for _, most := range []int{1, 2, 10, 60} {
		var first string
		for range 2 {
			ran := 0
			out, err := Minimise(p, Options{Runs: most, Run: func(p sim.Plan) *sim.Failure {
				ran++
				return breaks("L1", matters)(p)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if ran > most || ran != out.Runs {
				t.Errorf("%d runs, said to be %d, at most %d were allowed", ran, out.Runs, most)
			}
			if !matters(out.Plan) || out.Finished {
				t.Errorf("after %d runs: finished %v, %s", most, out.Finished, run.Size(out.Plan))
			}
			if first == "" {
				first = key(out.Plan)
			} else if first != key(out.Plan) {
				t.Errorf("two minimisations with %d runs differ", most)
			}
		}
	}
}

func TestNothingToMinimise(t *testing.T) {
	_, err := Minimise(sim.Expand(1), Options{Run: func(sim.Plan) *sim.Failure { return nil }})
	if !errors.Is(err, ErrPasses) {
		t.Errorf("got %v, want ErrPasses", err)
	}
}

// The plan that it was given is left alone.
func TestPlanIsNotChanged(t *testing.T) {
	p := sim.Expand(9)
	before := key(p)
	if _, err := Minimise(p, Options{Runs: 300, Run: breaks("G1", func(sim.Plan) bool { return true })}); err != nil {
		t.Fatal(err)
	}
	if key(p) != before {
		t.Error("the plan was changed")
	}
}

// Of the messages that the network's faults hit, those that matter are left.
func TestMessagesThatMatter(t *testing.T) {
	p := large(t, func(p sim.Plan) bool { return p.Config.Net.DropPPM > 0 && p.Config.Clients == 3 })
	all := struck(200)
	matters := []netsim.Hit{all[17], all[150]}
	lost := func(p sim.Plan) bool {
		hits := p.Config.Net.Only
		if hits == nil && !noRates(p.Config.Net) {
			hits = all
		}
		return slices.Contains(hits, matters[0]) && slices.Contains(hits, matters[1])
	}
	out, err := Minimise(p, Options{Run: breaks("G8", lost), Struck: func(sim.Plan) []netsim.Hit { return all }})
	if err != nil {
		t.Fatal(err)
	}
	if !out.Finished || !slices.Equal(out.Plan.Config.Net.Only, matters) || run.Size(out.Plan) != "0 faults and 2 messages hit, 0 actors, 0 operations" {
		t.Errorf("finished %v, %s\n%s", out.Finished, run.Size(out.Plan), run.Describe(out.Plan))
	}
	// They survive being saved.
	b, err := run.EncodePlan(out.Plan, "G8")
	if err != nil {
		t.Fatal(err)
	}
	if f, err := run.DecodePlan(b); err != nil || key(f.Plan) != key(out.Plan) {
		t.Errorf("saved and read again it is another plan (%v)", err)
	}
}

func struck(n int) (hits []netsim.Hit) {
	for i := range n {
		hits = append(hits, netsim.Hit{Kind: netsim.HitDrop, Client: 0, Way: netsim.Way(i % 2), Number: uint64(i/2 + 1)})
	}
	return hits
}
