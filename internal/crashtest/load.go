package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

const (
	lockCount = 16
	// ttl is long enough that a client is heard of in time, however often the server dies.
	ttl = 2 * time.Minute
)

// load is the clients and what they know.
type load struct {
	clients int
	ledger  *rig.Ledger
	// rest is taken for writing by whoever wants that nobody holds a lock; each client has it for reading while it works.
	rest sync.RWMutex

	locks, appends, unlocks, givenUp atomic.Int64
}

func newLoad(clients int) *load { return &load{clients: clients, ledger: rig.NewLedger()} }

func (l *load) acked() int64 { return l.locks.Load() + l.appends.Load() + l.unlocks.Load() }

func (l *load) names() []string {
	var names []string
	for i := range lockCount {
		names = append(names, lockName(i))
	}
	return names
}

// lockName is also the name of the file that is appended to under the lock.
func lockName(i int) string { return fmt.Sprintf("crash-%d", i) }

func dial(addr string) (*client.Client, error) {
	return client.Dial(addr, client.WithAttemptTimeout(time.Second), client.WithBackoff(2*time.Millisecond, 30*time.Millisecond))
}

// start has the clients work until stop, which waits for them. What goes wrong is reported, and ends everything.
func (l *load) start(ctx context.Context, addr string, report context.CancelCauseFunc) (stop func() error) {
	enough := make(chan struct{})
	var all sync.WaitGroup
	for i := range l.clients {
		all.Go(func() {
			if err := l.work(ctx, addr, i, enough); err != nil {
				report(fmt.Errorf("client %d: %w", i, err))
			}
		})
	}
	var once sync.Once
	return func() error {
		once.Do(func() { close(enough) })
		all.Wait()
		return context.Cause(ctx)
	}
}

// progress returns when something more was acknowledged.
func (l *load) progress(ctx context.Context) error {
	for before := l.acked(); l.acked() == before; {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (l *load) work(ctx context.Context, addr string, number int, enough <-chan struct{}) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	who := fmt.Sprintf("client %d", number)
	s, err := c.OpenSession(ctx, client.WithTTL(ttl), client.WithLabel(who))
	if err != nil {
		return err
	}
	for {
		select {
		case <-enough:
			return s.Close(ctx)
		case <-ctx.Done():
			return nil // somebody else has reported
		default:
		}
		l.rest.RLock()
		err := l.round(ctx, s, who)
		l.rest.RUnlock()
		if err != nil {
			return err
		}
	}
}

// round is one lock, some appends, one release.
func (l *load) round(ctx context.Context, s *client.Session, who string) error {
	name := lockName(rand.IntN(lockCount))
	floor := l.ledger.Floor()
	lk, err := impatiently(ctx, func(ctx context.Context) (*client.Lock, error) { return s.Lock(ctx, name) })
	if err != nil {
		return l.given(ctx, err)
	}
	l.locks.Add(1)
	if err := l.ledger.Granted(name, lk.Token(), floor); err != nil {
		return err
	}
	for range rand.IntN(3) {
		w := l.ledger.Try(name, lk.Token(), who, 20+rand.IntN(1200))
		offset, err := impatiently(ctx, func(ctx context.Context) (uint64, error) { return lk.Append(ctx, name, []byte(w.Line)) })
		if err != nil {
			if err := l.given(ctx, err); err != nil {
				return err
			}
			continue
		}
		w.Acked(offset)
		l.appends.Add(1)
	}
	if err := lk.Unlock(ctx); err != nil {
		return l.given(ctx, err)
	}
	l.unlocks.Add(1)
	return nil
}

// impatiently makes a call, now and then with a deadline so short that it may be given up while it is under way.
func impatiently[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	if rand.IntN(10) > 0 {
		return call(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, rand.N(40*time.Millisecond))
	defer cancel()
	return call(ctx)
}

// given lets pass what a caller gave up itself.
func (l *load) given(ctx context.Context, err error) error {
	if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	l.givenUp.Add(1)
	return nil
}
