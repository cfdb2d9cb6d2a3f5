package sim_test

import (
	"strings"
	"testing"
	"time"

	"dlm/netsim"
	"dlm/sim"
	"dlm/sim/run"
)

// Each probe has a name and a sentence of its own.
func TestProbesAreDescribed(t *testing.T) {
	names, sentences := map[string]bool{}, map[string]bool{}
	for _, p := range sim.Probes() {
		if p.Name == "" || p.What == "" || names[p.Name] || sentences[p.What] {
			t.Errorf("probe %q (%q) is not described, or like another one", p.Name, p.What)
		}
		names[p.Name], sentences[p.What] = true, true
	}
	if len(names) < 40 {
		t.Errorf("there are %d probes", len(names))
	}
}

// needFaults are probes that cannot be met where nothing breaks. A detector that says otherwise is wrong.
var needFaults = []string{
	"a duplicate is answered by the next process",
	"a waiting acquire is asked for again after a restart",
	"an acquire arrives after its cancel",
	"an open arrives again after its session has ended",
	"what a crash lost is sent again",
	"a late copy comes over another connection",
	"a frame overtakes another",
	"a connection breaks with half of its frames delivered",
	"a clogged link is released",
	"a connection is half open",
	"a lock leaves a client that is cut off",
	"a frozen client's frames leave too late",
	"a frozen client wakes after its lease",
	"a client gives up its session before the server",
	"an answer comes after the lease",
	"two believe in one lock as a clock is beyond rho",
	"the notice of a revoke is lost",
	"the news of waiting comes after the grant",
	"a batch that was never acknowledged survives a crash",
	"an outage lengthens a lease",
	"a session expires in the first entry after a restart",
	"a session of the default TTL expires",
	"a torn tail is left behind",
	"the server dies in recovery",
	"the server dies before it leads",
	"log and files are written when the server dies",
	"a crash comes between a batch's write and its sync",
	"a crash comes between a snapshot's rename and the directory's sync",
	"a crash comes while a segment is made",
	"a sync fails",
	"damage at rest is refused",
	"damage to the head of a frame of the log is refused",
}

func TestProbesAreQuietWhereNothingBreaks(t *testing.T) {
	known := map[string]bool{}
	for _, p := range sim.Probes() {
		known[p.Name] = true
	}
	var total run.Totals
	for seed := uint64(1); seed <= 60; seed++ {
		p := sim.Expand(seed)
		p.Faults = nil
		p.Config.ClocksBeyondRho = false
		p.Config.Net = netsim.Faults{DelayMin: time.Millisecond, DelayMax: time.Millisecond, InOrder: true}
		p.Config.DiskMax, p.Config.DiskSlow, p.Config.GapMax = 0, 0, time.Millisecond
		p.Config.AttemptTimeout = time.Second
		p.Config.MaxPending, p.Config.MaxFileBytes = 0, 0 // what is refused as overloaded comes again, and may come too late
		r := run.Run(p, nil)
		if r.Failure != nil {
			t.Fatalf("seed %d: %v", seed, r.Failure)
		}
		total.Add(r)
	}
	for _, name := range needFaults {
		if n := total.Counts[sim.ProbePrefix+name]; n > 0 || !known[name] {
			t.Errorf("met %d times without any fault: %s (a probe: %v)", n, name, known[name])
		}
	}
	if met, _ := run.Split(total.Counts, sim.ProbePrefix); len(met) < 10 {
		t.Errorf("only %v were met: the plans do nothing", met)
	}
	if low := strings.Join(total.TooTame(), "\n"); low != "" {
		t.Errorf("60 runs are judged: %s", low)
	}
}
