package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/sim/simdisk"
	"dlm/wal/vfs"
)

// asideFS notes the most that is freed at once, and may have no room for new names.
type asideFS struct {
	vfs.FS
	full    bool
	renamed int
	most    int64
}

type asideFile struct {
	vfs.File
	fs *asideFS
}

func (a *asideFS) Rename(from, to string) error {
	if strings.HasSuffix(to, temporary) {
		a.renamed++
		if a.full {
			return vfs.ErrNoSpace
		}
	}
	return a.FS.Rename(from, to)
}

func (a *asideFS) Remove(name string) error {
	if f, err := a.FS.Open(name); err == nil {
		if size, err := f.Size(); err == nil {
			a.most = max(a.most, size)
		}
		_ = f.Close()
	}
	return a.FS.Remove(name)
}

func (a *asideFS) Open(name string) (vfs.File, error) {
	f, err := a.FS.Open(name)
	return asideFile{f, a}, err
}

func (f asideFile) Truncate(size int64) error {
	before, err := f.Size()
	f.fs.most = max(f.fs.most, before-size)
	if err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// cutStore is a store that has cut segments of 1 MiB and replaced a snapshot of 2 MB, over this file system.
func cutStore(t *testing.T, a *asideFS) (s *Store, aside []string) {
	t.Helper()
	if err := Create(a, testDir, testID, Snapshot{Index: 1, Term: 1}); err != nil {
		t.Fatal(err)
	}
	s, _, err := Open(a, testDir, Options{SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(16) {
		if err := s.Append(Batch{Entries: []*raftpb.Entry{entry(2+i, 1, strings.Repeat("x", 200_000))}}); err != nil {
			t.Fatal(err)
		}
	}
	a.most = 0
	for i := range uint64(2) {
		if err := s.SaveSnapshot(Snapshot{Index: 16 + i, Term: 1, Data: make([]byte, 2_000_000)}); err != nil {
			t.Fatal(err)
		}
	}
	if aside, err = s.Cut(17); err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(aside); err != nil {
		t.Fatal(err)
	}
	l, err := list(a, testDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.segments) != 1 || len(l.snapshots) != 1 || len(l.temporaries) != 0 {
		t.Fatalf("there are segments %v, snapshots %v and %v", l.segments, l.snapshots, l.temporaries)
	}
	return s, aside
}

// While a file system frees a large file the log's sync waits.
func TestFilesAreRemovedInParts(t *testing.T) {
	a := &asideFS{FS: simdisk.New(rand.NewPCG(1, 1)).FS()}
	_, aside := cutStore(t, a)
	if len(aside) < 3 {
		t.Fatalf("only %v were cut", aside)
	}
	if most := int64(2_000_000/16 + sectorSize); a.most > most || a.most == 0 {
		t.Fatalf("%d bytes were freed at once, at most %d should be", a.most, most)
	}
}

// Without room for another name files are removed at once.
func TestFilesAreRemovedWithoutRoomForANewName(t *testing.T) {
	a := &asideFS{FS: simdisk.New(rand.NewPCG(1, 1)).FS(), full: true}
	if _, aside := cutStore(t, a); len(aside) > 0 || a.renamed < 4 {
		t.Fatalf("%d files were to get another name, %v were set aside", a.renamed, aside)
	}
}

// What was cut and not discarded goes with the next start.
func TestOpenRemovesWhatWasSetAside(t *testing.T) {
	for _, power := range []bool{true, false} {
		w := started(t)
		var aside []string
		for i := uint64(2); len(aside) == 0; i++ {
			if err := w.store.Append(Batch{Entries: []*raftpb.Entry{entry(i, 1, strings.Repeat("x", 1000))}}); err != nil {
				t.Fatal(err)
			}
			err := w.store.SaveSnapshot(Snapshot{Index: i, Term: 1, Data: fmt.Append(nil, i)})
			if err != nil {
				t.Fatal(err)
			}
			if aside, err = w.store.Cut(i); err != nil {
				t.Fatal(err)
			}
		}
		w.restart(power)
		if _, _, err := Open(w.disk.FS(), testDir, Options{SegmentBytes: 4096}); err != nil {
			t.Fatal(err)
		}
		l, err := list(w.disk.FS(), testDir)
		if err != nil || len(l.temporaries) != 0 || len(l.segments) != 1 {
			t.Fatalf("there are segments %v and %v: %v", l.segments, l.temporaries, err)
		}
	}
}

// noTruncFS needs room to shorten a file, and has none.
type (
	noTruncFS   struct{ vfs.FS }
	noTruncFile struct{ vfs.File }
)

func (a noTruncFS) Open(name string) (vfs.File, error) {
	f, err := a.FS.Open(name)
	return noTruncFile{f}, err
}
func (noTruncFile) Truncate(int64) error { return vfs.ErrNoSpace }

// Where a full disk cannot even shorten a file, the file is removed as a whole.
func TestDiscardOnAFullDisk(t *testing.T) {
	a := noTruncFS{simdisk.New(rand.NewPCG(1, 1)).FS()}
	if err := Create(a, testDir, testID, Snapshot{Index: 1, Term: 1}); err != nil {
		t.Fatal(err)
	}
	s, _, err := Open(a, testDir, Options{SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(16) {
		if err := s.Append(Batch{Entries: []*raftpb.Entry{entry(2+i, 1, strings.Repeat("x", 200_000))}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveSnapshot(Snapshot{Index: 16, Term: 1, Data: make([]byte, 2_000_000)}); err != nil {
		t.Error("snapshot 1", err)
	}
	if err := s.SaveSnapshot(Snapshot{Index: 17, Term: 1, Data: make([]byte, 2_000_000)}); err != nil {
		t.Error("snapshot 2", err)
	}
	aside, err := s.Cut(16)
	if err != nil {
		t.Error(err)
	}
	if err := s.Discard(aside); err != nil {
		t.Error(err)
	}
	if err := s.Append(Batch{}); errors.Is(err, ErrBroken) {
		t.Error("a full disk broke the store: ", err)
	}
}
