package goals

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// load is what applications do: workers that lock, append to the lock's file, renew and unlock.
type load struct {
	ledger  *rig.Ledger
	prefix  string // of the names of locks and files
	workers int
	rounds  int // of each worker, at least
	appends int // in each round
	locks   int // shared out among the workers
	// more has the workers go on until it is closed. nil = no longer than rounds.
	more <-chan struct{}

	locked, appended, unlocked atomic.Int64
	slowest                    atomic.Int64 // nanoseconds of a call
}

// run has the workers do their rounds, each with a session of its own. Every call must succeed.
func (l *load) run(ctx context.Context, c *client.Client, ttl time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for w := range l.workers {
		all.Go(func() {
			if err := l.work(ctx, c, ttl, w); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (l *load) work(ctx context.Context, c *client.Client, ttl time.Duration, w int) error {
	s, err := c.OpenSession(ctx, client.WithTTL(ttl), client.WithLabel(fmt.Sprintf("%s worker %d", l.prefix, w)))
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%d", l.prefix, w%l.locks)
	for n := 0; n < l.rounds || l.goOn(); n++ {
		if err := l.round(ctx, s, name, fmt.Sprintf("worker %d", w)); err != nil {
			return err
		}
	}
	return s.Close(ctx)
}

// goOn says whether there is more to do, after a short pause: the point is what happens, not how often.
func (l *load) goOn() bool {
	if l.more == nil {
		return false
	}
	select {
	case <-l.more:
		return false
	case <-time.After(2 * time.Millisecond):
		return true
	}
}

func (l *load) round(ctx context.Context, s *client.Session, name, writer string) error {
	floor := l.ledger.Floor()
	// A wait in the queue is no slow call.
	lk, err := s.Lock(ctx, name, client.HoldLimit(time.Minute))
	if err != nil {
		return err
	}
	l.locked.Add(1)
	if err := l.ledger.Granted(name, lk.Token(), floor); err != nil {
		return err
	}
	for range l.appends {
		w := l.ledger.Try(name, lk.Token(), writer, 64)
		var offset uint64
		if err := l.timed(func() (err error) { offset, err = lk.Append(ctx, w.File, []byte(w.Line)); return err }); err != nil {
			return err
		}
		w.Acked(offset)
		l.appended.Add(1)
	}
	if err := l.timed(func() error { return lk.Renew(ctx, 0) }); err != nil {
		return err
	}
	if err := l.timed(func() error { return lk.Unlock(ctx) }); err != nil {
		return err
	}
	l.unlocked.Add(1)
	return nil
}

func (l *load) timed(call func() error) error {
	began := time.Now()
	err := call()
	took := int64(time.Since(began))
	for {
		old := l.slowest.Load()
		if took <= old || l.slowest.CompareAndSwap(old, took) {
			return err
		}
	}
}

// verify compares what the service has with the ledger, and sees that nothing is left behind.
func (l *load) verify(ctx context.Context, c *client.Client, s *rig.Scenario) error {
	t, err := l.ledger.Check(ctx, c)
	if err != nil {
		return err
	}
	rounds := int(l.locked.Load())
	if rounds < l.workers*l.rounds || int(l.unlocked.Load()) != rounds || l.ledger.Grants() != rounds || t.Acked != rounds*l.appends || t.Unacked != 0 {
		return fmt.Errorf("%d rounds locked and %d unlocked, at least %d should have; %d appends were acknowledged, %d should be",
			rounds, l.unlocked.Load(), l.workers*l.rounds, t.Acked, rounds*l.appends)
	}
	for info, err := range c.Locks(ctx, l.prefix) {
		if err != nil {
			return err
		}
		return fmt.Errorf("lock %q was left behind: %d holders, %d waiters", info.GetLock(), len(info.GetHolders()), len(info.GetWaiters()))
	}
	s.See("all %d locks, %d appends, %d renewals, %d releases were answered, the slowest after %v; no lock is left behind",
		rounds, t.Acked, rounds, rounds, roundMS(time.Duration(l.slowest.Load())))
	s.See("tokens only grew over %d grants; %d files of %d bytes hold each append once, in order, and nothing else", l.ledger.Grants(), t.Files, t.Bytes)
	return nil
}
