package engine

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// frames collects what leaves with one Flush, in frames of about Config.FrameBytes.
type frames struct {
	conn   uint64
	limit  int
	size   int
	expect int // requests still to come, about
	out    []Outgoing
}

func (f *frames) room(size int) *dlmv1.ClientFrame {
	if len(f.out) == 0 || f.size+size > f.limit {
		requests := make([]*dlmv1.Request, 0, max(0, min(f.expect, f.limit/size+1)))
		f.out = append(f.out, Outgoing{Conn: f.conn, Frame: &dlmv1.ClientFrame{Requests: requests}})
		f.size = 0
	}
	f.size += size
	f.expect--
	return f.out[len(f.out)-1].Frame
}

func (e *Engine) wantsSend() bool {
	if e.link.state != linkUp {
		return false
	}
	for _, s := range e.keepDue {
		if s.keepDue && s.err == nil {
			return true
		}
	}
	for c := range e.ready {
		for _, r := range e.ready[c] {
			if r.state != stateReady {
				continue
			}
			if class(c) != classLarge || e.largeFits(r) {
				return true
			}
			break // as in send: those behind it wait with it, even if they would fit
		}
	}
	return false
}

func (e *Engine) largeFits(r *request) bool {
	return e.largeOut == 0 || e.largeOut+r.size <= e.cfg.LargeOutBytes
}

// send hands over what is ready, class by class.
func (e *Engine) send(now time.Duration) []Outgoing {
	if e.link.state != linkUp {
		return nil
	}
	due := e.keepDue
	e.keepDue = nil
	for _, s := range due {
		if s.keepDue && s.err == nil {
			s.sendKeepAlive(now)
		}
	}
	f := &frames{conn: e.link.conn, limit: e.cfg.FrameBytes}
	for c := range e.ready {
		if class(c) != classRead {
			f.expect += len(e.ready[c])
		}
	}
	for c := range e.ready {
		list := e.ready[c]
		n := 0
		for ; n < len(list); n++ {
			r := list[n]
			if r.state != stateReady {
				continue
			}
			if class(c) == classLarge && !e.largeFits(r) {
				break
			}
			e.sendOne(now, f, r)
		}
		if n == len(list) {
			clear(list)
			e.ready[c] = list[:0]
		} else {
			e.ready[c] = list[n:]
		}
	}
	if len(f.out) > 0 && !e.link.silent {
		e.link.silent, e.link.silentSince = true, now
	}
	return f.out
}

func (e *Engine) sendOne(now time.Duration, f *frames, r *request) {
	r.state, r.attempt = stateSent, now
	first := !r.sent
	if first {
		r.sent, r.firstSent = true, now
	}
	if r.class == classLarge {
		r.counted = true
		e.largeOut += r.size
	}
	patience := e.cfg.AttemptTimeout
	if r.kind == kindKeepAlive {
		patience = r.s.keepAlivePatience()
	}
	e.timers.arm(&r.timer, r, now+patience)
	frame := f.room(r.size)
	if r.kind == kindRead {
		frame.Reads = append(frame.Reads, r.read)
		return
	}
	m := r.op
	if !first || !r.own {
		m = &dlmv1.Request{Op: r.op.GetOp()} // the one before may still be being sent
	}
	m.Session = r.session
	if s := r.s; s != nil {
		m.Session = s.id
		if r.key == nil {
			m.Instance, m.Sequence = s.instance, r.sequence
			m.Watermark, m.Awaited = s.awaits(r)
			f.size += 5 * len(m.Awaited)
		}
		if first {
			s.beforeFirstSend(now, r)
		}
	}
	frame.Requests = append(frame.Requests, m)
}
