//go:build !linux

package osfs

import "math"

// Free does not know.
func (osFS) Free(string) (uint64, error) { return math.MaxInt64, nil }
