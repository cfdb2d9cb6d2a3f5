package sim_test

import (
	"context"
	"io"
	"testing"

	"dlm/sim"
	"dlm/sim/run"
)

// TestDeterminism: the same seed gives the same trace, twice in this process and once in another.
func TestDeterminism(t *testing.T) {
	here := map[uint64]uint64{}
	for seed := uint64(1); seed <= 50; seed++ {
		first := run.Run(sim.Expand(seed), nil)
		second := run.Run(sim.Expand(seed), io.Discard)
		if first.Hash != second.Hash {
			t.Errorf("seed %d: trace %016x, then %016x", seed, first.Hash, second.Hash)
		}
		here[seed] = first.Hash
	}
	err := run.Pool{}.Each(context.Background(), run.Range{First: 1, Last: 50}.Each(), func(r run.Result) {
		if r.Hash != here[r.Seed] {
			t.Errorf("seed %d: trace %016x here, %016x in another process", r.Seed, here[r.Seed], r.Hash)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
