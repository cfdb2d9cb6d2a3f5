package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// unlockGrace is how long Do waits for the release when its ctx has ended already.
const unlockGrace = time.Second

// Lock is one hold.
type Lock struct {
	s       *Session
	name    string
	mode    dlmv1.Mode
	token   uint64         // from the grant on
	acquire *dlmv1.Acquire // until then

	// over: released or lost, for good, because of why.
	over atomic.Bool
	why  error

	mu     sync.Mutex
	ctx    context.Context // nil until somebody asks for it
	cancel context.CancelCauseFunc

	// leaseEnd is a local time before which the lock is surely held. Leases only grow (Renew aside, which resets this
	// first), so an old value is merely too small: Held then asks the loop.
	leaseEnd atomic.Int64
}

// locking is the call that acquires a lock.
type locking Lock

func (k *locking) String() string { return fmt.Sprintf("lock %q", k.name) }

func (k *locking) begin(l *loop, now, deadline time.Duration) engine.Call {
	return l.engine.Lock(now, deadline, k.s.id, k.acquire)
}

func (k *locking) end(l *loop, d engine.Completion) error {
	k.acquire = nil
	if d.Err != nil {
		return d.Err
	}
	lk := (*Lock)(k)
	lk.token = d.Answer.GetToken()
	if l.sessions[lk.s.id] != lk.s {
		// The session ended within the same flush.
		lk.end(context.Cause(lk.s.ctx))
		return nil
	}
	l.keep(lk, d.LeaseEnd)
	return nil
}

// unlocking is a call that releases one.
type unlocking Lock

func (k *unlocking) String() string { return fmt.Sprintf("unlock %q (token %d)", k.name, k.token) }

func (k *unlocking) begin(l *loop, now, _ time.Duration) engine.Call {
	lk := (*Lock)(k)
	l.drop(lk, ErrReleased)
	return l.engine.Unlock(now, 0, lk.s.id, lk.name, lk.token)
}

func (k *unlocking) end(_ *loop, d engine.Completion) error { return d.Err }

// end says for good that the lock is not held. Only the first why counts: it returns an earlier one.
func (lk *Lock) end(why error) (before error) {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	if lk.over.Load() {
		return lk.why
	}
	lk.why = why
	lk.over.Store(true)
	if lk.cancel != nil {
		lk.cancel(why)
	}
	return nil
}

// Name is the name of the lock.
func (lk *Lock) Name() string { return lk.name }

// Token is the fencing token: greater than every token granted before, of any lock.
func (lk *Lock) Token() uint64 { return lk.token }

// Shared reports whether the hold is a shared one.
func (lk *Lock) Shared() bool { return lk.mode == dlmv1.Mode_MODE_SHARED }

// Session is whose hold it is.
func (lk *Lock) Session() *Session { return lk.s }

// Held reports whether the lock is surely held at this instant. It is cheap, and does not wait for the network. Once it says no, Err says
// why.
func (lk *Lock) Held() bool {
	if lk.over.Load() {
		return false
	}
	if int64(lk.s.c.now()) < lk.leaseEnd.Load() {
		return true
	}
	held := false
	lk.s.c.ask(func(l *loop, now time.Duration) {
		if !lk.over.Load() {
			l.refresh(lk)
			held = l.engine.Held(now, lk.s.id, lk.name, lk.token)
		}
	})
	if !held {
		// The turn that found it goes on to say why.
		lk.s.c.ask(func(*loop, time.Duration) {})
	}
	return held && !lk.over.Load()
}

// LeaseEnd is the reading of the client's clock (CLOCK_BOOTTIME on Linux) until which the lock is surely held if nothing
// more is heard of the cluster; false if it is not held now.
func (lk *Lock) LeaseEnd() (time.Duration, bool) {
	var end time.Duration
	held := false
	lk.s.c.ask(func(l *loop, _ time.Duration) {
		if !lk.over.Load() {
			end, held = l.engine.LeaseEnd(lk.s.id, lk.name, lk.token)
		}
	})
	return end, held
}

// Context is done as soon as the lock is not held any more: at the latest when the lease ends by this process's clock,
// which is before the server can give the lock to somebody else. Its cause is why: ErrReleased, or ErrLost with a reason.
func (lk *Lock) Context() context.Context {
	lk.mu.Lock()
	defer lk.mu.Unlock()
	if lk.ctx == nil {
		lk.ctx, lk.cancel = context.WithCancelCause(context.Background())
		if lk.over.Load() {
			lk.cancel(lk.why)
		}
	}
	return lk.ctx
}

// Err is nil while the lock is held, then the cause of Context.
func (lk *Lock) Err() error {
	if lk.over.Load() {
		return lk.why // written before over
	}
	return nil
}

// Unlock releases the lock. From the call on nothing says "held" any more. It returns when the server has answered; when
// ctx ends first, the release goes on in the background while the client lives. A lock that was lost before answers why;
// one that was released before answers ErrReleased.
func (lk *Lock) Unlock(ctx context.Context) error {
	before := lk.end(ErrReleased)
	k, err := lk.s.c.start((*unlocking)(lk), time.Time{})
	if err != nil {
		return err
	}
	err = lk.s.c.await(ctx, k)
	if before != nil && ctx.Err() == nil {
		return fmt.Errorf("client: %s: %w", (*unlocking)(lk), before)
	}
	return err
}

// unlockAfter is Unlock for somebody whose ctx may have ended.
func (lk *Lock) unlockAfter(ctx context.Context) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), unlockGrace)
		defer cancel()
	}
	return lk.Unlock(ctx)
}

// Renew starts the hold limit anew, with another limit unless it is 0.
func (lk *Lock) Renew(ctx context.Context, limit time.Duration) error {
	what := fmt.Sprintf("renew %q (token %d)", lk.name, lk.token)
	if limit < 0 {
		return fmt.Errorf("client: %s: %w: hold limit %v: a duration must not be negative", what, ErrInvalid, limit)
	}
	r := &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: lk.name, Token: lk.token, HoldLimitNanos: uint64(limit)}}}
	_, err := lk.s.op(ctx, said(what), r)
	return err
}

// Append adds data to the end of a file of the service and returns the offset where it begins. It takes effect only if this
// hold is the current one when the cluster gets to it, and exclusive. The first append binds the file to the lock.
func (lk *Lock) Append(ctx context.Context, file string, data []byte) (offset uint64, err error) {
	r := &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: lk.name, Token: lk.token, Data: append([]byte(nil), data...)}}}
	answer, err := lk.s.op(ctx, func() string { return fmt.Sprintf("append to %q under %q (token %d)", file, lk.name, lk.token) }, r)
	return answer.GetOffset(), err
}

// Delete removes a file that is bound to this lock, on the same conditions as Append.
func (lk *Lock) Delete(ctx context.Context, file string) error {
	r := &dlmv1.Request{Op: &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: file, Lock: lk.name, Token: lk.token}}}
	_, err := lk.s.op(ctx, said(fmt.Sprintf("delete %q under %q (token %d)", file, lk.name, lk.token)), r)
	return err
}
