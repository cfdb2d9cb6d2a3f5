package figures

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/client"
	"dlm/grpcserver"
)

// serve starts a server on the directory and returns its address, how long it took until it answered, and its stop.
func serve(b *testing.B, dir string) (addr string, took time.Duration, stop func()) {
	b.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr = lis.Addr().String()
	began := time.Now()
	s, err := grpcserver.Open(grpcserver.Options{Listener: lis, Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c := dial(b, addr)
	if _, err := c.Status(b.Context()); err != nil {
		b.Fatal(err)
	}
	took = time.Since(began)
	return addr, took, func() {
		s.Stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	}
}

func dial(b *testing.B, addr string) *client.Client {
	b.Helper()
	c, err := client.Dial(addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func session(b *testing.B, c *client.Client) *client.Session {
	b.Helper()
	s, err := c.OpenSession(b.Context(), client.WithTTL(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// share lets the workers do b.N pieces of work between them.
func share(b *testing.B, workers int, work func(worker int) error) {
	b.Helper()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range workers {
		n := b.N / workers
		if w < b.N%workers {
			n++
		}
		wg.Go(func() {
			for range n {
				if err := work(w); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

// BenchmarkPairs: each worker locks and unlocks a lock of its own. One client, one session.
func BenchmarkPairs(b *testing.B) {
	for _, workers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("stream/workers=%d", workers), func(b *testing.B) {
			addr, _, stop := serve(b, b.TempDir())
			defer stop()
			s := session(b, dial(b, addr))
			share(b, workers, func(w int) error {
				l, err := s.Lock(context.Background(), fmt.Sprintf("lock-%d", w))
				if err != nil {
					return err
				}
				return l.Unlock(context.Background())
			})
		})
	}
	b.Run("unary/workers=64", func(b *testing.B) { unaryPairs(b, 64) })
}

// unaryPairs gives each worker a session of its own, as callers of the unary interface have.
func unaryPairs(b *testing.B, workers int) {
	addr, _, stop := serve(b, b.TempDir())
	defer stop()
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer cc.Close()
	rpc := dlmv1grpc.NewLocksClient(cc)
	type caller struct{ session, sequence uint64 }
	callers := make([]caller, workers)
	for i := range callers {
		key := make([]byte, 16)
		key[0], key[1] = byte(i), byte(i>>8)
		a, err := rpc.Call(b.Context(), &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key}}})
		if err != nil {
			b.Fatal(err)
		}
		callers[i].session = a.GetSession()
	}
	call := func(c *caller, r *dlmv1.Request) (*dlmv1.Answer, error) {
		c.sequence++
		r.Session, r.Instance, r.Sequence, r.Watermark = c.session, 1, c.sequence, c.sequence
		return rpc.Call(context.Background(), r)
	}
	share(b, workers, func(w int) error {
		name := fmt.Sprintf("lock-%d", w)
		a, err := call(&callers[w], &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: name}}})
		if err != nil {
			return err
		}
		_, err = call(&callers[w], &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: name, Token: a.GetToken()}}})
		return err
	})
}

// BenchmarkThousandWaiters: 1,000 sessions want one lock at once and get it in the order of their asking. One operation
// is one grant.
func BenchmarkThousandWaiters(b *testing.B) {
	const sessions = 1000
	for b.Loop() {
		addr, _, stop := serve(b, b.TempDir())
		c := dial(b, addr)
		first, err := session(b, c).Lock(b.Context(), "one")
		if err != nil {
			b.Fatal(err)
		}
		tokens := make([]uint64, sessions)
		order := make(chan int, sessions)
		var wg sync.WaitGroup
		for i := range sessions {
			s := session(b, c)
			wg.Go(func() {
				l, err := s.Lock(context.Background(), "one")
				if err != nil {
					b.Error(err)
					return
				}
				tokens[i] = l.Token()
				order <- i
				if err := l.Unlock(context.Background()); err != nil {
					b.Error(err)
				}
			})
			awaitQueue(b, c, i+1)
		}
		began := time.Now()
		if err := first.Unlock(b.Context()); err != nil {
			b.Fatal(err)
		}
		wg.Wait()
		b.ReportMetric(sessions/time.Since(began).Seconds(), "grants/s")
		for i := range sessions {
			if got := <-order; got != i {
				b.Fatalf("grant %d went to session %d", i, got)
			}
			if i > 0 && tokens[i] <= tokens[i-1] {
				b.Fatalf("token %d after %d", tokens[i], tokens[i-1])
			}
		}
		stop()
	}
}

func awaitQueue(b *testing.B, c *client.Client, n int) {
	for {
		st, err := c.Status(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if st.GetWaiters() >= uint64(n) {
			return
		}
	}
}

// BenchmarkRestart: a server starts on a directory in which one session holds 100,000 locks, until it answers.
func BenchmarkRestart(b *testing.B) {
	const locks, callers = 100_000, 64
	dir := b.TempDir()
	addr, _, stop := serve(b, dir)
	c, err := client.Dial(addr)
	if err != nil {
		b.Fatal(err)
	}
	s := session(b, c)
	began := time.Now()
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			for i := w; i < locks; i += callers {
				if _, err := s.Lock(context.Background(), fmt.Sprintf("lock-%011d", i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	acquired := time.Since(began)
	stop() // before the client: closing it would give the locks back
	_ = c.Close()
	var total time.Duration
	n := 0
	for b.Loop() {
		addr, took, stop := serve(b, dir)
		total += took
		n++
		b.StopTimer()
		st, err := dial(b, addr).Status(b.Context())
		if err != nil || st.GetLocks() != locks {
			b.Fatalf("%d locks after the restart: %v", st.GetLocks(), err)
		}
		stop()
		b.StartTimer()
	}
	b.ReportMetric(locks/acquired.Seconds(), "acquires/s")
	b.ReportMetric(total.Seconds()/float64(n), "s/restart")
}
