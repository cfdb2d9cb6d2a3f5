package main

import (
	"strings"
	"testing"
	"time"

	"dlm/sim/run"
)

// What is measured is the same work each time, and all of it.
func TestMeasure(t *testing.T) {
	seeds := run.Range{First: 3, Last: 7}
	first, second := measure(seeds), measure(seeds)
	if first.total.Runs != 5 || first.total.Failed != 0 || first.total.Steps == 0 || first.total.Checks["G1"] == 0 || first.wall <= 0 {
		t.Errorf("measured %+v", first)
	}
	if first.total.Steps != second.total.Steps || first.total.Virtual != second.total.Virtual {
		t.Errorf("%d events, then %d", first.total.Steps, second.total.Steps)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		steps     uint64
		wall, cpu time.Duration
		want      string
	}{
		{200_000, time.Second, time.Second, "the target of 100000 is reached"},
		{90_000, time.Second, time.Second, "the target of 100000 is MISSED"},
		{90_000, time.Second, 500 * time.Millisecond, "for 50 % of the time: 180000 events a second on the core, the target of 100000 is reached"},
		{90_000, 3 * time.Second, time.Second, "is MISSED"},
	} {
		r := round{wall: c.wall, cpu: c.cpu}
		r.total.Steps = c.steps
		if got := verdict(r); !strings.HasSuffix(got, c.want) {
			t.Errorf("%d events in %v, %v of them on the core: %q, want %q", c.steps, c.wall, c.cpu, got, c.want)
		}
	}
}
