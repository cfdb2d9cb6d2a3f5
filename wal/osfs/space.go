package osfs

import (
	"errors"
	"fmt"
	"syscall"

	"dlm/wal/vfs"
)

// noSpace marks the errors of a full file system, or of a quota that is used
// up, for whoever does not know this system's error numbers.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", vfs.ErrNoSpace, err)
	}
	return err
}
