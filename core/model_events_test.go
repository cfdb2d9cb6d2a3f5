package core_test

import (
	"fmt"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// story follows the events alone. Who holds what, how many wait and which sessions live must come out as in the table.
type story struct {
	sessions map[uint64]uint64 // when it was opened
	holds    map[uint64]told   // by token
	waiting  map[string]int
}

type told struct {
	held
	since uint64
	lost  bool
}

func newStory() *story {
	return &story{sessions: map[uint64]uint64{}, holds: map[uint64]told{}, waiting: map[string]int{}}
}

// entry takes in the events of one entry and compares.
func (s *story) entry(c *core.Core, out core.Output) error {
	for _, e := range out.Events {
		if err := s.event(e, c.Now()); err != nil {
			return fmt.Errorf("event %+v: %w", e, err)
		}
	}
	return s.compare(c)
}

func (s *story) event(e core.Event, now uint64) error {
	mode := dlmv1.Mode_MODE_EXCLUSIVE
	if e.Shared {
		mode = dlmv1.Mode_MODE_SHARED
	}
	h, known := s.holds[e.Token]
	switch e.Kind {
	case core.EventOpened:
		s.sessions[e.Session] = now
	case core.EventEnded:
		if since, ok := s.sessions[e.Session]; !ok || since != e.Since {
			return fmt.Errorf("the session was opened at %d (%v)", since, ok)
		}
		delete(s.sessions, e.Session)
	case core.EventQueued:
		s.waiting[e.Lock]++
	case core.EventGaveUp:
		s.waiting[e.Lock]--
	case core.EventGranted:
		if known {
			return fmt.Errorf("the token is in use")
		}
		if e.Queued {
			s.waiting[e.Lock]--
		}
		s.holds[e.Token] = told{held: held{e.Session, e.Lock, mode}, since: now}
	case core.EventReleased, core.EventLost:
		if !known || h.lost || h.held != (held{e.Session, e.Lock, mode}) || h.since != e.Since {
			return fmt.Errorf("the hold is %+v (%v)", h, known)
		}
		h.lost = true
		s.holds[e.Token] = h
		if e.Kind == core.EventReleased || e.Reason != dlmv1.Reason_REASON_LOCK_REVOKED {
			delete(s.holds, e.Token)
		}
	case core.EventUnblocked:
		if !known || !h.lost {
			return fmt.Errorf("the hold is %+v (%v)", h, known)
		}
		delete(s.holds, e.Token)
	case core.EventTakenOver, core.EventRevoked:
		if _, ok := s.sessions[e.Session]; !ok {
			return fmt.Errorf("there is no such session")
		}
	default:
		return fmt.Errorf("unknown kind")
	}
	return nil
}

func (s *story) compare(c *core.Core) error {
	holds, waiting := 0, 0
	for _, l := range c.Read(&dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{}}}).GetLocks() {
		for _, h := range l.GetHolders() {
			holds++
			if t, ok := s.holds[h.GetToken()]; !ok || t.held != (held{h.GetSession(), l.GetLock(), h.GetMode()}) || t.lost != h.GetRevoked() {
				return fmt.Errorf("%q has the holder %v, the events tell of %+v (%v)", l.GetLock(), h, t, ok)
			}
		}
		waiting += len(l.GetWaiters())
		if n := s.waiting[l.GetLock()]; n != len(l.GetWaiters()) {
			return fmt.Errorf("%q has %d waiters, the events tell of %d", l.GetLock(), len(l.GetWaiters()), n)
		}
	}
	if holds != len(s.holds) {
		return fmt.Errorf("there are %d holds, the events tell of %d", holds, len(s.holds))
	}
	sessions := c.Read(&dlmv1.Read{Op: &dlmv1.Read_ListSessions{ListSessions: &dlmv1.ListSessions{}}}).GetSessions()
	if len(sessions) != len(s.sessions) {
		return fmt.Errorf("there are %d sessions, the events tell of %d", len(sessions), len(s.sessions))
	}
	return nil
}
