// Package osfs is vfs.FS on the operating system's files.
//
//  1. Names are passed on as they are; a relative one counts from the working
//     directory.
//  2. Files are made with mode 0600 and directories with 0700: what they hold
//     is the service's own.
//  3. Lock keeps two processes off one directory. Take it before anything is
//     opened there.
package osfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"dlm/wal/vfs"
)

// ErrLocked says that another process uses the directory; the error that
// wraps it names the directory and, if it is known, the process.
var ErrLocked = errors.New("osfs: directory is in use")

// LockName is the file by which Lock takes a directory. It stays: removing it
// would let a process lock the removed file and another one lock its successor.
const LockName = "LOCK"

type osFS struct{}

// New returns the file system of this machine.
func New() vfs.FS { return osFS{} }

// MkdirAll also syncs the parent of each directory that it makes, so that
// none of them is lost with what is stored in it.
func (osFS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("osfs: make directory %s: a file has that name", dir)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (osFS{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return noSpace(err)
	}
	return osFS{}.SyncDir(parent)
}

func (osFS) Create(name string) (vfs.File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (vfs.File, error) { return open(name, os.O_RDWR) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) Rename(from, to string) error { return noSpace(os.Rename(from, to)) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	sort.Strings(names)
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type file struct {
	*os.File
	writable bool
	direct   directWriter
}

func open(name string, flag int) (vfs.File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, noSpace(err)
	}
	return &file{File: f, writable: flag&os.O_RDWR != 0}, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, noSpace(withoutName(err))
}

func (f *file) Truncate(size int64) error { return noSpace(withoutName(f.File.Truncate(size))) }

func (f *file) Sync() error { return syncData(f.File) }

// WriteSynced goes past the page cache where that is possible.
func (f *file) WriteSynced(p []byte, off int64) error {
	if f.writable { // it is opened once more for that
		if done, err := f.direct.write(f.File, p, off); done || err != nil {
			return noSpace(err)
		}
	}
	if _, err := f.WriteAt(p, off); err != nil {
		return err
	}
	return f.Sync()
}

func (f *file) Close() error { return errors.Join(f.File.Close(), f.direct.close()) }

// withoutName leaves the name out of an error: it is the one of the time when
// the file was opened, and only the caller knows what it is called now.
func withoutName(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return os.NewSyscallError(p.Op, p.Err)
	}
	return err
}

func (f *file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
