package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/sim/history"
)

// History is what the clients of the run saw, for package linear.
func (w *World) History() history.History {
	p := w.past
	h := history.History{Ops: p.sights}
	for _, c := range p.calls {
		if op, ok := p.fenced(c); ok {
			h.Ops = append(h.Ops, op)
		}
	}
	for _, token := range p.order {
		k := p.holds[token]
		if k.unsought {
			h.Ops = append(h.Ops, history.Op{
				Kind: history.Grant, Client: -1, Call: int64(k.call), Return: p.firstSight(token), Session: k.session,
				Lock: k.lock, Token: token, Shared: k.shared,
			})
		}
		ends, revoked := p.ends(token, k)
		h.Holds = append(h.Holds, history.Hold{
			Token: token, Session: k.session, Lock: k.lock, Shared: k.shared, Ends: int64(ends), RevokeFrom: int64(revoked),
		})
	}
	return h
}

// firstSight is when a hold that nobody was told of had certainly been granted: the first return of an operation that needs
// it, or never.
func (p *past) firstSight(token uint64) int64 {
	at := int64(history.Never)
	for _, op := range p.sights {
		for _, x := range op.Holders {
			if x.Token == token {
				at = min(at, op.Return)
			}
		}
	}
	for _, c := range p.calls {
		if op, ok := p.fenced(c); ok && op.Token == token && (op.Kind == history.Append || op.Kind == history.Delete || op.Kind == history.Current) {
			at = min(at, op.Return)
		}
	}
	return at
}

// fenced makes an operation of a call under a token.
func (p *past) fenced(c *pastCall) (op history.Op, ok bool) {
	lock, token := "", uint64(0)
	switch o := c.asked.op.GetOp().(type) {
	case *dlmv1.Request_Release:
		op.Kind, lock, token = history.Release, o.Release.GetLock(), o.Release.GetToken()
	case *dlmv1.Request_Renew:
		op.Kind, lock, token = history.Current, o.Renew.GetLock(), o.Renew.GetToken()
	case *dlmv1.Request_Append:
		op.Kind, lock, token = history.Append, o.Append.GetLock(), o.Append.GetToken()
		op.File, op.Data, op.Offset, op.Length = o.Append.GetFile(), o.Append.GetData(), c.answer.GetOffset(), c.answer.GetLength()
	case *dlmv1.Request_Delete:
		op.Kind, lock, token = history.Delete, o.Delete.GetLock(), o.Delete.GetToken()
		op.File = o.Delete.GetFile()
	default:
		return op, false
	}
	op.Lock, op.Token = lock, token
	changes := op.Kind == history.Append || op.Kind == history.Delete
	op = p.op(c, op)
	h := p.holds[token]
	own := h != nil && h.session == c.asked.session && h.lock == lock
	if c.answer == nil {
		op.Return = history.Never
		return op, changes && own
	}
	switch c.answer.GetReason() {
	case dlmv1.Reason_REASON_OK:
		return op, true
	case dlmv1.Reason_REASON_STALE_TOKEN, dlmv1.Reason_REASON_LOCK_REVOKED, dlmv1.Reason_REASON_HOLD_LIMIT:
		op.Kind, op.File, op.Data = history.Refused, "", nil
		op.Revoked = c.answer.GetReason() == dlmv1.Reason_REASON_LOCK_REVOKED
		return op, own
	}
	return op, false
}

// ends bounds from below when a hold may have ended, and when it may have been revoked.
func (p *past) ends(token uint64, k *pastHold) (ends, revoked time.Duration) {
	const never = time.Duration(history.Never)
	slower := func(d time.Duration) time.Duration {
		return time.Duration(float64(d)/(1+float64(p.w.plan.Config.RateBound())/1e6)) - time.Microsecond
	}
	ends, revoked = max(p.renewed[k.session], k.call)+slower(p.ttl[k.session]), never
	if k.limit > 0 {
		ends = min(ends, k.call+slower(time.Duration(k.limit)))
	}
	if k.unsought {
		ends = k.call
	}
	if at, ok := p.lost[token]; ok {
		ends = min(ends, at)
	}
	if at, ok := p.over[k.session]; ok {
		ends = min(ends, at)
	}
	for _, c := range p.calls {
		mine := false
		switch o := c.asked.op.GetOp().(type) {
		case *dlmv1.Request_Renew:
			// It may have taken effect, answered or not, and have made the limit shorter than it was.
			if limit := o.Renew.GetHoldLimitNanos(); limit > 0 && o.Renew.GetToken() == token {
				ends = min(ends, c.made+slower(time.Duration(limit)))
			}
		case *dlmv1.Request_Release:
			mine = o.Release.GetToken() == token
		case *dlmv1.Request_Close:
			mine = c.asked.session == k.session
		case *dlmv1.Request_Revoke:
			mine = o.Revoke.GetLock() == k.lock
		case *dlmv1.Request_RevokeSession:
			mine = o.RevokeSession.GetSession() == k.session
		}
		if !mine || c.answer != nil && c.ended < k.call {
			continue
		}
		ends = min(ends, max(c.made, k.call))
		if c.asked.op.GetRevoke() != nil || c.asked.op.GetRevokeSession() != nil {
			revoked = min(revoked, max(c.made, k.call))
		}
	}
	return ends, revoked
}
