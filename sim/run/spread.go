package run

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dlm/sim"
)

// Spread is how much happens in a single run: sums hide that a few wild runs do all the work, medians do not.
type Spread struct {
	// Seen is, for each measure, how many runs had how much of it.
	Seen map[string]map[int]int
	// Meet is in how many runs a crash of the server, a cut link and a lost message come together.
	Meet int
	Runs int
}

// measure is something that is counted in each run. The floors are about half of what the distribution had when they were
// set: below them somebody has turned the faults down.
type measure struct {
	name  string
	floor int
	of    func(Result) int
}

var measures = []measure{
	{"events", 1600, func(r Result) int { return int(r.Steps) }},
	{"simulated seconds", 12, func(r Result) int { return int(r.Virtual / time.Second) }},
	{"faults", 8, func(r Result) int {
		faults, _ := Split(r.Counts, "fault ")
		n := 0
		for _, k := range faults {
			n += k
		}
		return n
	}},
	{"grants", 12, func(r Result) int { return r.Counts["lock granted to an actor"] }},
	{"server crashes", 2, crashes},
	{"frames lost", 17, lost},
	{"frames that came twice", 12, func(r Result) int { return r.Counts["net duplicated"] + r.Counts["net late copies"] }},
	{"frames that took long", 3, func(r Result) int { return r.Counts["net slow"] }},
	{"probes", 14, func(r Result) int {
		probes, _ := Split(r.Counts, sim.ProbePrefix)
		return len(probes)
	}},
}

// meetFloor is the share of the runs, in percent, in which crash, cut and loss have to meet.
const meetFloor = 25

// floorRuns is how many runs it takes to judge by floors, probeRuns to require every probe.
const (
	floorRuns = 200
	probeRuns = 1500
)

func crashes(r Result) int { return r.Counts["server crash"] + r.Counts["power cut"] }
func lost(r Result) int    { return r.Counts["net dropped"] + r.Counts["net eaten by a cut"] }
func cuts(r Result) int {
	return r.Counts["fault "+string(sim.FaultCut)] + r.Counts["fault "+string(sim.FaultIsolate)]
}

func (s *Spread) add(r Result) {
	if s.Seen == nil {
		s.Seen = map[string]map[int]int{}
		for _, m := range measures {
			s.Seen[m.name] = map[int]int{}
		}
	}
	s.Runs++
	for _, m := range measures {
		s.Seen[m.name][m.of(r)]++
	}
	if crashes(r) > 0 && cuts(r) > 0 && lost(r) > 0 {
		s.Meet++
	}
}

// median is the least value that half of the runs do not exceed.
func (s *Spread) median(name string) int {
	seen := s.Seen[name]
	runs := 0
	for _, v := range slices.Sorted(maps.Keys(seen)) {
		if runs += seen[v]; 2*runs >= s.Runs {
			return v
		}
	}
	return 0
}

func (s *Spread) meetPercent() int { return 100 * s.Meet / max(s.Runs, 1) }

func (s *Spread) table() string {
	medians := map[string]int{}
	for _, m := range measures {
		medians[m.name] = s.median(m.name)
	}
	return Table("medians of a run", medians) +
		fmt.Sprintf("crash, cut and loss meet in %d %% of the runs\n", s.meetPercent())
}

// TooTame says in what the runs are less wild than they have to be; nothing for few runs.
func (t *Totals) TooTame() []string {
	var low []string
	s := &t.Spread
	if s.Runs >= floorRuns {
		for _, m := range measures {
			if got := s.median(m.name); got < m.floor {
				low = append(low, fmt.Sprintf("the median of %s in a run is %d, at least %d is wanted", m.name, got, m.floor))
			}
		}
		if got := s.meetPercent(); got < meetFloor {
			low = append(low, fmt.Sprintf("crash, cut and loss meet in %d %% of the runs, at least %d %% is wanted", got, meetFloor))
		}
	}
	if s.Runs >= probeRuns {
		for _, p := range sim.Probes() {
			if t.Counts[sim.ProbePrefix+p.Name] == 0 {
				low = append(low, fmt.Sprintf("a probe was never met: %s (%s)", p.Name, p.What))
			}
		}
	}
	return low
}

// met lists the probes, the rarest first: that is where the distribution is thin.
func (t *Totals) met() string {
	all := sim.Probes()
	slices.SortStableFunc(all, func(a, b sim.Probe) int {
		return t.Counts[sim.ProbePrefix+a.Name] - t.Counts[sim.ProbePrefix+b.Name]
	})
	var b strings.Builder
	fmt.Fprintf(&b, "probes, %d of them, and how often each was met:\n", len(all))
	for _, p := range all {
		fmt.Fprintf(&b, "%9d  %s\n", t.Counts[sim.ProbePrefix+p.Name], p.Name)
	}
	return b.String()
}
