package sim

import "time"

// drainWatch checks L2 once all faults are over and every holder that lives releases soon: each waiter has left its queue
// within (waiters before it + 1) x (TTL + lock-delay + a small constant).
type drainWatch struct {
	on bool
	// small covers what a live holder needs to learn of its grant and to release.
	small time.Duration
}

// begin sets the bound of everybody who waits now.
func (d *drainWatch) begin(l *logChecker, now, small time.Duration) {
	d.on, d.small, l.trueNow = true, small, now
	for _, k := range l.locks {
		for i, w := range k.queue {
			w.bound = now + d.within(l, k, k.queue[:i])
		}
	}
}

// extend moves every bound on by an outage.
func (d *drainWatch) extend(l *logChecker, by time.Duration) {
	for _, k := range l.locks {
		for _, w := range k.queue {
			if w.bound != 0 {
				w.bound += by
			}
		}
	}
}

// queued sets the bound of one that begins to wait.
func (d *drainWatch) queued(l *logChecker, k *logLock, w *logWait) {
	if d.on {
		w.bound = l.trueNow + d.within(l, k, k.queue[:len(k.queue)-1])
	}
}

// within is how long one may wait behind these and the holders.
func (d *drainWatch) within(l *logChecker, k *logLock, before []*logWait) time.Duration {
	ttl, delay := uint64(0), k.delayed-min(k.delayed, l.now)
	of := func(session, lockDelay uint64) {
		ttl, delay = max(ttl, l.session(session).ttl), max(delay, lockDelay)
	}
	for _, h := range k.holds {
		of(h.session, h.delay)
	}
	for _, w := range before {
		of(w.session, w.delay)
	}
	return time.Duration(len(before)+1) * (time.Duration(ttl+delay) + d.small)
}

// left: it waits no longer.
func (d *drainWatch) left(l *logChecker, w *logWait) {
	if w.bound == 0 {
		return
	}
	l.w.checked("L2")
	if l.trueNow > w.bound {
		l.w.fail("L2", "position %d: (%d, %d) waited until %v, it should have left its queue by %v", l.index, w.session, w.sequence, l.trueNow, w.bound)
	}
}

// overdue fails for whoever waits longer than that, and says whether anybody waits.
func (d *drainWatch) overdue(l *logChecker, now time.Duration) (waiting bool) {
	for _, k := range l.locks {
		for _, w := range k.queue {
			waiting = true
			if w.bound != 0 && now > w.bound {
				l.w.fail("L2", "(%d, %d) waits for %q at %v, it should have left its queue by %v", w.session, w.sequence, k.name, now, w.bound)
			}
		}
	}
	return waiting
}
