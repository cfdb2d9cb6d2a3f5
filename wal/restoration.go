package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"dlm/wal/vfs"
)

// ErrUnfinished: a restore into the directory was begun and did not come to its end. What is there is no store, and no
// server may take it for an empty place either.
var ErrUnfinished = errors.New("wal: a restore into this directory has not finished: remove the directory, and restore again")

// restoreMark is the file that says so. It is durable before anything else is made, and removed after everything else is
// durable.
const restoreMark = "restore-unfinished"

// Restoration makes a store out of a backup:
//
//	mark, synced | data files ... | synced | first segment | snapshot | mark removed, synced
//
// A crash anywhere before the end leaves the mark, and with it every call that looks for a store returns ErrUnfinished. A
// power cut may bring the mark back after it was removed: then the restore has not returned, and is done again.
type Restoration struct{ s *Store }

// BeginRestore marks a directory, which is missing or has no files but those that are named in besides. The error is
// fs.ErrExist if there is anything else.
func BeginRestore(fsys vfs.FS, dir string, besides ...string) (*Restoration, error) {
	if err := fsys.MkdirAll(path.Join(dir, filesDir)); err != nil {
		return nil, err
	}
	allowed := map[string]bool{filesDir: true}
	for _, name := range besides {
		allowed[name] = true
	}
	if err := vacant(fsys, dir, allowed); err != nil {
		return nil, err
	}
	if err := vacant(fsys, path.Join(dir, filesDir), nil); err != nil {
		return nil, err
	}
	f, err := fsys.Create(path.Join(dir, restoreMark))
	if err != nil {
		return nil, fullError(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), fsys.SyncDir(dir)); err != nil {
		return nil, err
	}
	return &Restoration{&Store{fs: fsys, dir: dir, files: newFileSide(fsys, dir, DefaultOpenFiles)}}, nil
}

func vacant(fsys vfs.FS, dir string, allowed map[string]bool) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == restoreMark {
			return fmt.Errorf("%w: %s", ErrUnfinished, dir)
		}
		if !allowed[name] {
			return fmt.Errorf("wal: %s is not empty: it has %s: %w", dir, name, fs.ErrExist)
		}
	}
	return nil
}

// WriteFile adds the next bytes of a data file; they begin where the last ones ended.
func (r *Restoration) WriteFile(id, offset uint64, data []byte) error {
	return r.s.WriteFile(id, offset, data)
}

// Finish makes everything durable, and then a store of it.
func (r *Restoration) Finish(id Identity, snap Snapshot) error {
	if err := r.s.SyncFiles(); err != nil {
		return err
	}
	if err := createStore(r.s.fs, r.s.dir, id, snap); err != nil {
		return err
	}
	if err := r.s.fs.Remove(path.Join(r.s.dir, restoreMark)); err != nil {
		return err
	}
	return r.s.fs.SyncDir(r.s.dir)
}

// Abandon removes what was made, the mark last, so that the directory is as before.
func (r *Restoration) Abandon() error {
	fsys, dir := r.s.fs, r.s.dir
	err := r.s.files.closeHandles()
	l, listErr := list(fsys, dir)
	if err = errors.Join(err, listErr); err != nil {
		return err
	}
	all := func(names []string, dir string) error {
		for _, name := range names {
			if err := fsys.Remove(path.Join(dir, name)); err != nil {
				return err
			}
		}
		return fsys.SyncDir(dir)
	}
	names, err := fsys.List(path.Join(dir, filesDir))
	if err != nil {
		return err
	}
	if err := all(names, path.Join(dir, filesDir)); err != nil {
		return err
	}
	made := l.temporaries
	for _, n := range l.snapshots {
		made = append(made, path.Base(snapshotName(dir, n)))
	}
	for _, n := range l.segments {
		made = append(made, path.Base(segmentName(dir, n)))
	}
	if err := all(made, dir); err != nil {
		return err
	}
	return all([]string{restoreMark}, dir)
}
