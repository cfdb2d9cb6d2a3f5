package main

import (
	"testing"

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
