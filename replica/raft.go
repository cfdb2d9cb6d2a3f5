package replica

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	dlmv1 "dlm/api/dlm/v1"
)

// proposal is the batch that was proposed last. When its entry comes back committed it need not be decoded.
type proposal struct {
	term, index uint64
	batch       *dlmv1.Batch
	asked       []*pending // its requests
}

// is says whether the entry is the proposal's.
func (p *proposal) is(e *raftpb.Entry) bool {
	return p.batch != nil && p.index == e.GetIndex() && p.term == e.GetTerm()
}

// recoveredEntry is an entry that the log held at the start, and what it says.
type recoveredEntry struct {
	entry *raftpb.Entry
	batch *dlmv1.Batch
}

// pump hands raft's output on until there is none: storage appends to the log side, committed entries to the lock table.
func (n *Node) pump() {
	for n.err == nil && n.rn.HasReady() {
		rd := n.rn.Ready()
		for _, rs := range rd.ReadStates {
			n.reads.confirmed(binary.BigEndian.Uint64(rs.RequestCtx), rs.Index)
		}
		for _, m := range rd.Messages {
			switch m.GetTo() {
			case raft.LocalAppendThread:
				n.log.add(m)
			case raft.LocalApplyThread:
				n.applyEntries(m.GetEntries())
				n.step(m.GetResponses())
				n.forget()
			default:
				n.fail(fmt.Errorf("replica: a %v for member %d, but this version has no peers", m.GetType(), m.GetTo()))
			}
		}
		if rd.SoftState != nil && rd.RaftState != raft.StateLeader {
			n.followed()
		}
	}
}

// step returns what raft attached to a finished storage message.
func (n *Node) step(responses []*raftpb.Message) {
	for _, r := range responses {
		if err := n.rn.Step(r); err != nil {
			n.fail(fmt.Errorf("replica: %w", err))
		}
	}
}

func (n *Node) applyEntries(entries []*raftpb.Entry) {
	for _, e := range entries {
		if n.err != nil {
			return
		}
		n.applyEntry(e)
	}
}

// forgetEvery is how many applied entries raft keeps in memory at most.
const forgetEvery = 64

// forget lets raft forget the entries that are applied. Nobody needs them: the lock table has what they did, the log has them for the
// next start, and there are no followers to send them to.
func (n *Node) forget() {
	if n.err != nil || n.applied < n.forgotten+forgetEvery {
		return
	}
	_, conf, err := n.storage.InitialState()
	if err == nil {
		_, err = n.storage.CreateSnapshot(n.applied, &raftpb.ConfState{Voters: conf.GetVoters()}, nil)
	}
	if err == nil {
		err = n.storage.Compact(n.applied)
	}
	if err != nil {
		n.fail(fmt.Errorf("replica: %w", err))
	}
	n.forgotten = n.applied
}

func (n *Node) applyEntry(e *raftpb.Entry) {
	index := e.GetIndex()
	if index != n.applied+1 {
		n.fail(fmt.Errorf("replica: position %d to apply after %d", index, n.applied))
		return
	}
	batch, err := n.batchOf(e)
	if err != nil {
		n.fail(err)
		return
	}
	n.applied, n.term = index, e.GetTerm()
	n.snap.since += uint64(len(e.GetData())) + entryOverhead
	if batch == nil {
		n.maybeLead(e.GetTerm())
		return
	}
	out := n.core.Apply(index, batch.GetStamp(), batch.GetRequests())
	if n.cfg.Observe != nil {
		n.cfg.Observe(index, batch.GetStamp(), batch.GetRequests(), out)
	}
	n.files.write(out.Files)
	var asked []*pending
	if n.proposed.is(e) {
		asked = n.proposed.asked
	}
	n.route(asked, out)
}

// batchOf is the batch of an entry, decoded unless it is known: that of the last proposal, and those that Start has looked at.
func (n *Node) batchOf(e *raftpb.Entry) (*dlmv1.Batch, error) {
	if n.proposed.is(e) {
		return n.proposed.batch, nil
	}
	if len(n.recovered) > 0 && n.recovered[0].entry == e {
		b := n.recovered[0].batch
		n.recovered[0] = recoveredEntry{}
		n.recovered = n.recovered[1:]
		return b, nil
	}
	n.recovered = nil
	return decodeEntry(e)
}

// entryOverhead is roughly what an entry costs on disk beside its data: a frame takes whole sectors.
const entryOverhead = 512

// maybeLead begins to lead when the empty entry of the node's own term is applied: everything that former leaders
// acknowledged is in the lock table now, so stamps go on from its time and reads see it.
func (n *Node) maybeLead(term uint64) {
	st := n.rn.BasicStatus()
	if st.RaftState != raft.StateLeader || st.GetTerm() != term {
		return
	}
	n.leading = true
	// 0 means "no stamp": a new cluster's time begins at 1.
	n.lead = clock{stamp: max(n.core.Now(), 1), at: n.now}
}

// followed is called when the node does not lead (any more). Whoever waits is told to ask elsewhere: what was proposed may
// still take effect, and asking again with the same sequence finds out.
func (n *Node) followed() {
	if !n.leading {
		return
	}
	n.leading = false
	n.proposed = proposal{}
	n.queued.refuseAll(n, dlmv1.Reason_REASON_NOT_LEADER, "this server no longer leads")
	n.requests.refuseAll(n, dlmv1.Reason_REASON_NOT_LEADER, "this server no longer leads")
	n.reads.refuseAll(n, dlmv1.Reason_REASON_NOT_LEADER, "this server no longer leads")
}

// propose logs the next batch, if the disk is free and there is something to log.
func (n *Node) propose() {
	if !n.leading || n.err != nil || n.log.busy || len(n.log.appends) > 0 {
		return
	}
	stamp := n.lead.read(n.now)
	due, ok := n.core.NextDeadline()
	if !(ok && due <= stamp) && !n.requests.ready(n.now, n.cfg.KeepAliveDelay) {
		return
	}
	asked := n.requests.take(n.cfg.EntryBytes)
	batch := &dlmv1.Batch{Version: entryVersion, Stamp: stamp, Requests: make([]*dlmv1.Request, len(asked))}
	for i, p := range asked {
		batch.Requests[i] = p.req
	}
	data, err := encodeEntry(batch)
	if err != nil {
		n.fail(fmt.Errorf("replica: %w", err))
		return
	}
	last, err := n.storage.LastIndex()
	if err != nil {
		n.fail(fmt.Errorf("replica: %w", err))
		return
	}
	if err := n.rn.Propose(data); err != nil {
		n.fail(fmt.Errorf("replica: the leader refused its own proposal: %w", err))
		return
	}
	// One batch is on its way at a time and nothing else is proposed, so it takes the next position.
	n.proposed = proposal{term: n.rn.BasicStatus().GetTerm(), index: last + 1, batch: batch, asked: asked}
	n.lead = clock{stamp: stamp, at: n.now}
}
