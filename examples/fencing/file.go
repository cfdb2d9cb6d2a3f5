package fencing

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// WriteFile replaces a file's content under a lock's token, on a local file system. The highest token is kept in path.fence,
// which is also locked (flock) meanwhile: the writers of this machine do it one by one. On a network file system flock is
// not enough; let one process own the file and guard it as an HTTP resource.
func WriteFile(path string, token uint64, data []byte) error {
	fence, err := os.OpenFile(path+".fence", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer fence.Close() // gives the flock back
	if err := syscall.Flock(int(fence.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	var seen [8]byte
	if _, err := fence.ReadAt(seen[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if seen := binary.BigEndian.Uint64(seen[:]); token < seen {
		return &StaleError{Token: token, Seen: seen}
	}
	// First remember, durably, then write: should this process die in between, older tokens are refused all the same.
	binary.BigEndian.PutUint64(seen[:], token)
	if _, err := fence.WriteAt(seen[:], 0); err != nil {
		return err
	}
	if err := fence.Sync(); err != nil {
		return err
	}
	return replace(path, data)
}

// replace writes beside the file, syncs, and renames.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
