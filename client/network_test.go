package client_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"dlm/client"
	"dlm/grpcserver"
	"dlm/internal/rig"
)

// serveOn runs a server on a listener until the end of the test, or until stop.
func serveOn(t *testing.T, l net.Listener, o grpcserver.Options) (stop func()) {
	t.Helper()
	o.Listener, o.Dir, o.SegmentBytes = l, t.TempDir(), 1<<20
	srv, err := grpcserver.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	stop = sync.OnceFunc(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, addr string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// minute is longer than anything here takes.
func minute(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// opener is a listener that notes how its connections open.
type opener struct {
	net.Listener
	mu    sync.Mutex
	heard []string
}

func (o *opener) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &openerConn{Conn: c, o: o}, nil
}

type openerConn struct {
	net.Conn
	o    *opener
	once sync.Once
}

func (c *openerConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.once.Do(func() {
			c.o.mu.Lock()
			defer c.o.mu.Unlock()
			c.o.heard = append(c.o.heard, string(b[:min(n, 3)]))
		})
	}
	return n, err
}

// opened is how each connection so far has opened.
func (o *opener) opened() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.heard, " ")
}

// How connections open.
const overGRPC, bare = "PRI", "DLM"

// TestTransport: which way a client's stream takes, and that locks can be had by it.
func TestTransport(t *testing.T) {
	for name, test := range map[string]struct {
		network, listen string
		prefix          string // of the address
		opts            []client.Option
		want            string
	}{
		"HOST:PORT":     {want: bare},
		"dial options":  {opts: []client.Option{client.WithDialOptions(grpc.WithUserAgent("test"))}, want: overGRPC},
		"dns":           {prefix: "dns:///", want: overGRPC},
		"passthrough":   {prefix: "passthrough:///", want: overGRPC},
		"unix-abstract": {network: "unix", listen: "@" + t.TempDir(), prefix: "unix-abstract:", want: overGRPC},
		"unix":          {network: "unix", listen: filepath.Join(t.TempDir(), "s"), prefix: "unix:", want: overGRPC},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "unix-abstract" && runtime.GOOS != "linux" {
				t.Skip("only Linux has such names")
			}
			network, address := "tcp", "127.0.0.1:0"
			if test.network != "" {
				network, address = test.network, test.listen
			}
			o := &opener{Listener: listen(t, network, address)}
			stop := serveOn(t, o, grpcserver.Options{})
			c := dial(t, test.prefix+strings.TrimPrefix(o.Addr().String(), "@"), test.opts...)
			lockOnce(t, c)
			if got := o.opened(); got != test.want {
				t.Errorf("connections opened with %q, want %q", got, test.want)
			}
			c.Close()
			stop()
			noGoroutines(t, "dlm/client.", "google.golang.org/grpc")
		})
	}
}

// lockOnce has a lock for a moment.
func lockOnce(t *testing.T, c *client.Client) {
	t.Helper()
	s, err := c.OpenSession(minute(t))
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Lock(minute(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(minute(t)); err != nil {
		t.Error(err)
	}
}

// TestBackupBesideABareStream: a backup comes over gRPC, from the same port.
func TestBackupBesideABareStream(t *testing.T) {
	o := &opener{Listener: listen(t, "tcp", "127.0.0.1:0")}
	serveOn(t, o, grpcserver.Options{})
	c := dial(t, o.Addr().String())
	lockOnce(t, c)
	var b bytes.Buffer
	if err := c.Backup(minute(t), &b, time.Minute); err != nil || b.Len() == 0 {
		t.Errorf("a backup of %d bytes, %v", b.Len(), err)
	}
	lockOnce(t, c)
	if got := o.opened(); got != bare+" "+overGRPC {
		t.Errorf("connections opened with %q", got)
	}
}

// strangers are what else may answer at an address; each serves one connection, until it is closed here or there.
var strangers = map[string]struct {
	serve func(net.Conn)
	want  string
	most  time.Duration // for an attempt; 0: what no attempt needs
}{
	"HTTP":                {serve: serveHTTP, want: "no lock server"},
	"an echo":             {serve: func(c net.Conn) { _, _ = io.Copy(c, c) }, want: "no lock server"},
	"noise":               {serve: says("\x01\xff\xff\xff\xff"), want: "no lock server"},
	"a message cut short": {serve: says("\x01\x00\x00\x00\x05abc"), want: "ended in the midst of a message"},
	"closes at once":      {serve: says(""), want: "the server closed the connection"},
	"says nothing":        {serve: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, want: "did not answer in time", most: 50 * time.Millisecond},
}

// says hears the client and says this. A connection that is closed unread would be reset.
func says(what string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, what)
	}
}

func serveHTTP(c net.Conn) {
	one := &oneConn{c: c, closed: make(chan struct{})}
	_ = (&http.Server{ConnState: one.state}).Serve(one)
}

// oneConn is a listener with one connection.
type oneConn struct {
	net.Listener
	c      net.Conn
	taken  bool
	once   sync.Once
	closed chan struct{}
}

func (o *oneConn) Accept() (net.Conn, error) {
	if !o.taken {
		o.taken = true
		return o.c, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}
func (o *oneConn) Close() error   { return nil }
func (o *oneConn) Addr() net.Addr { return o.c.LocalAddr() }

func (o *oneConn) state(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed {
		o.once.Do(func() { close(o.closed) })
	}
}

// TestStrangers: what answers is no lock server. The client goes on trying, at its leisure, and says what it has found; in the end it
// leaves no connection behind.
func TestStrangers(t *testing.T) {
	for name, stranger := range strangers {
		t.Run(name, func(t *testing.T) {
			const attempts, pause = 11, 100 * time.Millisecond
			l := listen(t, "tcp", "127.0.0.1:0")
			defer l.Close()
			var serving sync.WaitGroup
			enough := errors.New("that is enough")
			ctx, cancel := context.WithCancelCause(minute(t))
			serving.Go(func() {
				for n := 1; ; n++ {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if n == attempts {
						cancel(enough)
					}
					serving.Go(func() {
						defer c.Close()
						stranger.serve(c)
					})
				}
			})
			began := time.Now()
			c := dial(t, l.Addr().String(), client.WithBackoff(pause, pause), client.WithAttemptTimeout(cmp.Or(stranger.most, 20*time.Second)))
			_, err := c.OpenSession(ctx)
			took := time.Since(began)
			for _, want := range []error{enough, client.ErrUnavailable} {
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			for _, want := range []string{l.Addr().String(), stranger.want} {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, it should say %q", err, want)
				}
			}
			// Ten pauses, each drawn at random up to the bound, add up to less than it once in 10! times.
			if took < pause {
				t.Errorf("%d attempts in %v", attempts, took)
			}
			c.Close()
			_ = l.Close()
			serving.Wait()
			noGoroutines(t, "dlm/client.", "google.golang.org/grpc")
		})
	}
}

// TestLastWord: why a server ends or refuses a stream is said to who waits for it.
func TestLastWord(t *testing.T) {
	t.Run("too many streams", func(t *testing.T) {
		l := listen(t, "tcp", "127.0.0.1:0")
		serveOn(t, l, grpcserver.Options{MaxStreams: 1})
		lockOnce(t, dial(t, l.Addr().String()))
		wantWord(t, dial(t, l.Addr().String(), client.WithBackoff(time.Millisecond, time.Millisecond)), "too many streams are open")
	})
	t.Run("stopping", func(t *testing.T) {
		l := listen(t, "tcp", "127.0.0.1:0")
		stop := serveOn(t, l, grpcserver.Options{})
		// It does not try again while the test lasts, and find that nobody listens any more.
		c := dial(t, l.Addr().String(), client.WithBackoff(1000*time.Hour, 1000*time.Hour))
		lockOnce(t, c)
		stop()
		wantWord(t, c, "the server is stopping")
	})
}

// wantWord calls until the call fails as it should.
func wantWord(t *testing.T, c *client.Client, want string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err = c.Status(ctx)
		cancel()
		if errors.Is(err, client.ErrUnavailable) && errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), want) {
			return
		}
	}
	t.Errorf("got %v, want it to say %q", err, want)
}

// TestCutInAFrame: connections that end in the midst of a frame, either way, cost no call and repeat none.
func TestCutInAFrame(t *testing.T) {
	const workers, cuts = 4, 24
	l := listen(t, "tcp", "127.0.0.1:0")
	serveOn(t, l, grpcserver.Options{})
	p, err := rig.NewProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := dial(t, p.Addr(), client.WithBackoff(time.Millisecond, 20*time.Millisecond))
	s, err := c.OpenSession(minute(t))
	if err != nil {
		t.Fatal(err)
	}
	a := &appends{t: t, c: c, s: s, enough: make(chan struct{})}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { a.to(fmt.Sprint("file", w)) })
	}
	ctx := minute(t)
	until := func(ok func() bool) {
		for !ok() && ctx.Err() == nil && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	for n := range cuts {
		// Otherwise it would be the hello that is cut, and the attach.
		before := a.answered.Load()
		until(func() bool { return a.answered.Load() >= before+2*workers })
		p.CutInFrame(rig.Direction(n % 2))
		until(func() bool { st := p.Stats(); return st.CutInFrame[rig.Up]+st.CutInFrame[rig.Down] > n })
	}
	close(a.enough)
	all.Wait()
	if st := p.Stats(); st.CutInFrame != [2]int{cuts / 2, cuts / 2} {
		t.Errorf("%+v", st)
	}
	if s.Context().Err() != nil {
		t.Error("the session is lost:", context.Cause(s.Context()))
	}
}

type appends struct {
	t        *testing.T
	c        *client.Client
	s        *client.Session
	answered atomic.Int64
	enough   chan struct{}
}

// to appends numbers to a file under a lock of its own, until there are enough, and checks what the file holds then.
func (a *appends) to(file string) {
	ctx := minute(a.t)
	l, err := a.s.Lock(ctx, file)
	if err != nil {
		a.t.Error(err)
		return
	}
	var want bytes.Buffer
	for n := 0; ; n++ {
		select {
		case <-a.enough:
			if got, err := io.ReadAll(a.c.File(ctx, file)); err != nil || !bytes.Equal(got, want.Bytes()) {
				a.t.Errorf("%s holds %q, %v; appended was %q", file, got, err, &want)
			}
			return
		default:
		}
		fmt.Fprintln(&want, n)
		if _, err := l.Append(ctx, file, fmt.Appendln(nil, n)); err != nil {
			a.t.Errorf("%s: append %d: %v", file, n, err)
			return
		}
		a.answered.Add(1)
	}
}
