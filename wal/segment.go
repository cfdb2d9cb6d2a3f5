package wal

import (
	"errors"
	"fmt"
	"path"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/vfs"
)

// logSide is what the log's goroutine owns.
type logSide struct {
	active activeSegment
	closed []closedSegment // ascending; before the active one
	hard   hardState
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
	if err := l.active.file.WriteSynced(b, l.active.end); err != nil {
		return named(segmentName(s.dir, l.active.header.number), err)
	}
	l.active.end += need
	s.noteRoom()
	return nil
}

// noteRoom keeps what Room says: the last sector is for the end mark.
func (s *Store) noteRoom() {
	s.room.Store(max(s.log.active.header.size-s.log.active.end-sectorSize, 0))
}

// rotate makes the next segment the active one. Only when its head is
// durable is the old one marked as ended: a marked one without a successor is
// damage.
//
// The file was made ahead (PrepareSegment), unless the batch is larger or
// comes too soon.
func (s *Store) rotate(need int64) error {
	l := &s.log
	old := l.active
	number := old.header.number + 1
	f, header, err := s.takeNext(number, need)
	if err != nil {
		return err
	}
	l.closed = append(l.closed, closedSegment{number: old.header.number, lastIndex: l.lastIndex})
	l.active = activeSegment{file: f, header: header, end: sectorSize}
	s.noteRoom()
	mark := finishFrame(make([]byte, frameHeaderSize), frameEnd, old.header.salt, old.end)
	err = errors.Join(old.file.WriteSynced(mark, old.end), old.file.Close())
	return named(segmentName(s.dir, old.header.number), err)
}

// takeNext gives a file of zeros, made ahead or made now, its head and its
// name. If there is no room the log is as it was.
func (s *Store) takeNext(number uint64, need int64) (vfs.File, segmentHeader, error) {
	l := &s.log
	temporaryName := path.Join(s.dir, nextName)
	next := s.next.Load()
	if next != nil && next.size >= 2*sectorSize+need {
		// Until it has another name the file goroutine must not begin one under this.
		defer s.next.Store(nil)
	} else {
		temporaryName = segmentName(s.dir, number)
		size := max(s.segmentBytes, 2*sectorSize+need)
		f, err := blankSegment(s.fs, temporaryName, size)
		if err != nil {
			return nil, segmentHeader{}, err
		}
		next = &nextSegment{file: f, size: size}
	}
	header := segmentHeader{
		number: number, first: number, salt: saltOf(s.id, number), id: s.id, size: next.size,
		prevEnd: l.active.end, lastIndex: l.lastIndex, lastTerm: l.lastTerm, hard: l.hard,
	}
	_, err := next.file.WriteAt(header.encode(), 0)
	if err == nil {
		err = publish(s.fs, s.dir, temporaryName, segmentName(s.dir, number), next.file)
	}
	if err != nil {
		return nil, header, giveUp(s.fs, temporaryName, next.file, named(segmentName(s.dir, number), err))
	}
	return next.file, header, nil
}

// blankSegment makes the temporary file of a segment, full of zeros.
func blankSegment(fsys vfs.FS, name string, size int64) (vfs.File, error) {
	f, err := createTemporary(fsys, name)
	if err != nil {
		return nil, err
	}
	if err := writeZeros(f, 0, size); err != nil {
		return nil, giveUp(fsys, name, f, named(name, err))
	}
	return f, nil
}

// Cut drops the segments that hold nothing after index, which a durable
// snapshot covers. The active segment stays. The files of the others are set
// aside, for Discard.
func (s *Store) Cut(index uint64) (aside []string, err error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if covered := s.snapIndex.Load(); index > covered {
		return nil, s.fail(fmt.Errorf("%w: cut at %d, the snapshot is at %d", ErrUse, index, covered))
	}
	l := &s.log
	removed := 0
	for _, c := range l.closed {
		if c.lastIndex > index {
			break
		}
		name, err := s.setAside(segmentName(s.dir, c.number))
		if err != nil {
			return nil, s.fail(err)
		}
		if name != "" {
			aside = append(aside, name)
		}
		removed++
	}
	if removed == 0 {
		return nil, nil
	}
	l.closed = l.closed[removed:]
	if err := s.fs.SyncDir(s.dir); err != nil {
		return nil, s.fail(err)
	}
	return aside, nil
}
