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

func TestEveryFlippedBitOfTheLogIsNoticed(t *testing.T) {
	for at := int64(0); at < 6*512; at += 3 {
		w := started(t)
		for i := range uint64(4) {
			mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(2+i, 1, strings.Repeat("x", 495-entryHeaderSize))}})
		}
		if err := w.store.Seal(); err != nil {
			t.Fatal(err)
		}
		segments := names(t, w, segmentPrefix)
		if err := w.disk.Flip(segments[len(segments)-1], at*8+at%8); err != nil {
			t.Fatal(err)
		}
		rec, err := reopen(t, w)
		var damage *DamageError
		sector, within := at/512, at%512
		switch {
		case errors.As(err, &damage):
			if damage.File == "" || damage.Advice == "" || damage.Offset/512 != sector {
				t.Fatalf("bit in byte %d: %v", at, err)
			}
		case err != nil:
			t.Fatalf("bit in byte %d: %v", at, err)
		case sector == 5 && within < frameHeaderSize:
			// The seal itself: it looks torn, and nothing is lost.
			if rec.Report.TornBytes == 0 || rec.Report.Sealed {
				t.Fatalf("bit in byte %d: %+v", at, rec.Report)
			}
		case sector == 5 || sector > 0 && within == 511:
			// Past the end of a frame, where nothing is stored.
		default:
			t.Fatalf("bit in byte %d went unnoticed", at)
		}
		if err == nil && len(rec.Entries) != 4 {
			t.Fatalf("bit in byte %d: %d entries", at, len(rec.Entries))
		}
	}
}

func TestFlippedBitsElsewhere(t *testing.T) {
	build := func() *world {
		w := started(t)
		if err := w.run(90); err != nil {
			t.Fatal(err)
		}
		if err := w.store.SyncFiles(); err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := build()
	for _, name := range []string{names(t, w, snapshotPrefix)[0], names(t, w, segmentPrefix)[0]} {
		for bit := int64(0); bit < 600*8; bit += 97 {
			w := build()
			if err := w.disk.Flip(name, bit); err != nil {
				break // a short file
			}
			_, err := reopen(t, w)
			var damage *DamageError
			if !errors.As(err, &damage) || damage.File != name {
				if strings.Contains(name, segmentPrefix) && bit/8 >= 512 {
					continue // may be padding
				}
				t.Fatalf("bit %d of %s: %v", bit, name, err)
			}
		}
	}
	content := w.files(w.log, w.applied)[1]
	if len(content) < 2*BlockSize {
		t.Fatalf("only %d bytes", len(content))
	}
	for at := 0; at < len(content); at += 501 {
		w := build()
		if err := w.disk.Flip(fileName(testDir, 1), int64(at)*8); err != nil {
			t.Fatal(err)
		}
		got, err := w.store.ReadFile(1, uint64(len(content)), tailCRC(content), uint64(at), 1)
		var damage *DamageError
		if !errors.As(err, &damage) || damage.Offset != int64(at/BlockSize*BlockSize) {
			t.Fatalf("byte %d: %v, %v", at, got, err)
		}
	}
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
	if err := w.store.Cut(2); !errors.Is(err, ErrUse) {
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
