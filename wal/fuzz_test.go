package wal

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/sim/simdisk"
)

// mayRefuse are the errors that Open gives for files that are not as it wrote them.
func mayRefuse(err error) bool {
	var damage *DamageError
	return errors.As(err, &damage) || errors.Is(err, ErrVersion) || errors.Is(err, ErrNoStore)
}

// FuzzOpen puts bytes in place of a store's segment or snapshot, with the checksums of its header and of its first frame set
// right: Open refuses them by name and place, or what it returns can be written on.
func FuzzOpen(f *testing.F) {
	d := simdisk.New(rand.NewPCG(1, 1))
	must := func(err error) {
		if err != nil {
			f.Fatal(err)
		}
	}
	snapshot := Snapshot{Index: 1, Term: 1, Voters: []uint64{7}, Data: []byte("state")}
	must(Create(d.FS(), testDir, testID, snapshot))
	s, _, err := Open(d.FS(), testDir, Options{SegmentBytes: 4096})
	must(err)
	must(s.Append(Batch{
		HardState: hardState{1, 7, 1}.proto(),
		Entries:   []*raftpb.Entry{{Term: new(uint64(1)), Index: new(uint64(2)), Data: []byte("two")}},
	}))
	must(s.Close())
	read := func(name string) []byte {
		b, err := readAll(d.FS(), name)
		must(err)
		return b
	}
	f.Add(true, read(segmentName(testDir, secondSegment)))
	f.Add(false, read(snapshotName(testDir, 1)))
	f.Fuzz(func(t *testing.T, segment bool, data []byte) {
		d := simdisk.New(rand.NewPCG(1, 1))
		if err := Create(d.FS(), testDir, testID, snapshot); err != nil {
			t.Fatal(err)
		}
		// Recovery begins a segment of its own.
		s, _, err := Open(d.FS(), testDir, Options{SegmentBytes: 4096})
		if err != nil || s.Close() != nil {
			t.Fatal(err)
		}
		name := snapshotName(testDir, 1)
		if segment {
			name = segmentName(testDir, secondSegment)
		}
		seal(data, segment)
		replaceFile(t, d, name, data)
		s, rec, err := Open(d.FS(), testDir, Options{SegmentBytes: 4096})
		if err != nil {
			if !mayRefuse(err) {
				t.Fatalf("Open: %v", err)
			}
			return
		}
		next := rec.Snapshot.Index + uint64(len(rec.Entries)) + 1
		term := rec.Snapshot.Term
		for i, e := range rec.Entries {
			if e.GetIndex() != rec.Snapshot.Index+1+uint64(i) || e.GetTerm() < term {
				t.Fatalf("entry %d of term %d after %d of term %d", e.GetIndex(), e.GetTerm(), rec.Snapshot.Index+uint64(i), term)
			}
			term = e.GetTerm()
		}
		if c := rec.HardState.GetCommit(); c < rec.Snapshot.Index || c >= next {
			t.Fatalf("commit %d, entries from %d to %d", c, rec.Snapshot.Index, next-1)
		}
		if err := s.Append(Batch{Entries: []*raftpb.Entry{{Term: &term, Index: &next}}}); err != nil {
			t.Fatal(err)
		}
	})
}

const secondSegment = 2

// seal sets the checksums right, as far as the lengths allow.
func seal(data []byte, segment bool) {
	if !segment {
		if len(data) >= snapshotHeaderSize {
			putHeaderCRC(data)
		}
		return
	}
	if len(data) < sectorSize+frameHeaderSize {
		return
	}
	putHeaderCRC(data[:sectorSize])
	frame := data[sectorSize:]
	if length := int(le.Uint32(frame[8:])); length <= len(frame)-frameHeaderSize {
		le.PutUint32(frame[4:], frameCRC(frame[:frameHeaderSize+length], saltOf(testID, secondSegment), sectorSize))
	}
}

func replaceFile(t *testing.T, d *simdisk.Disk, name string, data []byte) {
	t.Helper()
	if err := d.FS().Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	file, err := d.FS().Create(name)
	if err == nil {
		_, err = file.WriteAt(data, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzRecords: the payload of a frame with a good checksum holds records, or is said to hold none; what it holds is encoded to
// the same bytes.
func FuzzRecords(f *testing.F) {
	good := appendHardState(nil, hardState{1, 2, 3})
	good = appendEntry(good, &raftpb.Entry{Term: new(uint64(1)), Index: new(uint64(2)), Data: []byte("data")})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, payload []byte) {
		var again []byte
		err := eachRecord(payload, func(h hardState) { again = appendHardState(again, h) }, func(e *raftpb.Entry) error {
			again = appendEntry(again, e)
			return nil
		})
		if err == nil && string(again) != string(payload) {
			t.Fatalf("%x is read as %x", payload, again)
		}
		if err != nil && !errors.Is(err, errRecord) {
			t.Fatal(err)
		}
	})
}
