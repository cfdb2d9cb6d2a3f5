package wal

import (
	"errors"
	"testing"

	"dlm/wal/vfs"
)

// meddler lets something happen before each operation that changes the disk, as another goroutine might.
type meddler struct {
	vfs.FS
	meddle func()
	busy   bool
}

type meddledFile struct {
	vfs.File
	m *meddler
}

func (m *meddler) between() {
	if m.meddle != nil && !m.busy {
		m.busy = true
		m.meddle()
		m.busy = false
	}
}

func (m *meddler) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return meddledFile{f, m}, nil
}

func (m *meddler) Create(name string) (vfs.File, error) {
	m.between()
	return m.wrap(m.FS.Create(name))
}
func (m *meddler) Open(name string) (vfs.File, error) { return m.wrap(m.FS.Open(name)) }
func (m *meddler) Remove(name string) error           { m.between(); return m.FS.Remove(name) }
func (m *meddler) Rename(from, to string) error       { m.between(); return m.FS.Rename(from, to) }
func (m *meddler) SyncDir(dir string) error           { m.between(); return m.FS.SyncDir(dir) }

func (f meddledFile) WriteSynced(p []byte, off int64) error {
	f.m.between()
	return f.File.WriteSynced(p, off)
}

func (f meddledFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.between()
	return f.File.WriteAt(p, off)
}

func (f meddledFile) Sync() error { f.m.between(); return f.File.Sync() }

// TestSidesInterleave lets the file goroutine work between any two operations of the log's: it makes segments ahead, also
// while the log takes one, and saves snapshots.
func TestSidesInterleave(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(seed, seed)
		m := &meddler{FS: w.disk.FS()}
		w.fs = m
		if err := w.start(); err != nil {
			t.Fatal(err)
		}
		var meddled error
		for range 60 {
			if w.rng.IntN(6) == 0 {
				if err := w.save(); err != nil {
					t.Fatal(err)
				}
			}
			m.meddle = func() {
				if w.inFlight == nil {
					return // the log's operation is over, and it is the files' turn anyway
				}
				if w.rng.IntN(3) > 0 {
					meddled = errors.Join(meddled, w.prepare())
				} else {
					meddled = errors.Join(meddled, w.store.SyncFiles())
				}
			}
			err := w.append()
			m.meddle = nil
			if err = errors.Join(err, meddled); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		w.restart(seed%2 == 0)
		if err := w.open(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
