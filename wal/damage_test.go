package wal

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

func entry(index, term uint64, data string) *raftpb.Entry {
	return &raftpb.Entry{Index: new(index), Term: new(term), Data: []byte(data)}
}

func reopen(t *testing.T, w *world) (*Recovered, error) {
	t.Helper()
	w.disk.Crash()
	s, rec, err := Open(w.disk.FS(), testDir, Options{SegmentBytes: 4096})
	if err == nil {
		w.store = s
	}
	return rec, err
}

func started(t *testing.T) *world {
	t.Helper()
	w := newWorld(1, 1)
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	return w
}

func mustAppend(t *testing.T, w *world, b Batch) {
	t.Helper()
	if err := w.store.Append(b); err != nil {
		t.Fatal(err)
	}
}

// names lists the store's files with a prefix, as paths.
func names(t *testing.T, w *world, prefix string) (out []string) {
	t.Helper()
	all, err := w.disk.FS().List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if strings.HasPrefix(n, prefix) {
			out = append(out, testDir+"/"+n)
		}
	}
	return out
}

func TestMissingFiles(t *testing.T) {
	w := started(t)
	for i := range uint64(30) {
		mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(2+i, 1, strings.Repeat("x", 600))}})
	}
	segments := names(t, w, segmentPrefix)
	if len(segments) < 4 {
		t.Fatal(segments)
	}
	for i := range segments {
		copied := started(t)
		for i := range uint64(30) {
			mustAppend(t, copied, Batch{Entries: []*raftpb.Entry{entry(2+i, 1, strings.Repeat("x", 600))}})
		}
		if err := copied.disk.FS().Remove(segments[i]); err != nil {
			t.Fatal(err)
		}
		_, err := reopen(t, copied)
		var damage *DamageError
		if !errors.As(err, &damage) || damage.File != segments[i] {
			t.Errorf("without %s: %v", segments[i], err)
		}
	}
	if err := w.disk.FS().Remove(names(t, w, snapshotPrefix)[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := reopen(t, w); !errors.Is(err, ErrNoStore) {
		t.Error(err)
	}
	var damage *DamageError
	if err := w.create(); !errors.As(err, &damage) {
		t.Errorf("created over a log: %v", err)
	}
}

func TestSnapshotAheadOfTheLog(t *testing.T) {
	w := started(t)
	mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(2, 1, "a"), entry(3, 1, "b"), entry(4, 1, "c")}})
	// Received from a leader of a later term: the log's 3 and 4 never were.
	if err := w.store.SaveSnapshot(Snapshot{Index: 2, Term: 3, Data: []byte("received")}); err != nil {
		t.Fatal(err)
	}
	rec, err := reopen(t, w)
	if err != nil || len(rec.Entries) != 0 || rec.HardState.GetCommit() != 2 || rec.HardState.GetTerm() != 3 {
		t.Fatal(rec, err)
	}
	if err := w.store.SaveSnapshot(Snapshot{Index: 90, Term: 3}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(91, 3, "d")}})
	rec, err = reopen(t, w)
	if err != nil || len(rec.Entries) != 1 || rec.HardState.GetCommit() != 90 {
		t.Fatal(rec, err)
	}
}

func TestLargeBatchAndMisuse(t *testing.T) {
	w := started(t)
	large := strings.Repeat("y", 100_000)
	mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(2, 1, large)}})
	mustAppend(t, w, Batch{})
	rec, err := reopen(t, w)
	if err != nil || !bytes.Equal(rec.Entries[0].GetData(), []byte(large)) {
		t.Fatal(err)
	}
	if err := w.store.Append(Batch{Entries: []*raftpb.Entry{entry(9, 1, "")}}); !errors.Is(err, ErrUse) {
		t.Error(err)
	}
	if _, err = reopen(t, w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Cut(2); !errors.Is(err, ErrUse) {
		t.Error(err)
	}
}

func TestCollectFiles(t *testing.T) {
	w := started(t)
	for id := uint64(1); id <= 5; id++ {
		if err := w.store.WriteFile(id, 0, []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.store.CollectFiles(5, func(id uint64) bool { return id == 2 }); err != nil {
		t.Fatal(err)
	}
	got, err := w.disk.FS().List(testDir + "/" + filesDir)
	want := "0000000000000002 0000000000000002.crc 0000000000000005 0000000000000005.crc"
	if err != nil || strings.Join(got, " ") != want {
		t.Fatal(got, err)
	}
	if err := w.store.WriteFile(2, 7, []byte("gap")); !errors.Is(err, ErrUse) {
		t.Fatal(err)
	}
}

// What was written for another place, or another segment, is no frame here.
func TestFrameIsGoodInItsPlaceOnly(t *testing.T) {
	const salt = 7
	image := make([]byte, 4*sectorSize)
	copy(image[sectorSize:], finishFrame(append(make([]byte, frameHeaderSize), "payload"...), frameBatch, salt, sectorSize))
	copy(image[2*sectorSize:], image[sectorSize:2*sectorSize])
	if f, ok := frameAt(image, salt, sectorSize); !ok || string(f.payload) != "payload" {
		t.Errorf("the frame is not found: %+v", f)
	}
	if f, ok := frameAt(image, salt, 2*sectorSize); ok {
		t.Errorf("its copy in another place is taken: %+v", f)
	}
	if f, ok := frameAt(image, salt+1, sectorSize); ok {
		t.Errorf("it is taken in another segment: %+v", f)
	}
}
