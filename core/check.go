package core

import (
	"errors"
	"fmt"
	"math"

	dlmv1 "dlm/api/dlm/v1"
)

// ErrInvariant is wrapped by Check's error.
var ErrInvariant = errors.New("core: broken invariant")

// Check verifies every invariant of the state between two entries, in time proportional to it.
func (c *Core) Check() error {
	if err := checkLimits(c.limits); err != nil {
		return broken("%v", err)
	}
	waits, holds := 0, 0
	lastID := uint64(0)
	for s := range c.sessions.order.all() {
		if s.id <= lastID || s.id > c.sessions.last {
			return broken("session %d comes after %d, %d was given out last", s.id, lastID, c.sessions.last)
		}
		lastID = s.id
		if err := c.checkSession(s); err != nil {
			return err
		}
		waits += s.waits.n
		holds += s.holds.n
	}
	for l := range c.locks.order.all() {
		if err := c.checkLockRecord(l); err != nil {
			return err
		}
		waits -= l.waiters.n
		holds -= l.holds.n
	}
	if waits != 0 || holds != 0 {
		return broken("sessions have %d waits and %d holds more than locks", waits, holds)
	}
	if err := c.checkTables(); err != nil {
		return err
	}
	return c.checkDeadlines()
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvariant, fmt.Sprintf(format, args...))
}

func (c *Core) checkTables() error {
	n := c.sessions.order.n
	if len(c.sessions.byID) != n || len(c.sessions.byKey) != n {
		return broken("%d sessions, %d by id, %d by key", n, len(c.sessions.byID), len(c.sessions.byKey))
	}
	if len(c.locks.byName) != c.locks.order.n {
		return broken("%d locks, %d by name", c.locks.order.n, len(c.locks.byName))
	}
	if len(c.files.byName) != c.files.order.n {
		return broken("%d files, %d by name", c.files.order.n, len(c.files.byName))
	}
	if len(c.sessions.reasons) != len(c.sessions.ended) || len(c.sessions.ended) > endedKept {
		return broken("%d ended sessions, %d reasons", len(c.sessions.ended), len(c.sessions.reasons))
	}
	for _, e := range c.sessions.ended {
		if e.id == 0 || e.id > c.sessions.last || c.sessions.byID[e.id] != nil {
			return broken("session %d has ended and has not", e.id)
		}
	}
	last := uint64(0)
	for f := range c.files.order.all() {
		if f.ID <= last || f.ID > c.lastFile {
			return broken("file %d comes after %d, %d was given out last", f.ID, last, c.lastFile)
		}
		if f.Length%FileBlock == 0 && f.TailCRC != 0 {
			return broken("file %d has the tail checksum %08x and no tail", f.ID, f.TailCRC)
		}
		last = f.ID
	}
	return nil
}

func (c *Core) checkSession(s *session) error {
	if s.ended || s.instance == 0 || s.ttl == 0 || s.opened > c.now || len(s.losses) > lossesKept {
		return broken("session %d: ended %v, instance %d, ttl %d, opened %d, losses %d",
			s.id, s.ended, s.instance, s.ttl, s.opened, len(s.losses))
	}
	if s.timer.place == 0 || s.timer.at != s.deadline {
		return broken("session %d ends at %d, its deadline is set to %d", s.id, s.deadline, s.timer.at)
	}
	if s.revoked && s.waits.n != 0 {
		return broken("the revoked session %d waits", s.id)
	}
	if a := s.openAnswer; a == nil || a.Session != s.id || a.Reason != dlmv1.Reason_REASON_OK {
		return broken("session %d has no answer to its open", s.id)
	}
	unconfirmed, token := 0, uint64(0)
	for h := range s.holds.all() {
		if h.session != s || h.token <= token {
			return broken("session %d: hold %d comes after %d", s.id, h.token, token)
		}
		if h.revoked {
			unconfirmed++
		} else if s.revoked {
			return broken("the revoked session %d has the valid hold %d", s.id, h.token)
		}
		token = h.token
	}
	if unconfirmed != s.unconfirmed {
		return broken("session %d: %d revoked holds are counted as %d", s.id, unconfirmed, s.unconfirmed)
	}
	if err := checkUnblocked(c, s); err != nil {
		return err
	}
	return checkSlots(s)
}

func checkSlots(s *session) error {
	if n := uint64(len(s.window.slots())); s.window.size < 1 || s.window.size > maxWindow || n > s.window.size { // G10
		return broken("session %d has %d slots in a window of %d", s.id, n, s.window.size)
	}
	waiting, last := 0, uint64(0)
	for i := range s.window.slots() {
		at := &s.window.slots()[i]
		if at.sequence <= last || at.sequence > s.window.highest {
			return broken("session %d: sequence %d comes after %d, highest is %d", s.id, at.sequence, last, s.window.highest)
		}
		last = at.sequence
		if (at.kind == slotAnswered) != (at.answer != nil) || (at.kind == slotWaiting) != (at.waiter != nil) {
			return broken("session %d: slot %d is of kind %d, answer %v, waiter %v",
				s.id, at.sequence, at.kind, at.answer != nil, at.waiter != nil)
		}
		if at.kind == slotWaiting {
			waiting++
			if at.waiter.session != s || at.waiter.sequence != at.sequence {
				return broken("session %d: slot %d has another's waiter", s.id, at.sequence)
			}
		}
	}
	if waiting != s.waits.n {
		return broken("session %d: %d slots wait, %d places in queues", s.id, waiting, s.waits.n)
	}
	id := uint64(0)
	for w := range s.waits.all() {
		if w.session != s || w.id <= id {
			return broken("session %d: waiter %d comes after %d", s.id, w.id, id)
		}
		id = w.id
	}
	return nil
}

func (c *Core) checkLockRecord(l *lock) error {
	if l.holds.n == 0 && l.waiters.n == 0 && l.delay == nil {
		return broken("the lock %q is free and has a record", l.name)
	}
	if d := l.delay; d != nil && !d.is(dueDelay, d.id, l) {
		return broken("the lock %q has the deadline %v for its lock-delay", l.name, *d)
	}
	token := uint64(0)
	for h := range l.holds.all() {
		if h.lock != l || h.token <= token || h.token > c.lastToken {
			return broken("the lock %q: hold %d comes after %d, %d was given out last", l.name, h.token, token, c.lastToken)
		}
		token = h.token
		if l.holds.n > 1 && h.mode != dlmv1.Mode_MODE_SHARED { // G1
			return broken("the lock %q has %d holds, %d is exclusive", l.name, l.holds.n, h.token)
		}
		if err := checkEnding(h); err != nil {
			return err
		}
	}
	return c.checkQueue(l)
}

func checkEnding(h *hold) error {
	kind := dueHold
	if h.revoked {
		kind = dueBlock
	}
	if h.end == nil && h.revoked || h.end != nil && !h.end.timer.is(kind, h.token, h) {
		return broken("hold %d, revoked %v, ends by %v", h.token, h.revoked, h.end)
	}
	if h.end != nil && h.end.why != "" && !h.revoked {
		return broken("hold %d was not revoked, and yet for the reason %q", h.token, h.end.why)
	}
	if h.revoked && h.deadline() > h.session.deadline {
		return broken("the revoked hold %d blocks until %d, its session ends at %d", h.token, h.deadline(), h.session.deadline)
	}
	return nil
}

func (c *Core) checkQueue(l *lock) error {
	id := uint64(0)
	for w := range l.waiters.all() {
		if w.lock != l || w.id <= id || w.id > c.lastWaiter { // G7
			return broken("the lock %q: waiter %d comes after %d, %d was given out last", l.name, w.id, id, c.lastWaiter)
		}
		id = w.id
		if w.timer != nil && !w.timer.is(dueWait, w.id, w) {
			return broken("waiter %d has the deadline %v", w.id, *w.timer)
		}
	}
	// At the end of time everything is due at once, and nothing is granted any more.
	if w := l.waiters.head(); w != nil && l.delay == nil && l.compatible(w.mode) && c.now != math.MaxUint64 { // L3
		return broken("the lock %q: waiter %d could have been granted", l.name, w.id)
	}
	return nil
}

// is says whether the item is in the heap, of that kind and id, for that owner.
func (d *deadline) is(kind deadlineKind, id uint64, of owner) bool {
	return d.place != 0 && d.at != 0 && d.kind == kind && d.id == id && d.owner == of
}

func (c *Core) checkDeadlines() error {
	for i, d := range c.deadlines.heap {
		if d.place != int32(i+1) || d.key > d.at {
			return broken("deadline %d is at place %d, ordered by %d, due at %d", i, d.place, d.key, d.at)
		}
		if d.at <= c.now && c.now != math.MaxUint64 {
			return broken("something was due at %d, it is %d", d.at, c.now)
		}
		if i > 0 && d.before(c.deadlines.heap[(i-1)/2]) {
			return broken("the heap of deadlines is out of order at %d", i)
		}
	}
	return nil
}
