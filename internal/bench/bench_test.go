package bench

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dlm/client"
	"dlm/grpcserver"
)

// serve starts a server and returns its addresses.
func serve(t *testing.T) (addr, admin string) {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	o := grpcserver.Options{Dir: t.TempDir(), Listener: listen(), SegmentBytes: 1 << 20}
	s, err := grpcserver.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	var pages grpcserver.Admin
	pages.Show(s)
	l := listen()
	stop := pages.Serve(l, nil)
	t.Cleanup(func() {
		stop()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return o.Listener.Addr().String(), l.Addr().String()
}

func quick(addr, workload string) Options {
	o := DefaultOptions()
	o.Server, o.Workload, o.Workers, o.Runs = addr, workload, 4, 2
	o.Warmup, o.Duration, o.Locks = 20*time.Millisecond, 200*time.Millisecond, 500
	return o
}

func TestWorkloads(t *testing.T) {
	addr, admin := serve(t)
	for _, kind := range Workloads() {
		t.Run(kind.Name, func(t *testing.T) {
			o := quick(addr, kind.Name)
			o.Admin, o.Sessions = admin, 3
			told := 0
			r, err := Load(t.Context(), o, func(Run) { told++ })
			if err != nil {
				t.Fatal(err)
			}
			if told != 2 || len(r.Runs) != 2 || len(r.Median.Errors) != 0 {
				t.Errorf("told of %d runs: %+v", told, r)
			}
			m := r.Median
			if kind.idle != (m.Alive > 0) {
				t.Errorf("%d sessions alive", m.Alive)
			}
			if kind.idle != (m.Operations == 0) || kind.once && m.Operations != 500 {
				t.Errorf("%d operations", m.Operations)
			}
			if !kind.idle && (m.Latency.P50 <= 0 || m.Latency.P50 > m.Latency.Max || m.Rate < r.LeastRate || m.Rate > r.MostRate) {
				t.Errorf("median %+v, least %v, most %v", m, r.LeastRate, r.MostRate)
			}
			if (kind.Name == "handoff") != (m.OwnerChanges > 0) {
				t.Errorf("%v owner changes", m.OwnerChanges)
			}
		})
	}
	// Everything was given back.
	c, err := client.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if st, err := c.Status(t.Context()); err != nil || st.GetSessions() != 0 || st.GetLocks() != 0 {
		t.Errorf("%v, %v", st, err)
	}
}

// One operation of a fixed-rate run takes 100 ms while others were due: they all saw it.
func TestLatencyCountsFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, testLatencyCountsFromWhenItWasDue)
}

func testLatencyCountsFromWhenItWasDue(t *testing.T) {
	const rate, stall = 1000, 100 * time.Millisecond
	op := func(_ context.Context, _, n int) error {
		if n == 0 {
			time.Sleep(stall)
		}
		return nil
	}
	l := loop{job: Job{Rate: rate, Op: op}, workers: 1, began: time.Now(), tally: newTally()}
	l.from, l.to = l.began, l.began.Add(200*time.Millisecond)
	if err := l.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Of the 200 operations the first 100 were held up, from 100 ms down to 1 ms.
	n, late, most := l.tally.latencies.TotalCount(), l.tally.latencies.ValueAtPercentile(75), l.tally.latencies.Max()
	if n != 200 || !near(late, stall/2) || !near(most, stall) {
		t.Errorf("%d operations, a quarter of them slower than %d µs, the slowest %d µs", n, late, most)
	}
}

// near allows for the three digits of a histogram.
func near(micros int64, d time.Duration) bool {
	want := d.Microseconds()
	return want*98/100 <= micros && micros <= want*102/100
}

// An operation that was due within the run counts however late its timer goes off.
func TestTheLastOperationMayStartLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := func(_ context.Context, _, _ int) error {
			time.Sleep(15 * time.Millisecond)
			return nil
		}
		l := loop{job: Job{Rate: 100, Op: op}, workers: 1, began: time.Now(), tally: newTally()}
		l.from, l.to = l.began, l.began.Add(100*time.Millisecond)
		if err := l.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := l.tally.latencies.TotalCount(); n != 10 || len(l.tally.errors) != 0 {
			t.Errorf("%d operations, failed: %v", n, l.tally.errors)
		}
	})
}

// What cannot start before its deadline counts as failed.
func TestFallingBehindIsAnError(t *testing.T) {
	synctest.Test(t, testFallingBehindIsAnError)
}

func testFallingBehindIsAnError(t *testing.T) {
	op := func(ctx context.Context, _, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}
	l := loop{job: Job{Rate: 1000, Deadline: 30 * time.Millisecond, Op: op}, workers: 1, began: time.Now(), tally: newTally()}
	l.from, l.to = l.began, l.began.Add(100*time.Millisecond)
	if err := l.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var failed uint64
	for _, n := range l.tally.errors {
		failed += n
	}
	if failed != 100 || l.tally.latencies.TotalCount() != 0 {
		t.Errorf("%v failed, %d succeeded", l.tally.errors, l.tally.latencies.TotalCount())
	}
}

// Without a deadline, too, a run ends: what has not started a second after its end counts as failed.
func TestWhatNeverStartedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := func(_ context.Context, _, _ int) error {
			time.Sleep(2 * time.Second)
			return nil
		}
		l := loop{job: Job{Rate: 1000, Op: op}, workers: 1, began: time.Now(), tally: newTally()}
		l.from, l.to = l.began, l.began.Add(100*time.Millisecond)
		if err := l.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, failed := l.tally.latencies.TotalCount(), l.tally.errors["not started in time"]; n != 1 || failed != 99 {
			t.Errorf("%d operations, %d not started", n, failed)
		}
	})
}

func TestBadOptions(t *testing.T) {
	for says, change := range map[string]func(*Options){
		`there is no workload "pear"; there are pairs, `: func(o *Options) { o.Workload = "pear" },
		"workers must be 1 to 100000, not 0":             func(o *Options) { o.Workers = 0 },
		"the rate must be 0":                             func(o *Options) { o.Rate = -1 },
		"the duration of a run must be 1ms":              func(o *Options) { o.Duration = 0 },
		"the warm-up must be 0s":                         func(o *Options) { o.Warmup = -time.Second },
		"bytes of an append must be 1 to 1048576":        func(o *Options) { o.Bytes = 2 << 20 },
	} {
		o := DefaultOptions()
		change(&o)
		if _, err := Load(t.Context(), o, nil); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}
