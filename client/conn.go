package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// maxUnsent is how many frames may wait to be written. More means that the server takes none: the connection is given up,
// and the engine sends what still matters over the next.
const maxUnsent = 4096

// claimBytes is the largest frame that a caller sends itself: the system takes as much from who has sent nothing else, whether or not the
// server reads.
const claimBytes = 16 << 10

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
	cn.c.post(taskFunc(func(l *loop, now time.Duration) {
		if l.conns[cn.id] == cn {
			l.c.log.Debug("dlm: connection ended", "server", l.c.net.name(cn.server), "why", err)
			l.forget(cn.id, err)
			l.engine.Disconnected(now, cn.id)
		}
	}))
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
	cn.c.post(taskFunc(func(l *loop, now time.Duration) { l.connected(cn, now) }))
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

// claim makes the queue the caller's to send, with sendClaimed, f first. It fails if something is being sent, or waits, or if a send
// might block: a caller has a deadline. Called by the loop.
func (cn *conn) claim(f *dlmv1.ClientFrame) bool {
	if !cn.clear || f.SizeVT() > claimBytes {
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
