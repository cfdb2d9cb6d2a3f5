package wal

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/vfs"
)

// logSide is what the log's goroutine owns.
type logSide struct {
	segmentBytes int64
	active       activeSegment
	closed       []closedSegment // ascending; before the active one
	hard         hardState
	// lastIndex is the index that an entry may follow. Entries up to the
	// snapshot count as there.
	lastIndex, lastTerm uint64
	buffer              []byte // of the last frame, to be used again
}

// activeSegment is the one that frames are written to. [end, size) is zero
// and durable, so that writing there changes no length and no map of blocks.
type activeSegment struct {
	file   vfs.File
	header segmentHeader
	end    int64
}

type closedSegment struct{ number, lastIndex uint64 }

// Append makes a batch durable: one frame, one sync. An empty batch is
// allowed and writes a mark: recovery can tell a batch that was lost from one
// that was never finished only if a frame follows it.
//
// Entries are consecutive; the first one's index is at most one above the
// last (or above the snapshot), and takes the place of what was there and
// after it.
func (s *Store) Append(b Batch) error {
	if err := s.usable(); err != nil {
		return err
	}
	l := &s.log
	if err := s.checkBatch(b); err != nil {
		return s.fail(err)
	}
	hard, index, term := l.hard, l.lastIndex, l.lastTerm
	payload := append(l.buffer[:0], make([]byte, frameHeaderSize)...)
	if b.HardState != nil {
		hard = hardState{b.HardState.GetTerm(), b.HardState.GetVote(), b.HardState.GetCommit()}
		payload = appendHardState(payload, hard)
	}
	for _, e := range b.Entries {
		payload = appendEntry(payload, e)
		index, term = e.GetIndex(), e.GetTerm()
	}
	l.buffer = payload
	if len(payload) > maxFrameBytes {
		return s.fail(fmt.Errorf("%w: batch of %d bytes, at most %d", ErrUse, len(payload), maxFrameBytes))
	}
	if err := s.writeFrame(payload, frameBatch); err != nil {
		return s.fail(err)
	}
	l.hard, l.lastIndex, l.lastTerm = hard, index, term
	return nil
}

func (s *Store) checkBatch(b Batch) error {
	var previous *raftpb.Entry
	for _, e := range b.Entries {
		if previous == nil {
			if e.GetIndex() == 0 || e.GetIndex() > max(s.log.lastIndex, s.snapIndex.Load())+1 {
				return fmt.Errorf("%w: entry %d after %d", ErrUse, e.GetIndex(), s.log.lastIndex)
			}
		} else if e.GetIndex() != previous.GetIndex()+1 || e.GetTerm() < previous.GetTerm() {
			return fmt.Errorf("%w: entry %d of term %d follows %d of term %d", ErrUse,
				e.GetIndex(), e.GetTerm(), previous.GetIndex(), previous.GetTerm())
		}
		previous = e
	}
	return nil
}

// Seal marks the end of an orderly run, durably: from then on the last batch
// is known to have been whole. What is appended after it takes the mark back.
func (s *Store) Seal() error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.writeFrame(make([]byte, frameHeaderSize), frameSeal); err != nil {
		return s.fail(err)
	}
	return nil
}

// writeFrame writes and syncs one frame. b has frameHeaderSize free bytes
// before the payload.
func (s *Store) writeFrame(b []byte, kind byte) error {
	l := &s.log
	need := roundUp(int64(len(b)))
	// The last sector is kept for the end mark.
	if l.active.end+need+sectorSize > l.active.header.size {
		if err := s.rotate(need); err != nil {
			return err
		}
	}
	b = finishFrame(b, kind, l.active.header.salt, l.active.end)
	if kind == frameBatch {
		l.buffer = b
	}
	if err := writeAndSync(l.active.file, b, l.active.end); err != nil {
		return err
	}
	l.active.end += need
	return nil
}

func writeAndSync(f vfs.File, b []byte, offset int64) error {
	if _, err := f.WriteAt(b, offset); err != nil {
		return err
	}
	return f.Sync()
}

// rotate makes the next segment the active one. Only when its head is
// durable is the old one marked as ended: a marked one without a successor is
// damage.
//
// Everything up to blankSegment is independent of the log's state: a
// goroutine that prepares the next segment ahead would call that and hand
// the file over here, and an append would never wait for zeros.
func (s *Store) rotate(need int64) error {
	l := &s.log
	old := l.active
	number := old.header.number + 1
	size := max(l.segmentBytes, 2*sectorSize+need)
	f, err := blankSegment(s.fs, s.dir, number, size)
	if err != nil {
		return err
	}
	header := segmentHeader{
		number: number, first: number, salt: saltOf(s.id, number), id: s.id, size: size,
		prevEnd: old.end, lastIndex: l.lastIndex, lastTerm: l.lastTerm, hard: l.hard,
	}
	_, err = f.WriteAt(header.encode(), 0)
	if err == nil {
		err = publish(s.fs, s.dir, segmentName(s.dir, number), f)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.closed = append(l.closed, closedSegment{number: old.header.number, lastIndex: l.lastIndex})
	l.active = activeSegment{file: f, header: header, end: sectorSize}
	mark := finishFrame(make([]byte, frameHeaderSize), frameEnd, old.header.salt, old.end)
	return errors.Join(writeAndSync(old.file, mark, old.end), old.file.Close())
}

// blankSegment makes the temporary file of a segment, full of zeros. They
// are written, not promised: a sparse or preallocated file would have its map
// of blocks changed by the syncs that answers wait for.
func blankSegment(fsys vfs.FS, dir string, number uint64, size int64) (vfs.File, error) {
	f, err := createTemporary(fsys, segmentName(dir, number))
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// Cut removes the segments that hold nothing after index, which a durable
// snapshot covers. The active segment stays.
func (s *Store) Cut(index uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	if covered := s.snapIndex.Load(); index > covered {
		return s.fail(fmt.Errorf("%w: cut at %d, the snapshot is at %d", ErrUse, index, covered))
	}
	l := &s.log
	removed := 0
	for _, c := range l.closed {
		if c.lastIndex > index {
			break
		}
		if err := s.fs.Remove(segmentName(s.dir, c.number)); err != nil {
			return s.fail(err)
		}
		removed++
	}
	if removed == 0 {
		return nil
	}
	l.closed = l.closed[removed:]
	if err := s.fs.SyncDir(s.dir); err != nil {
		return s.fail(err)
	}
	return nil
}
