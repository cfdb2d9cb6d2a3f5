package client

import (
	"context"
	"fmt"
	"time"

	"dlm/client/engine"
)

// operation is what a call asks for. Its methods, but for String, run on the loop.
type operation interface {
	// begin hands it to the engine.
	begin(l *loop, now, deadline time.Duration) engine.Call
	// end takes what came of it, before any later event, and says what the caller is told.
	end(l *loop, d engine.Completion) error
	// String says what the call is for, in its error.
	String() string
}

// words say what a call is for, in its error. Most calls have none, so they are found only then.
type words func() string

func said(what string) words { return func() string { return what } }

// request is an operation of which there are few.
type request struct {
	what  words
	start func(l *loop, now, deadline time.Duration) engine.Call
	then  func(l *loop, d engine.Completion) // may be nil
}

func (r *request) String() string { return r.what() }

func (r *request) begin(l *loop, now, deadline time.Duration) engine.Call {
	return r.start(l, now, deadline)
}

func (r *request) end(l *loop, d engine.Completion) error {
	if r.then != nil {
		r.then(l, d)
	}
	return d.Err
}

// call is one call of the application that the engine works on. It is also the task that begins it.
type call struct {
	id   engine.Call
	op   operation
	due  time.Time // zero: it has no deadline
	done chan engine.Completion
}

func (k *call) run(l *loop, now time.Duration) {
	var deadline time.Duration
	if !k.due.IsZero() {
		// 0 would mean "none".
		deadline = max(now+time.Until(k.due), 1)
	}
	k.id = k.op.begin(l, now, deadline)
	for k.id.Place() >= len(l.calls) {
		l.calls = append(l.calls, nil)
	}
	l.calls[k.id.Place()] = k
	l.pending++
}

func (c *Client) newCall(op operation, due time.Time) *call {
	k, ok := c.spares.Get().(*call)
	if !ok {
		k = &call{done: make(chan engine.Completion, 1)}
	}
	k.op, k.due = op, due
	return k
}

// spare gives back a call whose answer was taken, and which nobody knows any more: not the loop, and no task that would abandon it.
func (c *Client) spare(k *call) {
	*k = call{done: k.done}
	c.spares.Put(k)
}

// start begins a call without waiting for it.
func (c *Client) start(op operation, due time.Time) (*call, error) {
	k := c.newCall(op, due)
	if !c.submit(k) {
		return nil, fmt.Errorf("client: %s: %w", op, ErrClosed)
	}
	return k, nil
}

// await waits for a call that goes on even if the caller does not wait for it.
func (c *Client) await(ctx context.Context, k *call) error {
	op := k.op
	select {
	case d := <-k.done:
		c.spare(k)
		if d.Err != nil {
			return fmt.Errorf("client: %s: %w", op, d.Err)
		}
		return nil
	case <-ctx.Done():
		return c.callError(ctx, op, engine.ErrAbandoned)
	}
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
	c.post(taskFunc(func(l *loop, now time.Duration) {
		l.engine.Abandon(now, k.id)
	}))
	return <-k.done
}

// do is start and finish, with the error put into words.
func (c *Client) do(ctx context.Context, op operation) (engine.Completion, error) {
	if ctx.Err() != nil {
		return engine.Completion{}, fmt.Errorf("client: %s: %w", op, context.Cause(ctx))
	}
	due, _ := ctx.Deadline()
	k, err := c.start(op, due)
	if err != nil {
		return engine.Completion{}, err
	}
	d := c.finish(ctx, k)
	if d.Err != nil {
		return d, c.callError(ctx, op, d.Err)
	}
	return d, nil
}
