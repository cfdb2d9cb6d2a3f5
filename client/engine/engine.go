package engine

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// Op is a request of which only the op is set; the engine fills in session, instance, sequence and watermark. It must
// not be changed after it was handed over.
type Op = *dlmv1.Request

// Rand is the engine's only source of randomness: backoff jitter and session keys. The keys want a good one.
type Rand interface{ Uint64() uint64 }

// Engine is the sans-I/O client. It is not safe for concurrent use.
type Engine struct {
	cfg Config
	rng Rand
	// now is the latest time seen. Time never goes back: an earlier one counts as this one.
	now    time.Duration
	timers timers

	link     link
	cluster  []byte // of the last hello; nil before the first
	window   int    // of the last hello
	driftPPM uint64
	mark     mark // the best one in this cluster

	calls    callTable
	sessions map[uint64]*session // live ones, and those whose Close is on its way
	ended    tombstones
	keyed    map[string]*request // opens and attaches by key
	reads    map[uint64]*request

	ready     [classes][]*request // to be sent; what is no longer stateReady is skipped
	compactAt [classes]int        // length of a ready list at which it is searched for what has ended
	keepDue   []*session          // sessions that want to send a keep-alive; likewise with keepDue
	largeOut  int                 // bytes of large requests that are unanswered

	congestion congestion

	done   []Completion
	told   []Completion // what the last Flush returned, to be used again
	events []Event
	closes []uint64
}

// New makes an engine; fields of cfg that are 0 get their defaults.
func New(cfg Config, rng Rand) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{
		cfg: cfg, rng: rng,
		window:   defaultWindow,
		sessions: map[uint64]*session{},
		keyed:    map[string]*request{},
		reads:    map[uint64]*request{},

		congestion: congestion{limit: cfg.UnderWay, free: cfg.UnderWay},
	}
	e.link.server = int(uniform(rng, 0, time.Duration(cfg.Servers-1)))
	// Reads are named by their calls, and nothing else tells whose they are: a late answer to a former process must not find one.
	e.calls.serial = rng.Uint64() >> 32
	return e
}

// advance lets time pass: everything that is due happens before whatever comes now. That order is what makes a lapse
// final: an answer that arrives at or after the end of the lease finds the session lost already.
func (e *Engine) advance(now time.Duration) time.Duration {
	e.now = max(e.now, now)
	for t := e.timers.due(e.now); t != nil; t = e.timers.due(e.now) {
		t.owner.expire(e, e.now, t)
	}
	return e.now
}

// Flush returns everything that is to be done. Call it after a group of calls and network events, and at NextTimer.
// now must have been read before any frame of the result is handed over: leases count from it.
func (e *Engine) Flush(now time.Duration) Effects {
	now = e.advance(now)
	var fx Effects
	if d, ok := e.dial(now); ok {
		fx.Dial = []Dial{d}
	}
	e.admitHeld()
	fx.Frames = e.send(now)
	fx.Close, e.closes = e.closes, nil
	fx.Done = e.swapDone()
	fx.Events, e.events = e.events, nil
	return fx
}

// keepDone is the room for completions that is kept for later ones.
const keepDone = 4096

// swapDone returns the completions, and lets the next ones have the place of those that were returned before.
func (e *Engine) swapDone() []Completion {
	next := e.told[:0]
	if cap(next) > keepDone {
		next = nil
	}
	for _, d := range e.told {
		e.calls.release(d.Call)
	}
	clear(e.told)
	e.told, e.done = e.done, next
	return e.told
}

// NextTimer is when Flush wants to be called next if nothing happens before; it may be in the past: at once.
func (e *Engine) NextTimer() (at time.Duration, ok bool) {
	if e.outputReady() {
		return e.now, true
	}
	return e.timers.next()
}

func (e *Engine) outputReady() bool {
	return len(e.done) > 0 || len(e.events) > 0 || len(e.closes) > 0 || e.wantsDial() || e.wantsAdmit() || e.wantsSend()
}

// Held reports whether the session surely holds the lock under the token at this instant. Once it has said no for a
// token it never says yes again.
func (e *Engine) Held(now time.Duration, session uint64, lock string, token uint64) bool {
	e.now = max(e.now, now)
	end, ok := e.LeaseEnd(session, lock, token)
	return ok && e.now < end
}

// LeaseEnd is the local time until which Held says yes if nothing else happens; false = not held. It moves on with each
// answered keep-alive.
func (e *Engine) LeaseEnd(session uint64, lock string, token uint64) (time.Duration, bool) {
	s := e.sessions[session]
	if s == nil || s.err != nil {
		return 0, false
	}
	h := s.holds[token]
	if h == nil || h.lock.name != lock {
		return 0, false
	}
	return h.leaseEnd(), true
}

// SessionEnd is the local time until which the session surely lives if nothing else happens; false = it does not.
func (e *Engine) SessionEnd(session uint64) (time.Duration, bool) {
	s := e.sessions[session]
	if s == nil || s.err != nil {
		return 0, false
	}
	return s.leaseEnd(), true
}

func (e *Engine) event(ev Event) { e.events = append(e.events, ev) }

// tombstones remember why the last sessions ended, for calls that come too late.
type tombstones struct {
	why   map[uint64]error
	order []uint64
}

const maxTombstones = 1024

func (t *tombstones) add(session uint64, why error) {
	if t.why == nil {
		t.why = map[uint64]error{}
	}
	if _, known := t.why[session]; !known {
		t.order = append(t.order, session)
	}
	t.why[session] = why
	if len(t.order) > maxTombstones {
		delete(t.why, t.order[0])
		t.order = t.order[1:]
	}
}

func (t *tombstones) remove(session uint64) {
	if _, known := t.why[session]; !known {
		return
	}
	delete(t.why, session)
	for i, id := range t.order {
		if id == session {
			t.order = append(t.order[:i:i], t.order[i+1:]...)
			return
		}
	}
}
