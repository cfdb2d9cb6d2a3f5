package engine

import (
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// kind of a request: who deals with its answer.
type kind uint8

const (
	kindOpen kind = iota
	kindAttach
	kindKeepAlive
	kindAcquire
	kindCancel
	kindRelease
	kindClose
	kindOther
	kindRead
)

// class is the order in which ready requests leave, and what part of the window they may use.
type class uint8

const (
	classKeyed    class = iota // open, attach: no sequence
	classUrgent                // keep-alive
	classGiveBack              // release, cancel, close: others wait for them
	classOrdinary
	classLarge
	classRead
	classes
)

type state uint8

const (
	stateWaiting state = iota // for room in the window; has no sequence
	stateReady                // in Engine.ready
	stateSent                 // on its way; the timer is the attempt's
	statePaused               // the timer is the backoff's
	stateDone
)

// request is something that is sent until it is answered.
//
//	waiting --room in the window--> ready --send--> sent --answer--> done
//	                                  ^               |
//	                                  |<--disconnect--+
//	                                  +---- paused <--+ timeout or refusal
type request struct {
	kind  kind
	class class
	state state
	op    *dlmv1.Request // only the op is set; an own one becomes the first message
	own   bool           // op is the engine's, not the application's
	read  *dlmv1.Read
	size  int // bytes, about

	s        *session // nil for opens, takeovers and reads
	session  uint64   // of a takeover
	sequence uint64
	key      []byte // of opens and attaches

	call      *call    // who waits for it; nil = nobody
	lock      *lock    // of an acquire
	token     uint64   // of a release
	target    *request // of a cancel: its acquire
	cancel    *request // of an acquire that was given up
	sent      bool     // at least once
	firstSent time.Duration
	queued    bool          // the server said that it waits
	counted   bool          // in Engine.largeOut
	underWay  bool          // in congestion.underWay
	attempt   time.Duration // when the last attempt was made
	timer     timer
	backoff   backoff
	refusal   *Error // the last one, to be told if it never gets better
}

func (r *request) expire(e *Engine, now time.Duration, _ *timer) {
	if r.kind == kindKeepAlive { // never sent again: a new one is worth more
		if r.state == statePaused || !e.suspect(now) {
			r.s.wantKeepAlive()
		}
		return
	}
	switch r.state {
	case statePaused:
		e.makeReady(r)
	case stateSent:
		if r.kind == kindOpen && r.call == nil {
			e.dropRequest(r) // nobody wants the session any more, and it has lapsed by now
			return
		}
		if e.suspect(now) {
			return // everything that was on its way is ready again
		}
		if r.queued {
			e.makeReady(r)
			return
		}
		e.pause(now, r)
	}
}

// makeReady queues the request for the next Flush with a connection.
func (e *Engine) makeReady(r *request) {
	if r.state == stateReady || r.state == stateDone {
		return
	}
	e.uncount(r)
	e.timers.disarm(&r.timer)
	list := e.ready[r.class]
	if len(list) >= e.compactAt[r.class] { // while nobody is connected the given up ones would pile up
		list = slices.DeleteFunc(list, func(o *request) bool { return o.state != stateReady })
		e.compactAt[r.class] = max(64, 2*len(list))
	}
	r.state = stateReady
	e.ready[r.class] = append(list, r)
}

// pause waits a while before the next attempt.
func (e *Engine) pause(now time.Duration, r *request) {
	e.uncount(r)
	r.state = statePaused
	r.queued = false
	pause := r.backoff.next(e.rng, e.cfg.BackoffMin, e.cfg.BackoffMax)
	if r.kind == kindKeepAlive {
		// Refused often, it must not rest until it is too late.
		pause = min(pause, r.s.keepAlivePatience(), max((r.s.leaseEnd()-now)/4, time.Millisecond))
	}
	e.timers.arm(&r.timer, r, now+pause)
}

// refused takes an answer that is not the request's result. Only an attempt that is on its way can be refused: a second
// copy of a refusal must not lengthen the pause. When it sends us to another server, the pause before the new connection
// is enough.
func (e *Engine) refused(now time.Duration, r *request, reason dlmv1.Reason, detail string) {
	r.refusal = &Error{Reason: reason, Detail: detail}
	if reason == dlmv1.Reason_REASON_OVERLOADED && r.state == stateSent {
		e.refusedAsOverloaded(now, r.attempt)
	}
	if e.elsewhere(now, reason) {
		return
	}
	if r.state == stateSent && r.cancel == nil && (r.call != nil || r.kind != kindOpen) {
		e.pause(now, r)
	}
}

// end makes a request forget everything that may come; the rest of its life is its owner's.
func (e *Engine) end(r *request) {
	e.uncount(r)
	e.landed(r)
	e.timers.disarm(&r.timer)
	r.state = stateDone
}

func (e *Engine) uncount(r *request) {
	if r.counted {
		r.counted = false
		e.largeOut -= r.size
	}
}

// dropRequest forgets a request, wherever it is.
func (e *Engine) dropRequest(r *request) {
	switch {
	case r.state == stateDone:
	case r.kind == kindRead:
		e.end(r)
		delete(e.reads, r.read.GetId())
	case r.key != nil:
		e.end(r)
		delete(e.keyed, string(r.key))
	default:
		r.s.remove(r)
	}
}

// requeue makes everything ready again that was on its way over a connection which is gone.
func (e *Engine) requeue() {
	for _, k := range sortedKeys(e.keyed) {
		r := e.keyed[k]
		switch {
		case r.kind == kindAttach && r.s != nil:
			e.dropRequest(r) // each connection gets its own
		case r.state == stateSent && r.call != nil:
			e.makeReady(r)
		}
	}
	for _, id := range sortedKeys(e.sessions) {
		e.sessions[id].requeue()
	}
	for _, id := range sortedKeys(e.reads) {
		if r := e.reads[id]; r.state == stateSent {
			e.makeReady(r)
		}
	}
}

// size of an op on the wire, about: what is not counted is bounded by the name limits.
func opSize(op *dlmv1.Request) int {
	const rest = 128
	switch o := op.GetOp().(type) {
	case *dlmv1.Request_Append:
		return rest + len(o.Append.GetData()) + len(o.Append.GetFile()) + len(o.Append.GetLock())
	case *dlmv1.Request_Acquire:
		return rest + len(o.Acquire.GetValue()) + len(o.Acquire.GetLock())
	}
	return rest
}
