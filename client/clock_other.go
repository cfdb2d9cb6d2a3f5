//go:build !linux

package client

import "time"

var processStart = time.Now()

// localClock is Go's monotonic clock. Where it stops while the machine is suspended, Held may say yes for too long after
// a resume; fencing tokens are what protects then.
func localClock() time.Duration { return time.Since(processStart) }
