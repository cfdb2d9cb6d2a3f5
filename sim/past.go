package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
	"dlm/sim/history"
)

// past records the history of a run: what clients called, in true time, and what they were told. Nothing in it comes from
// the server but answers that a client got.
type past struct {
	w     *World
	calls []*pastCall
	// seen are holders and files that a read or an attach showed, each with the call that did.
	sights []history.Op
	holds  map[uint64]*pastHold
	order  []uint64 // tokens of holds, as they became known
	lost   map[uint64]time.Duration
	over   map[uint64]time.Duration // session -> when its process lost it
	ttl    map[uint64]time.Duration
	// renewed: when the last request went out that was answered OK in the session.
	renewed map[uint64]time.Duration
}

// pastCall is a call, with its end if it had one.
type pastCall struct {
	client int
	made   time.Duration
	ended  time.Duration
	asked  asked
	answer *dlmv1.Answer // nil: none came
}

type pastHold struct {
	session  uint64
	lock     string
	shared   bool
	unsought bool // nobody was told of it when it was granted: it may have been given back at once
	call     time.Duration
	limit    uint64
}

func newPast(w *World) *past {
	return &past{
		w: w, holds: map[uint64]*pastHold{}, lost: map[uint64]time.Duration{}, over: map[uint64]time.Duration{},
		ttl: map[uint64]time.Duration{}, renewed: map[uint64]time.Duration{},
	}
}

func (p *past) made(c *client, k *call) {
	k.past = &pastCall{client: c.id, made: k.made, asked: k.asked, ended: -1}
	p.calls = append(p.calls, k.past)
}

func (p *past) ended(k *call, d engine.Completion) {
	c := k.past
	c.ended, c.answer = p.w.sim.Now(), d.Answer
	op := c.asked.op.GetAcquire()
	switch {
	case d.Read != nil:
		p.read(c, d.Read)
	case d.Err != nil || d.Answer == nil:
	case op != nil:
		p.hold(d.Answer.GetToken(), &pastHold{
			session: c.asked.session, lock: op.GetLock(), shared: op.GetMode() == dlmv1.Mode_MODE_SHARED, call: c.made, limit: op.GetHoldLimitNanos(),
		})
		p.sights = append(p.sights, p.op(c, history.Op{
			Kind: history.Grant, Lock: op.GetLock(), Token: d.Answer.GetToken(), Shared: op.GetMode() == dlmv1.Mode_MODE_SHARED,
		}))
	case c.asked.op.GetOpen() != nil || c.asked.op.GetAttach() != nil:
		p.ttl[d.Session] = time.Duration(d.Answer.GetTtlNanos())
		for _, h := range d.Answer.GetHolds() {
			p.sighted(c, h.GetToken(), d.Session, h.GetLock(), h.GetMode() == dlmv1.Mode_MODE_SHARED)
		}
	}
}

func (p *past) hold(token uint64, h *pastHold) {
	if p.holds[token] == nil {
		p.order = append(p.order, token)
	}
	p.holds[token] = h
}

// op fills in what is the call's.
func (p *past) op(c *pastCall, op history.Op) history.Op {
	op.Client, op.Call, op.Return, op.Session = c.client, int64(c.made), history.Never, c.asked.session
	if c.ended >= 0 {
		op.Return = int64(c.ended)
	}
	return op
}

// sighted: somebody was shown a hold whose grant nobody may have been told of. It was granted after the first acquire that
// asked for it was made, and before this was seen.
func (p *past) sighted(c *pastCall, token, session uint64, lock string, shared bool) {
	if p.holds[token] != nil {
		return
	}
	for _, k := range p.calls {
		if op := k.asked.op.GetAcquire(); op != nil && k.asked.session == session && op.GetLock() == lock {
			p.hold(token, &pastHold{session: session, lock: lock, shared: shared, unsought: true, call: k.made})
			return
		}
	}
	// Nobody asked for it: then no order of operations explains what was seen.
}

func (p *past) read(c *pastCall, a *dlmv1.ReadAnswer) {
	if a.GetReason() == dlmv1.Reason_REASON_NOT_FOUND {
		if f := c.asked.read.GetReadFile(); f != nil {
			p.sights = append(p.sights, p.op(c, history.Op{Kind: history.NoFile, File: f.GetFile()}))
		}
		return
	}
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return
	}
	if a.GetLock() != nil {
		p.view(c, a.GetLock())
	}
	for _, l := range a.GetLocks() {
		p.view(c, l)
	}
	if op := c.asked.read.GetCheckToken(); op != nil && a.GetCurrent() {
		p.sights = append(p.sights, p.op(c, history.Op{Kind: history.Current, Lock: op.GetLock(), Token: op.GetToken()}))
	}
	file := c.asked.read.GetReadFile()
	for _, f := range a.GetFiles() {
		op := history.Op{Kind: history.ReadFile, File: f.GetFile(), Length: f.GetLength()}
		if file != nil {
			op.Offset, op.Data = file.GetOffset(), a.GetData()
		}
		p.sights = append(p.sights, p.op(c, op))
	}
}

func (p *past) view(c *pastCall, l *dlmv1.LockInfo) {
	op := history.Op{Kind: history.View, Lock: l.GetLock()}
	for _, h := range l.GetHolders() {
		shared := h.GetMode() == dlmv1.Mode_MODE_SHARED
		p.sighted(c, h.GetToken(), h.GetSession(), l.GetLock(), shared)
		op.Holders = append(op.Holders, history.Holder{Session: h.GetSession(), Token: h.GetToken(), Shared: shared, Revoked: h.GetRevoked()})
	}
	p.sights = append(p.sights, p.op(c, op))
}

// disk is what lies on the disk in the end, as if somebody had read it.
func (p *past) disk(name string, data []byte) {
	now := int64(p.w.sim.Now())
	p.sights = append(p.sights, history.Op{
		Kind: history.ReadFile, Client: -1, Call: now, Return: now, File: name, Length: uint64(len(data)), Data: data,
	})
}

// event: a process says that it lost something, and gives it back.
func (p *past) event(e engine.Event) {
	switch e.Kind {
	case engine.EventLockLost:
		if _, ok := p.lost[e.Token]; !ok {
			p.lost[e.Token] = p.w.sim.Now()
		}
	case engine.EventSessionLost:
		if _, ok := p.over[e.Session]; !ok {
			p.over[e.Session] = p.w.sim.Now()
		}
	}
}

// answered: an answer has reached a client. If it is OK its request has renewed the session, not before it was sent.
func (p *past) answered(c *client, a *dlmv1.Answer) {
	if a.GetReason() != dlmv1.Reason_REASON_OK || a.GetIndex() == 0 || a.GetSequence() == 0 {
		return
	}
	s := p.w.replies.out[requestID{session: a.GetSession(), instance: c.instances[a.GetSession()], sequence: a.GetSequence()}]
	if s != nil {
		p.renewed[a.GetSession()] = max(p.renewed[a.GetSession()], s.at)
	}
}
