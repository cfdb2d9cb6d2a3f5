package wal

import (
	"errors"
	"io/fs"

	"dlm/wal/vfs"
)

// A large file is not removed at once. To free 64 MB takes a file system 20
// to 30 ms, and the log's next sync waits until it is done. So the file gets a
// temporary name, under which it counts for nothing, and then loses a part at
// a time; syncs get through between two parts.

// discardMost is the most that a file loses at once, in bytes.
const discardMost = 2 << 20

// setAside gives a file that is not needed any more a temporary name, and
// returns that; "" if the file is gone, since there was no room for the name.
func (s *Store) setAside(name string) (aside string, err error) {
	err = s.fs.Rename(name, name+temporary)
	if errors.Is(err, vfs.ErrNoSpace) {
		return "", s.fs.Remove(name)
	}
	return name + temporary, err
}

// Discard removes the files that Cut has set aside, in parts. It may be left
// out: Open does the rest. It belongs to the file goroutine, or to the log's.
func (s *Store) Discard(aside []string) error {
	if err := s.usable(); err != nil {
		return err
	}
	for _, name := range aside {
		err := shrink(s.fs, name)
		if err == nil || errors.Is(err, vfs.ErrNoSpace) { // some need room to shorten a file
			err = s.fs.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.fail(err)
		}
	}
	return nil
}

// shrink leaves little of a file.
func shrink(fsys vfs.FS, name string) (err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	part := min(preparePart(size), discardMost)
	for size -= part; size > 0; size -= part {
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	return nil
}
