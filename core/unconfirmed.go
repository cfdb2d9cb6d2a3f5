package core

import (
	"cmp"
	"slices"

	dlmv1 "dlm/api/dlm/v1"
)

// unblocked is a hold that was revoked at once: its lock has moved on, and its client may believe in it still. It is named
// to the client until the client has confirmed, or until its lease as of the revoke has ended. By then the client has
// stopped by itself: no answer has prolonged its lease without naming the hold.
//
// It counts among the locks that the session may hold, and so its list is bounded (G10).
type unblocked struct {
	lock  string
	token uint64
	why   string
	until uint64 // stamp: the lease as of the revoke, or the end of the hold limit
}

func (u *unblocked) loss() *dlmv1.Loss {
	return &dlmv1.Loss{Lock: u.lock, Token: u.token, Reason: dlmv1.Reason_REASON_LOCK_REVOKED, Why: u.why}
}

// forgetUnblocked drops those that the client no longer believes in by itself. It comes before every use of the list, so
// that no deadline of its own has to be kept.
func (s *session) forgetUnblocked(now uint64) {
	if len(s.unblocked) > 0 {
		s.unblocked = slices.DeleteFunc(s.unblocked, func(u unblocked) bool { return u.until <= now })
	}
}

// unblock notes that a revoked hold is about to lose its block, with nobody having confirmed.
func (s *session) unblock(h *hold, now uint64) {
	s.forgetUnblocked(now)
	at, _ := s.findUnblocked(h.token)
	s.unblocked = slices.Insert(s.unblocked, at, unblocked{lock: h.lock.name, token: h.token, why: h.why(), until: h.deadline()})
}

func (s *session) findUnblocked(token uint64) (int, bool) {
	return slices.BinarySearchFunc(s.unblocked, token, func(u unblocked, token uint64) int { return cmp.Compare(u.token, token) })
}

// revokedAtOnce is the hold under (lock, token) if its lock has moved on and the client has not confirmed; or nil.
func (s *session) revokedAtOnce(lock string, token uint64) *unblocked {
	if at, ok := s.findUnblocked(token); ok && s.unblocked[at].lock == lock {
		return &s.unblocked[at]
	}
	return nil
}

// confirm takes the client's word that it believes in the hold no longer.
func (s *session) confirm(lock string, token uint64) {
	if s.revokedAtOnce(lock, token) != nil {
		s.unblocked = slices.DeleteFunc(s.unblocked, func(u unblocked) bool { return u.token == token })
	}
}

// unconfirmedLosses lists the session's revoked holds that its client has not confirmed, by token: those that still block
// their locks, and those whose locks have moved on.
func (s *session) unconfirmedLosses() []*dlmv1.Loss {
	n := s.unconfirmed + len(s.unblocked)
	if n == 0 {
		return nil
	}
	losses := make([]*dlmv1.Loss, 0, n)
	for h := range s.holds.all() {
		if h.revoked {
			losses = append(losses, h.loss(dlmv1.Reason_REASON_LOCK_REVOKED))
		}
	}
	for i := range s.unblocked {
		losses = append(losses, s.unblocked[i].loss())
	}
	slices.SortFunc(losses, func(a, b *dlmv1.Loss) int { return cmp.Compare(a.Token, b.Token) })
	return losses
}

func checkUnblocked(c *Core, s *session) error {
	token := uint64(0)
	for _, u := range s.unblocked {
		if u.token <= token || u.token > c.lastToken || u.until == 0 || u.until > s.deadline {
			return broken("session %d: the unblocked hold %d comes after %d, until %d; the session ends at %d",
				s.id, u.token, token, u.until, s.deadline)
		}
		for h := range s.holds.all() {
			if h.token == u.token {
				return broken("session %d: hold %d is unblocked and blocks", s.id, u.token)
			}
		}
		token = u.token
	}
	return nil
}
