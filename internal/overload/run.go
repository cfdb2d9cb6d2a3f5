package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"dlm/internal/bench"
)

const (
	deadline = time.Second
	// leastOfBest is how much of the best throughput has to be left.
	leastOfBest = 0.9
	// busyLoad: a load that uses more of its processors than this may be what was measured.
	busyLoad = 0.9
)

// run measures; cpu is the server's.
func run(ctx context.Context, s settings, cpu int) (err error) {
	dir, err := os.MkdirTemp("", "dlm-overload.")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := startServer(ctx, s, dir, cpu)
	if err != nil {
		return err
	}
	defer server.Kill()
	serving, err := server.Ready(ctx)
	if err != nil {
		return err
	}
	h, err := hold(ctx, serving.Address, s.holders)
	if err != nil {
		return err
	}
	defer h.end()
	faster, err := crowd(cpu)
	if err != nil {
		return err
	}
	defer faster()
	fmt.Printf("a server of nice %d on a busy processor, pairs of lock and unlock; %d holders renew every %v\n", s.nice, s.holders, renewEvery)

	best, callers, err := findBest(ctx, serving.Address)
	if err != nil {
		return err
	}
	h.forget()
	m := watchMemory(server.Pid())
	t, err := inTurns(ctx, s, serving.Address, best, callers)
	before, after := m.thirds()
	if err != nil {
		return err
	}
	h.end()
	return judge(s, t, h, before, after)
}

func options(addr string) bench.Options {
	o := bench.DefaultOptions()
	o.Server, o.Runs, o.Connections, o.Sessions = addr, 1, 4, 512
	o.Warmup, o.Duration, o.Deadline = time.Second, 5*time.Second, deadline
	return o
}

// findBest is the best throughput of callers that wait for their answers, and how many those were.
func findBest(ctx context.Context, addr string) (best float64, callers int, err error) {
	for _, workers := range []int{256, 1024, 4096} {
		rate, err := closed(ctx, addr, workers)
		if err != nil {
			return 0, 0, err
		}
		if rate > best {
			best, callers = rate, workers
		}
	}
	return best, callers, nil
}

// closed is the throughput of callers that wait for their answers.
func closed(ctx context.Context, addr string, callers int) (float64, error) {
	o := options(addr)
	o.Workers = callers
	r, err := load(ctx, o, fmt.Sprintf("%d callers, one pair after the other", callers))
	return r.Rate, err
}

// turns is what came of the overloads.
type turns struct {
	ofBest []float64 // throughput of each, in parts of what the server could do just before and just after
	cores  float64   // processors that the load had at most
}

// inTurns overloads the server for a while, again and again, and in between looks what it can do: on a shared machine that changes by
// a third within a minute.
func inTurns(ctx context.Context, s settings, addr string, best float64, callers int) (t turns, err error) {
	if s.callers == 0 {
		s.callers = int(s.times * float64(callers))
	}
	for range s.rounds {
		o := options(addr)
		o.Rate, o.Workers, o.Duration = s.times*best, s.callers, s.duration
		over, err := load(ctx, o, fmt.Sprintf("%d callers, %.0f pairs to start a second", o.Workers, o.Rate))
		if err != nil {
			return t, err
		}
		after, err := closed(ctx, addr, callers)
		if err != nil {
			return t, err
		}
		t.ofBest = append(t.ofBest, over.Rate/((best+after)/2))
		t.cores = max(t.cores, over.ClientCores)
		best = after
	}
	slices.Sort(t.ofBest)
	return t, nil
}

func load(ctx context.Context, o bench.Options, what string) (bench.Run, error) {
	report, err := bench.Load(ctx, o, nil)
	if err != nil {
		return bench.Run{}, err
	}
	r := report.Median
	fmt.Printf("  %-55s %7.0f pairs/s, p50 %4.0f ms, p99 %4.0f ms, load on %.2f processors%s\n",
		what+":", r.Rate, r.Latency.P50/1000, r.Latency.P99/1000, r.ClientCores, failures(r.Errors))
	return r, nil
}

func failures(by map[string]uint64) string {
	var out strings.Builder
	for _, why := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(&out, ", %s: %d", why, by[why])
	}
	return out.String()
}
