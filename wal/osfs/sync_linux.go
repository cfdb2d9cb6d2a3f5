package osfs

import (
	"errors"
	"os"
	"syscall"
)

// syncData uses fdatasync: it writes the bytes and whatever is needed to read
// them back (the length among it) and leaves the times alone, which would
// cost a commit of the journal for each batch in a zero-filled segment.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
