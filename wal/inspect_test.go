package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/vfs"
)

// lookOnly lets nothing change.
type lookOnly struct{ vfs.FS }

func (lookOnly) MkdirAll(string) error           { return fs.ErrPermission }
func (lookOnly) Create(string) (vfs.File, error) { return nil, fs.ErrPermission }
func (lookOnly) Remove(string) error             { return fs.ErrPermission }
func (lookOnly) Rename(string, string) error     { return fs.ErrPermission }
func (lookOnly) SyncDir(string) error            { return fs.ErrPermission }
func (l lookOnly) Open(n string) (vfs.File, error) {
	f, err := l.FS.Open(n)
	return lookOnlyFile{f}, err
}

type lookOnlyFile struct{ vfs.File }

func (lookOnlyFile) WriteAt([]byte, int64) (int, error) { return 0, fs.ErrPermission }
func (lookOnlyFile) WriteSynced([]byte, int64) error    { return fs.ErrPermission }
func (lookOnlyFile) Sync() error                        { return fs.ErrPermission }
func (lookOnlyFile) Truncate(int64) error               { return fs.ErrPermission }

// agree checks that Inspect says of a directory what Open then does, and names the place.
func agree(t *testing.T, what string, w *world) *Inspection {
	t.Helper()
	entries := 0
	in, err := Inspect(lookOnly{w.disk.FS()}, testDir, func(Record) { entries++ })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	rec, openErr := reopen(t, w)
	if (openErr == nil) != (in.Err == nil) || openErr != nil && openErr.Error() != in.Err.Error() {
		t.Fatalf("%s: Open says %v, Inspect %v", what, openErr, in.Err)
	}
	if openErr == nil {
		if !reflect.DeepEqual(rec, in.Recovered) {
			t.Fatalf("%s: Open found %+v, Inspect %+v", what, rec, in.Recovered)
		}
		if entries < len(rec.Entries) {
			t.Fatalf("%s: %d entries were visited, %d recovered", what, entries, len(rec.Entries))
		}
	}
	var damage *DamageError
	if errors.As(openErr, &damage) && damage.File != testDir {
		named := false
		for _, s := range in.Segments {
			named = named || s.Err != nil && s.File == damage.File
		}
		for _, s := range in.Snapshots {
			named = named || s.Err != nil && s.File == damage.File
		}
		if _, err := w.disk.FS().Open(damage.File); err == nil && !named {
			t.Fatalf("%s: %v is not shown at its file: %+v", what, damage, in.Segments)
		}
	}
	return in
}

func TestInspectAgreesWithOpen(t *testing.T) {
	build := func() *world {
		w := started(t)
		for i := range uint64(12) {
			mustAppend(t, w, Batch{Entries: []*raftpb.Entry{entry(2+i, 1, strings.Repeat("x", 600))}})
		}
		return w
	}
	w := build()
	in := agree(t, "whole", w)
	if len(in.Snapshots) != 1 || len(in.Segments) < 3 || in.Segments[0].First != 2 && in.Segments[1].First != 2 {
		t.Fatalf("%+v %+v", in.Snapshots, in.Segments)
	}
	files := append(names(t, build(), segmentPrefix), names(t, build(), snapshotPrefix)...)
	for _, name := range files {
		for at := int64(0); at < 4096; at += 41 {
			w := build()
			if err := w.disk.Flip(name, at*8); err != nil {
				break // a short file
			}
			agree(t, fmt.Sprintf("bit in byte %d of %s", at, name), w)
		}
		w := build()
		if err := w.disk.FS().Remove(name); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, snapshotPrefix) {
			if in, err := Inspect(lookOnly{w.disk.FS()}, testDir, nil); err != nil || in.Err == nil || len(in.Segments) == 0 {
				t.Errorf("without its snapshot: %v, %+v", err, in)
			}
			continue
		}
		agree(t, "without "+name, w)
	}
}

// Whatever crashes leave behind, Inspect sees what Open will make of it.
func TestInspectAfterCrashes(t *testing.T) {
	for seed := range uint64(150) {
		w := newWorld(seed, seed)
		if err := w.start(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := w.run(20); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if seed%2 == 0 {
				w.disk.PowerCut()
			}
			agree(t, fmt.Sprintf("seed %d", seed), w)
			w.restart(seed%3 == 0)
			if err := w.open(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

func TestInspectFile(t *testing.T) {
	content := []byte(strings.Repeat("0123456789", 1200)) // 2 blocks and a tail
	build := func() *world {
		w := started(t)
		if err := w.store.WriteFile(1, 0, content); err != nil {
			t.Fatal(err)
		}
		if err := w.store.SyncFiles(); err != nil {
			t.Fatal(err)
		}
		return w
	}
	inspect := func(w *world) []error {
		return InspectFile(lookOnly{w.disk.FS()}, testDir, 1, uint64(len(content)), tailCRC(content))
	}
	if errs := inspect(build()); len(errs) != 0 {
		t.Fatal(errs)
	}
	for at := 0; at < len(content); at += 173 {
		w := build()
		if err := w.disk.Flip(fileName(testDir, 1), int64(at)*8); err != nil {
			t.Fatal(err)
		}
		errs := inspect(w)
		// The last sector has a second copy.
		if at >= int(lastSector(uint64(len(content)))) {
			if len(errs) != 0 {
				t.Fatalf("byte %d can be repaired: %v", at, errs)
			}
			continue
		}
		var damage *DamageError
		if len(errs) != 1 || !errors.As(errs[0], &damage) || damage.Offset != int64(at/BlockSize*BlockSize) || damage.File != fileName(testDir, 1) {
			t.Fatalf("byte %d: %v", at, errs)
		}
	}
	for _, name := range []string{fileName(testDir, 1), fileName(testDir, 1) + sidecarSuffix} {
		w := build()
		if err := w.disk.FS().Remove(name); err != nil {
			t.Fatal(err)
		}
		if errs := inspect(w); len(errs) != 1 || !strings.Contains(errs[0].Error(), name) {
			t.Errorf("without %s: %v", name, errs)
		}
	}
	w := build()
	if errs := InspectFile(lookOnly{w.disk.FS()}, testDir, 1, uint64(len(content))+1, 0); len(errs) != 1 {
		t.Errorf("a short file: %v", errs)
	}
}
