package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"dlm/wal/vfs"
)

// Store is an open store. Append, Cut and Seal belong to one goroutine, the
// snapshot and data file calls to one other (or the same); Close comes after
// both have stopped.
type Store struct {
	fs  vfs.FS
	dir string
	id  Identity

	broken    atomic.Pointer[error] // set once, by either side
	snapIndex atomic.Uint64         // of the durable snapshot; Cut reads it

	segmentBytes int64 // length of a new segment
	room         atomic.Int64
	next         atomic.Pointer[nextSegment] // made ahead, for the log to take
	unfinished   *nextSegment                // of the file goroutine
	saving       *snapshotWriter             // the same

	log   logSide
	files fileSide
}

// usable is asked first by every call.
func (s *Store) usable() error {
	if cause := s.broken.Load(); cause != nil {
		return fmt.Errorf("%w by: %w", ErrBroken, *cause)
	}
	return nil
}

// fail breaks the store and returns its cause. For lack of room nothing is
// broken.
func (s *Store) fail(cause error) error {
	if errors.Is(cause, ErrFull) {
		return cause
	}
	s.broken.CompareAndSwap(nil, &cause)
	return cause
}

// Close releases the handles. It syncs nothing: what was not acknowledged is
// not owed. See Seal for an end in order.
func (s *Store) Close() error {
	closed := errors.New("closed")
	s.broken.CompareAndSwap(nil, &closed)
	err := errors.Join(s.log.active.file.Close(), s.files.closeHandles())
	for _, n := range []*nextSegment{s.next.Load(), s.unfinished} {
		if n != nil {
			err = errors.Join(err, n.file.Close())
		}
	}
	if s.saving != nil {
		err = errors.Join(err, s.saving.file.Close())
	}
	return err
}

// Names in the store's directory:
//
//	segment-0000000000000001    by number
//	snapshot-0000000000000001   by index
//	*.tmp                       unfinished, or next.tmp; removed by Open
//	restore-unfinished          a restore has not come to its end
//	files/0000000000000001      by file id
//	files/0000000000000001.crc  its sidecar
const (
	segmentPrefix  = "segment-"
	snapshotPrefix = "snapshot-"
	temporary      = ".tmp"
	filesDir       = "files"
	sidecarSuffix  = ".crc"
)

func segmentName(dir string, number uint64) string {
	return path.Join(dir, fmt.Sprintf("%s%016x", segmentPrefix, number))
}

func snapshotName(dir string, index uint64) string {
	return path.Join(dir, fmt.Sprintf("%s%016x", snapshotPrefix, index))
}

func fileName(dir string, id uint64) string {
	return path.Join(dir, filesDir, fmt.Sprintf("%016x", id))
}

func parseHex(name, prefix string) (uint64, bool) {
	hex, ok := strings.CutPrefix(name, prefix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, err == nil
}

// listing is what a store's directory holds, each in ascending order.
type listing struct {
	segments, snapshots []uint64
	temporaries         []string
	restoring           bool // there is the mark of a restore
}

// unfinished is ErrUnfinished if a restore has left its mark.
func (l *listing) unfinished(dir string) error {
	if l.restoring {
		return fmt.Errorf("%w: %s", ErrUnfinished, dir)
	}
	return nil
}

func list(fsys vfs.FS, dir string) (l listing, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return l, err
	}
	for _, name := range names {
		if n, ok := parseHex(name, segmentPrefix); ok {
			l.segments = append(l.segments, n)
		} else if n, ok := parseHex(name, snapshotPrefix); ok {
			l.snapshots = append(l.snapshots, n)
		} else if strings.HasSuffix(name, temporary) {
			l.temporaries = append(l.temporaries, name)
		} else if name == restoreMark {
			l.restoring = true
		}
	}
	return l, nil
}

// Exists says whether there is a store in dir: a snapshot with its name. A
// missing directory holds none. ErrUnfinished, if a restore was broken off.
func Exists(fsys vfs.FS, dir string) (bool, error) {
	l, err := list(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = l.unfinished(dir)
	}
	return len(l.snapshots) > 0, err
}

// Create makes a store in dir, which is missing, empty, or what an
// interrupted Create has left. The rename of the snapshot is the last step:
// before it there is no store, after it there is a whole one.
func Create(fsys vfs.FS, dir string, id Identity, snap Snapshot) error {
	if snap.Index == 0 || snap.Term == 0 || len(snap.Voters) > maxVoters {
		return fmt.Errorf("%w: create with a snapshot at index %d, term %d, %d voters", ErrUse, snap.Index, snap.Term, len(snap.Voters))
	}
	if err := fsys.MkdirAll(path.Join(dir, filesDir)); err != nil {
		return err
	}
	if err := clearForCreate(fsys, dir); err != nil {
		return err
	}
	return createStore(fsys, dir, id, snap)
}

// createStore makes the first segment, then the snapshot.
func createStore(fsys vfs.FS, dir string, id Identity, snap Snapshot) error {
	const number = 1
	name := segmentName(dir, number)
	f, err := createTemporary(fsys, name)
	if err != nil {
		return err
	}
	// Open puts the frames of the last segment into one of full length
	// anyway, so this one is a header only.
	header := segmentHeader{
		number: number, first: number, salt: saltOf(id, number), id: id, size: sectorSize,
		lastIndex: snap.Index, lastTerm: snap.Term,
		hard: hardState{term: snap.Term, commit: snap.Index},
	}
	_, err = f.WriteAt(header.encode(), 0)
	if err == nil {
		err = publish(fsys, dir, name, name, f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return writeSnapshot(fsys, dir, id, snap)
}

// clearForCreate removes what an interrupted Create left, and refuses to
// touch anything that was ever a store.
func clearForCreate(fsys vfs.FS, dir string) error {
	l, err := list(fsys, dir)
	if err == nil {
		err = l.unfinished(dir)
	}
	if err != nil {
		return err
	}
	if len(l.snapshots) > 0 {
		return fmt.Errorf("wal: create in %s: %w", dir, fs.ErrExist)
	}
	for _, n := range l.segments {
		name := segmentName(dir, n)
		image, err := readAll(fsys, name)
		if err != nil {
			return err
		}
		if n != 1 || len(image) > sectorSize {
			return &DamageError{
				File: name, Why: "there is a log but no snapshot",
				Advice: "restore the missing snapshot file, or " + adviceRestore,
			}
		}
		if err := fsys.Remove(name); err != nil {
			return err
		}
	}
	for _, name := range l.temporaries {
		if err := fsys.Remove(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads a whole file.
func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if err := readFull(f, b, 0); err != nil {
		return nil, unreadable(name, 0, err)
	}
	return b, nil
}

// readFull reads exactly len(b) bytes or fails.
func readFull(f vfs.File, b []byte, offset int64) error {
	n, err := f.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}
