package engine

import (
	"bytes"
	"fmt"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

type linkState uint8

const (
	linkDown     linkState = iota // the timer, if armed, is the backoff's
	linkDialing                   // the timer is the attempt's
	linkGreeting                  // connected, no hello yet; the timer is the attempt's
	linkUp
)

// defaultWindow counts for a server that does not announce one.
const defaultWindow = 64

// maxWindow is as large as the protocol lets a window be.
const maxWindow = 1 << 16

// link is the one connection. Nothing is sent before the hello: session ids mean something else in another cluster, such
// as a restored one.
type link struct {
	state   linkState
	conn    uint64 // the last one
	server  int
	timer   timer
	backoff backoff
	// silent: something was sent at silentSince, and nothing has come since.
	silent      bool
	silentSince time.Duration
}

func (l *link) expire(e *Engine, now time.Duration, _ *timer) {
	if l.state == linkDialing || l.state == linkGreeting {
		e.disconnect(now, true, fmt.Errorf("%w: server %d does not answer", ErrUnavailable, l.server))
	}
}

// needed: is there anything to talk about?
func (e *Engine) needed() bool {
	return e.calls.size > 0 || len(e.sessions) > 0
}

func (e *Engine) wantsDial() bool {
	return e.link.state == linkDown && !e.link.timer.armed() && e.needed()
}

func (e *Engine) dial(now time.Duration) (Dial, bool) {
	if !e.wantsDial() {
		return Dial{}, false
	}
	l := &e.link
	l.state = linkDialing
	l.conn++
	e.timers.arm(&l.timer, l, now+e.cfg.AttemptTimeout)
	return Dial{Conn: l.conn, Server: l.server}, true
}

// Connected says that the connection of a Dial stands.
func (e *Engine) Connected(now time.Duration, conn uint64) {
	now = e.advance(now)
	if e.link.state != linkDialing || conn != e.link.conn {
		return
	}
	e.link.state = linkGreeting
	e.timers.arm(&e.link.timer, &e.link, now+e.cfg.AttemptTimeout)
}

// Disconnected says that a connection, or the attempt at one, has failed or ended.
func (e *Engine) Disconnected(now time.Duration, conn uint64) {
	now = e.advance(now)
	if e.link.state != linkDown && conn == e.link.conn {
		e.disconnect(now, false, nil)
	}
}

// disconnect ends the connection; the next server gets its chance after a pause.
func (e *Engine) disconnect(now time.Duration, closeIt bool, why error) {
	l := &e.link
	if closeIt {
		e.closes = append(e.closes, l.conn)
	}
	if l.state == linkUp {
		e.event(Event{Kind: EventDisconnected, Server: l.server, Err: why})
	}
	l.state, l.silent = linkDown, false
	l.server = (l.server + 1) % e.cfg.Servers
	e.timers.arm(&l.timer, l, now+l.backoff.next(e.rng, e.cfg.BackoffMin, e.cfg.BackoffMax))
	e.requeue()
}

// lazyAnswer is how long a server may keep silent though all is well: it lets keep-alives wait for company for a tenth of
// a second, and then has to write them. A client that gives up sooner would give up every connection on which it has
// nothing else to ask, and with it in the end its sessions.
const lazyAnswer = 300 * time.Millisecond

// suspect ends a connection that has been silent for too long: one lost message is not a lost connection, two are.
func (e *Engine) suspect(now time.Duration) bool {
	l := &e.link
	if l.state != linkUp || !l.silent || now-l.silentSince < max(e.cfg.AttemptTimeout*3/2, lazyAnswer) {
		return false
	}
	e.disconnect(now, true, fmt.Errorf("%w: server %d has fallen silent", ErrUnavailable, l.server))
	return true
}

// elsewhere moves on from a server that says it cannot help, if there is another.
func (e *Engine) elsewhere(now time.Duration, reason dlmv1.Reason) bool {
	turnedAway := reason == dlmv1.Reason_REASON_NOT_LEADER || reason == dlmv1.Reason_REASON_UNAVAILABLE
	if !turnedAway || e.cfg.Servers == 1 || e.link.state != linkUp {
		return false
	}
	e.disconnect(now, true, fmt.Errorf("%w: server %d: %v", ErrUnavailable, e.link.server, reason))
	return true
}

// hello makes the connection usable. All live sessions attach before anything else is said.
func (e *Engine) hello(now time.Duration, h *dlmv1.Hello) {
	if e.link.state != linkGreeting {
		return
	}
	e.link.state = linkUp
	e.congestion.connected(now)
	e.timers.disarm(&e.link.timer)
	e.window = defaultWindow
	if h.GetWindow() > 0 {
		e.window = int(min(h.GetWindow(), maxWindow))
	}
	if !bytes.Equal(e.cluster, h.GetClusterId()) {
		e.changeCluster(h)
	}
	e.changeDrift(h.GetDriftPpm())
	e.event(Event{Kind: EventConnected, Server: e.link.server})
	for _, id := range sortedKeys(e.sessions) {
		if s := e.sessions[id]; s.err == nil {
			s.reattach()
			s.pump()
		}
	}
}

// changeCluster: the sessions and the time of another cluster mean nothing here.
func (e *Engine) changeCluster(h *dlmv1.Hello) {
	first := e.cluster == nil
	e.cluster = bytes.Clone(h.GetClusterId())
	if first {
		return
	}
	why := lossError(ErrCluster, fmt.Sprintf("its id is %x", e.cluster))
	for _, id := range sortedKeys(e.sessions) {
		e.sessions[id].lose(e.now, why, false)
	}
	for _, k := range sortedKeys(e.keyed) {
		if r := e.keyed[k]; r.kind == kindAttach && r.s == nil {
			e.dropRequest(r)
			e.complete(r.call, Completion{Session: r.session, Err: why})
		}
	}
	e.mark = mark{}
}

func (e *Engine) changeDrift(ppm uint64) {
	if ppm == e.driftPPM {
		return
	}
	e.driftPPM = ppm
	for _, id := range sortedKeys(e.sessions) {
		if s := e.sessions[id]; s.err == nil {
			s.armLapse()
			for _, token := range sortedKeys(s.holds) {
				s.holds[token].arm(e)
			}
		}
	}
}
