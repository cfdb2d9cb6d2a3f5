package replica

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal"
)

// logSide is what the node wants from the log goroutine.
type logSide struct {
	busy    bool
	appends []*raftpb.Message // storage appends that raft asked for and that are not on their way yet
	running []*raftpb.Message // those on their way
	hard    *raftpb.HardState // the newest that raft has shown
	written *raftpb.HardState // the newest that was given to the log
	cut     uint64            // a durable snapshot covers the log up to here; 0 = nothing to cut
	// unmarked: the last batch has no frame after it yet, so damage to it would look like a torn tail (G5's exception).
	// An empty frame follows when nothing else has for MarkDelay since doneAt; then an idle node writes nothing more.
	unmarked bool
	doneAt   time.Duration
}

// LogTask writes one batch to the log and syncs it, and drops what a snapshot has made superfluous.
type LogTask struct {
	batch wal.Batch
	write bool
	cut   uint64
}

// Run does the task. It blocks for as long as the disk takes.
func (t *LogTask) Run(s *wal.Store) error {
	if t.write {
		if err := s.Append(t.batch); err != nil {
			return err
		}
	}
	if t.cut > 0 {
		return s.Cut(t.cut)
	}
	return nil
}

// add takes a storage append of raft's. One that moves nothing but the commit index needs no sync (raft waits for no response): it goes
// along with the next batch, and recovery finds the rest out.
func (l *logSide) add(m *raftpb.Message) {
	if m.Term != nil {
		l.hard = &raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if len(m.GetEntries()) > 0 || len(m.GetResponses()) > 0 || l.mustSync() {
		l.appends = append(l.appends, m)
	}
}

func (l *logSide) mustSync() bool {
	return l.hard.GetTerm() != l.written.GetTerm() || l.hard.GetVote() != l.written.GetVote()
}

// wants says whether there is a task to start.
func (l *logSide) wants() bool { return len(l.appends) > 0 || l.cut > 0 }

func (l *logSide) start(now, markDelay time.Duration) *LogTask {
	mark := l.unmarked && now >= l.doneAt+markDelay
	if l.busy || !l.wants() && !mark {
		return nil
	}
	t := &LogTask{write: len(l.appends) > 0 || mark, cut: l.cut}
	if t.write {
		l.unmarked = len(l.appends) > 0
		t.batch.HardState = l.hard
		for _, m := range l.appends {
			t.batch.Entries = append(t.batch.Entries, m.GetEntries()...)
		}
		l.written = l.hard
	}
	l.running, l.appends, l.cut, l.busy = l.appends, nil, 0, true
	return t
}

// LogDone hands back the outcome of the LogTask on its way. After an error the node is done for: what the disk holds is
// unknown until the next start reads it.
func (n *Node) LogDone(now time.Duration, err error) {
	n.observeClock(now)
	n.log.busy = false
	n.log.doneAt = now
	if err != nil {
		n.fail(fmt.Errorf("replica: the log: %w", err))
		return
	}
	done := n.log.running
	n.log.running = nil
	for _, m := range done {
		if err := n.storage.Append(m.GetEntries()); err != nil {
			n.fail(fmt.Errorf("replica: %w", err))
			return
		}
		n.step(m.GetResponses())
	}
}

// Indexes are the first and the last log position that the task writes; 0, 0 = none.
func (t *LogTask) Indexes() (first, last uint64) {
	if n := len(t.batch.Entries); n > 0 {
		return t.batch.Entries[0].GetIndex(), t.batch.Entries[n-1].GetIndex()
	}
	return 0, 0
}
