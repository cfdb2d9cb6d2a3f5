package engine

import (
	"math/bits"
	"time"
)

// backoff is exponential with full jitter: each pause is drawn uniformly from 0 to a bound that doubles from min to max.
// Full jitter spreads clients that failed together; a fixed share of the bound would keep them together.
type backoff struct {
	attempts int
}

func (b *backoff) next(rng Rand, lowest, highest time.Duration) time.Duration {
	bound := lowest
	for i := 0; i < b.attempts && bound < highest; i++ {
		bound *= 2
	}
	b.attempts++
	return uniform(rng, 0, min(bound, highest))
}

func (b *backoff) reset() { b.attempts = 0 }

// uniform draws from lowest..highest, both included.
func uniform(rng Rand, lowest, highest time.Duration) time.Duration {
	n, _ := bits.Mul64(rng.Uint64(), uint64(highest-lowest)+1)
	return lowest + time.Duration(n)
}
