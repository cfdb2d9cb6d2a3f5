// Command bench measures lock services side by side: dlm, etcd, Redis, ZooKeeper and PostgreSQL. `make bench-peers` runs it;
// docs/benchmarks.md says what it measures and shows what came of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dlm/bench/side"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	bin, dir, out    string
	rounds, locks    int
	cell, warmup     time.Duration
	quick            bool
	peers, workloads string
}

const usage = `usage: bench peers|profile|document [flags]
  peers     measure all services in turns, write results, plot and document
  profile   measure where the time of ours goes, write the document
  document  write plot and document again from the results
`

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return errors.New(strings.TrimSpace(usage))
	}
	o := options{}
	f := flag.NewFlagSet("bench "+args[0], flag.ContinueOnError)
	f.StringVar(&o.bin, "bin", "bin", "directory of our server; the peers' own programs are in peers/ below it")
	f.StringVar(&o.dir, "dir", "", "directory for the servers' data, on a disk (default: one in bin/peers that is removed at the end)")
	f.StringVar(&o.out, "out", "docs/benchmarks", "directory for the results and the plot; the document is this with .md\n(with -quick: bin/peers/quick)")
	f.IntVar(&o.rounds, "rounds", 3, "rounds; in each, everything is measured once")
	f.DurationVar(&o.cell, "cell", 5*time.Second, "how long each peer is measured under each workload in a round")
	f.DurationVar(&o.warmup, "warmup", 1500*time.Millisecond, "before each of these")
	f.IntVar(&o.locks, "locks", 100_000, "how many locks the workload held acquires")
	f.BoolVar(&o.quick, "quick", false, "a short try that shows that all works: one round of one second each")
	f.StringVar(&o.peers, "peers", "", "only these, with commas between")
	f.StringVar(&o.workloads, "workloads", "", "only these, with commas between")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q\n%s", f.Arg(0), usage)
	}
	if o.quick {
		given := false
		f.Visit(func(x *flag.Flag) { given = given || x.Name == "out" })
		if !given {
			o.out = filepath.Join(o.bin, "peers", "quick")
		}
		o.rounds, o.cell, o.warmup, o.locks = 1, time.Second, 200*time.Millisecond, 5000
	}
	if o.rounds < 1 || o.cell < 100*time.Millisecond || o.warmup < 0 || o.locks < 1 {
		return errors.New("-rounds and -locks must be at least 1, -cell at least 100ms, -warmup not negative")
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	o.bin = bin
	switch args[0] {
	case "peers":
		return o.withDir(func() error { return o.measure(ctx) })
	case "profile":
		return o.withDir(func() error { return o.profile(ctx) })
	case "document":
		return side.Write(o.out)
	}
	return fmt.Errorf("there is no command %q\n%s", args[0], usage)
}

// withDir makes the data directory if none was named, and removes it in the end.
func (o *options) withDir(f func() error) (err error) {
	if o.dir == "" {
		parent := filepath.Join(o.bin, "peers")
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
		if o.dir, err = os.MkdirTemp(parent, "data."); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
		// PostgreSQL runs as a user of its own, who has to get to its directory.
		if err := os.Chmod(o.dir, 0o711); err != nil {
			return err
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	return f()
}

// all are the peers that there are, ours first.
func (o *options) all() []side.Peer {
	ours, redis := side.DLM(o.bin), redisService()
	return []side.Peer{
		side.Library(ours), side.Unary(ours), etcd(filepath.Join(o.bin, "peers")),
		redisPooled(redis), redisPipelined(redis), zookeeper(), postgres(),
	}
}

func (o *options) measure(ctx context.Context) error {
	peers, err := pick(o.all(), o.peers, "peer", func(p side.Peer) string { return p.Name })
	if err != nil {
		return err
	}
	workloads, err := pick(side.Workloads(o.locks), o.workloads, "workload", func(w side.Workload) string { return w.Name })
	if err != nil {
		return err
	}
	results, err := side.Measure(ctx, side.Plan{
		Peers: peers, Workloads: workloads, Rounds: o.rounds, Duration: o.cell, Warmup: o.warmup, Dir: o.dir,
		Settings: side.Settings{Rounds: o.rounds, Seconds: o.cell.Seconds(), Warmup: o.warmup.Seconds(), Locks: o.locks},
		Log:      func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
	})
	if err != nil {
		return err
	}
	fmt.Println()
	fmt.Println(results.Targets())
	if noisy := results.Noisy(); noisy != "" {
		fmt.Println(noisy)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	if err := side.Save(filepath.Join(o.out, side.ResultsFile), results); err != nil {
		return err
	}
	return side.Write(o.out)
}

// pick takes the named ones; all if none is named.
func pick[T any](all []T, names, kind string, name func(T) string) ([]T, error) {
	if names == "" {
		return all, nil
	}
	var picked []T
	var known []string
	wanted := strings.Split(names, ",")
	for _, t := range all {
		known = append(known, name(t))
		if slices.Contains(wanted, name(t)) {
			picked = append(picked, t)
		}
	}
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("there is no %s %q; there are %s", kind, w, strings.Join(known, ", "))
		}
	}
	return picked, nil
}
