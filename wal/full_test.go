package wal

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// TestFullDisk leaves each amount of room in turn. What does not fit is refused and nothing else happens; it fits when there is
// room; and nothing is lost by a crash in between, nor by a restart on the full disk.
func TestFullDisk(t *testing.T) {
	full, short := 0, 0
	for free := int64(0); free < 20<<10; free += 512 {
		for _, power := range []bool{true, false} {
			w := newWorld(uint64(free), uint64(free/512))
			if err := errors.Join(w.start(), w.run(20)); err != nil {
				t.Fatal(err)
			}
			w.disk.SetFree(free)
			for range 40 {
				switch err := w.step(); {
				case errors.Is(err, ErrFull):
					full++
				case err != nil:
					t.Fatalf("%d bytes free: %v", free, err)
				}
			}
			w.restart(power)
			err := w.open()
			if errors.Is(err, ErrFull) {
				short++
				w.disk.SetFree(-1)
				w.restart(power)
				err = w.open()
			}
			if err != nil {
				t.Fatalf("%d bytes free, power %v: %v", free, power, err)
			}
			w.disk.SetFree(-1)
			if err := w.run(20); err != nil {
				t.Fatalf("%d bytes free, power %v, with room again: %v", free, power, err)
			}
		}
	}
	t.Logf("%d calls did not fit, and %d recoveries", full, short)
	if full < 100 {
		t.Errorf("only %d calls did not fit", full)
	}
}

// Once a segment is prepared, a batch needs no room on the disk, up to the end of that segment; and recovery takes its place.
func TestPreparedSegmentIsReserved(t *testing.T) {
	w := started(t)
	for {
		done, err := w.store.PrepareSegment()
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
	}
	w.disk.SetFree(0)
	before, ready := w.store.Room()
	if !ready || before < 6000 {
		t.Fatalf("room %d, ready %v", before, ready)
	}
	index := uint64(2)
	for used := int64(0); used+sectorSize <= before; used += sectorSize {
		mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(index, 1, "x")}})
		index++
	}
	if room, ready := w.store.Room(); ready || room >= sectorSize {
		t.Fatalf("%d bytes are left, ready %v", room, ready)
	}
	for range 3 {
		if err := w.store.Append(Batch{Entries: []*raftpb.Entry{entry(index, 1, "y")}}); !errors.Is(err, ErrFull) {
			t.Fatalf("appended without room: %v", err)
		}
	}
	w.disk.SetFree(4096)
	mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(index, 1, "y")}})
	w.disk.SetFree(-1)
	rec, err := reopen(t, w)
	if err != nil || len(rec.Entries) != int(index-1) {
		t.Fatal(rec, err)
	}
}

// A disk that is full at start has room for recovery: what was prepared gives its own, or a short segment does.
func TestRecoveryOnAFullDisk(t *testing.T) {
	w := started(t)
	mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(2, 1, "x")}})
	if err := w.prepare(); err != nil {
		t.Fatal(err)
	}
	w.disk.SetFree(0)
	for range 3 { // the second time nothing was prepared: only a short copy fits
		if rec, err := reopen(t, w); err != nil || len(rec.Entries) != 1 {
			t.Fatal(rec, err)
		}
		w.disk.SetFree(4 * sectorSize)
	}
	w.disk.SetFree(0)
	if _, err := reopen(t, w); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	w.disk.SetFree(-1)
	if rec, err := reopen(t, w); err != nil || len(rec.Entries) != 1 {
		t.Fatal(rec, err)
	}
}
