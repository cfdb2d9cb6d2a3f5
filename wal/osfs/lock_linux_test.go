package osfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A copy of the descriptor, as a forked child has one until it executes its program, does not keep the directory locked.
func TestUnlockDoesNotWaitForAChild(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(descriptor(t, filepath.Join(dir, LockName)))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(child)
	if _, err := LockToRead(dir); !errors.Is(err, ErrLocked) {
		t.Fatalf("while it is locked: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = Lock(dir)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

// descriptor is the number under which this process has a file open.
func descriptor(t *testing.T, name string) int {
	t.Helper()
	for fd := range 1000 {
		if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && to == name {
			return fd
		}
	}
	t.Fatalf("%s is not open", name)
	return 0
}
