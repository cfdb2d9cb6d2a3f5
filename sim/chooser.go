package sim

import (
	"time"

	"dlm/netsim"
)

// Chooser is where the parts of a plan are drawn from: the streams of a seed, or a property test that shrinks what it drew.
// Smaller draws should mean less of everything, so that shrinking leads to simpler plans.
type Chooser interface {
	// Uint64 is any number, IntN one in [0, n).
	Uint64() uint64
	IntN(n int) int
	// Chance is true in ppm of a million cases.
	Chance(ppm int) bool
	// Between is uniform in [low, high]. Tail is mostly near low and now and then near high.
	Between(low, high time.Duration) time.Duration
	Tail(low, high time.Duration) time.Duration
	// Times draws a list: it calls draw least .. most times. draw must use the Chooser that it is given, so that a single
	// element can be taken out without a change to the others.
	Times(least, most int, draw func(Chooser))
}

// stream is a Chooser on the stream of a seed.
type stream struct{ *netsim.RNG }

func (s stream) Times(least, most int, draw func(Chooser)) {
	for n := least + s.IntN(most-least+1); n > 0; n-- {
		draw(s)
	}
}
