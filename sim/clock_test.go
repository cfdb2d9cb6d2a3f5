package sim

import (
	"testing"
	"time"
)

func TestClockStaysWithinItsRate(t *testing.T) {
	c := clock{localAt: time.Hour, ppm: 9_999}
	for _, at := range []time.Duration{0, 1, time.Second, 3 * time.Hour} {
		d := c.read(at) - time.Hour
		if d < at || float64(d) > float64(at)*1.01 {
			t.Errorf("after %v the clock has counted %v", at, d)
		}
		if at >= time.Second && float64(d) < float64(at)*1.0099 {
			t.Errorf("after %v the clock has counted %v: it does not go at its own rate", at, d)
		}
		if got := c.when(c.read(at)); at < 900*time.Second && got > at {
			t.Errorf("the clock reads %v at %v, but says at %v", c.read(at), at, got)
		}
	}
}
