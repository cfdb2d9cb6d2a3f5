package netsim

import "time"

// Clog stops one way of a link or lets it go on. While it is clogged, what would arrive piles up, the news of a
// connection's end too; when it is released all of that arrives at once, in order.
func (n *Network) Clog(client, server int, way Way, on bool) {
	l := n.link(client, server)
	l.clogged[way] = on
	n.release(l, way)
}

// IsCut says whether a way of the link is cut.
func (n *Network) IsCut(client, server int) bool {
	l := n.link(client, server)
	return l.cut[ToServer] || l.cut[ToClient]
}

// Break releases the first half of what has piled up on a link, and resets the client's connections over it: the other
// half never arrives.
func (n *Network) Break(client, server int) {
	l := n.link(client, server)
	half := 0
	for way := range l.piled {
		arrive := l.piled[way][:len(l.piled[way])/2]
		half += len(arrive)
		l.clogged[way], l.piled[way] = false, nil
		n.arrive(arrive)
	}
	if half > 0 {
		n.Stats.HalfResets++
	}
	// After the events above: nothing of the connection arrives any more.
	n.sim.After(0, func() {
		for _, c := range sortedConns(n.byOwn) {
			if c.client == client && c.server == server {
				n.Stats.Resets++
				n.endServer(c)
				n.endClient(c)
			}
		}
	})
}

// release lets what has piled up arrive, unless the way is still stopped.
func (n *Network) release(l *link, way Way) {
	if l.clogged[way] || l.cut[way] || len(l.piled[way]) == 0 {
		return
	}
	if len(l.piled[way]) >= 10 {
		n.Stats.Bursts++
	}
	n.arrive(l.piled[way])
	l.piled[way] = nil
}

func (n *Network) arrive(all []func()) {
	for _, f := range all {
		n.sim.After(0, f)
	}
}

// pass runs f, or piles it up for the time when the way is no longer clogged. A cut way eats frames (deliver does that) and
// keeps only the news of ends (ends says so).
func (n *Network) pass(l *link, way Way, ends bool, f func()) {
	if l.clogged[way] || ends && l.cut[way] {
		l.piled[way] = append(l.piled[way], f)
		return
	}
	f()
}

func (n *Network) endDelay(c *conn, way Way) time.Duration {
	h := Hash(n.seed, uint64(c.client), uint64(c.server), 5+uint64(way), c.id)
	return between(Hash(h, saltEnd), n.faults.DelayMin, n.faults.DelayMax)
}

func (n *Network) endClientLater(c *conn) {
	n.sim.After(n.endDelay(c, ToClient), func() {
		n.pass(n.link(c.client, c.server), ToClient, true, func() { n.endClient(c) })
	})
}

func (n *Network) endServerLater(c *conn) {
	n.sim.After(n.endDelay(c, ToServer), func() {
		n.pass(n.link(c.client, c.server), ToServer, true, func() { n.endServer(c) })
	})
}

func (n *Network) endServer(c *conn) {
	if !c.serverUp {
		return
	}
	c.serverUp = false
	delete(n.conns, c.id)
	n.handler.ServerDisconnected(c.server, c.id)
}

func (n *Network) endClient(c *conn) {
	if c.clientOpen {
		n.forgetClient(c)
		n.handler.ClientDisconnected(c.client, c.own)
	}
}

func (n *Network) forgetClient(c *conn) {
	c.clientOpen = false
	delete(n.byOwn, clientConn{c.client, c.own})
	if l := n.link(c.client, c.server); l.live == c {
		l.live = nil
	}
}
