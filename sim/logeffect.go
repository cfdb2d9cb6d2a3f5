package sim

import (
	dlmv1 "dlm/api/dlm/v1"
)

func (l *logChecker) enqueue(s *logSession, r *dlmv1.Request) {
	op := r.GetAcquire()
	if op == nil || op.WaitNanos != nil && op.GetWaitNanos() == 0 {
		l.w.fail("G8", "position %d: (%d, %d) waits, but is no acquire that may", l.index, s.id, r.GetSequence())
		return
	}
	w := &logWait{
		session: s.id, sequence: r.GetSequence(), limit: op.GetHoldLimitNanos(), delay: op.GetLockDelayNanos(),
		shared: op.GetMode() == dlmv1.Mode_MODE_SHARED,
	}
	if op.WaitNanos != nil {
		w.deadline = l.now + op.GetWaitNanos()
	}
	k := l.lock(op.GetLock())
	k.queue = append(k.queue, w)
}

// grant checks G1, G3, G7 and that the grantee lives, and notes the hold.
func (l *logChecker) grant(k *logLock, s *logSession, a *dlmv1.Answer, h *logHold, before []*logWait) {
	l.w.checked("G1")
	l.w.checked("G3")
	l.w.checked("G7")
	for _, other := range k.holds {
		if !(other.shared && h.shared) {
			l.w.fail("G1", "position %d: %q is granted under token %d while token %d holds it", l.index, k.name, a.GetToken(), other.token)
		}
	}
	if k.barred(l.now, h.shared) {
		l.w.fail("G1", "position %d: %q is granted at %d, its lock-delay runs until %d", l.index, k.name, l.now, k.delayed)
	}
	if a.GetToken() <= l.lastToken {
		l.w.fail("G3", "position %d: token %d is granted after token %d", l.index, a.GetToken(), l.lastToken)
	}
	for _, w := range before {
		if w.gone || w.deadline != 0 && w.deadline <= l.now {
			continue
		}
		l.w.fail("G7", "position %d: (%d, %d) gets %q before (%d, %d), which waits longer", l.index, s.id, a.GetSequence(), k.name, w.session, w.sequence)
	}
	if s.ended {
		l.w.fail("G8", "position %d: %q is granted to session %d, which has ended", l.index, k.name, s.id)
	}
	l.lastToken = max(l.lastToken, a.GetToken())
	h.session, h.token = s.id, a.GetToken()
	if h.limit > 0 {
		h.deadline = l.now + h.limit
	}
	if h.deadline != a.GetHoldDeadline() {
		l.w.fail("G9", "position %d: token %d is said to end at %d, its hold limit passes at %d", l.index, h.token, a.GetHoldDeadline(), h.deadline)
	}
	k.holds = append(k.holds, h)
}

// possible: could this answer for somebody who waits be given in the present state?
func (l *logChecker) possible(a *dlmv1.Answer) bool {
	k, w, i := l.waiting(a)
	if w == nil || a.GetReason() != dlmv1.Reason_REASON_OK {
		return true
	}
	if w.gone || k.barred(l.now, w.shared) {
		return false
	}
	for _, h := range k.holds {
		if !(h.shared && w.shared) {
			return false
		}
	}
	for _, b := range k.queue[:i] {
		if !b.gone && (b.deadline == 0 || b.deadline > l.now) {
			return false
		}
	}
	return true
}

func (l *logChecker) waiting(a *dlmv1.Answer) (*logLock, *logWait, int) {
	for _, k := range l.locks {
		for i, w := range k.queue {
			if w.session == a.GetSession() && w.sequence == a.GetSequence() {
				return k, w, i
			}
		}
	}
	return nil, nil, 0
}

// other takes an answer that no request of the entry asked for: that of an acquire that waited.
func (l *logChecker) other(a *dlmv1.Answer) {
	k, w, i := l.waiting(a)
	if w == nil {
		l.w.fail("G4", "position %d: an answer for (%d, %d), which neither asked nor waits", l.index, a.GetSession(), a.GetSequence())
		return
	}
	s := l.session(w.session)
	before := append([]*logWait(nil), k.queue[:i]...)
	k.unqueue(w)
	if slot := s.slots[w.sequence]; slot != nil {
		slot.answer = a
	}
	switch a.GetReason() {
	case dlmv1.Reason_REASON_OK:
		l.grant(k, s, a, &logHold{limit: w.limit, delay: w.delay, shared: w.shared}, before)
	case dlmv1.Reason_REASON_WAIT_TIMEOUT:
		l.w.checked("G8")
		if w.deadline == 0 || w.deadline > l.now {
			l.w.fail("G8", "position %d: (%d, %d) times out at %d, its deadline is %d", l.index, w.session, w.sequence, l.now, w.deadline)
		}
	case dlmv1.Reason_REASON_SESSION_EXPIRED:
		l.w.checked("G9")
		if !s.ended {
			l.w.fail("G9", "position %d: session %d expires at %d, its deadline is %d", l.index, s.id, l.now, s.deadline)
		}
	}
}

// current: is (lock, token) the session's hold? Otherwise an accepted operation breaks G3.
func (l *logChecker) current(s *logSession, what, lock string, token uint64, exclusive bool) (*logLock, *logHold) {
	l.w.checked("G3")
	k := l.lock(lock)
	h := k.hold(token)
	if h == nil || h.session != s.id || h.revoked || exclusive && h.shared {
		l.w.fail("G3", "position %d: %s under (%q, token %d) of session %d is accepted, it is not the current hold", l.index, what, lock, token, s.id)
		return k, nil
	}
	return k, h
}

// effect carries out a request that was answered OK (or released a revoked hold).
func (l *logChecker) effect(s *logSession, r *dlmv1.Request, a *dlmv1.Answer) {
	if a.GetReason() == dlmv1.Reason_REASON_LOCK_REVOKED {
		if op := r.GetRelease(); op != nil {
			k := l.lock(op.GetLock())
			if h := k.hold(op.GetToken()); h != nil && h.session == s.id && h.revoked {
				k.drop(h, l.now, true)
			}
		}
		return
	}
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Close:
		l.endSession(s, false)
	case *dlmv1.Request_Acquire:
		k := l.lock(op.Acquire.GetLock())
		l.grant(k, s, a, &logHold{
			limit: op.Acquire.GetHoldLimitNanos(), delay: op.Acquire.GetLockDelayNanos(),
			shared: op.Acquire.GetMode() == dlmv1.Mode_MODE_SHARED,
		}, k.queue)
	case *dlmv1.Request_Release:
		if k, h := l.current(s, "a release", op.Release.GetLock(), op.Release.GetToken(), false); h != nil {
			k.drop(h, l.now, false)
		}
	case *dlmv1.Request_Renew:
		if _, h := l.current(s, "a renewal", op.Renew.GetLock(), op.Renew.GetToken(), false); h != nil {
			limit := h.limit
			if n := op.Renew.GetHoldLimitNanos(); n > 0 {
				limit = n
			}
			h.deadline = 0
			if limit > 0 {
				h.deadline = l.now + limit
			}
		}
	case *dlmv1.Request_Revoke:
		k := l.lock(op.Revoke.GetLock())
		for _, loss := range a.GetLosses() {
			if h := k.hold(loss.GetToken()); h != nil {
				l.revoke(k, h, op.Revoke.GetNow())
			}
		}
	case *dlmv1.Request_RevokeSession:
		l.revokeSession(op.RevokeSession)
	case *dlmv1.Request_Append:
		l.append(s, op.Append, a)
	case *dlmv1.Request_Delete:
		l.current(s, "a delete", op.Delete.GetLock(), op.Delete.GetToken(), true)
		if f := l.file(op.Delete.GetFile()); f != nil {
			f.died = l.index
		}
	}
}

func (l *logChecker) revokeSession(op *dlmv1.RevokeSession) {
	s := l.session(op.GetSession())
	if s == nil || s.ended {
		l.w.fail("G8", "position %d: session %d is no more and was revoked", l.index, op.GetSession())
		return
	}
	s.revoked = true
	l.endWaits(s)
	for _, k := range l.locks {
		for _, h := range append([]*logHold(nil), k.holds...) {
			if h.session == s.id {
				l.revoke(k, h, op.GetNow())
			}
		}
	}
	if op.GetNow() {
		l.endSession(s, true)
	}
}

func (l *logChecker) append(s *logSession, op *dlmv1.Append, a *dlmv1.Answer) {
	l.current(s, "an append", op.GetLock(), op.GetToken(), true)
	f := l.file(op.GetFile())
	if f == nil {
		f = &logFile{name: op.GetFile(), lock: op.GetLock(), born: l.index}
		l.files = append(l.files, f)
	}
	l.w.checked("G4")
	if a.GetOffset() != uint64(len(f.data)) {
		l.w.fail("G4", "position %d: an append to %q is answered offset %d, the file has %d bytes", l.index, f.name, a.GetOffset(), len(f.data))
	}
	f.data = append(f.data, op.GetData()...)
}

func (l *logChecker) notice(n *dlmv1.Notice) {
	if n.GetKind() == dlmv1.Notice_KIND_SESSION_LOST && n.GetReason() == dlmv1.Reason_REASON_SESSION_EXPIRED {
		l.w.checked("G9")
		if s := l.session(n.GetSession()); s == nil || !s.ended {
			l.w.fail("G9", "position %d: session %d expires at %d before its deadline", l.index, n.GetSession(), l.now)
		}
	}
}

// settled: after an entry nobody waits who need not (L3), or whose session or time is over (G8).
func (l *logChecker) settled() {
	for _, k := range l.locks {
		for i, w := range k.queue {
			l.w.checked("L3")
			if w.gone {
				l.w.fail("G8", "position %d: (%d, %d) still waits for %q, its session has ended", l.index, w.session, w.sequence, k.name)
			}
			if w.deadline != 0 && w.deadline <= l.now {
				l.w.fail("G8", "position %d: (%d, %d) still waits for %q after its time", l.index, w.session, w.sequence, k.name)
			}
			if i > 0 || k.delayed > l.now {
				continue
			}
			free := true
			for _, h := range k.holds {
				free = free && h.shared && w.shared
			}
			if free {
				l.w.fail("L3", "position %d: (%d, %d) waits for %q, which it could have", l.index, w.session, w.sequence, k.name)
			}
		}
		var tokens []uint64
		for _, h := range k.holds {
			tokens = append(tokens, h.token)
		}
		if n := len(k.history); n == 0 || !equalTokens(k.history[n-1].tokens, tokens) {
			k.history = append(k.history, lockVersion{index: l.index, tokens: tokens})
		}
	}
}
