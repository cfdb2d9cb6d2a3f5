package netsim

import "time"

// RNG is one stream of randomness (splitmix64). Streams with different labels are independent: what one consumer draws
// does not move what the others get.
type RNG struct{ state uint64 }

// NewRNG derives a stream from a seed and labels.
func NewRNG(seed uint64, labels ...uint64) *RNG { return &RNG{state: Hash(seed, labels...)} }

// Uint64 is the next number.
func (r *RNG) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

// Read fills p; it never fails. (It makes an RNG an io.Reader, for code that wants entropy from one.)
func (r *RNG) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		v := r.Uint64()
		for j := i; j < len(p) && j < i+8; j++ {
			p[j] = byte(v)
			v >>= 8
		}
	}
	return len(p), nil
}

// IntN is uniform in [0, n); n must be > 0.
func (r *RNG) IntN(n int) int { return int(r.Uint64() % uint64(n)) }

// Chance is true in ppm of a million cases.
func (r *RNG) Chance(ppm int) bool { return int(r.Uint64()%1_000_000) < ppm }

// Between is uniform in [low, high]; low if high is not above it.
func (r *RNG) Between(low, high time.Duration) time.Duration { return between(r.Uint64(), low, high) }

// Tail is mostly near low and now and then near high: the product of three uniform draws.
func (r *RNG) Tail(low, high time.Duration) time.Duration { return tail(r.Uint64(), low, high) }

// Pick is one of the choices.
func Pick[T any](r interface{ IntN(n int) int }, choices ...T) T {
	return choices[r.IntN(len(choices))]
}

// Hash mixes numbers into one.
func Hash(seed uint64, values ...uint64) uint64 {
	h := mix(seed + 0x9e3779b97f4a7c15)
	for _, v := range values {
		h = mix((h ^ mix(v+0x632be59bd9b4e019)) + 0x9e3779b97f4a7c15)
	}
	return h
}

func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func between(h uint64, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(h%uint64(high-low+1))
}

func tail(h uint64, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	const bits = 1 << 20
	a, b, c := h%bits, (h>>20)%bits, (h>>40)%bits
	share := float64(a) * float64(b) * float64(c) / (float64(bits) * float64(bits) * float64(bits))
	return low + time.Duration(share*float64(high-low))
}
