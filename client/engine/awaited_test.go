package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What awaited says must be what a plain sorted list says.
func TestAwaitedAsAPlainList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a awaited
		var plain []*request
		next := uint64(1)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step < 4 || len(plain) == 0:
				next += uint64(rapid.SampledFrom([]int{0, 0, 0, 0, 3}).Draw(t, "skipped"))
				r := &request{sequence: next}
				next++
				a.add(r)
				plain = append(plain, r)
			case step < 8:
				i := min(rapid.IntRange(0, 3).Draw(t, "early"), len(plain)-1)
				if rapid.Bool().Draw(t, "anywhere") {
					i = rapid.IntRange(0, len(plain)-1).Draw(t, "which")
				}
				a.remove(plain[i].sequence)
				a.remove(plain[i].sequence) // does nothing
				plain = slices.Delete(plain, i, i+1)
			default:
				i := rapid.IntRange(0, len(plain)-1).Draw(t, "whose")
				most := uint64(rapid.IntRange(0, 20).Draw(t, "most"))
				watermark, listed := a.watermark(plain[i].sequence, most)
				from := 0 // as few as possible are listed
				for plain[i].sequence-plain[from].sequence-uint64(i-from) > most {
					from++
				}
				var want []uint64
				for _, r := range plain[:from] {
					want = append(want, r.sequence)
				}
				if watermark != plain[from].sequence || !slices.Equal(listed, want) {
					t.Fatalf("of %d, at most %d: %d %v, want %d %v", plain[i].sequence, most, watermark, listed, plain[from].sequence, want)
				}
			}
			if a.count != len(plain) || !slices.Equal(a.all(), plain) {
				t.Fatalf("%d requests, want %d", a.count, len(plain))
			}
			asked := uint64(rapid.IntRange(0, int(next)+2).Draw(t, "asked"))
			i := slices.IndexFunc(plain, func(r *request) bool { return r.sequence == asked })
			if got := a.find(asked); i < 0 && got != nil || i >= 0 && got != plain[i] {
				t.Fatalf("%d: found %v", asked, got)
			}
		}
	})
}

// One that waits for long keeps no room for all that come and go meanwhile.
func TestAwaitedClosesGaps(t *testing.T) {
	var a awaited
	a.add(&request{sequence: 1})
	for i := uint64(2); i < 10_000; i++ {
		a.add(&request{sequence: i})
		a.remove(i)
	}
	if n := cap(a.slots); n > 4*fewGaps {
		t.Errorf("room for %d", n)
	}
}
