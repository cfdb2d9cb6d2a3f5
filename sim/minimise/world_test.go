package minimise

import (
	"bytes"
	"testing"
	"time"

	"dlm/sim"
	"dlm/sim/run"
)

// brokenChecker is a checker over a real world that is wrong on purpose: it reads the events and calls G2 broken when a
// client is frozen, then the power is cut within some seconds of it, and a lock is acquired once the server is back. So the
// failure needs two faults in an order, and an operation that meets them.
type brokenChecker struct {
	frozen, cut, back bool
	sincePause        time.Duration
	failure           *sim.Failure
}

func (c *brokenChecker) see(e *sim.Event) {
	switch {
	case e.Kind == sim.KindFault && e.What == string(sim.FaultClientStall):
		c.frozen, c.cut, c.back, c.sincePause = true, false, false, e.At
	case c.frozen && e.Kind == sim.KindDown && e.What == "power cut" && e.At < c.sincePause+3*time.Second:
		c.cut = true
	case c.cut && e.Kind == sim.KindUp && e.Lane.Machine == sim.Server:
		c.back = true
	case c.back && e.Kind == sim.KindSend && e.What == "acquire" && c.failure == nil:
		c.failure = &sim.Failure{Number: "G2", Text: "planted", At: e.At}
	}
}

func runBroken(p sim.Plan) *sim.Failure {
	rec := sim.NewRecorder()
	if r := run.Run(p, rec); r.Failure != nil {
		return r.Failure
	}
	var c brokenChecker
	for i := range rec.Events() {
		c.see(&rec.Events()[i])
	}
	return c.failure
}

// A bug planted in the world's checkers is found by seeds and made small: few faults, few operations.
func TestPlantedBug(t *testing.T) {
	found, fewest := 0, 1<<30
	for seed := uint64(1); seed <= 200 && found < 3; seed++ {
		p := sim.Expand(seed)
		if f := runBroken(p); f == nil {
			continue
		}
		found++
		out, err := Minimise(p, Options{Run: runBroken})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: from %s to %s in %d runs, finished %v\n%s", seed, run.Size(p), run.Size(out.Plan), out.Runs, out.Finished, run.Describe(out.Plan))
		if f := runBroken(out.Plan); !run.Same(f, out.Failure) || f.Number != "G2" {
			t.Errorf("seed %d: the small plan breaks %v, said to be %v", seed, f, out.Failure)
		}
		fewest = min(fewest, operations(out.Plan))
		if n := len(out.Plan.Faults) + len(out.Plan.Config.Net.Only); n < 1 || n >= 10 || n >= len(p.Faults) || operations(out.Plan) > operations(p)/2 {
			t.Errorf("seed %d: %s are left of %s", seed, run.Size(out.Plan), run.Size(p))
		}
		if b, err := run.EncodePlan(out.Plan, "G2"); err != nil {
			t.Error(err)
		} else if f, err := run.DecodePlan(bytes.Clone(b)); err != nil || !run.Same(runBroken(f.Plan), out.Failure) {
			t.Errorf("seed %d: the saved plan does not repeat it (%v)", seed, err)
		}
	}
	if found == 0 {
		t.Fatal("no seed of 200 met the planted bug")
	}
	if fewest > 5 { // how far one seed shrinks is a matter of luck
		t.Errorf("no seed shrank to 5 operations or fewer, the best one to %d", fewest)
	}
}
