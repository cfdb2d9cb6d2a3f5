package netsim

import (
	"bytes"
	"time"
)

// Faults says how bad the network is. Rates are in millionths of the messages (of the connections, for DialFailPPM).
// The zero value is a perfect network without latency.
type Faults struct {
	// DelayMin and DelayMax bound the ordinary latency of a message. Simulated 10 us .. 5 ms.
	DelayMin, DelayMax time.Duration
	// SlowPPM of the messages take up to SlowMax more (heavy tail). Simulated up to 5 s.
	SlowPPM int
	SlowMax time.Duration
	// InOrder keeps the messages of one way of a connection in order (but for duplicates); otherwise each takes its own
	// time.
	InOrder bool
	// DropPPM of the messages vanish.
	DropPPM int
	// DupPPM come twice, the second within DelayMax or so.
	DupPPM int
	// LatePPM come again up to LateMax later, on the connection that the two ends have then.
	LatePPM int
	LateMax time.Duration
	// ResetPPM of the messages break their connection instead of arriving.
	ResetPPM int
	// DialFailPPM of the connections are refused.
	DialFailPPM int
	// Only, if there are any, are the only ones of these hits that strike; all other messages cross unharmed. So a failing
	// run can be reduced to the few messages that matter.
	Only []Hit `json:",omitempty"`
}

// Handler gets what the network delivers. Its methods may send, dial and close.
type Handler interface {
	ClientConnected(client int, conn uint64)
	ClientDisconnected(client int, conn uint64)
	ClientReceive(client int, conn uint64, frame []byte)
	// ServerAccept: a new connection; false refuses it (no process listens).
	ServerAccept(server int, conn uint64) bool
	ServerDisconnected(server int, conn uint64)
	ServerReceive(server int, conn uint64, frame []byte)
}

// Way is a direction of a link.
type Way int

// The ways.
const (
	ToServer Way = iota
	ToClient
)

// Network connects clients and servers, both numbered from 0.
type Network struct {
	sim     *Sim
	seed    uint64
	faults  Faults
	handler Handler
	links   map[[2]int]*link
	conns   map[uint64]*conn // by the server's number
	byOwn   map[clientConn]*conn
	next    uint64
	sent    uint64 // messages
	Stats   Stats
	// Observe, if set, is told of every step of every message before anything comes of it. It must not use the network.
	Observe func(*Passage)
	struck  []Hit
}

// Stats counts what the network did.
type Stats struct {
	Sent, Delivered, Dropped, Duplicated, Late, Slow, Resets, Cut, Dials, Refused uint64
	// Elsewhere: late copies that came over another connection than the first. HalfResets: resets that let a part of what
	// was on its way arrive. Overtaken: frames that arrived after one that was sent later. Unknown: frames for a process
	// that knows nothing of their connection. Bursts: releases of a clog by which ten frames or more arrived at once.
	Elsewhere, HalfResets, Overtaken, Unknown, Bursts uint64
}

type clientConn struct {
	client int
	conn   uint64
}

// link is what two ends have in common over all their connections.
type link struct {
	number [2]uint64 // of the last message, by way
	dials  uint64
	cut    [2]bool
	// clogged ways let nothing through; piled is what will arrive at once when they do, in order.
	clogged [2]bool
	piled   [2][]func()
	live    *conn // the newest established one, nil if none
}

type conn struct {
	client, server       int
	own                  uint64 // the client's number
	id                   uint64 // the server's number
	clientOpen, serverUp bool
	connected            bool             // the client has heard so
	early                []message        // to the client, came before that
	last                 [2]time.Duration // latest delivery, for InOrder
	newest               [2]uint64        // highest number that has arrived
}

// The hashes of one message's faults differ by these.
const (
	saltDrop = iota + 1
	saltDelay
	saltSlow
	saltSlowBy
	saltDup
	saltDupBy
	saltLate
	saltLateBy
	saltReset
	saltDial
	saltDialBy
	saltEnd
)

// NewNetwork connects the ends that handler speaks for.
func NewNetwork(sim *Sim, seed uint64, faults Faults, handler Handler) *Network {
	return &Network{
		sim: sim, seed: seed, faults: faults, handler: handler,
		links: map[[2]int]*link{}, conns: map[uint64]*conn{}, byOwn: map[clientConn]*conn{},
	}
}

// SetFaults replaces the faults, for the messages sent from now on.
func (n *Network) SetFaults(f Faults) { n.faults = f }

// Cut cuts or mends one way of a link.
func (n *Network) Cut(client, server int, way Way, cut bool) {
	l := n.link(client, server)
	l.cut[way] = cut
	n.release(l, way)
}

func (n *Network) link(client, server int) *link {
	l := n.links[[2]int{client, server}]
	if l == nil {
		l = &link{}
		n.links[[2]int{client, server}] = l
	}
	return l
}

// Dial makes a connection that the client calls own. The client hears Connected, Disconnected (refused) or nothing.
func (n *Network) Dial(client int, own uint64, server int) {
	l := n.link(client, server)
	l.dials++
	n.next++
	n.Stats.Dials++
	c := &conn{client: client, server: server, own: own, id: n.next, clientOpen: true}
	n.byOwn[clientConn{client, own}] = c
	h := Hash(n.seed, uint64(client), uint64(server), 3, l.dials)
	there := between(Hash(h, saltDelay), n.faults.DelayMin, n.faults.DelayMax)
	back := between(Hash(h, saltDialBy), n.faults.DelayMin, n.faults.DelayMax)
	refused := n.strikes(h, saltDial, n.faults.DialFailPPM, Hit{HitRefuse, client, server, ToServer, l.dials})
	connected := func() {
		if l.cut[ToClient] || !c.clientOpen {
			return
		}
		l.live = c
		c.connected = true
		n.handler.ClientConnected(client, own)
		early := c.early
		c.early = nil
		for _, m := range early {
			n.deliver(m)
		}
	}
	arrives := func() {
		if l.cut[ToServer] || !c.clientOpen {
			n.Stats.Cut++
			return
		}
		if refused || !n.handler.ServerAccept(server, c.id) {
			n.Stats.Refused++
			n.sim.After(back, func() { n.pass(l, ToClient, true, func() { n.endClient(c) }) })
			return
		}
		c.serverUp = true
		n.conns[c.id] = c
		c.last[ToClient] = n.sim.Now() + back // in order, nothing overtakes the news that the connection is there
		n.sim.After(back, func() { n.pass(l, ToClient, false, connected) })
	}
	n.sim.After(there, func() { n.pass(l, ToServer, false, arrives) })
}

// SendToServer sends a frame on the client's connection own. The frame may be changed afterwards.
func (n *Network) SendToServer(client int, own uint64, frame []byte) {
	if c := n.byOwn[clientConn{client, own}]; c != nil && c.clientOpen {
		n.send(c, ToServer, frame)
	}
}

// SendToClient sends a frame on the server's connection id.
func (n *Network) SendToClient(id uint64, frame []byte) {
	if c := n.conns[id]; c != nil && c.serverUp {
		n.send(c, ToClient, frame)
	}
}

func (n *Network) send(c *conn, way Way, frame []byte) {
	l := n.link(c.client, c.server)
	l.number[way]++
	n.Stats.Sent++
	n.sent++
	h := Hash(n.seed, uint64(c.client), uint64(c.server), uint64(way), l.number[way])
	f := &n.faults
	hit := func(salt uint64, ppm int, kind HitKind) bool {
		return n.strikes(h, salt, ppm, Hit{kind, c.client, c.server, way, l.number[way]})
	}
	delay := between(Hash(h, saltDelay), f.DelayMin, f.DelayMax)
	if hit(saltSlow, f.SlowPPM, HitSlow) {
		n.Stats.Slow++
		delay += tail(Hash(h, saltSlowBy), 0, f.SlowMax)
	}
	m := message{id: n.sent, c: c, way: way, number: l.number[way], frame: bytes.Clone(frame)}
	n.passing(&m, StepSent, n.sim.Now()+delay)
	if hit(saltLate, f.LatePPM, HitLate) {
		n.Stats.Late++
		n.sim.After(delay+between(Hash(h, saltLateBy), 0, f.LateMax), func() {
			if l.live != nil {
				if l.live != c {
					n.Stats.Elsewhere++
				}
				n.deliver(m.copy(CopyLate, l.live))
			} else {
				gone := m.copy(CopyLate, c)
				n.passing(&gone, StepGone, 0)
			}
		})
	}
	if hit(saltDup, f.DupPPM, HitDuplicate) {
		n.Stats.Duplicated++
		again := delay + between(Hash(h, saltDupBy), 0, 2*f.DelayMax)
		n.sim.After(again, func() { n.deliver(m.copy(CopySecond, c)) })
	}
	if hit(saltReset, f.ResetPPM, HitReset) {
		n.sim.After(delay, func() {
			n.passing(&m, StepReset, 0)
			n.Reset(c.client, c.own)
		})
		return
	}
	if hit(saltDrop, f.DropPPM, HitDrop) {
		n.Stats.Dropped++
		n.passing(&m, StepDropped, n.sim.Now()+delay)
		return
	}
	at := n.sim.Now() + delay
	if f.InOrder {
		at = max(at, c.last[way])
		c.last[way] = at
	}
	n.sim.At(at, func() { n.deliver(m) })
}

// message is one copy of a frame on its way.
type message struct {
	id     uint64 // over all links
	which  Copy
	c      *conn
	way    Way
	number uint64 // on its link
	frame  []byte
}

func (m message) copy(which Copy, c *conn) message {
	return message{id: m.id, which: which, c: c, way: m.way, number: m.number, frame: bytes.Clone(m.frame)}
}

func (n *Network) deliver(m message) {
	l := n.link(m.c.client, m.c.server)
	if l.cut[m.way] {
		n.Stats.Cut++
		n.passing(&m, StepCut, 0)
		return
	}
	if l.clogged[m.way] {
		l.piled[m.way] = append(l.piled[m.way], func() { n.deliver(m) })
		return
	}
	c := m.c
	switch {
	case m.way == ToClient && c.clientOpen && !c.connected:
		c.early = append(c.early, m) // a connection carries nothing before it stands
	case m.way == ToClient && c.clientOpen, m.way == ToServer && c.serverUp:
		n.Stats.Delivered++
		n.passing(&m, StepDelivered, 0)
		if m.number < c.newest[m.way] {
			n.Stats.Overtaken++
		}
		c.newest[m.way] = max(c.newest[m.way], m.number)
		if m.way == ToServer {
			n.handler.ServerReceive(c.server, c.id, m.frame)
		} else {
			n.handler.ClientReceive(c.client, c.own, m.frame)
		}
	case m.way == ToServer && c.clientOpen:
		// What answers on the server's side knows nothing of this connection.
		n.passing(&m, StepGone, 0)
		n.Stats.Unknown++
		n.endClientLater(c)
	default:
		n.passing(&m, StepGone, 0)
	}
}

// Reset breaks a connection: each end hears of it in its own time, frames on their way are lost.
func (n *Network) Reset(client int, own uint64) {
	c := n.byOwn[clientConn{client, own}]
	if c == nil || !c.clientOpen {
		return
	}
	n.Stats.Resets++
	n.endServerLater(c)
	n.endClientLater(c)
}

// ResetClient breaks all connections of a client.
func (n *Network) ResetClient(client int) {
	for _, c := range sortedConns(n.byOwn) {
		if c.client == client {
			n.Reset(client, c.own)
		}
	}
}

// Close ends the client's connection own; the server hears of it later.
func (n *Network) Close(client int, own uint64) {
	c := n.byOwn[clientConn{client, own}]
	if c == nil {
		return
	}
	n.forgetClient(c)
	n.endServerLater(c)
}

// CloseClient ends all connections of a client whose process is gone, in the order of their making. If silent, the
// server hears of it only after a long time, as when a machine is switched off.
func (n *Network) CloseClient(client int, silent time.Duration) {
	for id := uint64(1); id <= n.next; id++ {
		if c := n.conns[id]; c != nil && c.client == client {
			n.forgetClient(c)
			n.sim.After(silent, func() { n.endServerLater(c) })
		}
	}
	for _, c := range sortedConns(n.byOwn) {
		if c.client == client {
			n.forgetClient(c)
		}
	}
}

// CloseServer ends all connections of a server whose process is gone. If silent, clients hear of it only when they send.
func (n *Network) CloseServer(server int, silent bool) {
	for id := uint64(1); id <= n.next; id++ {
		c := n.conns[id]
		if c == nil || c.server != server {
			continue
		}
		c.serverUp = false
		delete(n.conns, id)
		if !silent && c.clientOpen {
			n.endClientLater(c)
		}
	}
}
