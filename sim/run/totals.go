package run

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"dlm/sim"
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
	Spread  Spread
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
	t.Spread.add(r)
	sum(t.Counts, r.Counts)
	sum(t.Checks, r.Checks)
}

// Unchecked lists the promises that were never checked. Some twenty runs are enough to check them all.
func (t *Totals) Unchecked() []string {
	var missing []string
	for _, number := range sim.Required() {
		if t.Checks[number] == 0 {
			missing = append(missing, number)
		}
	}
	return missing
}

func sum(to, from map[string]int) {
	for k, v := range from {
		to[k] += v
	}
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

// Tables prints what many runs met: faults, probes, what else happened, and how often which promise was checked.
func (t *Totals) Tables() string {
	faults, rest := Split(t.Counts, "fault ")
	_, rest = Split(rest, sim.ProbePrefix)
	return Table("faults", faults) + Table("what happened", rest) + t.met() + t.Spread.table() + Table("checks", t.Checks)
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
