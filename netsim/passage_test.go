package netsim

import (
	"testing"
	"time"
)

// Every message is sent once, and each copy of it comes to one end.
func TestEveryPassageEnds(t *testing.T) {
	s := NewSim()
	e := &ends{accept: true}
	f := Faults{DelayMax: 9, DropPPM: 200_000, DupPPM: 200_000, LatePPM: 200_000, LateMax: 50, ResetPPM: 20_000}
	e.n = NewNetwork(s, 1, f, e)
	ended := map[Step]uint64{}
	var first, second, late, sent uint64
	e.n.Observe = func(p *Passage) {
		if p.Step == StepSent {
			if sent++; p.Message != sent || string(p.Frame) != "x" {
				t.Fatalf("message %d is sent with %q as number %d", p.Message, p.Frame, sent)
			}
			return
		}
		ended[p.Step]++
		switch p.Copy {
		case CopyFirst:
			first++
		case CopySecond:
			second++
		case CopyLate:
			late++
		}
	}
	for i := range 2000 {
		own := uint64(i/10 + 1)
		if i%10 == 0 {
			e.n.Dial(0, own, 0)
			for range 3 {
				s.Step()
			}
		}
		e.n.Cut(0, 0, ToServer, i%50 > 45)
		e.n.SendToServer(0, own, []byte("x"))
	}
	run(s)
	if first != sent || second != e.n.Stats.Duplicated || late != e.n.Stats.Late {
		t.Errorf("%d sent, of which %d ended; %d of %d duplicates, %d of %d late copies", sent, first, second, e.n.Stats.Duplicated, late, e.n.Stats.Late)
	}
	for _, step := range []Step{StepDelivered, StepDropped, StepCut, StepReset, StepGone} {
		if ended[step] == 0 {
			t.Errorf("no message came to the end %d: %v", step, ended)
		}
	}
	if ended[StepDelivered] != e.n.Stats.Delivered || ended[StepDropped] != e.n.Stats.Dropped {
		t.Errorf("ends %v, counted %+v", ended, e.n.Stats)
	}
}

// What is scheduled while a cause is in force runs under it.
func TestCauseIsCarriedAlong(t *testing.T) {
	s := NewSim()
	var got []uint64
	s.Cause = 1
	s.After(time.Second, func() {
		got = append(got, s.Cause)
		s.Cause = 3
		s.After(time.Second, func() { got = append(got, s.Cause) })
	})
	s.Cause = 2
	s.After(time.Millisecond, func() { got = append(got, s.Cause) })
	run(s)
	if len(got) != 3 || got[0] != 2 || got[1] != 1 || got[2] != 3 {
		t.Fatalf("causes %v, want 2 1 3", got)
	}
}
