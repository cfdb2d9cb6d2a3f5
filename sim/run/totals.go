package run

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Totals add up many results. The order in which results are added makes no difference, so that a soak which was stopped
// and resumed ends with the same numbers as one that was not.
type Totals struct {
	Runs    uint64
	Failed  uint64
	Virtual time.Duration
	Steps   uint64
	Counts  map[string]int
	Checks  map[string]int
}

// Add adds a result.
func (t *Totals) Add(r Result) {
	if t.Counts == nil {
		t.Counts, t.Checks = map[string]int{}, map[string]int{}
	}
	t.Runs++
	if r.Failure != nil {
		t.Failed++
	}
	t.Virtual += r.Virtual
	t.Steps += r.Steps
	sum(t.Counts, r.Counts)
	sum(t.Checks, r.Checks)
}

func sum(to, from map[string]int) {
	for k, v := range from {
		to[k] += v
	}
}

// Listed prints counts in the order of their names.
func Listed(m map[string]int) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", k, m[k])
	}
	return b.String()
}

// Split parts the counts by a prefix of their names: those that have it, without it, and the others.
func Split(m map[string]int, prefix string) (with, without map[string]int) {
	with, without = map[string]int{}, map[string]int{}
	for k, v := range m {
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			with[rest] = v
		} else {
			without[k] = v
		}
	}
	return with, without
}

// Range is the seeds from First to Last.
type Range struct{ First, Last uint64 }

// ParseRange reads "A-B", or "N" for 1-N.
func ParseRange(s string) (Range, error) {
	first, last, both := strings.Cut(s, "-")
	if !both {
		first, last = "1", s
	}
	a, err := strconv.ParseUint(first, 10, 64)
	b, err2 := strconv.ParseUint(last, 10, 64)
	if err != nil || err2 != nil || a < 1 || a > b {
		return Range{}, fmt.Errorf("%q is not a range of seeds: want A-B with 1 <= A <= B, or N for 1-N", s)
	}
	return Range{a, b}, nil
}

func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Len is how many seeds there are.
func (r Range) Len() uint64 { return r.Last - r.First + 1 }

// Each gives the seeds one after the other, for Pool.Each.
func (r Range) Each() func() (uint64, bool) {
	seed := r.First
	return func() (uint64, bool) {
		if seed > r.Last || seed == 0 {
			return 0, false
		}
		seed++
		return seed - 1, true
	}
}
