package replica

import (
	"encoding/binary"

	dlmv1 "dlm/api/dlm/v1"
)

// readRequest is a linearizable read and who asked.
type readRequest struct {
	conn   uint64
	read   *dlmv1.Read
	backup bool // not a read: the backup of that id is to begin
}

// readGroup is the reads that one read index of raft's is for.
type readGroup struct {
	ctx       uint64
	confirmed bool
	index     uint64
	reads     []readRequest
}

// readQueue holds the reads that wait: first for a read index, then for the lock table to reach it.
type readQueue struct {
	fresh   []readRequest
	groups  []*readGroup
	lastCtx uint64
	count   int
}

func (q *readQueue) empty() bool { return q.count == 0 }

// The sizes of a file's read, in bytes.
const (
	defaultReadBytes = 64 << 10
	maxReadBytes     = 256 << 10
)

func (n *Node) receiveRead(id uint64, r *dlmv1.Read) {
	reason, detail := n.closedFor()
	if reason == dlmv1.Reason_REASON_OK && n.reads.count+len(n.files.queue) >= n.cfg.MaxPending {
		reason, detail = dlmv1.Reason_REASON_OVERLOADED, "too many reads wait"
	}
	if reason != dlmv1.Reason_REASON_OK {
		n.conns.read(id, &dlmv1.ReadAnswer{Id: r.GetId(), Reason: reason, Detail: detail})
		return
	}
	n.reads.fresh = append(n.reads.fresh, readRequest{conn: id, read: r})
	n.reads.count++
}

// confirmed is raft's answer: a read at or after the index is linearizable.
func (q *readQueue) confirmed(ctx, index uint64) {
	for _, g := range q.groups {
		if g.ctx == ctx {
			g.confirmed, g.index = true, index
		}
	}
}

// serveReads asks raft for a read index for the reads that have arrived, and answers those whose index is applied. It is
// called only while leading: before the empty entry of the term is applied, raft would let a lone voter read too early.
func (n *Node) serveReads() {
	if !n.leading {
		return
	}
	q := &n.reads
	if len(q.fresh) > 0 {
		q.lastCtx++
		q.groups = append(q.groups, &readGroup{ctx: q.lastCtx, reads: q.fresh})
		q.fresh = nil
		n.rn.ReadIndex(binary.BigEndian.AppendUint64(nil, q.lastCtx))
		n.pump()
	}
	for len(q.groups) > 0 && q.groups[0].confirmed && q.groups[0].index <= n.applied {
		for _, r := range q.groups[0].reads {
			n.serveRead(r)
		}
		q.count -= len(q.groups[0].reads)
		q.groups = q.groups[1:]
	}
}

func (n *Node) serveRead(r readRequest) {
	if r.backup {
		n.beginBackup(r.conn)
		return
	}
	a := n.core.Read(r.read)
	// The time of the read, which may be long after that of the last entry: an idle server writes none.
	a.Id, a.Index, a.Stamp = r.read.GetId(), n.applied, max(n.core.Now(), n.lead.read(n.now))
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		n.conns.read(r.conn, a)
		return
	}
	if op := r.read.GetReadFile(); op != nil {
		n.serveFileRead(r, op, a)
		return
	}
	if st := a.GetStatus(); st != nil {
		st.MemberId, st.Version = n.cfg.MemberID, n.cfg.Version
		st.Term, st.Index, st.SnapshotIndex = n.term, n.applied, n.snap.index
	}
	n.conns.read(r.conn, a)
}

func (n *Node) serveFileRead(r readRequest, op *dlmv1.ReadFile, a *dlmv1.ReadAnswer) {
	rec, ok := n.core.File(op.GetFile())
	if !ok {
		a.Reason, a.Detail = dlmv1.Reason_REASON_NOT_FOUND, "no file of that name"
		n.conns.read(r.conn, a)
		return
	}
	bytes := op.GetBytes()
	if bytes == 0 {
		bytes = defaultReadBytes
	}
	bytes = min(bytes, maxReadBytes)
	if op.GetOffset() >= rec.Length {
		n.conns.read(r.conn, a)
		return
	}
	bytes = min(bytes, rec.Length-op.GetOffset())
	if n.files.stuck {
		n.refuseFileRead(r.conn, a)
		return
	}
	n.files.queue = append(n.files.queue, fileJob{read: &fileRead{conn: r.conn, answer: a, record: rec, offset: op.GetOffset(), bytes: bytes}})
}

// refuseAll refuses every read that waits for an index.
func (q *readQueue) refuseAll(n *Node, reason dlmv1.Reason, detail string) {
	for _, g := range q.groups {
		q.fresh = append(q.fresh, g.reads...)
	}
	for _, r := range q.fresh {
		if r.backup {
			n.endBackup(reason, detail)
			continue
		}
		n.conns.read(r.conn, &dlmv1.ReadAnswer{Id: r.read.GetId(), Reason: reason, Detail: detail})
	}
	q.fresh, q.groups, q.count = nil, nil, 0
}
