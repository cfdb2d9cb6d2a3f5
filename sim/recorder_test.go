package sim_test

import (
	"strings"
	"testing"

	"dlm/sim"
	"dlm/sim/run"
)

// What is recorded hangs together: causes lie before their consequences, messages arrive after they were sent, every grant
// comes from an acquire of a client, every belief from a grant, and no entry takes effect before the disk has it.
func TestEventsHangTogether(t *testing.T) {
	seen := map[sim.Kind]int{}
	for seed := uint64(1); seed <= 30; seed++ {
		rec := sim.NewRecorder()
		run.Run(sim.Expand(seed), rec)
		durable := uint64(0)
		for i := range rec.Events() {
			e := &rec.Events()[i]
			seen[e.Kind]++
			if e.Kind == sim.KindDiskDone && !e.Refused {
				durable = max(durable, e.Index)
			}
			if e.Kind == sim.KindEntry && e.Index > durable {
				t.Errorf("seed %d: the disk has the log up to position %d at %v", seed, durable, e)
			}
			for _, c := range e.Causes {
				if by := rec.Event(c); c >= e.ID || by == nil || by.At > e.At {
					t.Fatalf("seed %d: the cause #%d of %v", seed, c, e)
				}
			}
			var want sim.Kind
			switch e.Kind {
			case sim.KindDeliver, sim.KindDrop:
				want = sim.KindSend
			case sim.KindGrant, sim.KindReturn:
				want = sim.KindCall
			case sim.KindHeld:
				want = sim.KindGrant
			case sim.KindUnheld:
				want = sim.KindHeld
			case sim.KindEnd, sim.KindRevoke:
				want = sim.KindGrant
			default:
				continue
			}
			if !ledBy(rec, e, want) {
				t.Errorf("seed %d: no %s led to %v", seed, want, e)
			}
		}
	}
	for _, k := range []sim.Kind{
		sim.KindHeal, sim.KindFault, sim.KindUp, sim.KindDown, sim.KindSend, sim.KindDeliver, sim.KindDrop, sim.KindCall,
		sim.KindReturn, sim.KindAnswer, sim.KindNotice, sim.KindConnect, sim.KindHeld, sim.KindLease, sim.KindUnheld, sim.KindCut,
		sim.KindMend, sim.KindEntry, sim.KindApply, sim.KindGrant, sim.KindRevoke, sim.KindEnd, sim.KindWait, sim.KindUnwait,
		sim.KindSession, sim.KindDisk, sim.KindDiskDone, sim.KindSegment, sim.KindSnapshot, sim.KindFile, sim.KindSyncDir,
	} {
		if seen[k] == 0 {
			t.Errorf("no event of the kind %q in 30 seeds", k)
		}
	}
}

func ledBy(rec *sim.Recorder, e *sim.Event, kind sim.Kind) bool {
	for _, id := range rec.Ancestors(e.ID, 5000) {
		if by := rec.Event(id); by.Kind == kind && id != e.ID && (kind == sim.KindSend) == (by.Message == e.Message && by.Message != 0) {
			return true
		}
	}
	return false
}

// The readable trace is a line for each event, with its causes.
func TestWriteText(t *testing.T) {
	rec := sim.NewRecorder()
	run.Run(sim.Expand(3), rec)
	var b strings.Builder
	if err := sim.WriteText(&b, rec.Events()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != len(rec.Events()) || !strings.Contains(lines[len(lines)/2], "#") {
		t.Fatalf("%d lines for %d events; one of them %q", len(lines), len(rec.Events()), lines[len(lines)/2])
	}
}
