package osfs

import (
	"os"
	"syscall"
)

// Free is what is left for users other than root.
func (osFS) Free(dir string) (uint64, error) {
	var st syscall.Statfs_t
	for {
		err := syscall.Statfs(dir, &st)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
		}
		return st.Bavail * uint64(st.Frsize), nil
	}
}
