package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// bubble runs a test in virtual time. synctest itself is the leak check: it fails when a goroutine outlives the test.
func bubble(t *testing.T, f func(t *testing.T, f *fakeCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFakeCluster(t)) })
}

func open(t *testing.T, c *Client, opts ...SessionOption) *Session {
	t.Helper()
	s, err := c.OpenSession(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func lock(t *testing.T, s *Session, name string, opts ...LockOption) *Lock {
	t.Helper()
	l, err := s.Lock(t.Context(), name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Held() {
		t.Fatalf("%q is not held right after the grant", name)
	}
	return l
}

func wantIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %v: want errors.Is %v", err, target)
		}
	}
}

func TestLockAndUnlock(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		s := open(t, c, WithTTL(10*time.Second))
		a, b := lock(t, s, "a"), lock(t, s, "b", Shared())
		if a.Token() == 0 || b.Token() <= a.Token() {
			t.Errorf("tokens %d, %d: must grow", a.Token(), b.Token())
		}
		time.Sleep(time.Minute) // six TTLs
		if !a.Held() || a.Err() != nil {
			t.Error("a session that could renew lost its lock")
		}
		if err := a.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if a.Held() {
			t.Error("held after Unlock")
		}
		wantIs(t, context.Cause(a.Context()), ErrReleased)
		wantIs(t, a.Unlock(t.Context()), ErrReleased)
		if n := len(f.lock("a").GetHolders()); n != 0 {
			t.Errorf("%d holders after Unlock", n)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wantIs(t, context.Cause(b.Context()), ErrLost, ErrSessionClosed)
		if n := len(f.lock("b").GetHolders()); n != 0 {
			t.Errorf("%d holders after Close", n)
		}
	})
}

// G2, and G9's other side: the client knows before the cluster does.
func TestLeaseEndsHereFirst(t *testing.T) {
	for name, fault := range map[string]func(*fakeCluster){
		"cut":  func(f *fakeCluster) { f.cut(false) },
		"mute": func(f *fakeCluster) { f.setMute(true) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fakeCluster) {
				c := f.client()
				defer c.Close()
				s := open(t, c, WithTTL(3*time.Second))
				l := lock(t, s, "a")
				time.Sleep(20 * time.Second)
				fault(f)
				since := time.Now()
				<-l.Context().Done()
				if l.Held() {
					t.Error("held although Context is done")
				}
				if n := len(f.lock("a").GetHolders()); n != 1 {
					t.Errorf("the cluster has %d holders when the client hears of the loss: too late", n)
				}
				if d := time.Since(since); d < time.Second || d > 3*time.Second {
					t.Errorf("lost %v after the fault: the TTL is 3s", d)
				}
				wantIs(t, context.Cause(l.Context()), ErrLost, ErrExpired)
				<-s.Context().Done() // right after its locks'
				wantIs(t, context.Cause(s.Context()), ErrLost, ErrExpired)
				wantIs(t, l.Unlock(t.Context()), ErrLost)
				_, err := s.Lock(t.Context(), "b")
				wantIs(t, err, ErrExpired)
				var kinds []EventKind
				for ev := range s.Events() {
					kinds = append(kinds, ev.Kind)
				}
				if got := fmt.Sprint(kinds); got != "[lock lost session lost]" {
					t.Errorf("events %v", got)
				}
			})
		})
	}
}

// Whoever hears from Held that a lease is over can ask why at once, also if the loop learns of it by that question: a process was
// stopped, and its clock went on.
func TestHeldKnowsWhy(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		var stopped atomic.Int64
		c := f.client(
			WithClock(func() time.Duration { return time.Since(f.start) + time.Hour + time.Duration(stopped.Load()) }),
			WithLogger(slog.New(slowLog{slog.DiscardHandler})),
		)
		defer c.Close()
		s := open(t, c, WithTTL(3*time.Second))
		lock(t, s, "a") // is told of before the other
		l := lock(t, s, "b")
		stopped.Store(int64(4 * time.Second))
		if l.Held() {
			t.Fatal("held after the lease")
		}
		wantIs(t, l.Err(), ErrLost, ErrExpired)
	})
}

// slowLog takes its time for every line.
type slowLog struct{ slog.Handler }

func (slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (slowLog) Handle(context.Context, slog.Record) error {
	time.Sleep(time.Millisecond)
	return nil
}

// A broken connection is not noticed while the lease lasts.
func TestConnectionHeals(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		s := open(t, c, WithTTL(10*time.Second))
		l := lock(t, s, "a")
		for range 5 {
			f.cut(false)
			time.AfterFunc(2*time.Second, func() { f.cut(true) })
			if _, err := l.Append(t.Context(), "file", []byte("x")); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
		}
		if !l.Held() {
			t.Error("lost", l.Err())
		}
		if file, ok := f.core.File("file"); !ok || file.Length != 5 {
			t.Errorf("file %+v: want the 5 bytes that were appended", file)
		}
	})
}

// G8: a caller that gives up leaves nothing behind, whatever it crosses with.
func TestAbandonedLockLeavesNothing(t *testing.T) {
	for wait := range 30 {
		bubble(t, func(t *testing.T, f *fakeCluster) {
			c, d := f.client(), f.client()
			defer d.Close()
			defer c.Close()
			holder, waiter := open(t, c), open(t, d)
			l := lock(t, holder, "a")
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("changed my mind")
			go func() { cancel(why) }()
			go func() { _ = l.Unlock(t.Context()) }()
			for range wait {
				synctest.Wait()
			}
			got, err := waiter.Lock(ctx, "a")
			if err != nil {
				wantIs(t, err, why)
			} else if err := got.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
			if info := f.lock("a"); len(info.GetHolders())+len(info.GetWaiters()) != 0 {
				t.Errorf("left behind: %v", info)
			}
		})
	}
}

func TestDeadlinesAndTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		s, other := open(t, c), open(t, c)
		lock(t, other, "a")
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Lock(ctx, "a")
		wantIs(t, err, context.DeadlineExceeded)
		_, err = s.Lock(t.Context(), "a", Wait(time.Second))
		wantIs(t, err, ErrWaitTimeout)
		_, err = s.TryLock(t.Context(), "a")
		wantIs(t, err, ErrNotAcquired)
		if d := time.Since(start); d < 2*time.Second || d > 2100*time.Millisecond {
			t.Errorf("took %v: want 1s twice", d)
		}
		_, err = s.Lock(t.Context(), "a", Wait(-1))
		wantIs(t, err, ErrInvalid)
		_, err = s.Lock(t.Context(), "")
		wantIs(t, err, ErrInvalid)
		f.cut(false)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Status(ctx)
		wantIs(t, err, context.DeadlineExceeded, ErrUnavailable, errDown)
	})
}

func TestGoroutinesOfOneSessionQueue(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		s := open(t, c)
		var inside, most, runs int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				err := s.Do(t.Context(), "a", func(ctx context.Context, l *Lock) error {
					mu.Lock()
					inside++
					runs++
					most = max(most, inside)
					mu.Unlock()
					time.Sleep(10 * time.Millisecond)
					mu.Lock()
					inside--
					mu.Unlock()
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most != 1 || runs != 20 {
			t.Errorf("%d at once, %d runs: want 1 and 20", most, runs)
		}
	})
}

func TestDoTellsOfALoss(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		s := open(t, c)
		mine := errors.New("mine")
		err := s.Do(t.Context(), "a", func(ctx context.Context, l *Lock) error {
			<-ctx.Done()
			wantIs(t, context.Cause(ctx), ErrHoldLimit)
			return mine
		}, HoldLimit(time.Second))
		wantIs(t, err, mine, ErrLost, ErrHoldLimit)
		func() {
			defer func() { _ = recover() }()
			_ = s.Do(t.Context(), "b", func(context.Context, *Lock) error { panic("oops") })
		}()
		if n := len(f.lock("b").GetHolders()); n != 0 {
			t.Error("a panic left the lock held")
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = s.Do(ctx, "c", func(ctx context.Context, l *Lock) error { cancel(); return ctx.Err() })
		wantIs(t, err, context.Canceled)
		if n := len(f.lock("c").GetHolders()); n != 0 {
			t.Error("a cancelled Do left the lock held")
		}
	})
}

func TestRevoke(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c, operator := f.client(), f.client()
		defer operator.Close()
		defer c.Close()
		s := open(t, c)
		l := lock(t, s, "a")
		losses, err := operator.Revoke(t.Context(), "a", RevokeWhy("maintenance"))
		if err != nil || len(losses) != 1 || losses[0].GetToken() != l.Token() {
			t.Fatalf("revoked %v, %v", losses, err)
		}
		<-l.Context().Done()
		wantIs(t, l.Err(), ErrLost, ErrRevoked)
		_, err = l.Append(t.Context(), "f", []byte("x"))
		wantIs(t, err, ErrRevoked)
		_, err = operator.Revoke(t.Context(), "nobody's")
		wantIs(t, err, ErrNotFound)
		again := lock(t, s, "a") // the session lives
		if again.Token() <= l.Token() {
			t.Error("tokens must grow")
		}
		if err := operator.RevokeSession(t.Context(), s.ID(), RevokeNow()); err != nil {
			t.Fatal(err)
		}
		<-s.Context().Done()
		wantIs(t, again.Err(), ErrLost, ErrRevoked)
	})
}

func TestAttachFencesTheFormerProcess(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c, d := f.client(), f.client()
		defer d.Close()
		defer c.Close()
		s := open(t, c)
		l := lock(t, s, "a")
		s2, err := d.AttachSession(t.Context(), s.ID())
		if err != nil {
			t.Fatal(err)
		}
		held := s2.Locks()
		if len(held) != 1 || held[0].Token() != l.Token() || !held[0].Held() {
			t.Fatalf("attached, but holds %v", held)
		}
		_, err = s.Lock(t.Context(), "b")
		wantIs(t, err, ErrFenced)
		<-l.Context().Done()
		wantIs(t, l.Err(), ErrFenced)
		if !held[0].Held() {
			t.Error("the new instance lost the lock")
		}
	})
}

func TestEventsDropTheOldest(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		s := open(t, c, WithEventBuffer(2))
		for _, name := range []string{"a", "b", "c"} {
			lock(t, s, name, HoldLimit(time.Second))
		}
		time.Sleep(5 * time.Second)
		if n := s.DroppedEvents(); n != 1 {
			t.Errorf("%d dropped, want 1", n)
		}
		if a, b := <-s.Events(), <-s.Events(); a.Lock != "b" || b.Lock != "c" {
			t.Errorf("events of %q and %q: want the last two", a.Lock, b.Lock)
		}
	})
}

func TestRenewMovesTheHoldLimit(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		s := open(t, c)
		l := lock(t, s, "a", HoldLimit(10*time.Second))
		time.Sleep(5 * time.Second)
		if err := l.Renew(t.Context(), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1900 * time.Millisecond)
		if !l.Held() {
			t.Error("lost too early")
		}
		time.Sleep(200 * time.Millisecond)
		if l.Held() {
			t.Error("held after the shorter limit")
		}
		wantIs(t, l.Err(), ErrHoldLimit)
	})
}

func TestCloseEndsEverything(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		s, other := open(t, c), open(t, c)
		l := lock(t, s, "a")
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := other.Lock(t.Context(), "a")
				if err == nil || !errors.Is(err, ErrClosed) && !errors.Is(err, ErrSessionClosed) {
					t.Errorf("a waiting Lock ended with %v", err)
				}
			})
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if l.Held() || l.Context().Err() == nil {
			t.Error("held after Close")
		}
		if n := len(f.lock("a").GetHolders()); n != 0 {
			t.Error("Close left the lock held although the cluster could be reached")
		}
		_, err := c.OpenSession(t.Context())
		wantIs(t, err, ErrClosed)
		if l.Held() {
			t.Error("held")
		}
		wantIs(t, l.Unlock(t.Context()), ErrClosed)
	})
}

// Leave lets a session live on for another process; Close does not.
func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c, d := f.client(), f.client()
		defer d.Close()
		s := open(t, c, WithTTL(20*time.Second))
		l := lock(t, s, "a", HoldLimit(15*time.Second))
		c.Leave()
		if l.Held() {
			t.Error("held by a client that has left")
		}
		wantIs(t, l.Err(), ErrLost, ErrClosed)
		time.Sleep(12 * time.Second)
		s2, err := d.AttachSession(t.Context(), s.ID())
		if err != nil {
			t.Fatal(err)
		}
		held := s2.Locks()
		if len(held) != 1 || held[0].Token() != l.Token() || !held[0].Held() {
			t.Fatalf("attached, but holds %v", held)
		}
		renew := &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: "a", Token: l.Token(), HoldLimitNanos: uint64(5 * time.Second)}}}
		a, err := s2.Request(t.Context(), "renew", renew)
		if left := time.Duration(a.GetHoldDeadline() - a.GetStamp()); err != nil || left != 5*time.Second {
			t.Fatalf("renewed: %v left, %v", left, err)
		}
		d.Leave()
		time.Sleep(10 * time.Second) // the hold limit passes, the session lives
		e := f.client()
		defer e.Close()
		s3, err := e.AttachSession(t.Context(), s.ID())
		if err != nil || len(s3.Locks()) != 0 {
			t.Fatalf("attached: %v", err)
		}
		_, err = s3.Request(t.Context(), "renew", renew)
		wantIs(t, err, ErrLost, ErrHoldLimit)
		release := &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: "a", Token: l.Token()}}}
		_, err = s3.Request(t.Context(), "release", release)
		wantIs(t, err, ErrInvalid)
	})
}

func TestAddresses(t *testing.T) {
	for addr, ok := range map[string]bool{
		"": false, "foo": false, "foo:": false, "::1": false, "127.0.0.1:1, foo": false,
		"foo:1": true, "[::1]:1": true, "127.0.0.1:1,127.0.0.1:2": true, "dns:///foo:1": true, "unix:/run/dlm.sock": true,
	} {
		c, err := Dial(addr)
		if (err == nil) != ok {
			t.Errorf("Dial(%q): %v", addr, err)
		}
		if err == nil {
			c.Leave()
		} else {
			wantIs(t, err, ErrInvalid)
		}
	}
}

// An operator can revoke a lock whose name is as long as names may be.
func TestRevokeALongName(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeCluster) {
		c := f.client()
		defer c.Close()
		name := strings.Repeat("n", 255)
		lock(t, open(t, c), name)
		if _, err := c.Revoke(t.Context(), name); err != nil {
			t.Error(err)
		}
	})
}
