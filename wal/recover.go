package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/vfs"
)

// recovery is one run of Open.
type recovery struct {
	fs   vfs.FS
	dir  string
	opt  Options
	list listing
	out  Recovered

	chain []segmentHeader // the segments to read, ascending

	hard                hardState
	lastIndex, lastTerm uint64
	closed              []closedSegment
	tail                []byte // the last segment up to the end of its last frame
}

// Open recovers a store (see the package documentation) and makes what it
// found durable before it returns. Errors: ErrNoStore, ErrVersion, a
// *DamageError, or what the file system said.
func Open(fsys vfs.FS, dir string, opt Options) (*Store, *Recovered, error) {
	if opt.SegmentBytes == 0 {
		opt.SegmentBytes = DefaultSegmentBytes
	}
	opt.SegmentBytes = roundUp(max(opt.SegmentBytes, minSegmentBytes))
	r := &recovery{fs: fsys, dir: dir, opt: opt}
	if err := r.begin(); err != nil {
		return nil, nil, err
	}
	for _, step := range []func() error{r.readSnapshot, r.findChain, r.readChain, r.settle} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	s := &Store{fs: fsys, dir: dir, id: r.out.Identity, segmentBytes: opt.SegmentBytes}
	s.snapIndex.Store(r.out.Snapshot.Index)
	s.files = newFileSide(fsys, dir, opt.OpenFiles)
	s.log = logSide{
		closed: r.closed, hard: r.hard, lastIndex: r.lastIndex, lastTerm: r.lastTerm,
	}
	err := r.removeTemporaries()
	if err == nil {
		s.log.active, err = r.copyTail()
	}
	if err != nil {
		return nil, nil, err
	}
	s.noteRoom()
	if err := r.removeLeftovers(s.log.active.header.number); err != nil {
		return nil, nil, errors.Join(err, s.log.active.file.Close())
	}
	return s, &r.out, nil
}

// begin looks at what there is.
func (r *recovery) begin() error {
	var err error
	if r.list, err = list(r.fs, r.dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: in %s: %w", ErrNoStore, r.dir, err)
	} else if err != nil {
		return err
	}
	if err := r.list.unfinished(r.dir); err != nil {
		return err
	}
	if len(r.list.snapshots) == 0 {
		return fmt.Errorf("%w: in %s", ErrNoStore, r.dir)
	}
	return r.fs.MkdirAll(path.Join(r.dir, filesDir))
}

// readSnapshot reads the newest one. If that is damaged an older one is no
// way out: the log that leads on from it may be gone.
func (r *recovery) readSnapshot() error {
	index := r.list.snapshots[len(r.list.snapshots)-1]
	name := snapshotName(r.dir, index)
	b, err := readAll(r.fs, name)
	if err != nil {
		return err
	}
	if r.out.Identity, r.out.Snapshot, err = decodeSnapshot(name, b); err != nil {
		return err
	}
	if r.out.Snapshot.Index != index {
		return damaged(name, 40, "it is the snapshot at %d", r.out.Snapshot.Index)
	}
	return nil
}

// findChain goes from the last segment down, from each to the one before
// the first that it stands for. It ends where one is missing; what lies below
// must not be needed.
func (r *recovery) findChain() error {
	if len(r.list.segments) == 0 {
		return &DamageError{
			File: r.dir, Why: "there is a snapshot but no log segment",
			Advice: "restore the missing files, or " + adviceRestore,
		}
	}
	number := r.list.segments[len(r.list.segments)-1]
	for {
		name := segmentName(r.dir, number)
		head, err := r.readHead(name)
		if err != nil {
			return err
		}
		h, err := decodeSegmentHeader(name, number, r.out.Identity, head)
		if err != nil {
			return err
		}
		r.chain = append(r.chain, h)
		number = h.first - 1
		if _, there := slices.BinarySearch(r.list.segments, number); !there {
			break
		}
	}
	slices.Reverse(r.chain)
	start := r.chain[0]
	if start.lastIndex > r.out.Snapshot.Index {
		return &DamageError{
			File: segmentName(r.dir, start.first-1),
			Why: fmt.Sprintf("it is missing; the snapshot ends at index %d and the next segment begins after %d",
				r.out.Snapshot.Index, start.lastIndex),
			Advice: "restore the missing file, or " + adviceRestore,
		}
	}
	r.lastIndex, r.lastTerm, r.hard = start.lastIndex, start.lastTerm, start.hard
	return nil
}

func (r *recovery) readHead(name string) ([]byte, error) {
	f, err := r.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(size, sectorSize))
	if err := readFull(f, head, 0); err != nil {
		return nil, unreadable(name, 0, err)
	}
	return head, nil
}

func (r *recovery) readChain() error {
	for i, h := range r.chain {
		name := segmentName(r.dir, h.number)
		image, err := readAll(r.fs, name)
		if err != nil {
			return err
		}
		if int64(len(image)) < h.size {
			return damaged(name, int64(len(image)), "it ends here and should have %d bytes", h.size)
		}
		if h.lastIndex != r.lastIndex && h.lastIndex > r.out.Snapshot.Index {
			return damaged(name, 80, "it begins after index %d, the one before ends with %d", h.lastIndex, r.lastIndex)
		}
		r.out.Report.Segments++
		if i < len(r.chain)-1 {
			err = r.readClosed(name, h, image, r.chain[i+1].prevEnd)
			r.closed = append(r.closed, closedSegment{number: h.number, lastIndex: r.lastIndex})
		} else {
			err = r.readLast(name, h, image)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readClosed reads a segment with a successor, which says where it ends: up
// to there everything was durable.
func (r *recovery) readClosed(name string, h segmentHeader, image []byte, end int64) error {
	for at := int64(sectorSize); at < end; {
		f, ok := frameAt(image, h.salt, at)
		if !ok || f.end > end {
			return damaged(name, at, "a frame is bad, and segment %d was begun after it", h.number+1)
		}
		if err := r.apply(name, f); err != nil {
			return err
		}
		at = f.end
	}
	return nil
}

// readLast reads up to the first place without a valid frame. If one comes
// later, a batch was written after this place had been synced, so its loss is
// damage; else it is what was being written when the last run ended.
func (r *recovery) readLast(name string, h segmentHeader, image []byte) error {
	at := int64(sectorSize)
	for {
		f, ok := frameAt(image, h.salt, at)
		if !ok {
			break
		}
		if f.kind == frameEnd {
			missing := segmentName(r.dir, h.number+1)
			return &DamageError{
				File: missing, Why: fmt.Sprintf("it is missing; %s says that it was made", name),
				Advice: "restore the missing file, or " + adviceRestore,
			}
		}
		if err := r.apply(name, f); err != nil {
			return err
		}
		at = f.end
	}
	r.tail = image[:at]
	rest := bytes.TrimRight(image[min(at, int64(len(image))):], "\x00")
	for later := at + sectorSize; later < at+int64(len(rest)); later += sectorSize {
		if _, ok := frameAt(image, h.salt, later); ok {
			return damaged(name, at, "a frame is bad, and a good one follows at offset %d", later)
		}
	}
	r.out.Report.TornBytes = int64(len(rest))
	return nil
}

func (r *recovery) apply(name string, f frame) error {
	r.out.Report.Frames++
	r.out.Report.Sealed = f.kind == frameSeal
	switch f.kind {
	case frameSeal:
		return nil
	case frameBatch:
	default:
		return fmt.Errorf("%w: %s has a frame of kind %d at offset %d", ErrVersion, name, f.kind, f.offset)
	}
	err := eachRecord(f.payload, func(h hardState) { r.hard = h }, r.addEntry)
	if err != nil {
		return damaged(name, f.offset, "the frame is whole but its content is wrong: %v", err)
	}
	return nil
}

// addEntry puts an entry in its place; what was there and after it gives way.
func (r *recovery) addEntry(e *raftpb.Entry) error {
	index, snapshot := e.GetIndex(), r.out.Snapshot.Index
	if index == 0 || index > max(r.lastIndex, snapshot)+1 {
		return fmt.Errorf("%w: entry %d after %d", errRecord, index, r.lastIndex)
	}
	r.lastIndex, r.lastTerm = index, e.GetTerm()
	keep := max(index, snapshot+1) - snapshot - 1
	if keep > uint64(len(r.out.Entries)) {
		return fmt.Errorf("%w: entry %d, but the snapshot is at %d and %d entries follow it",
			errRecord, index, snapshot, len(r.out.Entries))
	}
	r.out.Report.Overwritten += len(r.out.Entries) - int(keep)
	r.out.Entries = r.out.Entries[:keep]
	if index <= snapshot {
		r.out.Report.Overwritten++
		return nil
	}
	r.out.Entries = append(r.out.Entries, e)
	return nil
}

// settle reconciles log and snapshot, which become durable one after the
// other.
func (r *recovery) settle() error {
	sn := r.out.Snapshot
	// A snapshot of a higher term was received and not all of the log that
	// contradicts it was overwritten: raft had dropped it.
	if e := r.out.Entries; len(e) > 0 && e[0].GetTerm() < sn.Term {
		r.out.Report.Overwritten += len(e)
		r.out.Entries = nil
	}
	term := sn.Term
	for _, e := range r.out.Entries {
		if e.GetTerm() < term {
			return damaged(r.dir, 0, "entry %d has term %d, the one before it %d", e.GetIndex(), e.GetTerm(), term)
		}
		term = e.GetTerm()
	}
	r.lastIndex, r.lastTerm = sn.Index+uint64(len(r.out.Entries)), term
	if r.hard.term < sn.Term {
		r.hard.term, r.hard.vote = sn.Term, 0
	}
	r.hard.commit = max(r.hard.commit, sn.Index)
	if r.hard.commit > r.lastIndex {
		return damaged(segmentName(r.dir, r.chain[len(r.chain)-1].number), 0,
			"index %d was committed and the log ends with %d", r.hard.commit, r.lastIndex)
	}
	r.out.HardState = r.hard.proto()
	r.out.Report.Entries = len(r.out.Entries)
	return nil
}

// copyTail makes the surviving frames of the last segment durable under a
// new number. They may have been read from a page cache that the disk never
// got, and no sync of the old file can be trusted to write them. What was
// torn stays behind: after the copy there are zeros.
//
// The sync of the directory that ends it also makes the names durable that
// recovery has acted by, the snapshot's among them; nothing is removed before.
func (r *recovery) copyTail() (activeSegment, error) {
	header := r.chain[len(r.chain)-1]
	oldSalt := header.salt
	header.number++
	header.salt = saltOf(header.id, header.number)
	header.size = max(r.opt.SegmentBytes, int64(len(r.tail))+2*sectorSize)
	copied := append(header.encode(), r.tail[sectorSize:]...)
	for at := int64(sectorSize); at < int64(len(copied)); {
		f, ok := frameAt(r.tail, oldSalt, at)
		if !ok {
			return activeSegment{}, damaged(segmentName(r.dir, header.number-1), at, "a frame was read and is gone")
		}
		whole := copied[at : at+frameHeaderSize+int64(len(f.payload))]
		le.PutUint32(whole[4:], frameCRC(whole, header.salt, at))
		at = f.end
	}
	name := segmentName(r.dir, header.number)
	f, err := blankSegment(r.fs, name, header.size)
	if errors.Is(err, ErrFull) {
		// A short one will do: when it is there the old one can go.
		header.size = int64(len(r.tail)) + 2*sectorSize
		copy(copied, header.encode())
		f, err = blankSegment(r.fs, name, header.size)
	}
	if err != nil {
		return activeSegment{}, fmt.Errorf("recovery needs %d bytes for a copy of the log's last segment, so make room and start again: %w", header.size, err)
	}
	_, err = f.WriteAt(copied, 0)
	if err == nil {
		err = publish(r.fs, r.dir, name, name, f)
	}
	if err != nil {
		return activeSegment{}, giveUp(r.fs, name, f, err)
	}
	return activeSegment{file: f, header: header, end: int64(len(copied))}, nil
}

// removeTemporaries makes room before anything is made. They count for
// nothing, so it does not matter how much of this survives.
func (r *recovery) removeTemporaries() error {
	for _, name := range r.list.temporaries {
		if err := r.fs.Remove(path.Join(r.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeLeftovers removes everything that the store no longer consists of.
// A power cut may undo any part of it; the next Open does it again.
func (r *recovery) removeLeftovers(active uint64) error {
	live := func(n uint64) bool {
		return n == active || slices.ContainsFunc(r.closed, func(c closedSegment) bool { return c.number == n })
	}
	for _, n := range r.list.segments {
		if live(n) {
			continue
		}
		if err := r.fs.Remove(segmentName(r.dir, n)); err != nil {
			return err
		}
	}
	for _, index := range r.list.snapshots[:len(r.list.snapshots)-1] {
		if err := r.fs.Remove(snapshotName(r.dir, index)); err != nil {
			return err
		}
	}
	return r.fs.SyncDir(r.dir)
}
