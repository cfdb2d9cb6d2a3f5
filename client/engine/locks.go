package engine

import (
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// lock is what a session has to do with one name. At most one of asking, held and ending is set; the calls behind it
// queue here and not at the server, which lets a session hold or await a lock only once.
//
//	queue --> asking --grant--> held --unlock, loss--> ending --release answered--> next of the queue
//	            |                                         ^
//	            +--- given up, but granted ---------------+
type lock struct {
	name   string
	asking *request
	held   *hold
	ending uint64 // token whose release is unanswered
	queue  []*call
	// lost: losses that came before the grant they are about. Cleared with the answer of asking.
	lost []*dlmv1.Loss
}

func (l *lock) busy() bool { return l.asking != nil || l.held != nil || l.ending != 0 }

// hold is a live hold. It ends locally with Session.leaseEnd, or earlier by its hold limit.
type hold struct {
	s     *session
	lock  *lock
	token uint64
	// deadline of the hold limit, 0 = none, as the answer at log position index said.
	deadline, index uint64
	// limit that it was acquired with; not known after a takeover if there is a deadline.
	limit      uint64
	limitKnown bool
	// caps: renewals whose answer is not known may have set a new limit, which may be shorter.
	caps  []renewCap
	timer timer
}

type renewCap struct {
	request *request
	end     time.Duration
}

// end is the local time at which the hold limit may have passed.
func (h *hold) end(e *Engine) time.Duration {
	end := time.Duration(farAway)
	if h.deadline != 0 {
		end = e.mark.local(h.deadline, e.driftPPM)
	}
	for _, c := range h.caps {
		end = min(end, c.end)
	}
	return end
}

func (h *hold) leaseEnd() time.Duration { return min(h.s.leaseEnd(), h.end(h.s.e)) }

func (h *hold) arm(e *Engine) {
	if h.deadline != 0 || len(h.caps) > 0 {
		e.timers.arm(&h.timer, h, h.end(e))
	} else {
		e.timers.disarm(&h.timer)
	}
}

func (h *hold) expire(e *Engine, now time.Duration, _ *timer) {
	if now < h.end(e) {
		h.arm(e) // a later mark of cluster time has moved it on
		return
	}
	h.s.endHold(h, lossError(ErrHoldLimit, ""))
}

// beforeFirstSend guards a hold against its own renewals: from now on the server may know another limit than we do.
func (s *session) beforeFirstSend(now time.Duration, r *request) {
	renew := r.op.GetRenew()
	h := s.holds[renew.GetToken()]
	if renew == nil || h == nil || h.lock.name != renew.GetLock() {
		return
	}
	limit := renew.GetHoldLimitNanos()
	if limit == 0 {
		limit = h.limit
	}
	if limit == 0 {
		return // no limit before, none after
	}
	h.caps = append(h.caps, renewCap{r, now + shorten(limit, s.e.driftPPM)})
	if len(h.caps) > maxCaps { // many renewals were given up: the two oldest become one
		h.caps[1].end = min(h.caps[0].end, h.caps[1].end)
		h.caps[1].request = nil
		h.caps = slices.Delete(h.caps, 0, 1)
	}
	h.arm(s.e)
}

const maxCaps = 64

// renewed takes the answer of a renewal.
func (h *hold) renewed(e *Engine, r *request, a *dlmv1.Answer) {
	if r.op.GetRenew() == nil {
		return
	}
	h.caps = slices.DeleteFunc(h.caps, func(c renewCap) bool { return c.request == r })
	if a.GetReason() == dlmv1.Reason_REASON_OK {
		switch d := a.GetHoldDeadline(); {
		case a.GetIndex() > h.index:
			h.deadline, h.index = d, a.GetIndex()
		case a.GetIndex() == h.index && d != 0 && (h.deadline == 0 || d < h.deadline):
			h.deadline = d // logged in the same entry, in an order that is not known here: the shorter one is safe
		}
	}
	h.arm(e)
}

// heldBy is the hold that an operation is fenced by.
func heldBy(op *dlmv1.Request) (lock string, token uint64) {
	switch o := op.GetOp().(type) {
	case *dlmv1.Request_Renew:
		return o.Renew.GetLock(), o.Renew.GetToken()
	case *dlmv1.Request_Append:
		return o.Append.GetLock(), o.Append.GetToken()
	case *dlmv1.Request_Delete:
		return o.Delete.GetLock(), o.Delete.GetToken()
	}
	return "", 0
}

// ---------------------------------------------------------------------------------------------------------------------
// Asking

func (s *session) lockOf(name string) *lock {
	l := s.locks[name]
	if l == nil {
		l = &lock{name: name}
		s.locks[name] = l
	}
	return l
}

// startNext starts the first call of the local queue when the lock has come free here, and forgets locks of no interest.
func (s *session) startNext(now time.Duration, l *lock) {
	if l.busy() {
		return
	}
	if len(l.queue) == 0 {
		delete(s.locks, l.name)
		return
	}
	c := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	s.ask(now, l, c)
}

func (s *session) ask(now time.Duration, l *lock, c *call) {
	s.e.timers.disarm(&c.wait)
	m := &acquireMessage{request: request{kind: kindAcquire, class: classOrdinary, own: true, s: s, call: c, lock: l}}
	m.op.Acquire = waited(c.acquire, now-c.since)
	m.message.Op = &m.op
	r := &m.request
	r.op = &m.message
	l.asking, c.req = r, r
	s.e.start(r)
}

// acquireMessage and releaseMessage are a request and the message that it is first sent as, in one piece: allocating is a good part of what
// a lock costs a client.
type acquireMessage struct {
	request
	message dlmv1.Request
	op      dlmv1.Request_Acquire
}

type releaseMessage struct {
	request
	message dlmv1.Request
	op      dlmv1.Request_Release
	release dlmv1.Release
}

// waited shortens the wait timeout by what was waited here already. It never becomes 0, which would be a try.
func waited(a *dlmv1.Acquire, d time.Duration) *dlmv1.Acquire {
	if a.WaitNanos == nil || a.GetWaitNanos() == 0 || d <= 0 {
		return a
	}
	left := uint64(1)
	if a.GetWaitNanos() > uint64(d) {
		left = a.GetWaitNanos() - uint64(d)
	}
	return &dlmv1.Acquire{
		Lock: a.GetLock(), Mode: a.GetMode(), WaitNanos: &left, HoldLimitNanos: a.GetHoldLimitNanos(),
		LockDelayNanos: a.GetLockDelayNanos(), Value: a.GetValue(),
	}
}

// onAcquired takes the result of an acquire, from its own answer.
func (s *session) onAcquired(now time.Duration, r *request, a *dlmv1.Answer) {
	l := r.lock
	if r.cancel != nil {
		s.remove(r.cancel) // it has nothing left to cancel
	}
	lost := l.lost
	l.asking, l.lost = nil, nil
	token := a.GetToken()
	done := Completion{Session: s.id, Answer: a, Err: answerError(a)}
	switch {
	case a.GetReason() == dlmv1.Reason_REASON_OK && r.call == nil:
		s.giveBack(l, token)
	case a.GetReason() == dlmv1.Reason_REASON_OK:
		if i := slices.IndexFunc(lost, func(x *dlmv1.Loss) bool { return x.GetToken() == token }); i >= 0 {
			done.Err = lossError(&Error{Reason: lost[i].GetReason(), Detail: lost[i].GetWhy(), Answer: a}, "")
			s.giveBack(l, token)
			break
		}
		h := s.newHold(l, token, a.GetHoldDeadline(), a.GetIndex())
		h.limit, h.limitKnown = r.op.GetAcquire().GetHoldLimitNanos(), true
		done.LeaseEnd = h.leaseEnd()
	case a.GetReason() == dlmv1.Reason_REASON_ALREADY_HELD && r.call != nil && token != 0 && s.holds[token] == nil:
		// A hold that nobody here knows of: away with it, and again.
		s.giveBack(l, token)
		r.call.req = nil
		l.queue = slices.Insert(l.queue, 0, r.call)
		return
	}
	s.e.complete(r.call, done)
	s.startNext(now, l)
}

func (s *session) newHold(l *lock, token, deadline, index uint64) *hold {
	h := &hold{s: s, lock: l, token: token, deadline: deadline, index: index}
	l.held = h
	s.holds[token] = h
	h.arm(s.e)
	return h
}

// adopt takes over a hold of the former instance.
func (s *session) adopt(x *dlmv1.Hold) {
	h := s.newHold(s.lockOf(x.GetLock()), x.GetToken(), x.GetHoldDeadline(), 0)
	h.limitKnown = x.GetHoldDeadline() == 0
}

// giveUpAcquire: nobody wants the lock any more. What was never sent is forgotten; what was is cancelled, and given back
// if it was granted (G8). The acquire itself is not sent again, but stays awaited until its fate is known.
func (s *session) giveUpAcquire(now time.Duration, r *request) {
	r.call = nil
	if !r.sent {
		l := r.lock
		s.remove(r)
		l.asking = nil
		s.startNext(now, l)
		return
	}
	s.e.timers.disarm(&r.timer)
	r.state = stateSent
	r.cancel = &request{kind: kindCancel, class: classGiveBack, target: r, op: &dlmv1.Request{
		Op: &dlmv1.Request_Cancel{Cancel: &dlmv1.Cancel{Sequence: r.sequence}},
	}}
	s.submit(r.cancel)
}

// onCancelled takes the result of an acquire that was given up, from the answer of its cancel.
func (s *session) onCancelled(now time.Duration, r *request, a *dlmv1.Answer) {
	acquire := r.target
	if acquire.state == stateDone {
		return
	}
	l := acquire.lock
	s.remove(acquire)
	l.asking, l.lost = nil, nil
	if a.GetReason() == dlmv1.Reason_REASON_OK && a.GetCancelled() == dlmv1.Reason_REASON_OK {
		s.giveBack(l, a.GetToken())
	}
	s.startNext(now, l)
}

// ---------------------------------------------------------------------------------------------------------------------
// Giving back

// giveBack releases a token that nobody here holds; the lock's next call waits for it.
func (s *session) giveBack(l *lock, token uint64) {
	l.ending = token
	if s.releases[token] == nil {
		s.release(l.name, l, token, nil)
	} else {
		s.releases[token].lock = l
	}
}

// release sends a Release until it is answered or the session is gone; l is what the session has to do with the name, nil if nothing.
func (s *session) release(name string, l *lock, token uint64, c *call) {
	m := &releaseMessage{request: request{kind: kindRelease, class: classGiveBack, own: true, call: c, token: token, lock: l}}
	m.release.Lock, m.release.Token = name, token
	m.op.Release = &m.release
	m.message.Op = &m.op
	r := &m.request
	r.op = &m.message
	if c != nil {
		c.req = r
	}
	s.releases[token] = r
	s.submit(r)
}

// endHold stops saying "held", then tells the server. why: the hold was lost; nil: it is given back.
func (s *session) endHold(h *hold, why error) {
	s.dropHold(h, why)
	s.giveBack(h.lock, h.token)
}

// revoked ends a hold that an operator took away. The release that confirms it is the application's to send if it asked
// for that.
func (s *session) revoked(h *hold, why error) {
	if !s.byHand {
		s.endHold(h, why)
		return
	}
	s.dropHold(h, why)
	h.lock.ending = h.token
	s.unconfirmed[h.token] = true
}

func (s *session) dropHold(h *hold, why error) {
	s.e.timers.disarm(&h.timer)
	delete(s.holds, h.token)
	h.lock.held = nil
	if why != nil {
		s.e.event(Event{Kind: EventLockLost, Session: s.id, Lock: h.lock.name, Token: h.token, Err: why})
	}
}

func (s *session) onReleased(now time.Duration, r *request, a *dlmv1.Answer) {
	if s.releases[r.token] == r {
		delete(s.releases, r.token)
	}
	s.e.complete(r.call, Completion{Session: s.id, Answer: a, Err: answerError(a)})
	if l := r.lock; l != nil && l.ending == r.token && l.ending != 0 {
		l.ending = 0
		s.startNext(now, l)
	}
}

// takeLosses ends holds that the server says are lost, and confirms with a release. sure: the list is part of an answer;
// a notice may be old or repeated.
func (s *session) takeLosses(losses []*dlmv1.Loss, sure bool) {
	for _, x := range losses {
		h := s.holds[x.GetToken()]
		l := s.locks[x.GetLock()]
		switch {
		case h != nil:
			why := lossError(&Error{Reason: x.GetReason(), Detail: x.GetWhy()}, "")
			if x.GetReason() == dlmv1.Reason_REASON_LOCK_REVOKED {
				s.revoked(h, why)
			} else {
				s.endHold(h, why)
			}
		case s.unconfirmed[x.GetToken()]: // the application knows
		case s.releases[x.GetToken()] != nil: // said already
		case l != nil && l.asking != nil:
			l.expectLoss(x) // its grant may be still to come
			s.release(x.GetLock(), l, x.GetToken(), nil)
		case sure:
			s.release(x.GetLock(), l, x.GetToken(), nil)
		}
	}
}

// expectLoss remembers that a token is no good whose grant has not arrived.
func (l *lock) expectLoss(x *dlmv1.Loss) {
	l.lost = append(l.lost, x)
	if len(l.lost) > maxLost {
		l.lost = slices.Delete(l.lost, 0, 1)
	}
}

// maxLost: of one pending acquire at most one grant can be lost; the rest are old notices.
const maxLost = 16
