package replica

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
)

// identity is what makes two copies of a request the same request.
type identity struct {
	session, sequence uint64
	key               string // of Open (session 0) and Attach (sequence 0)
}

func identityOf(r *dlmv1.Request) identity {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return identity{key: string(op.Open.GetKey())}
	case *dlmv1.Request_Attach:
		return identity{session: r.GetSession(), key: string(op.Attach.GetKey())}
	default:
		return identity{session: r.GetSession(), sequence: r.GetSequence()}
	}
}

// pending is a request that has no answer yet, and who asked.
type pending struct {
	id    identity
	req   *dlmv1.Request
	conns []uint64
	first [1]uint64     // room for the one that conns mostly holds
	since time.Duration // when it arrived
	state pendingState
	size  int
}

type pendingState int

const (
	waiting pendingState = iota // for the next batch
	logged                      // in the batch on its way
	done                        // answered, or in a queue
)

// bulkBytes: requests larger than this wait in a line of their own, so that a large append never queues ahead of a keep-alive.
const bulkBytes = 16 << 10

// requestTable holds every request that has no answer yet, but for those in queues of locks.
type requestTable struct {
	open  map[place]*pending    // those with a sequence
	keyed map[identity]*pending // the others
	small []*pending            // waiting, in order of arrival
	bulk  []*pending            // waiting and large, in order of arrival
	eager int                   // waiting requests that are not keep-alives
	onWay int                   // logged
	// appendBytes is what the appends among them will add to files, about.
	appendBytes int
}

func (t *requestTable) init() {
	t.open, t.keyed = map[place]*pending{}, map[identity]*pending{}
}

func (t *requestTable) find(id identity) *pending {
	if id.key == "" {
		return t.open[place{id.session, id.sequence}]
	}
	return t.keyed[id]
}

// forget removes a request that is dealt with.
func (t *requestTable) forget(p *pending) {
	if p.state == logged {
		t.onWay--
	}
	p.state = done
	if p.id.key == "" {
		delete(t.open, place{p.id.session, p.id.sequence})
	} else {
		delete(t.keyed, p.id)
	}
}

// unlogged counts what waits for the log or is on its way into it.
func (t *requestTable) unlogged() int { return len(t.small) + len(t.bulk) + t.onWay }

func lazy(r *dlmv1.Request) bool {
	_, is := r.GetOp().(*dlmv1.Request_KeepAlive)
	return is
}

func (t *requestTable) add(p *pending) {
	if p.id.key == "" {
		t.open[place{p.id.session, p.id.sequence}] = p
	} else {
		t.keyed[p.id] = p
	}
	if p.size > bulkBytes {
		t.bulk = append(t.bulk, p)
	} else {
		t.small = append(t.small, p)
	}
	if !lazy(p.req) {
		t.eager++
	}
	if p.req.GetAppend() != nil {
		t.appendBytes += p.size
	}
}

// lazySince is when the oldest of the waiting keep-alives arrived, if nothing but keep-alives waits.
func (t *requestTable) lazySince() (time.Duration, bool) {
	if t.eager > 0 || len(t.small) == 0 {
		return 0, false
	}
	return t.small[0].since, true
}

// ready says whether the waiting requests are worth a batch.
func (t *requestTable) ready(now, delay time.Duration) bool {
	if t.eager > 0 {
		return true
	}
	since, ok := t.lazySince()
	return ok && now >= since+delay
}

// take removes the requests of the next batch: at most about `limit` bytes, but at least one if any waits.
func (t *requestTable) take(limit uint64) []*pending {
	out := make([]*pending, 0, len(t.small))
	var bytes uint64
	fill := func(line []*pending) (rest []*pending) {
		for i, p := range line {
			if len(out) > 0 && bytes+uint64(p.size) > limit {
				return slices.Delete(line, 0, i)
			}
			bytes += uint64(p.size)
			p.state = logged
			t.onWay++
			if !lazy(p.req) {
				t.eager--
			}
			out = append(out, p)
		}
		clear(line)
		return line[:0]
	}
	t.small = fill(t.small)
	if len(t.small) == 0 {
		t.bulk = fill(t.bulk)
	}
	return out
}

// Receive takes a frame that arrived on a connection; the clock was read after it arrived.
func (n *Node) Receive(now time.Duration, id uint64, f *dlmv1.ClientFrame) {
	n.observeClock(now)
	if n.conns.live[id] == nil {
		return
	}
	for _, r := range f.GetRequests() {
		n.receiveRequest(id, r)
	}
	for _, r := range f.GetReads() {
		n.receiveRead(id, r)
	}
}

func (n *Node) receiveRequest(id uint64, r *dlmv1.Request) {
	if reason, detail := n.closedFor(); reason != dlmv1.Reason_REASON_OK {
		n.refuse(id, r, reason, detail)
		return
	}
	if a := n.fenced(r); a != nil {
		n.conns.answer(id, a)
		return
	}
	key := identityOf(r)
	if p := n.requests.find(key); p != nil {
		n.joinPending(id, r, p)
		return
	}
	answer, notice := n.core.Lookup(r)
	if answer != nil {
		n.conns.answer(id, answer)
		n.bindIfOpened(id, r, answer)
		return
	}
	if notice != nil {
		n.queued.add(place{key.session, key.sequence}, id, n.conns.live)
		n.conns.notice(id, notice)
		return
	}
	if n.queued.has(key) {
		n.refuseQueued(id, r)
		return
	}
	// Only now: limits may have been lowered since the first copy of a request, which its duplicates must not be told.
	if a := n.core.Validate(r); a != nil {
		n.conns.answer(id, a)
		return
	}
	if reason, detail := n.noRoom(r); reason != dlmv1.Reason_REASON_OK {
		n.refuse(id, r, reason, detail)
		return
	}
	p := &pending{id: key, req: r, first: [1]uint64{id}, since: n.now, size: r.SizeVT()}
	p.conns = p.first[:]
	n.requests.add(p)
}

// fenced answers a request of an instance that the applied log has fenced off already. That is for good (instances only
// grow), so the answer is final and needs no log entry; and what such an instance still sends cannot get into the way
// of the new one's requests, which use the same sequences.
func (n *Node) fenced(r *dlmv1.Request) *dlmv1.Answer {
	current, ok := n.core.SessionInstance(r.GetSession())
	if !ok || r.GetSequence() == 0 || r.GetInstance() >= current {
		return nil
	}
	return &dlmv1.Answer{
		Session: r.GetSession(), Sequence: r.GetSequence(), Index: n.applied, Stamp: n.core.Now(),
		Reason: dlmv1.Reason_REASON_INSTANCE_FENCED, Detail: "another instance of the session has attached", Instance: current,
	}
}

// joinPending adds an asker to a request that is being dealt with.
func (n *Node) joinPending(id uint64, r *dlmv1.Request, p *pending) {
	if r.GetInstance() != p.req.GetInstance() {
		n.refuse(id, r, dlmv1.Reason_REASON_OVERLOADED, "a request of the former instance with this sequence is being dealt with")
		return
	}
	if !proto.Equal(&dlmv1.Request{Op: r.GetOp()}, &dlmv1.Request{Op: p.req.GetOp()}) {
		n.refuse(id, r, dlmv1.Reason_REASON_SEQUENCE_REUSED, "another request with this identity is being dealt with")
		return
	}
	p.conns = slices.DeleteFunc(p.conns, func(c uint64) bool { return n.conns.live[c] == nil || c == id })
	p.conns = append(p.conns, id)
}

// closedFor is the reason for which nothing is taken now, if there is one.
func (n *Node) closedFor() (dlmv1.Reason, string) {
	switch {
	case n.stopped:
		return dlmv1.Reason_REASON_UNAVAILABLE, "the server is stopping"
	case !n.leading:
		return dlmv1.Reason_REASON_NOT_LEADER, "this server does not lead"
	}
	return dlmv1.Reason_REASON_OK, ""
}

// refuse answers before the log: index 0, not the request's result.
func (n *Node) refuse(id uint64, r *dlmv1.Request, reason dlmv1.Reason, detail string) {
	a := &dlmv1.Answer{Session: r.GetSession(), Sequence: r.GetSequence(), Reason: reason, Detail: detail}
	if key := identityOf(r).key; key != "" {
		a.Key = []byte(key)
	}
	n.conns.answer(id, a)
}

// refuseAll refuses every request that has no answer, in order of identity.
func (t *requestTable) refuseAll(n *Node, reason dlmv1.Reason, detail string) {
	for _, p := range t.sorted() {
		for _, c := range p.conns {
			n.refuse(c, p.req, reason, detail)
		}
	}
	t.init()
	t.small, t.bulk, t.eager, t.onWay, t.appendBytes = nil, nil, 0, 0, 0
}
