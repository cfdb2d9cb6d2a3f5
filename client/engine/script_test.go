package engine

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// script plays the server by hand.
type script struct {
	t    *testing.T
	e    *Engine
	now  time.Duration
	conn uint64
	fx   Effects
}

func newScript(t *testing.T, cfg Config) *script {
	return &script{t: t, e: New(cfg, rand.New(rand.NewPCG(1, 1))), now: time.Hour}
}

func (s *script) flush() Effects {
	s.fx = s.e.Flush(s.now)
	return s.fx
}

// dialed runs the time until the engine dials, and returns the server.
func (s *script) dialed() int {
	s.t.Helper()
	for range 100 {
		if fx := s.flush(); len(fx.Dial) > 0 {
			s.conn = fx.Dial[0].Conn
			return fx.Dial[0].Server
		}
		at, ok := s.e.NextTimer()
		if !ok {
			break
		}
		s.now = max(at, s.now)
	}
	s.t.Fatal("no dial")
	return 0
}

func (s *script) hello(cluster string, ppm, window uint64) {
	s.e.Connected(s.now, s.conn)
	s.receive(&dlmv1.ServerFrame{Hello: &dlmv1.Hello{ClusterId: []byte(cluster), DriftPpm: ppm, Window: window}})
}

func (s *script) receive(f *dlmv1.ServerFrame) { s.e.Receive(s.now, s.conn, f) }

func (s *script) answer(a *dlmv1.Answer) {
	s.receive(&dlmv1.ServerFrame{Answers: []*dlmv1.Answer{a}})
}

// requests of the next flush.
func (s *script) requests() []*dlmv1.Request {
	var all []*dlmv1.Request
	for _, f := range s.flush().Frames {
		all = append(all, f.Frame.GetRequests()...)
	}
	return all
}

// open makes session 7 with a TTL of 10 s, at stamp 1000 s.
func (s *script) open() uint64 {
	s.t.Helper()
	s.e.OpenSession(s.now, 0, SessionOptions{})
	s.dialed()
	s.hello("one", 10_000, 64)
	r := s.requests()
	if len(r) != 1 || r[0].GetOpen() == nil {
		s.t.Fatalf("got %v, want an open", r)
	}
	s.answer(&dlmv1.Answer{
		Key: r[0].GetOpen().Key, Session: 7, Instance: 1, Index: 1, Stamp: stampAt(0), NextSequence: 1,
		SessionDeadline: stampAt(10 * time.Second), TtlNanos: uint64(10 * time.Second),
	})
	if fx := s.flush(); len(fx.Done) != 1 || fx.Done[0].Session != 7 {
		s.t.Fatalf("got %+v", fx)
	}
	return 7
}

func stampAt(d time.Duration) uint64 { return uint64(1000*time.Second + d) }

func (s *script) lock(session uint64, name string, token uint64) {
	s.t.Helper()
	s.e.Lock(s.now, 0, session, acquire(name))
	r := s.requests()
	if len(r) != 1 || r[0].GetAcquire() == nil {
		s.t.Fatalf("got %v, want an acquire", r)
	}
	s.answer(&dlmv1.Answer{Session: session, Sequence: r[0].Sequence, Index: 2, Stamp: stampAt(0), Token: token, SessionDeadline: stampAt(10 * time.Second)})
	s.flush()
}

func TestRedirects(t *testing.T) {
	s := newScript(t, Config{Servers: 3})
	s.e.OpenSession(s.now, 0, SessionOptions{})
	before := s.dialed()
	var keys []string
	for range 7 {
		s.hello("one", 0, 64)
		r := s.requests()
		if len(r) != 1 {
			t.Fatalf("got %v, want an open", r)
		}
		keys = append(keys, string(r[0].GetOpen().GetKey()))
		s.answer(&dlmv1.Answer{Key: r[0].GetOpen().Key, Reason: dlmv1.Reason_REASON_NOT_LEADER})
		if fx := s.flush(); len(fx.Close) != 1 || fx.Close[0] != s.conn {
			t.Fatalf("closes %v, want %d", fx.Close, s.conn)
		}
		server := s.dialed()
		if server != (before+1)%3 {
			t.Fatalf("server %d after %d", server, before)
		}
		before = server
	}
	for _, k := range keys {
		if k != keys[0] {
			t.Fatal("an open was retried with another key")
		}
	}
}

func TestRefusalsBackOff(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("x"))
	r := s.requests()
	var slept time.Duration
	for n := range 12 {
		refusal := &dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Reason: dlmv1.Reason_REASON_OVERLOADED}
		s.answer(refusal)
		s.answer(refusal) // a copy must not count twice
		start := s.now
		again := s.requests()
		for len(again) == 0 || again[0].GetAcquire() == nil {
			at, _ := s.e.NextTimer()
			s.now = max(s.now, at)
			again = s.requests()
			for _, k := range again {
				if k.GetKeepAlive() != nil {
					s.answer(&dlmv1.Answer{Session: id, Sequence: k.Sequence, Index: 9, Stamp: stampAt(s.now - time.Hour), SessionDeadline: stampAt(s.now - time.Hour + 10*time.Second)})
				}
			}
		}
		pause := s.now - start
		if bound := min(20*time.Millisecond<<n, 2*time.Second); pause > bound {
			t.Errorf("pause %d: %v, at most %v", n, pause, bound)
		}
		if again[0].Sequence != r[0].Sequence {
			t.Fatalf("sequence %d became %d", r[0].Sequence, again[0].Sequence)
		}
		slept += pause
	}
	if slept < time.Second {
		t.Errorf("12 pauses took only %v", slept)
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Reason: dlmv1.Reason_REASON_INVALID, Detail: "no"})
	if fx := s.flush(); len(fx.Done) != 1 || !errors.Is(fx.Done[0].Err, ErrInvalid) {
		t.Errorf("INVALID is final: %+v", fx.Done)
	}
}

// Each keep-alive is a new request, and still a server that refuses them is asked less and less often.
func TestRefusedKeepAlivesBackOff(t *testing.T) {
	s := newScript(t, Config{BackoffMin: time.Millisecond, BackoffMax: 5 * time.Second})
	s.open()
	sent := 0
	for end := s.now + 8*time.Second; s.now < end; {
		for _, r := range s.requests() {
			if r.GetKeepAlive() != nil {
				sent++
			}
			s.answer(&dlmv1.Answer{Session: r.GetSession(), Sequence: r.GetSequence(), Reason: dlmv1.Reason_REASON_OVERLOADED})
		}
		if at, ok := s.e.NextTimer(); ok {
			s.now = max(s.now+1, at)
		}
	}
	if sent < 4 || sent > 40 {
		t.Errorf("%d keep-alives were sent in 8 s to a server that refuses them", sent)
	}
}

// However often it was refused before, a keep-alive is sent again while there is time for it.
func TestRefusedKeepAliveIsNotTooLate(t *testing.T) {
	s := newScript(t, Config{BackoffMin: time.Second, BackoffMax: 5 * time.Second})
	id := s.open()
	end, _ := s.e.SessionEnd(id)
	refused, last := 0, time.Duration(0)
	for {
		for _, r := range s.requests() {
			if r.GetKeepAlive() == nil {
				continue
			}
			refused, last = refused+1, s.now
			s.answer(&dlmv1.Answer{Session: id, Sequence: r.GetSequence(), Reason: dlmv1.Reason_REASON_OVERLOADED})
		}
		at, ok := s.e.NextTimer()
		if !ok || at >= end {
			break
		}
		s.now = max(s.now+1, at)
	}
	if refused < 8 || end-last > 100*time.Millisecond {
		t.Errorf("%d keep-alives were sent, the last one %v before the lease ended", refused, end-last)
	}
}

func TestLeaseCountsFromTheFirstSending(t *testing.T) {
	s := newScript(t, Config{})
	start := s.now
	id := s.open()
	s.lock(id, "x", 5)
	want := start + shorten(uint64(10*time.Second), 10_000)
	if end, ok := s.e.LeaseEnd(id, "x", 5); !ok || end != want {
		t.Fatalf("lease until %v (%v), want %v", end, ok, want)
	}
	if !s.e.Held(want-1, id, "x", 5) || s.e.Held(want, id, "x", 5) {
		t.Fatal("Held must say no from the lease's end on")
	}
	if s.e.Held(start, id, "x", 5) {
		t.Fatal("Held said yes after it had said no")
	}
	fx := s.flush()
	if len(fx.Events) != 2 || fx.Events[0].Kind != EventLockLost || fx.Events[1].Kind != EventSessionLost {
		t.Fatalf("events %+v", fx.Events)
	}
}

func TestAnotherClusterAnswers(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	s.lock(id, "x", 5)
	call := s.e.Lock(s.now, 0, id, acquire("y"))
	s.flush()
	s.e.Disconnected(s.now, s.conn)
	s.dialed()
	s.e.Connected(s.now, s.conn)
	if fx := s.flush(); len(fx.Frames) > 0 {
		t.Fatal("something was sent before the hello")
	}
	s.hello("two", 0, 64)
	if r := s.requests(); len(r) > 0 {
		t.Fatalf("another cluster was sent %v", r)
	}
	if s.e.Held(s.now, id, "x", 5) {
		t.Error("still held")
	}
	if len(s.fx.Done) != 1 || s.fx.Done[0].Call != call || !errors.Is(s.fx.Done[0].Err, ErrCluster) {
		t.Errorf("done %+v", s.fx.Done)
	}
}

func TestAttachComesFirstAndPendingIsSentAgain(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("x"))
	first := s.requests()
	s.receive(&dlmv1.ServerFrame{Notices: []*dlmv1.Notice{{Kind: dlmv1.Notice_KIND_QUEUED, Session: id, Sequence: first[0].Sequence}}})
	if fx := s.flush(); len(fx.Events) != 1 || fx.Events[0].Kind != EventQueued {
		t.Fatalf("events %+v", fx.Events)
	}
	if at, _ := s.e.NextTimer(); at < s.now+2*time.Second {
		t.Errorf("a queued acquire is asked for again after %v", at-s.now)
	}
	s.e.Disconnected(s.now, s.conn)
	s.dialed()
	s.hello("one", 20_000, 64)
	r := s.requests()
	if len(r) < 2 || r[0].GetAttach() == nil || r[0].Session != id || r[0].GetAttach().Replaces != 0 {
		t.Fatalf("got %v, want the attach first", r)
	}
	found := false
	for _, x := range r {
		found = found || x.GetAcquire() != nil && x.Sequence == first[0].Sequence
	}
	if !found {
		t.Fatalf("the acquire was not sent again: %v", r)
	}
	// A late answer of the attach, with an old stamp, must not count as a mark of cluster time of now.
	before := s.e.sessions[id].leaseEnd()
	s.answer(&dlmv1.Answer{Key: r[0].GetAttach().Key, Session: id, Instance: 1, Index: 3, Stamp: stampAt(0), SessionDeadline: stampAt(10 * time.Second)})
	if after := s.e.sessions[id].leaseEnd(); after > before {
		t.Errorf("the lease grew from %v to %v", before, after)
	}
}

func TestFencedOnlyByALaterInstance(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	call := s.e.Lock(s.now, 0, id, acquire("x"))
	r := s.requests()
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Index: 3, Reason: dlmv1.Reason_REASON_INSTANCE_FENCED, Instance: 1})
	if fx := s.flush(); len(fx.Done) > 0 {
		t.Fatalf("fenced by itself: %+v", fx.Done)
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Index: 3, Reason: dlmv1.Reason_REASON_INSTANCE_FENCED, Instance: 2})
	fx := s.flush()
	if len(fx.Done) != 1 || fx.Done[0].Call != call || !errors.Is(fx.Done[0].Err, ErrFenced) || !errors.Is(fx.Done[0].Err, ErrLost) {
		t.Fatalf("done %+v", fx.Done)
	}
	if len(fx.Frames) > 0 {
		t.Error("a fenced session must not be closed")
	}
}

// A takeover is refused once, since it has to name the instance that it replaces. A late copy of that refusal must not pass
// for the answer when the same attach binds the session to a new connection.
func TestLateRefusalOfTheOwnTakeover(t *testing.T) {
	s := newScript(t, Config{})
	s.open()
	const id = 42
	call := s.e.AttachSession(s.now, 0, id, SessionOptions{})
	key := s.requests()[0].GetAttach().GetKey()
	fence := func(instance uint64) *dlmv1.Answer {
		return &dlmv1.Answer{Key: key, Session: id, Index: 3, Stamp: stampAt(0), Reason: dlmv1.Reason_REASON_INSTANCE_FENCED, Instance: instance}
	}
	s.answer(fence(1))
	if r := s.requests(); len(r) != 1 || r[0].GetAttach().GetReplaces() != 1 {
		t.Fatalf("sent %v, want an attach that replaces instance 1", r)
	}
	s.answer(&dlmv1.Answer{Key: key, Session: id, Instance: 2, Index: 4, Stamp: stampAt(0), TtlNanos: uint64(10 * time.Second), SessionDeadline: stampAt(10 * time.Second)})
	if fx := s.flush(); len(fx.Done) != 1 || fx.Done[0].Call != call || fx.Done[0].Err != nil {
		t.Fatalf("done %+v", fx.Done)
	}
	s.e.Disconnected(s.now, s.conn)
	s.dialed()
	s.hello("one", 20_000, 64)
	s.requests()
	s.answer(fence(1))
	if s.e.sessions[id] == nil || s.e.sessions[id].err != nil {
		t.Fatal("given up for what was said before it began")
	}
	s.answer(fence(3))
	if x := s.e.sessions[id]; x != nil && !errors.Is(x.err, ErrFenced) {
		t.Errorf("another instance has taken over, and the session goes on: %v", x.err)
	}
}

// The notice of a revoke overtakes the grant.
func TestLossBeforeItsGrant(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("x"))
	r := s.requests()
	s.receive(&dlmv1.ServerFrame{Notices: []*dlmv1.Notice{{
		Kind: dlmv1.Notice_KIND_LOCK_LOST, Session: id, Lock: "x", Token: 5, Reason: dlmv1.Reason_REASON_LOCK_REVOKED,
	}}})
	rel := s.requests()
	if len(rel) != 1 || rel[0].GetRelease().GetToken() != 5 {
		t.Fatalf("got %v, want the confirmation", rel)
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: rel[0].Sequence, Index: 4, Stamp: stampAt(0), Reason: dlmv1.Reason_REASON_LOCK_REVOKED})
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Index: 3, Stamp: stampAt(0), Token: 5})
	fx := s.flush()
	if s.e.Held(s.now, id, "x", 5) || len(fx.Done) != 1 || !errors.Is(fx.Done[0].Err, ErrRevoked) {
		t.Fatalf("done %+v", fx.Done)
	}
}

// The caller gives back a token that it knows from elsewhere, such as the list of holds, before its grant has arrived: the
// next holder may have the lock by the time that the grant comes.
func TestReleaseBeforeItsGrant(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("x"))
	r := s.requests()
	s.e.Unlock(s.now, 0, id, "x", 5)
	rel := s.requests()
	if len(rel) != 1 || rel[0].GetRelease().GetToken() != 5 {
		t.Fatalf("got %v, want the release", rel)
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Index: 3, Stamp: stampAt(0), Token: 5, SessionDeadline: stampAt(10 * time.Second)})
	s.flush()
	if s.e.Held(s.now, id, "x", 5) {
		t.Fatal("held after it was given back")
	}
}

func TestSilentConnectionIsGivenUp(t *testing.T) {
	s := newScript(t, Config{Servers: 2})
	s.open()
	conn, start := s.conn, s.now
	s.e.Query(s.now, 0, &dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}})
	s.dialed()
	if s.conn == conn {
		t.Fatal("no other connection")
	}
	if d := s.now - start; d < 3*time.Second || d > 9*time.Second {
		t.Errorf("given up after %v", d)
	}
	s.hello("one", 10_000, 64)
	if fx := s.flush(); len(fx.Frames) != 1 || len(fx.Frames[0].Frame.Reads) != 1 {
		t.Errorf("the read was not sent again: %+v", fx.Frames)
	}
}

// A small request that would fit waits behind a larger one that does not. There is nothing to do then until an answer comes
// or a timer rings: a library that is asked to come back at once would do so for ever.
func TestWaitingBehindALargeAppend(t *testing.T) {
	s := newScript(t, Config{FrameBytes: 600, LargeBytes: 2000, LargeOutBytes: 8000})
	id := s.open()
	for _, size := range []int{5000, 7000, 2500} {
		s.e.Do(s.now, 0, id, &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "f", Lock: "x", Token: 5, Data: make([]byte, size)}}})
	}
	r := s.requests()
	if len(r) != 1 || len(r[0].GetAppend().GetData()) != 5000 {
		t.Fatalf("%d requests leave, want the first append alone", len(r))
	}
	if at, ok := s.e.NextTimer(); !ok || at <= s.now {
		t.Fatalf("wants to be called again at %v (%v), and it is %v: nothing can leave by then", at, ok, s.now)
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Index: 2, Stamp: stampAt(0), Reason: dlmv1.Reason_REASON_STALE_TOKEN})
	if r = s.requests(); len(r) != 1 || len(r[0].GetAppend().GetData()) != 7000 {
		t.Fatalf("%d requests leave, want the second append alone", len(r))
	}
}

// An answer that does not list losses says nothing of a hold that was revoked meanwhile, which blocks its lock only until the
// lease as of the revoke: it must not prolong what the library says.
func TestOnlyAnswersWithLossesProlong(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	s.lock(id, "x", 5)
	before, ok := s.e.LeaseEnd(id, "x", 5)
	if !ok {
		t.Fatal("the lock is not held")
	}
	s.now += time.Second
	s.e.Lock(s.now, 0, id, acquire("y"))
	r := s.requests()
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Index: 3, Stamp: stampAt(time.Second), Token: 6, SessionDeadline: stampAt(11 * time.Second)})
	if end, _ := s.e.LeaseEnd(id, "x", 5); end > before+100*time.Millisecond { // a younger mark gives a little
		t.Errorf("the answer of an acquire moves the end of the lease from %v to %v", before, end)
	}
	s.now += 3 * time.Second
	r = s.requests()
	if len(r) != 1 || r[0].GetKeepAlive() == nil {
		t.Fatalf("got %v, want a keep-alive", r)
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: r[0].Sequence, Index: 4, Stamp: stampAt(4 * time.Second), SessionDeadline: stampAt(14 * time.Second)})
	if end, _ := s.e.LeaseEnd(id, "x", 5); end <= before+time.Second {
		t.Errorf("the answer of a keep-alive leaves the end of the lease at %v", end)
	}
}

// An open that is refused for long, as while a disk is full, must not bring a session whose lease is nearly over.
func TestRefusedOpenCountsAnew(t *testing.T) {
	const ttl = 10 * time.Second
	s := newScript(t, Config{})
	s.e.OpenSession(s.now, 0, SessionOptions{TTL: ttl})
	s.dialed()
	s.hello("one", 10_000, 64)
	began := s.now
	keys := map[string]bool{}
	for {
		var open *dlmv1.Open
		for open == nil {
			for _, r := range s.requests() {
				open = r.GetOpen()
			}
			if at, ok := s.e.NextTimer(); open == nil && ok {
				s.now = max(at, s.now)
			}
		}
		keys[string(open.GetKey())] = true
		a := &dlmv1.Answer{Key: open.GetKey(), Reason: dlmv1.Reason_REASON_DISK_FULL, Detail: "no room"}
		if s.now-began > ttl*9/10 {
			a = &dlmv1.Answer{
				Key: open.GetKey(), Session: 7, Instance: 1, Index: 1, Stamp: stampAt(0), NextSequence: 1,
				SessionDeadline: stampAt(ttl), TtlNanos: uint64(ttl),
			}
		}
		sent := s.now
		s.answer(a)
		if a.GetReason() == dlmv1.Reason_REASON_OK {
			end, ok := s.e.SessionEnd(7)
			if want := sent + shorten(uint64(ttl), 10_000); !ok || end != want {
				t.Errorf("the session lives until %v (%v), want %v", end, ok, want)
			}
			break
		}
	}
	if len(keys) < 3 {
		t.Errorf("%d keys, want one for each attempt", len(keys))
	}
}

// A late answer to a read of a process's former life must not be taken for one to a read of this life.
func TestAnswerToAReadOfAFormerProcess(t *testing.T) {
	ids := map[uint64]bool{}
	for life := range uint64(10) {
		s := newScript(t, Config{})
		s.e = New(Config{}, rand.New(rand.NewPCG(1, life)))
		s.open()
		s.e.Query(s.now, 0, &dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}})
		id := s.flush().Frames[0].Frame.GetReads()[0].GetId()
		if ids[id] {
			t.Errorf("read %d of life %d has the id of an earlier life's", id, life)
		}
		for former := range ids {
			s.receive(&dlmv1.ServerFrame{Reads: []*dlmv1.ReadAnswer{{Id: former}}})
		}
		if fx := s.flush(); len(fx.Done) > 0 {
			t.Errorf("a former life's answer was believed: %+v", fx.Done)
		}
		ids[id] = true
	}
}
