package client

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// Session is what the cluster knows this program by. It is kept alive in the background until it is closed or lost.
type Session struct {
	c       *Client
	id      uint64
	ctx     context.Context
	cancel  context.CancelCauseFunc
	events  chan Event
	dropped atomic.Uint64
	ttl     time.Duration
	// locks, by token, belongs to the loop.
	locks map[uint64]*Lock
}

// OpenSession begins a session.
func (c *Client) OpenSession(ctx context.Context, opts ...SessionOption) (*Session, error) {
	o, err := newSessionOptions(opts)
	if err != nil {
		return nil, err
	}
	return c.session(ctx, "open session", o, func(l *loop, now, deadline time.Duration) engine.Call {
		return l.engine.OpenSession(now, deadline, o.SessionOptions)
	})
}

// AttachSession takes over a session that another process opened. That process is fenced off: its calls fail with
// ErrFenced, its waits are cancelled. The session's holds stay: see Session.Locks. It is renewed, and keeps the TTL and the
// label that it was opened with. If several processes attach, the last one has it.
func (c *Client) AttachSession(ctx context.Context, id uint64, opts ...SessionOption) (*Session, error) {
	o, err := newSessionOptions(opts)
	if err != nil {
		return nil, err
	}
	return c.session(ctx, fmt.Sprintf("attach session %d", id), o, func(l *loop, now, deadline time.Duration) engine.Call {
		return l.engine.AttachSession(now, deadline, id, o.SessionOptions)
	})
}

func (c *Client) session(ctx context.Context, what string, o sessionOptions, start func(l *loop, now, deadline time.Duration) engine.Call) (*Session, error) {
	s := &Session{c: c, events: make(chan Event, o.events), locks: map[uint64]*Lock{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	_, err := c.do(ctx, &request{what: said(what), start: start, then: func(l *loop, d engine.Completion) {
		if d.Err == nil {
			s.id = d.Session
			s.ttl = time.Duration(d.Answer.GetTtlNanos())
			l.sessions[s.id] = s
			for _, h := range d.Answer.GetHolds() {
				lk := &Lock{s: s, name: h.GetLock(), mode: h.GetMode(), token: h.GetToken()}
				l.keep(lk, 0)
				l.refresh(lk)
			}
		}
	}})
	if err != nil {
		s.cancel(err)
		return nil, err
	}
	return s, nil
}

// ID names the session in the cluster. Never 0.
func (s *Session) ID() uint64 { return s.id }

// TTL is how long the session outlives its last renewal.
func (s *Session) TTL() time.Duration { return s.ttl }

// LeaseEnd is the reading of the client's clock (CLOCK_BOOTTIME on Linux) until which the session surely lives if nothing
// more is heard of the cluster; false if it does not live now. A hold of it may end before, by its hold limit.
func (s *Session) LeaseEnd() (time.Duration, bool) {
	var end time.Duration
	lives := false
	s.c.ask(func(l *loop, _ time.Duration) { end, lives = l.engine.SessionEnd(s.id) })
	return end, lives
}

// Context is done when the session is closed or lost; its cause says why.
func (s *Session) Context() context.Context { return s.ctx }

// Locks returns the locks that the session holds right now, after AttachSession those of the former process too.
func (s *Session) Locks() []*Lock {
	var locks []*Lock
	s.c.ask(func(*loop, time.Duration) {
		for _, lk := range s.locks {
			locks = append(locks, lk)
		}
	})
	return locks
}

// Lock acquires name, queueing for it as long as ctx and Wait allow. It fails with ErrWaitTimeout, with ErrLost (and why)
// if the session ends meanwhile, or with the error of ctx; then nothing is left behind.
func (s *Session) Lock(ctx context.Context, name string, opts ...LockOption) (*Lock, error) {
	a, err := newAcquire(name, opts)
	if err != nil {
		return nil, err
	}
	lk := &Lock{s: s, name: name, mode: a.GetMode(), acquire: a}
	if _, err := s.c.do(ctx, (*locking)(lk)); err != nil {
		return nil, err
	}
	return lk, nil
}

// TryLock is Lock without queueing: if the lock is taken or waited for it fails with ErrNotAcquired.
func (s *Session) TryLock(ctx context.Context, name string, opts ...LockOption) (*Lock, error) {
	return s.Lock(ctx, name, append(opts[:len(opts):len(opts)], Wait(0))...)
}

// Do runs f under a lock. The context of f ends when ctx does, and when the lock is lost; then its cause says why. Do
// returns f's error; if the lock was lost meanwhile, also that (errors.Is finds both).
func (s *Session) Do(ctx context.Context, name string, f func(ctx context.Context, l *Lock) error, opts ...LockOption) error {
	lk, err := s.Lock(ctx, name, opts...)
	if err != nil {
		return err
	}
	defer func() { _ = lk.unlockAfter(ctx) }() // also when f panics
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(lk.Context(), func() { cancel(lk.Err()) })
	defer stop()
	err = f(inner, lk)
	if lost := lostOr(lk.Err()); lost != nil {
		if err == nil {
			return fmt.Errorf("client: lock %q: %w", name, lost)
		}
		return fmt.Errorf("%w (lock %q: %w)", err, name, lost)
	}
	return err
}

// Close ends the session and releases all its locks. When ctx ends first, the closing goes on in the background while the
// client lives; otherwise the session ends with its TTL.
func (s *Session) Close(ctx context.Context) error {
	k, err := s.c.start(s.closing(), time.Time{})
	if err != nil {
		return err
	}
	return s.c.await(ctx, k)
}

// closing ends the session on this side before anything is sent: from then on nothing is held.
func (s *Session) closing() operation {
	return &request{what: said(fmt.Sprintf("close session %d", s.id)), start: func(l *loop, now, _ time.Duration) engine.Call {
		l.end(s, fmt.Errorf("%w: %w", ErrLost, ErrSessionClosed))
		return l.engine.CloseSession(now, 0, s.id)
	}}
}

// Request makes one logged request other than to acquire, release, open, attach, close or cancel, which have methods of
// their own: renew, append, delete, and what operators ask for. Only its op is used, which must not be changed any more. A
// (lock, token) in it need not be one of Locks: the cluster answers what became of it.
func (s *Session) Request(ctx context.Context, what string, r *dlmv1.Request) (*dlmv1.Answer, error) {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Renew, *dlmv1.Request_Append, *dlmv1.Request_Delete, *dlmv1.Request_KeepAlive,
		*dlmv1.Request_Revoke, *dlmv1.Request_RevokeSession, *dlmv1.Request_SetLimits:
		return s.op(ctx, said(what), r)
	default:
		return nil, fmt.Errorf("client: %s: %w: %T is not for Request", what, ErrInvalid, op)
	}
}

// op makes one logged request of the session.
func (s *Session) op(ctx context.Context, what words, r *dlmv1.Request) (*dlmv1.Answer, error) {
	renewed := r.GetRenew().GetToken()
	d, err := s.c.do(ctx, &request{what: what, start: func(l *loop, now, deadline time.Duration) engine.Call {
		if lk := s.locks[renewed]; lk != nil {
			// A shorter limit shortens the lease: Held must ask from here on.
			lk.leaseEnd.Store(0)
		}
		return l.engine.Do(now, deadline, s.id, r)
	}, then: func(l *loop, _ engine.Completion) {
		if lk := s.locks[renewed]; lk != nil {
			l.refresh(lk)
		}
	}})
	return d.Answer, err
}
