// Simbench measures the simulator itself: events a second and simulated seconds a second, with all checkers on, on one core,
// over seeds of the distribution that the tests run. `make simbench` starts it.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"dlm/sim"
	"dlm/sim/run"
)

// target is the number of events a second below which a soak takes too long to be run.
const target = 100_000

// round is one measurement.
type round struct {
	total     run.Totals
	wall, cpu time.Duration
}

func (r round) perSecond() float64 { return float64(r.total.Steps) / r.wall.Seconds() }

func main() {
	seeds := flag.String("seeds", "1-200", "the seeds A-B, or N for 1-N")
	rounds := flag.Int("rounds", 3, "measure so often; the median counts")
	flag.Parse()
	r, err := run.ParseRange(*seeds)
	if err != nil || *rounds < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "simbench: want -seeds=A-B and -rounds=N, N at least 1:", err)
		os.Exit(2)
	}
	// As in a soak: the garbage collector shares the core.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(run.GCPercent)
	fmt.Printf("seeds %v on one core, all checkers on, %s\n", r, machine())
	var all []round
	for range *rounds {
		m := measure(r)
		fmt.Printf("  %d events, %.0f simulated seconds in %.2f s (%.2f s of CPU): %.0f events/s, %.0f simulated seconds a second\n",
			m.total.Steps, m.total.Virtual.Seconds(), m.wall.Seconds(), m.cpu.Seconds(), m.perSecond(), m.total.Virtual.Seconds()/m.wall.Seconds())
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b round) int { return int(a.wall - b.wall) })
	median := all[len(all)/2]
	fmt.Printf("median: %.0f events/s, %s\n", median.perSecond(), verdict(median))
	if median.total.Failed > 0 {
		fmt.Printf("%d of the seeds fail: find out which with make sim SEEDS=%v\n", median.total.Failed, r)
		os.Exit(1)
	}
}

// verdict compares a round with the target. If other programs had the core for a part of the time, the time on the core is
// what counts.
func verdict(r round) string {
	rate, busy := r.perSecond(), ""
	if r.cpu > 0 && r.wall > r.cpu*6/5 {
		rate = float64(r.total.Steps) / r.cpu.Seconds()
		busy = fmt.Sprintf("but other programs had the core for %.0f %% of the time: %.0f events a second on the core, ",
			100*(1-r.cpu.Seconds()/r.wall.Seconds()), rate)
	}
	if rate < target {
		return fmt.Sprintf("%sthe target of %d is MISSED", busy, target)
	}
	return fmt.Sprintf("%sthe target of %d is reached", busy, target)
}

func measure(seeds run.Range) round {
	debug.FreeOSMemory() // what the round before left is not this one's to collect
	var m round
	cpu, began := cpuTime(), time.Now()
	next := seeds.Each()
	for seed, ok := next(); ok; seed, ok = next() {
		m.total.Add(run.Run(sim.Expand(seed), nil))
	}
	m.wall, m.cpu = time.Since(began), cpuTime()-cpu
	return m
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func machine() string {
	return fmt.Sprintf("%s %s/%s, %d cores here", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
