package sim

// leaseChecker checks G2: whenever anything happens, no two libraries of running clients say that they hold the same
// lock, unless both share it. That is enough for every instant in between: Held begins only when something happens.
type leaseChecker struct {
	w      watcher
	claims []*claim
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
	held     bool // as it was asked last
	lapsed   bool // it said no once
}

// add notes a hold: a new one, or one that came back with an attach.
func (l *leaseChecker) add(c *claim) {
	for i, old := range l.claims {
		if old.token == c.token && old.client == c.client {
			l.claims = append(l.claims[:i], l.claims[i+1:]...)
			break
		}
	}
	l.claims = append(l.claims, c)
}

// check asks all libraries. exempt says which claims fall under a stated exception to G2.
func (l *leaseChecker) check(held func(*claim) bool, exempt func(*claim) bool) {
	for _, c := range l.claims {
		c.held = held(c)
		if c.held && c.lapsed {
			l.w.fail("G2", "client %d holds %q under token %d again, after it had said that it does not", c.client, c.lock, c.token)
		}
		c.lapsed = c.lapsed || !c.held
	}
	for i, a := range l.claims {
		if !a.held {
			continue
		}
		l.w.checked("G2")
		for _, b := range l.claims[i+1:] {
			if b.held && a.lock == b.lock && a.token != b.token && !(a.shared && b.shared) && !exempt(a) && !exempt(b) {
				l.w.fail("G2", "client %d says that it holds %q under token %d, and so does client %d under token %d",
					a.client, a.lock, a.token, b.client, b.token)
			}
		}
	}
	l.forget()
}

// forget drops the oldest lapsed claims; some are kept, to see whether they come back.
func (l *leaseChecker) forget() {
	const kept = 24
	if len(l.claims) <= kept {
		return
	}
	for i, c := range l.claims {
		if c.lapsed {
			l.claims = append(l.claims[:i], l.claims[i+1:]...)
			return
		}
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
