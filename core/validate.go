package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	dlmv1 "dlm/api/dlm/v1"
)

// ErrName is what CheckName wraps.
var ErrName = errors.New("core: bad name")

// CheckName says whether name is allowed: 1 to limit bytes of UTF-8 without control characters, and without ".." between
// slashes, so that no tool that turns names into paths can be led astray. kind is "lock" or "file", for the message.
func CheckName(kind, name string, limit uint64) error {
	if bad := badName(kind, name, limit); bad != "" {
		return fmt.Errorf("%w: %s", ErrName, bad)
	}
	return nil
}

// badName says what is wrong with a name; "" = nothing.
func badName(kind, name string, limit uint64) string {
	if name == "" {
		return fmt.Sprintf("a %s's name cannot be empty", kind)
	}
	if uint64(len(name)) > limit {
		return fmt.Sprintf("the %s's name has %d bytes, at most %d are allowed", kind, len(name), limit)
	}
	if strings.Contains(name, "..") && slices.Contains(strings.Split(name, "/"), "..") {
		return fmt.Sprintf(`the %s's name %q holds ".." between slashes`, kind, name)
	}
	for i := range len(name) {
		if b := name[i]; b < ' ' || b >= 0x7f {
			return badRunes(kind, name)
		}
	}
	return ""
}

func badRunes(kind, name string) string {
	if !utf8.ValidString(name) {
		return fmt.Sprintf("the %s's name %q is not valid UTF-8", kind, name)
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Sprintf("the %s's name %q holds the control character %U", kind, name, r)
		}
	}
	return ""
}

// Validate says whether a request may be proposed. nil: it is well formed, and its sequence fits in the window. Otherwise
// the answer (index 0) refuses it: REASON_INVALID, REASON_UNSUPPORTED or REASON_WINDOW_FULL. Apply checks the same again,
// by the limits in force then.
//
// REASON_INVALID is final, so it is said here only of what no limits allow. What breaks a limit that may be raised is for
// the log to refuse: otherwise an earlier copy of the request could come after the raise and take effect, though its
// client was told that it cannot (G4). For an open that is harmless: it makes at most a session that lapses.
func (c *Core) Validate(req *dlmv1.Request) *dlmv1.Answer {
	f := c.checkOp(req)
	if f.reason == dlmv1.Reason_REASON_OK || f.byLimits {
		// It must not come into the log, whatever limits are raised: the log's encoding has no place for it.
		if bad := dlmv1.BadText(req); bad != "" {
			f = invalid("%s", bad)
		}
	}
	_, isOpen := req.GetOp().(*dlmv1.Request_Open)
	_, isAttach := req.GetOp().(*dlmv1.Request_Attach)
	if !isOpen && !isAttach {
		if f.byLimits {
			f = refusal{}
		}
		if f.reason == dlmv1.Reason_REASON_OK && req.GetSequence() == 0 {
			f = refusal{reason: dlmv1.Reason_REASON_INVALID, detail: "sequences start at 1"}
		}
		if f.reason == dlmv1.Reason_REASON_OK {
			f = checkEnvelope(req)
		}
		if f.reason == dlmv1.Reason_REASON_OK {
			f = c.checkWindow(req)
		}
	}
	if f.reason == dlmv1.Reason_REASON_OK {
		return nil
	}
	a := refused(req, f)
	switch op := req.GetOp().(type) {
	case *dlmv1.Request_Open:
		a.Key = append([]byte(nil), op.Open.GetKey()...)
	case *dlmv1.Request_Attach:
		a.Key = append([]byte(nil), op.Attach.GetKey()...)
	}
	return a
}

func (c *Core) checkWindow(r *dlmv1.Request) refusal {
	s := c.sessions.byID[r.Session]
	if s == nil || s.instance != r.Instance || s.window.fits(r.Sequence, r.Watermark, r.Awaited, s.waits.n) {
		return refusal{}
	}
	return windowFull(s)
}

func windowFull(s *session) refusal {
	return refusal{
		reason: dlmv1.Reason_REASON_WINDOW_FULL, limit: s.window.size,
		detail: "the session awaits too many sequences, or this one is too far ahead of the highest seen",
	}
}

// checkEnvelope checks what a request says about other sequences. The window's code counts on it.
func checkEnvelope(r *dlmv1.Request) refusal {
	if r.Watermark > r.Sequence {
		return invalid("the watermark %d is above the sequence %d", r.Watermark, r.Sequence)
	}
	if len(r.Awaited) > maxWindow {
		return tooMuch(maxWindow, "%d sequences are awaited, at most %d can be", len(r.Awaited), maxWindow)
	}
	last := uint64(0)
	for _, a := range r.Awaited {
		if a <= last || a >= r.Watermark {
			return invalid("awaited sequences must ascend and lie below the watermark %d: got %d after %d", r.Watermark, a, last)
		}
		last = a
	}
	return refusal{}
}

func invalid(format string, args ...any) refusal {
	return refusal{reason: dlmv1.Reason_REASON_INVALID, detail: fmt.Sprintf(format, args...)}
}

func tooMuch(limit uint64, format string, args ...any) refusal {
	f := invalid(format, args...)
	f.limit, f.byLimits = limit, true
	return f
}

// checkOp checks whatever a request says about itself: all that does not depend on sessions, locks and files. To ignore a field
// that this version does not know could do something else than was asked for.
func (c *Core) checkOp(r *dlmv1.Request) refusal {
	if !r.Understood() {
		return unsupported("the request has a field that this version does not know")
	}
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return checkMessage(op.Open, c.checkOpen)
	case *dlmv1.Request_Attach:
		return checkMessage(op.Attach, func(m *dlmv1.Attach) refusal { return checkKey(m.Key) })
	case *dlmv1.Request_KeepAlive:
		return checkMessage(op.KeepAlive, nil)
	case *dlmv1.Request_Close:
		return checkMessage(op.Close, nil)
	case *dlmv1.Request_Acquire:
		return checkMessage(op.Acquire, c.checkAcquire)
	case *dlmv1.Request_Cancel:
		return checkMessage(op.Cancel, func(m *dlmv1.Cancel) refusal { return checkCancel(m, r.Sequence) })
	case *dlmv1.Request_Release:
		return checkMessage(op.Release, func(m *dlmv1.Release) refusal { return c.checkLock(m.Lock) })
	case *dlmv1.Request_Renew:
		return checkMessage(op.Renew, c.checkRenew)
	case *dlmv1.Request_Revoke:
		return checkMessage(op.Revoke, c.checkRevoke)
	case *dlmv1.Request_RevokeSession:
		return checkMessage(op.RevokeSession,
			func(m *dlmv1.RevokeSession) refusal { return c.checkText("the reason", m.Why) })
	case *dlmv1.Request_Append:
		return checkMessage(op.Append, c.checkAppend)
	case *dlmv1.Request_Delete:
		return checkMessage(op.Delete,
			func(m *dlmv1.Delete) refusal { return c.checkFile(m.File, m.Lock) })
	case *dlmv1.Request_SetLimits:
		return checkMessage(op.SetLimits, c.checkSetLimits)
	}
	return invalid("the request has no operation")
}

func unsupported(detail string) refusal {
	return refusal{reason: dlmv1.Reason_REASON_UNSUPPORTED, detail: detail}
}

// checkMessage does what is common to all operations, then what is the operation's own.
func checkMessage[T any, M interface {
	*T
	Understood() bool
}](m M, check func(M) refusal) refusal {
	if m == nil { // it cannot come over the wire, but from a caller in this process
		return invalid("the request has no operation")
	}
	if !m.Understood() {
		return unsupported("the operation has a field that this version does not know")
	}
	if check == nil {
		return refusal{}
	}
	return check(m)
}

func checkKey(key []byte) refusal {
	if len(key) != 16 {
		return invalid("the key has %d bytes, it must have exactly 16", len(key))
	}
	return refusal{}
}

func (c *Core) checkOpen(m *dlmv1.Open) refusal {
	if f := checkKey(m.Key); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	least, most := c.limits.MinTtlNanos, c.limits.MaxTtlNanos
	if m.TtlNanos != 0 && m.TtlNanos < least {
		return tooMuch(least, "the TTL is %s, allowed are %s to %s", nanosText(m.TtlNanos), nanosText(least), nanosText(most))
	}
	if m.TtlNanos > most {
		return tooMuch(most, "the TTL is %s, allowed are %s to %s", nanosText(m.TtlNanos), nanosText(least), nanosText(most))
	}
	return c.checkText("the label", m.Label)
}

func (c *Core) checkText(what, text string) refusal {
	if uint64(len(text)) > c.limits.TextBytes {
		return tooMuch(c.limits.TextBytes, "%s has %d bytes, at most %d are allowed", what, len(text), c.limits.TextBytes)
	}
	if !utf8.ValidString(text) {
		return invalid("%s %q is not valid UTF-8", what, text)
	}
	return refusal{}
}

func (c *Core) checkName(kind, name string) refusal {
	bad := badName(kind, name, c.limits.NameBytes)
	if bad == "" {
		return refusal{}
	}
	f := invalid("%s", bad)
	if uint64(len(name)) > c.limits.NameBytes {
		f.limit, f.byLimits = c.limits.NameBytes, true
	}
	return f
}

func (c *Core) checkLock(name string) refusal { return c.checkName("lock", name) }

func (c *Core) checkFile(file, lock string) refusal {
	if f := c.checkName("file", file); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	return c.checkLock(lock)
}

// checkMost checks a size.
func checkMost(what string, got, most uint64) refusal {
	if got > most {
		return tooMuch(most, "%s is %d, at most %d is allowed", what, got, most)
	}
	return refusal{}
}

// checkLongest checks a duration.
func checkLongest(what string, got, most uint64) refusal {
	if got > most {
		return tooMuch(most, "%s is %s, at most %s is allowed", what, nanosText(got), nanosText(most))
	}
	return refusal{}
}

func (c *Core) checkAcquire(m *dlmv1.Acquire) refusal {
	f := c.checkLock(m.Lock)
	if f.reason == dlmv1.Reason_REASON_OK {
		f = checkLongest("the wait timeout", m.GetWaitNanos(), c.limits.MaxWaitNanos)
	}
	if f.reason == dlmv1.Reason_REASON_OK {
		f = checkLongest("the hold limit", m.HoldLimitNanos, c.limits.MaxHoldLimitNanos)
	}
	if f.reason == dlmv1.Reason_REASON_OK {
		f = checkLongest("the lock-delay", m.LockDelayNanos, c.limits.MaxLockDelayNanos)
	}
	if f.reason == dlmv1.Reason_REASON_OK {
		f = checkMost("the length of the value in bytes", uint64(len(m.Value)), c.limits.ValueBytes)
	}
	if f.reason == dlmv1.Reason_REASON_OK && m.Mode != dlmv1.Mode_MODE_EXCLUSIVE && m.Mode != dlmv1.Mode_MODE_SHARED {
		f = unsupported(fmt.Sprintf("mode %d is not known", m.Mode))
	}
	return f
}

func checkCancel(m *dlmv1.Cancel, own uint64) refusal {
	if m.Sequence == 0 || m.Sequence >= own {
		return invalid("a cancel of sequence %d can name sequences 1 to %d, not %d", own, own-1, m.Sequence)
	}
	return refusal{}
}

func (c *Core) checkRenew(m *dlmv1.Renew) refusal {
	if f := c.checkLock(m.Lock); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	return checkLongest("the hold limit", m.HoldLimitNanos, c.limits.MaxHoldLimitNanos)
}

func (c *Core) checkRevoke(m *dlmv1.Revoke) refusal {
	if f := c.checkLock(m.Lock); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	return c.checkText("the reason", m.Why)
}

func (c *Core) checkAppend(m *dlmv1.Append) refusal {
	if f := c.checkFile(m.File, m.Lock); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	return checkMost("the length of the data in bytes", uint64(len(m.Data)), c.limits.AppendBytes)
}

func (c *Core) checkSetLimits(m *dlmv1.SetLimits) refusal {
	if m.Limits == nil {
		return invalid("no limits were given")
	}
	if !m.Limits.Understood() {
		return unsupported("the limits have a field that this version does not know")
	}
	if bad := badLimits(mergeLimits(c.limits, m.Limits)); bad != "" {
		f := invalid("%s", bad)
		f.byLimits = true // the others may have changed when it comes to the log
		return f
	}
	return refusal{}
}
