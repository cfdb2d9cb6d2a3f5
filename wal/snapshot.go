package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"dlm/wal/vfs"
)

// A snapshot's file; the CRC covers all of it:
//
//	 0       8       12    16              32       40      48     56
//	+-------+-------+-----+---------------+--------+-------+------+-----
//	| magic |version| CRC | cluster id 16 | member | index | term |
//	+-------+-------+-----+---------------+--------+-------+------+-----
//	 56              60              64         +8 each      ...
//	+---------------+---------------+----------------+----------------+
//	| voters, count |      zero     | voters         | data to the end|
//	+---------------+---------------+----------------+----------------+
const snapshotHeaderSize = 64

// encodeSnapshotHead is all that precedes the data, without the CRC.
func encodeSnapshotHead(id Identity, sn Snapshot) []byte {
	b := make([]byte, snapshotHeaderSize, snapshotHeaderSize+8*len(sn.Voters))
	putFileHeader(b, magicSnapshot)
	id.put(b[16:])
	le.PutUint64(b[40:], sn.Index)
	le.PutUint64(b[48:], sn.Term)
	le.PutUint32(b[56:], uint32(len(sn.Voters)))
	for _, v := range sn.Voters {
		b = le.AppendUint64(b, v)
	}
	return b
}

func decodeSnapshot(name string, b []byte) (id Identity, sn Snapshot, err error) {
	if err := checkFileHeader(name, b, magicSnapshot); err != nil {
		return id, sn, err
	}
	if len(b) < snapshotHeaderSize {
		return id, sn, damaged(name, int64(len(b)), "it ends within its header")
	}
	count := int(le.Uint32(b[56:]))
	if count > maxVoters || len(b) < snapshotHeaderSize+8*count {
		return id, sn, damaged(name, 56, "it has %d voters and %d bytes", count, len(b))
	}
	id = getIdentity(b[16:])
	sn = Snapshot{Index: le.Uint64(b[40:]), Term: le.Uint64(b[48:])}
	for i := range count {
		sn.Voters = append(sn.Voters, le.Uint64(b[snapshotHeaderSize+8*i:]))
	}
	sn.Data = b[snapshotHeaderSize+8*count:]
	return id, sn, nil
}

// SaveSnapshot makes a snapshot durable at once: BeginSnapshot, its data, and
// FinishSnapshot.
func (s *Store) SaveSnapshot(sn Snapshot) error {
	if err := s.BeginSnapshot(sn); err != nil {
		return err
	}
	return s.FinishSnapshot()
}

// BeginSnapshot begins to write a snapshot, whose data, or the first part of
// it, is sn.Data. One that was begun and not finished is given up. The index
// must not be below that of the last one.
//
// After ErrFull, here and in the two calls that follow, the snapshot is given
// up and the older one stands.
func (s *Store) BeginSnapshot(sn Snapshot) error {
	if err := s.usable(); err != nil {
		return err
	}
	if old := s.snapIndex.Load(); sn.Index < old || len(sn.Voters) > maxVoters {
		return s.fail(fmt.Errorf("%w: snapshot at %d with %d voters; the last is at %d, at most %d voters",
			ErrUse, sn.Index, len(sn.Voters), old, maxVoters))
	}
	if err := s.GiveUpSnapshot(); err != nil {
		return err
	}
	w, err := beginSnapshot(s.fs, s.dir, s.id, sn)
	if err != nil {
		return s.fail(err)
	}
	s.saving = w
	return s.WriteSnapshot(sn.Data)
}

// WriteSnapshot adds to the data of the snapshot that was begun. What it
// writes is synced now and then, so that no later sync, the log's among them,
// finds all of it to be written.
func (s *Store) WriteSnapshot(data []byte) error {
	w, err := s.savingSnapshot()
	if err != nil {
		return err
	}
	if err := w.write(data); err != nil {
		s.saving = nil
		return s.fail(err)
	}
	return nil
}

// FinishSnapshot makes the snapshot durable and removes the older ones. The
// data files that its state counts on have to be synced before (SyncFiles).
func (s *Store) FinishSnapshot() error {
	w, err := s.savingSnapshot()
	if err != nil {
		return err
	}
	s.saving = nil
	if err := w.finish(); err != nil {
		return s.fail(err)
	}
	old := s.snapIndex.Load()
	s.snapIndex.Store(w.index)
	if w.index == old {
		return nil
	}
	// The removal need not be durable: Open removes what is left. But under its own name no snapshot is cut short.
	aside, err := s.setAside(snapshotName(s.dir, old))
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return s.fail(err)
	}
	if aside == "" {
		return nil
	}
	return s.Discard([]string{aside})
}

// GiveUpSnapshot removes what there is of a snapshot that was begun.
func (s *Store) GiveUpSnapshot() error {
	w := s.saving
	if w == nil {
		return nil
	}
	s.saving = nil
	if err := errors.Join(w.file.Close(), s.fs.Remove(w.name+temporary)); err != nil {
		return s.fail(err)
	}
	return nil
}

func (s *Store) savingSnapshot() (*snapshotWriter, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if s.saving == nil {
		return nil, s.fail(fmt.Errorf("%w: no snapshot was begun", ErrUse))
	}
	return s.saving, nil
}

// snapshotWriter is a snapshot that is being written, under another name:
// under its own a snapshot is never in part.
type snapshotWriter struct {
	fs        vfs.FS
	dir, name string
	file      vfs.File
	index     uint64
	head      []byte // written last, when the CRC is known
	crc       uint32 // so far
	end       int64
	unsynced  int64
}

// snapshotSyncBytes is how much of a snapshot may be written and not synced.
const snapshotSyncBytes = 2 << 20

func beginSnapshot(fsys vfs.FS, dir string, id Identity, sn Snapshot) (*snapshotWriter, error) {
	w := &snapshotWriter{fs: fsys, dir: dir, name: snapshotName(dir, sn.Index), index: sn.Index}
	w.head = encodeSnapshotHead(id, sn)
	w.crc, w.end = headerCRC(w.head), int64(len(w.head))
	f, err := createTemporary(fsys, w.name)
	if err != nil {
		return nil, err
	}
	w.file = f
	return w, nil
}

func (w *snapshotWriter) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if _, err := w.file.WriteAt(data, w.end); err != nil {
		return w.giveUp(err)
	}
	w.crc = crc32.Update(w.crc, castagnoli, data)
	w.end += int64(len(data))
	if w.unsynced += int64(len(data)); w.unsynced < snapshotSyncBytes {
		return nil
	}
	w.unsynced = 0
	if err := w.file.Sync(); err != nil {
		return w.giveUp(err)
	}
	return nil
}

// finish makes the file whole and durable, and only then gives it its name.
func (w *snapshotWriter) finish() error {
	le.PutUint32(w.head[crcAt:], w.crc)
	_, err := w.file.WriteAt(w.head, 0)
	if err == nil {
		err = publish(w.fs, w.dir, w.name, w.name, w.file)
	}
	if err != nil {
		return w.giveUp(err)
	}
	return w.file.Close()
}

func (w *snapshotWriter) giveUp(err error) error {
	return giveUp(w.fs, w.name, w.file, named(w.name, err))
}

// writeSnapshot makes a snapshot's file at once.
func writeSnapshot(fsys vfs.FS, dir string, id Identity, sn Snapshot) error {
	w, err := beginSnapshot(fsys, dir, id, sn)
	if err == nil {
		err = w.write(sn.Data)
	}
	if err == nil {
		err = w.finish()
	}
	return err
}

// createTemporary makes the file that publish renames to name. A leftover
// from a crash gives way.
func createTemporary(fsys vfs.FS, name string) (vfs.File, error) {
	if err := fsys.Remove(name + temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := fsys.Create(name + temporary)
	return f, fullError(err)
}

// publish syncs a temporary file, gives it its name and makes that durable.
func publish(fsys vfs.FS, dir, from, name string, f vfs.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := fsys.Rename(from+temporary, name); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
