package core

import (
	"bytes"

	dlmv1 "dlm/api/dlm/v1"
)

// lock is a name that is held, waited for, or in lock-delay. A free lock has no record.
type lock struct {
	name    string
	holds   list[hold, holdInLock]     // in order of token. G1: one exclusive hold, or shared ones only
	waiters list[waiter, waiterInLock] // in order of id. L3: the first cannot be granted now
	delay   *deadline                  // nobody is granted the lock before it; nil = no delay runs
	link    node[lock]
	mark    uint32 // see Image
}

// delayed is the end of the lock-delay that runs; 0 = none does.
func (l *lock) delayed() uint64 { return l.delay.stamp() }

// hold is one session's hold of a lock.
type hold struct {
	lock    *lock
	session *session
	token   uint64
	granted uint64
	terms   *terms  // nil = none
	end     *ending // nil = time alone does not end it
	mode    dlmv1.Mode
	revoked bool // the token is invalid, the lock is blocked until deadline

	inLock, inSession node[hold]
}

// terms are what an acquire asks for besides the lock. Most ask for nothing; then there is no record, which counts as
// zeros.
type terms struct {
	limit uint64 // hold limit; 0 = none
	delay uint64 // lock-delay after an involuntary loss
	value []byte
}

var noTerms terms

func (t *terms) get() *terms {
	if t == nil {
		return &noTerms
	}
	return t
}

// ending is how time alone ends a hold.
type ending struct {
	timer deadline // end of the hold limit, or of the block once it is revoked
	why   string   // of the revoke
}

// deadline is the end of the hold limit, or of the block once it is revoked; 0 = none.
func (h *hold) deadline() uint64 {
	if h.end == nil {
		return 0
	}
	return h.end.timer.at
}

func (h *hold) why() string {
	if h.end == nil {
		return ""
	}
	return h.end.why
}

// waiter is an acquire that waits. Its sequence has a slot of kind slotWaiting in its session's window.
type waiter struct {
	id       uint64
	lock     *lock
	session  *session
	sequence uint64
	since    uint64
	terms    *terms    // nil = none
	timer    *deadline // of the wait timeout; nil = none
	mode     dlmv1.Mode

	inLock, inSession node[waiter]
}

// The lists that there are.
type (
	lockInOrder     struct{}
	sessionInOrder  struct{}
	fileInOrder     struct{}
	holdInLock      struct{}
	holdInSession   struct{}
	waiterInLock    struct{}
	waiterInSession struct{}
)

func (lockInOrder) of(l *lock) *node[lock]          { return &l.link }
func (sessionInOrder) of(s *session) *node[session] { return &s.link }
func (fileInOrder) of(f *file) *node[file]          { return &f.link }
func (holdInLock) of(h *hold) *node[hold]           { return &h.inLock }
func (holdInSession) of(h *hold) *node[hold]        { return &h.inSession }
func (waiterInLock) of(w *waiter) *node[waiter]     { return &w.inLock }
func (waiterInSession) of(w *waiter) *node[waiter]  { return &w.inSession }

// lockTable holds the locks that are not free.
type lockTable struct {
	byName map[string]*lock
	order  list[lock, lockInOrder] // in the order they ceased to be free

	spareLocks   pool[lock]
	spareHolds   pool[hold]
	spareWaiters pool[waiter]
	spareTerms   pool[terms]
	spareEndings pool[ending]
	spareTimers  pool[deadline]
}

func newLockTable() lockTable { return lockTable{byName: map[string]*lock{}} }

func (t *lockTable) add(name string) *lock {
	l := t.spareLocks.get()
	l.name = name
	t.byName[name] = l
	t.order.push(l)
	return l
}

// sweep removes the record of a lock that has become free.
func (c *Core) sweep(l *lock) {
	if l.holds.n == 0 && l.waiters.n == 0 && l.delay == nil {
		c.removesLock(l)
		t := &c.locks
		delete(t.byName, l.name)
		t.order.remove(l)
		t.spareLocks.put(l)
	}
}

// newTerms keeps a copy of the value.
func (t *lockTable) newTerms(limit, delay uint64, value []byte) *terms {
	if limit == 0 && delay == 0 && len(value) == 0 {
		return nil
	}
	x := t.spareTerms.get()
	*x = terms{limit: limit, delay: delay, value: bytes.Clone(value)}
	return x
}

func (t *lockTable) dropTerms(x *terms) {
	if x != nil {
		t.spareTerms.put(x)
	}
}

// endAt makes time end the hold at the stamp. To change the kind, call endNever first.
func (c *Core) endAt(h *hold, kind deadlineKind, stamp uint64) {
	if h.end == nil {
		h.end = c.locks.spareEndings.get()
		h.end.timer = deadline{kind: kind, id: h.token, owner: h}
	}
	c.deadlines.set(&h.end.timer, stamp)
}

// endNever makes the hold last until somebody ends it.
func (c *Core) endNever(h *hold) {
	if h.end != nil {
		c.deadlines.remove(&h.end.timer)
		c.locks.spareEndings.put(h.end)
		h.end = nil
	}
}

// delay lets nobody have the lock before the stamp, for the loss of the hold under that token.
func (c *Core) delay(l *lock, token, until uint64) {
	if l.delay == nil {
		l.delay = c.locks.spareTimers.get()
	}
	c.deadlines.remove(l.delay)
	*l.delay = deadline{kind: dueDelay, id: token, owner: l}
	c.deadlines.set(l.delay, until)
}

// timeOut makes the acquire leave its queue at the stamp.
func (c *Core) timeOut(w *waiter, stamp uint64) {
	w.timer = c.locks.spareTimers.get()
	*w.timer = deadline{kind: dueWait, id: w.id, owner: w}
	c.deadlines.set(w.timer, stamp)
}
