package engine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// TestManyFaults drives several engines over a bad network, from many seeds. While it runs no two of them may say that
// they hold the same lock (G2); in the end, on a healed network, every call has ended (L1), every lock is free (G8), and
// every acknowledged append was carried out once, the others at most once (G4).
func TestManyFaults(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { runFaults(t, uint64(seed)) })
	}
}

type app struct {
	c       *client
	session uint64
	opening bool
	pending map[Call]func(Completion)
	n       int
	acked   *[]string
	stop    bool
}

func runFaults(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	w.faults = faults{
		drop: w.rng.Float64() * 0.15, repeat: w.rng.Float64() * 0.3, cut: w.rng.Float64() * 0.01,
		delay: time.Duration(1 + w.rng.Int64N(int64(40*time.Millisecond))),
	}
	if w.rng.IntN(2) == 0 {
		w.setLimits(&dlmv1.Limits{Window: uint64(4 + w.rng.IntN(12))})
	}
	drift := func() float64 { return 1 + (w.rng.Float64()-0.5)*float64(w.ppm)/1e6*0.98 }
	w.rate = drift()
	locks := []string{"a", "b", "c"}
	var checks []func()
	for _, l := range locks {
		checks = append(checks, noTwoHolders(w, l))
	}
	w.check = func() {
		for _, f := range checks {
			f()
		}
	}
	var acked []string
	var apps []*app
	for range 2 + w.rng.IntN(3) {
		c := w.client(Config{
			AttemptTimeout: time.Duration(50+w.rng.IntN(500)) * time.Millisecond,
			QueuedRetry:    time.Second,
			BackoffMax:     500 * time.Millisecond,
		}, drift())
		a := &app{c: c, pending: map[Call]func(Completion){}, acked: &acked}
		c.onDone = func(d Completion) {
			f := a.pending[d.Call]
			delete(a.pending, d.Call)
			if f != nil {
				f(d)
			}
		}
		apps = append(apps, a)
		a.step(locks)
	}
	for range 10 {
		w.run(time.Second)
		if w.rng.IntN(5) == 0 { // an outage
			w.faults.mute = true
			w.run(time.Duration(w.rng.Int64N(int64(3 * time.Second))))
			w.faults.mute = false
		}
	}
	w.faults = faults{delay: time.Millisecond}
	for _, a := range apps {
		a.stop = true
	}
	w.until("all calls end", func() bool {
		for _, a := range apps {
			if len(a.pending) > 0 {
				return false
			}
		}
		return true
	})
	w.run(time.Second)
	for _, a := range apps {
		for _, id := range sortedKeys(a.c.e.sessions) {
			s := a.c.e.sessions[id]
			if len(s.locks)+len(s.holds)+len(s.releases) > 0 || s.open.count > 1 {
				t.Errorf("session %d has %d locks, %d holds, %d releases, %d requests left", id, len(s.locks), len(s.holds), len(s.releases), s.open.count)
			}
		}
	}
	for _, l := range locks {
		info := w.core.Read(&dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: l}}}).GetLock()
		if len(info.GetHolders())+len(info.GetWaiters()) > 0 {
			t.Errorf("an orphan: %v", info)
		}
	}
	for _, data := range acked {
		if w.appends[data] != 1 {
			t.Errorf("append %q was acknowledged and carried out %d times", data, w.appends[data])
		}
	}
	for _, data := range sortedKeys(w.appends) {
		if w.appends[data] != 1 {
			t.Errorf("append %q was carried out %d times", data, w.appends[data])
		}
	}
	if len(acked) < 5 {
		t.Errorf("only %d appends got through", len(acked))
	}
}

func (a *app) call(id Call, then func(Completion)) {
	a.pending[id] = then
	a.c.w.after(0, a.c.flush)
}

// step does something at random, again and again.
func (a *app) step(locks []string) {
	w, c, now := a.c.w, a.c, a.c.clock()
	if a.stop {
		return
	}
	w.after(time.Duration(w.rng.Int64N(int64(60*time.Millisecond))), func() { a.step(locks) })
	if a.session == 0 {
		if !a.opening {
			a.opening = true
			deadline := time.Duration(0)
			if w.rng.IntN(4) == 0 {
				deadline = now + time.Duration(w.rng.Int64N(int64(100*time.Millisecond)))
			}
			a.call(c.e.OpenSession(now, deadline, SessionOptions{TTL: time.Duration(700+w.rng.IntN(3000)) * time.Millisecond}), func(d Completion) {
				a.opening = false
				if d.Err != nil && !errors.Is(d.Err, ErrDeadline) {
					w.t.Errorf("open: %v", d.Err)
				}
				a.session = d.Session
			})
		}
		return
	}
	session := a.session
	deadline := time.Duration(0)
	if w.rng.IntN(2) == 0 {
		deadline = now + time.Duration(w.rng.Int64N(int64(2*time.Second)))
	}
	switch w.rng.IntN(40) {
	case 0:
		a.session = 0
		a.call(c.e.CloseSession(now, deadline, session), nil)
		return
	case 1:
		a.call(c.e.Do(now, deadline, session, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: locks[w.rng.IntN(len(locks))]}}}), nil)
		return
	}
	if len(a.pending) > 20 {
		return
	}
	acq := &dlmv1.Acquire{Lock: locks[w.rng.IntN(len(locks))]}
	if w.rng.IntN(4) == 0 {
		wait := uint64(w.rng.Int64N(int64(time.Second)))
		acq.WaitNanos = &wait
	}
	if w.rng.IntN(4) == 0 {
		acq.HoldLimitNanos = uint64(50*time.Millisecond) + w.rng.Uint64N(uint64(time.Second))
	}
	id := c.e.Lock(now, deadline, session, acq)
	a.call(id, func(d Completion) { a.locked(session, acq, d) })
	if w.rng.IntN(4) == 0 {
		w.after(time.Duration(w.rng.Int64N(int64(300*time.Millisecond))), func() { c.e.Abandon(c.clock(), id); c.flush() })
	}
}

// locked uses a grant: some appends and renewals, then the release.
func (a *app) locked(session uint64, acq *dlmv1.Acquire, d Completion) {
	w, c := a.c.w, a.c
	if errors.Is(d.Err, ErrLost) && a.session == session {
		a.session = 0
	}
	if d.Err != nil {
		return
	}
	token := d.Answer.GetToken()
	for range w.rng.IntN(3) {
		a.n++
		data := fmt.Sprintf("%d.%d.%d", c.id, session, a.n)
		deadline := time.Duration(0)
		if w.rng.IntN(3) == 0 {
			deadline = c.clock() + 100*time.Millisecond
		}
		a.call(c.e.Do(c.clock(), deadline, session, &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{
			File: acq.Lock, Lock: acq.Lock, Token: token, Data: []byte(data),
		}}}), func(d Completion) {
			if d.Err == nil {
				*a.acked = append(*a.acked, data)
			}
		})
	}
	if w.rng.IntN(3) == 0 {
		a.call(c.e.Do(c.clock(), 0, session, &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{
			Lock: acq.Lock, Token: token, HoldLimitNanos: uint64(100*time.Millisecond) + w.rng.Uint64N(uint64(time.Second)),
		}}}), nil)
	}
	w.after(time.Duration(w.rng.Int64N(int64(200*time.Millisecond))), func() {
		a.call(c.e.Unlock(c.clock(), 0, session, acq.Lock, token), nil)
	})
}
