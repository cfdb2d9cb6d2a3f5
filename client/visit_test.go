package client

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// watched is a transport that tells who sends, and can hold sends.
type watched struct {
	*fakeCluster
	mu      sync.Mutex
	callers int // frames that the goroutine of a call has sent
	writers int // frames of the writer
	hold    bool
}

type watchedStream struct {
	stream
	w   *watched
	ctx context.Context
}

func (w *watched) dial(ctx context.Context, server int) (stream, error) {
	st, err := w.fakeCluster.dial(ctx, server)
	if err != nil {
		return nil, err
	}
	return &watchedStream{st, w, ctx}, nil
}

func (st *watchedStream) Send(f *dlmv1.ClientFrame) error {
	stack := make([]byte, 1<<14)
	caller := strings.Contains(string(stack[:runtime.Stack(stack, false)]), "client.(*Client).start")
	st.w.mu.Lock()
	if caller {
		st.w.callers++
	} else {
		st.w.writers++
	}
	hold := st.w.hold
	st.w.mu.Unlock()
	if hold {
		<-st.ctx.Done()
		return context.Cause(st.ctx)
	}
	return st.stream.Send(f)
}

// counts tells how many frames were sent since it was last asked.
func (w *watched) counts() (callers, writers int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	callers, writers = w.callers, w.writers
	w.callers, w.writers = 0, 0
	return callers, writers
}

func watch(t *testing.T) (*watched, *Client, *Session) {
	t.Helper()
	w := &watched{fakeCluster: newFakeCluster(t)}
	c := w.client(func(o *options) { o.transport = w })
	s, err := c.OpenSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w, c, s
}

// One call at a time goes from the caller to the wire; calls that meet, and what nobody calls for, go through the loop.
func TestACallThatIsAloneIsSentByItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, s := watch(t)
		defer c.Close()
		pair := func(name string) {
			lk, err := s.Lock(t.Context(), name)
			if err != nil {
				t.Error(err)
				return
			}
			synctest.Wait() // until the answer has been taken in by everybody
			if err := lk.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
		}
		pair("first")
		w.counts()
		for range 20 {
			synctest.Wait()
			pair("one")
		}
		if callers, writers := w.counts(); callers != 40 || writers != 0 {
			t.Errorf("of 40 frames of calls that were alone their callers sent %d, the writer %d", callers, writers)
		}
		time.Sleep(time.Minute)
		if callers, writers := w.counts(); callers != 0 || writers == 0 {
			t.Errorf("of the keep-alives of a minute callers sent %d, the writer %d", callers, writers)
		}
		synctest.Wait()
		w.setMute(true)
		w.counts()
		var all sync.WaitGroup
		for worker := range 30 {
			all.Go(func() { pairUnder(t, s, string(rune('a'+worker))) })
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if callers, writers := w.counts(); callers != 1 || writers != 29 {
			t.Errorf("of 30 calls, all but the first with others under way, %d were sent by their callers, %d by the writer", callers, writers)
		}
		w.setMute(false)
		all.Wait()
		// One that waits in a queue is under way too, however long ago it left.
		held := lock(t, s, "held")
		other := open(t, c)
		all.Go(func() { pairUnder(t, other, "held") })
		synctest.Wait()
		lock(t, s, "last") // its answer has shown that nothing waits to be sent
		synctest.Wait()
		w.counts()
		lock(t, s, "another")
		if callers, _ := w.counts(); callers != 0 {
			t.Error("a caller sent its own call though another was under way")
		}
		if err := held.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
}

func pairUnder(t *testing.T, s *Session, name string) {
	lk, err := s.Lock(t.Context(), name)
	if err == nil {
		err = lk.Unlock(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

// A caller never sends while a send might block, so it keeps its deadline whatever the server does.
func TestACallerDoesNotWaitForTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, s := watch(t)
		defer c.Close()
		pairUnder(t, s, "before")
		synctest.Wait()
		w.setMute(true)
		for n := range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			began := time.Now()
			_, err := s.Lock(ctx, string(rune('a'+n)))
			cancel()
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 100*time.Millisecond {
				t.Fatalf("call %d ended after %v: %v", n, took, err)
			}
			// The frame before this one is unanswered: from here on sends may block, and do.
			synctest.Wait()
			w.mu.Lock()
			w.hold = true
			w.mu.Unlock()
		}
		w.mu.Lock()
		w.hold = false
		w.mu.Unlock()
		w.setMute(false)
		pairUnder(t, s, "after")
	})
}

// Callers that come and go, alone and together, over connections that break.
func TestVisitsRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, s := watch(t)
		var all sync.WaitGroup
		for worker := range 6 {
			all.Go(func() {
				for n := range 40 {
					pairUnder(t, s, string(rune('a'+worker%3)))
					time.Sleep(time.Duration((worker*7+n*3)%11) * time.Millisecond)
				}
			})
		}
		all.Go(func() {
			for range 5 {
				time.Sleep(60 * time.Millisecond)
				w.cut(true)
			}
		})
		all.Wait()
		if lk := w.lock("a"); len(lk.GetHolders()) != 0 || len(lk.GetWaiters()) != 0 {
			t.Errorf("left behind: %v", lk)
		}
		if callers, writers := w.counts(); callers == 0 || writers == 0 {
			t.Errorf("callers sent %d frames, writers %d: both ways were to be tried", callers, writers)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
