package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// What the prober sees in the log.

// logged takes a request that an entry holds.
func (p *prober) logged(r *dlmv1.Request) {
	if r.GetSequence() == 0 {
		return // an open or attach
	}
	q := p.request(r)
	if q.index != 0 {
		p.meet(dupLogged)
		return
	}
	q.index = p.index
	p.meetIf(batchSurvives, q.arrivals > 0 && q.life < p.life && p.fresh)
	s := p.sessions[r.GetSession()]
	if s == nil || s.ended {
		return
	}
	p.meetIf(gapFilled, r.GetSequence() < s.highest)
	s.highest = max(s.highest, r.GetSequence())
	now := p.w.sim.Now()
	p.meetIf(outlived, now-s.renewed > time.Duration(s.ttl))
	s.renewed = now
}

// answered takes an answer: of a request of the entry, or of an acquire that waited.
func (p *prober) answered(a *dlmv1.Answer) {
	if a.GetSequence() == 0 {
		p.keyed(a)
		return
	}
	q := p.requests[[2]uint64{a.GetSession(), a.GetSequence()}]
	if q == nil || q.r == nil || q.answer != nil {
		return
	}
	s := p.sessions[a.GetSession()]
	waited := q.waiting
	if waited {
		q.waiting = false
		p.lock(q.r.GetAcquire().GetLock()).queue--
		s.waits--
		if q.index != p.index {
			p.waiterAnswered(a, q)
		}
	}
	q.answer, q.answered = a, p.w.sim.Now()
	if s == nil {
		return
	}
	switch a.GetReason() {
	case dlmv1.Reason_REASON_INSTANCE_FENCED:
		p.meetIf(fencedOff, !waited)
		return
	case dlmv1.Reason_REASON_TOO_OLD:
		p.meet(dupForgotten)
	}
	ok := a.GetReason() == dlmv1.Reason_REASON_OK
	switch op := q.r.GetOp().(type) {
	case *dlmv1.Request_Close:
		if ok {
			p.end(s, byRelease)
		}
	case *dlmv1.Request_Acquire:
		p.acquired(q, s, a)
	case *dlmv1.Request_Cancel:
		p.cancelled(op.Cancel, a)
	case *dlmv1.Request_Release:
		p.released(op.Release, a)
	case *dlmv1.Request_Renew:
		p.meetIf(renewTooLate, a.GetReason() == dlmv1.Reason_REASON_HOLD_LIMIT)
		p.meetIf(zombieRenew, staleBy(a, op.Renew.GetToken()))
		if h := p.holds[op.Renew.GetToken()]; h != nil && ok {
			p.meetIf(renewShorter, op.Renew.GetHoldLimitNanos() == 0 && a.GetHoldDeadline() != 0 && a.GetHoldDeadline() < h.deadline)
			h.deadline = a.GetHoldDeadline()
		}
	case *dlmv1.Request_Revoke:
		p.revoked(op.Revoke, a)
	case *dlmv1.Request_RevokeSession:
		if ok && op.RevokeSession.GetNow() {
			p.end(p.sessions[op.RevokeSession.GetSession()], byRevoke)
		}
	case *dlmv1.Request_Append:
		p.appended(op.Append, a)
	case *dlmv1.Request_Delete:
		if ok {
			p.files[op.Delete.GetFile()] = true
			p.fileN--
		}
	case *dlmv1.Request_SetLimits:
		l := op.SetLimits.GetLimits()
		p.meetIf(limitLowered, ok && (l.GetSessions() != 0 && p.live > l.GetSessions() || l.GetFiles() != 0 && p.fileN > l.GetFiles()))
	}
}

// staleBy: a fenced operation was refused, and a newer hold is there.
func staleBy(a *dlmv1.Answer, token uint64) bool {
	switch a.GetReason() {
	case dlmv1.Reason_REASON_STALE_TOKEN, dlmv1.Reason_REASON_HOLD_LIMIT, dlmv1.Reason_REASON_LOCK_REVOKED:
		return a.GetToken() > token
	}
	return false
}

// waiterAnswered takes what became of an acquire that had waited since an earlier entry.
func (p *prober) waiterAnswered(a *dlmv1.Answer, q *seenRequest) {
	l := p.lock(q.r.GetAcquire().GetLock())
	switch a.GetReason() {
	case dlmv1.Reason_REASON_OK:
		p.meetIf(justInTime, q.waitEnd != 0 && q.waitEnd > p.stamp && q.waitEnd-p.stamp < uint64(20*time.Millisecond))
		if l.freedIn == p.index {
			p.meetIf(expiryHandsOn, l.cause == byExpiry || l.cause == byCutOff)
			p.meetIf(cutOffHandsOn, l.cause == byCutOff)
			p.meetIf(holdLimitHandsOn, l.cause == byLimit)
		}
	case dlmv1.Reason_REASON_WAIT_TIMEOUT:
		p.due++
		p.timedOut = append(p.timedOut, l)
	case dlmv1.Reason_REASON_SESSION_EXPIRED, dlmv1.Reason_REASON_SESSION_CLOSED:
		p.meet(waiterDies)
	case dlmv1.Reason_REASON_SESSION_REVOKED:
		p.meet(revokeWaiting)
	case dlmv1.Reason_REASON_INSTANCE_FENCED:
		p.meet(takeOverWaits)
	}
}

// keyed takes the answer of an open or attach.
func (p *prober) keyed(a *dlmv1.Answer) {
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		p.meetIf(limitSessions, a.GetReason() == dlmv1.Reason_REASON_LIMIT)
		return
	}
	s := p.sessions[a.GetSession()]
	if s == nil {
		s = &seenSession{
			id: a.GetSession(), instance: a.GetInstance(), ttl: a.GetTtlNanos(), client: -1, renewed: p.w.sim.Now(),
		}
		p.sessions[s.id], p.opens[string(a.GetKey())] = s, s
		p.live++
		return
	}
	if a.GetInstance() > s.instance {
		s.instance, s.renewed = a.GetInstance(), p.w.sim.Now()
		p.meetIf(takeOverHolds, len(a.GetHolds()) > 0)
		p.meetIf(takeOverRevoked, len(a.GetLosses()) > 0)
	}
}

func (p *prober) acquired(q *seenRequest, s *seenSession, a *dlmv1.Answer) {
	op := q.r.GetAcquire()
	l := p.lock(op.GetLock())
	switch a.GetReason() {
	case dlmv1.Reason_REASON_OK:
	case dlmv1.Reason_REASON_LIMIT:
		switch {
		case uint64(len(s.holds)+s.waits) >= a.GetLimit():
			p.meet(limitHolds)
		case uint64(l.queue) >= a.GetLimit():
			p.meet(limitWaiters)
		default:
			p.meet(limitLocks)
		}
		return
	default:
		return
	}
	shared := op.GetMode() == dlmv1.Mode_MODE_SHARED
	for _, h := range append([]*seenHold(nil), l.holds...) {
		if h.revoked && !(shared && h.shared) {
			p.meet(revokeRunsOut)
			p.drop(h, byRevoke)
		}
	}
	h := &seenHold{
		token: a.GetToken(), session: s, lock: l, by: q, shared: shared, delay: op.GetLockDelayNanos() > 0,
		deadline: a.GetHoldDeadline(),
	}
	l.holds = append(l.holds, h)
	s.holds = append(s.holds, h)
	p.holds[h.token] = h
	if l.grantedIn != p.index {
		l.grantedIn, l.grants = p.index, 0
	}
	l.grants++
	p.meetIf(sharedTogether, shared && l.grants == 3)
}

func (p *prober) cancelled(op *dlmv1.Cancel, a *dlmv1.Answer) {
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return
	}
	switch a.GetCancelled() {
	case dlmv1.Reason_REASON_OK:
		p.meet(cancelMeetsGrant)
	case dlmv1.Reason_REASON_CANCELLED:
		id := [2]uint64{a.GetSession(), op.GetSequence()}
		q := p.requests[id]
		if q == nil {
			q = &seenRequest{}
			p.requests[id] = q
		}
		if q.index == 0 {
			q.unseen = true
			p.meet(cancelOvertakes)
		}
	}
}

func (p *prober) released(op *dlmv1.Release, a *dlmv1.Answer) {
	switch a.GetReason() {
	case dlmv1.Reason_REASON_OK:
		p.drop(p.holds[op.GetToken()], byRelease)
	case dlmv1.Reason_REASON_LOCK_REVOKED:
		if h := p.holds[op.GetToken()]; h != nil {
			p.meet(revokeConfirmed)
			p.drop(h, byRevoke)
		}
	}
	p.meetIf(zombieRelease, staleBy(a, op.GetToken()))
}

func (p *prober) revoked(op *dlmv1.Revoke, a *dlmv1.Answer) {
	p.meetIf(revokeNothing, a.GetReason() == dlmv1.Reason_REASON_NOT_FOUND)
	for _, x := range a.GetLosses() {
		if h := p.holds[x.GetToken()]; h != nil {
			h.revoke(p.index)
			if op.GetNow() {
				p.meetIf(revokeAgain, h.revokedIn < p.index)
				p.drop(h, byRevoke)
			}
		}
	}
}

func (p *prober) appended(op *dlmv1.Append, a *dlmv1.Answer) {
	p.meetIf(zombieAppend, staleBy(a, op.GetToken()))
	deleted, known := p.files[op.GetFile()]
	switch a.GetReason() {
	case dlmv1.Reason_REASON_OK:
		if !known || deleted {
			p.meetIf(fileReborn, deleted)
			p.files[op.GetFile()] = false
			p.fileN++
		}
		p.meetIf(blockBorder, a.GetOffset()%4096 != 0 && a.GetOffset()/4096 != a.GetLength()/4096)
	case dlmv1.Reason_REASON_LOCK_REVOKED:
		p.meet(appendUnderRevoked)
	case dlmv1.Reason_REASON_LIMIT:
		if known && !deleted {
			p.meet(limitFileBytes)
		} else {
			p.meet(limitFiles)
		}
	}
}

// lost takes notices of losses.
func (p *prober) lost(n *dlmv1.Notice) {
	switch n.GetKind() {
	case dlmv1.Notice_KIND_LOCK_LOST:
		h := p.holds[n.GetToken()]
		if h == nil {
			return
		}
		if n.GetReason() == dlmv1.Reason_REASON_HOLD_LIMIT {
			p.due++
			p.drop(h, byLimit)
		} else {
			h.revoke(p.index)
		}
	case dlmv1.Notice_KIND_SESSION_LOST:
		if s := p.sessions[n.GetSession()]; s != nil && !s.ended && n.GetReason() == dlmv1.Reason_REASON_SESSION_EXPIRED {
			p.due++
			p.end(s, byExpiry)
		}
	}
}

// queued takes the notices of acquires that wait.
func (p *prober) queued(n *dlmv1.Notice) {
	if n.GetKind() != dlmv1.Notice_KIND_QUEUED {
		return
	}
	q, s := p.requests[[2]uint64{n.GetSession(), n.GetSequence()}], p.sessions[n.GetSession()]
	if q == nil || s == nil || q.index != p.index || q.waiting || q.answer != nil {
		return
	}
	op := q.r.GetAcquire()
	l := p.lock(op.GetLock())
	if op.GetWaitNanos() > 0 {
		q.waitEnd = p.stamp + op.GetWaitNanos()
	}
	q.waiting, q.queuedIn = true, p.life
	l.queue++
	s.waits++
	p.meetIf(herd, l.queue == 12)
	p.meetIf(sharedBehind, op.GetMode() == dlmv1.Mode_MODE_SHARED && len(l.holds) > 0 && l.holds[0].shared && l.queue > 1)
}

// settled looks at the locks that were freed in the entry.
func (p *prober) settled() {
	p.meetIf(manyDue, p.due >= 3)
	for _, l := range p.timedOut {
		p.meetIf(timeoutMeetsGrant, l.freedIn == p.index || l.grantedIn == p.index)
	}
	for _, l := range p.freed {
		if l.freedIn == p.index && l.delay && l.cause != byRelease && l.grantedIn != p.index {
			p.meetIf(delayKeeps, l.queue > 0 && len(l.holds) == 0)
			p.meetIf(delayShared, len(l.holds) > 0 && l.holds[0].shared)
		}
	}
}

// read takes the answer to a read that has ended.
func (p *prober) read(r *dlmv1.Read, a *dlmv1.ReadAnswer) {
	op := r.GetCheckToken()
	if op == nil || !a.GetCurrent() {
		return
	}
	h := p.holds[op.GetToken()]
	p.meetIf(checkedShared, h != nil && h.shared && h.lock.holds[0] != h && !h.lock.holds[0].revoked)
}
