package core

import (
	"fmt"

	dlmv1 "dlm/api/dlm/v1"
)

// token is the current token: the exclusive or the first shared one; 0 if there is none.
func (l *lock) token() uint64 {
	if l != nil {
		for h := range l.holds.all() {
			if !h.revoked {
				return h.token
			}
		}
	}
	return 0
}

// compatible says whether a hold of that mode may join those there are. Revoked ones count as long as they block.
func (l *lock) compatible(mode dlmv1.Mode) bool {
	h := l.holds.head()
	return h == nil || (mode == dlmv1.Mode_MODE_SHARED && h.mode == dlmv1.Mode_MODE_SHARED)
}

// holdOf finds the session's valid hold of the lock. It looks through the shorter of the two lists: locks have many
// holders, or sessions many holds, but hardly ever both.
func (l *lock) holdOf(s *session) *hold {
	if l.holds.n <= s.holds.n {
		for h := range l.holds.all() {
			if h.session == s && !h.revoked {
				return h
			}
		}
		return nil
	}
	for h := range s.holds.all() {
		if h.lock == l && !h.revoked {
			return h
		}
	}
	return nil
}

func (l *lock) waiterOf(s *session) *waiter {
	if l.waiters.n <= s.waits.n {
		for w := range l.waiters.all() {
			if w.session == s {
				return w
			}
		}
		return nil
	}
	for w := range s.waits.all() {
		if w.lock == l {
			return w
		}
	}
	return nil
}

// byToken finds the session's hold under a token, revoked or not.
func (l *lock) byToken(s *session, token uint64) *hold {
	if l == nil {
		return nil
	}
	if l.holds.n <= s.holds.n {
		for h := range l.holds.all() {
			if h.token == token && h.session == s {
				return h
			}
		}
		return nil
	}
	for h := range s.holds.all() {
		if h.token == token && h.lock == l {
			return h
		}
	}
	return nil
}

// acquire grants the lock, refuses it, or queues the request (nil).
func (c *Core) acquire(s *session, at *slot, seq uint64, op *dlmv1.Acquire) *dlmv1.Answer {
	l := c.locks.byName[op.Lock]
	if l != nil {
		if h := l.holdOf(s); h != nil {
			return c.no(s, seq, refusal{
				reason: dlmv1.Reason_REASON_ALREADY_HELD, token: h.token, detail: "the session holds the lock already",
			})
		}
		if l.waiterOf(s) != nil {
			return c.no(s, seq, refusal{
				reason: dlmv1.Reason_REASON_ALREADY_WAITING, detail: "the session waits for the lock already",
			})
		}
	}
	if n := uint64(s.holds.n + s.waits.n + len(s.unblocked)); n >= c.limits.HoldsPerSession {
		return c.no(s, seq, limitReached(c.limits.HoldsPerSession,
			"the session holds or waits for %d locks (revoked ones count until they are confirmed), at most %d are allowed", n))
	}
	if l == nil {
		if n := uint64(len(c.locks.byName)); n >= c.limits.Locks {
			return c.no(s, seq, limitReached(c.limits.Locks, "%d locks are in use, at most %d may be", n))
		}
		l = c.locks.add(op.Lock)
		l.mark = c.imageMark
	}
	w := waiter{lock: l, session: s, sequence: seq, mode: op.Mode}
	if l.waiters.n == 0 && l.delay == nil && l.compatible(op.Mode) {
		w.terms = c.locks.newTerms(op.HoldLimitNanos, op.LockDelayNanos, op.Value)
		return c.grant(&w)
	}
	if op.WaitNanos != nil && *op.WaitNanos == 0 {
		return c.no(s, seq, refusal{
			reason: dlmv1.Reason_REASON_NOT_ACQUIRED, detail: "the lock is held, waited for, or in lock-delay",
		})
	}
	if n := uint64(l.waiters.n); n >= c.limits.WaitersPerLock {
		return c.no(s, seq, limitReached(c.limits.WaitersPerLock, "%d wait for the lock, at most %d may", n))
	}
	w.terms = c.locks.newTerms(op.HoldLimitNanos, op.LockDelayNanos, op.Value)
	c.enqueue(&w, at, op)
	return nil
}

func limitReached(limit uint64, format string, n uint64) refusal {
	return refusal{reason: dlmv1.Reason_REASON_LIMIT, limit: limit, detail: fmt.Sprintf(format, n, limit)}
}

// enqueue gives the acquire the last place in the queue.
func (c *Core) enqueue(from *waiter, at *slot, op *dlmv1.Acquire) {
	w := c.locks.spareWaiters.get()
	*w = *from
	l := w.lock
	c.preserveLock(l)
	c.lastWaiter++
	w.id = c.lastWaiter
	w.since = c.now
	if op.WaitNanos != nil {
		c.timeOut(w, c.after(*op.WaitNanos))
	}
	l.waiters.push(w)
	w.session.waits.push(w)
	c.waiting++
	c.waiterEvent(EventQueued, w, dlmv1.Reason_REASON_OK)
	at.kind, at.waiter = slotWaiting, w
	c.notify(c.queuedNotice(w))
	if l.waiters.n > 1 {
		return
	}
	c.contended(l, 0)
}

// contended tells the holders with a token above `after` that somebody waits for their lock.
func (c *Core) contended(l *lock, after uint64) {
	for h := range l.holds.all() {
		if !h.revoked && h.token > after {
			c.notify(&dlmv1.Notice{
				Kind: dlmv1.Notice_KIND_CONTENDED, Session: h.session.id, Stamp: c.now, Lock: l.name, Token: h.token,
			})
		}
	}
}

func (c *Core) queuedNotice(w *waiter) *dlmv1.Notice {
	return &dlmv1.Notice{
		Kind: dlmv1.Notice_KIND_QUEUED, Session: w.session.id, Sequence: w.sequence, Stamp: c.now, Lock: w.lock.name,
	}
}

// grant turns an acquire that is in no queue into a hold.
func (c *Core) grant(w *waiter) *dlmv1.Answer {
	c.lastToken++
	h := c.locks.spareHolds.get()
	c.preserveLock(w.lock)
	*h = hold{
		lock: w.lock, session: w.session, mode: w.mode, token: c.lastToken, granted: c.now, terms: w.terms,
	}
	if limit := h.terms.get().limit; limit != 0 {
		c.endAt(h, dueHold, c.after(limit))
	}
	h.lock.holds.push(h)
	h.session.holds.push(h)
	c.event(Event{
		Kind: EventGranted, Shared: h.mode == dlmv1.Mode_MODE_SHARED, Session: h.session.id, Lock: h.lock.name,
		Token: h.token, Queued: w.id != 0, Since: w.since,
	})
	a := c.reply(w.session, w.sequence, dlmv1.Reason_REASON_OK)
	a.Token, a.HoldDeadline = h.token, h.deadline()
	return a
}

// serve grants the lock to as many waiters at the head of the queue as can have it. Whatever may make the head grantable
// ends with a call of it (L3).
//
// A waiter whose own end is due at this very stamp is granted nothing: it would lose the hold at once, and its
// lock-delay would keep others out for nothing. It leaves the queue before the entry is done, which serves the next.
func (c *Core) serve(l *lock) {
	before := c.lastToken
	for {
		w := l.waiters.head()
		if w == nil || l.delay != nil || !l.compatible(w.mode) || w.session.deadline <= c.now ||
			(w.timer != nil && w.timer.at <= c.now) {
			break
		}
		c.unlink(w)
		c.settle(w, c.grant(w))
		c.locks.spareWaiters.put(w)
	}
	if c.lastToken > before && l.waiters.n > 0 {
		c.contended(l, before) // those who wait were there before these holders
	}
	c.sweep(l)
}

// settle records and sends the answer of an acquire that waited.
func (c *Core) settle(w *waiter, a *dlmv1.Answer) {
	c.preserveSession(w.session)
	at := w.session.window.find(w.sequence)
	at.kind, at.waiter, at.answer = slotAnswered, nil, a
	c.emit(a)
}

// unlink takes an acquire out of its queue.
func (c *Core) unlink(w *waiter) {
	c.preserveLock(w.lock)
	w.lock.waiters.remove(w)
	w.session.waits.remove(w)
	if w.timer != nil {
		c.deadlines.remove(w.timer)
		c.locks.spareTimers.put(w.timer)
		w.timer = nil
	}
	c.waiting--
}

// dequeue takes an acquire out of its queue ungranted, and says why; those behind it may move up. Its record is gone then.
func (c *Core) dequeue(w *waiter, reason dlmv1.Reason) {
	c.waiterEvent(EventGaveUp, w, reason)
	c.unlink(w)
	l := w.lock
	c.locks.dropTerms(w.terms)
	c.locks.spareWaiters.put(w)
	c.serve(l)
}

// due answers an acquire whose wait timeout has passed.
func (w *waiter) due(c *Core) {
	a := c.no(w.session, w.sequence, refusal{
		reason: dlmv1.Reason_REASON_WAIT_TIMEOUT, detail: "the lock was not granted within the wait timeout",
	})
	c.settle(w, a)
	c.dequeue(w, a.Reason)
}

func (c *Core) cancel(s *session, seq uint64, op *dlmv1.Cancel) *dlmv1.Answer {
	at := s.window.find(op.Sequence)
	if at == nil {
		return c.no(s, seq, refusal{
			reason: dlmv1.Reason_REASON_TOO_OLD, detail: fmt.Sprintf("sequence %d was answered and is forgotten, or was given up before it came", op.Sequence),
		})
	}
	a := c.reply(s, seq, dlmv1.Reason_REASON_OK)
	switch at.kind {
	case slotAnswered:
		a.Cancelled = at.answer.Reason
		if a.Cancelled == dlmv1.Reason_REASON_OK {
			a.Token = at.answer.Token
		}
		return a
	case slotWaiting:
		w := at.waiter
		c.settle(w, c.no(s, w.sequence, cancelled()))
		c.dequeue(w, dlmv1.Reason_REASON_CANCELLED)
	case slotGap:
		at.kind, at.digest, at.answer = slotAnswered, anyDigest, c.no(s, op.Sequence, cancelled())
	}
	a.Cancelled = dlmv1.Reason_REASON_CANCELLED
	return a
}

func cancelled() refusal {
	return refusal{reason: dlmv1.Reason_REASON_CANCELLED, detail: "the acquire was cancelled"}
}

// drop ends a hold, begins its lock-delay if the loss was involuntary, and serves the queue. The record of the hold is
// gone then, and maybe that of the lock.
func (c *Core) drop(h *hold, involuntary bool) {
	l := h.lock
	c.preserveLock(l)
	if h.revoked {
		c.holdEvent(EventUnblocked, h, dlmv1.Reason_REASON_OK, 0)
	}
	c.endNever(h)
	l.holds.remove(h)
	h.session.holds.remove(h)
	if h.revoked {
		h.session.unconfirmed--
	}
	if delay := h.terms.get().delay; involuntary && delay != 0 {
		if until := c.after(delay); until > l.delayed() {
			c.delay(l, h.token, until)
		}
	}
	c.locks.dropTerms(h.terms)
	c.locks.spareHolds.put(h)
	c.serve(l)
}

// due ends a lock-delay.
func (l *lock) due(c *Core) {
	c.preserveLock(l)
	c.locks.spareTimers.put(l.delay)
	l.delay = nil
	c.serve(l)
}

// due ends a hold whose limit has passed, or a revoked one's block.
func (h *hold) due(c *Core) {
	if !h.revoked {
		c.lost(h, dlmv1.Reason_REASON_HOLD_LIMIT, 0)
	}
	c.drop(h, true)
}

// lost tells the session of an involuntary loss, and remembers it there. by is the session that revoked it, or 0.
func (c *Core) lost(h *hold, reason dlmv1.Reason, by uint64) *dlmv1.Loss {
	c.holdEvent(EventLost, h, reason, by)
	l := h.loss(reason)
	c.preserveSession(h.session)
	h.session.remember(l)
	c.notify(&dlmv1.Notice{
		Kind: dlmv1.Notice_KIND_LOCK_LOST, Session: h.session.id, Stamp: c.now,
		Lock: l.Lock, Token: l.Token, Reason: l.Reason, Why: l.Why,
	})
	return l
}

func (h *hold) loss(reason dlmv1.Reason) *dlmv1.Loss {
	return &dlmv1.Loss{Lock: h.lock.name, Token: h.token, Reason: reason, Why: h.why()}
}

// stale says why (lock, token) is not a valid hold of the session.
func (c *Core) stale(s *session, name string, token uint64) refusal {
	f := refusal{
		reason: dlmv1.Reason_REASON_STALE_TOKEN, token: c.locks.byName[name].token(),
		detail: "the token is not the session's current hold of the lock",
	}
	if u := s.revokedAtOnce(name, token); u != nil {
		f.reason, f.detail = dlmv1.Reason_REASON_LOCK_REVOKED, "the lock was revoked: "+u.why
		return f
	}
	for _, l := range s.losses {
		if l.Token != token || l.Lock != name {
			continue
		}
		f.reason = l.Reason
		f.detail = "the hold limit passed"
		if l.Reason == dlmv1.Reason_REASON_LOCK_REVOKED {
			f.detail = "the lock was revoked: " + l.Why
		}
	}
	return f
}

func (c *Core) releaseOp(s *session, seq uint64, op *dlmv1.Release) *dlmv1.Answer {
	h := c.locks.byName[op.Lock].byToken(s, op.Token)
	if h == nil {
		f := c.stale(s, op.Lock, op.Token)
		s.confirm(op.Lock, op.Token)
		return c.no(s, seq, f)
	}
	if !h.revoked {
		c.holdEvent(EventReleased, h, dlmv1.Reason_REASON_OK, 0)
		c.drop(h, false)
		return c.reply(s, seq, dlmv1.Reason_REASON_OK)
	}
	f := refusal{reason: dlmv1.Reason_REASON_LOCK_REVOKED, detail: "the lock was revoked: " + h.why()}
	c.drop(h, true)
	f.token = c.locks.byName[op.Lock].token()
	return c.no(s, seq, f)
}

// current finds the session's valid hold under (lock, token), or says why it is none.
func (c *Core) current(s *session, name string, token uint64) (*hold, refusal) {
	l := c.locks.byName[name]
	h := l.byToken(s, token)
	switch {
	case h == nil:
		return nil, c.stale(s, name, token)
	case h.revoked:
		return nil, refusal{
			reason: dlmv1.Reason_REASON_LOCK_REVOKED, token: l.token(), detail: "the lock was revoked: " + h.why(),
		}
	}
	return h, refusal{}
}

func (c *Core) renewOp(s *session, seq uint64, op *dlmv1.Renew) *dlmv1.Answer {
	h, f := c.current(s, op.Lock, op.Token)
	if h == nil {
		return c.no(s, seq, f)
	}
	limit := op.HoldLimitNanos
	if limit == 0 {
		limit = h.terms.get().limit
	}
	c.preserveLock(h.lock)
	if limit == 0 {
		c.endNever(h)
	} else {
		c.endAt(h, dueHold, c.after(limit))
	}
	a := c.reply(s, seq, dlmv1.Reason_REASON_OK)
	a.Token, a.HoldDeadline = h.token, h.deadline()
	return a
}
