package sim

import (
	"fmt"
	"strings"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// opKeepAlive is the name of what events speak of most.
const opKeepAlive = "keep-alive"

// requestName is what an operation is called.
func requestName(r *dlmv1.Request) string {
	switch r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return "open"
	case *dlmv1.Request_Attach:
		return "attach"
	case *dlmv1.Request_KeepAlive:
		return opKeepAlive
	case *dlmv1.Request_Close:
		return "close"
	case *dlmv1.Request_Acquire:
		return "acquire"
	case *dlmv1.Request_Cancel:
		return "cancel"
	case *dlmv1.Request_Release:
		return "release"
	case *dlmv1.Request_Renew:
		return "renew"
	case *dlmv1.Request_Revoke:
		return "revoke"
	case *dlmv1.Request_RevokeSession:
		return "revoke session"
	case *dlmv1.Request_Append:
		return "append"
	case *dlmv1.Request_Delete:
		return "delete"
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", r.GetOp()), "*dlmv1.Request_"))
}

// say is an operation in words, with what identifies it.
func say(r *dlmv1.Request) string {
	s := requestName(r)
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return s + " a session, TTL " + spanText(op.Open.GetTtlNanos())
	case *dlmv1.Request_Attach:
		return fmt.Sprintf("%s to session %d in place of instance %d", s, r.GetSession(), op.Attach.GetReplaces())
	case *dlmv1.Request_Acquire:
		a := op.Acquire
		s += " " + a.GetLock() + " " + modeText(a.GetMode() == dlmv1.Mode_MODE_SHARED)
		switch {
		case a.WaitNanos == nil:
		case a.GetWaitNanos() == 0:
			s += ", try"
		default:
			s += ", wait " + spanText(a.GetWaitNanos())
		}
		if n := a.GetHoldLimitNanos(); n > 0 {
			s += ", hold limit " + spanText(n)
		}
		if n := a.GetLockDelayNanos(); n > 0 {
			s += ", lock-delay " + spanText(n)
		}
	case *dlmv1.Request_Cancel:
		s += fmt.Sprintf(" #%d", op.Cancel.GetSequence())
	case *dlmv1.Request_Release:
		s += fmt.Sprintf(" %s, token %d", op.Release.GetLock(), op.Release.GetToken())
	case *dlmv1.Request_Renew:
		s += fmt.Sprintf(" %s, token %d", op.Renew.GetLock(), op.Renew.GetToken())
		if n := op.Renew.GetHoldLimitNanos(); n > 0 {
			s += ", hold limit " + spanText(n)
		} else {
			s += ", the acquire's hold limit"
		}
	case *dlmv1.Request_Revoke:
		s += " " + op.Revoke.GetLock()
		if token := op.Revoke.GetToken(); token != 0 {
			s += fmt.Sprintf(", token %d", token)
		}
		s += atOnce(op.Revoke.GetNow())
	case *dlmv1.Request_RevokeSession:
		s += fmt.Sprintf(" %d%s", op.RevokeSession.GetSession(), atOnce(op.RevokeSession.GetNow()))
	case *dlmv1.Request_Append:
		a := op.Append
		s += fmt.Sprintf(" %d bytes to %s under %s, token %d", len(a.GetData()), a.GetFile(), a.GetLock(), a.GetToken())
	case *dlmv1.Request_Delete:
		s += fmt.Sprintf(" %s under %s, token %d", op.Delete.GetFile(), op.Delete.GetLock(), op.Delete.GetToken())
	}
	if r.GetSequence() != 0 {
		s += " (" + who(r.GetSession(), r.GetSequence()) + ")"
	}
	return s
}

func who(session, sequence uint64) string { return fmt.Sprintf("session %d #%d", session, sequence) }

func modeText(shared bool) string {
	if shared {
		return "shared"
	}
	return "exclusive"
}

func atOnce(now bool) string {
	if now {
		return ", at once"
	}
	return ""
}

func spanText(nanos uint64) string {
	return time.Duration(nanos).Round(100 * time.Microsecond).String()
}

// sayAnswer is an answer in words.
func sayAnswer(a *dlmv1.Answer) string {
	s := resultText(a)
	if a.GetSequence() != 0 {
		return who(a.GetSession(), a.GetSequence()) + ": " + s
	}
	return fmt.Sprintf("session %d: %s", a.GetSession(), s)
}

// resultText is what an answer says, without whose it is.
func resultText(a *dlmv1.Answer) string {
	s := reasonText(a.GetReason())
	if a.GetToken() != 0 {
		s += fmt.Sprintf(", token %d", a.GetToken())
	}
	s += untilText(a.GetHoldDeadline())
	for _, h := range a.GetHolds() {
		s += fmt.Sprintf(", holds %s %s (token %d%s)", h.GetLock(), modeText(h.GetMode() == dlmv1.Mode_MODE_SHARED), h.GetToken(), untilText(h.GetHoldDeadline()))
	}
	for _, l := range a.GetLosses() {
		s += fmt.Sprintf(", %s (token %d) %s", l.GetLock(), l.GetToken(), reasonText(l.GetReason()))
	}
	if a.GetIndex() == 0 {
		s += ", not logged"
	}
	return s
}

// untilText is the deadline of a hold; "" if time alone does not end it.
func untilText(deadline uint64) string {
	if deadline == 0 {
		return ""
	}
	return ", until " + stampText(deadline)
}

// stampText is a point of cluster time.
func stampText(stamp uint64) string { return fmt.Sprintf("stamp %.6f", time.Duration(stamp).Seconds()) }

// readText is what the answer to a read says. r is nil if it is not known what was asked.
func readText(r *dlmv1.Read, a *dlmv1.ReadAnswer) string {
	s := reasonText(a.GetReason())
	if op := r.GetCheckToken(); op != nil && a.GetReason() == dlmv1.Reason_REASON_OK {
		is := "is not current"
		if a.GetCurrent() {
			is = "is current"
		}
		s = fmt.Sprintf("token %d %s", op.GetToken(), is)
	}
	if a.GetIndex() != 0 {
		s += fmt.Sprintf(", at position %d", a.GetIndex())
	}
	return s
}

// reasonText is a Reason in words: REASON_WAIT_TIMEOUT is "wait timeout".
func reasonText(r dlmv1.Reason) string {
	if r == dlmv1.Reason_REASON_OK {
		return "OK"
	}
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(r.String(), "REASON_"), "_", " "))
}

// sayNotice is a notice in words.
func sayNotice(n *dlmv1.Notice) string {
	s := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(n.GetKind().String(), "KIND_"), "_", " "))
	if n.GetLock() != "" {
		s += ": " + n.GetLock()
	}
	if n.GetToken() != 0 {
		s += fmt.Sprintf(", token %d", n.GetToken())
	}
	if n.GetReason() != dlmv1.Reason_REASON_OK {
		s += ", " + reasonText(n.GetReason())
	}
	if n.GetSequence() != 0 {
		return who(n.GetSession(), n.GetSequence()) + " " + s
	}
	return fmt.Sprintf("session %d %s", n.GetSession(), s)
}

// about adds what a request touches to an event.
func (e *Event) about(r *dlmv1.Request) {
	addTo(&e.Sessions, r.GetSession())
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Acquire:
		addTo(&e.Locks, op.Acquire.GetLock())
	case *dlmv1.Request_Release:
		addTo(&e.Locks, op.Release.GetLock())
		addTo(&e.Tokens, op.Release.GetToken())
	case *dlmv1.Request_Renew:
		addTo(&e.Locks, op.Renew.GetLock())
		addTo(&e.Tokens, op.Renew.GetToken())
	case *dlmv1.Request_Revoke:
		addTo(&e.Locks, op.Revoke.GetLock())
		addTo(&e.Tokens, op.Revoke.GetToken())
	case *dlmv1.Request_RevokeSession:
		addTo(&e.Sessions, op.RevokeSession.GetSession())
	case *dlmv1.Request_Append:
		addTo(&e.Locks, op.Append.GetLock())
		addTo(&e.Tokens, op.Append.GetToken())
	case *dlmv1.Request_Delete:
		addTo(&e.Locks, op.Delete.GetLock())
		addTo(&e.Tokens, op.Delete.GetToken())
	}
}

// aboutAnswer adds what an answer touches.
func (e *Event) aboutAnswer(a *dlmv1.Answer) {
	addTo(&e.Sessions, a.GetSession())
	addTo(&e.Tokens, a.GetToken())
	for _, h := range a.GetHolds() {
		addTo(&e.Locks, h.GetLock())
		addTo(&e.Tokens, h.GetToken())
	}
	for _, l := range a.GetLosses() {
		addTo(&e.Locks, l.GetLock())
		addTo(&e.Tokens, l.GetToken())
	}
}

// aboutRead adds what a read asks about.
func (e *Event) aboutRead(r *dlmv1.Read) {
	switch op := r.GetOp().(type) {
	case *dlmv1.Read_GetLock:
		addTo(&e.Locks, op.GetLock.GetLock())
	case *dlmv1.Read_CheckToken:
		addTo(&e.Locks, op.CheckToken.GetLock())
		addTo(&e.Tokens, op.CheckToken.GetToken())
	}
}
