package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"dlm/client/engine"
)

// lookAgain bounds how long the loop sleeps while locks are held. Timers of Go stand still while the machine is suspended,
// lease clocks do not: after a resume the loss is noticed within this time (Held notices at once).
const lookAgain = time.Second

// loop owns the engine. What has been posted is dealt with in turns, one at a time: by the loop's goroutine, or by one that has the
// only news (visit).
type loop struct {
	c *Client

	mu       sync.Mutex // a turn is on its way; guards all below
	engine   *engine.Engine
	calls    []*call // by place
	pending  int     // calls
	sessions map[uint64]*Session
	conns    map[uint64]*conn
	held     int // locks of all sessions
	up       int // connections that stand
	timer    *time.Timer
	timed    bool          // timer is set
	timerAt  time.Duration // for when
	spare    []task        // an inbox that was emptied, to be used again
	visitor  [1]task       // the room for a visit's
}

func newLoop(c *Client, e *engine.Engine) *loop {
	l := &loop{
		c: c, engine: e,
		sessions: map[uint64]*Session{},
		conns:    map[uint64]*conn{},
		timer:    time.NewTimer(time.Hour),
	}
	l.timer.Stop()
	return l
}

func (l *loop) run() {
	defer close(l.c.ended)
	defer l.timer.Stop()
	for {
		select {
		case <-l.c.wake:
		case <-l.timer.C:
			l.mu.Lock()
			l.timed = false
			l.mu.Unlock()
		}
		// Whoever is about to ask may still do so: one frame for many requests.
		runtime.Gosched()
		if l.ownTurn() {
			return
		}
	}
}

// ownTurn is a turn of the loop's goroutine. It says whether that was the last one.
func (l *loop) ownTurn() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	tasks, closed := l.take()
	l.turn(tasks, false)
	clear(tasks)
	l.spare = tasks
	if closed {
		l.shutdown()
	}
	return closed
}

// turn carries out tasks and what the engine makes of them. The caller has mu. If it is alone it gets a connection to send on, if there
// is something to send.
func (l *loop) turn(tasks []task, alone bool) (claimed *conn) {
	// Read after the tasks were taken and before anything is sent: later than every frame's arrival, earlier than
	// every frame's departure. Leases are counted from it.
	now := l.c.now()
	for _, t := range tasks {
		t.run(l, now)
	}
	claimed = l.perform(l.engine.Flush(now), alone)
	l.setTimer(now)
	return claimed
}

// setTimer sees to it that the loop's goroutine has a turn in time. A timer that is set for earlier stays so: most deadlines are gone
// before they come, and a turn too many does nothing.
func (l *loop) setTimer(now time.Duration) {
	at, ok := l.engine.NextTimer()
	if l.held > 0 && (!ok || at > now+lookAgain) {
		at, ok = now+lookAgain, true
	}
	if ok && (!l.timed || at < l.timerAt) {
		l.timed, l.timerAt = true, at
		l.timer.Reset(max(at-now, 0))
	}
}

// take empties the inbox.
func (l *loop) take() (tasks []task, closed bool) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	tasks, l.c.inbox = l.c.inbox, l.spare[:0]
	return tasks, l.c.closed
}

// perform carries out what the engine wants. Who is alone may get a connection with frames to send.
//
// What was lost is over here before a frame leaves: the frame may confirm the loss, and then the lock is somebody else's. An event
// may be about a lock that a call of the same flush was granted, so calls are settled before events, and hear of it after them.
func (l *loop) perform(eff engine.Effects, alone bool) (claimed *conn) {
	for _, id := range eff.Close {
		l.forget(id, nil)
	}
	for _, d := range eff.Dial {
		l.dial(d)
	}
	for i := range eff.Done {
		l.settle(&eff.Done[i])
	}
	for _, ev := range eff.Events {
		l.event(ev)
	}
	for _, out := range eff.Frames {
		if cn := l.conns[out.Conn]; cn != nil {
			if alone && claimed == nil && cn.claim(out.Frame) {
				claimed = cn
			}
			cn.send(out.Frame)
		}
	}
	for i := range eff.Done {
		l.complete(&eff.Done[i])
	}
	return claimed
}

// settle lets a call's operation take what came of it.
func (l *loop) settle(d *engine.Completion) {
	k := l.calls[d.Call.Place()]
	d.Err = k.op.end(l, *d)
}

// complete tells the caller.
func (l *loop) complete(d *engine.Completion) {
	k := l.calls[d.Call.Place()]
	l.calls[d.Call.Place()] = nil
	l.pending--
	k.done <- *d
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
			locks := len(s.locks)
			l.end(s, ev.Err)
			l.c.log.Warn("dlm: session lost", "session", s.id, "locks", locks, "why", ev.Err)
		}
	case engine.EventLockLost:
		if s != nil {
			if lk := s.locks[ev.Token]; lk != nil {
				l.drop(lk, ev.Err)
			}
			l.c.log.Warn("dlm: lock lost", "session", s.id, "lock", ev.Lock, "token", ev.Token, "why", ev.Err)
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

// keep registers a hold that lasts until then at least.
func (l *loop) keep(lk *Lock, until time.Duration) {
	lk.leaseEnd.Store(int64(until))
	lk.s.locks[lk.token] = lk
	l.held++
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
	if lk.s.locks[lk.token] != lk {
		return
	}
	delete(lk.s.locks, lk.token)
	l.held--
	lk.end(why)
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
	for _, k := range l.calls {
		if k != nil {
			k.done <- engine.Completion{Call: k.id, Err: ErrClosed}
		}
	}
	l.calls, l.pending = nil, 0
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
