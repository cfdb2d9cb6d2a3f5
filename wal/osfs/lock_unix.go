//go:build unix

package osfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Lock takes the directory for this process, until unlock or the end of the
// process. If another one has it the error is ErrLocked and names it.
func Lock(dir string) (unlock func() error, err error) {
	name := filepath.Join(dir, LockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(heldBy(f, dir, err), f.Close())
	}
	// The process id is for the reader of the error above and nothing else.
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return unlocker(f), nil
}

// LockToRead keeps servers off the directory until unlock, and changes nothing in it. Several may read at the same time. If
// a server has it the error is ErrLocked and names it.
func LockToRead(dir string) (unlock func() error, err error) {
	name := filepath.Join(dir, LockName)
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return func() error { return nil }, nil // no server was ever here
	}
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_SH); err != nil {
		return nil, errors.Join(heldBy(f, dir, err), f.Close())
	}
	return unlocker(f), nil
}

// unlocker does not leave it to the close: a child of this process that was forked and has not executed its program yet has
// the file open too, and the lock would last until then.
func unlocker(f *os.File) func() error {
	return func() error { return errors.Join(flock(f, syscall.LOCK_UN), f.Close()) }
}

func flock(f *os.File, how int) error { return syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) }

// heldBy puts into words why the lock could not be had.
func heldBy(f *os.File, dir string, err error) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("osfs: lock %s: %w", f.Name(), err)
	}
	owner, _ := io.ReadAll(io.LimitReader(f, 64))
	return fmt.Errorf("%w: %s is held by process %s", ErrLocked, dir, strings.TrimSpace(string(owner)))
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(fmt.Sprintf("%d\n", os.Getpid())), 0)
	return err
}
