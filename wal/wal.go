package wal

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// Sentinels; what is returned wraps them with the details.
var (
	// ErrBroken is what every call returns after one has failed to write or
	// to sync: nobody knows what the disk holds, so the process has to stop
	// and Open to look.
	ErrBroken = errors.New("wal: the store is broken")
	// ErrNoStore: Open found no snapshot.
	ErrNoStore = errors.New("wal: there is no store")
	// ErrVersion: a file was written by another version of this package. It
	// is whole, and this program cannot read it.
	ErrVersion = errors.New("wal: unknown format version")
	// ErrUse: the caller broke the contract (an index out of order, a gap in
	// a file, a cut that no snapshot covers).
	ErrUse = errors.New("wal: wrong use")
)

// Identity says whose store it is. It stands in every file's header, so that
// a file that was copied from elsewhere is not taken for one's own.
type Identity struct {
	ClusterID [16]byte
	MemberID  uint64
}

// Snapshot is the state after the log entry Index of term Term.
type Snapshot struct {
	Index, Term uint64
	Voters      []uint64 // at most maxVoters
	Data        []byte   // opaque; its length is bounded by memory only
}

// Options adjusts a Store. The zero value is good for production.
type Options struct {
	// SegmentBytes is the length of a segment, zero-filled ahead. Default
	// DefaultSegmentBytes, simulation 16 KiB; at least minSegmentBytes, rounded up to
	// whole sectors. A batch that does not fit gets a longer segment.
	SegmentBytes int64
	// OpenFiles is how many data files may be open at once for writing; a
	// reader opens one more. Default DefaultOpenFiles, simulation 1 .. 4.
	// When they are all in use their bytes are synced before they are closed.
	OpenFiles int
}

// DefaultOpenFiles is how many data files may be open at once unless Options
// say otherwise.
const DefaultOpenFiles = 128

// DefaultSegmentBytes is the length of a segment unless Options say otherwise.
const DefaultSegmentBytes = 64 << 20

const (
	minSegmentBytes = 4 << 10
	maxVoters       = 1 << 10
)

// DamageError says that the disk does not hold what was durable, or holds
// something else. Nothing was changed and nothing of it was used.
type DamageError struct {
	File   string // path, as given to the file system
	Offset int64  // bytes from its start
	Why    string
	Advice string // what an operator can do
	Err    error  // of the file system, if the bytes could not even be read
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("wal: %s is damaged at offset %d: %s; %s", e.File, e.Offset, e.Why, e.Advice)
}

func (e *DamageError) Unwrap() error { return e.Err }

const (
	adviceRestore = "restore a backup, or begin with an empty directory, which loses the files of the service"
	adviceCheck   = "check the disk; " + adviceRestore
)

// named says which file an error is about.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// unreadable: the disk says itself that it cannot give the bytes back.
func unreadable(file string, offset int64, err error) error {
	return &DamageError{File: file, Offset: offset, Why: fmt.Sprintf("it cannot be read: %v", err), Advice: adviceCheck, Err: err}
}

func damaged(file string, offset int64, format string, args ...any) error {
	return &DamageError{File: file, Offset: offset, Why: fmt.Sprintf(format, args...), Advice: adviceCheck}
}

// Recovered is what Open found; all of it is durable.
type Recovered struct {
	Identity  Identity
	Snapshot  Snapshot
	HardState *raftpb.HardState // never nil; its commit is in [Snapshot.Index, last index]
	Entries   []*raftpb.Entry   // consecutive, from Snapshot.Index+1
	Report    Report
}

// Report is for the operator: how the last run ended.
type Report struct {
	Segments    int   // read
	Frames      int   // read
	Entries     int   // recovered, after the snapshot
	Overwritten int   // entries that raft replaced or that the snapshot covers
	TornBytes   int64 // of a batch that was being written; left behind
	Sealed      bool  // the last run ended with Seal
}

// Batch is what becomes durable together.
type Batch struct {
	HardState *raftpb.HardState // nil: unchanged
	Entries   []*raftpb.Entry   // consecutive; the first may overwrite a suffix
}
