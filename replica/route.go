package replica

import (
	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// route sends what a batch brought forth to those who asked. asked are its requests, if they came to this node.
func (n *Node) route(asked []*pending, out core.Output) {
	for _, a := range out.Answers {
		if p := n.requests.answered(a); p != nil {
			n.deliver(p, a)
			continue
		}
		at := place{a.GetSession(), a.GetSequence()}
		for _, c := range n.queued.conns(at) {
			n.conns.answer(c, a)
		}
		n.queued.remove(at)
	}
	for _, p := range asked {
		// What has no answer by now waits in its lock's queue.
		if p.state == logged {
			n.enqueued(p)
		}
	}
	for _, m := range out.Notices {
		n.routeNotice(m)
	}
}

// answered finds and removes the request that the answer is for.
func (t *requestTable) answered(a *dlmv1.Answer) *pending {
	id := identity{session: a.GetSession(), sequence: a.GetSequence()}
	if id.sequence == 0 {
		// An open's answer names the session that it made, which its request could not.
		id = identity{session: a.GetSession(), key: string(a.GetKey())}
		if p := t.find(id); p == nil || p.state == waiting {
			id.session = 0
		}
	}
	p := t.find(id)
	if p == nil || p.state == waiting {
		return nil
	}
	if p.req.GetAppend() != nil {
		t.appendBytes -= p.size
	}
	t.forget(p)
	return p
}

func (n *Node) deliver(p *pending, a *dlmv1.Answer) {
	for _, c := range p.conns {
		n.conns.answer(c, a)
	}
	if len(p.conns) > 0 {
		n.bindIfOpened(p.conns[len(p.conns)-1], p.req, a)
	}
	if p.req.GetClose() != nil {
		delete(n.conns.bound, a.GetSession())
	}
}

// bindIfOpened makes the connection that opened or attached a session the one for its notices.
func (n *Node) bindIfOpened(id uint64, r *dlmv1.Request, a *dlmv1.Answer) {
	if a.GetReason() == dlmv1.Reason_REASON_OK && (r.GetOpen() != nil || r.GetAttach() != nil) {
		n.conns.bind(a.GetSession(), id)
	}
}

func (n *Node) routeNotice(m *dlmv1.Notice) {
	if m.GetKind() == dlmv1.Notice_KIND_QUEUED {
		for _, c := range n.queued.conns(place{m.GetSession(), m.GetSequence()}) {
			n.conns.notice(c, m)
		}
		return
	}
	n.conns.notice(n.conns.bound[m.GetSession()], m)
	if m.GetKind() == dlmv1.Notice_KIND_SESSION_LOST {
		delete(n.conns.bound, m.GetSession())
	}
}
