package run

import (
	"strings"
	"testing"

	"dlm/sim"
)

func counted(n int) Result {
	r := Result{Steps: uint64(n), Counts: map[string]int{}}
	if n%2 == 0 {
		r.Counts["server crash"], r.Counts["fault cut"], r.Counts["net dropped"] = 1, 1, 1
	}
	return r
}

func TestSpread(t *testing.T) {
	var all Totals
	for n := 1; n <= 199; n++ {
		all.Add(counted(n))
	}
	if got := all.Spread.median("events"); got != 100 {
		t.Errorf("the median of 1 .. 199 is %d", got)
	}
	if got := all.Spread.meetPercent(); got != 49 {
		t.Errorf("crash, cut and loss meet in %d %% of the runs, want 49", got)
	}
	if low := all.TooTame(); len(low) != 0 {
		t.Errorf("199 runs are judged: %q", low)
	}
	for range 2 {
		all.Add(counted(1))
	}
	if low := strings.Join(all.TooTame(), "\n"); !strings.Contains(low, "the median of events in a run is") {
		t.Errorf("tame runs pass: %q", low)
	}
}

func TestUnmetProbesAreNamed(t *testing.T) {
	var all Totals
	for range probeRuns {
		r := Result{Steps: 1, Counts: map[string]int{}}
		for _, p := range sim.Probes()[1:] {
			r.Counts[sim.ProbePrefix+p.Name] = 1
		}
		all.Add(r)
	}
	low := strings.Join(all.TooTame(), "\n")
	if want := "a probe was never met: " + sim.Probes()[0].Name; !strings.Contains(low, want) {
		t.Errorf("%q is not in %q", want, low)
	}
	if no := sim.Probes()[1].Name; strings.Contains(low, no) {
		t.Errorf("%q was met", no)
	}
}
