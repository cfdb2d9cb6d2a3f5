package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrOptions is wrapped by errors about the options.
var ErrOptions = errors.New("bench: bad option")

// Options say what to load the server with.
type Options struct {
	// Server is its address, or several with commas between.
	Server string `json:"server"`
	// Admin is the server's admin address. If it is given, the server's CPU time is read there.
	Admin string `json:"admin,omitempty"`
	// Workload is the name of one of Workloads.
	Workload string `json:"workload"`
	// Workers run operations at the same time. 1 .. 100,000.
	Workers int `json:"workers"`
	// Sessions are shared by the workers. 0 = one for each connection, or for each worker where they want the same lock. At most
	// 1,000,000.
	Sessions int `json:"sessions"`
	// Connections are shared by the sessions. 1 .. 1,000.
	Connections int `json:"connections"`
	// Rate is the number of operations a second that should start. 0 = closed loop.
	Rate float64 `json:"rate"`
	// Warmup and Duration of each of the Runs. At most an hour each, 1 .. 100 runs.
	Warmup   time.Duration `json:"warmup_nanos"`
	Duration time.Duration `json:"duration_nanos"`
	Runs     int           `json:"runs"`
	// Deadline of each operation. 0 = none.
	Deadline time.Duration `json:"deadline_nanos"`
	// Locks are acquired by the workload held. 1 .. 4,000,000.
	Locks int `json:"locks"`
	// Bytes of each append. 1 .. 1 MiB.
	Bytes int `json:"bytes"`
	// TTL of the sessions. 0 = the server's default.
	TTL time.Duration `json:"ttl_nanos"`
}

// DefaultOptions are the options of a run that asks for nothing.
func DefaultOptions() Options {
	return Options{
		Server: "127.0.0.1:50051", Workload: "pairs", Workers: 64, Connections: 1,
		Warmup: time.Second, Duration: 5 * time.Second, Runs: 3, Locks: 100_000, Bytes: 64,
	}
}

func (o Options) withDefaults() Options {
	if o.Sessions == 0 {
		o.Sessions = o.Connections
		if workloadOf(o.Workload).apart {
			o.Sessions = o.Workers
		}
	}
	return o
}

// Validate says in plain words what is wrong.
func (o Options) Validate() error {
	names := make([]string, 0, len(workloads))
	for _, w := range workloads {
		names = append(names, w.Name)
	}
	if !slices.Contains(names, o.Workload) {
		return fmt.Errorf("%w: there is no workload %q; there are %s", ErrOptions, o.Workload, strings.Join(names, ", "))
	}
	for _, c := range []struct {
		what               string
		value, least, most int64
	}{
		{"workers", int64(o.Workers), 1, 100_000},
		{"sessions", int64(o.Sessions), 0, 1_000_000},
		{"connections", int64(o.Connections), 1, 1000},
		{"runs", int64(o.Runs), 1, 100},
		{"locks", int64(o.Locks), 1, 4_000_000},
		{"bytes of an append", int64(o.Bytes), 1, 1 << 20},
	} {
		if c.value < c.least || c.value > c.most {
			return fmt.Errorf("%w: %s must be %d to %d, not %d", ErrOptions, c.what, c.least, c.most, c.value)
		}
	}
	for _, c := range []struct {
		what  string
		value time.Duration
		least time.Duration
	}{
		{"the duration of a run", o.Duration, time.Millisecond},
		{"the warm-up", o.Warmup, 0},
		{"the deadline of an operation", o.Deadline, 0},
		{"the TTL", o.TTL, 0},
	} {
		if c.value < c.least || c.value > time.Hour {
			return fmt.Errorf("%w: %s must be %v to %v, not %v", ErrOptions, c.what, c.least, time.Hour, c.value)
		}
	}
	if o.Rate < 0 || o.Rate > 1e7 {
		return fmt.Errorf("%w: the rate must be 0 (as fast as it goes) to 10,000,000 operations a second, not %v", ErrOptions, o.Rate)
	}
	return nil
}
