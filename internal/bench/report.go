package bench

import (
	"slices"
	"time"
)

// Report is all runs and what they come to.
type Report struct {
	Options Options   `json:"options"`
	Began   time.Time `json:"began"`
	Runs    []Run     `json:"runs"`
	// Median of each figure over the runs, by itself; Least and Most of the rate.
	Median    Run     `json:"median"`
	LeastRate float64 `json:"least_operations_per_second"`
	MostRate  float64 `json:"most_operations_per_second"`
}

// summed puts the workers' tallies together.
func summed(tallies []*tally, took time.Duration, used meter) Run {
	all := newTally()
	for _, t := range tallies {
		all.latencies.Merge(t.latencies)
		for why, n := range t.errors {
			all.errors[why] += n
		}
	}
	micros := func(percent float64) float64 { return float64(all.latencies.ValueAtPercentile(percent)) }
	r := Run{
		Seconds: took.Seconds(), Operations: uint64(all.latencies.TotalCount()), Errors: all.errors,
		Latency: Latency{
			P50: micros(50), P90: micros(90), P99: micros(99), P999: micros(99.9), Max: float64(all.latencies.Max()),
		},
		ServerCores: used.server.Seconds() / took.Seconds(), ClientCores: used.client.Seconds() / took.Seconds(),
		OwnerChanges: float64(used.changes) / took.Seconds(),
	}
	r.Rate = float64(r.Operations) / took.Seconds()
	if r.Operations > 0 {
		r.ClientCPU = used.client.Seconds() * 1e6 / float64(r.Operations)
		r.ServerCPU = used.server.Seconds() * 1e6 / float64(r.Operations)
	}
	return r
}

func (r *Report) sum() {
	of := func(figure func(Run) float64) []float64 {
		var all []float64
		for _, run := range r.Runs {
			all = append(all, figure(run))
		}
		slices.Sort(all)
		return all
	}
	median := func(figure func(Run) float64) float64 { all := of(figure); return all[len(all)/2] }
	rates := of(func(x Run) float64 { return x.Rate })
	r.LeastRate, r.MostRate = rates[0], rates[len(rates)-1]
	r.Median = Run{
		Seconds:    median(func(x Run) float64 { return x.Seconds }),
		Operations: uint64(median(func(x Run) float64 { return float64(x.Operations) })),
		Rate:       median(func(x Run) float64 { return x.Rate }),
		Errors:     map[string]uint64{},
		Latency: Latency{
			P50:  median(func(x Run) float64 { return x.Latency.P50 }),
			P90:  median(func(x Run) float64 { return x.Latency.P90 }),
			P99:  median(func(x Run) float64 { return x.Latency.P99 }),
			P999: median(func(x Run) float64 { return x.Latency.P999 }),
			Max:  median(func(x Run) float64 { return x.Latency.Max }),
		},
		Alive:        int(median(func(x Run) float64 { return float64(x.Alive) })),
		OwnerChanges: median(func(x Run) float64 { return x.OwnerChanges }),
		ClientCPU:    median(func(x Run) float64 { return x.ClientCPU }),
		ServerCPU:    median(func(x Run) float64 { return x.ServerCPU }),
		ServerCores:  median(func(x Run) float64 { return x.ServerCores }),
		ClientCores:  median(func(x Run) float64 { return x.ClientCores }),
	}
	for _, run := range r.Runs {
		for why, n := range run.Errors {
			r.Median.Errors[why] += n // of all runs: a failure is not to be averaged away
		}
	}
}
