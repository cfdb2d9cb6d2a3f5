//go:build !linux

package osfs

import "os"

func syncData(f *os.File) error { return f.Sync() }
