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
	stream stream // from connected on

	// These belong to the loop.
	up    bool
	last  item // of the last frame
	clear bool // it was answered: all frames have left, so that the next send cannot block

	mu      sync.Mutex
	queue   []*dlmv1.ClientFrame
	sending bool // somebody sends what was taken last
	claimed bool // the queue belongs to who claimed it, not to the writer
	wake    chan struct{}
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
	cn.stream = st
	writer.Go(cn.write)
	cn.c.post(func(l *loop, now time.Duration) { l.connected(cn, now) })
	for first := true; ; first = false {
		f, err := st.Recv()
		if err != nil {
			return err
		}
		cn.received(f, first)
	}
}

// send queues a frame for the writer, or for who has claimed the queue; called by the loop, never blocks.
func (cn *conn) send(f *dlmv1.ClientFrame) {
	cn.last, cn.clear = lastOf(f), false
	cn.mu.Lock()
	cn.queue = append(cn.queue, f)
	full, claimed := len(cn.queue) > maxUnsent, cn.claimed
	cn.mu.Unlock()
	if full {
		cn.cancel(fmt.Errorf("client: %d frames are unsent, at most %d may be: the server takes none", maxUnsent+1, maxUnsent))
	}
	if !claimed {
		cn.signal()
	}
}

func (cn *conn) signal() {
	select {
	case cn.wake <- struct{}{}:
	default:
	}
}

// claim makes the queue the caller's to send, with sendClaimed. It fails if something is being sent, or waits, or if a send might block:
// a caller has a deadline. Called by the loop.
func (cn *conn) claim() bool {
	if !cn.clear {
		return false
	}
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if cn.sending || cn.claimed || len(cn.queue) > 0 {
		return false
	}
	cn.claimed = true
	return true
}

// sendClaimed sends what was queued since claim, and gives the queue back.
func (cn *conn) sendClaimed() {
	err := cn.sendAll(true)
	cn.mu.Lock()
	defer cn.mu.Unlock()
	cn.claimed = false
	if err != nil || len(cn.queue) > 0 {
		cn.signal() // the writer goes on, or finds the error too
	}
}

// take empties the queue. What was taken before is sent by then. For the writer a claimed queue is empty.
func (cn *conn) take(claimer bool) (frames []*dlmv1.ClientFrame) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if cn.claimed && !claimer {
		return nil
	}
	frames, cn.queue = cn.queue, nil
	cn.sending = len(frames) > 0
	return frames
}

// sendAll sends until the queue is empty.
func (cn *conn) sendAll(claimer bool) error {
	for {
		frames := cn.take(claimer)
		if len(frames) == 0 {
			return nil
		}
		for _, f := range frames {
			if err := cn.stream.Send(f); err != nil {
				return err
			}
		}
	}
}

// write sends what is queued. A failed send ends the reader too, by the context.
func (cn *conn) write() {
	// After an error gRPC says io.EOF here and the reason to the reader: leave it the time to see it.
	for cn.sendAll(false) == nil {
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
