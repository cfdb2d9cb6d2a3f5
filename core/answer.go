package core

import (
	"math"

	dlmv1 "dlm/api/dlm/v1"
)

// refusal is why a request was not carried out. Reason OK: it was not refused.
type refusal struct {
	reason   dlmv1.Reason
	detail   string
	limit    uint64
	token    uint64
	instance uint64
	byLimits bool // by limits that may be changed: no verdict for good before the log
}

// reply begins the answer to (s, seq). The session's deadline is filled in as it is now.
func (c *Core) reply(s *session, seq uint64, reason dlmv1.Reason) *dlmv1.Answer {
	return &dlmv1.Answer{
		Session: s.id, Sequence: seq, Index: c.index, Stamp: c.now, SessionDeadline: s.deadline, Reason: reason,
	}
}

// refuse answers r with a refusal. s may be nil: the session does not live.
func (c *Core) refuse(s *session, r *dlmv1.Request, f refusal) *dlmv1.Answer {
	a := refused(r, f)
	a.Index, a.Stamp = c.index, c.now
	if s != nil {
		a.SessionDeadline = s.deadline
	}
	return a
}

// refused is an answer with index 0, as if before the log.
func refused(r *dlmv1.Request, f refusal) *dlmv1.Answer {
	return &dlmv1.Answer{
		Session: r.GetSession(), Sequence: r.GetSequence(),
		Reason: f.reason, Detail: f.detail, Limit: f.limit, Token: f.token, Instance: f.instance,
	}
}

// no answers (s, seq) with a refusal.
func (c *Core) no(s *session, seq uint64, f refusal) *dlmv1.Answer {
	a := c.reply(s, seq, f.reason)
	a.Detail, a.Limit, a.Token, a.Instance = f.detail, f.limit, f.token, f.instance
	return a
}

func fenced(s *session) refusal {
	return refusal{
		reason: dlmv1.Reason_REASON_INSTANCE_FENCED, detail: "another instance has attached to the session",
		instance: s.instance,
	}
}

func reused() refusal {
	return refusal{reason: dlmv1.Reason_REASON_SEQUENCE_REUSED, detail: "the same identity was used for a different request"}
}

func (c *Core) emit(a *dlmv1.Answer)   { c.out.Answers = append(c.out.Answers, a) }
func (c *Core) notify(n *dlmv1.Notice) { c.out.Notices = append(c.out.Notices, n) }

// after is the stamp that lies d nanoseconds ahead; it stops at the end of time instead of wrapping around.
func (c *Core) after(d uint64) uint64 {
	if d > math.MaxUint64-c.now {
		return math.MaxUint64
	}
	return c.now + d
}
