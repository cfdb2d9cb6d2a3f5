package snippet

import (
	crand "crypto/rand" // want "no seed repeats"
	"hash/maphash"      // want "differs in every process"
	old "math/rand"
	"math/rand/v2"
)

func draws(seeded *rand.Rand) int {
	old.Shuffle(2, func(i, j int) {}) // want "math/rand.Shuffle"
	draw := rand.IntN                 // want "math/rand/v2.IntN"
	_ = rand.N(10)                    // want "math/rand/v2.N"
	_, _ = crand.Read(nil)
	_ = maphash.MakeSeed()
	return draw(3) + seeded.IntN(5) + rand.New(rand.NewPCG(1, 2)).IntN(7)
}
