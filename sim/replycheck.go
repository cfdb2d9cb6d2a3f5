package sim

import (
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
)

// replyChecker watches what crosses the wire: equal replies to equal requests (G4), that every reply is in the log (G5),
// and that what takes effect after a call began lies behind everything that had been answered by then (G6).
type replyChecker struct {
	w     watcher
	log   *logChecker
	first map[requestID]*dlmv1.Answer
	out   map[requestID]*sending
	acked uint64 // highest log position that a client has had an answer from
}

// requestID is what makes two copies of a request the same request. Two instances of a session count their sequences from
// one number, of which the log accepts only the current one's.
type requestID struct {
	session, instance, sequence uint64
	key                         string // of an open or an attach
}

// idOf: an attach that is told that another instance is there is sent again to replace that one, under the same key.
func idOf(r *dlmv1.Request) requestID {
	return requestID{r.GetSession(), r.GetInstance() + r.GetAttach().GetReplaces(), r.GetSequence(), string(idempotencyKey(r))}
}

// sending is the first time that a request went out.
type sending struct {
	at    time.Duration
	op    uint64 // digest
	lives bool   // it is a keep-alive
}

func newReplyChecker(w watcher) *replyChecker {
	return &replyChecker{w: w, first: map[requestID]*dlmv1.Answer{}, out: map[requestID]*sending{}}
}

// request notes when a request is sent for the first time, and that its copies are equal.
func (c *replyChecker) request(now time.Duration, r *dlmv1.Request) {
	id := idOf(r)
	before := c.out[id]
	if before == nil {
		c.out[id] = &sending{now, hashOp(r), r.GetKeepAlive() != nil}
		return
	}
	if before.op != hashOp(r) {
		c.w.fail("G4", "(%d, %d) is sent for two different operations, now %v", id.session, id.sequence, r)
	}
}

func (c *replyChecker) sent(r *dlmv1.Request) (at time.Duration, op uint64, ok bool) {
	s := c.out[idOf(r)]
	if s == nil {
		return 0, 0, false
	}
	return s.at, s.op, true
}

// answer takes one that has reached a client.
func (c *replyChecker) answer(a *dlmv1.Answer) {
	if a.GetIndex() == 0 {
		c.refused(a)
		return
	}
	c.acked = max(c.acked, a.GetIndex())
	c.w.checked("G5 reply")
	found := false
	for _, logged := range c.log.answers[a.GetIndex()] {
		found = found || proto.Equal(logged, a)
	}
	if !found && !c.log.told(a) {
		c.w.fail("G5", "an answer that the log does not hold at position %d: %v", a.GetIndex(), a)
	}
	if refusal(a) || a.GetSequence() == 0 {
		return // opens and attaches are compared in the log
	}
	id := requestID{session: a.GetSession(), sequence: a.GetSequence()}
	first := c.first[id]
	if first == nil {
		c.first[id] = a
		return
	}
	c.w.checked("G4 reply")
	if !proto.Equal(first, a) {
		c.w.fail("G4", "two answers to (%d, %d): %v and %v", a.GetSession(), a.GetSequence(), first, a)
	}
}

// refused: only these may be said before the log, for any of them leaves the request as if it had never come.
func (c *replyChecker) refused(a *dlmv1.Answer) {
	c.w.checked("G4 reply")
	switch a.GetReason() {
	case dlmv1.Reason_REASON_INVALID, dlmv1.Reason_REASON_UNSUPPORTED, dlmv1.Reason_REASON_NOT_LEADER,
		dlmv1.Reason_REASON_OVERLOADED, dlmv1.Reason_REASON_UNAVAILABLE, dlmv1.Reason_REASON_WINDOW_FULL,
		dlmv1.Reason_REASON_SEQUENCE_REUSED, dlmv1.Reason_REASON_DISK_FULL:
		if a.GetReason() == dlmv1.Reason_REASON_INVALID && a.GetLimit() != 0 && a.GetSequence() != 0 {
			c.w.fail("G4", "(%d, %d) is refused for good by a limit that may be raised, and not in the log: a copy of it could take effect later: %v",
				a.GetSession(), a.GetSequence(), a)
		}
		// The library keeps room for keep-alives in the window that its session was opened with.
		if a.GetReason() == dlmv1.Reason_REASON_WINDOW_FULL && c.keepAlive(a) {
			c.w.fail("L4", "the keep-alive (%d, %d) is refused, for want of room in the window: a client that renews would lose its session: %v",
				a.GetSession(), a.GetSequence(), a)
		}
		if a.GetDetail() == "" {
			c.w.fail("G10", "(%d, %d) is refused with %v and without a word", a.GetSession(), a.GetSequence(), a.GetReason())
		}
	default:
		c.w.fail("G4", "(%d, %d) is answered before the log with what only the log may say: %v", a.GetSession(), a.GetSequence(), a)
	}
}

// keepAlive says whether a sequence of a session was used for a keep-alive and nothing else.
func (c *replyChecker) keepAlive(a *dlmv1.Answer) bool {
	s, only := c.log.session(a.GetSession()), false
	if s == nil {
		return false
	}
	for instance := s.instance; instance > 0; instance-- {
		if x := c.out[requestID{session: s.id, instance: instance, sequence: a.GetSequence()}]; x != nil {
			if !x.lives {
				return false
			}
			only = true
		}
	}
	return only
}

// ended: a call ends with an answer. It took effect after everything that had been answered when the call was made.
func (c *replyChecker) ended(k *call, a *dlmv1.Answer) {
	if a.GetIndex() == 0 {
		return
	}
	c.w.checked("G6 order")
	before := a.GetIndex() <= k.acked
	if a.GetReason() == dlmv1.Reason_REASON_INSTANCE_FENCED {
		before = a.GetIndex() < k.acked // may be said from applied state
	}
	if before && k.asked.op.GetRelease() != nil {
		before = !c.sentBefore(a, k.made) // the engine was giving it back already, and the call has joined
	}
	if before {
		c.w.fail("G6", "a call took effect at position %d, though position %d had been answered before it was made: %v", a.GetIndex(), k.acked, a)
	}
}

// sentBefore says whether the request that is answered went out before a time.
func (c *replyChecker) sentBefore(a *dlmv1.Answer, at time.Duration) bool {
	s := c.log.session(a.GetSession())
	if s == nil {
		return false
	}
	for instance := s.instance; instance > 0; instance-- {
		if x := c.out[requestID{session: s.id, instance: instance, sequence: a.GetSequence()}]; x != nil {
			return x.at < at
		}
	}
	return false
}

// told: two kinds of answers need not lie in the log as they are. The result of a sequence that was cancelled before it
// came is a part of the cancel's; and that an instance was fenced off is never undone, so a server may say it from
// applied state.
func (l *logChecker) told(a *dlmv1.Answer) bool {
	s := l.session(a.GetSession())
	if s == nil {
		return false
	}
	switch a.GetReason() {
	case dlmv1.Reason_REASON_CANCELLED:
		slot := s.slot(a.GetSequence())
		return slot == nil && s.instance > 1 || slot != nil && slot.cancelledAt == a.GetIndex()
	case dlmv1.Reason_REASON_INSTANCE_FENCED:
		for _, t := range s.takeovers {
			if t.instance == a.GetInstance() && t.index <= a.GetIndex() {
				return true
			}
		}
	}
	return false
}
