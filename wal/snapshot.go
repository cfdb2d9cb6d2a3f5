package wal

import (
	"errors"
	"fmt"
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

func encodeSnapshot(id Identity, sn Snapshot) []byte {
	b := make([]byte, snapshotHeaderSize, snapshotHeaderSize+8*len(sn.Voters)+len(sn.Data))
	putFileHeader(b, magicSnapshot)
	id.put(b[16:])
	le.PutUint64(b[40:], sn.Index)
	le.PutUint64(b[48:], sn.Term)
	le.PutUint32(b[56:], uint32(len(sn.Voters)))
	for _, v := range sn.Voters {
		b = le.AppendUint64(b, v)
	}
	b = append(b, sn.Data...)
	putHeaderCRC(b)
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

// SaveSnapshot makes a snapshot durable and removes the older ones. The data
// files that its state counts on have to be synced before (SyncFiles). The
// index must not be below that of the last one. After ErrFull the older one
// stands.
func (s *Store) SaveSnapshot(sn Snapshot) error {
	if err := s.usable(); err != nil {
		return err
	}
	old := s.snapIndex.Load()
	if sn.Index < old || len(sn.Voters) > maxVoters {
		return s.fail(fmt.Errorf("%w: snapshot at %d with %d voters; the last is at %d, at most %d voters",
			ErrUse, sn.Index, len(sn.Voters), old, maxVoters))
	}
	if err := writeSnapshot(s.fs, s.dir, s.id, sn); err != nil {
		return s.fail(err)
	}
	s.snapIndex.Store(sn.Index)
	if sn.Index != old {
		// It need not be durable: Open removes what is left.
		if err := s.fs.Remove(snapshotName(s.dir, old)); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// writeSnapshot makes the file whole and durable under another name first:
// under its own name a snapshot is never in part.
func writeSnapshot(fsys vfs.FS, dir string, id Identity, sn Snapshot) error {
	name := snapshotName(dir, sn.Index)
	f, err := createTemporary(fsys, name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encodeSnapshot(id, sn), 0)
	if err == nil {
		err = publish(fsys, dir, name, name, f)
	}
	if err != nil {
		return giveUp(fsys, name, f, named(name, err))
	}
	return f.Close()
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
