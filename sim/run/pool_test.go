package run

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"dlm/sim"
)

// TestMain makes this test's program a child of the pools below; some of its seeds misbehave.
func TestMain(m *testing.M) {
	if os.Getenv("DLM_SIM_TEST_CHILD") != "" {
		misbehave()
		os.Exit(0)
	}
	ServeIfAsked()
	os.Exit(m.Run())
}

// misbehave answers seeds as Serve does, except that seed 3 ends the process, seed 5 hangs and seed 7 is not a result.
func misbehave() {
	for {
		var seed uint64
		if _, err := fmt.Scan(&seed); err != nil {
			return
		}
		switch seed {
		case 3:
			fmt.Fprintln(os.Stderr, "fatal error: all is lost")
			os.Exit(9)
		case 5:
			time.Sleep(time.Hour)
		case 7:
			fmt.Println("hello")
		default:
			fmt.Printf("{\"Seed\": %d, \"Steps\": 10}\n", seed)
		}
	}
}

// A process that dies, hangs or talks nonsense is a failure of its seed, and the others are run all the same.
func TestPoolOutlivesItsChildren(t *testing.T) {
	failed := map[uint64]string{}
	var total Totals
	pool := Pool{Processes: 2, Env: []string{"DLM_SIM_TEST_CHILD=1"}, Hang: 5 * time.Second}
	err := pool.Each(context.Background(), Range{1, 20}.Each(), func(r Result) {
		total.Add(r)
		if r.Failure != nil {
			failed[r.Seed] = r.Failure.Number + ": " + r.Failure.Text
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if total.Runs != 20 || total.Failed != 3 || total.Steps != 170 {
		t.Errorf("%d runs, %d failed, %d events; want 20, 3, 170", total.Runs, total.Failed, total.Steps)
	}
	for seed, want := range map[uint64]string{3: "all is lost", 5: "hangs", 7: `"hello\n"`} {
		if !strings.HasPrefix(failed[seed], Died) || !strings.Contains(failed[seed], want) {
			t.Errorf("seed %d: %q, want %q in it", seed, failed[seed], want)
		}
	}
}

func TestPoolWithoutProgram(t *testing.T) {
	ran := 0
	err := Pool{Program: "/no/such/program"}.Each(context.Background(), Range{1, 9}.Each(), func(r Result) { ran++ })
	if err == nil || ran != 1 {
		t.Errorf("error %v after %d seeds; want one after the first", err, ran)
	}
}

// What a child answers is what a run in this process brings about.
func TestPoolRunsTheSame(t *testing.T) {
	err := Pool{Processes: 2}.Each(context.Background(), Range{1, 10}.Each(), func(r Result) {
		if here := Run(sim.Expand(r.Seed), nil); here.Hash != r.Hash || here.Steps != r.Steps || !maps.Equal(here.Counts, r.Counts) {
			t.Errorf("seed %d differs between processes", r.Seed)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// When the context ends, what runs is finished and nothing else begins.
func TestPoolStops(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	began, ended := 0, 0
	each := Range{1, 1000}.Each()
	err := Pool{Processes: 2}.Each(ctx, func() (uint64, bool) { began++; return each() }, func(Result) {
		if ended++; ended == 10 {
			stop()
		}
	})
	if err != nil || began != ended || ended < 10 || ended > 12 {
		t.Errorf("%d began, %d ended (%v); want about 10", began, ended, err)
	}
}

func TestRanges(t *testing.T) {
	for text, want := range map[string]Range{"7": {1, 7}, "3-9": {3, 9}, "4-4": {4, 4}} {
		if got, err := ParseRange(text); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "9-3", "0-3", "a-b", "1-", "-5", "1-2-3", "1 - 2", "99999999999999999999"} {
		if got, err := ParseRange(text); err == nil || !strings.Contains(err.Error(), "want A-B") {
			t.Errorf("%q is %v (%v), want an error that says how", text, got, err)
		}
	}
}

// A panic anywhere in a run is a failure with its place, and two of the same place are one finding.
func TestPanicIsAFailure(t *testing.T) {
	boom := func() error { panic(fmt.Sprintf("index %d", os.Getpid())) }
	var f, g *sim.Failure
	for _, to := range []**sim.Failure{&f, &g} {
		var ok bool
		if *to, ok = guard(nil, boom).(*sim.Failure); !ok || (*to).Number != Panic {
			t.Fatalf("got %v, want a panic as a failure", *to)
		}
	}
	if !Same(f, g) || Same(f, &sim.Failure{Number: "G1"}) || Same(f, nil) {
		t.Error("which failures are the same is wrong")
	}
}

// The messages that the network's faults hit, listed, give the same run as the rates.
func TestHitsGiveTheSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		p := sim.Expand(seed)
		byRates := Run(p, nil)
		p.Config.Net.Only = byRates.Struck
		if r := Run(p, nil); len(byRates.Struck) > 0 && r.Hash != byRates.Hash {
			t.Errorf("seed %d: trace %016x with rates, %016x with %d hits", seed, byRates.Hash, r.Hash, len(byRates.Struck))
		}
	}
}
