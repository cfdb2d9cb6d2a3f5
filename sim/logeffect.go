package sim

import (
	"slices"

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
	k.queue, k.changed = append(k.queue, w), true
	l.bounded("waiters of a lock", uint64(len(k.queue)), l.limits.GetWaitersPerLock())
	l.bounded("holds and waits of a session", l.placesOf(s), l.limits.GetHoldsPerSession())
	l.drain.queued(l, k, w)
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
	k.holds, k.changed = append(k.holds, h), true
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
	before := slices.Clone(k.queue[:i])
	k.unqueue(w)
	l.drain.left(l, w)
	if slot := s.slot(w.sequence); slot != nil {
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
	default:
		l.waitsEnded = append(l.waitsEnded, a)
	}
}

// rightlyEnded: a wait that ends without a grant, before its time, was cancelled, or its session or instance is no more.
func (l *logChecker) rightlyEnded(a *dlmv1.Answer, reqs []*dlmv1.Request) {
	s, right, number := l.session(a.GetSession()), false, "G8"
	switch reason := a.GetReason(); reason {
	case dlmv1.Reason_REASON_CANCELLED:
		right = slices.ContainsFunc(reqs, func(r *dlmv1.Request) bool {
			return r.GetSession() == s.id && r.GetCancel().GetSequence() == a.GetSequence()
		})
	case dlmv1.Reason_REASON_INSTANCE_FENCED:
		n := len(s.takeovers)
		right = n > 0 && s.takeovers[n-1].index == l.index
	case dlmv1.Reason_REASON_SESSION_EXPIRED:
		right, number = s.ended && s.why == reason, "G9"
	case dlmv1.Reason_REASON_SESSION_CLOSED:
		right = s.ended && s.why == reason
	case dlmv1.Reason_REASON_SESSION_REVOKED:
		right = s.revoked
	}
	l.w.checked(number)
	if !right {
		l.w.fail(number, "position %d: (%d, %d) stops waiting at %d with %v, which is not so", l.index, s.id, a.GetSequence(), l.now, a.GetReason())
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
	switch a.GetReason() {
	case dlmv1.Reason_REASON_OK:
	case dlmv1.Reason_REASON_LOCK_REVOKED:
		if op := r.GetRelease(); op != nil {
			k := l.lock(op.GetLock())
			if h := k.hold(op.GetToken()); h != nil && h.session == s.id && h.revoked {
				k.drop(h, l.now, true)
			}
			s.unblocked = slices.DeleteFunc(s.unblocked, func(u unblocked) bool { return u.lock == op.GetLock() && u.token == op.GetToken() })
		}
		return
	default:
		return
	}
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_KeepAlive:
		l.lossesTold(s, a)
	case *dlmv1.Request_Close:
		l.endSession(s, dlmv1.Reason_REASON_SESSION_CLOSED)
	case *dlmv1.Request_Acquire:
		k := l.lock(op.Acquire.GetLock())
		taken := !k.used()
		l.grant(k, s, a, &logHold{
			limit: op.Acquire.GetHoldLimitNanos(), delay: op.Acquire.GetLockDelayNanos(),
			shared: op.Acquire.GetMode() == dlmv1.Mode_MODE_SHARED,
		}, k.queue)
		l.bounded("holds and waits of a session", l.placesOf(s), l.limits.GetHoldsPerSession())
		if taken {
			l.bounded("locks in use", l.usedLocks(), l.limits.GetLocks())
		}
	case *dlmv1.Request_Cancel:
		l.cancel(s, op.Cancel, a)
	case *dlmv1.Request_Release:
		if k, h := l.current(s, "a release", op.Release.GetLock(), op.Release.GetToken(), false); h != nil {
			k.drop(h, l.now, false)
		}
	case *dlmv1.Request_Renew:
		l.renew(s, op.Renew, a)
	case *dlmv1.Request_Revoke:
		l.revokeLock(op.Revoke, a)
	case *dlmv1.Request_RevokeSession:
		l.revokeSession(op.RevokeSession)
	case *dlmv1.Request_Append:
		l.append(s, op.Append, a)
	case *dlmv1.Request_Delete:
		l.delete(s, op.Delete)
	case *dlmv1.Request_SetLimits:
		l.limits = merged(l.limits, op.SetLimits.GetLimits())
	}
}

// cancel checks what a cancel says about its acquire: nobody must be left with a hold that nobody knows of.
func (l *logChecker) cancel(s *logSession, op *dlmv1.Cancel, a *dlmv1.Answer) {
	l.w.checked("G8 cancel")
	target := s.slot(op.GetSequence())
	if target == nil {
		if a.GetCancelled() != dlmv1.Reason_REASON_CANCELLED {
			l.w.fail("G8", "position %d: the cancel of (%d, %d), which has not come, is answered %v", l.index, s.id, op.GetSequence(), a)
		}
		s.add(&logSlot{sequence: op.GetSequence(), cancelledAt: l.index})
		return
	}
	want, token := dlmv1.Reason_REASON_CANCELLED, uint64(0)
	if target.answer != nil {
		if want = target.answer.GetReason(); want == dlmv1.Reason_REASON_OK {
			token = target.answer.GetToken()
		}
	}
	if a.GetCancelled() != want || a.GetToken() != token || target.waits() {
		l.w.fail("G8", "position %d: the cancel of (%d, %d) is answered %v under token %d; what became of it is %v under token %d",
			l.index, s.id, op.GetSequence(), a.GetCancelled(), a.GetToken(), want, token)
	}
}

func (l *logChecker) renew(s *logSession, op *dlmv1.Renew, a *dlmv1.Answer) {
	k, h := l.current(s, "a renewal", op.GetLock(), op.GetToken(), false)
	if h == nil {
		return
	}
	limit := h.limit
	if n := op.GetHoldLimitNanos(); n > 0 {
		limit = n
	}
	h.deadline, k.changed = 0, true
	if limit > 0 {
		h.deadline = l.now + limit
	}
	if a.GetHoldDeadline() != h.deadline {
		l.w.fail("G9", "position %d: token %d is renewed and said to end at %d, its hold limit passes at %d", l.index, h.token, a.GetHoldDeadline(), h.deadline)
	}
}

// revokeLock checks which holds a revoke took, and takes them.
func (l *logChecker) revokeLock(op *dlmv1.Revoke, a *dlmv1.Answer) {
	k := l.lock(op.GetLock())
	var want, got []uint64
	for _, h := range slices.Clone(k.holds) {
		if (op.GetToken() == 0 || h.token == op.GetToken()) && (!h.revoked || op.GetNow()) {
			want = append(want, h.token)
		}
	}
	for _, loss := range a.GetLosses() {
		got = append(got, loss.GetToken())
	}
	if !slices.Equal(want, got) {
		l.w.fail("G6", "position %d: a revoke of %q took the tokens %v, to take were %v", l.index, k.name, got, want)
	}
	for _, token := range want {
		l.revoke(k, k.hold(token), op.GetNow())
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
		for _, h := range slices.Clone(k.holds) {
			if h.session == s.id {
				l.revoke(k, h, op.GetNow())
			}
		}
	}
	if op.GetNow() {
		l.endSession(s, dlmv1.Reason_REASON_SESSION_REVOKED)
	}
}

func (l *logChecker) append(s *logSession, op *dlmv1.Append, a *dlmv1.Answer) {
	l.current(s, "an append", op.GetLock(), op.GetToken(), true)
	f := l.file(op.GetFile())
	if f == nil {
		f = &logFile{name: op.GetFile(), lock: op.GetLock(), id: uint64(len(l.files)) + 1, born: l.index}
		l.files = append(l.files, f)
		l.bounded("files", l.liveFiles(), l.limits.GetFiles())
	}
	l.w.checked("G4")
	l.once(op.GetData())
	if f.lock != op.GetLock() {
		l.w.fail("G3", "position %d: an append to %q under %q is accepted, the file is bound to %q", l.index, f.name, op.GetLock(), f.lock)
	}
	length := uint64(len(f.data))
	f.data = append(f.data, op.GetData()...)
	if a.GetOffset() != length || a.GetLength() != uint64(len(f.data)) {
		l.w.fail("G4", "position %d: an append of %d bytes to %q is answered offset %d and length %d, the file had %d bytes",
			l.index, len(op.GetData()), f.name, a.GetOffset(), a.GetLength(), length)
	}
	f.lengths = append(f.lengths, fileLength{l.index, uint64(len(f.data))})
	l.bounded("bytes of a file", uint64(len(f.data)), l.limits.GetFileBytes())
}

func (l *logChecker) delete(s *logSession, op *dlmv1.Delete) {
	l.current(s, "a delete", op.GetLock(), op.GetToken(), true)
	f := l.file(op.GetFile())
	if f == nil || f.lock != op.GetLock() {
		l.w.fail("G3", "position %d: a delete of %q under %q is accepted; there is no such file of that lock", l.index, op.GetFile(), op.GetLock())
		return
	}
	f.died = l.index
}

// lossesTold: an answer that extends a lease must name every hold that was revoked and not confirmed, or its holder could
// believe in it for ever (G2).
func (l *logChecker) lossesTold(s *logSession, a *dlmv1.Answer) {
	var want, got []uint64
	for _, k := range l.locks {
		for _, h := range k.holds {
			if h.session == s.id && h.revoked {
				want = append(want, h.token)
			}
		}
	}
	for _, u := range l.unconfirmed(s) {
		want = append(want, u.token)
	}
	for _, loss := range a.GetLosses() {
		got = append(got, loss.GetToken())
	}
	slices.Sort(want)
	if !slices.Equal(want, got) {
		l.w.fail("G2", "position %d: session %d is renewed and told of the revoked tokens %v, they are %v", l.index, s.id, got, want)
	}
}

// notice: what clients are told without asking must be true, or they would give up what they have.
func (l *logChecker) notice(n *dlmv1.Notice) {
	s := l.session(n.GetSession())
	switch n.GetKind() {
	case dlmv1.Notice_KIND_SESSION_LOST:
		l.w.checked("G9")
		right := s != nil && (s.ended && s.why == n.GetReason() || s.revoked && n.GetReason() == dlmv1.Reason_REASON_SESSION_REVOKED)
		if !right {
			l.w.fail("G9", "position %d: session %d is told that it is lost (%v) at %d, and it is not", l.index, n.GetSession(), n.GetReason(), l.now)
		}
	case dlmv1.Notice_KIND_LOCK_LOST:
		l.w.checked("G9")
		if h := l.lock(n.GetLock()).hold(n.GetToken()); h != nil && !h.revoked {
			l.w.fail("G9", "position %d: session %d is told that it lost %q under token %d, and it did not", l.index, n.GetSession(), n.GetLock(), n.GetToken())
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
		if k.changed {
			k.keep(l.index)
		}
	}
}

// keep notes the lock as it is after the entry.
func (k *logLock) keep(index uint64) {
	v := lockVersion{index: index, delayed: k.delayed}
	for _, h := range k.holds {
		v.holds = append(v.holds, *h)
	}
	for _, w := range k.queue {
		v.waits = append(v.waits, *w)
	}
	k.history, k.changed = append(k.history, v), false
}
