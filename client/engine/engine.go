package engine

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// Call names one call of the application until its Completion. Never 0, never reused by one engine.
type Call uint64

// Op is a request of which only the op is set; the engine fills in session, instance, sequence and watermark. It must
// not be changed after it was handed over.
type Op = *dlmv1.Request

// Rand is the engine's only source of randomness (backoff jitter, session keys).
type Rand interface{ Uint64() uint64 }

// SessionOptions is what a session is opened with.
type SessionOptions struct {
	// TTL is how long the session outlives its last renewal; 0 = the cluster's default.
	TTL time.Duration
	// Label tells operators who this is. May be empty.
	Label string
}

// Engine is the sans-I/O client. It is not safe for concurrent use.
type Engine struct {
	cfg Config
	rng Rand
}

// New makes an engine; fields of cfg that are 0 get their defaults.
func New(cfg Config, rng Rand) *Engine { return &Engine{cfg: cfg, rng: rng} }

// OpenSession begins a session. Its Completion names the session.
func (e *Engine) OpenSession(now, deadline time.Duration, o SessionOptions) Call { return 0 }

// AttachSession takes over a session as its new and only instance.
func (e *Engine) AttachSession(now, deadline time.Duration, session uint64) Call { return 0 }

// CloseSession ends a session.
func (e *Engine) CloseSession(now, deadline time.Duration, session uint64) Call { return 0 }

// Do sends any logged operation.
func (e *Engine) Do(now, deadline time.Duration, session uint64, op Op) Call { return 0 }

// Lock acquires.
func (e *Engine) Lock(now, deadline time.Duration, session uint64, a *dlmv1.Acquire) Call { return 0 }

// Unlock releases.
func (e *Engine) Unlock(now, deadline time.Duration, session uint64, lock string, token uint64) Call {
	return 0
}

// Query reads.
func (e *Engine) Query(now, deadline time.Duration, r *dlmv1.Read) Call { return 0 }

// Abandon gives up a call.
func (e *Engine) Abandon(now time.Duration, c Call) {}

// Connected says that the connection of a Dial stands.
func (e *Engine) Connected(now time.Duration, conn uint64) {}

// Disconnected says that a connection, or the attempt at one, has failed or ended.
func (e *Engine) Disconnected(now time.Duration, conn uint64) {}

// Receive takes a frame.
func (e *Engine) Receive(now time.Duration, conn uint64, f *dlmv1.ServerFrame) {}

// Flush returns what is to be done.
func (e *Engine) Flush(now time.Duration) Effects { return Effects{} }

// NextTimer is when Flush wants to be called next, if nothing happens before.
func (e *Engine) NextTimer() (at time.Duration, ok bool) { return 0, false }

// Held reports whether the session surely holds the lock under the token at this instant.
func (e *Engine) Held(now time.Duration, session uint64, lock string, token uint64) bool {
	return false
}

// LeaseEnd is the local time until which Held says yes if nothing else happens; false = not held.
func (e *Engine) LeaseEnd(session uint64, lock string, token uint64) (time.Duration, bool) {
	return 0, false
}
