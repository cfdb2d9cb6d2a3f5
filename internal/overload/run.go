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
	o := options(serving.Address)
	o.Rate, o.Deadline, o.Duration = s.times*best, deadline, s.duration
	o.Workers = s.callers
	if o.Workers == 0 {
		o.Workers = int(s.times * float64(callers))
	}
	over, err := load(ctx, o, fmt.Sprintf("%d callers, %.0f pairs to start a second", o.Workers, o.Rate))
	before, after := m.thirds()
	if err != nil {
		return err
	}
	h.end()
	return judge(s, best, over, h, before, after)
}

func options(addr string) bench.Options {
	o := bench.DefaultOptions()
	o.Server, o.Runs, o.Connections, o.Sessions = addr, 1, 4, 512
	o.Warmup, o.Duration = time.Second, 10*time.Second
	return o
}

// findBest is the best throughput of callers that wait for their answers, and how many those were.
func findBest(ctx context.Context, addr string) (best float64, callers int, err error) {
	for _, workers := range []int{256, 1024, 4096} {
		o := options(addr)
		o.Workers = workers
		r, err := load(ctx, o, fmt.Sprintf("%d callers, one pair after the other", workers))
		if err != nil {
			return 0, 0, err
		}
		if r.Rate > best {
			best, callers = r.Rate, workers
		}
	}
	return best, callers, nil
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
