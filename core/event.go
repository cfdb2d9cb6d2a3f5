package core

import (
	dlmv1 "dlm/api/dlm/v1"
)

// EventKind says what became of a session, an acquire or a hold.
type EventKind uint8

// The kinds, each with the fields that are set beside Kind and Session.
const (
	_              EventKind = iota
	EventOpened              // Why: the session's label
	EventTakenOver           // by another instance
	EventEnded               // Reason, Why; Since: when it was opened
	EventQueued              // Lock, Shared
	EventGaveUp              // Lock, Shared, Reason: an acquire left its queue without a grant; Since: when it was queued
	EventGranted             // Lock, Shared, Token; Queued: it had waited, since Since
	EventReleased            // Lock, Shared, Token; Since: when it was granted
	EventLost                // Lock, Shared, Token, Reason, Why; Since: when it was granted; By: the session that revoked it
	EventUnblocked           // Lock, Shared, Token: a revoked hold, lost before, no longer keeps others out
	EventRevoked             // By, Why: the session was revoked, and ends when its lease does
)

// Event tells of a change that logs, metrics and pictures are made from. Nothing is decided by it.
type Event struct {
	Kind    EventKind
	Reason  dlmv1.Reason
	Shared  bool
	Queued  bool
	Session uint64
	Lock    string
	Token   uint64
	Since   uint64 // stamp
	By      uint64 // session
	ByLabel string // of that session
	Why     string
}

func (c *Core) event(e Event) {
	if e.By != 0 { // rare: every grant comes by here
		if s := c.sessions.byID[e.By]; s != nil {
			e.ByLabel = s.label
		}
	}
	c.events = append(c.events, e)
}

func (c *Core) holdEvent(kind EventKind, h *hold, reason dlmv1.Reason, by uint64) {
	c.event(Event{
		Kind: kind, Reason: reason, Shared: h.mode == dlmv1.Mode_MODE_SHARED, Session: h.session.id,
		Lock: h.lock.name, Token: h.token, Since: h.granted, By: by, Why: h.why(),
	})
}

func (c *Core) waiterEvent(kind EventKind, w *waiter, reason dlmv1.Reason) {
	c.event(Event{
		Kind: kind, Reason: reason, Shared: w.mode == dlmv1.Mode_MODE_SHARED, Session: w.session.id,
		Lock: w.lock.name, Since: w.since,
	})
}
