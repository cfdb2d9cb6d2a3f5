package grpcserver

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
)

// running is a server under test with its Serve on the way.
type running struct {
	*Server
	t      *testing.T
	dial   func(context.Context, string) (net.Conn, error)
	served chan error
}

// start opens and serves; the listener is TCP on the loopback.
func start(t *testing.T, o Options) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	return startOn(t, o, l, func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	})
}

// startInMemory is start without a network.
func startInMemory(t *testing.T, o Options) *running {
	t.Helper()
	l := bufconn.Listen(64 << 10)
	return startOn(t, o, l, func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
}

func startOn(t *testing.T, o Options, l net.Listener, dial func(context.Context, string) (net.Conn, error)) *running {
	t.Helper()
	o.Listener = l
	o.SegmentBytes = 64 << 10
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Server: s, t: t, dial: dial, served: make(chan error, 1)}
	go func() { r.served <- s.Serve() }()
	return r
}

// stop is graceful.
func (r *running) stop() {
	r.t.Helper()
	r.Stop()
	if err := <-r.served; err != nil {
		r.t.Errorf("Serve after Stop: %v", err)
	}
}

// kill ends the server as a crash of its process would: nothing is finished, nothing is marked.
func (r *running) kill() {
	r.inbox.put(event{kind: eventAbort, err: context.Canceled})
	<-r.served
}

func (r *running) connect() (dlmv1grpc.LocksClient, *grpc.ClientConn) {
	r.t.Helper()
	cc, err := grpc.NewClient("passthrough:///server", grpc.WithContextDialer(r.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	return dlmv1grpc.NewLocksClient(cc), cc
}

// checkLeaks fails the test if goroutines of it are left at its end.
func checkLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(time.Minute)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines at the end, %d at the start:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open makes a session whose key is made of the letter.
func open(letter string, ttl time.Duration) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: []byte(strings.Repeat(letter, 16)), TtlNanos: uint64(ttl)}}}
}

func acquire(session, sequence uint64, lock string, wait *uint64) *dlmv1.Request {
	return &dlmv1.Request{
		Session: session, Instance: 1, Sequence: sequence, Watermark: sequence,
		Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: lock, WaitNanos: wait}},
	}
}

func release(session, sequence uint64, lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{
		Session: session, Instance: 1, Sequence: sequence, Watermark: sequence,
		Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: lock, Token: token}},
	}
}

func getLock(name string) *dlmv1.Read {
	return &dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: name}}}
}

// must makes a call that has to succeed.
func must(t *testing.T, c dlmv1grpc.LocksClient, r *dlmv1.Request) *dlmv1.Answer {
	t.Helper()
	a, err := c.Call(timeout(t), r)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return a
}

// refused makes a call that has to fail, and returns the answer that its status carries.
func refused(t *testing.T, c dlmv1grpc.LocksClient, r *dlmv1.Request) (*status.Status, *dlmv1.Answer) {
	t.Helper()
	a, err := c.Call(timeout(t), r)
	if err == nil {
		t.Fatalf("%v: answered %v, want an error", r, a)
	}
	st := status.Convert(err)
	if len(st.Details()) == 0 {
		t.Fatalf("%v: no details in %v", r, err)
	}
	return st, st.Details()[0].(*dlmv1.Answer)
}

// clientStream is a client's end of a stream.
type clientStream interface {
	Send(*dlmv1.ClientFrame) error
	Recv() (*dlmv1.ServerFrame, error)
	CloseSend() error
}

// stream is one that fails its test if it fails.
type stream struct {
	t *testing.T
	clientStream
	leave func() // closes the connection, if that is the stream's own
}

// openStream returns after the hello.
func openStream(t *testing.T, c dlmv1grpc.LocksClient) stream {
	t.Helper()
	st, err := c.Stream(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	return greeted(t, st)
}

// greeted receives the hello.
func greeted(t *testing.T, st clientStream) stream {
	t.Helper()
	s := stream{t: t, clientStream: st}
	if f := s.recv(); f.GetHello() == nil || len(f.GetHello().GetClusterId()) != 16 {
		t.Fatalf("the first frame is %v, want a hello", f)
	}
	return s
}

func (s stream) recv() *dlmv1.ServerFrame {
	s.t.Helper()
	f, err := s.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (s stream) send(rs ...*dlmv1.Request) {
	s.t.Helper()
	if err := s.Send(&dlmv1.ClientFrame{Requests: rs}); err != nil {
		s.t.Fatal(err)
	}
}

// answer returns the next answer that is received, and drops notices before it.
func (s stream) answer() *dlmv1.Answer {
	s.t.Helper()
	for {
		if f := s.recv(); len(f.GetAnswers()) == 1 {
			return f.GetAnswers()[0]
		} else if len(f.GetAnswers()) > 1 {
			s.t.Fatalf("%d answers at once", len(f.GetAnswers()))
		}
	}
}
