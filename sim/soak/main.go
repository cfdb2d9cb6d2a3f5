// Soak runs the simulator over many seeds on all cores. It shows how far it is, can be stopped (Ctrl-C) and goes on where it
// stopped when it is started again with the same range and the same code, goes on past failures, and ends with a summary.
// What a soak of a clean commit found is appended to a ledger. Usually it is started by `make soak SEEDS=100000`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"dlm/sim/explain"
	"dlm/sim/run"
)

type options struct {
	seeds     run.Range
	processes int
	state     string // directory of what is to be resumed
	ledger    string // file, "" = do not record
	commit    string // of the code that this program was built from
	program   string // that runs the seeds, "" = this one
	env       []string
}

func main() {
	run.ServeIfAsked()
	var o options
	seeds := flag.String("seeds", "1-1000", "the seeds A-B, or N for 1-N")
	flag.IntVar(&o.processes, "processes", runtime.NumCPU(), "how many processes run seeds")
	flag.StringVar(&o.state, "state", "bin/soaks", "directory for what a stopped soak needs to go on")
	flag.StringVar(&o.ledger, "ledger", "", "append the result of a finished soak to this file")
	flag.StringVar(&o.commit, "commit", "", "the commit that this program was built from, ending in -dirty if files were changed; needed for -ledger")
	flag.Parse()
	var err error
	if o.seeds, err = run.ParseRange(*seeds); err == nil && flag.NArg() > 0 {
		err = fmt.Errorf("%q is one argument too many: the seeds are given as -seeds=A-B", flag.Arg(0))
	}
	if err == nil && (o.processes < 1 || o.processes > 1024) {
		err = fmt.Errorf("-processes is %d; it must lie between 1 and 1024", o.processes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	// The first interrupt lets the running seeds end; a second one ends the program, which loses nothing but these.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(soak(ctx, o, os.Stdout))
}

// soak returns the program's exit code: 0 passed, 1 failed, 130 stopped.
func soak(ctx context.Context, o options, out io.Writer) int {
	s, err := resume(o)
	if err != nil {
		fmt.Fprintln(out, "soak:", err)
		return 2
	}
	if s.Totals.Runs > 0 {
		fmt.Fprintf(out, "soak: goes on after %d of %d seeds (%s)\n", s.Totals.Runs, o.seeds.Len(), s.file)
	}
	p := newProgress(out, s)
	err = run.Pool{Program: o.program, Env: o.env, Processes: o.processes}.Each(ctx, s.next, func(r run.Result) {
		s.add(r)
		if r.Failure != nil {
			p.line("%s\n    %s: %s", explain.SeedLine(r.Seed), r.Failure.Number, firstLine(r.Failure.Text))
		}
		p.show()
		s.saveNowAndThen()
	})
	p.end()
	if err = errors.Join(err, s.save()); err != nil {
		fmt.Fprintln(out, "soak:", err)
		return 2
	}
	if !s.finished() {
		summary(out, s)
		fmt.Fprintln(out, "soak: stopped; the same command goes on from here")
		return 130
	}
	summary(out, s)
	if o.ledger != "" {
		if err := record(o.ledger, o.commit, s, time.Now()); err != nil {
			fmt.Fprintln(out, "soak: not recorded in the ledger:", err)
		} else {
			fmt.Fprintf(out, "soak: recorded in %s; commit it\n", o.ledger)
		}
	}
	if err := os.Remove(s.file); err != nil {
		fmt.Fprintln(out, "soak:", err)
	}
	if s.Totals.Failed > 0 {
		return 1
	}
	return 0
}
