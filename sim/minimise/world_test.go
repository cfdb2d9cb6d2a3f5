package minimise

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dlm/sim"
	"dlm/sim/run"
)

// brokenChecker is a checker over a real world that is wrong on purpose: it reads the trace and calls G2 broken when a
// client is frozen, then the power is cut within some seconds of it, and a lock is acquired once the server is back. So the
// failure needs two faults in an order, and an operation that meets them.
type brokenChecker struct {
	frozen, cut, back bool
	sincePause        time.Duration
	failure           *sim.Failure
}

func (c *brokenChecker) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || c.failure != nil {
			continue
		}
		at, err := time.ParseDuration(fields[0] + "s")
		if err != nil {
			continue
		}
		switch what := strings.Join(fields[1:], " "); {
		case strings.HasPrefix(what, "fault: client-freeze"):
			c.frozen, c.cut, c.back, c.sincePause = true, false, false, at
		case c.frozen && strings.HasPrefix(what, "server down") && strings.Fields(what)[3] == "1" && at < c.sincePause+3*time.Second:
			c.cut = true
		case c.cut && strings.HasPrefix(what, "server up"):
			c.back = true
		case c.back && strings.Contains(what, "acquire:{"):
			c.failure = &sim.Failure{Number: "G2", Text: "planted", At: at}
		}
	}
	return len(b), nil
}

func runBroken(p sim.Plan) *sim.Failure {
	var c brokenChecker
	if r := run.Run(p, &c); r.Failure != nil {
		return r.Failure
	}
	return c.failure
}

// A bug planted in the world's checkers is found by seeds and made small: few faults, few operations.
func TestPlantedBug(t *testing.T) {
	found := 0
	for seed := uint64(1); seed <= 200 && found < 4; seed++ {
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
		if n := len(out.Plan.Faults); n < 1 || n >= 10 || n >= len(p.Faults) || operations(out.Plan) > 5 {
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
}
