package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"dlm/wal/vfs"
)

// ErrFull: the disk has no room for what was asked. Nothing of it counts,
// everything else stands as it was, and the same call may be repeated when
// there is room. It never breaks the store.
//
// The room is missing only where a file would grow or be made. An error of a
// write into the log's active segment, which has all its bytes, or of a sync
// breaks the store, whatever it says.
var ErrFull = errors.New("wal: the disk is full")

// Space is the room that is left.
type Space struct {
	Free uint64 // bytes, of the file system
	// Log is how many bytes of frames fit before another segment has to be
	// made.
	Log int64
	// Ready: the segment after the active one is made.
	Ready bool
}

// Space belongs to the file goroutine.
func (s *Store) Space() (Space, error) {
	free, err := s.fs.Free(s.dir)
	if err != nil {
		return Space{}, err
	}
	room, ready := s.Room()
	return Space{Free: free, Log: room, Ready: ready}, nil
}

// Room is Space without a look at the disk, for any goroutine.
func (s *Store) Room() (log int64, ready bool) {
	log = s.room.Load()
	if next := s.next.Load(); next != nil {
		return log + next.size - 2*sectorSize, true
	}
	return log, false
}

// nextSegment is a file of zeros that is to become the next segment. The
// file goroutine makes it, and hands it over to the log's.
type nextSegment struct {
	file       vfs.File
	made, size int64
}

// nextName is the temporary name of the segment that is made ahead; its
// number is not known yet.
const nextName = "next"

// preparePart is how much of a segment one call of PrepareSegment makes: the
// file goroutine has other things to do, and what is not synced yet burdens
// the log's next sync.
func preparePart(size int64) int64 { return roundUp(max(size/16, 16<<10)) }

// PrepareSegment makes a part of the log's next segment, durably, and says
// whether that is complete; then Append will not have to make it. It belongs
// to the file goroutine.
func (s *Store) PrepareSegment() (done bool, err error) {
	if err := s.usable(); err != nil {
		return false, err
	}
	if s.next.Load() != nil {
		return true, nil
	}
	done, err = s.prepare()
	if err != nil {
		return false, s.fail(err)
	}
	return done, nil
}

func (s *Store) prepare() (done bool, err error) {
	name := path.Join(s.dir, nextName)
	n := s.unfinished
	if n == nil {
		// Half a segment is of no use, and its room may be needed elsewhere.
		if free, err := s.fs.Free(s.dir); err != nil {
			return false, err
		} else if free < uint64(s.segmentBytes) {
			return false, fmt.Errorf("%w: %d bytes are free, the next segment needs %d", ErrFull, free, s.segmentBytes)
		}
		f, err := createTemporary(s.fs, name)
		if err != nil {
			return false, err
		}
		n = &nextSegment{file: f, size: s.segmentBytes}
		s.unfinished = n
	}
	part := min(preparePart(n.size), n.size-n.made)
	if err := writeZeros(n.file, n.made, n.made+part); err != nil {
		s.unfinished = nil
		return false, giveUp(s.fs, name, n.file, named(name+temporary, err))
	}
	if err := n.file.Sync(); err != nil {
		return false, named(name+temporary, err)
	}
	if n.made += part; n.made < n.size {
		return false, nil
	}
	s.unfinished = nil
	s.next.Store(n)
	return true, nil
}

// writeZeros fills a file. The zeros are written, not promised: a sparse or
// preallocated file would have its map of blocks changed by the syncs that
// answers wait for.
func writeZeros(f vfs.File, from, to int64) error {
	zeros := make([]byte, min(to-from, 1<<20))
	for at := from; at < to; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// giveUp closes a temporary file that could not be finished. If the disk is
// full it removes the file, and nothing has happened.
func giveUp(fsys vfs.FS, name string, f vfs.File, cause error) error {
	err := f.Close()
	if !errors.Is(cause, vfs.ErrNoSpace) {
		return errors.Join(cause, err)
	}
	if e := fsys.Remove(name + temporary); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("giving up %s: %w", name+temporary, err), cause)
	}
	return fullError(cause)
}

// fullError is ErrFull if that is what the file system says.
func fullError(cause error) error {
	if errors.Is(cause, vfs.ErrNoSpace) && !errors.Is(cause, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, cause)
	}
	return cause
}
