package grpcserver

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// In a bubble of virtual time: what depends on hours takes no time, and what must not happen can be waited for.

func TestSessionsEndByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, Options{Dir: t.TempDir(), Limits: &dlmv1.Limits{DefaultTtlNanos: uint64(7 * time.Second)}})
		c, cc := s.connect()
		one, two := openStream(t, c), openStream(t, c)
		one.send(open("a", 0))
		two.send(open("b", time.Hour))
		a, b := one.answer(), two.answer()
		if got := time.Duration(a.GetTtlNanos()); got != 7*time.Second {
			t.Errorf("the TTL is %v", got)
		}
		began := time.Now()
		one.send(acquire(a.GetSession(), 1, "x", nil))
		one.answer()
		two.send(acquire(b.GetSession(), 1, "x", nil))
		two.answer() // the holder is silent; its session ends, and the waiter gets the lock
		if waited := time.Since(began); waited < 7*time.Second || waited > 7*time.Second+10*time.Millisecond {
			t.Errorf("the lock moved on after %v, want the TTL", waited)
		}
		for {
			f := one.recv()
			if n := f.GetNotices(); len(n) > 0 && n[0].GetKind() == dlmv1.Notice_KIND_SESSION_LOST {
				break
			}
		}
		cc.Close()
		s.stop()
	})
}

func TestIdleServerSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var readings atomic.Int64
		origin := time.Now()
		s := startInMemory(t, Options{Dir: t.TempDir(), Clock: func() time.Duration {
			readings.Add(1)
			return time.Since(origin)
		}})
		c, cc := s.connect()
		session := must(t, c, open("a", 2*time.Hour)).GetSession()
		must(t, c, acquire(session, 1, "x", nil))
		cc.Close()
		time.Sleep(time.Minute) // the log gets the mark that it is at rest
		synctest.Wait()
		before := readings.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := readings.Load() - before; n != 0 {
			t.Errorf("the node looked at the clock %d times within an hour in which nothing was due", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := readings.Load() - before; n == 0 || n > 20 {
			t.Errorf("the node looked at the clock %d times to end one session", n)
		}
		s.stop()
	})
}
