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
type task func(l *loop, now time.Duration)

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
			k := c.newCall(nil)
			l.begin(k, now, 0, s.beginClose)
			closing = append(closing, k)
		}
	}) || c.health.Load() != nil {
		return
	}
	for _, k := range closing {
		_ = c.await(ctx, said("close"), k)
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
func (c *Client) ask(t task) bool {
	done := make(chan struct{})
	if !c.post(func(l *loop, now time.Duration) { t(l, now); close(done) }) {
		return false
	}
	<-done // the loop runs every task that was taken
	return true
}

// call is one call of the application that the engine works on.
type call struct {
	id   engine.Call
	done chan engine.Completion
	// then runs on the loop with the completion, before any later event. May be nil.
	then func(l *loop, d engine.Completion)
}

func (c *Client) newCall(then func(*loop, engine.Completion)) *call {
	k, ok := c.spares.Get().(*call)
	if !ok {
		k = &call{done: make(chan engine.Completion, 1)}
	}
	k.then = then
	return k
}

// spare gives back a call whose answer was taken, and which nobody knows any more: not the loop, and no task that would abandon it.
func (c *Client) spare(k *call) {
	k.id, k.then = 0, nil
	c.spares.Put(k)
}

// startFunc hands a call to the engine.
type startFunc func(l *loop, now, deadline time.Duration) engine.Call

// start begins a call without waiting for it.
func (c *Client) start(ctx context.Context, begin startFunc, then func(*loop, engine.Completion)) (*call, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	k := c.newCall(then)
	due, hasDue := ctx.Deadline()
	ok := c.submit(func(l *loop, now time.Duration) {
		var deadline time.Duration
		if hasDue {
			// 0 would mean "none".
			deadline = max(now+time.Until(due), 1)
		}
		l.begin(k, now, deadline, begin)
	})
	if !ok {
		return nil, ErrClosed
	}
	return k, nil
}

// finish waits for a call. When ctx ends the call is abandoned, which the loop answers at once: so this never waits long
// after ctx, and a success that crossed with the end of ctx is still seen here and not lost.
func (c *Client) finish(ctx context.Context, k *call) engine.Completion {
	select {
	case d := <-k.done:
		c.spare(k)
		return d
	case <-ctx.Done():
	}
	c.post(func(l *loop, now time.Duration) {
		if l.calls[k.id] == k {
			l.engine.Abandon(now, k.id)
		}
	})
	return <-k.done
}

// words say what a call is for, in its error. Most calls have none, so they are found only then.
type words func() string

func said(what string) words { return func() string { return what } }

// do is start and finish, with the error put into words.
func (c *Client) do(ctx context.Context, what words, begin startFunc, then func(*loop, engine.Completion)) (engine.Completion, error) {
	k, err := c.start(ctx, begin, then)
	if err != nil {
		return engine.Completion{}, fmt.Errorf("client: %s: %w", what(), err)
	}
	d := c.finish(ctx, k)
	if d.Err != nil {
		return d, c.callError(ctx, what(), d.Err)
	}
	return d, nil
}

// lostOr returns the loss that err speaks of, or nil.
func lostOr(err error) error {
	if errors.Is(err, ErrLost) {
		return err
	}
	return nil
}
