package engine

import (
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// session is one session of which this engine is the instance.
type session struct {
	e        *Engine
	id       uint64
	instance uint64
	key      []byte        // of this instance
	keySent  time.Duration // when the key was first handed over
	ttl      time.Duration
	err      error // why it is over; nil = live. Then only its Close may still be open

	// next is the next sequence; acked is the highest one that the server is known to have seen. open are the awaited
	// requests. Each is admitted only if both its number and its distance from acked fit.
	next, acked uint64
	window      int // how many the server lets it await
	open        awaited
	waiting     [classes][]*request

	// deadline is the latest one that came with a list of losses, or from before there were holds: see renewedBy.
	deadline  uint64
	lapse     timer
	renewed   time.Duration // first sending of the latest answered renewal
	keep      timer
	keepDue   bool
	keepAlive *request // the one that is unanswered
	former    []oldKeepAlive

	locks    map[string]*lock
	holds    map[uint64]*hold    // live ones, by token
	releases map[uint64]*request // unanswered ones, by token

	byHand      bool            // SessionOptions.ConfirmByHand
	unconfirmed map[uint64]bool // revoked tokens that the application has not confirmed
}

// oldKeepAlive is one that a newer has replaced; its answer may still come and count.
type oldKeepAlive struct {
	sequence  uint64
	firstSent time.Duration
}

const maxFormer = 8

func (e *Engine) newSession(r *request, a *dlmv1.Answer) *session {
	s := &session{
		e: e, id: a.GetSession(), instance: a.GetInstance(), key: r.key, keySent: r.firstSent,
		ttl:  time.Duration(min(a.GetTtlNanos(), farAway)),
		next: max(a.GetNextSequence(), 1), acked: max(a.GetNextSequence(), 1) - 1,
		deadline: a.GetSessionDeadline(), renewed: r.firstSent,
		locks: map[string]*lock{}, holds: map[uint64]*hold{}, releases: map[uint64]*request{},
		unconfirmed: map[uint64]bool{},
	}
	s.sized(a)
	if old := e.sessions[s.id]; old != nil {
		old.lose(e.now, lossError(ErrFenced, "by this engine itself"), false)
		delete(e.sessions, s.id)
	}
	e.ended.remove(s.id)
	e.sessions[s.id] = s
	s.armLapse()
	s.armKeep()
	return s
}

func (s *session) leaseEnd() time.Duration { return s.e.mark.local(s.deadline, s.e.driftPPM) }

func (s *session) armLapse() { s.e.timers.arm(&s.lapse, s, s.leaseEnd()) }

// armKeep sets the time of the next keep-alive: TTL/3 after the first sending of the last renewal that was answered, a
// little earlier at random, so that sessions opened together do not stay together.
func (s *session) armKeep() {
	third := s.ttl / 3
	s.e.timers.arm(&s.keep, s, s.renewed+uniform(s.e.rng, third-third/10, third))
}

func (s *session) expire(e *Engine, now time.Duration, t *timer) {
	switch {
	case t == &s.keep:
		s.wantKeepAlive()
	case s.err != nil: // its Close got its chance
		if open := s.open.all(); len(open) > 0 && open[0].call != nil {
			e.timers.arm(&s.lapse, s, now+s.ttl)
			return
		}
		s.forget()
	case now < s.leaseEnd():
		s.armLapse() // renewed meanwhile
	default:
		s.lose(now, lossError(ErrExpired, "no renewal was answered within the lease"), true)
	}
}

// ---------------------------------------------------------------------------------------------------------------------
// Window

// limit is how many requests may be awaited before another of this class: keep-alives may always go, and what gives
// something back never waits for what asks for something.
func (s *session) limit(c class) int {
	reserve := max(1, min(16, s.window/8))
	switch c {
	case classUrgent:
		return s.window
	case classGiveBack:
		return max(1, s.window-reserve)
	}
	return max(1, s.window-2*reserve)
}

// sized takes the window from the answer of an open or an attach; a server that does not name it has that of its hello.
func (s *session) sized(a *dlmv1.Answer) {
	s.window = s.e.window
	if a.GetLimit() > 0 {
		s.window = int(min(a.GetLimit(), maxWindow))
	}
}

func (s *session) room(c class) bool {
	limit := s.limit(c)
	return s.open.count < limit && s.next <= s.acked+uint64(limit)
}

// submit sends a request as soon as the window has room for it, in order within its class.
func (s *session) submit(r *request) {
	r.s = s
	r.size = opSize(r.op)
	if r.class == classOrdinary && r.size >= s.e.cfg.LargeBytes {
		r.class = classLarge
	}
	if len(s.waiting[r.class]) == 0 && s.room(r.class) {
		s.admit(r)
		return
	}
	s.waiting[r.class] = append(s.waiting[r.class], r)
	s.probe()
}

func (s *session) admit(r *request) {
	r.sequence = s.next
	s.next++
	s.open.add(r)
	s.e.makeReady(r)
}

// pump admits what waits for room.
func (s *session) pump() {
	for c := range s.waiting {
		for len(s.waiting[c]) > 0 && s.room(class(c)) {
			r := s.waiting[c][0]
			s.waiting[c][0] = nil
			s.waiting[c] = s.waiting[c][1:]
			s.admit(r)
		}
		if len(s.waiting[c]) > 0 {
			s.probe()
		}
	}
}

// probe asks the server how far it has come, when sequences that were given up stand in the way: nothing else would ever
// be answered then.
func (s *session) probe() {
	if s.err == nil && s.keepAlive == nil && s.next > s.acked+uint64(s.limit(classOrdinary)) {
		s.wantKeepAlive()
	}
}

// remove ends a request: its answer is not awaited any more.
func (s *session) remove(r *request) {
	if r.state == stateDone {
		return
	}
	waiting := r.state == stateWaiting
	s.e.end(r)
	if waiting {
		s.waiting[r.class] = slices.DeleteFunc(s.waiting[r.class], func(o *request) bool { return o == r })
		return
	}
	s.open.remove(r.sequence)
	if s.keepAlive == r {
		s.keepAlive = nil
	}
	s.pump()
}

// awaits says which sequences are still awaited. Up to half of the free window may be taken by those that are not.
func (s *session) awaits(r *request) (watermark uint64, listed []uint64) {
	return s.open.watermark(r.sequence, uint64(max(0, s.window-s.open.count)/2))
}

// requeue: the connection is gone.
func (s *session) requeue() {
	for _, r := range s.open.all() {
		switch {
		case r == s.keepAlive:
			s.wantKeepAlive()
		case r.state == stateSent && r.cancel == nil:
			r.queued = false
			s.e.makeReady(r)
		}
	}
}

// ---------------------------------------------------------------------------------------------------------------------
// Keep-alives

func (s *session) wantKeepAlive() {
	if s.keepDue || s.err != nil {
		return
	}
	s.keepDue = true
	s.e.timers.disarm(&s.keep)
	s.e.keepDue = append(s.e.keepDue, s)
}

// sendKeepAlive makes a new keep-alive of a new sequence, so that the lease counts from now; the former one is no longer
// awaited. Only when there is no sequence left within the window is the former sent again.
func (s *session) sendKeepAlive(now time.Duration) {
	s.keepDue = false
	former := s.keepAlive
	if s.next > s.acked+uint64(s.limit(classUrgent)) {
		if former == nil {
			s.e.timers.arm(&s.keep, s, now+max(s.ttl/6, 1))
			return
		}
		s.e.makeReady(former)
		return
	}
	if former != nil {
		if former.sent {
			s.former = append(s.former, oldKeepAlive{former.sequence, former.firstSent})
			if len(s.former) > maxFormer {
				s.former = slices.Delete(s.former, 0, 1)
			}
		}
		s.remove(former)
	}
	keepAlive := &request{kind: kindKeepAlive, class: classUrgent, s: s, size: opSize(nil), op: &dlmv1.Request{
		Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}},
	}}
	if former != nil {
		keepAlive.backoff = former.backoff // its refusals count, or a server that is overloaded would be asked ever again
	}
	s.keepAlive = keepAlive
	s.admit(keepAlive)
}

// keepAlivePatience is how long a keep-alive may stay unanswered: several must fit in a lease.
func (s *session) keepAlivePatience() time.Duration {
	return max(min(s.e.cfg.AttemptTimeout, s.ttl/6), time.Millisecond)
}

// renewedBy takes the answer of a renewal: one that lists the losses, or the first of the session.
//
// Other logged requests renew the session as well, but their deadlines must not count: a hold that was revoked blocks
// the lock only until the session's deadline as it was at the revoke, and an answer without a list of losses does not
// say whether that happened. A client that relied on it could say "held" for ever beside the next holder.
func (s *session) renewedBy(firstSent time.Duration, a *dlmv1.Answer) {
	s.takeLosses(a.GetLosses(), true)
	s.deadline = max(s.deadline, a.GetSessionDeadline())
	s.renewed = max(s.renewed, firstSent)
	s.armLapse()
	if s.keepAlive == nil && !s.keepDue {
		s.armKeep()
	}
}

// ---------------------------------------------------------------------------------------------------------------------
// The end

// lose ends the session: all that it had is lost, every call of it ends with the reason.
func (s *session) lose(now time.Duration, why error, sendClose bool) {
	if s.err != nil {
		return
	}
	for _, token := range sortedKeys(s.holds) {
		s.e.event(Event{Kind: EventLockLost, Session: s.id, Lock: s.holds[token].lock.name, Token: token, Err: why})
	}
	s.e.event(Event{Kind: EventSessionLost, Session: s.id, Err: why})
	s.finish(why)
	if sendClose {
		s.sendClose(now, nil)
	} else {
		s.forget()
	}
}

// finish ends everything that the session has under way.
func (s *session) finish(why error) {
	s.err = why
	s.e.ended.add(s.id, why)
	s.e.timers.disarm(&s.keep)
	for _, token := range sortedKeys(s.holds) {
		s.e.timers.disarm(&s.holds[token].timer)
	}
	s.holds = map[uint64]*hold{}
	all := s.open.all()
	for c := range s.waiting {
		all = append(all, s.waiting[c]...)
		s.waiting[c] = nil
	}
	all = append(all, s.e.congestion.of(s)...)
	s.open = awaited{}
	for _, r := range all {
		s.e.end(r)
		s.e.complete(r.call, Completion{Session: s.id, Err: why})
	}
	for _, name := range sortedKeys(s.locks) {
		for _, c := range s.locks[name].queue {
			s.e.complete(c, Completion{Session: s.id, Err: why})
		}
	}
	s.locks, s.releases = map[string]*lock{}, map[uint64]*request{}
	s.keepAlive = nil
	if r := s.e.keyed[string(s.key)]; r != nil && r.s == s {
		s.e.dropRequest(r)
	}
}

// sendClose tells the server, for as long as somebody waits for it, or else until the TTL would have done the same.
func (s *session) sendClose(now time.Duration, c *call) {
	r := &request{kind: kindClose, class: classGiveBack, call: c, s: s, op: &dlmv1.Request{
		Op: &dlmv1.Request_Close{Close: &dlmv1.Close{}},
	}}
	if c != nil {
		c.req = r
	}
	r.size = opSize(r.op)
	s.admit(r)
	s.e.timers.arm(&s.lapse, s, now+max(s.ttl, time.Second))
}

func (s *session) forget() {
	s.e.timers.disarm(&s.lapse)
	for _, r := range s.open.all() {
		s.e.end(r)
	}
	s.open = awaited{}
	if s.e.sessions[s.id] == s {
		delete(s.e.sessions, s.id)
	}
}
