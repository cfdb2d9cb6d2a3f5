package replica

import "time"

// clock is cluster time as its leader counts it: the stamp at the moment its base was taken, plus what the leader's
// monotonic clock has counted since. So cluster time never outruns a leader's clock and never jumps.
type clock struct {
	stamp uint64
	at    time.Duration
}

// read is the stamp at a clock reading that is not before the base.
func (c clock) read(now time.Duration) uint64 { return c.stamp + uint64(now-c.at) }

// when is the clock reading at which the stamp is reached.
func (c clock) when(stamp uint64) time.Duration {
	if stamp <= c.stamp {
		return c.at
	}
	ahead := stamp - c.stamp
	if ahead > uint64(1<<62) {
		ahead = 1 << 62 // farther than any process lives
	}
	return c.at + time.Duration(ahead)
}
