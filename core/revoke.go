package core

import (
	dlmv1 "dlm/api/dlm/v1"
)

// Revoking takes two steps, or else G2 would break: the holder's library says "held" until its lease ends, whatever the
// log says. So the token dies at once, and the lock stays blocked until the holder is known not to believe in it:
//
//	held --revoke--> blocked --release of the token, close, or end of the lease as of the revoke--> (lock-delay) free
//	  |                 |
//	  +---revoke now----+------------------------------------------------------------------------> (lock-delay) free
//
// Until the holder has confirmed, or until that lease has ended, its keep-alives and attaches are answered with the hold,
// also when the lock has moved on: whoever missed the notice learns it from the next renewal.

func (c *Core) revokeOp(s *session, seq uint64, op *dlmv1.Revoke) *dlmv1.Answer {
	l := c.locks.byName[op.Lock]
	var losses []*dlmv1.Loss
	if l != nil {
		for h := range l.holds.all() {
			if (op.Token != 0 && h.token != op.Token) || (h.revoked && !op.Now) {
				continue
			}
			losses = append(losses, c.revoke(h, op.Why, s.id))
		}
		if op.Now {
			c.dropRevoked(l, op.Token)
		}
	}
	if len(losses) == 0 {
		return c.no(s, seq, refusal{
			reason: dlmv1.Reason_REASON_NOT_FOUND, token: c.locks.byName[op.Lock].token(),
			detail: "no hold of that lock and token is there to be revoked",
		})
	}
	a := c.reply(s, seq, dlmv1.Reason_REASON_OK)
	a.Losses = losses
	return a
}

// dropRevoked ends the blocks of a lock's revoked holds (of the one, if token is not 0). They are all marked by then, so
// a grant that the first one makes possible is not taken for one of them.
func (c *Core) dropRevoked(l *lock, token uint64) {
	for h := range l.holds.all() {
		if h.revoked && (token == 0 || h.token == token) {
			c.preserveSession(h.session)
			h.session.unblock(h, c.now)
			c.drop(h, true)
		}
	}
}

// revoke invalidates a hold's token. One that is revoked already stays as it is.
func (c *Core) revoke(h *hold, why string, by uint64) *dlmv1.Loss {
	if h.revoked {
		return h.loss(dlmv1.Reason_REASON_LOCK_REVOKED)
	}
	c.preserveLock(h.lock)
	h.revoked = true
	h.session.unconfirmed++
	until := h.deadline()
	if until == 0 || h.session.deadline < until {
		until = h.session.deadline
	}
	c.endNever(h)
	c.endAt(h, dueBlock, until)
	h.end.why = why
	return c.lost(h, dlmv1.Reason_REASON_LOCK_REVOKED, by)
}

func (c *Core) revokeSessionOp(s *session, seq uint64, op *dlmv1.RevokeSession) *dlmv1.Answer {
	target := c.sessions.byID[op.Session]
	if target == nil || (target.revoked && !op.Now) {
		return c.no(s, seq, refusal{
			reason: dlmv1.Reason_REASON_NOT_FOUND, detail: "no session of that id is there to be revoked",
		})
	}
	if !target.revoked {
		c.revokeSession(target, op.Why, s.id)
	}
	if op.Now {
		c.end(target, dlmv1.Reason_REASON_SESSION_REVOKED)
	} else {
		c.notifySessionLost(target, dlmv1.Reason_REASON_SESSION_REVOKED)
	}
	return c.reply(s, seq, dlmv1.Reason_REASON_OK)
}

// revokeSession makes the session refuse everything but Close. It ends when it is closed, or when its lease ends.
func (c *Core) revokeSession(s *session, why string, by uint64) {
	c.preserveSession(s)
	s.revoked = true
	s.why = why
	c.event(Event{Kind: EventRevoked, Session: s.id, By: by, Why: why})
	for w := range s.waits.all() {
		c.settle(w, c.no(s, w.sequence, refusal{reason: dlmv1.Reason_REASON_SESSION_REVOKED, detail: why}))
		c.dequeue(w, dlmv1.Reason_REASON_SESSION_REVOKED)
	}
	for h := range s.holds.all() {
		if !h.revoked {
			c.revoke(h, why, by)
		}
	}
}
