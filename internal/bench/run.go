package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dlm/client"
)

// Run is what one run did.
type Run struct {
	Seconds    float64           `json:"seconds"`
	Operations uint64            `json:"operations"`
	Rate       float64           `json:"operations_per_second"`
	Errors     map[string]uint64 `json:"errors"`
	Latency    Latency           `json:"latency_micros"`
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

// tally is what some of the workers saw.
type tally struct {
	mu        sync.Mutex
	latencies *hdrhistogram.Histogram // microseconds
	errors    map[string]uint64
}

// A histogram takes 160 KB, too much for each of many workers.
const maxTallies = 32

const maxLatency = 10 * time.Minute

// leastGrace is how long after the end of a run an operation that was due within it may still start, unless the
// deadline gives it longer. Without it the last ones would count as failed because a timer went off late.
const leastGrace = time.Second

func newTally() *tally {
	return &tally{latencies: hdrhistogram.New(1, maxLatency.Microseconds(), 3), errors: map[string]uint64{}}
}

func (t *tally) failed(err string, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors[err] += n
}

func (t *tally) took(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.latencies.RecordValue(min(d, maxLatency).Microseconds())
}

// load does one run.
func load(ctx context.Context, o Options, kind Workload, w *world) (Run, error) {
	tallies := make([]*tally, min(o.Workers, maxTallies))
	for i := range tallies {
		tallies[i] = newTally()
	}
	if kind.begin != nil {
		if err := fanOut(o.Workers, func(worker, _ int) error { return kind.begin(ctx, w, worker) }); err != nil {
			return Run{}, fmt.Errorf("bench: preparing: %w", err)
		}
	}
	began := time.Now()
	from := began.Add(o.Warmup)
	to := from.Add(o.Duration)
	if kind.once {
		from = began
	}
	var before meter
	var changes uint64
	measured := make(chan error, 1)
	go func() {
		time.Sleep(time.Until(from))
		var err error
		before, err = readMeter(o.Admin)
		changes = w.changes.Load()
		measured <- err
	}()
	if kind.idle {
		sleep(ctx, time.Until(to))
	} else if err := fanOut(o.Workers, func(worker, workers int) error {
		l := loop{o: o, kind: kind, w: w, worker: worker, workers: workers, began: began, from: from, to: to, tally: tallies[worker%len(tallies)]}
		return l.run(ctx)
	}); err != nil {
		return Run{}, err
	}
	if err := errors.Join(<-measured, ctx.Err()); err != nil {
		return Run{}, err
	}
	ended := time.Now()
	after, err := readMeter(o.Admin)
	if err != nil {
		return Run{}, err
	}
	return summed(tallies, ended.Sub(from), after.since(before), w.changes.Load()-changes), nil
}

// loop is one worker's operations of one run.
type loop struct {
	o               Options
	kind            Workload
	w               *world
	worker, workers int
	began, from, to time.Time
	tally           *tally
}

func (l *loop) run(ctx context.Context) error {
	for n := l.worker; ctx.Err() == nil; n += l.workers {
		due := time.Now()
		if l.o.Rate > 0 {
			due = l.began.Add(time.Duration(float64(n) / l.o.Rate * float64(time.Second)))
		}
		if l.kind.once && n >= l.o.Locks || !l.kind.once && !due.Before(l.to) {
			return nil
		}
		sleep(ctx, time.Until(due))
		if !l.kind.once && time.Now().After(l.to.Add(max(l.o.Deadline, leastGrace))) {
			// It fell behind so far that the rest does not start in time.
			l.missed(n)
			return nil
		}
		l.one(ctx, n, due)
	}
	return ctx.Err()
}

// one does an operation and counts it if it belongs to the measured time.
func (l *loop) one(ctx context.Context, n int, due time.Time) {
	if l.o.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, due.Add(l.o.Deadline))
		defer cancel()
	}
	err := l.kind.op(ctx, l.w, l.worker, n)
	if due.Before(l.from) {
		return
	}
	if err != nil {
		l.tally.failed(reason(err), 1)
		return
	}
	l.tally.took(time.Since(due))
}

// missed counts the operations that were never started.
func (l *loop) missed(n int) {
	if l.o.Rate == 0 {
		return
	}
	if last := int(l.to.Sub(l.began).Seconds() * l.o.Rate); n < last {
		l.tally.failed("not started in time", uint64((last-n-1)/l.workers+1))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
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
