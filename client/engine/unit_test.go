package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const lowest, highest = 20 * time.Millisecond, 2 * time.Second
	for n := range 12 {
		bound := min(lowest<<n, highest)
		var least, most time.Duration = highest, 0
		for range 500 {
			b := backoff{attempts: n}
			p := b.next(rng, lowest, highest)
			if p < 0 || p > bound {
				t.Fatalf("attempt %d: pause %v, bound %v", n, p, bound)
			}
			least, most = min(least, p), max(most, p)
		}
		if most < bound*9/10 || least > bound/10 {
			t.Errorf("attempt %d: pauses from %v to %v are not spread over 0 to %v", n, least, most, bound)
		}
	}
	b := backoff{attempts: 1 << 20}
	if p := b.next(rng, lowest, highest); p > highest {
		t.Errorf("pause %v", p)
	}
}

func TestLeaseArithmetic(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		m        mark
		deadline uint64
		ppm      uint64
		want     time.Duration
	}{
		{mark{10 * s, uint64(5 * s)}, uint64(15 * s), 0, 20 * s},
		{mark{10 * s, uint64(5 * s)}, uint64(15 * s), 10_000, 10*s + 9900990099},
		{mark{10 * s, uint64(5 * s)}, uint64(5 * s), 10_000, 10 * s},
		{mark{10 * s, uint64(5 * s)}, uint64(4 * s), 10_000, 10 * s},
		{mark{10 * s, 0}, uint64(4 * s), 10_000, 10 * s}, // nothing is known
		{mark{10 * s, 1}, 1 << 63, 0, 10*s + farAway},    // no overflow
	} {
		if got := c.m.local(c.deadline, c.ppm); got != c.want {
			t.Errorf("%+v.local(%d, %d) = %d, want %d", c.m, c.deadline, c.ppm, got, c.want)
		}
	}
	// Of two marks the better one gives the later time for every deadline ahead of both.
	rng := rand.New(rand.NewPCG(2, 2))
	for range 10_000 {
		a := mark{time.Duration(rng.Int64N(100)) * s, 1 + rng.Uint64N(uint64(100*s))}
		b := mark{time.Duration(rng.Int64N(100)) * s, 1 + rng.Uint64N(uint64(100*s))}
		ppm := rng.Uint64N(100_000)
		d := uint64(101*s) + rng.Uint64N(uint64(100*s))
		if x, y := a.local(d, ppm), b.local(d, ppm); a.better(b, ppm) && x < y-1 || b.better(a, ppm) && y < x-1 {
			t.Fatalf("%+v %+v ppm %d: %v %v", a, b, ppm, x, y)
		}
	}
}

func TestTimersFireInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var ts timers
	all := make([]timer, 200)
	want := map[*timer]alarm{}
	for range 2000 {
		x := &all[rng.IntN(len(all))]
		if rng.IntN(3) == 0 {
			ts.disarm(x)
			delete(want, x)
		} else {
			at := time.Duration(rng.IntN(50))
			ts.arm(x, nil, at)
			want[x] = alarm{at, ts.order, x}
		}
		if x.armed() != (want[x].timer != nil) {
			t.Fatal("armed or not?")
		}
	}
	last := alarm{at: -1}
	for x := ts.due(100); x != nil; x = ts.due(100) {
		a := want[x]
		if a.timer == nil || a.before(last) {
			t.Fatalf("%v/%d after %v/%d", a.at, a.order, last.at, last.order)
		}
		last = a
		delete(want, x)
	}
	if len(want) != 0 {
		t.Fatalf("%d timers were lost", len(want))
	}
}

func TestEveryReasonIsAnError(t *testing.T) {
	for number := range dlmv1.Reason_name {
		r := dlmv1.Reason(number)
		if r == dlmv1.Reason_REASON_OK {
			continue
		}
		err := answerError(&dlmv1.Answer{Reason: r, Detail: "why"})
		if sentinelOf(r) == nil || !errors.Is(fmt.Errorf("x: %w", err), sentinelOf(r)) || err.Error() == "" {
			t.Errorf("%v has no sentinel", r)
		}
	}
}

func TestKeepAliveCadence(t *testing.T) {
	w := newWorld(t, 20)
	c := w.client(Config{}, 1)
	const ttl = 9 * time.Second
	s := c.session(ttl)
	c.lock(s, acquire("x"))
	w.run(5 * time.Minute)
	var at []time.Duration
	for i, r := range c.sent {
		if r.GetKeepAlive() != nil {
			at = append(at, c.times[i])
		}
	}
	if n := 300 / 3; len(at) < n || len(at) > n*12/10 {
		t.Errorf("%d keep-alives in 5 minutes", len(at))
	}
	for i := 1; i < len(at); i++ {
		if d := at[i] - at[i-1]; d < ttl*3/10 || d > ttl/3 {
			t.Errorf("%v between keep-alives, the TTL is %v", d, ttl)
		}
	}
	// Unanswered, each attempt is a new request.
	w.faults.drop = 1
	before := len(c.sent)
	w.run(ttl + time.Second)
	seen := map[uint64]bool{}
	for _, r := range c.sent[before:] {
		if r.GetKeepAlive() != nil {
			if seen[r.Sequence] {
				t.Errorf("keep-alive %d was sent twice", r.Sequence)
			}
			seen[r.Sequence] = true
		}
	}
	if len(seen) < 2 || len(seen) > 20 {
		t.Errorf("%d keep-alives in a lease without answers", len(seen))
	}
}

// Requests that are given up while nothing gets through use up sequences; the session must get out of that.
func TestSequencesDoNotRunAway(t *testing.T) {
	w := newWorld(t, 21)
	w.setLimits(&dlmv1.Limits{Window: 8})
	c := w.client(Config{AttemptTimeout: time.Second}, 1)
	s := c.session(time.Minute)
	token := c.lock(s, acquire("x"))
	w.faults.drop = 1
	for range 100 {
		c.e.Do(c.clock(), c.clock()+50*time.Millisecond, s, &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{
			File: "f", Lock: "x", Token: token, Data: []byte("x"),
		}}})
		c.flush()
		w.run(100 * time.Millisecond)
	}
	w.faults.drop = 0
	w.run(5 * time.Second)
	c.must(c.e.Unlock(c.clock(), c.clock()+10*time.Second, s, "x", token))
}

// Waiters fill the window; what gives something back, and keep-alives, get through all the same.
func TestReserves(t *testing.T) {
	w := newWorld(t, 22)
	w.setLimits(&dlmv1.Limits{Window: 16})
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	sa, sb := a.session(3*time.Second), b.session(3*time.Second)
	mine := b.lock(sb, acquire("mine"))
	var tokens []uint64
	var calls []Call
	for i := range 40 {
		tokens = append(tokens, a.lock(sa, acquire(fmt.Sprint(i))))
	}
	for i := range 40 {
		calls = append(calls, b.e.Lock(b.clock(), 0, sb, acquire(fmt.Sprint(i))))
	}
	b.flush()
	w.run(20 * time.Second)
	if n := b.e.sessions[sb].open.count; n > 16 || n < 8 {
		t.Errorf("%d requests are awaited", n)
	}
	b.must(b.e.Unlock(b.clock(), b.clock()+time.Second, sb, "mine", mine))
	for i, token := range tokens {
		a.must(a.e.Unlock(a.clock(), 0, sa, fmt.Sprint(i), token))
	}
	for _, id := range calls {
		b.must(id)
	}
}

func TestLargeAppendsGoLast(t *testing.T) {
	w := newWorld(t, 23)
	c := w.client(Config{}, 1)
	s := c.session(3 * time.Second)
	token := c.lock(s, acquire("x"))
	var calls []Call
	for range 20 {
		calls = append(calls, c.e.Do(c.clock(), 0, s, &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{
			File: "f", Lock: "x", Token: token, Data: make([]byte, 900<<10),
		}}}))
	}
	calls = append(calls, c.e.Lock(c.clock(), 0, s, acquire("y")))
	fx := c.e.Flush(c.clock())
	if fx.Frames[0].Frame.Requests[0].GetAcquire() == nil {
		t.Error("a large append leaves before an acquire")
	}
	if n := len(fx.Frames); n < 4 || n > 6 {
		t.Errorf("%d frames at once", n)
	}
	c.e.requeue()
	for _, id := range calls {
		c.must(id)
	}
	if c.e.largeOut != 0 {
		t.Errorf("%d bytes are still counted", c.e.largeOut)
	}
}

func TestAbandonedOpenIsClosed(t *testing.T) {
	w := newWorld(t, 24)
	w.faults.delay = 50 * time.Millisecond
	c := w.client(Config{}, 1)
	first := c.session(5 * time.Second)
	id := c.e.OpenSession(c.clock(), 0, SessionOptions{TTL: time.Hour})
	c.flush()
	c.e.Abandon(c.clock(), id)
	if d := c.wait(id); !errors.Is(d.Err, ErrAbandoned) {
		t.Fatal(d.Err)
	}
	w.run(time.Second)
	r := c.must(c.e.Query(c.clock(), 0, &dlmv1.Read{Op: &dlmv1.Read_ListSessions{ListSessions: &dlmv1.ListSessions{}}}))
	if n := len(r.Read.GetSessions()); n != 1 || r.Read.GetSessions()[0].GetSession() != first {
		t.Errorf("%d sessions are open: %v", n, r.Read.GetSessions())
	}
}

// The answer of an open comes when its lease is over by our clock: a session under the same key could never be used.
func TestOpenStartsOver(t *testing.T) {
	w := newWorld(t, 25)
	c := w.client(Config{}, 1)
	id := c.e.OpenSession(c.clock(), 0, SessionOptions{TTL: 200 * time.Millisecond})
	c.flush()
	w.until("sent", func() bool { return len(c.sent) > 0 })
	w.faults.mute = true
	w.run(time.Second)
	w.faults.mute = false
	d := c.must(id)
	token := c.lock(d.Session, acquire("x"))
	w.run(5 * time.Second)
	if !c.held(d.Session, "x", token) {
		t.Error("lost")
	}
}

func TestInvalidCalls(t *testing.T) {
	w := newWorld(t, 26)
	c := w.client(Config{MaxCalls: 2}, 1)
	s := c.session(time.Second)
	for _, op := range []*dlmv1.Request{
		{},
		{Op: &dlmv1.Request_Open{}},
		{Op: &dlmv1.Request_Attach{}},
		{Op: &dlmv1.Request_Cancel{}},
	} {
		if d := c.wait(c.e.Do(c.clock(), 0, s, op)); !errors.Is(d.Err, ErrInvalid) {
			t.Errorf("%v: %v", op, d.Err)
		}
	}
	if d := c.wait(c.e.Lock(c.clock(), 0, s, acquire(""))); !errors.Is(d.Err, ErrInvalid) {
		t.Errorf("no name: %v", d.Err)
	}
	if d := c.wait(c.e.Query(c.clock(), 0, &dlmv1.Read{})); !errors.Is(d.Err, ErrInvalid) {
		t.Errorf("no read: %v", d.Err)
	}
	for range 2 {
		c.e.Lock(c.clock(), 0, s, acquire("x"))
	}
	if d := c.wait(c.e.Lock(c.clock(), 0, s, acquire("x"))); !errors.Is(d.Err, ErrLimit) {
		t.Errorf("a call too many: %v", d.Err)
	}
}

// Two renewals are under way at once, and the second asks for less. However their answers come, what counts is the second
// one's limit; of answers with one log position the order is not known, and the shorter limit counts.
func TestRenewalsUnderWayAtOnce(t *testing.T) {
	const long, short = 9 * time.Second, time.Second
	type answer struct {
		index uint64
		limit time.Duration
	}
	for name, answers := range map[string][]answer{
		"in order":         {{3, long}, {4, short}},
		"late":             {{4, short}, {3, long}},
		"of one entry":     {{3, long}, {3, short}},
		"one entry, later": {{3, short}, {3, long}},
	} {
		s := newScript(t, Config{})
		id := s.open()
		s.lock(id, "x", 5)
		sequences := map[time.Duration]uint64{}
		for _, limit := range []time.Duration{long, short} {
			s.e.Do(s.now, 0, id, &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: "x", Token: 5, HoldLimitNanos: uint64(limit)}}})
		}
		for _, r := range s.requests() {
			sequences[time.Duration(r.GetRenew().GetHoldLimitNanos())] = r.Sequence
		}
		for _, a := range answers {
			s.answer(&dlmv1.Answer{
				Session: id, Sequence: sequences[a.limit], Index: a.index, Stamp: stampAt(0), Token: 5,
				SessionDeadline: stampAt(10 * time.Second), HoldDeadline: stampAt(a.limit),
			})
		}
		if !s.e.Held(s.now+short/2, id, "x", 5) {
			t.Errorf("%s: not held within the hold limit", name)
		}
		s.now += 2 * short
		if s.e.Held(s.now, id, "x", 5) {
			t.Errorf("%s: held after the hold limit has passed at the server", name)
		}
	}
}

// A path that works, but is cut more often than a session is renewed.
func TestReconnectingOftenKeepsTheSession(t *testing.T) {
	w := newWorld(t, 5)
	a := w.client(Config{}, 1)
	s := a.session(10 * time.Second)
	for i := range 12 {
		w.run(2500 * time.Millisecond)
		if _, ok := a.e.SessionEnd(s); !ok {
			t.Fatalf("lost after %d reconnects", i)
		}
		conn := a.e.link.conn
		a.hangUp(conn)
		a.e.Disconnected(a.clock(), conn)
		a.flush()
	}
}

func TestPlaceIsFreeAfterCompletionWasTold(t *testing.T) {
	e := New(Config{}, rand.New(rand.NewPCG(4, 4)))
	refused := func() Call { return e.Lock(0, 0, 1, acquire("x")) } // there is no such session
	a, b := refused(), refused()
	if a.Place() == b.Place() {
		t.Error("two calls of one turn have one place")
	}
	if done := e.Flush(0).Done; len(done) != 2 || done[0].Call != a || done[1].Call != b {
		t.Fatalf("told %v", done)
	}
	if c := refused(); c.Place() == a.Place() || c.Place() == b.Place() {
		t.Error("a place was used again while its completion is in the caller's hands")
	}
	e.Flush(0)
	for range 2 * keepDone {
		if c := refused(); c.Place() > 2*keepDone+2 {
			t.Fatalf("place %d", c.Place())
		}
	}
	e.Flush(0)
	e.Flush(0)
	if c := refused(); c.Place() > 2*keepDone+2 {
		t.Errorf("place %d: places are not used again", c.Place())
	}
}

// The release of token 0 keeps a lock that has been forgotten meanwhile, and its answer takes the next one of that name away.
func TestReleaseOfNoToken(t *testing.T) {
	s := newScript(t, Config{})
	id := s.open()
	s.e.Lock(s.now, 0, id, acquire("x"))
	s.e.Unlock(s.now, 0, id, "x", 0)
	var acq, rel uint64
	for _, r := range s.requests() {
		if r.GetAcquire() != nil {
			acq = r.Sequence
		} else {
			rel = r.Sequence
		}
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: acq, Index: 2, Stamp: stampAt(0), Reason: dlmv1.Reason_REASON_WAIT_TIMEOUT})
	s.flush()
	s.e.Lock(s.now, 0, id, acquire("x"))
	if n := len(s.requests()); n != 1 {
		t.Fatal(n)
	}
	s.answer(&dlmv1.Answer{Session: id, Sequence: rel, Index: 3, Stamp: stampAt(0), Reason: dlmv1.Reason_REASON_STALE_TOKEN})
	s.flush()
	s.e.Lock(s.now, 0, id, acquire("x"))
	if n := len(s.requests()); n != 0 {
		t.Errorf("a second acquire of one session for one name was sent: the first lock was forgotten")
	}
}
