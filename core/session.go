package core

import (
	"fmt"

	dlmv1 "dlm/api/dlm/v1"
)

const (
	// lossesKept is how many involuntary losses a session remembers, to say why a token is no longer good.
	lossesKept = 16
	// endedKept is how many ended sessions are remembered with their reason.
	endedKept = 4096
)

type key [16]byte

// toKey copies a key; one of another length gives a key that only looks like one: callers check the length.
func toKey(b []byte) (k key) {
	copy(k[:], b)
	return k
}

// session is a client's lease and everything that ends with it.
type session struct {
	id       uint64
	instance uint64 // >= 1, one more with each takeover
	ttl      uint64
	opened   uint64
	label    string

	openKey    key    // sessionTable.byKey finds the session by it as long as it lives
	openDigest uint64 // of its Open
	openAnswer *dlmv1.Answer
	key        key // of the current instance

	deadline uint64 // stamp; never goes back
	timer    deadline

	window window
	holds  list[hold, holdInSession]     // in order of token
	waits  list[waiter, waiterInSession] // in order of id
	losses []*dlmv1.Loss                 // the last lossesKept, oldest first

	unconfirmed int         // revoked holds in holds
	unblocked   []unblocked // by token; what is over may be among them
	revoked     bool        // by RevokeSession: it cannot be renewed and does nothing any more but end
	ended       bool        // it is in no table any more
	mark        uint32      // see Image
	why         string

	link node[session]
}

// sessionTable holds the open sessions, and the memory of those that ended.
type sessionTable struct {
	byID  map[uint64]*session
	byKey map[key]*session
	order list[session, sessionInOrder] // by id

	last    uint64         // id given out last
	ended   []endedSession // the last endedKept in the order they ended; full: a ring that begins at oldest
	oldest  int
	reasons map[uint64]dlmv1.Reason // of ended
}

type endedSession struct {
	id     uint64
	reason dlmv1.Reason
}

func newSessionTable() sessionTable {
	return sessionTable{
		byID: map[uint64]*session{}, byKey: map[key]*session{}, reasons: map[uint64]dlmv1.Reason{},
	}
}

func (t *sessionTable) add(s *session) {
	t.byID[s.id] = s
	t.byKey[s.openKey] = s
	t.order.push(s)
}

func (t *sessionTable) remove(s *session, reason dlmv1.Reason) {
	delete(t.byID, s.id)
	delete(t.byKey, s.openKey)
	t.order.remove(s)
	t.remember(endedSession{s.id, reason})
}

func (t *sessionTable) remember(e endedSession) {
	t.reasons[e.id] = e.reason
	if len(t.ended) < endedKept {
		t.ended = append(t.ended, e)
		return
	}
	delete(t.reasons, t.ended[t.oldest].id)
	t.ended[t.oldest] = e
	t.oldest = (t.oldest + 1) % endedKept
}

// gone says why there is no session of that id.
func (t *sessionTable) gone(id uint64) refusal {
	if reason, ok := t.reasons[id]; ok {
		return refusal{reason: reason, detail: "the session has ended"}
	}
	if id != 0 && id <= t.last {
		return refusal{reason: dlmv1.Reason_REASON_SESSION_ENDED, detail: "the session ended long ago, or with the cluster that was here before a restore or a wiped disk"}
	}
	return refusal{reason: dlmv1.Reason_REASON_NO_SESSION, detail: "there never was such a session"}
}

// open applies an Open. It is not recorded in any window: its key identifies it.
func (c *Core) open(r *dlmv1.Request, op *dlmv1.Open) *dlmv1.Answer {
	f := c.checkOp(r)
	if f.reason == dlmv1.Reason_REASON_OK {
		if s := c.sessions.byKey[toKey(op.Key)]; s != nil {
			if s.openDigest == digestOpen(op) {
				return s.openAnswer
			}
			f = reused()
		} else if n := uint64(len(c.sessions.byID)); n >= c.limits.Sessions {
			f = refusal{
				reason: dlmv1.Reason_REASON_LIMIT, limit: c.limits.Sessions,
				detail: fmt.Sprintf("%d sessions are open, at most %d may be", n, c.limits.Sessions),
			}
		}
	}
	if f.reason != dlmv1.Reason_REASON_OK {
		a := c.refuse(nil, r, f)
		a.Session, a.Sequence = 0, 0
		a.Key = append([]byte(nil), op.GetKey()...)
		return a
	}
	c.sessions.last++
	s := &session{
		id: c.sessions.last, instance: 1, ttl: op.TtlNanos, opened: c.now, label: op.Label,
		openKey: toKey(op.Key), openDigest: digestOpen(op), key: toKey(op.Key), mark: c.imageMark,
	}
	if s.ttl == 0 {
		s.ttl = c.limits.DefaultTtlNanos
	}
	s.window.size = c.limits.Window
	s.timer = deadline{kind: dueSession, id: s.id, owner: s}
	c.sessions.add(s)
	c.event(Event{Kind: EventOpened, Session: s.id, Why: s.label})
	c.renew(s)
	a := c.reply(s, 0, dlmv1.Reason_REASON_OK)
	a.Key = append([]byte(nil), op.Key...)
	a.Instance, a.TtlNanos, a.NextSequence, a.Limit = s.instance, s.ttl, 1, s.window.size
	s.openAnswer = a
	return a
}

// renew begins the session's TTL anew. A revoked session runs out.
func (c *Core) renew(s *session) {
	if s.revoked {
		return
	}
	s.deadline = max(s.deadline, c.after(s.ttl))
	c.deadlines.set(&s.timer, s.deadline)
}

// attach applies an Attach. It is not recorded: with the current key it changes nothing, with a former one it is refused.
func (c *Core) attach(r *dlmv1.Request, op *dlmv1.Attach) *dlmv1.Answer {
	s := c.sessions.byID[r.Session]
	var f refusal
	switch {
	case s == nil:
		f = c.sessions.gone(r.Session)
	case s.revoked:
		f = refusal{reason: dlmv1.Reason_REASON_SESSION_REVOKED, detail: s.why}
	default:
		f = c.checkOp(r)
	}
	if f.reason == dlmv1.Reason_REASON_OK && toKey(op.Key) != s.key {
		if op.Replaces != s.instance {
			f = fenced(s)
		} else {
			c.takeOver(s, toKey(op.Key))
		}
	}
	if f.reason != dlmv1.Reason_REASON_OK {
		a := c.refuse(s, r, f)
		a.Sequence = 0
		a.Key = append([]byte(nil), op.GetKey()...)
		return a
	}
	c.preserveSession(s)
	s.forgetUnblocked(c.now)
	a := c.reply(s, 0, dlmv1.Reason_REASON_OK)
	a.Key = append([]byte(nil), op.Key...)
	a.Instance, a.TtlNanos, a.NextSequence, a.Limit = s.instance, s.ttl, s.window.highest+1, s.window.size
	for h := range s.holds.all() {
		if !h.revoked {
			a.Holds = append(a.Holds, &dlmv1.Hold{Lock: h.lock.name, Mode: h.mode, Token: h.token, HoldDeadline: h.deadline()})
		}
	}
	a.Losses = s.unconfirmedLosses()
	return a
}

// takeOver makes the sender of key the session's only instance.
func (c *Core) takeOver(s *session, k key) {
	c.preserveSession(s)
	s.instance++
	s.key = k
	c.event(Event{Kind: EventTakenOver, Session: s.id})
	c.renew(s)
	f := fenced(s)
	for w := range s.waits.all() {
		a := c.no(s, w.sequence, f)
		c.dequeue(w, f.reason)
		c.emit(a)
	}
	s.window.reset()
}

func (s *session) remember(l *dlmv1.Loss) {
	if len(s.losses) == lossesKept {
		copy(s.losses, s.losses[1:])
		s.losses = s.losses[:lossesKept-1]
	}
	s.losses = append(s.losses, l)
}

func (c *Core) keepAlive(s *session, seq uint64) *dlmv1.Answer {
	a := c.reply(s, seq, dlmv1.Reason_REASON_OK)
	a.Losses = s.unconfirmedLosses()
	return a
}

func (c *Core) closeSession(s *session, seq uint64) *dlmv1.Answer {
	a := c.reply(s, seq, dlmv1.Reason_REASON_OK)
	c.end(s, dlmv1.Reason_REASON_SESSION_CLOSED)
	return a
}

// due ends the session: its lease is over.
func (s *session) due(c *Core) {
	if s.revoked {
		c.end(s, dlmv1.Reason_REASON_SESSION_REVOKED)
		return
	}
	c.end(s, dlmv1.Reason_REASON_SESSION_EXPIRED)
}

// end takes the session out of everything. Its places in queues go first, so that none of its own holds is granted to
// it once more on the way.
func (c *Core) end(s *session, reason dlmv1.Reason) {
	c.removesSession(s)
	s.ended = true
	c.deadlines.remove(&s.timer)
	c.sessions.remove(s, reason)
	for w := range s.waits.all() {
		a := c.no(s, w.sequence, refusal{reason: reason, detail: "the session has ended"})
		a.SessionDeadline = 0
		c.dequeue(w, reason)
		c.emit(a)
	}
	for h := range s.holds.all() {
		switch {
		case h.revoked: // lost before
		case reason == dlmv1.Reason_REASON_SESSION_CLOSED:
			c.holdEvent(EventReleased, h, dlmv1.Reason_REASON_OK, 0)
		default:
			c.holdEvent(EventLost, h, reason, 0)
		}
		involuntary := h.revoked || reason != dlmv1.Reason_REASON_SESSION_CLOSED
		c.drop(h, involuntary)
	}
	c.event(Event{Kind: EventEnded, Reason: reason, Session: s.id, Since: s.opened, Why: s.why})
	if reason != dlmv1.Reason_REASON_SESSION_CLOSED {
		c.notifySessionLost(s, reason)
	}
}

func (c *Core) notifySessionLost(s *session, reason dlmv1.Reason) {
	c.notify(&dlmv1.Notice{
		Kind: dlmv1.Notice_KIND_SESSION_LOST, Session: s.id, Stamp: c.now, Reason: reason, Why: s.why,
	})
}
