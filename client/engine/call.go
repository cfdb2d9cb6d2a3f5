package engine

import (
	"fmt"
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

type callKind uint8

const (
	callOpen callKind = iota
	callAttach
	callLock
	callUnlock
	callClose
	callDo
	callRead
)

// call is what the application waits for.
type call struct {
	id       Call
	kind     callKind
	session  uint64
	since    time.Duration
	deadline timer
	wait     timer    // of a Lock in its local queue, or held back: the wait timeout
	req      *request // nil while it queues locally
	acquire  *dlmv1.Acquire
	options  SessionOptions
}

// newCall: false means that the call has been completed already.
func (e *Engine) newCall(now, deadline time.Duration, k callKind, session uint64) (*call, bool) {
	now = e.advance(now)
	c := &call{kind: k, session: session, since: now}
	full := e.calls.size >= e.cfg.MaxCalls
	e.calls.add(c)
	if full {
		e.complete(c, Completion{Session: session, Err: fmt.Errorf("%w: %d calls are pending", ErrLimit, e.cfg.MaxCalls)})
		return c, false
	}
	if deadline != 0 {
		e.timers.arm(&c.deadline, c, deadline)
	}
	return c, true
}

// newSessionCall is newCall for something that needs a live session.
func (e *Engine) newSessionCall(now, deadline time.Duration, k callKind, id uint64) (*call, *session, bool) {
	c, ok := e.newCall(now, deadline, k, id)
	if !ok {
		return c, nil, false
	}
	if s := e.sessions[id]; s != nil && s.err == nil {
		return c, s, true
	}
	err := e.ended.why[id]
	if err == nil {
		err = fmt.Errorf("%w: %d", ErrNoSession, id)
	}
	e.complete(c, Completion{Session: id, Err: err})
	return c, nil, false
}

// complete ends a call; nil is nobody's call.
func (e *Engine) complete(c *call, done Completion) {
	if c == nil || e.calls.get(c.id) != c {
		return
	}
	e.calls.remove(c)
	e.timers.disarm(&c.deadline)
	e.timers.disarm(&c.wait)
	done.Call = c.id
	done.opened, done.locked = c.kind == callOpen, c.kind == callLock
	e.done = append(e.done, done)
}

func (e *Engine) invalid(c *call, why string) Call {
	e.complete(c, Completion{Session: c.session, Err: fmt.Errorf("%w: %s", ErrInvalid, why)})
	return c.id
}

// Do sends any logged operation of which the caller wants the answer: renew, append, delete, revoke, set limits, ... An
// acquire, a release or a close is treated as by Lock, Unlock and CloseSession. When the call ends without an answer
// (deadline, abandoned, session lost) it is not known whether the operation took effect; it takes effect at most once.
func (e *Engine) Do(now, deadline time.Duration, session uint64, op Op) Call {
	switch o := op.GetOp().(type) {
	case *dlmv1.Request_Acquire:
		return e.Lock(now, deadline, session, o.Acquire)
	case *dlmv1.Request_Release:
		return e.Unlock(now, deadline, session, o.Release.GetLock(), o.Release.GetToken())
	case *dlmv1.Request_Close:
		return e.CloseSession(now, deadline, session)
	}
	c, s, ok := e.newSessionCall(now, deadline, callDo, session)
	if !ok {
		return c.id
	}
	if bad := dlmv1.BadText(op); bad != "" {
		return e.invalid(c, bad)
	}
	switch o := op.GetOp().(type) {
	case nil, *dlmv1.Request_Open, *dlmv1.Request_Attach, *dlmv1.Request_Cancel:
		return e.invalid(c, fmt.Sprintf("%T is not an operation of a call", o))
	case *dlmv1.Request_Renew:
		h := s.holds[o.Renew.GetToken()]
		if o.Renew.GetHoldLimitNanos() == 0 && h != nil && !h.limitKnown {
			return e.invalid(c, "a hold that was taken over must be renewed with an explicit hold limit")
		}
	}
	c.req = &request{kind: kindOther, class: classOrdinary, s: s, call: c, op: op}
	e.start(c.req)
	return c.id
}

// Lock acquires a lock. Calls of one session for the same name queue here, in order, behind each other and behind the
// session's own hold; a try (wait 0) does not queue. The wait timeout counts from the call. The acquire is sent until it
// is answered; giving up (deadline, Abandon) never leaves a hold behind.
func (e *Engine) Lock(now, deadline time.Duration, session uint64, a *dlmv1.Acquire) Call {
	c, s, ok := e.newSessionCall(now, deadline, callLock, session)
	if !ok {
		return c.id
	}
	if bad := dlmv1.FirstBad("lock", a.GetLock()); bad != "" {
		return e.invalid(c, bad)
	}
	c.acquire = a
	l := s.lockOf(a.GetLock())
	switch {
	case !l.busy() && len(l.queue) == 0:
		s.ask(e.now, l, c)
	case a.WaitNanos != nil && a.GetWaitNanos() == 0:
		e.complete(c, Completion{Session: session, Err: &Error{
			Reason: dlmv1.Reason_REASON_NOT_ACQUIRED, Detail: "this session holds the lock or waits for it itself",
		}})
	default:
		l.queue = append(l.queue, c)
		if a.WaitNanos != nil {
			c.armWait(e)
		}
	}
	return c.id
}

// Unlock stops saying "held" at once, then releases. The release goes on in the background until it is answered or the
// session is gone, even if the call gives up before. Unlocking a hold that was lost is answered with how it was lost.
func (e *Engine) Unlock(now, deadline time.Duration, session uint64, name string, token uint64) Call {
	c, s, ok := e.newSessionCall(now, deadline, callUnlock, session)
	if !ok {
		return c.id
	}
	if bad := dlmv1.FirstBad("lock", name); bad != "" {
		return e.invalid(c, bad)
	}
	h, r := s.holds[token], s.releases[token]
	delete(s.unconfirmed, token)
	if r != nil && r.op.GetRelease().GetLock() == name && r.call == nil {
		r.call, c.req = c, r
		return c.id
	}
	var l *lock
	if h != nil && h.lock.name == name {
		l = h.lock
		s.dropHold(h, nil)
		l.ending = token
	} else if l = s.locks[name]; l != nil && l.asking != nil {
		// The caller may know the token from elsewhere before its grant has arrived here: that grant must not be believed.
		l.expectLoss(&dlmv1.Loss{Lock: name, Token: token, Reason: dlmv1.Reason_REASON_STALE_TOKEN, Why: "released before its grant arrived"})
	}
	s.release(name, l, token, c)
	return c.id
}

// CloseSession ends the session at once on this side: nothing is held any more, its other calls end with
// ErrSessionClosed. No events. The call ends when the server has confirmed.
func (e *Engine) CloseSession(now, deadline time.Duration, session uint64) Call {
	c, s, ok := e.newSessionCall(now, deadline, callClose, session)
	if !ok {
		return c.id
	}
	s.finish(lossError(ErrSessionClosed, ""))
	s.sendClose(e.now, c)
	return c.id
}

// Query reads. r.Id is set by the engine, in a copy.
func (e *Engine) Query(now, deadline time.Duration, r *dlmv1.Read) Call {
	c, ok := e.newCall(now, deadline, callRead, 0)
	if !ok {
		return c.id
	}
	if r.GetOp() == nil {
		return e.invalid(c, "a read without an operation")
	}
	if bad := dlmv1.BadReadText(r); bad != "" {
		return e.invalid(c, bad)
	}
	c.req = &request{
		kind: kindRead, class: classRead, call: c, size: 512,
		read: &dlmv1.Read{Id: uint64(c.id), Op: r.GetOp()},
	}
	e.reads[uint64(c.id)] = c.req
	e.start(c.req)
	return c.id
}

// Abandon gives a call up: it completes with ErrAbandoned. A lock or a session that it got, or may still get, is given
// back in the background. If the completion is in the caller's hands already, this does nothing.
func (e *Engine) Abandon(now time.Duration, id Call) {
	e.advance(now)
	if c := e.calls.get(id); c != nil {
		e.giveUp(c, ErrAbandoned)
		return
	}
	i := slices.IndexFunc(e.done, func(d Completion) bool { return d.Call == id })
	if i < 0 || e.done[i].Err != nil {
		return
	}
	d := e.done[i]
	s := e.sessions[d.Session]
	if s == nil || s.err != nil {
		return
	}
	switch h := s.holds[d.Answer.GetToken()]; {
	case d.opened:
		s.finish(lossError(ErrSessionClosed, "abandoned"))
		s.sendClose(e.now, nil)
	case d.locked && h != nil:
		s.endHold(h, nil)
	default:
		return
	}
	e.done[i] = Completion{Call: id, Session: d.Session, Err: ErrAbandoned}
}

// armWait sets the time at which a Lock with a wait timeout has waited enough.
func (c *call) armWait(e *Engine) {
	e.timers.arm(&c.wait, c, c.since+time.Duration(min(c.acquire.GetWaitNanos(), farAway/2)))
}

func (c *call) expire(e *Engine, now time.Duration, t *timer) {
	if t == &c.wait {
		e.waitedEnough(now, c)
		return
	}
	e.giveUp(c, fmt.Errorf("%w after %v", ErrDeadline, now-c.since))
}

// waitedEnough ends a Lock whose wait timeout passes before the server has heard of it.
func (e *Engine) waitedEnough(now time.Duration, c *call) {
	s := e.sessions[c.session]
	if s == nil {
		return
	}
	why := &Error{Reason: dlmv1.Reason_REASON_WAIT_TIMEOUT, Detail: "behind other calls of the same session"}
	if c.req == nil {
		s.leaveQueue(now, c)
	} else {
		why.Detail = c.req.refusal.Detail
		s.giveUpAcquire(now, c.req)
	}
	e.complete(c, Completion{Session: c.session, Err: why})
}

// leaveQueue takes a Lock out of its local queue.
func (s *session) leaveQueue(now time.Duration, c *call) {
	l := s.locks[c.acquire.GetLock()]
	if l != nil {
		l.queue = slices.DeleteFunc(l.queue, func(o *call) bool { return o == c })
		s.startNext(now, l)
	}
}

// giveUp ends a call without an answer, and sees to what it may leave behind.
func (e *Engine) giveUp(c *call, why error) {
	r := c.req
	if r != nil && r.refusal != nil {
		why = fmt.Errorf("%w; last refused: %w", why, r.refusal)
	}
	switch {
	case c.kind == callLock && r == nil:
		e.sessions[c.session].leaveQueue(e.now, c)
	case c.kind == callLock:
		r.s.giveUpAcquire(e.now, r)
	case c.kind == callOpen && r.sent:
		// The session may exist. If its answer still comes it is closed, else it lapses by itself.
		r.call = nil
		r.state = stateSent
		e.timers.arm(&r.timer, r, e.now+max(c.options.TTL, 30*time.Second))
	case c.kind == callUnlock || c.kind == callClose:
		r.call = nil // goes on
	default:
		e.dropRequest(r)
	}
	e.complete(c, Completion{Session: c.session, Err: why})
}
