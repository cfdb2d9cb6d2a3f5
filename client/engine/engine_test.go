package engine

import (
	"errors"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

func acquire(lock string) *dlmv1.Acquire { return &dlmv1.Acquire{Lock: lock} }

func TestLockAndUnlock(t *testing.T) {
	w := newWorld(t, 1)
	c := w.client(Config{}, 1)
	s := c.session(5 * time.Second)
	token := c.lock(s, acquire("a"))
	if token == 0 || !c.held(s, "a", token) {
		t.Fatalf("token %d is not held", token)
	}
	if c.held(s, "b", token) || c.held(s, "a", token+1) || c.held(s+1, "a", token) {
		t.Fatal("held what was never granted")
	}
	w.run(time.Minute)
	if !c.held(s, "a", token) {
		t.Fatal("an idle session over a healthy path lost its lock")
	}
	id := c.e.Unlock(c.clock(), 0, s, "a", token)
	if c.held(s, "a", token) {
		t.Fatal("held after Unlock began")
	}
	c.must(id)
	c.must(c.e.CloseSession(c.clock(), 0, s))
	if d := c.wait(c.e.Lock(c.clock(), 0, s, acquire("a"))); !errors.Is(d.Err, ErrSessionClosed) || !errors.Is(d.Err, ErrLost) {
		t.Fatalf("got %v, want ErrSessionClosed", d.Err)
	}
	if d := c.wait(c.e.Lock(c.clock(), 0, s+7, acquire("a"))); !errors.Is(d.Err, ErrNoSession) {
		t.Fatalf("got %v, want ErrNoSession", d.Err)
	}
	for _, ev := range c.events {
		if ev.Kind == EventLockLost || ev.Kind == EventSessionLost {
			t.Errorf("event %+v of something that was given back", ev)
		}
	}
}

func TestLocalQueueIsInOrder(t *testing.T) {
	w := newWorld(t, 2)
	c := w.client(Config{}, 1)
	s := c.session(5 * time.Second)
	var calls []Call
	for range 5 {
		calls = append(calls, c.e.Lock(c.clock(), 0, s, acquire("a")))
	}
	zero, some := uint64(0), uint64(time.Second)
	try := c.e.Lock(c.clock(), 0, s, &dlmv1.Acquire{Lock: "a", WaitNanos: &zero})
	short := c.e.Lock(c.clock(), 0, s, &dlmv1.Acquire{Lock: "a", WaitNanos: &some})
	var order []Call
	c.onDone = func(d Completion) {
		if d.Err != nil {
			return
		}
		if d.locked {
			order = append(order, d.Call)
			w.after(2*time.Second, func() {
				c.e.Unlock(c.clock(), 0, s, "a", d.Answer.GetToken())
				c.flush()
			})
		}
	}
	if d := c.wait(try); !errors.Is(d.Err, ErrNotAcquired) {
		t.Fatalf("try: got %v, want ErrNotAcquired", d.Err)
	}
	if d := c.wait(short); !errors.Is(d.Err, ErrWaitTimeout) {
		t.Fatalf("short wait: got %v, want ErrWaitTimeout", d.Err)
	}
	c.wait(calls[4])
	for i, id := range calls {
		if order[i] != id {
			t.Fatalf("granted in the order %v, asked in the order %v", order, calls)
		}
	}
}

func TestAbandonedAcquireIsGivenBack(t *testing.T) {
	for name, when := range map[string]time.Duration{"before it is sent": 0, "on its way": 500 * time.Microsecond, "waiting": time.Second} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3)
			a, b := w.client(Config{}, 1), w.client(Config{}, 1)
			sa, sb := a.session(5*time.Second), b.session(5*time.Second)
			token := a.lock(sa, acquire("x"))
			id := b.e.Lock(b.clock(), 0, sb, acquire("x"))
			if when > 0 {
				b.flush()
				w.run(when)
			}
			b.e.Abandon(b.clock(), id)
			if d := b.wait(id); !errors.Is(d.Err, ErrAbandoned) {
				t.Fatalf("got %v, want ErrAbandoned", d.Err)
			}
			a.must(a.e.Unlock(a.clock(), 0, sa, "x", token))
			w.run(time.Second)
			if r := b.must(b.e.Query(b.clock(), 0, &dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "x"}}})); len(r.Read.GetLock().GetHolders()) > 0 {
				t.Fatalf("an orphan: %v", r.Read.GetLock())
			}
			if got := b.lock(sb, acquire("x")); got <= token {
				t.Fatalf("token %d after %d", got, token)
			}
		})
	}
}

func TestDeadlineAndLateGrant(t *testing.T) {
	w := newWorld(t, 4)
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	sa, sb := a.session(5*time.Second), b.session(5*time.Second)
	token := a.lock(sa, acquire("x"))
	id := b.e.Lock(b.clock(), b.clock()+time.Second, sb, acquire("x"))
	if d := b.wait(id); !errors.Is(d.Err, ErrDeadline) {
		t.Fatalf("got %v, want ErrDeadline", d.Err)
	}
	a.must(a.e.Unlock(a.clock(), 0, sa, "x", token))
	a.lock(sa, acquire("x"))
}

func TestAbandonTakesBackAnUnflushedGrant(t *testing.T) {
	w := newWorld(t, 5)
	c := w.client(Config{}, 1)
	s := c.session(5 * time.Second)
	id := c.e.Lock(c.clock(), 0, s, acquire("x"))
	c.flush()
	w.until("granted inside", func() bool { return len(c.e.sessions[s].holds) == 1 || len(c.e.done) > 0 || len(c.done) > 1 })
	// The harness flushes after each frame, so undo by hand what Abandon would find.
	if d, ok := c.done[id]; ok {
		delete(c.done, id)
		c.e.done = append(c.e.done, d)
	}
	c.e.Abandon(c.clock(), id)
	if d := c.wait(id); !errors.Is(d.Err, ErrAbandoned) {
		t.Fatalf("got %v", d.Err)
	}
	w.run(time.Second)
	if n := len(c.e.sessions[s].holds) + len(c.e.sessions[s].locks); n > 0 {
		t.Fatalf("%d holds and locks are left", n)
	}
}

func TestLapseNeverResumes(t *testing.T) {
	w := newWorld(t, 6)
	a := w.client(Config{}, 1)
	s := a.session(time.Second)
	token := a.lock(s, acquire("x"))
	w.faults.mute = true
	w.run(3 * time.Second)
	if a.held(s, "x", token) {
		t.Fatal("held past the lease")
	}
	w.faults.mute = false
	w.run(3 * time.Second)
	if a.held(s, "x", token) {
		t.Fatal("resumed")
	}
	d := a.wait(a.e.Lock(a.clock(), 0, s, acquire("x")))
	if !errors.Is(d.Err, ErrExpired) || !errors.Is(d.Err, ErrLost) {
		t.Fatalf("got %v, want ErrExpired", d.Err)
	}
	var kinds []EventKind
	for _, ev := range a.events {
		if ev.Kind == EventLockLost || ev.Kind == EventSessionLost {
			kinds = append(kinds, ev.Kind)
			if !errors.Is(ev.Err, ErrExpired) {
				t.Errorf("event %+v", ev)
			}
		}
	}
	if len(kinds) != 2 || kinds[0] != EventLockLost || kinds[1] != EventSessionLost {
		t.Fatalf("events %v", kinds)
	}
}

func TestReconnectKeepsTheSession(t *testing.T) {
	w := newWorld(t, 7)
	c := w.client(Config{}, 1)
	s := c.session(5 * time.Second)
	token := c.lock(s, acquire("x"))
	for range 10 {
		conn := c.e.link.conn
		c.hangUp(conn)
		c.e.Disconnected(c.clock(), conn)
		c.flush()
		w.run(time.Second)
		if !c.held(s, "x", token) {
			t.Fatal("lost by a reconnect")
		}
	}
	if got := c.e.sessions[s].instance; got != 1 {
		t.Fatalf("instance %d: a plain reconnect needs no takeover", got)
	}
}

func TestTakeover(t *testing.T) {
	w := newWorld(t, 8)
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	s := a.session(5 * time.Second)
	token := a.lock(s, acquire("x"))
	b.must(b.e.AttachSession(b.clock(), 0, s, SessionOptions{}))
	if !b.held(s, "x", token) {
		t.Fatal("the new instance does not hold what the session held")
	}
	w.run(10 * time.Second)
	if a.held(s, "x", token) || !b.held(s, "x", token) {
		t.Fatal("the old instance was not fenced off")
	}
	if d := a.wait(a.e.Lock(a.clock(), 0, s, acquire("y"))); !errors.Is(d.Err, ErrFenced) {
		t.Fatalf("got %v, want ErrFenced", d.Err)
	}
	b.must(b.e.Unlock(b.clock(), 0, s, "x", token))
	// And back again, by the engine that had it first.
	a.must(a.e.AttachSession(a.clock(), 0, s, SessionOptions{}))
	a.lock(s, acquire("x"))
	// Within one engine too.
	a.must(a.e.AttachSession(a.clock(), 0, s, SessionOptions{}))
	w.run(10 * time.Second)
	if d := a.wait(a.e.Lock(a.clock(), 0, s, acquire("z"))); d.Err != nil {
		t.Fatal(d.Err)
	}
	if d := a.wait(a.e.AttachSession(a.clock(), 0, s+9, SessionOptions{})); !errors.Is(d.Err, ErrNoSession) {
		t.Fatalf("got %v, want ErrNoSession", d.Err)
	}
}

func TestRevoke(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		w := newWorld(t, 9)
		a, b := w.client(Config{}, 1), w.client(Config{}, 1)
		sa, sb := a.session(3*time.Second), b.session(3*time.Second)
		token := a.lock(sa, acquire("x"))
		w.check = noTwoHolders(w, "x")
		if lossy { // the notice does not come: only the keep-alive tells
			delete(w.attached, sa)
		}
		b.must(b.e.Do(b.clock(), 0, sb, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "x"}}}))
		start := w.now
		b.lock(sb, acquire("x"))
		if took := w.now - start; took > 1100*time.Millisecond {
			t.Errorf("lossy %v: the revoke was confirmed only after %v", lossy, took)
		}
		w.run(time.Second)
		n := 0
		for _, ev := range a.events {
			if ev.Kind == EventLockLost && ev.Token == token && errors.Is(ev.Err, ErrRevoked) {
				n++
			}
		}
		if n != 1 || a.held(sa, "x", token) {
			t.Errorf("lossy %v: %d events of the loss", lossy, n)
		}
	}
}

// A session that confirms by hand keeps the next holder waiting until it unlocks, however often it is told of the revoke.
func TestRevokeConfirmedByHand(t *testing.T) {
	w := newWorld(t, 9)
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	opened := a.must(a.e.OpenSession(a.clock(), 0, SessionOptions{TTL: 20 * time.Second, ConfirmByHand: true}))
	sa, sb := opened.Session, b.session(20*time.Second)
	token := a.lock(sa, acquire("x"))
	w.check = noTwoHolders(w, "x")
	b.must(b.e.Do(b.clock(), 0, sb, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "x"}}}))
	next := b.e.Lock(b.clock(), 0, sb, acquire("x"))
	w.run(10 * time.Second) // with keep-alives, whose answers name the revoked hold
	if a.held(sa, "x", token) {
		t.Error("held after the revoke")
	}
	if info := w.core.Read(&dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "x"}}}).GetLock(); len(info.GetWaiters()) != 1 {
		t.Fatalf("the next holder did not wait: %v", info)
	}
	if d := a.wait(a.e.Unlock(a.clock(), 0, sa, "x", token)); !errors.Is(d.Err, ErrRevoked) {
		t.Errorf("unlock: %v", d.Err)
	}
	b.must(next)
	a.lock(sa, &dlmv1.Acquire{Lock: "y"}) // the session lives on
}

// So does one that has changed hands since the revoke: the new instance is told of the loss, and confirms when it unlocks.
func TestRevokeConfirmedByHandAfterATakeover(t *testing.T) {
	w := newWorld(t, 9)
	a, b, c := w.client(Config{}, 1), w.client(Config{}, 1), w.client(Config{}, 1)
	opened := a.must(a.e.OpenSession(a.clock(), 0, SessionOptions{TTL: 20 * time.Second, ConfirmByHand: true}))
	sa, sb := opened.Session, b.session(20*time.Second)
	token := a.lock(sa, acquire("x"))
	b.must(b.e.Do(b.clock(), 0, sb, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "x"}}}))
	next := b.e.Lock(b.clock(), 0, sb, acquire("x"))
	c.must(c.e.AttachSession(c.clock(), 0, sa, SessionOptions{ConfirmByHand: true}))
	w.run(10 * time.Second)
	if info := w.core.Read(&dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "x"}}}).GetLock(); len(info.GetWaiters()) != 1 {
		t.Fatalf("the next holder did not wait: %v", info)
	}
	if d := c.wait(c.e.Unlock(c.clock(), 0, sa, "x", token)); !errors.Is(d.Err, ErrRevoked) {
		t.Errorf("unlock: %v", d.Err)
	}
	b.must(next)
}

// A session outlives that the window is made smaller than what lies between the oldest and the newest of its requests.
func TestSmallerWindow(t *testing.T) {
	w := newWorld(t, 11)
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	sa, sb := a.session(3*time.Second), b.session(20*time.Second)
	token := b.lock(sb, acquire("x"))
	waits := a.e.Lock(a.clock(), 0, sa, acquire("x"))
	w.run(10 * time.Second) // a dozen keep-alives
	b.must(b.e.Do(b.clock(), 0, sb, &dlmv1.Request{Op: &dlmv1.Request_SetLimits{
		SetLimits: &dlmv1.SetLimits{Limits: &dlmv1.Limits{Window: 4}},
	}}))
	w.run(30 * time.Second)
	b.must(b.e.Unlock(b.clock(), 0, sb, "x", token))
	a.must(waits)
}

// A busy session whose keep-alives do not get through must not live on the answers of its other requests, which do not
// tell what was revoked.
func TestOtherTrafficDoesNotHideARevoke(t *testing.T) {
	w := newWorld(t, 10)
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	sa, sb := a.session(time.Second), b.session(time.Second)
	a.lock(sa, acquire("x"))
	w.check = noTwoHolders(w, "x")
	delete(w.attached, sa)
	a.onDone = func(d Completion) {
		if d.locked && d.Err == nil {
			a.e.Unlock(a.clock(), 0, sa, "y", d.Answer.GetToken())
			a.e.Lock(a.clock(), 0, sa, acquire("y"))
		}
	}
	a.e.Lock(a.clock(), 0, sa, acquire("y"))
	a.flush()
	b.must(b.e.Do(b.clock(), 0, sb, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "x"}}}))
	b.lock(sb, acquire("x"))
	w.run(500 * time.Millisecond)
}

func TestSessionRevoked(t *testing.T) {
	w := newWorld(t, 11)
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	sa, sb := a.session(30*time.Second), b.session(30*time.Second)
	a.lock(sa, acquire("x"))
	pending := a.e.Lock(a.clock(), 0, sa, acquire("x"))
	b.must(b.e.Do(b.clock(), 0, sb, &dlmv1.Request{Op: &dlmv1.Request_RevokeSession{RevokeSession: &dlmv1.RevokeSession{Session: sa, Why: "test"}}}))
	start := w.now
	b.lock(sb, acquire("x"))
	if took := w.now - start; took > time.Second {
		t.Errorf("not confirmed: %v", took)
	}
	if d := a.wait(pending); !errors.Is(d.Err, ErrRevoked) {
		t.Errorf("got %v, want ErrRevoked", d.Err)
	}
}

func TestHoldLimit(t *testing.T) {
	w := newWorld(t, 12)
	a, b := w.client(Config{}, 1), w.client(Config{}, 1)
	sa, sb := a.session(30*time.Second), b.session(30*time.Second)
	w.check = noTwoHolders(w, "x")
	token := a.lock(sa, &dlmv1.Acquire{Lock: "x", HoldLimitNanos: uint64(2 * time.Second)})
	renew := func(limit time.Duration) Completion {
		return a.wait(a.e.Do(a.clock(), 0, sa, &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{
			Lock: "x", Token: token, HoldLimitNanos: uint64(limit),
		}}}))
	}
	w.run(time.Second)
	renew(0)
	w.run(1500 * time.Millisecond)
	if !a.held(sa, "x", token) {
		t.Fatal("the renewal did not count")
	}
	renew(10 * time.Second)
	w.run(5 * time.Second)
	if !a.held(sa, "x", token) {
		t.Fatal("the longer limit did not count")
	}
	// A shorter limit counts from its sending, answered or not.
	a.e.Do(a.clock(), 0, sa, &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{
		Lock: "x", Token: token, HoldLimitNanos: uint64(time.Second),
	}}})
	a.flush()
	w.run(2 * time.Millisecond)
	w.faults.mute = true
	w.run(1100 * time.Millisecond)
	if a.held(sa, "x", token) {
		t.Fatal("held past a shorter limit")
	}
	w.faults.mute = false
	b.lock(sb, acquire("x"))
	n := 0
	for _, ev := range a.events {
		if ev.Kind == EventLockLost {
			n++
			if !errors.Is(ev.Err, ErrHoldLimit) {
				t.Errorf("lost by %v", ev.Err)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d events", n)
	}
	if d := renew(time.Second); d.Err == nil || !errors.Is(d.Err, ErrLost) {
		t.Errorf("renewing a lost hold: %v", d.Err)
	}
}

// noTwoHolders is G2 for one lock that is only asked for exclusively.
func noTwoHolders(w *world, lock string) func() {
	return func() {
		w.t.Helper()
		held := 0
		for _, c := range w.clients {
			for _, id := range sortedKeys(c.e.sessions) {
				for _, token := range sortedKeys(c.e.sessions[id].holds) {
					if c.held(id, lock, token) {
						held++
					}
				}
			}
		}
		if held > 1 {
			w.t.Fatalf("at %v %d clients say that they hold %q", w.now, held, lock)
		}
	}
}

// What is not UTF-8 cannot be encoded: it must fail alone, not with the frame that others' requests share.
func TestTextThatCannotBeEncoded(t *testing.T) {
	w := newWorld(t, 3)
	a := w.client(Config{}, 1)
	s := a.session(3 * time.Second)
	const bad = "bad\xff"
	held := a.lock(s, acquire("good"))
	for name, call := range map[string]Call{
		"open":   a.e.OpenSession(a.clock(), 0, SessionOptions{Label: bad}),
		"lock":   a.e.Lock(a.clock(), 0, s, acquire(bad)),
		"unlock": a.e.Unlock(a.clock(), 0, s, bad, 7),
		"append": a.e.Do(a.clock(), 0, s, &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: bad, Lock: "good", Token: held}}}),
		"revoke": a.e.Do(a.clock(), 0, s, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "x", Why: bad}}}),
		"read":   a.e.Query(a.clock(), 0, &dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{Prefix: bad}}}),
	} {
		if d := a.wait(call); !errors.Is(d.Err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, d.Err)
		}
	}
	w.run(4 * time.Second)
	if !a.held(s, "good", held) {
		t.Error("the session did not outlive it")
	}
}
