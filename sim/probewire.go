package sim

import (
	"errors"
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
	"dlm/core"
	"dlm/replica"
	"dlm/wal"
)

// What the prober sees between clients and server, and of their processes.

// sent takes a frame that a client hands over.
func (p *prober) sent(c *client, f *dlmv1.ClientFrame) {
	now := p.w.sim.Now()
	p.meetIf(heldBack, c.engine.HeldBack() > 0)
	for _, r := range f.GetRequests() {
		if r.GetSequence() == 0 {
			continue
		}
		q := p.request(r)
		q.sent = now
		q.sends++
		if s := p.sessions[r.GetSession()]; s != nil && r.GetInstance() == s.instance {
			s.client = c.id
		}
		if op := r.GetRelease(); op != nil && q.sends == 1 {
			p.meetIf(givenBack, !p.claimed[op.GetToken()])
		}
	}
}

// arrived takes a frame that the server looks at, before the server does.
func (p *prober) arrived(f *dlmv1.ClientFrame) {
	for _, r := range f.GetRequests() {
		switch op := r.GetOp().(type) {
		case *dlmv1.Request_Open:
			if s := p.opens[string(op.Open.GetKey())]; s != nil {
				p.meetIf(openAgain, !s.ended)
				p.meetIf(openTooLate, s.ended)
			}
			continue
		case *dlmv1.Request_Attach:
			continue
		}
		s := p.sessions[r.GetSession()]
		if s != nil {
			p.meetIf(afterSessionEnd, s.ended)
			p.meetIf(fencedOff, r.GetInstance() < s.instance)
		}
		p.again(p.request(r))
	}
}

// again takes the arrival of a request, first or not.
func (p *prober) again(q *seenRequest) {
	q.arrivals++
	if q.arrivals == 1 {
		q.life = p.life
	}
	p.meetIf(acquireAfterCancel, q.unseen && q.index == 0)
	if q.arrivals == 1 {
		return
	}
	switch {
	case q.answer != nil:
		p.meet(dupOfApplied)
		p.meetIf(dupAcrossRestart, q.life < p.life)
		p.meetIf(dupAfterRelease, q.released)
	case q.waiting:
		p.meetIf(dupOfWaiter, q.queuedIn < p.life)
	case q.index == 0 && q.life < p.life:
		p.meet(lostAndSentAgain)
		q.life = p.life
	default:
		p.meet(dupWhilePending)
	}
}

// delivered takes a frame that a client looks at.
func (p *prober) delivered(f *dlmv1.ServerFrame) {
	for _, n := range f.GetNotices() {
		switch n.GetKind() {
		case dlmv1.Notice_KIND_LOCK_LOST:
			p.told[n.GetToken()] = true
		case dlmv1.Notice_KIND_QUEUED:
			q := p.requests[[2]uint64{n.GetSession(), n.GetSequence()}]
			p.meetIf(queuedTooLate, q != nil && q.got)
		}
	}
	for _, a := range f.GetAnswers() {
		s := p.sessions[a.GetSession()]
		p.meetIf(answerAfterLapse, s != nil && s.lapsed && a.GetReason() == dlmv1.Reason_REASON_OK)
		for _, x := range a.GetLosses() {
			if a.GetSequence() == 0 {
				p.told[x.GetToken()] = true // a takeover's: the notice went to the former instance
			}
			if h := p.holds[x.GetToken()]; h != nil && h.session.id == a.GetSession() && !p.told[x.GetToken()] {
				p.told[x.GetToken()] = true
				p.meet(noticeLost)
			}
		}
		q := p.requests[[2]uint64{a.GetSession(), a.GetSequence()}]
		if q == nil || q.r == nil {
			continue
		}
		op := q.r.GetAcquire()
		switch a.GetReason() {
		case dlmv1.Reason_REASON_OK:
			if op != nil && !q.got {
				q.got = true
				p.meetIf(askedAgain, q.answer != nil && q.sent > q.answered)
			}
		case dlmv1.Reason_REASON_WINDOW_FULL:
			p.meet(windowFull)
		case dlmv1.Reason_REASON_OVERLOADED:
			p.meet(overloaded)
		case dlmv1.Reason_REASON_INVALID:
			p.meetIf(limitValue, op != nil && a.GetLimit() != 0)
			p.meetIf(limitAppend, q.r.GetAppend() != nil && a.GetLimit() != 0)
		}
	}
}

// event takes what an engine says unasked.
func (p *prober) event(c *client, e *engine.Event) {
	switch e.Kind {
	case engine.EventSessionLost:
		s := p.sessions[e.Session]
		var told *engine.Error
		if s == nil || !errors.Is(e.Err, engine.ErrExpired) || errors.As(e.Err, &told) {
			return
		}
		s.lapsed = true
		p.meetIf(lapsedFirst, !s.ended)
		p.meetIf(wokeLapsed, c.stalled > 0 && p.w.sim.Now()-c.stalled < 50*time.Millisecond)
	case engine.EventLockLost:
		h := p.holds[e.Token]
		p.meetIf(holdLimitFirst, h != nil && !h.revoked && errors.Is(e.Err, engine.ErrHoldLimit))
	}
}

// thaws takes what a client sends that stood still after it had decided to.
func (p *prober) thaws(eff *engine.Effects) {
	for _, o := range eff.Frames {
		for _, r := range o.Frame.GetRequests() {
			s := p.sessions[r.GetSession()]
			p.meetIf(frozenFrames, s != nil && s.ended)
		}
	}
}

// overlap takes a hold beside which another library says that it holds the lock, for a reason that is allowed.
func (p *prober) overlap(x probe, token uint64) {
	if !p.overlaps[token] {
		p.overlaps[token] = true
		p.meet(x)
	}
}

// serverUp takes a recovery: what the snapshot held is in the lock table, and no entry yet.
func (p *prober) serverUp(s *server, rec *wal.Recovered) {
	p.life, p.fresh = s.life, true
	p.meetIf(tornTail, rec.Report.TornBytes > 0)
	if rec.Snapshot.Index == 1 {
		return
	}
	p.meetIf(snapshotAndLog, len(rec.Entries) > 0)
	all := s.node.Core().Read(&dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{}}})
	waits, revoked := false, false
	for _, k := range all.GetLocks() {
		waits = waits || len(k.GetWaiters()) > 0
		for _, h := range k.GetHolders() {
			revoked = revoked || h.GetRevoked()
		}
	}
	p.meetIf(snapshotWaiters, waits)
	p.meetIf(snapshotRevoked, revoked)
}

// image takes an applied entry.
func (p *prober) image(n *replica.Node, out core.Output) {
	if _, encoding := n.Snapshotting(); !encoding {
		return
	}
	p.meet(appliedInImage)
	p.meetIf(endsInImage, slices.ContainsFunc(out.Events, func(e core.Event) bool { return e.Kind == core.EventEnded }))
}

// serverDies takes the end of a process, as long as it can still be looked at.
func (p *prober) serverDies(s *server) {
	p.meetIf(diesUnled, !s.node.Leading())
	p.meetIf(bothTasks, s.log != nil && s.file != nil)
}
