package sim_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"dlm/sim"
	"dlm/sim/explain"
	"dlm/sim/minimise"
	"dlm/sim/run"
)

// mostMinimised bounds the time that a batch spends on failures; each of the others is minimised by its own line.
const mostMinimised = 2

// TestSeeds runs a batch of seeds over all cores.
func TestSeeds(t *testing.T) {
	seeds, err := run.ParseRange(*flagSeeds)
	if err != nil {
		t.Fatalf("-seeds: %v", err)
	}
	began := time.Now()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var total run.Totals
	var failed []run.Result
	err = run.Pool{Processes: runtime.GOMAXPROCS(0)}.Each(ctx, seeds.Each(), func(r run.Result) {
		total.Add(r)
		if r.Failure != nil {
			if failed = append(failed, r); len(failed) >= *flagFailures {
				stop()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range failed {
		runs := minimise.DefaultRuns
		if i >= mostMinimised {
			runs = 0
		}
		fail(t, explain.SeedLine(r.Seed), sim.Expand(r.Seed), r.Failure, runs)
	}
	took := time.Since(began)
	t.Logf("%d seeds, %d failures, %.1f simulated hours, %d events in %.1f s: %.0f seeds/s, %.0f events/s",
		total.Runs, total.Failed, total.Virtual.Hours(), total.Steps, took.Seconds(),
		float64(total.Runs)/took.Seconds(), float64(total.Steps)/took.Seconds())
	t.Log("\n" + total.Tables())
	if missing := total.Unchecked(); len(missing) > 0 && total.Runs >= 20 {
		t.Errorf("never checked: %v", missing)
	}
	for _, low := range total.TooTame() {
		t.Error(low)
	}
}
