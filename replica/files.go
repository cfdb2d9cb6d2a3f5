package replica

import (
	"errors"
	"fmt"
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/wal"
)

// fileSide is what the node wants from the file goroutine: the bytes of appends, reads of them, and snapshots. One queue in
// order, so that a read finds what was applied before it, and a snapshot counts only on files that are written.
type fileSide struct {
	busy      bool
	queue     []fileJob
	unwritten int // bytes of the writes in the queue or on their way
	// stuck: a write did not fit. It waits at the head of the queue.
	stuck bool
	aside []string // files of the log to be removed, before anything else: that gives room
}

// fileJob is one step; exactly one field is set.
type fileJob struct {
	write    *core.FileOp
	read     *fileRead
	snapshot *snapshotPart
	backup   *backupRead
	check    []core.FileRecord // at start: the files that the snapshot counts on
	prepare  bool              // a part of the log's next segment
	measure  bool              // nothing but a look at the room that is left, as after every task
}

type fileRead struct {
	conn   uint64
	answer *dlmv1.ReadAnswer
	record core.FileRecord
	offset uint64
	bytes  uint64
}

// FileTask is some of the queue's jobs, in order.
type FileTask struct {
	aside []string
	jobs  []fileJob
}

// Writes says whether it writes to a data file.
func (t *FileTask) Writes() bool {
	return slices.ContainsFunc(t.jobs, func(j fileJob) bool { return j.write != nil })
}

// LetsGo says whether it makes a snapshot durable behind which a file is removed, if it is there.
func (t *FileTask) LetsGo(id uint64) bool {
	return slices.ContainsFunc(t.jobs, func(j fileJob) bool {
		p := j.snapshot
		return p != nil && p.last && id < p.below && !p.live[id]
	})
}

// FileResult is the outcome of a FileTask.
type FileResult struct {
	err      error
	reads    []*fileRead
	written  int
	snapshot uint64 // that was made durable
	part     bool   // of a snapshot was dealt with
	backup   *backupRead
	tooLarge bool      // it did not fit, and with it the snapshot
	undone   []fileJob // from the first write on that did not fit
	prepared bool      // a part of the log's next segment was made, or (noRoom) did not fit
	noRoom   bool
	measured bool
	gaveRoom bool // it removed files
	space    wal.Space
}

// DidNotFit says what the disk had no room for: a write to a file, a snapshot, the log's next segment.
func (r *FileResult) DidNotFit() (write, snapshot, segment bool) {
	return len(r.undone) > 0, r.tooLarge, r.noRoom
}

// Run does the task. It blocks for as long as the disk takes.
func (t *FileTask) Run(s *wal.Store) FileResult {
	var res FileResult
	if res.err = s.Discard(t.aside); res.err != nil {
		return res
	}
	res.gaveRoom = len(t.aside) > 0
	for i, j := range t.jobs {
		err := j.run(s, &res)
		if errors.Is(err, wal.ErrFull) {
			res.undone = t.jobs[i:]
			break
		}
		if err != nil {
			res.err = err
			return res
		}
	}
	res.space, res.err = s.Space()
	return res
}

func (j fileJob) run(s *wal.Store, res *FileResult) error {
	switch {
	case j.write != nil:
		if err := s.WriteFile(j.write.ID, j.write.Offset, j.write.Data); err != nil {
			return err
		}
		res.written += len(j.write.Data)
		return nil
	case j.read != nil:
		return j.read.run(s, res)
	case j.backup != nil:
		return j.backup.run(s, res)
	case j.snapshot != nil:
		err := j.snapshot.run(s, res)
		if errors.Is(err, wal.ErrFull) {
			res.tooLarge, err = true, nil // the log keeps what it has, and another one follows when there is room
		}
		return err
	case j.prepare:
		_, err := s.PrepareSegment()
		res.prepared, res.noRoom = true, errors.Is(err, wal.ErrFull)
		if res.noRoom {
			return nil
		}
		return err
	case j.measure:
		res.measured = true
		return nil
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

// start begins a task, if there is one. try: what did not fit may be tried again.
func (f *fileSide) start(try bool) *FileTask {
	if f.busy || len(f.queue)+len(f.aside) == 0 || f.stuck && !try && len(f.aside) == 0 {
		return nil
	}
	t := &FileTask{aside: f.aside, jobs: f.queue}
	f.aside, f.queue, f.busy = nil, nil, true
	return t
}

// FileDone hands back the outcome of the FileTask on its way.
func (n *Node) FileDone(now time.Duration, res FileResult) {
	n.observeClock(now)
	f := &n.files
	f.busy = false
	f.unwritten -= res.written
	var damage *wal.DamageError
	if errors.As(res.err, &damage) {
		n.fail(fmt.Errorf("replica: the data files: %w", res.err)) // it says what to do
		return
	} else if res.err != nil {
		n.fail(fmt.Errorf("replica: the data files: %w; %s", res.err, diskAdvice))
		return
	}
	for _, r := range res.reads {
		n.conns.read(r.conn, r.answer)
	}
	if res.backup != nil {
		n.backupDone(res.backup)
	}
	n.snapshotWritten(&res)
	if f.stuck = len(res.undone) > 0; f.stuck {
		f.queue = append(res.undone, f.queue...)
		n.refuseFileReads()
		n.dropBackupReads()
	}
	n.spaceFound(&res)
}

// refuseFileReads answers the reads that wait behind a write which does not fit.
func (n *Node) refuseFileReads() {
	f := &n.files
	f.queue = slices.DeleteFunc(f.queue, func(j fileJob) bool {
		if j.read != nil {
			n.refuseFileRead(j.read.conn, j.read.answer)
		}
		return j.read != nil
	})
}

func (n *Node) refuseFileRead(conn uint64, a *dlmv1.ReadAnswer) {
	n.conns.read(conn, &dlmv1.ReadAnswer{
		Id: a.GetId(), Reason: dlmv1.Reason_REASON_DISK_FULL, Detail: stuckDetail,
	})
}

const stuckDetail = "the disk is full, and appended bytes wait to be written"

// Err is why the task failed, nil if it did not.
func (r FileResult) Err() error { return r.err }
