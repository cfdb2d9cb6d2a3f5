package sim

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// actor is a thread of an application.
type actor struct {
	c       *client
	plan    *Actor
	next    int // operation
	session uint64
	old     uint64 // the session before the process crashed
	opening bool
	busy    int  // operations that run
	closed  bool // the world heals: no more operations
}

// begin is called when the process starts.
func (a *actor) begin() {
	a.old, a.session, a.opening, a.busy = a.session, 0, false, 0
	a.c.later(a.plan.Start, a.step)
}

func (a *actor) eng() *engine.Engine { return a.c.engine }

// deadlineIn is a deadline on the process's clock.
func (a *actor) deadlineIn(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return a.c.read() + d
}

// step begins what comes next.
func (a *actor) step() {
	if a.closed || a.opening {
		return
	}
	if a.session == 0 {
		a.open()
		return
	}
	if a.next >= len(a.plan.Ops) {
		return
	}
	op := &a.plan.Ops[a.next]
	a.next++
	a.busy++
	a.c.later(op.Think, func() { a.run(op) })
	if op.Async {
		a.c.later(op.Think+time.Millisecond, a.step)
	}
}

// finished: an operation ended.
func (a *actor) finished(op *Op) {
	a.busy--
	if !op.Async {
		a.step()
	}
}

func (a *actor) open() {
	a.opening = true
	done := func(d engine.Completion) {
		a.opening = false
		if d.Err != nil {
			a.old = 0
			a.c.later(a.c.rng.Between(50*time.Millisecond, time.Second), a.step)
			return
		}
		a.old = 0
		a.became(d)
		if a.closed {
			a.close(func() {})
			return
		}
		a.step()
	}
	now, deadline := a.c.read(), a.deadlineIn(3*time.Second)
	if a.old != 0 && a.plan.Attach {
		a.c.w.count("attach")
		id := a.eng().AttachSession(now, deadline, a.old, engine.SessionOptions{ConfirmByHand: a.plan.ByHand})
		a.c.made(id, deadline, asked{session: a.old, op: attaching}, done)
		return
	}
	id := a.eng().OpenSession(now, deadline, engine.SessionOptions{TTL: a.plan.TTL, Label: "actor", ConfirmByHand: a.plan.ByHand})
	a.c.made(id, deadline, asked{op: &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{TtlNanos: uint64(a.plan.TTL)}}}}, done)
}

// became: the session is the actor's from now on.
func (a *actor) became(d engine.Completion) {
	a.session = d.Session
	a.c.instances[d.Session] = d.Answer.GetInstance()
	a.c.w.sessionKnown(a, d)
}

// check: if the session is gone the next step opens another.
func (a *actor) check(session uint64, err error) {
	for _, gone := range []error{engine.ErrExpired, engine.ErrSessionClosed, engine.ErrFenced, engine.ErrNoSession} {
		if errors.Is(err, gone) && a.session == session {
			a.session = 0
			return
		}
	}
	var e *engine.Error
	if errors.As(err, &e) && e.Reason == dlmv1.Reason_REASON_SESSION_REVOKED && a.session == session {
		a.session = 0
	}
}

func (a *actor) run(op *Op) {
	if a.closed || a.session == 0 {
		a.finished(op)
		return
	}
	switch op.Kind {
	case OpLock:
		a.lock(op)
	case OpStale:
		a.do(op, a.session, a.c.w.staleRequest(op), func(engine.Completion) { a.finished(op) })
	case OpRead:
		a.query(op)
	case OpRevoke:
		a.revoke(op)
	case OpRevokeSess:
		victim := a.c.w.oldSession(op.Which)
		if op.Which%2 == 0 {
			victim = a.c.w.recentSession(op.Which / 2)
		}
		if victim == a.session {
			a.finished(op)
			return
		}
		req := &dlmv1.Request{Op: &dlmv1.Request_RevokeSession{RevokeSession: &dlmv1.RevokeSession{Session: victim, Now: op.Now, Why: "sim"}}}
		a.do(op, a.session, req, func(engine.Completion) { a.finished(op) })
	case OpClose:
		a.close(func() { a.finished(op) })
	case OpTakeOver:
		a.takeOver(op)
	case OpSetLimits:
		req := &dlmv1.Request{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{Limits: op.Limits.message()}}}
		a.do(op, a.session, req, func(engine.Completion) { a.finished(op) })
	}
}

// revoke revokes a lock, or one of its holds, once or twice.
func (a *actor) revoke(op *Op) {
	token := uint64(0) // every holder
	switch {
	case op.Recent:
		token = a.c.w.tokenOf(op.Lock, op.Which)
	case op.Which%3 == 0:
		token = a.c.w.recentToken(op.Which)
	}
	session, open := a.session, 1
	end := func(engine.Completion) {
		if open--; open == 0 {
			a.finished(op)
		}
	}
	once := func(now bool) {
		if a.closed {
			end(engine.Completion{})
			return
		}
		req := &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: op.Lock, Token: token, Now: now, Why: "sim"}}}
		a.do(op, session, req, end)
	}
	if op.Again > 0 {
		open++
		a.c.later(op.Again, func() { once(op.AgainNow) })
	}
	once(op.Now)
}

// takeOver gives up the actor's session for one that somebody else has, or had: two live instances, if he still runs.
func (a *actor) takeOver(op *Op) {
	victim := a.c.w.recentSession(op.Which)
	if op.Which%3 > 0 {
		victim = a.c.w.recentHolder(op.Which / 3)
	}
	if victim == a.session || victim == 0 {
		a.finished(op)
		return
	}
	a.close(func() {})
	deadline := a.deadlineIn(3 * time.Second)
	a.opening = true
	id := a.eng().AttachSession(a.c.read(), deadline, victim, engine.SessionOptions{ConfirmByHand: a.plan.ByHand})
	a.c.made(id, deadline, asked{session: victim, op: attaching}, func(d engine.Completion) {
		a.opening = false
		defer func() {
			if op.Async { // it went on to the next operation and found the session not there yet
				a.step()
			}
		}()
		if d.Err != nil {
			a.finished(op)
			return
		}
		a.c.w.count("take-over")
		a.became(d)
		holds := d.Answer.GetHolds()
		if len(holds) == 0 {
			a.finished(op)
			return
		}
		// What was begun under the first hold goes on; the others last as long as the session, or until the world drains.
		for _, x := range holds[1:] {
			if a.closed {
				a.c.letGo(&claim{session: d.Session, lock: x.GetLock(), token: x.GetToken(), yes: true})
			}
		}
		own := *op
		own.Lock, own.Shared = holds[0].GetLock(), holds[0].GetMode() == dlmv1.Mode_MODE_SHARED
		h := &hold{a: a, op: &own, session: d.Session, token: holds[0].GetToken(), stepsLeft: op.Steps}
		h.pause()
	})
}

var (
	closing   = &dlmv1.Request{Op: &dlmv1.Request_Close{Close: &dlmv1.Close{}}}
	attaching = &dlmv1.Request{Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{}}}
)

func (a *actor) close(then func()) {
	session, deadline := a.session, a.deadlineIn(3*time.Second)
	a.session = 0
	id := a.eng().CloseSession(a.c.read(), deadline, session)
	a.c.made(id, deadline, asked{session: session, op: closing}, func(engine.Completion) { then() })
}

func (a *actor) do(op *Op, session uint64, req *dlmv1.Request, then func(engine.Completion)) {
	deadline := a.deadlineIn(op.Deadline)
	id := a.eng().Do(a.c.read(), deadline, session, req)
	a.c.made(id, deadline, asked{session: session, op: req}, func(d engine.Completion) {
		a.check(session, d.Err)
		then(d)
	})
}

func (a *actor) lock(op *Op) {
	req := &dlmv1.Acquire{
		Lock: op.Lock, HoldLimitNanos: uint64(op.HoldLimit), LockDelayNanos: uint64(op.LockDelay),
		Value: bytes.Repeat([]byte("v"), max(op.Value, 1)),
	}
	if op.Shared {
		req.Mode = dlmv1.Mode_MODE_SHARED
	}
	if op.Wait >= 0 {
		wait := uint64(op.Wait)
		req.WaitNanos = &wait
	}
	session, deadline := a.session, a.deadlineIn(op.Deadline)
	id := a.eng().Lock(a.c.read(), deadline, session, req)
	ended := false
	what := asked{session: session, op: &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: req}}}
	a.c.made(id, deadline, what, func(d engine.Completion) {
		ended = true
		a.check(session, d.Err)
		if d.Err != nil {
			a.finished(op)
			return
		}
		h := &hold{a: a, op: op, session: session, token: d.Answer.GetToken(), stepsLeft: op.Steps}
		a.c.w.leases.granted(a.c, session, op.Lock, h.token, d.LeaseEnd)
		a.c.w.leases.claim(a.c, session, op.Lock, h.token, op.Shared)
		a.c.w.count("lock granted to an actor")
		h.pause()
	})
	if op.AbandonAfter > 0 {
		a.c.later(op.AbandonAfter, func() {
			if !ended {
				a.c.w.count("abandon")
				a.eng().Abandon(a.c.read(), id)
			}
		})
	}
}

// hold is a lock that an actor has.
type hold struct {
	a         *actor
	op        *Op
	session   uint64
	token     uint64
	stepsLeft int
}

// pause holds the lock for a part of the time, then does the next step.
func (h *hold) pause() {
	d := h.op.Hold / time.Duration(h.op.Steps+1)
	switch {
	case !h.op.Overlap:
	case h.stepsLeft > 0:
		d >>= h.op.Which % 6 // so short that steps meet on their way
	default:
		d = h.op.Hold
	}
	if h.a.closed {
		d = min(d, drainHold)
	}
	h.a.c.later(d, h.step)
}

func (h *hold) step() {
	if h.a.closed {
		h.unlock()
		return
	}
	switch {
	case h.stepsLeft > 0 && h.op.AtOnce:
		h.atOnce()
		return
	case h.stepsLeft > 0 && h.op.Overlap:
		h.a.do(h.op, h.under(), h.request(), func(engine.Completion) {})
		h.pause()
		return
	case h.stepsLeft > 0:
		h.a.do(h.op, h.under(), h.request(), func(engine.Completion) { h.pause() })
		return
	}
	if h.op.Forget {
		h.a.finished(h.op)
		return
	}
	h.unlock()
}

// under is the session that the hold is used in: its own, or for a zombie the one after it.
func (h *hold) under() uint64 {
	if h.op.Zombie && h.a.session != 0 {
		return h.a.session
	}
	return h.session
}

func (h *hold) unlock() {
	a, session, deadline := h.a, h.under(), h.a.deadlineIn(h.op.Deadline)
	id := a.eng().Unlock(a.c.read(), deadline, session, h.op.Lock, h.token)
	what := asked{session: session, op: &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: h.op.Lock, Token: h.token}}}}
	a.c.made(id, deadline, what, func(d engine.Completion) {
		a.check(session, d.Err)
		a.finished(h.op)
	})
}

func (a *actor) query(op *Op) {
	r := &dlmv1.Read{}
	switch op.Which % 8 {
	case 0, 1:
		r.Op = &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: op.Lock}}
	case 2:
		r.Op = &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{
			Prefix: "lock-", After: "lock-" + strconv.FormatUint(op.Which/7%3, 10), Limit: 1 + op.Which/7%3,
		}}
	case 3:
		r.Op = &dlmv1.Read_ListSessions{ListSessions: &dlmv1.ListSessions{After: op.Which / 7 % 3, Limit: 1 + op.Which/7%5}}
	case 4:
		r.Op = &dlmv1.Read_CheckToken{CheckToken: &dlmv1.CheckToken{Lock: op.Lock, Token: a.checked(op)}}
	case 5:
		r.Op = &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: op.File, Offset: op.Which / 7 % 500, Bytes: 1 + op.Which/7%9000}}
	case 6:
		r.Op = &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}
	default:
		r.Op = &dlmv1.Read_ListFiles{ListFiles: &dlmv1.ListFiles{}}
	}
	deadline := a.deadlineIn(op.Deadline)
	a.c.made(a.eng().Query(a.c.read(), deadline, r), deadline, asked{read: r}, func(engine.Completion) { a.finished(op) })
}

// checked is the token that a check asks about.
func (a *actor) checked(op *Op) uint64 {
	if op.Recent {
		return a.c.w.tokenOf(op.Lock, op.Which>>3)
	}
	return a.c.w.oldToken(op.Which)
}
