package side

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"dlm/internal/bench"
)

// Results are all that was measured. They are the one home of every number in the document.
type Results struct {
	Began    time.Time  `json:"began"`
	Took     string     `json:"took"`
	Machine  Machine    `json:"machine"`
	Settings Settings   `json:"settings"`
	Services []About    `json:"services"`
	Peers    []About    `json:"peers"`
	Skipped  []Skipped  `json:"skipped,omitempty"`
	Syncs    []float64  `json:"sync_micros_by_round"` // median time to write and sync 4 KiB in place
	Rows     []RowAbout `json:"workloads"`
	Cells    []Cell     `json:"cells"`
}

// Settings of a run.
type Settings struct {
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds_a_cell"`
	Warmup  float64 `json:"warmup_seconds"`
	Locks   int     `json:"locks_held"`
}

// About is a service or a peer in words.
type About struct {
	Name    string `json:"name"`
	Title   string `json:"title,omitempty"`
	How     string `json:"how"`
	Version string `json:"version,omitempty"`
}

// Skipped is a peer that was not measured.
type Skipped struct {
	Peer string `json:"peer"`
	Why  string `json:"why"`
}

// RowAbout is a workload in words.
type RowAbout struct {
	Name string `json:"name"`
	What string `json:"what"`
}

// Cell is one peer under one workload in one round.
type Cell struct {
	Round    int    `json:"round"`
	Workload string `json:"workload"`
	Peer     string `json:"peer"`
	// Asked is the rate that was asked for; 0 = as fast as it goes.
	Asked float64 `json:"asked_operations_per_second,omitempty"`
	// Others is how many cores were busy with what is neither the server nor the load generator, the kernel's own work
	// included.
	Others float64 `json:"others_cores"`
	// Failed is why there are no figures.
	Failed string    `json:"failed,omitempty"`
	Run    bench.Run `json:"run"`
}

// Save writes results, or anything else, as JSON.
func Save(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// Load reads what Save wrote.
func Load(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// metric is a figure of a cell.
type metric func(bench.Run) float64

func rate(r bench.Run) float64      { return r.Rate }
func changes(r bench.Run) float64   { return r.OwnerChanges }
func serverCPU(r bench.Run) float64 { return r.ServerCPU }
func clientCPU(r bench.Run) float64 { return r.ClientCPU }
func p50(r bench.Run) float64       { return r.Latency.P50 }
func p99(r bench.Run) float64       { return r.Latency.P99 }
func tail(r bench.Run) float64      { return r.Latency.P99 / r.Latency.P50 }

// Spread is a figure over the rounds.
type Spread struct{ Median, Least, Most float64 }

func spread(all []float64) (Spread, bool) {
	if len(all) == 0 {
		return Spread{}, false
	}
	s := slices.Sorted(slices.Values(all))
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (s[len(s)/2-1] + m) / 2
	}
	return Spread{m, s[0], s[len(s)-1]}, true
}

// by is a figure in each round that has it.
func (r *Results) by(workload, peer string, of metric) map[int]float64 {
	found := map[int]float64{}
	for _, c := range r.Cells {
		if c.Workload == workload && c.Peer == peer && c.Failed == "" && c.Run.Operations > 0 {
			found[c.Round] = of(c.Run)
		}
	}
	return found
}

// Of is a figure's spread; false if it was not measured.
func (r *Results) Of(workload, peer string, of metric) (Spread, bool) {
	return spread(values(r.by(workload, peer, of)))
}

// Ratio is ours divided by theirs, round by round.
func (r *Results) Ratio(workload, ours, theirs string, of metric) (Spread, bool) {
	a, b := r.by(workload, ours, of), r.by(workload, theirs, of)
	var all []float64
	for round, x := range a {
		if y := b[round]; y > 0 {
			all = append(all, x/y)
		}
	}
	return spread(all)
}

func values(m map[int]float64) (all []float64) {
	for _, x := range m {
		all = append(all, x)
	}
	return all
}

// noise is how many cores others may use before it has to be said.
const noise = 0.15

// Others is the spread of what other processes used meanwhile, in cores.
func (r *Results) Others() Spread {
	var all []float64
	for _, c := range r.Cells {
		all = append(all, c.Others)
	}
	s, _ := spread(all)
	return s
}

// Noisy says so if the machine had other things to do.
func (r *Results) Noisy() string {
	if s := r.Others(); s.Median > noise {
		return fmt.Sprintf("The machine was not quiet: others used %.2f of its cores (median of the cells, at most %.2f). Trust ratios only, and these little.", s.Median, s.Most)
	}
	return ""
}

// failures counts what went wrong for a peer under a workload, over all rounds.
func (r *Results) failures(workload, peer string) (n uint64, why string) {
	for _, c := range r.Cells {
		if c.Workload != workload || c.Peer != peer {
			continue
		}
		if c.Failed != "" {
			n, why = n+1, c.Failed
		}
		for _, w := range sortedKeys(c.Run.Errors) {
			n, why = n+c.Run.Errors[w], w
		}
	}
	return n, why
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) (keys []K) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
