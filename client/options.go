package client

import (
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// Option configures a Client.
type Option func(*options)

type options struct {
	addrs     []string
	log       *slog.Logger
	now       func() time.Duration
	engine    engine.Config
	rng       engine.Rand
	grpc      []grpc.DialOption
	transport transport
}

// WithServers adds servers beside the one that Dial names.
func WithServers(addrs ...string) Option {
	return func(o *options) { o.addrs = append(o.addrs, addrs...) }
}

// WithLogger has connections, losses and dropped events logged. Default: nothing is.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithAttemptTimeout bounds one attempt at a connection or a request before another is made. Default 2 s.
func WithAttemptTimeout(d time.Duration) Option {
	return func(o *options) { o.engine.AttemptTimeout = d }
}

// WithBackoff bounds the pause between attempts, which doubles from least to most and is drawn at random below that.
// Default 20 ms and 2 s.
func WithBackoff(least, most time.Duration) Option {
	return func(o *options) { o.engine.BackoffMin, o.engine.BackoffMax = least, most }
}

// WithClock replaces the clock that leases are judged by: time since any origin. It must not stop while the machine
// sleeps. Default CLOCK_BOOTTIME on Linux.
func WithClock(now func() time.Duration) Option { return func(o *options) { o.now = now } }

// WithDialOptions adds gRPC options, such as transport credentials, and has everything go over gRPC. Default: no encryption, and the
// client's stream over a bare connection (see package wire) to the same port, unless the address is one of gRPC's, with a scheme.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(o *options) { o.grpc = append(o.grpc, opts...) }
}

// SessionOption configures a session.
type SessionOption func(*sessionOptions)

type sessionOptions struct {
	engine.SessionOptions
	events int
}

// DefaultEvents is how many events of a session are kept until they are read.
const DefaultEvents = 64

// WithTTL sets how long the session outlives its last renewal. Default: the cluster's (30 s unless changed).
func WithTTL(ttl time.Duration) SessionOption { return func(o *sessionOptions) { o.TTL = ttl } }

// WithLabel tells operators who this is, such as host and process id.
func WithLabel(label string) SessionOption { return func(o *sessionOptions) { o.Label = label } }

// WithConfirmByHand leaves it to the application to confirm that a lock was revoked, with Lock.Unlock or Session.Close,
// when it has stopped what it did under the lock. Until then, at most until its lease as of the revoke ends, nobody else
// is granted the lock. Default: the library confirms as soon as it hears of the revoke.
func WithConfirmByHand() SessionOption {
	return func(o *sessionOptions) { o.ConfirmByHand = true }
}

// WithEventBuffer sets how many unread events are kept, at least 1. Default DefaultEvents.
func WithEventBuffer(n int) SessionOption { return func(o *sessionOptions) { o.events = max(n, 1) } }

func newSessionOptions(opts []SessionOption) (sessionOptions, error) {
	o := sessionOptions{events: DefaultEvents}
	for _, opt := range opts {
		opt(&o)
	}
	if o.TTL < 0 {
		return o, fmt.Errorf("client: TTL %v: %w: a duration must not be negative", o.TTL, ErrInvalid)
	}
	return o, nil
}

// LockOption configures one Lock call.
type LockOption func(*lockOptions)

type lockOptions struct {
	acquire *dlmv1.Acquire
	err     error
}

func (o *lockOptions) nanos(what string, d time.Duration) uint64 {
	if d < 0 {
		o.err = fmt.Errorf("client: %s %v: %w: a duration must not be negative", what, d, ErrInvalid)
		return 0
	}
	return uint64(d)
}

// Shared asks for a shared hold: any number of them go together, none goes with an exclusive one.
func Shared() LockOption {
	return func(o *lockOptions) { o.acquire.Mode = dlmv1.Mode_MODE_SHARED }
}

// Wait bounds how long the acquire may queue; then it fails with ErrWaitTimeout. 0 tries once, see TryLock. It is counted by
// the cluster; a ctx with a deadline bounds the call here. Default: no limit.
func Wait(d time.Duration) LockOption {
	return func(o *lockOptions) {
		nanos := o.nanos("wait", d)
		o.acquire.WaitNanos = &nanos
	}
}

// HoldLimit ends the hold this long after the grant (or its last Renew), however alive the session is. Default: never.
func HoldLimit(d time.Duration) LockOption {
	return func(o *lockOptions) { o.acquire.HoldLimitNanos = o.nanos("hold limit", d) }
}

// LockDelay keeps the lock from everybody for this long after the hold was lost (but not after Unlock). Default 0.
func LockDelay(d time.Duration) LockOption {
	return func(o *lockOptions) { o.acquire.LockDelayNanos = o.nanos("lock-delay", d) }
}

// Value is shown to whoever asks who holds the lock.
func Value(b []byte) LockOption {
	return func(o *lockOptions) { o.acquire.Value = append([]byte(nil), b...) }
}

func newAcquire(name string, opts []LockOption) (*dlmv1.Acquire, error) {
	a := &dlmv1.Acquire{Lock: name}
	if len(opts) == 0 {
		return a, nil
	}
	o := lockOptions{acquire: a}
	for _, opt := range opts {
		opt(&o)
	}
	return o.acquire, o.err
}
