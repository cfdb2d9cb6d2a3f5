package replica

import (
	"fmt"
	"time"

	"dlm/core"
	"dlm/wal"
)

// snapshotSide is the snapshot that is being taken, and what is known of the last one.
//
//	Flush: encode a slice --> file goroutine: write it --> FileDone --> Flush: encode a slice --> ... --> durable
//
// Between two slices entries are applied as ever. One part is on its way at a time: so a slow disk slows the encoding down, and
// little of a snapshot is in memory at once.
type snapshotSide struct {
	image  *core.Image   // nil: none is being taken, or all of it is encoded
	of     wal.Snapshot  // what is being taken, without its data
	below  uint64        // files with a lower id that are not of the image may go
	part   *snapshotPart // that is queued or on its way
	bytes  uint64        // of the one that is being taken, so far
	covers uint64        // bytes of log that it makes superfluous

	index uint64 // of the newest that is durable
	since uint64 // bytes of log since the last one was begun
	needs uint64 // 0, or the size of one that did not fit
	size  uint64 // of the newest; of the one that is being taken, once that is larger

	began, took time.Duration // took: the last one that was saved
	count       uint64        // saved since the start
}

// snapshotPart is a part of a snapshot for the file goroutine.
type snapshotPart struct {
	of          wal.Snapshot // with the bytes of this part
	first, last bool
	// Of the last one: what may be removed behind it.
	live  map[uint64]bool
	below uint64
}

// run writes the part. The last one makes the snapshot durable after the files that it counts on, and only then lets files go
// that no snapshot knows.
func (p *snapshotPart) run(s *wal.Store, res *FileResult) error {
	res.part = true
	add := func() error { return s.WriteSnapshot(p.of.Data) }
	if p.first {
		add = func() error { return s.BeginSnapshot(p.of) }
	}
	if err := add(); err != nil || !p.last {
		return err
	}
	if err := s.SyncFiles(); err != nil {
		return err
	}
	if err := s.FinishSnapshot(); err != nil {
		return err
	}
	res.snapshot = p.of.Index
	return s.CollectFiles(p.below, func(id uint64) bool { return p.live[id] })
}

// taking says whether a snapshot is being taken or written.
func (s *snapshotSide) taking() bool { return s.image != nil || s.part != nil }

// Snapshotting is the log position of the snapshot that is being taken, 0 = none is, and whether some of it is not encoded yet.
// What is applied meanwhile is no part of it.
func (n *Node) Snapshotting() (index uint64, encoding bool) {
	if !n.snap.taking() {
		return 0, false
	}
	return n.snap.of.Index, n.snap.image != nil
}

// SnapshotPart is the part of a snapshot that the task has written, if it has: its first, its last, one in between, or all.
// A task that stopped before it does not count: the part is in a later task again.
func (t *FileTask) SnapshotPart(res *FileResult) (part wal.Snapshot, first, last, ok bool) {
	for _, j := range t.jobs {
		if p := j.snapshot; p != nil && res.part && !res.tooLarge {
			return p.of, p.first, p.last, true
		}
	}
	return part, false, false, false
}

// stop gives up the snapshot that is being taken, but for a part that is on its way.
func (s *snapshotSide) stop() {
	if s.image != nil {
		s.image.Stop()
		s.image = nil
	}
}

// takeSnapshot begins a snapshot of the lock table when one is due, and encodes a slice of the one that was begun.
func (n *Node) takeSnapshot(due bool) {
	s := &n.snap
	if n.files.stuck || n.stopped {
		return
	}
	if !s.taking() && n.snapshotDue(due) {
		n.beginSnapshot()
	}
	if s.image != nil && s.part == nil {
		n.encodePart()
	}
}

// snapshotDue says whether enough log has been written since the last one.
func (n *Node) snapshotDue(due bool) bool {
	if n.snap.needs > 0 {
		return due && n.space.free >= n.snap.needs // again
	}
	enough := n.cfg.SnapshotBytes
	if n.space.noRoom {
		enough = min(enough, n.cfg.LogReserveBytes) // segments that it makes superfluous give room to the next one
	}
	return n.snap.since >= enough
}

func (n *Node) beginSnapshot() {
	_, conf, err := n.storage.InitialState()
	if err != nil {
		n.fail(fmt.Errorf("replica: %w", err))
		return
	}
	s := &n.snap
	s.image = n.core.BeginImage()
	s.of = wal.Snapshot{Index: n.applied, Term: n.term, Voters: conf.GetVoters()}
	s.below = n.core.NextFileID()
	s.bytes, s.covers, s.since, s.began = 0, s.since, 0, n.now
}

// encodePart encodes a slice and queues it.
func (n *Node) encodePart() {
	s := &n.snap
	p := &snapshotPart{of: s.of, first: s.bytes == 0}
	p.of.Data, p.last = s.image.Next(n.cfg.SnapshotSlice)
	if p.last {
		p.live, p.below = s.image.Files(), s.below
		n.backups.keep(p.live)
		s.image = nil
	}
	s.bytes += uint64(len(p.of.Data))
	s.size = max(s.size, s.bytes)
	s.part = p
	n.files.queue = append(n.files.queue, fileJob{snapshot: p})
}

// snapshotWritten takes what became of a part.
func (n *Node) snapshotWritten(res *FileResult) {
	s := &n.snap
	if res.part {
		s.part = nil
	}
	if res.tooLarge {
		s.stop()
		s.needs = s.size
		s.since += s.covers
	}
	if res.snapshot > 0 {
		n.snapshotDone(res.snapshot)
	}
}

// snapshotDone lets go of the log that the durable snapshot covers.
func (n *Node) snapshotDone(index uint64) {
	s := &n.snap
	s.count++
	s.needs, s.size, s.index, s.took = 0, s.bytes, index, n.now-s.began
	n.log.cut = index
}
