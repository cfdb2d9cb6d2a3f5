// Package powerfs is a file system that forgets what was not synced when its process is killed: what a power cut does to a
// machine, a kill -9 does to one process.
//
//	wal ──> FS ──┬─ memory: sectors, lengths and names that were not synced ── lost with the process
//	             └─ a real directory: what was synced                       ── found by the next process
//
// The operating system keeps what a killed process has written, so nothing is written to it before a sync asks for it, but
// for what a kernel might have written back by itself: now and then some sectors that were not synced, whole or as garbage,
// and some changes of names, in their order.
//
//  1. One process at a time uses a directory, through one FS.
//  2. Files whose names are not durable yet lie in a directory of their own, limbo, on the same device. New empties it.
//  3. Syncs reach the operating system, not the disk: this is about processes that are killed, not about real power cuts.
package powerfs

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"dlm/wal/vfs"
)

// Lie is what is wrong with syncs, so that a test can see that somebody notices.
type Lie int

// The lies.
const (
	Honest Lie = iota
	Never      // a sync does nothing and says that it did
	Late       // a sync says that it is done, and does it a little later
)

// lateBy is how much later.
const lateBy = 5 * time.Millisecond

// FS is a vfs.FS. It may be used by several goroutines.
type FS struct {
	limbo string

	mu     sync.Mutex
	lie    Lie
	dirs   map[string]*directory
	inodes int
}

// directory is as the process sees it, and how that differs from the real one.
type directory struct {
	files   map[string]*inode
	dirs    []string
	changes []change // not durable, in order
}

// change of a name; the one that is set says which.
type change struct {
	create, remove string
	inode          *inode // that is created
	rename, to     string
}

// New makes a file system whose half-made files lie in limbo. What a former process left there is removed.
func New(limbo string) (*FS, error) {
	if err := os.RemoveAll(limbo); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(limbo, 0o700); err != nil {
		return nil, err
	}
	return &FS{limbo: limbo, dirs: map[string]*directory{}}, nil
}

// Lie makes all later syncs lie.
func (f *FS) Lie(l Lie) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lie = l
}

// MkdirAll is durable at once, as vfs wants it.
func (f *FS) MkdirAll(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if d := f.dirs[filepath.Dir(dir)]; d != nil && !slices.Contains(d.dirs, filepath.Base(dir)) {
		d.dirs = append(d.dirs, filepath.Base(dir))
	}
	return nil
}

// dir reads a real directory when it is first used.
func (f *FS) dir(path string) (*directory, error) {
	if d := f.dirs[path]; d != nil {
		return d, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	d := &directory{files: map[string]*inode{}}
	for _, e := range entries {
		if e.IsDir() {
			d.dirs = append(d.dirs, e.Name())
			continue
		}
		in, err := openInode(filepath.Join(path, e.Name()), os.O_RDWR)
		if err != nil {
			return nil, err
		}
		d.files[e.Name()] = in
	}
	f.dirs[path] = d
	return d, nil
}

// at finds the directory of a name.
func (f *FS) at(name string) (*directory, string, error) {
	d, err := f.dir(filepath.Dir(filepath.Clean(name)))
	return d, filepath.Base(name), err
}

func failed(op, name string, why error) error { return &fs.PathError{Op: op, Path: name, Err: why} }

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, base, err := f.at(name)
	if err != nil {
		return nil, err
	}
	if d.files[base] != nil || slices.Contains(d.dirs, base) {
		return nil, failed("create", name, fs.ErrExist)
	}
	f.inodes++
	in, err := openInode(filepath.Join(f.limbo, strconv.Itoa(f.inodes)), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	d.files[base] = in
	return f.open(in), f.changed(name, d, change{create: base, inode: in})
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, base, err := f.at(name)
	if err != nil {
		return nil, err
	}
	if d.files[base] == nil {
		return nil, failed("open", name, fs.ErrNotExist)
	}
	return f.open(d.files[base]), nil
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, base, err := f.at(name)
	if err != nil {
		return err
	}
	if d.files[base] == nil {
		return failed("remove", name, fs.ErrNotExist)
	}
	delete(d.files, base)
	return f.changed(name, d, change{remove: base})
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, base, err := f.at(from)
	if err != nil {
		return err
	}
	if filepath.Dir(filepath.Clean(from)) != filepath.Dir(filepath.Clean(to)) {
		return fmt.Errorf("powerfs: rename %s to %s: another directory", from, to)
	}
	if d.files[base] == nil {
		return failed("rename", from, fs.ErrNotExist)
	}
	target := filepath.Base(to)
	d.files[target] = d.files[base]
	delete(d.files, base)
	return f.changed(from, d, change{rename: base, to: target})
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, err := f.dir(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	names := slices.Clone(d.dirs)
	for name := range d.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Free says that there is room: this file system loses things, and is never full.
func (f *FS) Free(string) (uint64, error) { return 1 << 40, nil }

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = filepath.Clean(dir)
	d, err := f.dir(dir)
	if err != nil {
		return err
	}
	switch f.lie {
	case Never:
		return nil
	case Late:
		time.AfterFunc(lateBy, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			_ = d.commit(dir, len(d.changes))
		})
		return nil
	}
	return d.commit(dir, len(d.changes))
}

// changed notes a change. Now and then the journal of the file system is written by itself.
func (f *FS) changed(name string, d *directory, c change) error {
	d.changes = append(d.changes, c)
	if rand.IntN(8) == 0 {
		return d.commit(filepath.Dir(filepath.Clean(name)), rand.IntN(len(d.changes)+1))
	}
	return nil
}

// commit makes the first n changes durable, in order.
func (d *directory) commit(dir string, n int) error {
	for ; n > 0; n-- {
		c := d.changes[0]
		var err error
		switch {
		case c.create != "":
			// A link and not a rename, so that the name in limbo stays valid for whoever looks at it there.
			err = os.Link(c.inode.path, filepath.Join(dir, c.create))
		case c.remove != "":
			err = os.Remove(filepath.Join(dir, c.remove))
		default:
			err = os.Rename(filepath.Join(dir, c.rename), filepath.Join(dir, c.to))
		}
		if err != nil {
			return fmt.Errorf("powerfs: %w", err)
		}
		d.changes = d.changes[1:]
	}
	return nil
}
