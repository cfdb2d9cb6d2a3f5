package replica

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	dlmv1 "dlm/api/dlm/v1"
)

// frameBytes is about how large a frame may grow before another one is begun, far below gRPC's default limit of 4 MiB.
const frameBytes = 1 << 20

// conn is one stream, or one unary call (which is a stream that gets a single answer and no hello).
type conn struct {
	id     uint64
	unary  bool
	frames []Outgoing // ready to be sent
}

// connTable knows the live connections, which of them each session's notices go to, and what waits to be sent.
type connTable struct {
	live  map[uint64]*conn
	bound map[uint64]uint64 // session -> connection of its last open or attach; may name a dead one
	dirty []*conn           // with frames to send, in the order in which they got the first
	given Answers
}

func (t *connTable) init() {
	t.live = map[uint64]*conn{}
	t.bound = map[uint64]uint64{}
}

// Connect tells of a new stream. Its first frame is the hello.
func (n *Node) Connect(now time.Duration, id uint64) {
	n.observeClock(now)
	c := &conn{id: id}
	n.conns.live[id] = c
	cluster := n.core.ClusterID()
	limits := n.core.Limits()
	hello := &dlmv1.Hello{
		ClusterId: cluster[:],
		MemberId:  n.cfg.MemberID,
		Version:   n.cfg.Version,
		DriftPpm:  limits.GetDriftPpm(),
		Window:    limits.GetWindow(),
	}
	n.conns.begin(c).add(hello.SizeVT()).Hello = hello
}

// ConnectUnary tells of a unary call: a connection without a hello, to which no notices are sent.
func (n *Node) ConnectUnary(id uint64) {
	n.conns.live[id] = &conn{id: id, unary: true}
}

// Disconnect forgets a connection. Requests that it sent take effect all the same.
func (n *Node) Disconnect(id uint64) {
	delete(n.conns.live, id)
}

// begin begins another frame.
func (t *connTable) begin(c *conn) *Outgoing {
	if len(c.frames) == 0 {
		t.dirty = append(t.dirty, c)
	}
	c.frames = append(c.frames, Outgoing{Conn: c.id, Frame: &dlmv1.ServerFrame{}})
	return &c.frames[len(c.frames)-1]
}

// add counts something of the given size, with its tag and its length, and returns the frame to add it to.
func (o *Outgoing) add(size int) *dlmv1.ServerFrame {
	o.Bytes += size + 1 + protowire.SizeVarint(uint64(size))
	return o.Frame
}

// frame is the one to add something of the given size to, nil if the connection is gone.
func (t *connTable) frame(id uint64, size int) *dlmv1.ServerFrame {
	c := t.live[id]
	if c == nil {
		return nil
	}
	if n := len(c.frames); n > 0 {
		// The hello travels alone.
		if last := &c.frames[n-1]; last.Bytes+size <= frameBytes && last.Frame.Hello == nil {
			return last.add(size)
		}
	}
	return t.begin(c).add(size)
}

func (t *connTable) answer(id uint64, a *dlmv1.Answer) {
	t.given.add(a.GetReason())
	if f := t.frame(id, a.SizeVT()); f != nil {
		f.Answers = append(f.Answers, a)
	}
}

func (t *connTable) read(id uint64, a *dlmv1.ReadAnswer) {
	t.given.add(a.GetReason())
	if f := t.frame(id, a.SizeVT()); f != nil {
		f.Reads = append(f.Reads, a)
	}
}

func (t *connTable) notice(id uint64, m *dlmv1.Notice) {
	if c := t.live[id]; c == nil || c.unary {
		return
	}
	f := t.frame(id, m.SizeVT())
	f.Notices = append(f.Notices, m)
}

// bind makes a stream the one that gets the session's notices.
func (t *connTable) bind(session, id uint64) {
	if c := t.live[id]; c != nil && !c.unary {
		t.bound[session] = id
	}
}

// drain hands out what is to be sent, connection by connection. A connection that has gone since gets nothing.
func (t *connTable) drain() []Outgoing {
	var out []Outgoing
	for _, c := range t.dirty {
		if t.live[c.id] == c {
			out = append(out, c.frames...)
		}
		c.frames = nil
	}
	t.dirty = t.dirty[:0]
	return out
}
