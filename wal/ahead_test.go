package wal

import (
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/vfs"
)

// beforeRename does something before a file gets its final name.
type beforeRename struct {
	vfs.FS
	do func(from string)
}

func (f beforeRename) Rename(from, to string) error {
	f.do(from)
	return f.FS.Rename(from, to)
}

// The file goroutine may make segments at any time, also while the log's goroutine takes the one that was made: the two must
// not meet under one temporary name, or else a file of zeros gets the name of the log's active segment.
func TestSegmentIsTakenWhileAnotherIsMade(t *testing.T) {
	w := started(t)
	met := 0
	w.store.fs = beforeRename{w.store.fs, func(from string) {
		if strings.HasSuffix(from, nextName+temporary) {
			met++
			if _, err := w.store.PrepareSegment(); err != nil {
				t.Error(err)
			}
		}
	}}
	index := uint64(2)
	for met < 2 {
		if err := w.prepare(); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(index, 1, "x")}})
		index++
	}
	mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(index, 1, "last")}})
	rec, err := reopen(t, w)
	if err != nil || len(rec.Entries) != int(index-1) {
		t.Fatal(rec, err)
	}
}
