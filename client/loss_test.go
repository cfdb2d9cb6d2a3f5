package client

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// halting is a logger that stands still in the midst of a message.
type halting struct {
	slog.Handler
	message       string
	entered, goOn chan struct{}
}

func newHalting(message string) halting {
	return halting{slog.DiscardHandler, message, make(chan struct{}), make(chan struct{})}
}

func (h halting) Enabled(context.Context, slog.Level) bool { return true }

func (h halting) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		close(h.entered)
		<-h.goOn
	}
	return nil
}

// acquire asks for a lock in the background.
func acquire(s *Session, name string) <-chan *Lock {
	got := make(chan *Lock, 1)
	go func() {
		if lk, err := s.Lock(context.Background(), name); err == nil {
			got <- lk
		}
	}()
	return got
}

// Nobody else gets a lock that was revoked before its holder's Held says no, however long that takes.
func TestRevokedLockIsOverBeforeAnotherHasIt(t *testing.T) {
	f, log := newFakeCluster(t), newHalting("dlm: lock lost")
	b := f.client(WithLogger(slog.New(log)))
	defer b.Close()
	a, c := f.client(), f.client()
	defer a.Close()
	defer c.Close()
	lb := lock(t, open(t, b), "x")
	got := acquire(open(t, c), "x")
	if _, err := a.Revoke(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	<-log.entered
	defer close(log.goOn)
	if lb.Err() == nil {
		t.Error("it is told of, and not over")
	}
	select {
	case lc := <-got:
		if lb.Held() {
			t.Errorf("tokens %d and %d of one lock are held at the same time", lb.Token(), lc.Token())
		}
	case <-time.After(100 * time.Millisecond):
	}
}

// A grant and its loss may arrive in one turn: the caller gets a lock that is over.
func TestGrantThatIsLostAtOnce(t *testing.T) {
	f, log := newFakeCluster(t), newHalting("dlm: lock lost")
	b := f.client(WithLogger(slog.New(log)))
	defer b.Close()
	a, c := f.client(), f.client()
	defer a.Close()
	defer c.Close()
	la := lock(t, open(t, a), "x")
	gotB := acquire(open(t, b), "x")
	for len(f.lock("x").GetWaiters()) < 1 {
		time.Sleep(time.Millisecond)
	}
	gotC := acquire(open(t, c), "x")
	for len(f.lock("x").GetWaiters()) < 2 {
		time.Sleep(time.Millisecond)
	}
	b.loop.mu.Lock() // b has no turn for a while
	if err := la.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Revoke(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	for arrived := 0; arrived < 2; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		arrived = len(b.inbox)
		b.mu.Unlock()
	}
	b.loop.mu.Unlock()
	<-log.entered
	select {
	case <-gotC:
		t.Error("another has the lock before it is over here")
	case lb := <-gotB:
		if lb.Held() {
			t.Error("it is held after it was lost")
		}
	case <-time.After(100 * time.Millisecond):
	}
	close(log.goOn)
	select {
	case lb := <-gotB:
		if lb.Held() || lb.Err() == nil {
			t.Errorf("held: %v, %v", lb.Held(), lb.Err())
		}
	case <-time.After(time.Second):
		t.Error("no grant")
	}
}

// From Unlock on nothing says that the lock is held, also if the caller does not wait and the loop is busy.
func TestUnlockWithAnEndedContext(t *testing.T) {
	f := newFakeCluster(t)
	c := f.client()
	defer c.Close()
	lk := lock(t, open(t, c), "x")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c.loop.mu.Lock()
	_ = lk.Unlock(ended)
	if lk.Held() {
		t.Error("held after Unlock")
	}
	c.loop.mu.Unlock()
}
