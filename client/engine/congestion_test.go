package engine

import (
	"errors"
	"slices"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// asked are the locks that the next flush asks for.
func (s *script) asked() (names []string, all []*dlmv1.Request) {
	for _, r := range s.requests() {
		if a := r.GetAcquire(); a != nil {
			names, all = append(names, a.GetLock()), append(all, r)
		}
	}
	return names, all
}

func (s *script) granted(r *dlmv1.Request, token uint64) {
	s.answer(&dlmv1.Answer{
		Session: r.GetSession(), Sequence: r.GetSequence(), Index: token, Stamp: stampAt(0), Token: token,
		SessionDeadline: stampAt(10 * time.Second),
	})
}

func (s *script) wantAsked(want ...string) []*dlmv1.Request {
	s.t.Helper()
	names, all := s.asked()
	if !slices.Equal(names, want) {
		s.t.Fatalf("asks for %v, want %v", names, want)
	}
	return all
}

func TestHeldBackInTurn(t *testing.T) {
	s := newScript(t, Config{UnderWay: 2})
	id := s.open()
	for _, name := range []string{"a", "b", "patient 1", "patient 2"} {
		s.e.Lock(s.now, 0, id, acquire(name))
	}
	for _, name := range []string{"hurried 1", "hurried 2", "hurried 3"} {
		s.e.Lock(s.now, s.now+time.Second, id, acquire(name))
	}
	first := s.wantAsked("a", "b")
	if n := s.e.HeldBack(); n != 5 {
		t.Errorf("%d are held back, want 5", n)
	}
	if at, ok := s.e.NextTimer(); !ok || at <= s.now {
		t.Errorf("wants to be called at %v (%v), and it is %v: there is no room before an answer comes", at, ok, s.now)
	}
	// The newest of those that have a deadline, then the oldest of those that have none.
	s.granted(first[0], 1)
	s.wantAsked("hurried 3")
	// What renews or gives back goes all the same.
	s.e.Do(s.now, 0, id, &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: "a", Token: 1}}})
	s.e.Unlock(s.now, 0, id, "a", 1)
	if r := s.requests(); len(r) != 2 || r[0].GetRelease() == nil || r[1].GetRenew() == nil {
		t.Errorf("sends %v, want a release and a renewal", r)
	}
	s.granted(first[1], 2)
	s.wantAsked("patient 1")
}

// An acquire in the queue of its lock costs the server nothing: others may go.
func TestQueuedIsNotUnderWay(t *testing.T) {
	s := newScript(t, Config{UnderWay: 1})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("a"))
	s.e.Lock(s.now, 0, id, acquire("b"))
	r := s.wantAsked("a")
	s.receive(&dlmv1.ServerFrame{Notices: []*dlmv1.Notice{{
		Kind: dlmv1.Notice_KIND_QUEUED, Session: id, Sequence: r[0].GetSequence(), Lock: "a",
	}}})
	s.wantAsked("b")
}

func TestHeldBackEnds(t *testing.T) {
	s := newScript(t, Config{UnderWay: 1})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("a"))
	wait := func(d time.Duration) *dlmv1.Acquire {
		n := uint64(d)
		return &dlmv1.Acquire{Lock: d.String(), Mode: dlmv1.Mode_MODE_EXCLUSIVE, WaitNanos: &n}
	}
	s.e.Lock(s.now, 0, id, wait(100*time.Millisecond))
	s.e.Lock(s.now, 0, id, wait(900*time.Millisecond))
	s.e.Lock(s.now, s.now+200*time.Millisecond, id, acquire("deadline"))
	abandoned := s.e.Lock(s.now, 0, id, acquire("abandoned"))
	last := s.e.Lock(s.now, 0, id, acquire("last"))
	first := s.wantAsked("a")
	s.e.Abandon(s.now, abandoned)
	s.now += 300 * time.Millisecond
	var timeouts, deadlines, abandons int
	for _, d := range s.flush().Done {
		var told *Error
		errors.As(d.Err, &told)
		switch {
		case errors.Is(d.Err, ErrDeadline) && told != nil && told.Reason == dlmv1.Reason_REASON_OVERLOADED:
			deadlines++
		case errors.Is(d.Err, ErrAbandoned):
			abandons++
		case told != nil && told.Reason == dlmv1.Reason_REASON_WAIT_TIMEOUT:
			timeouts++
		default:
			t.Errorf("ended with %v", d.Err)
		}
	}
	if timeouts != 1 || deadlines != 1 || abandons != 1 || s.e.HeldBack() != 2 {
		t.Errorf("%d wait timeouts, %d deadlines, %d abandoned, %d held back; want 1, 1, 1, 2", timeouts, deadlines, abandons, s.e.HeldBack())
	}
	// What was waited here is not waited again.
	s.granted(first[0], 1)
	if r := s.wantAsked("900ms"); r[0].GetAcquire().GetWaitNanos() != uint64(600*time.Millisecond) {
		t.Errorf("asks to wait for %v", time.Duration(r[0].GetAcquire().GetWaitNanos()))
	}
	s.e.CloseSession(s.now, 0, id)
	if s.flush(); s.e.HeldBack() != 0 {
		t.Errorf("held back after its session: %d", s.e.HeldBack())
	}
	if i := slices.IndexFunc(s.fx.Done, func(d Completion) bool { return d.Call == last }); i < 0 || !errors.Is(s.fx.Done[i].Err, ErrSessionClosed) {
		t.Errorf("ended as %+v", s.fx.Done)
	}
}

// What was held back and then sent may have taken effect: its caller must not be told that it was not sent.
func TestSentIsNotCalledHeldBack(t *testing.T) {
	s := newScript(t, Config{UnderWay: 1})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("a"))
	first := s.wantAsked("a")
	s.e.Lock(s.now, s.now+time.Second, id, acquire("b"))
	s.flush()
	s.granted(first[0], 1)
	s.wantAsked("b")
	s.now += time.Second
	var told *Error
	if fx := s.flush(); len(fx.Done) != 1 || !errors.Is(fx.Done[0].Err, ErrDeadline) || errors.As(fx.Done[0].Err, &told) {
		t.Errorf("ended as %+v", fx.Done)
	}
}

// limitAfter is the limit after some rounds with as many calls as may be under way, each answered after the given time.
func (s *script) limitAfter(rounds int, took time.Duration) int {
	id := uint64(7)
	for range rounds {
		for s.e.calls.size < 4096 {
			s.e.Lock(s.now, 0, id, acquire(time.Duration(s.e.calls.serial).String()))
		}
		_, all := s.asked()
		s.now += took
		frame := &dlmv1.ServerFrame{}
		for _, r := range all {
			frame.Answers = append(frame.Answers, &dlmv1.Answer{
				Session: id, Sequence: r.GetSequence(), Index: r.GetSequence(), Stamp: stampAt(0), Reason: dlmv1.Reason_REASON_NOT_ACQUIRED,
			})
		}
		s.receive(frame)
	}
	return s.e.congestion.limit
}

func TestLimitFollowsTheServer(t *testing.T) {
	s := newScript(t, Config{UnderWay: 512})
	s.open()
	s.e.sessions[7].window = 4096
	if n := s.limitAfter(20, 10*time.Millisecond); n <= 512 {
		t.Errorf("%d may be under way of a fast server, want more than at first", n)
	}
	before := s.e.congestion.limit
	if n := s.limitAfter(20, 400*time.Millisecond); n > before/4 || n < 2 {
		t.Errorf("%d may be under way of a slow server, %d of a fast one", n, before)
	}
	slow := s.e.congestion.limit
	if n := s.limitAfter(300, 10*time.Millisecond); n < 4*slow {
		t.Errorf("%d may be under way when the server is fast again, it was %d", n, slow)
	}
	r, _ := s.asked()
	if len(r) == 0 {
		t.Fatal("nothing is asked for")
	}
}

func TestRefusalLowersTheLimitOnce(t *testing.T) {
	s := newScript(t, Config{UnderWay: 512})
	id := s.open()
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		s.e.Lock(s.now, 0, id, acquire(name))
	}
	_, all := s.asked()
	s.now += time.Millisecond
	for _, r := range all {
		s.answer(&dlmv1.Answer{Session: id, Sequence: r.GetSequence(), Reason: dlmv1.Reason_REASON_OVERLOADED, Detail: "busy"})
	}
	if n := s.e.congestion.limit; n != 7 {
		t.Errorf("%d may be under way after eight refusals of one flush, want 7", n)
	}
}
