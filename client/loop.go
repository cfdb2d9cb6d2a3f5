package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"dlm/client/engine"
)

// lookAgain bounds how long the loop sleeps while locks are held. Timers of Go stand still while the machine is suspended,
// lease clocks do not: after a resume the loss is noticed within this time (Held notices at once).
const lookAgain = time.Second

// loop is what belongs to the one goroutine that owns the engine.
type loop struct {
	c        *Client
	engine   *engine.Engine
	calls    map[engine.Call]*call
	sessions map[uint64]*Session
	conns    map[uint64]*conn
	held     int // locks of all sessions
	up       int // connections that stand
}

func newLoop(c *Client, e *engine.Engine) *loop {
	return &loop{
		c: c, engine: e,
		calls:    map[engine.Call]*call{},
		sessions: map[uint64]*Session{},
		conns:    map[uint64]*conn{},
	}
}

func (l *loop) run() {
	defer close(l.c.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		// Whoever is about to ask may still do so: one frame for many requests.
		runtime.Gosched()
		tasks, closed := l.take()
		// Read after the tasks were taken and before anything is sent: later than every frame's arrival, earlier than
		// every frame's departure. Leases are counted from it.
		now := l.c.now()
		for _, t := range tasks {
			t(l, now)
		}
		l.perform(l.engine.Flush(now))
		if closed {
			l.shutdown()
			return
		}
		var due <-chan time.Time
		if at, ok := l.engine.NextTimer(); ok || l.held > 0 {
			sleep := lookAgain
			if ok && (l.held == 0 || at-now < sleep) {
				sleep = at - now
			}
			timer.Reset(max(sleep, 0))
			due = timer.C
		}
		select {
		case <-l.c.wake:
		case <-due:
		}
	}
}

// take empties the inbox.
func (l *loop) take() (tasks []task, closed bool) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	tasks, l.c.inbox = l.c.inbox, nil
	return tasks, l.c.closed
}

// perform carries out what the engine wants, in the engine's order.
func (l *loop) perform(eff engine.Effects) {
	for _, id := range eff.Close {
		l.forget(id, nil)
	}
	for _, d := range eff.Dial {
		l.dial(d)
	}
	for _, out := range eff.Frames {
		if cn := l.conns[out.Conn]; cn != nil {
			cn.send(out.Frame)
		}
	}
	// Completions first: an event may be about the lock that one of them grants.
	for _, d := range eff.Done {
		l.complete(d)
	}
	for _, ev := range eff.Events {
		l.event(ev)
	}
}

// begin hands a call to the engine.
func (l *loop) begin(k *call, now, deadline time.Duration, start startFunc) {
	k.id = start(l, now, deadline)
	l.calls[k.id] = k
}

func (l *loop) complete(d engine.Completion) {
	k := l.calls[d.Call]
	if k == nil {
		return
	}
	delete(l.calls, d.Call)
	if k.then != nil {
		k.then(l, d)
	}
	k.done <- d
}

// event tells the session, and ends what was lost.
func (l *loop) event(ev engine.Event) {
	s := l.sessions[ev.Session]
	switch ev.Kind {
	case engine.EventConnected:
		l.c.log.Info("dlm: connected", "server", ev.Server)
	case engine.EventDisconnected:
		l.c.log.Info("dlm: disconnected", "server", ev.Server, "why", ev.Err)
	case engine.EventSessionLost:
		if s != nil {
			l.c.log.Warn("dlm: session lost", "session", s.id, "locks", len(s.locks), "why", ev.Err)
			l.end(s, ev.Err)
		}
	case engine.EventLockLost:
		if s != nil {
			l.c.log.Warn("dlm: lock lost", "session", s.id, "lock", ev.Lock, "token", ev.Token, "why", ev.Err)
			if lk := s.locks[lockKey{ev.Lock, ev.Token}]; lk != nil {
				l.drop(lk, ev.Err)
			}
			s.push(Event{Kind: LockLost, Lock: ev.Lock, Token: ev.Token, Err: ev.Err})
		}
	case engine.EventContended:
		if s != nil {
			s.push(Event{Kind: Contended, Lock: ev.Lock, Token: ev.Token})
		}
	case engine.EventQueued:
		if s != nil {
			s.push(Event{Kind: Queued, Lock: ev.Lock})
		}
	}
}

// keep registers a hold that was just granted.
func (l *loop) keep(lk *Lock) {
	lk.s.locks[lk.key()] = lk
	l.held++
	l.refresh(lk)
}

// refresh copies the engine's present lease end to where Held reads it without asking.
func (l *loop) refresh(lk *Lock) {
	end, ok := l.engine.LeaseEnd(lk.s.id, lk.name, lk.token)
	if !ok {
		end = 0
	}
	lk.leaseEnd.Store(int64(end))
}

// drop ends a hold here: Held says no and Context is done when it returns.
func (l *loop) drop(lk *Lock, why error) {
	if lk.s.locks[lk.key()] != lk {
		return
	}
	delete(lk.s.locks, lk.key())
	l.held--
	lk.over.Store(true)
	lk.cancel(why)
}

// end ends a session here, with all its holds and its events.
func (l *loop) end(s *Session, why error) {
	if l.sessions[s.id] != s {
		return
	}
	delete(l.sessions, s.id)
	for _, lk := range s.locks {
		l.drop(lk, why)
	}
	s.cancel(why)
	s.push(Event{Kind: SessionLost, Err: why})
	close(s.events)
}

// shutdown answers everybody and lets go of everything.
func (l *loop) shutdown() {
	for id, k := range l.calls {
		delete(l.calls, id)
		k.done <- engine.Completion{Call: id, Err: ErrClosed}
	}
	for _, s := range l.sessions {
		l.end(s, fmt.Errorf("%w: %w", ErrLost, ErrClosed))
	}
	for id := range l.conns {
		l.forget(id, ErrClosed)
	}
}

// dial begins a connection; its goroutines report through tasks.
func (l *loop) dial(d engine.Dial) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cn := &conn{c: l.c, id: d.Conn, server: d.Server, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1)}
	l.conns[d.Conn] = cn
	l.c.conns.Go(cn.run)
}

// forget ends a connection that is no longer wanted or no longer there.
func (l *loop) forget(id uint64, why error) {
	cn := l.conns[id]
	if cn == nil {
		return
	}
	delete(l.conns, id)
	if cn.up {
		l.up--
	}
	if why == nil {
		why = errors.New("client: the server did not answer in time")
	}
	if l.up == 0 {
		why = fmt.Errorf("%s: %w", l.c.net.name(cn.server), why)
		l.c.health.Store(&why)
	}
	cn.cancel(why)
}

// connected notes that a connection stands.
func (l *loop) connected(cn *conn, now time.Duration) {
	if l.conns[cn.id] != cn {
		return
	}
	cn.up = true
	l.up++
	l.engine.Connected(now, cn.id)
}
