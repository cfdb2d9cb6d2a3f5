package bench

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Job is work for a number of workers. It knows nothing of whom it loads, so other servers are measured by the same code.
type Job struct {
	Workers int
	// Rate is the number of operations a second that should start. 0 = closed loop.
	Rate float64
	// Warmup passes before operations count, for Duration. Deadline is of each operation; 0 = none.
	Warmup, Duration, Deadline time.Duration
	// Count is the number of operations; each is done once and the run ends when all are, without a warm-up. 0 = as many as
	// there is time for.
	Count int
	// Op is one operation, the n-th (from 0) of all. nil = there are none; the run only passes time.
	Op func(ctx context.Context, worker, n int) error
	// ServerCPU reads how much CPU time the server has used. nil = it is not asked.
	ServerCPU func() (time.Duration, error)
	// Changes counts how often the lock changed its owner. nil = it is not counted.
	Changes func() uint64
}

// heapFloor is how many bytes of the heap are kept from the collector's sight during a job; nobody touches them. A load generator has next to
// nothing in its heap: its collector would run every few milliseconds and look through the stacks of all workers each time, other
// than that of the application whose load this is.
const heapFloor = 64 << 20

// Run does the job once. It stops early, with an error, when ctx ends.
func (j Job) Run(ctx context.Context) (Run, error) {
	defer runtime.KeepAlive(make([]byte, heapFloor))
	tallies := make([]*tally, min(j.Workers, maxTallies))
	for i := range tallies {
		tallies[i] = newTally()
	}
	began := time.Now()
	from := began.Add(j.Warmup)
	to := from.Add(j.Duration)
	if j.Count > 0 {
		from = began
	}
	var before meter
	measured := make(chan error, 1)
	go func() {
		time.Sleep(time.Until(from))
		var err error
		before, err = j.read()
		measured <- err
	}()
	if j.Op == nil {
		sleep(ctx, time.Until(to))
	} else if err := fanOut(j.Workers, func(worker, workers int) error {
		l := loop{job: j, worker: worker, workers: workers, began: began, from: from, to: to, tally: tallies[worker%len(tallies)]}
		// As the requests of a service have: with one for all, each wait would lock the same channel.
		own, cancel := context.WithCancel(ctx)
		defer cancel()
		return l.run(own)
	}); err != nil {
		return Run{}, err
	}
	if err := errors.Join(<-measured, ctx.Err()); err != nil {
		return Run{}, err
	}
	ended := time.Now()
	after, err := j.read()
	if err != nil {
		return Run{}, err
	}
	return summed(tallies, ended.Sub(from), after.since(before)), nil
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

// lateness is the part of an operation's deadline within which it has to start.
const lateness = 10

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

// loop is one worker's operations of one run.
type loop struct {
	job             Job
	worker, workers int
	began, from, to time.Time
	tally           *tally
}

func (l *loop) run(ctx context.Context) error {
	once := l.job.Count > 0
	for n := l.worker; ctx.Err() == nil; n += l.workers {
		due := time.Now()
		if l.job.Rate > 0 {
			due = l.began.Add(time.Duration(float64(n) / l.job.Rate * float64(time.Second)))
		}
		if once && n >= l.job.Count || !once && !due.Before(l.to) {
			return nil
		}
		sleep(ctx, time.Until(due))
		if l.job.Rate > 0 && l.job.Deadline > 0 && time.Since(due) > l.job.Deadline/lateness {
			// Its worker was busy until now. A worker that made up for what it has missed would be late for ever, and each of
			// its operations would begin when its deadline is about to pass.
			if !due.Before(l.from) {
				l.tally.failed("not started in time", 1)
			}
			continue
		}
		if !once && time.Now().After(l.to.Add(max(l.job.Deadline, leastGrace))) {
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
	if l.job.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, due.Add(l.job.Deadline))
		defer cancel()
	}
	err := l.job.Op(ctx, l.worker, n)
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
	if l.job.Rate == 0 {
		return
	}
	if last := int(l.to.Sub(l.began).Seconds() * l.job.Rate); n < last {
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
