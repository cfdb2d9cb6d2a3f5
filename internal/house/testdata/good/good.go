package snippet

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

type random interface{ Uint64() uint64 }

const lease = 30 * time.Second

func next(now time.Duration, rng random, table map[string][]int) (time.Duration, string) {
	delay := time.Duration(rng.Uint64() % uint64(lease))
	for _, v := range table["x"] {
		delay += time.Duration(v)
	}
	for i := range 3 {
		delay += time.Duration(i)
	}
	var r *rand.Rand = rand.New(rand.NewChaCha8([32]byte{}))
	delay += time.Duration(r.Int64N(5))
	return now + delay, fmt.Sprintf("%s %d", delay.Round(time.Millisecond), binary.LittleEndian.Uint64(make([]byte, 8)))
}
