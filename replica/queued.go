package replica

import (
	"slices"

	dlmv1 "dlm/api/dlm/v1"
)

// place names an acquire that waits in its lock's queue.
type place struct{ session, sequence uint64 }

// queuedTable knows who asked for each acquire that waits in its lock's queue. There may be very many, and they may wait
// for long: the core has all else about them, so connections are all that is kept here, and mostly just one.
type queuedTable struct {
	asker map[place]uint64
	more  map[place][]uint64 // further connections, after a reconnect
}

func (t *queuedTable) init() { t.asker, t.more = map[place]uint64{}, map[place][]uint64{} }

func (t *queuedTable) has(id identity) bool {
	_, ok := t.asker[place{id.session, id.sequence}]
	return ok && id.key == ""
}

// add makes a connection one that gets the answer.
func (t *queuedTable) add(at place, conn uint64, live map[uint64]*conn) {
	first, ok := t.asker[at]
	if !ok || first == conn || live[first] == nil {
		t.asker[at] = conn
		return
	}
	more := slices.DeleteFunc(t.more[at], func(c uint64) bool { return live[c] == nil || c == conn })
	t.more[at] = append(more, conn)
}

// conns are those who asked; some of them may be gone.
func (t *queuedTable) conns(at place) []uint64 {
	first, ok := t.asker[at]
	if !ok {
		return nil
	}
	return append([]uint64{first}, t.more[at]...)
}

func (t *queuedTable) remove(at place) {
	delete(t.asker, at)
	delete(t.more, at)
}

// enqueued moves a request that was applied and has no answer: it waits in its lock's queue.
func (n *Node) enqueued(p *pending) {
	n.requests.forget(p)
	for _, c := range p.conns {
		n.queued.add(place{p.id.session, p.id.sequence}, c, n.conns.live)
	}
}

// refuseQueued refuses what claims to be an acquire that waits, and is not.
func (n *Node) refuseQueued(conn uint64, r *dlmv1.Request) {
	if current, ok := n.core.SessionInstance(r.GetSession()); !ok || r.GetInstance() != current {
		n.refuse(conn, r, dlmv1.Reason_REASON_OVERLOADED, "a request of the former instance with this sequence waits")
		return
	}
	n.refuse(conn, r, dlmv1.Reason_REASON_SEQUENCE_REUSED, "another request with this identity waits")
}

// refuseAll refuses every acquire that waits, in order of session and sequence. They keep their places.
func (t *queuedTable) refuseAll(n *Node, reason dlmv1.Reason, detail string) {
	for _, at := range sortedPlaces(t.asker) {
		for _, c := range t.conns(at) {
			n.refuse(c, &dlmv1.Request{Session: at.session, Sequence: at.sequence}, reason, detail)
		}
	}
	t.init()
}
