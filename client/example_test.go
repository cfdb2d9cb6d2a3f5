package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm/client"
	"dlm/grpcserver"
)

// startServer runs a server of its own in this process.
func startServer() (addr string, stop func()) {
	dir, err := os.MkdirTemp("", "dlm-client-")
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv, err := grpcserver.Open(grpcserver.Options{Listener: ln, Dir: dir, SegmentBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	return ln.Addr().String(), func() {
		srv.Stop()
		if err := <-served; err != nil {
			log.Print(err)
		}
		_ = os.RemoveAll(dir)
	}
}

func Example() {
	addr, stop := startServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c, err := client.Dial(addr)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := c.OpenSession(ctx, client.WithTTL(10*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	l, err := s.Lock(ctx, "reports/daily")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("held:", l.Held())
	if err := l.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("held:", l.Held())
	// Output:
	// held: true
	// held: false
}

func ExampleSession_Do() {
	addr, stop := startServer()
	defer stop()
	ctx := context.Background()
	c, _ := client.Dial(addr)
	defer c.Close()
	s, err := c.OpenSession(ctx)
	if err != nil {
		log.Fatal(err)
	}
	err = s.Do(ctx, "reports/daily", func(ctx context.Context, l *client.Lock) error {
		// ctx ends when the lock is lost.
		_, err := l.Append(ctx, "journal", []byte("done\n"))
		return err
	}, client.Wait(time.Minute))
	fmt.Println(err)
	data, err := c.ReadFile(ctx, "journal")
	fmt.Printf("%q %v\n", data, err)
	// Output:
	// <nil>
	// "done\n" <nil>
}

func ExampleSession_TryLock() {
	addr, stop := startServer()
	defer stop()
	ctx := context.Background()
	c, _ := client.Dial(addr)
	defer c.Close()
	mine, _ := c.OpenSession(ctx)
	theirs, _ := c.OpenSession(ctx)
	if _, err := theirs.Lock(ctx, "deploy", client.Value([]byte("release 7"))); err != nil {
		log.Fatal(err)
	}
	_, err := mine.TryLock(ctx, "deploy")
	fmt.Println(errors.Is(err, client.ErrNotAcquired))
	for l, err := range c.Locks(ctx, "dep") {
		fmt.Printf("%s is held for %q, %v\n", l.GetLock(), l.GetHolders()[0].GetValue(), err)
	}
	// Output:
	// true
	// deploy is held for "release 7", <nil>
}

// TestOverTheNetwork: many goroutines over the real thing, and nothing of ours runs on afterwards.
func TestOverTheNetwork(t *testing.T) {
	addr, stop := startServer()
	c, err := client.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			var last uint64
			for range 20 {
				l, err := s.Lock(t.Context(), fmt.Sprintf("lock%d", w%4))
				if err != nil {
					t.Error(err)
					return
				}
				if l.Token() <= last || !l.Held() {
					t.Errorf("token %d after %d, held %v", l.Token(), last, l.Held())
				}
				last = l.Token()
				if err := l.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if _, err := c.File(t.Context(), "no such file").Read(make([]byte, 1)); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("reading nothing: %v", err)
	}
	if st, err := c.Status(t.Context()); err != nil || st.GetSessions() != 1 {
		t.Errorf("status %v, %v", st, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	stop()
	noGoroutines(t, "dlm/client", "google.golang.org/grpc")
}

// TestServerIsUnreachable: the error says who could not be reached, and why the call ended.
func TestServerIsUnreachable(t *testing.T) {
	const addr = "127.0.0.1:1" // a port that nobody is given by chance
	c, err := client.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	// Long enough that one attempt has failed, however slow the machine is.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = c.OpenSession(ctx)
	if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v: want unavailable, deadline exceeded, and the address", err)
	}
	c.Close()
	noGoroutines(t, "dlm/client", "google.golang.org/grpc")
}

// noGoroutines fails if a goroutine of the named packages runs on.
func noGoroutines(t *testing.T, packages ...string) {
	t.Helper()
	var left string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		left = ""
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
			for _, p := range packages {
				if strings.Contains(g, p) {
					left = g
				}
			}
		}
		if left == "" {
			return
		}
	}
	t.Errorf("a goroutine runs on:\n%s", left)
}
