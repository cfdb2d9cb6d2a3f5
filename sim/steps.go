package sim

import (
	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// request is the next step of a hold. The hold may be lost by now: then this is what a zombie does.
func (h *hold) request() *dlmv1.Request {
	h.stepsLeft--
	switch {
	case h.op.HoldLimit+h.op.NewLimit > 0 && h.renews():
		limit := h.op.NewLimit
		switch {
		case h.longer():
			limit *= 4
		case h.op.Back && h.stepsLeft%2 == 0:
			limit = 0 // the acquire's
		case h.op.Back:
			limit = h.op.HoldLimit
		}
		return &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{
			Lock: h.op.Lock, Token: h.token, HoldLimitNanos: uint64(limit),
		}}}
	case h.op.Delete && h.stepsLeft == 0:
		return &dlmv1.Request{Op: &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: h.op.File, Lock: h.op.Lock, Token: h.token}}}
	}
	data := h.a.c.w.someData(h.op.Bytes)
	return &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{
		File: h.op.File, Lock: h.op.Lock, Token: h.token, Data: data,
	}}}
}

// renews says whether the step sets a new hold limit.
func (h *hold) renews() bool {
	if h.op.Overlap {
		return h.stepsLeft%3 != 2
	}
	return h.stepsLeft%2 == 0
}

// longer says whether a renewal asks for more than the next one, which may share its entry or be answered before it.
func (h *hold) longer() bool {
	if h.op.Overlap {
		return h.stepsLeft%3 == 1
	}
	return h.stepsLeft%4 == 2
}

// atOnce does all steps that are left, none of which waits for the one before: several appends may share a log entry, and
// several renewals be under way.
func (h *hold) atOnce() {
	open := h.stepsLeft
	for h.stepsLeft > 0 {
		h.a.do(h.op, h.under(), h.request(), func(engine.Completion) {
			if open--; open == 0 {
				h.pause()
			}
		})
	}
}
