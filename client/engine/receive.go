package engine

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// Receive takes a frame. Frames of connections that the engine has given up are ignored: whatever they answer is asked
// again on the next one.
func (e *Engine) Receive(now time.Duration, conn uint64, f *dlmv1.ServerFrame) {
	now = e.advance(now)
	if conn != e.link.conn || (e.link.state != linkGreeting && e.link.state != linkUp) {
		return
	}
	if f.GetHello() != nil {
		e.hello(now, f.GetHello())
	}
	if e.link.state != linkUp {
		return // nothing was asked here yet
	}
	e.link.silent = false
	for _, a := range f.GetAnswers() {
		e.onAnswer(now, a)
	}
	for _, a := range f.GetReads() {
		e.onRead(now, a)
	}
	for _, n := range f.GetNotices() {
		e.onNotice(now, n)
	}
	e.endRound(now)
}

// isRefusal: the answer is not the request's result; the same request may succeed later or elsewhere.
func isRefusal(a *dlmv1.Answer) bool {
	switch a.GetReason() {
	case dlmv1.Reason_REASON_NOT_LEADER, dlmv1.Reason_REASON_OVERLOADED, dlmv1.Reason_REASON_UNAVAILABLE,
		dlmv1.Reason_REASON_WINDOW_FULL:
		return true
	case dlmv1.Reason_REASON_INVALID, dlmv1.Reason_REASON_UNSUPPORTED:
		return false
	}
	return a.GetIndex() == 0
}

// endsSession: the answer, a logged one, says that the session is no longer ours.
func endsSession(a *dlmv1.Answer) bool {
	switch a.GetReason() {
	case dlmv1.Reason_REASON_NO_SESSION, dlmv1.Reason_REASON_SESSION_ENDED, dlmv1.Reason_REASON_SESSION_EXPIRED,
		dlmv1.Reason_REASON_SESSION_CLOSED, dlmv1.Reason_REASON_SESSION_REVOKED, dlmv1.Reason_REASON_INSTANCE_FENCED:
		return a.GetIndex() != 0
	}
	return false
}

// loseBy ends the session because the server says so. A revoke is confirmed by closing, unless that is left to the
// application: then the lease ends it.
func (s *session) loseBy(now time.Duration, a *dlmv1.Answer) {
	s.lose(now, lossError(answerError(a), ""), a.GetReason() == dlmv1.Reason_REASON_SESSION_REVOKED && !s.byHand)
}

// sight keeps the mark if it is the best.
func (e *Engine) sight(m mark) {
	if m.better(e.mark, e.driftPPM) {
		e.mark = m
	}
}

func (e *Engine) onAnswer(now time.Duration, a *dlmv1.Answer) {
	if !isRefusal(a) {
		e.link.backoff.reset()
	}
	if len(a.GetKey()) > 0 {
		if r := e.keyed[string(a.GetKey())]; r != nil {
			e.onKeyed(now, r, a)
		}
		return
	}
	if s := e.sessions[a.GetSession()]; s != nil {
		s.onAnswer(now, a)
	}
}

func (s *session) onAnswer(now time.Duration, a *dlmv1.Answer) {
	r := s.open.find(a.GetSequence())
	if r != nil && !r.sent {
		return // it can only be an answer to another instance's request
	}
	if a.GetReason() == dlmv1.Reason_REASON_WINDOW_FULL && a.GetLimit() > 0 {
		// Only who knows its size says precisely enough what is awaited; or else nothing more would ever fit.
		s.window = min(s.window, int(min(a.GetLimit(), maxWindow)))
	}
	if isRefusal(a) {
		if r != nil {
			s.e.refused(now, r, a.GetReason(), a.GetDetail())
		}
		return
	}
	if a.GetReason() == dlmv1.Reason_REASON_INSTANCE_FENCED && a.GetInstance() <= s.instance {
		return // meant for an instance before us, whose sequences were the same
	}
	if s.err != nil { // only the Close is left
		if r != nil && r.kind == kindClose {
			s.onClosed(r, a)
		}
		return
	}
	if endsSession(a) {
		s.loseBy(now, a)
		return
	}
	s.saw(a)
	if r == nil {
		s.onFormer(a)
		return
	}
	if a.GetIndex() != 0 {
		s.e.sight(mark{r.firstSent, a.GetStamp()})
	}
	s.e.answered(now, r)
	s.remove(r)
	s.settle(now, r, a)
	s.pump()
}

// saw notes that the server knows the sequence.
func (s *session) saw(a *dlmv1.Answer) {
	if a.GetIndex() != 0 && a.GetSequence() < s.next {
		s.acked = max(s.acked, a.GetSequence())
	}
}

// onFormer uses the late answer of a keep-alive that is no longer awaited.
func (s *session) onFormer(a *dlmv1.Answer) {
	for _, k := range s.former {
		if k.sequence == a.GetSequence() && a.GetReason() == dlmv1.Reason_REASON_OK {
			s.e.sight(mark{k.firstSent, a.GetStamp()})
			s.renewedBy(k.firstSent, a)
		}
	}
	s.pump()
}

// settle hands a result to the request's owner.
func (s *session) settle(now time.Duration, r *request, a *dlmv1.Answer) {
	switch r.kind {
	case kindKeepAlive:
		if a.GetReason() == dlmv1.Reason_REASON_OK {
			s.renewedBy(r.firstSent, a)
		} else {
			s.e.timers.arm(&s.keep, s, now+s.keepAlivePatience())
		}
	case kindAcquire:
		s.onAcquired(now, r, a)
	case kindCancel:
		s.onCancelled(now, r, a)
	case kindRelease:
		s.onReleased(now, r, a)
	default:
		s.onOther(now, r, a)
	}
}

func (s *session) onClosed(r *request, a *dlmv1.Answer) {
	err := answerError(a)
	if a.GetReason() == dlmv1.Reason_REASON_SESSION_CLOSED {
		err = nil // by an earlier copy of this request
	}
	s.forget()
	s.e.complete(r.call, Completion{Session: s.id, Answer: a, Err: err})
}

// onOther: renew, append, delete and what operators do.
func (s *session) onOther(now time.Duration, r *request, a *dlmv1.Answer) {
	lock, token := heldBy(r.op)
	h := s.holds[token]
	if h != nil && h.lock.name == lock {
		switch a.GetReason() {
		case dlmv1.Reason_REASON_LOCK_REVOKED:
			s.revoked(h, lossError(answerError(a), ""))
		case dlmv1.Reason_REASON_STALE_TOKEN, dlmv1.Reason_REASON_HOLD_LIMIT:
			s.endHold(h, lossError(answerError(a), ""))
		default:
			h.renewed(s.e, r, a)
		}
	}
	s.e.complete(r.call, Completion{Session: s.id, Answer: a, Err: answerError(a)})
}

func (e *Engine) onRead(now time.Duration, a *dlmv1.ReadAnswer) {
	r := e.reads[a.GetId()]
	if r == nil || !r.sent {
		return
	}
	switch a.GetReason() {
	case dlmv1.Reason_REASON_NOT_LEADER, dlmv1.Reason_REASON_OVERLOADED, dlmv1.Reason_REASON_UNAVAILABLE:
		e.refused(now, r, a.GetReason(), a.GetDetail())
		return
	}
	e.link.backoff.reset()
	e.answered(now, r)
	e.dropRequest(r)
	done := Completion{Read: a}
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		done.Err = &Error{Reason: a.GetReason(), Detail: a.GetDetail()}
	}
	e.complete(r.call, done)
}

// onNotice takes a hint. Nothing may depend on its coming.
func (e *Engine) onNotice(now time.Duration, n *dlmv1.Notice) {
	s := e.sessions[n.GetSession()]
	if s == nil || s.err != nil {
		return
	}
	switch n.GetKind() {
	case dlmv1.Notice_KIND_QUEUED:
		s.onQueued(now, n)
	case dlmv1.Notice_KIND_CONTENDED:
		if h := s.holds[n.GetToken()]; h != nil && h.lock.name == n.GetLock() {
			e.event(Event{Kind: EventContended, Session: s.id, Lock: n.GetLock(), Token: n.GetToken()})
		}
	case dlmv1.Notice_KIND_LOCK_LOST:
		s.takeLosses([]*dlmv1.Loss{{
			Lock: n.GetLock(), Token: n.GetToken(), Reason: n.GetReason(), Why: n.GetWhy(),
		}}, false)
	case dlmv1.Notice_KIND_SESSION_LOST:
		if n.GetReason() == dlmv1.Reason_REASON_INSTANCE_FENCED {
			s.wantKeepAlive() // it may speak of the instance before us: ask
			return
		}
		why := &Error{Reason: n.GetReason(), Detail: n.GetWhy()}
		s.lose(now, lossError(why, ""), n.GetReason() == dlmv1.Reason_REASON_SESSION_REVOKED && !s.byHand)
	}
}

func (s *session) onQueued(now time.Duration, n *dlmv1.Notice) {
	r := s.open.find(n.GetSequence())
	if r == nil || r.kind != kindAcquire || !r.sent {
		return
	}
	s.acked = max(s.acked, r.sequence)
	s.e.answered(now, r)
	s.e.landed(r)
	if r.cancel == nil && r.state != stateReady {
		if !r.queued && r.call != nil {
			s.e.event(Event{Kind: EventQueued, Session: s.id, Lock: r.lock.name, Call: r.call.id})
		}
		r.queued, r.state = true, stateSent
		q := s.e.cfg.QueuedRetry
		s.e.timers.arm(&r.timer, r, now+uniform(s.e.rng, q-q/4, q+q/4))
	}
	s.pump()
}
