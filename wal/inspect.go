package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/vfs"
)

// Inspection is what a directory holds, good or bad. Nothing in the directory was changed.
type Inspection struct {
	Snapshots   []SnapshotFile // in order of their index
	Segments    []SegmentFile  // in order of their number
	Temporaries []string       // files that were being made, or removed; Open removes them
	// Recovered is what Open would return; nil if it would fail, with Err.
	Recovered *Recovered
	Err       error
}

// SnapshotFile is one snapshot. Only the newest counts: Open removes the others.
type SnapshotFile struct {
	File        string
	Bytes       int64
	Index, Term uint64
	Voters      int
	Err         error // why it cannot be read
}

// SegmentFile is one segment of the log.
type SegmentFile struct {
	File   string
	Number uint64
	Bytes  int64
	// Used is where the frames end that were read.
	Used int64
	// Leftover: another segment stands for it, or the snapshot covers it. Open removes it.
	Leftover bool
	Frames   int
	// Entries, and the first and last of their indexes; 0 if there are none.
	Entries     int
	First, Last uint64
	Sealed      bool
	// TornBytes follow the last frame: of a batch that was being written.
	TornBytes int64
	Err       error // what is damaged, or why it cannot be read
}

// Record is one entry where it lies in the log.
type Record struct {
	File   string
	Offset int64 // of its frame
	Entry  *raftpb.Entry
}

// Inspect reads all of a store that can be read, past the first damage. visit, if it is not nil, gets every entry in every
// segment that is not a leftover, also those that were overwritten later. Errors: ErrNoStore, ErrUnfinished, or that of listing the
// directory; whatever else is wrong is in the Inspection.
func Inspect(fsys vfs.FS, dir string, visit func(Record)) (*Inspection, error) {
	l, err := list(fsys, dir)
	if err == nil {
		err = l.unfinished(dir)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(l.snapshots) == 0 && len(l.segments) == 0 {
		return nil, errors.Join(ErrNoStore, err)
	}
	if err != nil {
		return nil, err
	}
	in := &Inspection{Temporaries: l.temporaries}
	r := &recovery{fs: fsys, dir: dir, list: l}
	for _, step := range []func() error{r.anySnapshot, r.readSnapshot, r.wholeChain, r.readChain, r.settle} {
		if in.Err = step(); in.Err != nil {
			break
		}
	}
	if in.Err == nil {
		in.Recovered = &r.out
	}
	for _, index := range l.snapshots {
		in.Snapshots = append(in.Snapshots, inspectSnapshot(fsys, snapshotName(dir, index)))
	}
	for _, number := range l.segments {
		in.Segments = append(in.Segments, r.inspectSegment(number, visit))
	}
	return in, nil
}

func (r *recovery) anySnapshot() error {
	if len(r.list.snapshots) == 0 {
		return &DamageError{
			File: r.dir, Why: "there is a log but no snapshot",
			Advice: "restore the missing snapshot file, or " + adviceRestore,
		}
	}
	return nil
}

// wholeChain leaves no part of a chain behind: then every segment is looked at by itself.
func (r *recovery) wholeChain() error {
	err := r.findChain()
	if err != nil {
		r.chain = nil
	}
	return err
}

func inspectSnapshot(fsys vfs.FS, name string) SnapshotFile {
	s := SnapshotFile{File: name}
	b, err := readAll(fsys, name)
	if s.Bytes, s.Err = int64(len(b)), err; err != nil {
		return s
	}
	_, sn, err := decodeSnapshot(name, b)
	s.Index, s.Term, s.Voters, s.Err = sn.Index, sn.Term, len(sn.Voters), err
	return s
}

// inspectSegment looks at one segment by itself. Where its frames must end is known from its successor in the chain.
func (r *recovery) inspectSegment(number uint64, visit func(Record)) SegmentFile {
	s := SegmentFile{File: segmentName(r.dir, number), Number: number}
	image, err := readAll(r.fs, s.File)
	if s.Bytes, s.Err = int64(len(image)), err; err != nil {
		return s
	}
	at := slices.IndexFunc(r.chain, func(h segmentHeader) bool { return h.number == number })
	id := r.out.Identity
	if id == (Identity{}) && len(image) >= sectorSize { // no snapshot can be read that says whose it is
		id = getIdentity(image[40:])
	}
	h, err := decodeSegmentHeader(s.File, number, id, image)
	if err != nil {
		if s.Leftover = at < 0 && len(r.chain) > 0; !s.Leftover {
			s.Err = err
		}
		return s
	}
	s.Leftover = at < 0 && len(r.chain) > 0
	end := int64(-1)
	if at >= 0 && at+1 < len(r.chain) {
		end = r.chain[at+1].prevEnd
	}
	if s.Leftover {
		visit = nil
	}
	s.frames(image, h, end, visit)
	if s.Leftover {
		s.Err, s.TornBytes = nil, 0
	}
	return s
}

// frames reads up to the first bad frame. end is where they must end; -1: unknown, what follows may be torn.
func (s *SegmentFile) frames(image []byte, h segmentHeader, end int64, visit func(Record)) {
	s.Used = sectorSize
	for end < 0 || s.Used < end {
		f, ok := frameAt(image, h.salt, s.Used)
		if !ok {
			break
		}
		s.Used = f.end
		s.Frames++
		s.Sealed = f.kind == frameSeal
		if f.kind != frameBatch {
			continue
		}
		err := eachRecord(f.payload, func(hardState) {}, func(e *raftpb.Entry) error {
			if s.Entries == 0 {
				s.First = e.GetIndex()
			}
			s.Entries++
			s.Last = e.GetIndex()
			if visit != nil {
				visit(Record{s.File, f.offset, e})
			}
			return nil
		})
		if err != nil {
			s.Err = damaged(s.File, f.offset, "the frame is whole but its content is wrong: %v", err)
			return
		}
	}
	s.rest(image, h, end)
}

// rest judges what follows the last good frame, as recovery does.
func (s *SegmentFile) rest(image []byte, h segmentHeader, end int64) {
	if end >= 0 {
		if s.Used != end {
			s.Err = damaged(s.File, s.Used, "a frame is bad, and segment %d was begun after it", h.number+1)
		}
		return
	}
	rest := bytes.TrimRight(image[min(s.Used, int64(len(image))):], "\x00")
	for later := s.Used + sectorSize; later < s.Used+int64(len(rest)); later += sectorSize {
		if _, ok := frameAt(image, h.salt, later); ok {
			s.Err = damaged(s.File, s.Used, "a frame is bad, and a good one follows at offset %d", later)
			return
		}
	}
	s.TornBytes = int64(len(rest))
}
