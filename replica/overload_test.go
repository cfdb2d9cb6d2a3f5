package replica_test

import (
	"maps"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

func keepAlive(session, seq uint64) *dlmv1.Request {
	return &dlmv1.Request{Session: session, Instance: 1, Sequence: seq, Watermark: seq, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}
}

// behind is a member whose disk is busy with a batch, which goes on when the returned function is called.
func behind(m *member, session uint64) (goOn func()) {
	m.t.Helper()
	m.now += time.Millisecond
	m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Requests: []*dlmv1.Request{acquire(session, 1, "first")}})
	e := m.node.Flush(m.now)
	if e.Log == nil {
		m.t.Fatal("nothing is logged")
	}
	return func() {
		m.node.LogDone(m.now, e.Log.Run(m.st))
		m.settle()
	}
}

// whileBehind sends requests on connection 1 and returns the reasons of those that were refused at once, by sequence.
func whileBehind(m *member, rs ...*dlmv1.Request) map[uint64]dlmv1.Reason {
	m.t.Helper()
	m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Requests: rs})
	refused := map[uint64]dlmv1.Reason{}
	for _, f := range m.node.Flush(m.now).Frames {
		for _, a := range f.Frame.GetAnswers() {
			if a.GetIndex() != 0 {
				m.t.Fatalf("answered before the log: %v", a)
			}
			refused[a.GetSequence()] = a.GetReason()
		}
	}
	return refused
}

// When too many requests wait, those that would begin something are refused, and those that keep or give back are not.
func TestOverloadRefusesWhatBegins(t *testing.T) {
	m := newMember(t, replica.Config{MaxPending: 4})
	s := m.open(1, 1)
	goOn := behind(m, s)
	refused := whileBehind(m, acquire(s, 2, "b"), acquire(s, 3, "c"), acquire(s, 4, "d"), acquire(s, 5, "e"),
		keepAlive(s, 6), release(s, 7, "first", 2), acquire(s, 8, "f"), release(s, 9, "b", 3), keepAlive(s, 10), release(s, 11, "c", 4))
	// One is on its way; four are the most for acquires, eight for the others.
	const over = dlmv1.Reason_REASON_OVERLOADED
	want := map[uint64]dlmv1.Reason{5: over, 8: over, 11: over}
	if !maps.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
	goOn()
	if a := m.call(1, acquire(s, 12, "g")); a.GetReason() != dlmv1.Reason_REASON_OK {
		t.Errorf("afterwards: %v", a)
	}
}

// When requests wait too long, the same, however few they are.
func TestOverloadRefusesWhatWouldWaitTooLong(t *testing.T) {
	m := newMember(t, replica.Config{MaxPending: 64, MaxWait: 100 * time.Millisecond})
	s := m.open(1, 1)
	goOn := behind(m, s)
	if refused := whileBehind(m, acquire(s, 2, "b"), acquire(s, 3, "c")); len(refused) != 0 {
		t.Errorf("refused %v at once", refused)
	}
	m.now += 100 * time.Millisecond
	if refused := whileBehind(m, acquire(s, 4, "d")); len(refused) != 0 {
		t.Errorf("refused %v in time", refused)
	}
	m.now++
	rs := []*dlmv1.Request{acquire(s, 5, "e"), keepAlive(s, 6), release(s, 7, "first", 2)}
	rs[1].Watermark, rs[2].Watermark = 5, 5
	refused := whileBehind(m, rs...)
	if len(refused) != 1 || refused[5] != dlmv1.Reason_REASON_OVERLOADED {
		t.Errorf("refused %v, want sequence 5 overloaded", refused)
	}
	goOn()
	if a := m.call(1, acquire(s, 5, "e")); a.GetReason() != dlmv1.Reason_REASON_OK {
		t.Errorf("the same request later: %v", a)
	}
}
