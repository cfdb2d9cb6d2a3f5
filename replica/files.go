package replica

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/wal"
)

// fileSide is what the node wants from the file goroutine: the bytes of appends, reads of them, and snapshots. One queue in
// order, so that a read finds what was applied before it, and a snapshot counts only on files that are written.
type fileSide struct {
	busy          bool
	queue         []fileJob
	unwritten     int // bytes of the writes in the queue or on their way
	snapshotIndex uint64
	sinceSnapshot uint64 // bytes of log
	snapshotting  bool
	snapshotSince time.Duration // when it was begun
	snapshotTook  time.Duration // the last one that was saved
	snapshots     uint64        // saved since the start
}

// fileJob is one step; exactly one field is set.
type fileJob struct {
	write    *core.FileOp
	read     *fileRead
	snapshot *snapshotJob
	check    []core.FileRecord // at start: the files that the snapshot counts on
}

type fileRead struct {
	conn   uint64
	answer *dlmv1.ReadAnswer
	record core.FileRecord
	offset uint64
	bytes  uint64
}

type snapshotJob struct {
	snapshot wal.Snapshot
	live     map[uint64]bool // files of its state
	below    uint64          // files with a lower id that are not live may go
}

// FileTask is some of the queue's jobs, in order.
type FileTask struct{ jobs []fileJob }

// FileResult is the outcome of a FileTask.
type FileResult struct {
	err      error
	reads    []*fileRead
	written  int
	snapshot uint64
}

// Run does the task. It blocks for as long as the disk takes.
func (t *FileTask) Run(s *wal.Store) FileResult {
	var res FileResult
	for _, j := range t.jobs {
		if res.err = j.run(s, &res); res.err != nil {
			return res
		}
	}
	return res
}

func (j fileJob) run(s *wal.Store, res *FileResult) error {
	switch {
	case j.write != nil:
		res.written += len(j.write.Data)
		return s.WriteFile(j.write.ID, j.write.Offset, j.write.Data)
	case j.read != nil:
		return j.read.run(s, res)
	case j.snapshot != nil:
		return j.snapshot.run(s, res)
	}
	for _, r := range j.check {
		if err := s.RecoverFile(r.ID, r.Length, r.TailCRC); err != nil {
			return fmt.Errorf("file %q: %w", r.Name, err)
		}
	}
	return nil
}

// run reads; damage (bytes that cannot be read among it) is the reader's answer and no reason to stop: the log and all
// other files are still good.
func (r *fileRead) run(s *wal.Store, res *FileResult) error {
	data, err := s.ReadFile(r.record.ID, r.record.Length, r.record.TailCRC, r.offset, r.bytes)
	var damage *wal.DamageError
	if errors.As(err, &damage) {
		r.answer.Reason, r.answer.Detail = dlmv1.Reason_REASON_DAMAGED, err.Error()
	} else if err != nil {
		return err
	}
	r.answer.Data = data
	res.reads = append(res.reads, r)
	return nil
}

// run makes the snapshot durable after the files that it counts on, and only then lets files go that no snapshot knows.
func (j *snapshotJob) run(s *wal.Store, res *FileResult) error {
	if err := s.SyncFiles(); err != nil {
		return err
	}
	if err := s.SaveSnapshot(j.snapshot); err != nil {
		return err
	}
	res.snapshot = j.snapshot.Index
	return s.CollectFiles(j.below, func(id uint64) bool { return j.live[id] })
}

// recover lets the files that the snapshot counts on be checked before anything else touches them.
func (f *fileSide) recover(c *core.Core) {
	var all []core.FileRecord
	c.EachFile(func(r core.FileRecord) { all = append(all, r) })
	if len(all) > 0 {
		f.queue = append(f.queue, fileJob{check: all})
	}
}

// write queues the bytes of applied appends. Deleted files go with a later snapshot: until then a restart may still
// count on them.
func (f *fileSide) write(ops []core.FileOp) {
	for i := range ops {
		if ops[i].Kind == core.FileWrite {
			f.unwritten += len(ops[i].Data)
			f.queue = append(f.queue, fileJob{write: &ops[i]})
		}
	}
}

// maybeSnapshot queues a snapshot of the lock table when enough log has been written since the last one.
func (n *Node) maybeSnapshot() {
	f := &n.files
	if f.snapshotting || f.sinceSnapshot < n.cfg.SnapshotBytes {
		return
	}
	_, conf, err := n.storage.InitialState()
	if err != nil {
		n.fail(fmt.Errorf("replica: %w", err))
		return
	}
	job := &snapshotJob{
		snapshot: wal.Snapshot{Index: n.applied, Term: n.term, Voters: conf.GetVoters(), Data: n.core.Snapshot()},
		live:     map[uint64]bool{},
		below:    n.core.NextFileID(),
	}
	n.core.EachFile(func(r core.FileRecord) { job.live[r.ID] = true })
	f.snapshotting, f.sinceSnapshot, f.snapshotSince = true, 0, n.now
	f.queue = append(f.queue, fileJob{snapshot: job})
}

func (f *fileSide) start() *FileTask {
	if f.busy || len(f.queue) == 0 {
		return nil
	}
	t := &FileTask{jobs: f.queue}
	f.queue, f.busy = nil, true
	return t
}

// FileDone hands back the outcome of the FileTask on its way.
func (n *Node) FileDone(now time.Duration, res FileResult) {
	n.observeClock(now)
	f := &n.files
	f.busy = false
	f.unwritten -= res.written
	if res.err != nil {
		n.fail(fmt.Errorf("replica: the data files: %w", res.err))
		return
	}
	for _, r := range res.reads {
		n.conns.read(r.conn, r.answer)
	}
	if res.snapshot > 0 {
		n.snapshotDone(res.snapshot)
	}
}

// snapshotDone lets go of the log that the durable snapshot covers, in memory and on disk.
func (n *Node) snapshotDone(index uint64) {
	n.files.snapshotting = false
	n.files.snapshots++
	n.files.snapshotTook = n.now - n.files.snapshotSince
	n.files.snapshotIndex = index
	n.log.cut = index
	_, conf, err := n.storage.InitialState()
	if err == nil {
		_, err = n.storage.CreateSnapshot(index, &raftpb.ConfState{Voters: conf.GetVoters()}, nil)
	}
	if err == nil {
		err = n.storage.Compact(index)
	}
	if err != nil {
		n.fail(fmt.Errorf("replica: %w", err))
	}
}

// Err is why the task failed, nil if it did not.
func (r FileResult) Err() error { return r.err }
