package sim

import (
	"unicode"
	"unicode/utf8"

	dlmv1 "dlm/api/dlm/v1"
)

// mustWait is what expect says of an acquire that is to be queued: no answer has that reason.
const mustWait = dlmv1.Reason(-1)

// expect says what a request that is new to the log has to be answered, by everything that the log holds before it.
func (l *logChecker) expect(s *logSession, r *dlmv1.Request) dlmv1.Reason {
	if !l.wellFormed(r) {
		return dlmv1.Reason_REASON_INVALID
	}
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Acquire:
		return l.expectAcquire(s, op.Acquire)
	case *dlmv1.Request_Cancel:
		return l.expectCancel(s, op.Cancel)
	case *dlmv1.Request_Release:
		return l.expectHold(s, op.Release.GetLock(), op.Release.GetToken(), false)
	case *dlmv1.Request_Renew:
		return l.expectHold(s, op.Renew.GetLock(), op.Renew.GetToken(), false)
	case *dlmv1.Request_Revoke:
		for _, h := range l.lock(op.Revoke.GetLock()).holds {
			if (op.Revoke.GetToken() == 0 || h.token == op.Revoke.GetToken()) && (!h.revoked || op.Revoke.GetNow()) {
				return dlmv1.Reason_REASON_OK
			}
		}
		return dlmv1.Reason_REASON_NOT_FOUND
	case *dlmv1.Request_RevokeSession:
		target := l.session(op.RevokeSession.GetSession())
		if target == nil || target.ended || target.revoked && !op.RevokeSession.GetNow() {
			return dlmv1.Reason_REASON_NOT_FOUND
		}
	case *dlmv1.Request_Append:
		return l.expectAppend(s, op.Append)
	case *dlmv1.Request_Delete:
		f := l.file(op.Delete.GetFile())
		if f == nil {
			return dlmv1.Reason_REASON_NOT_FOUND
		}
		return l.expectFile(s, f, op.Delete.GetLock(), op.Delete.GetToken())
	}
	return dlmv1.Reason_REASON_OK
}

func (l *logChecker) expectAcquire(s *logSession, op *dlmv1.Acquire) dlmv1.Reason {
	shared := op.GetMode() == dlmv1.Mode_MODE_SHARED
	k := l.lock(op.GetLock())
	free := len(k.queue) == 0 && k.delayed == 0
	for _, h := range k.holds {
		if h.session == s.id && !h.revoked {
			return dlmv1.Reason_REASON_ALREADY_HELD
		}
		free = free && h.shared && shared
	}
	for _, w := range k.queue {
		if w.session == s.id {
			return dlmv1.Reason_REASON_ALREADY_WAITING
		}
	}
	switch {
	case l.placesOf(s) >= l.limits.GetHoldsPerSession(), !k.used() && l.usedLocks() >= l.limits.GetLocks():
		return dlmv1.Reason_REASON_LIMIT
	case free:
		return dlmv1.Reason_REASON_OK
	case op.WaitNanos != nil && op.GetWaitNanos() == 0:
		return dlmv1.Reason_REASON_NOT_ACQUIRED
	case uint64(len(k.queue)) >= l.limits.GetWaitersPerLock():
		return dlmv1.Reason_REASON_LIMIT
	}
	return mustWait
}

func (l *logChecker) expectCancel(s *logSession, op *dlmv1.Cancel) dlmv1.Reason {
	target := s.slot(op.GetSequence())
	switch {
	case target == nil && s.passedOver(op.GetSequence()):
		return dlmv1.Reason_REASON_TOO_OLD
	case target != nil && target.forgettable && !target.waits():
		return either // it is forgotten when the next request takes its place, if it waited when this was said
	}
	return dlmv1.Reason_REASON_OK
}

// either is what expect says when both OK and "too old" are right.
const either = dlmv1.Reason(-2)

// expectHold says why (lock, token) is not the session's hold; OK: it is.
func (l *logChecker) expectHold(s *logSession, lock string, token uint64, exclusive bool) dlmv1.Reason {
	h := l.lock(lock).hold(token)
	switch {
	case h == nil || h.session != s.id:
		if l.atOnce(s, lock, token) {
			return dlmv1.Reason_REASON_LOCK_REVOKED
		}
		for i := len(s.losses) - 1; i >= 0; i-- {
			if x := s.losses[i]; x.lock == lock && x.token == token {
				return x.reason
			}
		}
		return dlmv1.Reason_REASON_STALE_TOKEN
	case h.revoked:
		return dlmv1.Reason_REASON_LOCK_REVOKED
	case exclusive && h.shared:
		return dlmv1.Reason_REASON_NOT_EXCLUSIVE
	}
	return dlmv1.Reason_REASON_OK
}

func (l *logChecker) expectFile(s *logSession, f *logFile, lock string, token uint64) dlmv1.Reason {
	if f != nil && f.lock != lock {
		return dlmv1.Reason_REASON_WRONG_LOCK
	}
	return l.expectHold(s, lock, token, true)
}

func (l *logChecker) expectAppend(s *logSession, op *dlmv1.Append) dlmv1.Reason {
	f := l.file(op.GetFile())
	if no := l.expectFile(s, f, op.GetLock(), op.GetToken()); no != dlmv1.Reason_REASON_OK {
		return no
	}
	length := uint64(0)
	if f != nil {
		length = uint64(len(f.data))
	}
	if f == nil && l.liveFiles() >= l.limits.GetFiles() || length+uint64(len(op.GetData())) > l.limits.GetFileBytes() {
		return dlmv1.Reason_REASON_LIMIT
	}
	return dlmv1.Reason_REASON_OK
}

// judge compares an answer with what it has to be. An operation that should have been refused and was not breaks what its
// effect breaks, and that was said first; here it is at least a history that no order of operations explains (G6), or a
// limit that does not hold (G10).
func (l *logChecker) judge(s *logSession, r *dlmv1.Request, a *dlmv1.Answer, want dlmv1.Reason) {
	got := a.GetReason()
	limited := want == dlmv1.Reason_REASON_LIMIT || want == dlmv1.Reason_REASON_INVALID ||
		got == dlmv1.Reason_REASON_LIMIT || got == dlmv1.Reason_REASON_INVALID
	switch {
	case limited:
		l.w.checked("G10")
		if got != want {
			l.w.fail("G10", "position %d: (%d, %d) is answered %v; by the limits in force it is %v: %v", l.index, r.GetSession(), r.GetSequence(), got, want, r)
		}
		if a.GetDetail() == "" || got == dlmv1.Reason_REASON_LIMIT && a.GetLimit() == 0 {
			l.w.fail("G10", "position %d: (%d, %d) is over a limit and is not told which: %v", l.index, r.GetSession(), r.GetSequence(), a)
		}
	case want == either && (got == dlmv1.Reason_REASON_OK || got == dlmv1.Reason_REASON_TOO_OLD):
	default:
		l.w.checked("G6")
		if got != want {
			l.w.fail("G6", "position %d: (%d, %d) is answered %v; by the log before it the answer is %v: %v", l.index, r.GetSession(), r.GetSequence(), got, want, r)
		}
	}
	if got != dlmv1.Reason_REASON_OK && a.GetDetail() == "" {
		l.w.fail("G10", "position %d: (%d, %d) is refused with %v and without a word", l.index, r.GetSession(), r.GetSequence(), got)
	}
	if s == nil {
		return
	}
	l.w.checked("G9")
	if !s.ended && a.GetSessionDeadline() != s.deadline {
		l.w.fail("G9", "position %d: session %d is told the deadline %d, by its renewals it is %d", l.index, s.id, a.GetSessionDeadline(), s.deadline)
	}
}

// ---------------------------------------------------------------------------------------------------------------------
// Limits

// bounded checks that what has grown is within its limit.
func (l *logChecker) bounded(what string, n, limit uint64) {
	l.w.checked("G10")
	if n > limit {
		l.w.fail("G10", "position %d: there are %d %s, at most %d are allowed", l.index, n, what, limit)
	}
}

// placesOf counts the locks that the session holds (until it has confirmed that it does no longer) or waits for.
func (l *logChecker) placesOf(s *logSession) (n uint64) {
	n = uint64(len(l.unconfirmed(s)))
	for _, k := range l.locks {
		for _, h := range k.holds {
			n += b2u(h.session == s.id)
		}
		for _, w := range k.queue {
			n += b2u(w.session == s.id)
		}
	}
	return n
}

func (l *logChecker) usedLocks() (n uint64) {
	for _, k := range l.locks {
		n += b2u(k.used())
	}
	return n
}

func (l *logChecker) liveFiles() (n uint64) {
	for _, f := range l.files {
		n += b2u(f.died == 0)
	}
	return n
}

// wellFormed says whether a request is within the limits of its own: names, sizes, durations.
func (l *logChecker) wellFormed(r *dlmv1.Request) bool {
	m := l.limits
	name := func(s string) bool { return goodName(s, m.GetNameBytes()) }
	text := func(s string) bool { return uint64(len(s)) <= m.GetTextBytes() && utf8.ValidString(s) }
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		ttl := op.Open.GetTtlNanos()
		return len(op.Open.GetKey()) == 16 && text(op.Open.GetLabel()) &&
			(ttl == 0 || ttl >= m.GetMinTtlNanos() && ttl <= m.GetMaxTtlNanos())
	case *dlmv1.Request_Attach:
		return len(op.Attach.GetKey()) == 16
	case *dlmv1.Request_Acquire:
		o := op.Acquire
		return name(o.GetLock()) && o.GetWaitNanos() <= m.GetMaxWaitNanos() && o.GetHoldLimitNanos() <= m.GetMaxHoldLimitNanos() &&
			o.GetLockDelayNanos() <= m.GetMaxLockDelayNanos() && uint64(len(o.GetValue())) <= m.GetValueBytes()
	case *dlmv1.Request_Cancel:
		return op.Cancel.GetSequence() > 0 && op.Cancel.GetSequence() < r.GetSequence()
	case *dlmv1.Request_Release:
		return name(op.Release.GetLock())
	case *dlmv1.Request_Renew:
		return name(op.Renew.GetLock()) && op.Renew.GetHoldLimitNanos() <= m.GetMaxHoldLimitNanos()
	case *dlmv1.Request_Revoke:
		return name(op.Revoke.GetLock()) && text(op.Revoke.GetWhy())
	case *dlmv1.Request_RevokeSession:
		return text(op.RevokeSession.GetWhy())
	case *dlmv1.Request_Append:
		return name(op.Append.GetFile()) && name(op.Append.GetLock()) && uint64(len(op.Append.GetData())) <= m.GetAppendBytes()
	case *dlmv1.Request_Delete:
		return name(op.Delete.GetFile()) && name(op.Delete.GetLock())
	case *dlmv1.Request_SetLimits:
		n := merged(m, op.SetLimits.GetLimits())
		return n.GetDefaultTtlNanos() >= n.GetMinTtlNanos() && n.GetDefaultTtlNanos() <= n.GetMaxTtlNanos()
	}
	return true
}

func goodName(s string, limit uint64) bool {
	if s == "" || uint64(len(s)) > limit || !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if unicode.IsControl(c) {
			return false
		}
	}
	return true
}

// merged are the limits after a change: fields that are not 0 replace the present ones.
func merged(base, change *dlmv1.Limits) *dlmv1.Limits {
	or := func(now, next uint64) uint64 {
		if next != 0 {
			return next
		}
		return now
	}
	return &dlmv1.Limits{
		Sessions: or(base.GetSessions(), change.GetSessions()), Locks: or(base.GetLocks(), change.GetLocks()),
		HoldsPerSession: or(base.GetHoldsPerSession(), change.GetHoldsPerSession()),
		WaitersPerLock:  or(base.GetWaitersPerLock(), change.GetWaitersPerLock()),
		Window:          or(base.GetWindow(), change.GetWindow()), NameBytes: or(base.GetNameBytes(), change.GetNameBytes()),
		ValueBytes: or(base.GetValueBytes(), change.GetValueBytes()), TextBytes: or(base.GetTextBytes(), change.GetTextBytes()),
		AppendBytes: or(base.GetAppendBytes(), change.GetAppendBytes()), Files: or(base.GetFiles(), change.GetFiles()),
		FileBytes:         or(base.GetFileBytes(), change.GetFileBytes()),
		DefaultTtlNanos:   or(base.GetDefaultTtlNanos(), change.GetDefaultTtlNanos()),
		MinTtlNanos:       or(base.GetMinTtlNanos(), change.GetMinTtlNanos()),
		MaxTtlNanos:       or(base.GetMaxTtlNanos(), change.GetMaxTtlNanos()),
		MaxWaitNanos:      or(base.GetMaxWaitNanos(), change.GetMaxWaitNanos()),
		MaxHoldLimitNanos: or(base.GetMaxHoldLimitNanos(), change.GetMaxHoldLimitNanos()),
		MaxLockDelayNanos: or(base.GetMaxLockDelayNanos(), change.GetMaxLockDelayNanos()),
		DriftPpm:          or(base.GetDriftPpm(), change.GetDriftPpm()),
	}
}
