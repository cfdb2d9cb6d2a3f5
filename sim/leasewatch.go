package sim

import "time"

// leaseWatch is a leaseChecker that asks the world's engines.
type leaseWatch struct {
	leaseChecker
	world *World
	told  []*claim // all that there ever were
}

func newLeaseWatch(w *World) *leaseWatch {
	l := &leaseWatch{world: w}
	l.leaseChecker = leaseChecker{w: w, held: l.says, excused: l.excuse, late: l.outlived}
	return l
}

func (l *leaseWatch) claim(c *client, session uint64, lock string, token uint64, shared bool) {
	l.world.tokens, l.world.holders = append(l.world.tokens, token), append(l.world.holders, session)
	l.world.scribe.claims(c, session, lock, token, shared)
	l.world.probes.claimed[token] = true
	k := &claim{
		client: c.id, life: c.life, session: session, instance: c.instances[session], lock: lock, token: token, shared: shared,
	}
	l.told = append(l.told, k)
	l.add(k)
}

// granted takes until when a grant said that it lasts, which the library believes without asking the engine again.
func (l *leaseWatch) granted(c *client, session uint64, lock string, token uint64, until time.Duration) {
	if end, ok := c.engine.LeaseEnd(session, lock, token); ok && until > end {
		l.world.fail("G2", "client %d was told that token %d of %q lasts until %v, its engine counts on %v", c.id, token, lock, until, end)
	}
}

func (l *leaseWatch) says(k *claim) bool {
	c := l.world.clients[k.client]
	// If the process has taken the session over from itself, what its former instance held is not what it holds now.
	return c.up && c.life == k.life && c.instances[k.session] == k.instance && c.engine.Held(c.read(), k.session, k.lock, k.token)
}

// excuse says whether a risk that somebody took lasts: an operator's, or that of clocks which go at rates that the cluster
// was not told of. Then G2 is not promised. What fencing is for is promised all the same: the files are checked for it
// (ackedAppends).
func (l *leaseWatch) excuse(k *claim) bool {
	log := l.world.logCheck
	switch {
	case l.world.plan.Config.ClocksBeyondRho:
		l.world.probes.overlap(beyondRho, k.token)
	case log.revokedNow[k.token].until > log.now:
		l.world.probes.overlap(revokeNowOverlap, k.token)
	case log.takenUntil(k) > log.now:
		l.world.probes.overlap(takeOverOverlap, k.token)
	default:
		return false
	}
	return true
}

// outlived says whether the log has let time end the hold: its session's lease, its hold limit, or, after a revoke, the
// lease as of then, which nothing prolongs without telling the holder. The library has to stop before, whether there is a
// next holder or not. Where somebody took a risk, it has until the risk is over.
func (l *leaseWatch) outlived(k *claim) bool {
	log := l.world.logCheck
	if l.world.plan.Config.ClocksBeyondRho || log.takenUntil(k) > log.now {
		return false
	}
	u, now := log.revokedNow[k.token]
	return log.ranOut[k.token] || now && log.now >= u.until
}
