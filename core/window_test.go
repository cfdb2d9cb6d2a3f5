package core

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plainFits is fits as its comment says it, by counting all that would be there.
func plainFits(w *window, sequence, watermark uint64, awaited []uint64) bool {
	if sequence <= w.highest {
		return true
	}
	there := uint64(0)
	for _, s := range w.slots() {
		if s.sequence >= watermark || s.kind == slotWaiting || slices.Contains(awaited, s.sequence) {
			there++
		}
	}
	for s := w.highest + 1; s <= sequence; s++ {
		if s >= watermark || slices.Contains(awaited, s) {
			there++
		}
	}
	return sequence-w.highest <= w.size && there <= w.size
}

// TestWindowAsItIsSaid holds a small window against a plain reading of it: what fits, and what is there afterwards.
func TestWindowAsItIsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &window{size: rapid.Uint64Range(1, 8).Draw(t, "size")}
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			sequence := rapid.Uint64Range(1, w.highest+10).Draw(t, "sequence")
			watermark := rapid.Uint64Range(0, sequence).Draw(t, "watermark")
			var awaited []uint64
			for s := uint64(1); s < watermark; s++ {
				if rapid.IntRange(0, 3).Draw(t, "awaited") == 0 {
					awaited = append(awaited, s)
				}
			}
			known, waits := false, 0
			var want []uint64
			for _, s := range w.slots() {
				if s.kind == slotWaiting {
					waits++
				}
				known = known || s.sequence == sequence && s.kind == slotGap
				if s.sequence >= watermark || s.kind == slotWaiting || slices.Contains(awaited, s.sequence) || s.sequence == sequence {
					want = append(want, s.sequence)
				}
			}
			for s := w.highest + 1; s <= sequence; s++ {
				if s >= watermark || slices.Contains(awaited, s) {
					want = append(want, s)
				}
			}
			fits := plainFits(w, sequence, watermark, awaited)
			if got := w.fits(sequence, watermark, awaited, waits); got != fits {
				t.Fatalf("%d after %d, watermark %d, awaited %v, in a window of %d with %v: fits %v, want %v",
					sequence, w.highest, watermark, awaited, w.size, w.slots(), got, fits)
			}
			if sequence <= w.highest && !known {
				continue // core does not admit what was seen
			}
			at, ok := w.admit(sequence, watermark, awaited, waits)
			if ok != fits {
				t.Fatalf("admitted: %v", ok)
			}
			if !ok {
				continue
			}
			if at == nil || at.sequence != sequence || at.kind != slotGap {
				t.Fatalf("the slot of %d is %v", sequence, at)
			}
			at.kind = rapid.SampledFrom([]slotKind{slotWaiting, slotAnswered}).Draw(t, "kind")
			var got []uint64
			for i := range w.slots() {
				s := &w.slots()[i]
				got = append(got, s.sequence)
				if w.find(s.sequence) != s {
					t.Fatalf("%d is not found", s.sequence)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d, watermark %d, awaited %v: there are %v, want %v", sequence, watermark, awaited, got, want)
			}
			for s := range w.highest + 2 {
				if !slices.Contains(want, s) && w.find(s) != nil {
					t.Fatalf("%d is found", s)
				}
			}
		}
	})
}
