package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dlm/client"
)

// Run is what one run did.
type Run struct {
	Seconds    float64           `json:"seconds"`
	Operations uint64            `json:"operations"`
	Rate       float64           `json:"operations_per_second"`
	Errors     map[string]uint64 `json:"errors"`
	Latency    Latency           `json:"latency_micros"`
	// Alive is how many sessions lived at the end, of the workload keepalives, which has no operations.
	Alive int `json:"sessions_alive,omitempty"`
	// OwnerChanges of the lock a second, of the workload handoff.
	OwnerChanges float64 `json:"owner_changes_per_second"`
	// CPU time an operation in microseconds, and share of one core; the server's is 0 if it was not asked.
	ClientCPU float64 `json:"client_cpu_micros_per_operation"`
	ServerCPU float64 `json:"server_cpu_micros_per_operation"`
	// ServerCores and ClientCores are how many cores were busy.
	ServerCores float64 `json:"server_cores"`
	ClientCores float64 `json:"client_cores"`
}

// Latency in microseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Load runs the workload, Options.Runs times, and tells each run as it ends. It stops early when ctx ends.
func Load(ctx context.Context, o Options, each func(Run)) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	o = o.withDefaults()
	report := Report{Options: o, Began: time.Now().UTC()}
	kind := workloadOf(o.Workload)
	var w *world
	defer func() {
		if w != nil {
			w.close()
		}
	}()
	for n := range o.Runs {
		if w == nil || kind.once {
			if w != nil {
				w.close()
			}
			var err error
			if w, err = connect(ctx, o, fmt.Sprintf("bench/%x-%d", report.Began.UnixNano(), n)); err != nil {
				return report, fmt.Errorf("bench: opening sessions: %w", err)
			}
		}
		r, err := load(ctx, o, kind, w)
		if err != nil {
			return report, err
		}
		report.Runs = append(report.Runs, r)
		if each != nil {
			each(r)
		}
	}
	report.sum()
	return report, nil
}

// load does one run.
func load(ctx context.Context, o Options, kind Workload, w *world) (Run, error) {
	if kind.begin != nil {
		if err := fanOut(o.Workers, func(worker, _ int) error { return kind.begin(ctx, w, worker) }); err != nil {
			return Run{}, fmt.Errorf("bench: preparing: %w", err)
		}
	}
	j := Job{
		Workers: o.Workers, Rate: o.Rate, Warmup: o.Warmup, Duration: o.Duration, Deadline: o.Deadline,
		Changes: w.changes.Load,
		Op:      func(ctx context.Context, worker, n int) error { return kind.op(ctx, w, worker, n) },
	}
	if kind.once {
		j.Count = o.Locks
	}
	if kind.idle {
		j.Op = nil
	}
	if o.Admin != "" {
		j.ServerCPU = func() (time.Duration, error) { return serverCPU(o.Admin) }
	}
	r, err := j.Run(ctx)
	if kind.idle && err == nil {
		r.Alive = w.alive()
		if lost := len(w.sessions) - r.Alive; lost > 0 {
			r.Errors["session lost"] = uint64(lost)
		}
	}
	return r, err
}

// reason is an error in a word or two.
func reason(err error) string {
	for _, r := range []struct {
		is   error
		word string
	}{
		{context.DeadlineExceeded, "deadline"},
		{client.ErrLost, "lost"},
		{client.ErrUnavailable, "unavailable"},
		{client.ErrWaitTimeout, "wait timeout"},
		{client.ErrNotAcquired, "not acquired"},
	} {
		if errors.Is(err, r.is) {
			return r.word
		}
	}
	return err.Error()
}

// fanOut runs f on n goroutines and returns the first error.
func fanOut(n int, f func(i, n int) error) error {
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = f(i, n) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
