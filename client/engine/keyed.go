package engine

import (
	"encoding/binary"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// Opens and attaches: what is identified by a key of 16 random bytes instead of a sequence.

func (e *Engine) newKey() []byte {
	key := make([]byte, 16)
	binary.BigEndian.PutUint64(key, e.rng.Uint64())
	binary.BigEndian.PutUint64(key[8:], e.rng.Uint64())
	return key
}

func (e *Engine) submitKeyed(r *request) {
	r.class = classKeyed
	r.size = opSize(r.op) + 512 // a label
	e.keyed[string(r.key)] = r
	e.makeReady(r)
}

// SessionOptions is what a session is opened with.
type SessionOptions struct {
	// TTL is how long the session outlives its last renewal; 0 = the cluster's default.
	TTL time.Duration
	// Label tells operators who this is. May be empty.
	Label string
	// ConfirmByHand: a revoke of a hold is confirmed only by Unlock or CloseSession, when the application has stopped what
	// it did under the lock; until then (at most until the lease as of the revoke ends) nobody else is granted the lock.
	// The session's next Lock of that name waits for it too. Otherwise a revoke is confirmed as soon as it is heard of.
	ConfirmByHand bool
}

func openOp(key []byte, o SessionOptions) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{
		Key: key, TtlNanos: uint64(max(o.TTL, 0)), Label: o.Label,
	}}}
}

func attachOp(key []byte, replaces uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: key, Replaces: replaces}}}
}

// OpenSession begins a session. Its Completion names the session.
func (e *Engine) OpenSession(now, deadline time.Duration, o SessionOptions) Call {
	c, ok := e.newCall(now, deadline, callOpen, 0)
	if !ok {
		return c.id
	}
	if bad := dlmv1.FirstBad("label", o.Label); bad != "" {
		return e.invalid(c, bad)
	}
	key := e.newKey()
	c.options = o
	c.req = &request{kind: kindOpen, key: key, op: openOp(key, o), call: c}
	e.submitKeyed(c.req)
	return c.id
}

// AttachSession takes a session over as its new and only instance: the former instance is fenced off, its waits are
// cancelled. The holds of the Completion's Answer are held from then on. The caller vouches that the former instance no
// longer acts on them; its own engine learns of the takeover only with its next request. TTL and label stay those that the
// session was opened with.
func (e *Engine) AttachSession(now, deadline time.Duration, session uint64, o SessionOptions) Call {
	c, ok := e.newCall(now, deadline, callAttach, session)
	if !ok {
		return c.id
	}
	c.options = o
	key := e.newKey()
	c.req = &request{kind: kindAttach, key: key, session: session, op: attachOp(key, 0), call: c}
	e.submitKeyed(c.req)
	return c.id
}

// reattach binds a live session to a new connection.
func (s *session) reattach() {
	if s.e.keyed[string(s.key)] == nil {
		s.e.submitKeyed(&request{kind: kindAttach, key: s.key, s: s, session: s.id, op: attachOp(s.key, 0)})
	}
}

// onKeyed takes the answer of an open or an attach.
func (e *Engine) onKeyed(now time.Duration, r *request, a *dlmv1.Answer) {
	if isRefusal(a) {
		e.rekey(r, a.GetReason())
		e.refused(now, r, a.GetReason(), a.GetDetail())
		return
	}
	ok := a.GetReason() == dlmv1.Reason_REASON_OK
	if ok && r.s == nil {
		// For the session's later attaches too: the log knows the key since then at the earliest.
		e.sight(mark{r.firstSent, a.GetStamp()})
	}
	switch {
	case r.s != nil:
		r.s.onReattach(now, r, a)
	case ok && r.call == nil:
		e.dropRequest(r)
		e.newSession(r, a).closeQuietly(now)
	case ok && e.mark.local(a.GetSessionDeadline(), e.driftPPM) <= now:
		e.startOver(now, r, a)
	case ok:
		e.dropRequest(r)
		e.begin(r, a)
	case r.kind == kindAttach && a.GetReason() == dlmv1.Reason_REASON_INSTANCE_FENCED:
		if attach := r.op.GetAttach(); attach.GetReplaces() != a.GetInstance() {
			r.op = attachOp(r.key, a.GetInstance())
			e.makeReady(r)
		}
	default:
		e.dropRequest(r)
		e.complete(r.call, Completion{Session: r.session, Answer: a, Err: answerError(a)})
	}
}

// begin makes a session of the answer.
func (e *Engine) begin(r *request, a *dlmv1.Answer) {
	s := e.newSession(r, a)
	s.byHand = r.call.options.ConfirmByHand
	for _, h := range a.GetHolds() {
		s.adopt(h)
	}
	if s.byHand {
		// Lost under the former instance; the application has not said that it stopped.
		for _, x := range a.GetLosses() {
			s.unconfirmed[x.GetToken()] = true
		}
	}
	s.takeLosses(a.GetLosses(), true)
	e.complete(r.call, Completion{Session: s.id, Answer: a})
}

// rekey makes another open of one that a server refused that cannot take it now. It may refuse for as long as its disk is full, and
// the lease counts from the first sending: in the end a session would be opened whose lease is over before it can be renewed.
// Should another copy of the old one be logged all the same, it makes a session that lapses.
func (e *Engine) rekey(r *request, why dlmv1.Reason) {
	if why != dlmv1.Reason_REASON_DISK_FULL && why != dlmv1.Reason_REASON_OVERLOADED {
		return
	}
	if r.kind != kindOpen || r.state != stateSent || r.call == nil {
		return
	}
	delete(e.keyed, string(r.key))
	r.key, r.sent = e.newKey(), false
	r.op = openOp(r.key, r.call.options)
	e.keyed[string(r.key)] = r
}

// startOver: the answer took so long that the lease it grants is over by our clock. With the same key the lease would
// count from the same first sending again.
func (e *Engine) startOver(now time.Duration, r *request, a *dlmv1.Answer) {
	e.dropRequest(r)
	key := e.newKey()
	again := &request{kind: r.kind, key: key, session: r.session, call: r.call}
	if r.kind == kindOpen {
		e.newSession(r, a).closeQuietly(now)
		again.op = openOp(key, r.call.options)
	} else {
		again.op = attachOp(key, a.GetInstance())
	}
	r.call.req = again
	e.submitKeyed(again)
}

// closeQuietly ends a session that nobody was told of.
func (s *session) closeQuietly(now time.Duration) {
	s.finish(lossError(ErrSessionClosed, "nobody wanted it any more"))
	s.sendClose(now, nil)
}

// onReattach: an attach with the current key changes nothing; its answer tells what was lost meanwhile. Its stamp says
// nothing about when the attach was sent, as it may be an old attach's answer.
func (s *session) onReattach(now time.Duration, r *request, a *dlmv1.Answer) {
	switch {
	case a.GetReason() == dlmv1.Reason_REASON_OK:
		s.e.dropRequest(r)
		s.sized(a)
		s.renewedBy(s.keySent, a)
		s.pump() // the window may have grown
	case a.GetReason() == dlmv1.Reason_REASON_INSTANCE_FENCED && a.GetInstance() < s.instance:
		// A late copy of what this key was told before it replaced that instance: the answer is still to come.
	case endsSession(a) && a.GetInstance() != s.instance:
		s.e.dropRequest(r)
		s.loseBy(now, a)
	default: // nothing that an attach should be answered; the session itself still speaks for itself
		s.e.dropRequest(r)
	}
}
