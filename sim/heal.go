package sim

import (
	"fmt"
	"strconv"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
	"dlm/netsim"
	"dlm/replica"
)

// The end of a run. All faults are over; what is left has to come to rest:
//
//	heal   leader (L5)      drain: holders let go, more ask      closed     power cut
//	 |-------|----- calm ----|--- every queue empties (L2) --------|--- L1 ----|--- L5, G5
//	 |       '- sessions are renewed and must live (L4) ...
//
// In the drain one process is killed for good, so that some holders are dead; the living let go soon.
const (
	restartMost = 4 * time.Second        // a server that was down starts again
	leaderMost  = 2 * time.Second        // from the start of a server to its lead (L5): recovery included
	calm        = 4 * time.Second        // with the plan's own operations
	drainHold   = 20 * time.Millisecond  // how long a holder holds while the world drains
	drainSlack  = 500 * time.Millisecond // what two round trips, two syncs and a few pauses may take in a healed world
)

// settle requires of a healed world that everything comes to rest: a leader is there (L5), every waiter is served (L2),
// nobody is left with a lock that nobody knows of (G8), every call ends (L1), and what was acknowledged is there after one
// more power cut (G5).
func (w *World) settle() {
	w.healedAt, w.healedFrom = w.logCheck.index+1, max(w.healedFrom, w.sim.Now())
	most := w.leadMost()
	if !w.runUntil(w.sim.Now()+most, w.led) {
		w.fail("L5", "nobody leads %v after the last fault", most)
		return
	}
	w.checked("L5")
	w.runUntil(w.unrest(), nil)
	w.drain()
	w.noOrphans()
	w.closeAll()
	if !w.runUntil(w.sim.Now()+60*time.Second, func() bool { return w.unfinished() == "" }) {
		w.fail("L1", "%s, 60 s after all was healed", w.unfinished())
		return
	}
	w.lastCheck()
}

// leadMost is how long it may take until the server leads, if it is down. Each damage may be refused first, one after the other.
func (w *World) leadMost() time.Duration {
	return time.Duration(1+w.disks.unrepaired())*restartMost + leaderMost
}

// unrest lets connections break in the calm, if the plan says so, and returns when the calm is over. A session must live
// through that (L4): it can be renewed between any two breaks. It takes longer than the TTL of most sessions, so that one
// which is not renewed meanwhile ends.
func (w *World) unrest() (end time.Duration) {
	every, end := w.plan.Config.CalmResets, w.sim.Now()+calm
	if every == 0 {
		return end
	}
	end += calm / 2
	rng := netsim.NewRNG(w.plan.Seed, streamCalm)
	for _, c := range w.clients {
		for at := w.sim.Now() + rng.Between(0, every); at < end; at += rng.Between(every*3/4, every) {
			w.sim.At(at, func() {
				w.count("reset in the calm")
				w.net.ResetClient(c.id)
			})
		}
	}
	return end
}

// calmResetsLeast leaves enough time between two breaks for a connection to be made and a keep-alive to be answered.
const calmResetsLeast = 300 * time.Millisecond

func (w *World) led() bool { return w.server.up && w.server.node.Leading() }

// outageBegins: the server goes down. In a healed world it does so only when it has found damage from before; meanwhile
// nothing is renewed and nobody served.
func (w *World) outageBegins() {
	w.guarded.safe = nil
	w.outage = w.sim.Now()
}

func (w *World) outageEnds() {
	w.healedFrom = max(w.healedFrom, w.sim.Now())
	w.logCheck.drain.extend(w.logCheck, w.sim.Now()-w.outage+leaderMost)
}

// drain ends the plan's operations, lets every live holder let go, sends more acquires into the queues, kills a process in
// the midst of it, and waits until the queues are empty.
func (w *World) drain() {
	rng := netsim.NewRNG(w.plan.Seed, streamDrain)
	w.logCheck.drain.begin(w.logCheck, w.sim.Now(), w.drainSmall())
	for _, c := range w.clients {
		for _, a := range c.actors {
			a.closed = true
		}
	}
	for _, k := range w.leases.told {
		if c := w.clients[k.client]; c.life == k.life {
			c.letGo(k)
		}
	}
	for range 2 {
		for _, c := range w.clients {
			for _, a := range c.actors {
				a.want("lock-"+strconv.Itoa(rng.IntN(2)), rng.Chance(250_000))
			}
		}
	}
	dead := w.clients[rng.IntN(len(w.clients))]
	w.sim.After(rng.Between(0, 4*drainHold), func() {
		if dead.up && len(w.plan.Faults) > 0 { // a plan without faults is to show what happens without any
			w.guarded.dropped(dead)
			dead.crash(24*time.Hour, 0)
		}
	})
	w.runUntil(w.sim.Now()+drainSlack, nil)
	w.runUntil(w.sim.Now()+24*time.Hour, func() bool { return !w.logCheck.drain.overdue(w.logCheck, w.sim.Now()) })
	if !w.runUntil(w.sim.Now()+time.Minute, func() bool { return w.openCalls() == "" }) {
		w.fail("L1", "%s, a minute after the last queue has emptied", w.openCalls())
	}
	w.runUntil(w.sim.Now()+drainSlack, nil)
}

// drainSmall is what a live holder needs to hear of its grant and to let go. A grant whose answer was lost before the
// world was healed is asked for again when the engine's turn to do so comes.
func (w *World) drainSmall() time.Duration {
	return queuedRetryMost + drainHold + drainSlack + w.plan.Config.BackoffMax
}

// queuedRetryMost is the longest that an engine lets a waiting acquire go without asking again, by its default.
const queuedRetryMost = 6250 * time.Millisecond

// letGo unlocks what is held, and also what was lost if its session waits for the application to confirm that.
func (c *client) letGo(k *claim) {
	byHand := false
	for _, a := range c.actors {
		byHand = byHand || a.session == k.session && a.plan.ByHand
	}
	if !byHand && !k.yes {
		return
	}
	c.later(time.Millisecond, func() {
		what := asked{session: k.session, op: &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: k.lock, Token: k.token}}}}
		c.made(c.engine.Unlock(c.read(), 0, k.session, k.lock, k.token), 0, what, func(engine.Completion) {})
	})
}

// want asks for a lock while the world drains.
func (a *actor) want(lock string, shared bool) {
	if !a.c.up || a.session == 0 {
		return
	}
	op := &Op{Kind: OpLock, Lock: lock, Shared: shared, Wait: -1}
	a.c.later(time.Millisecond, func() {
		if a.session != 0 {
			a.busy++
			a.lock(op)
		}
	})
}

// openCalls names the calls that have not ended; "" = there are none.
func (w *World) openCalls() string {
	for _, c := range w.clients {
		if len(c.calls) > 0 {
			k := c.calls[0]
			return fmt.Sprintf("client %d has %d open calls, the oldest since %v: session %d, %v%v", c.id, len(c.calls), k.made, k.asked.session, k.asked.op, k.asked.read)
		}
	}
	return ""
}

// closeAll lets every actor give up and close its session.
func (w *World) closeAll() {
	for _, c := range w.clients {
		if !c.up {
			c.start()
		}
		for _, a := range c.actors {
			if a.session != 0 {
				c.later(time.Millisecond, func() {
					if a.session != 0 {
						a.close(func() {})
					}
				})
			}
		}
	}
}

// noOrphans: every hold that anybody was told of has been let go, no call is open, and so a live session that still holds a
// lock holds one that nobody knows of (G8). It has to be seen before the sessions are closed, which would take orphans along.
func (w *World) noOrphans() {
	for _, c := range w.clients {
		for _, a := range c.actors {
			if !c.up || a.session == 0 {
				continue
			}
			w.checked("G8 orphans")
			for _, k := range w.logCheck.locks {
				for _, h := range k.holds {
					if h.session == a.session && !h.revoked {
						w.fail("G8", "session %d holds %q under token %d, and nobody of client %d knows of it", h.session, k.name, h.token, c.id)
					}
				}
			}
		}
	}
}

// unfinished says what is still to come to rest.
func (w *World) unfinished() string {
	if !w.server.up {
		return "the server is down"
	}
	if open := w.openCalls(); open != "" {
		return open
	}
	for _, k := range w.logCheck.locks {
		if k.used() {
			v := k.at(w.logCheck.index)
			return fmt.Sprintf("%q is not free (G8): %s", k.name, v.describe())
		}
	}
	for _, s := range w.logCheck.sessions {
		if !s.ended {
			return fmt.Sprintf("session %d lives (G8)", s.id)
		}
	}
	if !w.server.node.Idle() {
		return "the server is busy"
	}
	if d := w.server.node.Disk(); d.Level != replica.DiskOK {
		return fmt.Sprintf("the disk has room and is said to be %v", d.Level)
	}
	return ""
}

// lastCheck compares the end with the log, cuts the power once more, and compares again.
func (w *World) lastCheck() {
	s := w.server
	w.tables()
	w.checkFiles()
	applied := s.node.Applied()
	s.end(true, nil)
	most := w.leadMost()
	s.start(nil)
	if w.failure != nil {
		return
	}
	if !w.runUntil(w.sim.Now()+most, func() bool { return w.led() && s.node.Idle() }) {
		w.fail("L5", "nobody leads %v after the last restart", most)
		return
	}
	w.checked("L5")
	if s.node.Applied() < applied {
		w.fail("G5", "log position %d was applied, %d is the last one after a power cut", applied, s.node.Applied())
	}
	w.tables()
	w.checkFiles()
	w.backups.restore()
	w.note("end", s.node.Core().Hash(), s.node.Applied(), s.node.Core().LastToken())
}

// tables holds the server's tables against the log's.
func (w *World) tables() {
	for _, r := range []*dlmv1.Read{
		{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{}}},
		{Op: &dlmv1.Read_ListSessions{ListSessions: &dlmv1.ListSessions{}}},
		{Op: &dlmv1.Read_ListFiles{ListFiles: &dlmv1.ListFiles{}}},
	} {
		if wrong := w.logCheck.wrong(r, w.server.node.Core().Read(r)); wrong != "" {
			w.fail("G6", "the server has %s", wrong)
		}
	}
}
