package sim

import "time"

// clock is one process's: it began at some origin and goes PPM millionths faster than true time. All clocks go at rates
// in [1, 1 + drift), so that the ratio of any two is below rho.
type clock struct {
	trueAt, localAt time.Duration
	ppm             uint64
}

func (c *clock) read(now time.Duration) time.Duration {
	d := now - c.trueAt
	return c.localAt + d + d/1_000_000*time.Duration(c.ppm) + d%1_000_000*time.Duration(c.ppm)/1_000_000
}

func (c *clock) setRate(now time.Duration, ppm uint64) {
	c.trueAt, c.localAt, c.ppm = now, c.read(now), ppm
}

// when is the first true time at which the clock reads at least local. What lies far ahead is said to be nearer: a timer
// that rings early is set again.
func (c *clock) when(local time.Duration) time.Duration {
	const far = 1000 * time.Second
	d := max(0, min(local-c.localAt, far)) * 1_000_000 / (1_000_000 + time.Duration(c.ppm))
	for c.read(c.trueAt+d) < min(local, c.localAt+far) {
		d++
	}
	return c.trueAt + d
}
