// Package inspect reads a server's data directory while no server has it, and changes nothing in it: what is there, what a
// server would recover from it, and what is damaged where.
package inspect

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/wal"
	"dlm/wal/osfs"
)

// ErrNoStore: there is no data directory of a server.
var ErrNoStore = wal.ErrNoStore

// ErrInUse: a server has the directory.
var ErrInUse = osfs.ErrLocked

// Report is what a data directory holds.
type Report struct {
	wal.Inspection
	Files []File
	// State is the lock table after the whole log; nil if it cannot be recovered.
	State *dlmv1.Status
	// Time is cluster time at the end of the log.
	Time time.Duration
	// Damage lists everything that is wrong, each once. Empty: a server would start, and serve every file.
	Damage []Damage
}

// File is a data file that the newest snapshot counts on.
type File struct {
	core.FileRecord
	Damaged bool
}

// Damage is one thing that is wrong.
type Damage struct {
	File   string
	Offset int64
	Why    string
	Advice string
}

// Entry is one entry of the log where it lies.
type Entry struct {
	File   string
	Offset int64
	Index  uint64
	Term   uint64
	// Batch is nil for the empty entry of a new term, and for what cannot be read: then Err says why.
	Batch *dlmv1.Batch
	Err   error
}

// Inspect reads the directory, and keeps servers off it meanwhile. visit, if it is not nil, gets the log's entries. Errors:
// ErrNoStore, ErrInUse, or what the file system said.
func Inspect(dir string, visit func(Entry)) (r *Report, err error) {
	unlock, err := osfs.LockToRead(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	fsys := osfs.ReadOnly()
	var records func(wal.Record)
	if visit != nil {
		records = func(rec wal.Record) { visit(newEntry(rec)) }
	}
	in, err := wal.Inspect(fsys, dir, records)
	if err != nil {
		return nil, err
	}
	r = &Report{Inspection: *in}
	for _, s := range in.Snapshots[max(len(in.Snapshots)-1, 0):] {
		r.damage(s.Err)
	}
	for _, s := range in.Segments {
		r.damage(s.Err)
	}
	r.damage(in.Err)
	if in.Recovered != nil {
		r.restore(dir, in.Recovered)
	}
	return r, nil
}

// damage notes an error, unless one about the same place is there already. An error that names no place is told apart by what
// it says.
func (r *Report) damage(err error) {
	if err == nil {
		return
	}
	d := Damage{Why: err.Error()}
	if at := (*wal.DamageError)(nil); errors.As(err, &at) {
		d = Damage{at.File, at.Offset, at.Why, at.Advice}
	}
	for _, known := range r.Damage {
		if known.File == d.File && known.Offset == d.Offset && (d.File != "" || known.Why == d.Why) {
			return
		}
	}
	r.Damage = append(r.Damage, d)
}

// restore brings the lock table up to the end of the log, and checks the data files that the snapshot counts on.
func (r *Report) restore(dir string, rec *wal.Recovered) {
	newest := r.Snapshots[len(r.Snapshots)-1].File
	c, err := core.Restore(rec.Snapshot.Data)
	if err != nil {
		r.damage(&wal.DamageError{File: newest, Why: err.Error()})
		return
	}
	c.EachFile(func(f core.FileRecord) {
		errs := wal.InspectFile(osfs.ReadOnly(), dir, f.ID, f.Length, f.TailCRC)
		for _, err := range errs {
			r.damage(err)
		}
		r.Files = append(r.Files, File{f, len(errs) > 0})
	})
	for _, e := range rec.Entries {
		b, err := batchOf(e)
		if err != nil {
			r.damage(fmt.Errorf("entry %d: %w", e.GetIndex(), err))
			return
		}
		if b != nil && e.GetIndex() <= rec.HardState.GetCommit() {
			c.Apply(e.GetIndex(), b.GetStamp(), b.GetRequests())
		}
	}
	r.State = c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).GetStatus()
	r.Time = time.Duration(c.Now())
	r.State.MemberId, r.State.Term, r.State.SnapshotIndex = rec.Identity.MemberID, rec.HardState.GetTerm(), rec.Snapshot.Index
}

func newEntry(rec wal.Record) Entry {
	b, err := batchOf(rec.Entry)
	return Entry{rec.File, rec.Offset, rec.Entry.GetIndex(), rec.Entry.GetTerm(), b, err}
}

func batchOf(e *raftpb.Entry) (*dlmv1.Batch, error) {
	if len(e.GetData()) == 0 {
		return nil, nil
	}
	b := &dlmv1.Batch{}
	if err := proto.Unmarshal(e.GetData(), b); err != nil {
		return nil, err
	}
	return b, nil
}
