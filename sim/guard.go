package sim

import (
	"errors"
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// reconnected is how long after the last fault a client may still give up a connection from before.
const reconnected = 3 * time.Second

// sessionGuard checks L4 once all is healed: a session that was opened or has had a renewal answered since then, and whose
// process lives, is never lost to its lease: neither by the client's clock nor by the log's.
type sessionGuard struct {
	world   *World
	safe    map[uint64]renewer // by session
	fresh   []uint64           // sessions that the present event has made safe, unless it also ends them
	expired int                // how many of the log's expired sessions were looked at
}

// renewer is the process that renewed a session last, as the session's instance.
type renewer struct {
	client   int
	instance uint64
}

// answer takes one that has reached a client. It makes the session safe if its question was a keep-alive that went out
// after the world was healed. With clocks beyond rho nothing is promised: the server may count a TTL in half the time in
// which the client does.
func (g *sessionGuard) answer(c *client, a *dlmv1.Answer) {
	w := g.world
	if !w.server.up { // it found damage after this answer had left: an outage, in which nothing is renewed
		return
	}
	if !w.healed || w.plan.Config.ClocksBeyondRho || a.GetReason() != dlmv1.Reason_REASON_OK || a.GetIndex() < w.healedAt {
		return
	}
	s := w.logCheck.session(a.GetSession())
	if s == nil || s.ended || s.revoked || c.instances[s.id] != s.instance {
		return
	}
	asked := w.replies.out[requestID{session: s.id, instance: s.instance, sequence: a.GetSequence()}]
	if asked == nil || asked.at < w.healedFrom || asked.op != keepAliveDigest {
		return
	}
	g.protect(s, c)
	g.fresh = append(g.fresh, s.id)
}

// opened makes a session safe that the application has opened since the world was healed: to renew it is the library's job.
func (g *sessionGuard) opened(c *client, k *call, d engine.Completion) {
	w := g.world
	if d.Err != nil || k.asked.op.GetOpen() == nil || !w.healed || w.plan.Config.ClocksBeyondRho || k.made < w.healedFrom {
		return
	}
	if s := w.logCheck.session(d.Session); s != nil && !s.ended && !s.revoked && s.instance == d.Answer.GetInstance() {
		g.protect(s, c)
	}
}

func (g *sessionGuard) protect(s *logSession, c *client) {
	if g.safe == nil {
		g.safe = map[uint64]renewer{}
	}
	g.safe[s.id] = renewer{c.id, s.instance}
}

var keepAliveDigest = hashOp(&dlmv1.Request{Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}})

// dropped: the process ends, or the application gives the session up.
func (g *sessionGuard) dropped(c *client) {
	for _, s := range g.world.logCheck.sessions {
		if by, ok := g.safe[s.id]; ok && by.client == c.id {
			delete(g.safe, s.id)
		}
	}
}

func (g *sessionGuard) event(c *client, e engine.Event) {
	w := g.world
	if e.Kind == engine.EventDisconnected && e.Err != nil && w.healed && w.server.up && w.sim.Now() > w.healedFrom+reconnected {
		w.fail("L4", "client %d gives up its connection, though all is well: %v", c.id, e.Err)
	}
	if e.Kind != engine.EventSessionLost {
		return
	}
	if slices.Contains(g.fresh, e.Session) {
		delete(g.safe, e.Session) // its lease was over before the answer came
		return
	}
	if by, ok := g.safe[e.Session]; ok && by.client == c.id && errors.Is(e.Err, engine.ErrExpired) {
		g.world.fail("L4", "client %d lost session %d, though all is well and it renews: %v", c.id, e.Session, e.Err)
	}
}

// step is called after each event.
func (g *sessionGuard) step() { g.fresh = g.fresh[:0] }

// entry looks at the sessions that the newest entry has let expire.
func (g *sessionGuard) entry() {
	expired := g.world.logCheck.expired
	for _, id := range expired[g.expired:] {
		if by, ok := g.safe[id]; ok && by.instance == g.world.logCheck.session(id).instance {
			g.world.fail("L4", "session %d of client %d expires, though all is well and it renews", id, by.client)
		}
	}
	g.expired = len(expired)
	if g.world.healed {
		g.world.checks["L4"] += len(g.safe)
	}
}
