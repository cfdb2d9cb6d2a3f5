package replica

import (
	"errors"
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
	// stuck: there was no room for the last task's batch. It is among the appends again, and waits.
	stuck bool
}

// LogTask writes one batch to the log and syncs it, and drops what a snapshot has made superfluous.
type LogTask struct {
	batch wal.Batch
	write bool
	cut   uint64
	full  bool     // the disk was: what is removed gives room, and nobody waits for a sync
	aside []string // files to remove before, if it was
}

// LogResult is the outcome of a LogTask.
type LogResult struct {
	err   error
	wrote bool
	aside []string // files that were cut off, for the file goroutine to remove
	room  int64    // that the log has left
	ready bool     // the next segment is made
}

// Err is what went wrong, if anything did.
func (r LogResult) Err() error { return r.err }

// Full says whether the batch did not fit, and is to be tried again.
func (r LogResult) Full() bool { return errors.Is(r.err, wal.ErrFull) }

// Wrote says whether there was a batch and it is durable now.
func (r LogResult) Wrote() bool { return r.wrote && r.err == nil }

// Run does the task. It blocks for as long as the disk takes.
func (t *LogTask) Run(s *wal.Store) (res LogResult) {
	res.err = s.Discard(t.aside)
	if t.write && res.err == nil {
		res.err = s.Append(t.batch)
	}
	if t.cut > 0 && (res.err == nil || res.Full()) {
		full := res.Full()
		res.aside, res.err = s.Cut(t.cut)
		if (full || t.full) && res.err == nil {
			res.err = s.Discard(res.aside)
			res.aside = nil
		}
		if full && res.err == nil { // there may be room now
			res.err = s.Append(t.batch)
		}
	}
	res.wrote = t.write
	res.room, res.ready = s.Room()
	return res
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

// start begins a task, if there is one. try: what did not fit may be tried again.
func (l *logSide) start(now, markDelay time.Duration, try bool) *LogTask {
	mark := l.unmarked && now >= l.doneAt+markDelay
	write := (len(l.appends) > 0 || mark) && (try || !l.stuck)
	if l.busy || !write && l.cut == 0 {
		return nil
	}
	t := &LogTask{write: write, cut: l.cut, full: l.stuck}
	if t.write {
		l.unmarked = len(l.appends) > 0
		t.batch.HardState = l.hard
		for _, m := range l.appends {
			t.batch.Entries = append(t.batch.Entries, m.GetEntries()...)
		}
		l.written = l.hard
		l.running, l.appends = l.appends, nil
	}
	l.cut, l.busy = 0, true
	return t
}

// putBack returns what did not fit to what is to be written.
func (l *logSide) putBack() {
	l.stuck = true
	if len(l.running) == 0 {
		l.unmarked = true // it was a mark
	}
	l.appends, l.running = append(l.running, l.appends...), nil
}

// diskAdvice ends the error of a disk that failed.
const diskAdvice = "nothing that was acknowledged is lost: check the disk, then start the server again"

// LogDone hands back the outcome of the LogTask on its way. After an error the node is done for: what the disk holds is
// unknown until the next start reads it. A batch that does not fit is no error; it waits.
func (n *Node) LogDone(now time.Duration, res LogResult) {
	n.observeClock(now)
	n.log.busy = false
	n.log.doneAt = now
	n.files.aside = append(n.files.aside, res.aside...)
	n.space.log, n.space.ready = res.room, res.ready
	if res.Full() {
		n.log.putBack()
		n.assess()
		if len(n.files.aside) > 0 {
			n.space.checkAt = n.now // they give room
		}
		return
	}
	if res.err != nil {
		n.fail(fmt.Errorf("replica: the log: %w; %s", res.err, diskAdvice))
		return
	}
	if n.log.stuck && !res.wrote {
		n.space.checkAt = n.now // segments were cut, so there may be room now
	}
	n.log.stuck = n.log.stuck && !res.wrote
	if n.space.level != DiskOK {
		n.assess()
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
