package client

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dlm/client/engine"
)

// closeGrace is how long Close tries to close the sessions that are still open.
const closeGrace = time.Second

// Client is a connection to a cluster that heals itself. Make one per process and share it.
type Client struct {
	log  *slog.Logger
	now  func() time.Duration
	net  transport
	loop *loop

	// health is why nothing is connected; nil while something is, or nothing was tried yet.
	health atomic.Pointer[error]

	mu     sync.Mutex
	inbox  []task
	closed bool
	// wake holds at most one token: "the inbox is not empty".
	wake chan struct{}

	closeOnce sync.Once
	// ended is closed when the loop has ended and every call was answered.
	ended chan struct{}
	// conns counts the goroutines of connections.
	conns sync.WaitGroup
	// spares are calls that have been answered, to be used again. Not shared by clients, which may live in different bubbles of a test.
	spares sync.Pool
}

// task is a piece of work for the loop; it must not block.
type task interface {
	run(l *loop, now time.Duration)
}

type taskFunc func(l *loop, now time.Duration)

func (f taskFunc) run(l *loop, now time.Duration) { f(l, now) }

// Dial makes a client of the cluster that addr ("host:port", or several with commas between) belongs to. It connects
// when it is first needed and does not wait here: errors are about the arguments.
func Dial(addr string, opts ...Option) (*Client, error) {
	o := options{log: slog.New(slog.DiscardHandler), now: localClock}
	for _, a := range strings.Split(addr, ",") {
		if a = strings.TrimSpace(a); a != "" {
			o.addrs = append(o.addrs, a)
		}
	}
	for _, opt := range opts {
		opt(&o)
	}
	if len(o.addrs) == 0 {
		return nil, fmt.Errorf("client: %w: no server address", ErrInvalid)
	}
	if o.rng == nil {
		var seed [32]byte
		if _, err := crand.Read(seed[:]); err != nil {
			return nil, fmt.Errorf("client: no randomness: %w", err)
		}
		o.rng = rand.NewChaCha8(seed)
	}
	net := o.transport
	if net == nil {
		var err error
		if net, err = newNetwork(o.addrs, o.grpc); err != nil {
			return nil, err
		}
	}
	o.engine.Servers = len(o.addrs)
	c := &Client{log: o.log, now: o.now, net: net, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	c.loop = newLoop(c, engine.New(o.engine, o.rng))
	go c.loop.run()
	return c, nil
}

// Close tries for up to a second to close the sessions that are still open, then ends every goroutine and connection.
// Calls that are under way end with ErrClosed. A second Close waits for the first.
func (c *Client) Close() error {
	c.end(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		c.closeSessions(ctx)
	})
	return nil
}

// Leave is Close without closing the sessions: they live on, with their locks, until their TTL has passed since the last
// renewal, and another process can attach them (AttachSession). Here all locks are lost, with ErrClosed.
func (c *Client) Leave() { c.end(func() {}) }

func (c *Client) end(first func()) {
	c.closeOnce.Do(func() {
		first()
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.signal()
		<-c.ended
		c.conns.Wait()
		c.net.close()
	})
	<-c.ended
}

// closeSessions says goodbye, and waits for the answers unless nobody would hear it. All sessions end in one task: were they
// to end one by one, a lock that the first gives back could be granted to a call of the next, which is about to end too.
func (c *Client) closeSessions(ctx context.Context) {
	var closing []*call
	if !c.ask(func(l *loop, now time.Duration) {
		for _, s := range l.sessions {
			k := c.newCall(s.closing(), time.Time{})
			k.run(l, now)
			closing = append(closing, k)
		}
	}) || c.health.Load() != nil {
		return
	}
	for _, k := range closing {
		_ = c.await(ctx, k)
	}
}

// post hands the loop a task; false when the client is closed.
func (c *Client) post(t task) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.inbox = append(c.inbox, t)
	c.mu.Unlock()
	c.signal()
	return true
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// ask runs t on the loop and waits for it; false when the client is closed.
func (c *Client) ask(t taskFunc) bool {
	done := make(chan struct{})
	if !c.post(taskFunc(func(l *loop, now time.Duration) { t(l, now); close(done) })) {
		return false
	}
	<-done // the loop runs every task that was taken
	return true
}

// lostOr returns the loss that err speaks of, or nil.
func lostOr(err error) error {
	if errors.Is(err, ErrLost) {
		return err
	}
	return nil
}
