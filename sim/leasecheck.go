package sim

// leaseChecker checks G2: at no instant do two libraries of running clients say that they hold the same lock, unless both
// share it. It asks whenever anything has happened, and inside an event when an application is told of a hold. That is
// every instant: between two events nothing can begin to be held, only end.
type leaseChecker struct {
	w      watcher
	claims []*claim
	// held asks a library; excused says that an operator took the risk for this claim: a revoke at once, or a takeover from
	// a process that still runs.
	held, excused func(*claim) bool
	// late says that time has ended the hold in the log, so that anybody else may have the lock.
	late func(*claim) bool
}

// claim is a hold that a library has told its application of.
type claim struct {
	client   int
	life     uint64
	session  uint64
	instance uint64
	lock     string
	token    uint64
	shared   bool
	yes      bool // as it was asked last
	lapsed   bool // it said no once
}

// add notes a hold: a new one, or one that came back with an attach.
func (l *leaseChecker) add(c *claim) {
	for i, old := range l.claims {
		if old.token == c.token && old.client == c.client && old.life == c.life {
			l.claims = append(l.claims[:i], l.claims[i+1:]...)
			break
		}
	}
	l.claims = append(l.claims, c)
	l.ask()
	l.forget()
}

// check is called after each event. A process may take a session over from itself, and then hold anew what it had lost; in
// the midst of an event it may not have been told yet.
func (l *leaseChecker) check() {
	l.ask()
	for _, c := range l.claims {
		if c.yes && c.lapsed {
			l.w.fail("G2", "client %d holds %q under token %d again, after it had said that it does not", c.client, c.lock, c.token)
		}
	}
}

// ask asks all libraries.
func (l *leaseChecker) ask() {
	said := 0
	for _, c := range l.claims {
		if c.yes = l.held(c); c.yes {
			said++
			if l.late(c) {
				l.w.fail("G2", "client %d says that it holds %q under token %d, and in the log the time of that hold is over",
					c.client, c.lock, c.token)
			}
		} else {
			c.lapsed = true
		}
	}
	if said == 0 {
		return
	}
	l.w.checked("G2")
	if said == 1 {
		return
	}
	for i, a := range l.claims {
		for _, b := range l.claims[i+1:] {
			if a.yes && b.yes && a.lock == b.lock && a.token != b.token && !(a.shared && b.shared) {
				l.clash(a, b)
			}
		}
	}
}

func (l *leaseChecker) clash(a, b *claim) {
	if l.excused(a) || l.excused(b) {
		l.w.checked("G2 excused")
		return
	}
	l.w.fail("G2", "client %d says that it holds %q under token %d, and so does client %d under token %d",
		a.client, a.lock, a.token, b.client, b.token)
}

// forget drops the oldest lapsed claims; some are kept, to see whether they come back.
func (l *leaseChecker) forget() {
	const kept = 24
	for i := 0; i < len(l.claims) && len(l.claims) > kept; {
		if l.claims[i].lapsed {
			l.claims = append(l.claims[:i], l.claims[i+1:]...)
			continue
		}
		i++
	}
}

// clientDied: a process that is gone says nothing any more.
func (l *leaseChecker) clientDied(client int) {
	var rest []*claim
	for _, c := range l.claims {
		if c.client != client {
			rest = append(rest, c)
		}
	}
	l.claims = rest
}

// takenUntil is the cluster time until which a claim may outlive its instance: the end of the lease as it was when another
// instance took the session over. 0 = none did.
func (l *logChecker) takenUntil(c *claim) uint64 {
	if s := l.session(c.session); s != nil {
		for _, t := range s.takeovers {
			if t.instance == c.instance+1 {
				return t.formerLease
			}
		}
	}
	return 0
}
