package engine

import (
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// congestion holds requests back while the server has more to do than it can.
//
// A request that is sent then only lengthens the server's queue, and by the time it is dealt with its caller may have gone. So
// the number of requests that are under way is limited. The limit falls when the server refuses as overloaded, or answers late on
// the average, and grows while it answers in time and somebody is held back: what TCP's window does for the queues of a network
// (Jacobson, Congestion Avoidance and Control, 1988), with the time that is spent in queues as the sign, as in Vegas (Brakmo and
// Peterson, 1995). What is held back has no sequence and costs the server nothing; if its caller gives up, that was all.
//
// Of those whose callers wait until a deadline the newest goes first: its caller will wait the longest, while the oldest first
// would be answered just when it is too late, each of them. Those without a deadline go in order, turn by turn with the others.
//
// Only what asks for something is limited. Renewals, what gives back, opens and attaches go as ever. The limit is of the engine
// and not of a session: the server's queues are those of all.
type congestion struct {
	limit int
	free  int // Config.UnderWay
	// underWay are the requests that count: sent or about to be, and neither answered nor known to wait in a lock's queue.
	underWay  int
	cut       time.Duration // when the limit fell last, or was last exceeded after that: what was sent before tells nothing about it
	round     round
	fastest   time.Duration // answer on this connection
	patient   []*request    // held back, without a deadline, in order of coming; those that have ended are skipped
	hurried   []*request    // likewise, with a deadline
	turn      bool          // of the hurried
	compactAt int
}

// restShare: for this part of the attempt timeout a request may rest in the server's queues.
const restShare = 14

// limited: is it a request that is held back when the server has too much to do?
func (r *request) limited() bool {
	switch r.class {
	case classOrdinary, classLarge, classRead:
		return r.op.GetRenew() == nil
	}
	return false
}

// start sends a request, or holds it back.
func (e *Engine) start(r *request) {
	c := &e.congestion
	if !r.limited() || c.room() {
		e.admit(r)
		return
	}
	r.refusal = &Error{Reason: dlmv1.Reason_REASON_OVERLOADED, Detail: "not sent yet, because the server has more to do than it can"}
	c.hold(r)
	if a := r.op.GetAcquire(); a.GetWaitNanos() > 0 {
		r.call.armWait(e)
	}
}

func (c *congestion) hold(r *request) {
	if c.holding() >= c.compactAt {
		ended := func(o *request) bool { return o.state == stateDone }
		c.patient, c.hurried = slices.DeleteFunc(c.patient, ended), slices.DeleteFunc(c.hurried, ended)
		c.compactAt = max(64, 2*c.holding())
	}
	if r.call.deadline.armed() {
		c.hurried = append(c.hurried, r)
	} else {
		c.patient = append(c.patient, r)
	}
}

// holding is how many are held back, those included that have ended since.
func (c *congestion) holding() int { return len(c.patient) + len(c.hurried) }

func (c *congestion) room() bool { return c.underWay < c.limit }

// admit lets a request go as far as its session's window does.
func (e *Engine) admit(r *request) {
	if r.limited() {
		r.underWay = true
		e.congestion.underWay++
	}
	if r.s != nil {
		r.s.submit(r)
	} else {
		e.makeReady(r)
	}
}

func (e *Engine) wantsAdmit() bool { return e.congestion.holding() > 0 && e.congestion.room() }

// admitHeld admits what was held back, as far as there is room.
func (e *Engine) admitHeld() {
	c := &e.congestion
	for c.holding() > 0 && c.room() {
		r := c.next()
		if r.state == stateDone {
			continue
		}
		r.refusal = nil // from here on nobody may be told that it was not sent
		if r.kind == kindAcquire {
			e.timers.disarm(&r.call.wait)
			r.op.GetOp().(*dlmv1.Request_Acquire).Acquire = waited(r.call.acquire, e.now-r.call.since)
		}
		e.admit(r)
	}
}

// next takes out the one whose turn it is.
func (c *congestion) next() (r *request) {
	c.turn = !c.turn
	if last := len(c.hurried) - 1; last >= 0 && (c.turn || len(c.patient) == 0) {
		r, c.hurried[last] = c.hurried[last], nil
		c.hurried = c.hurried[:last]
		return r
	}
	r, c.patient[0] = c.patient[0], nil
	c.patient = c.patient[1:]
	return r
}

// landed: the request is no longer under way.
func (e *Engine) landed(r *request) {
	if r.underWay {
		r.underWay = false
		e.congestion.underWay--
	}
}

// connected begins to watch another connection. The limit stays: the server may be the same.
func (c *congestion) connected(now time.Duration) { c.fastest, c.round = 0, round{began: now} }

// refusedAsOverloaded takes the surest sign of congestion, from an attempt that was made at the given time.
func (e *Engine) refusedAsOverloaded(now, attempt time.Duration) {
	c := &e.congestion
	if attempt >= c.cut {
		c.fall(now, 7, 8)
	}
}

// fall lowers the limit to a part of what was under way.
func (c *congestion) fall(now time.Duration, part, of time.Duration) {
	from := min(c.limit, max(c.underWay, c.round.peak))
	c.limit, c.cut = max(1, c.free/256, int(time.Duration(from)*part/of)), now
	c.round = round{began: now}
}

// answered takes an answer, or the word that an acquire waits, as a sign of how much the server has to do. It comes before the
// request has landed.
func (e *Engine) answered(now time.Duration, r *request) {
	c := &e.congestion
	if !r.sent {
		return
	}
	took := now - r.attempt
	if c.fastest == 0 || took < c.fastest {
		c.fastest = took
	}
	if c.underWay > c.limit {
		c.cut = now
	}
	if r.underWay && r.attempt >= c.cut {
		c.round.answers++
		c.round.took += took
	}
	c.round.peak = max(c.round.peak, c.underWay)
	c.round.pressed = c.round.pressed || c.holding() > 0
}

// endRound draws the conclusion from the answers of a round, if one has lasted long enough.
func (e *Engine) endRound(now time.Duration) {
	c := &e.congestion
	rest := e.cfg.AttemptTimeout / restShare
	if c.round.answers == 0 || now-c.round.began < rest {
		return
	}
	mean, most := c.round.took/c.round.answers, rest+min(c.fastest, rest)
	switch {
	case mean > most:
		// By Little's law that many would have taken just as long as they may. But a round is no law.
		c.fall(now, min(max(most, mean/2), mean*7/8), mean)
		return
	case !c.round.pressed:
		c.limit = max(c.limit, c.free)
	case mean < most/2:
		c.limit += 1 + c.limit/4
	default:
		c.limit += 1 + c.limit/16
	}
	c.round = round{began: now}
}

// round is a time in which answers are watched.
type round struct {
	began   time.Duration
	answers time.Duration // their number
	took    time.Duration // all together
	peak    int           // most that were under way
	pressed bool          // something was held back
}

// of are the requests that are held back, of one session or (nil) of all.
func (c *congestion) of(s *session) (out []*request) {
	for _, held := range [][]*request{c.patient, c.hurried} {
		for _, r := range held {
			if (s == nil || r.s == s) && r.state != stateDone {
				out = append(out, r)
			}
		}
	}
	return out
}

// HeldBack is how many calls wait here because the server has more to do than it can.
func (e *Engine) HeldBack() int { return len(e.congestion.of(nil)) }
