package wal

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/osfs"
)

func TestOnTheRealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	fsys := osfs.New()
	if ok, err := Exists(fsys, dir); ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := Create(fsys, dir, testID, Snapshot{Index: 1, Term: 1, Voters: []uint64{7}}); err != nil {
		t.Fatal(err)
	}
	unlock, err := osfs.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := osfs.Lock(dir); !errors.Is(err, osfs.ErrLocked) {
		t.Fatal(err)
	}
	s, _, err := Open(fsys, dir, Options{SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	payload := make([]byte, 300)
	for i := range uint64(300) {
		start := time.Now()
		if err := s.Append(Batch{Entries: []*raftpb.Entry{entry(2+i, 1, string(payload))}}); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("append and sync: median %v, p99 %v", took[len(took)/2], took[len(took)*99/100])
	content := make([]byte, 10_000)
	if err := errors.Join(s.WriteFile(1, 0, content), s.SyncFiles(), s.SaveSnapshot(Snapshot{Index: 200, Term: 1})); err != nil {
		t.Fatal(err)
	}
	aside, err := s.Cut(200)
	if err := errors.Join(err, s.Discard(aside), s.Seal(), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, rec, err := Open(fsys, dir, Options{SegmentBytes: 1 << 20})
	if err != nil || len(rec.Entries) != 101 || rec.Snapshot.Index != 200 || !rec.Report.Sealed {
		t.Fatal(rec, err)
	}
	if err := s.RecoverFile(1, 10_000, tailCRC(content)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.WriteFile(1, 10_000, content), s.SyncFiles(), s.Close(), unlock()); err != nil {
		t.Fatal(err)
	}
}
