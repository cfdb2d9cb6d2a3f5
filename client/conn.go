package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
)

// maxUnsent is how many frames may wait to be written. More means that the server takes none: the connection is given up,
// and the engine sends what still matters over the next.
const maxUnsent = 4096

// Windows of flow control, in bytes. They are fixed because gRPC finds a size by sending a ping with every message that comes after a
// pause.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// stream is one connection. Send and Recv may be called by two goroutines at once; the context of dial ends both.
type stream interface {
	Send(*dlmv1.ClientFrame) error
	Recv() (*dlmv1.ServerFrame, error)
}

// transport makes connections. Tests have one without a network.
type transport interface {
	dial(ctx context.Context, server int) (stream, error)
	name(server int) string
	close()
}

// conn is one connection: run is its reader, write its writer.
type conn struct {
	c      *Client
	id     uint64
	server int
	ctx    context.Context
	cancel context.CancelCauseFunc
	up     bool // belongs to the loop

	mu    sync.Mutex
	queue []*dlmv1.ClientFrame
	wake  chan struct{}
}

// run dials, reads until the end, and reports it.
func (cn *conn) run() {
	err := cn.read()
	cn.cancel(err)
	cn.c.post(func(l *loop, now time.Duration) {
		if l.conns[cn.id] == cn {
			l.c.log.Debug("dlm: connection ended", "server", l.c.net.name(cn.server), "why", err)
			l.forget(cn.id, err)
			l.engine.Disconnected(now, cn.id)
		}
	})
}

func (cn *conn) read() error {
	st, err := cn.c.net.dial(cn.ctx, cn.server)
	if err != nil {
		return err
	}
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cn.cancel(nil)
	writer.Go(func() { cn.write(st) })
	cn.c.post(func(l *loop, now time.Duration) { l.connected(cn, now) })
	for first := true; ; first = false {
		f, err := st.Recv()
		if err != nil {
			return err
		}
		cn.c.post(func(l *loop, now time.Duration) {
			if first {
				// Not before the first frame: a proxy may accept for a server that is not there.
				l.c.health.Store(nil)
			}
			if l.conns[cn.id] == cn {
				l.engine.Receive(now, cn.id, f)
			}
		})
	}
}

// send queues a frame for the writer; called by the loop, never blocks.
func (cn *conn) send(f *dlmv1.ClientFrame) {
	cn.mu.Lock()
	cn.queue = append(cn.queue, f)
	full := len(cn.queue) > maxUnsent
	cn.mu.Unlock()
	if full {
		cn.cancel(fmt.Errorf("client: %d frames are unsent, at most %d may be: the server takes none", maxUnsent+1, maxUnsent))
	}
	select {
	case cn.wake <- struct{}{}:
	default:
	}
}

// write sends what is queued. A failed send ends the reader too, by the context.
func (cn *conn) write(st stream) {
	for {
		cn.mu.Lock()
		frames := cn.queue
		cn.queue = nil
		cn.mu.Unlock()
		for _, f := range frames {
			if err := st.Send(f); err != nil {
				// gRPC says io.EOF here and the reason to the reader: leave it the time to see it.
				return
			}
		}
		select {
		case <-cn.wake:
		case <-cn.ctx.Done():
			return
		}
	}
}

// grpcTransport speaks the stream of service Locks.
type grpcTransport struct {
	addrs []string
	conns []*grpc.ClientConn
}

func newGRPCTransport(addrs []string, opts []grpc.DialOption) (*grpcTransport, error) {
	t := &grpcTransport{addrs: addrs}
	opts = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// The engine decides when to try again; gRPC's own pauses would only hold it up.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, Jitter: 0.5, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20)),
	}, opts...)
	for _, addr := range addrs {
		err := checkAddress(addr)
		var cc *grpc.ClientConn
		if err == nil {
			cc, err = grpc.NewClient(addr, opts...)
		}
		if err != nil {
			t.close()
			return nil, fmt.Errorf("client: server address %q: %w: %w", addr, ErrInvalid, err)
		}
		t.conns = append(t.conns, cc)
	}
	return t, nil
}

// checkAddress refuses an address without a port, for which gRPC would try 443. Targets with a scheme (unix:PATH,
// dns:///HOST:PORT) are gRPC's to judge.
func checkAddress(addr string) error {
	if scheme, _, ok := strings.Cut(addr, ":"); ok && (scheme == "unix" || strings.Contains(addr, "://")) {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return errors.New("it must be HOST:PORT, such as 127.0.0.1:50051")
	}
	return nil
}

func (t *grpcTransport) dial(ctx context.Context, server int) (stream, error) {
	t.conns[server].ResetConnectBackoff()
	st, err := dlmv1grpc.NewLocksClient(t.conns[server]).Stream(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return nil, cause
		}
		return nil, err
	}
	return st, nil
}

func (t *grpcTransport) name(server int) string { return t.addrs[server] }

func (t *grpcTransport) close() {
	for _, cc := range t.conns {
		_ = cc.Close()
	}
}
