package engine

import (
	"math"
	"math/bits"
	"time"
)

// mark is one sighting of cluster time: a log entry stamped `stamp` took in a request that was first handed over at the
// local time `sent`, so cluster time showed at most `stamp` at that local instant.
//
//	local    ----sent------------------------------ sent + (D-stamp)/rho ----> from here on the lease may be over
//	cluster  ---------stamp---------------------------------D---------------->
//
// From then on cluster time runs at most rho times as fast as the local clock; it stands still while nobody leads,
// which only lengthens a lease. Only the *first* sending counts: the log may have seen that one. A mark holds for
// every deadline of the cluster, whichever session's request it came from.
type mark struct {
	sent  time.Duration
	stamp uint64 // 0 = no mark yet
}

// local is the local time before which cluster time cannot have reached the deadline.
func (m mark) local(deadline, ppm uint64) time.Duration {
	if m.stamp == 0 || deadline <= m.stamp {
		return m.sent // it has passed
	}
	return m.sent + shorten(deadline-m.stamp, ppm)
}

// better says whether m promises later local times than o.
func (m mark) better(o mark, ppm uint64) bool {
	switch {
	case m.stamp == 0:
		return false
	case o.stamp == 0:
		return true
	case m.stamp >= o.stamp:
		return m.sent-o.sent > shorten(m.stamp-o.stamp, ppm)
	default:
		return o.sent-m.sent < shorten(o.stamp-m.stamp, ppm)
	}
}

// farAway keeps sums of a local time and a duration from overflowing: 146 years.
const farAway = math.MaxInt64 / 2

// shorten is nanos / rho, rounded down.
func shorten(nanos, ppm uint64) time.Duration {
	nanos = min(nanos, farAway)
	hi, lo := bits.Mul64(nanos, 1e6)
	q, _ := bits.Div64(hi, lo, 1e6+ppm)
	return time.Duration(q)
}
