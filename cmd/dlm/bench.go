package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dlm/client"
	"dlm/internal/bench"
)

func newBench(g *globals) *cobra.Command {
	var out format
	o := bench.DefaultOptions()
	var what strings.Builder
	for _, w := range bench.Workloads() {
		fmt.Fprintf(&what, "  %-11s %s\n", w.Name, w.What)
	}
	cmd := &cobra.Command{
		Use:   "bench [WORKLOAD]",
		Short: "Load a server and measure it",
		Long: `bench loads a running server through the client library. Everything that the server does always is on:
it syncs before it answers, keeps sessions alive and recognises duplicates.

Without --rate the workers run one operation after the other (a closed loop). With --rate each operation
has a time at which it should start, and its latency counts from then: stalls are not hidden.

Workloads (default pairs):
` + what.String() + `
Figures are medians over the runs, each by itself. Run it while nothing else does, and compare only what
was measured side by side. With -o json: the options, every run and the median of the runs.`,
		Example: `  dlm bench pairs --workers 1024
  dlm bench handoff --workers 8 -o json
  dlm bench pairs --workers 512 --rate 20000 --deadline 1s --admin 127.0.0.1:50052
  dlm bench held --locks 100000
  dlm bench keepalives --sessions 100000 --connections 100 --duration 30s --admin 127.0.0.1:50052`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeWorkload,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Server = g.server
			if len(args) == 1 {
				o.Workload = args[0]
			}
			if err := o.Validate(); err != nil {
				return &exitError{exitUsage, err}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			return benchmark(ctx, g, o, out, os.Stdout)
		},
	}
	out.add(cmd)
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.Workers, "workers", o.Workers, "operations at the same time")
	f.IntVar(&o.Sessions, "sessions", o.Sessions, "sessions that the workers share (0 = one for each connection,\nor for each worker where they want the same lock)")
	f.IntVar(&o.Connections, "connections", o.Connections, "connections that the sessions share")
	f.Float64Var(&o.Rate, "rate", o.Rate, "operations a second to start (0 = as fast as they end)")
	f.DurationVar(&o.Deadline, "deadline", o.Deadline, "of each operation (0 = none)")
	f.DurationVar(&o.Duration, "duration", o.Duration, "how long each run is measured")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "how long each run goes before that")
	f.IntVar(&o.Runs, "runs", o.Runs, "how many runs")
	f.IntVar(&o.Locks, "locks", o.Locks, "how many locks the workload held acquires")
	f.IntVar(&o.Bytes, "bytes", o.Bytes, "size of an append")
	f.DurationVar(&o.TTL, "ttl", o.TTL, "of the sessions (0 = the server's default)")
	f.StringVar(&o.Admin, "admin", o.Admin, "the server's --admin address, to read its CPU time there")
	return cmd
}

func completeWorkload(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, w := range bench.Workloads() {
		if len(args) == 0 {
			names = append(names, w.Name+"\t"+w.What)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func benchmark(ctx context.Context, g *globals, o bench.Options, out format, w io.Writer) error {
	// One answer first, so that a server that is not there is an error and not a result.
	if err := g.with(func(ctx context.Context, c *client.Client) error { _, err := c.Status(ctx); return err }); err != nil {
		return err
	}
	var table *tabwriter.Writer
	if out == "table" {
		table = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "run\tops\tops/s\tp50 µs\tp99 µs\tp99.9 µs\tmax µs\tserver µs/op\tclient µs/op\terrors\t")
	}
	n := 0
	report, err := bench.Load(ctx, o, func(r bench.Run) {
		n++
		if table != nil {
			row(table, fmt.Sprint(n), r)
		}
	})
	if err != nil {
		return err
	}
	if table == nil {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	row(table, "median", report.Median)
	if err := table.Flush(); err != nil {
		return err
	}
	m := report.Median
	if m.Alive > 0 {
		fmt.Fprintf(w, "%s: %d sessions kept alive over %d connections, in %d runs of %v", o.Workload, m.Alive, o.Connections, o.Runs, o.Duration)
	} else {
		fmt.Fprintf(w, "%s: %.0f ops/s (%.0f to %.0f in %d runs of %v)", o.Workload, m.Rate, report.LeastRate, report.MostRate, o.Runs, o.Duration)
	}
	if m.OwnerChanges > 0 {
		fmt.Fprintf(w, ", %.0f owner changes/s", m.OwnerChanges)
	}
	if o.Admin != "" {
		fmt.Fprintf(w, ", server on %.2f cores", m.ServerCores)
	}
	fmt.Fprintf(w, ", client on %.2f cores\n", m.ClientCores)
	if len(m.Errors) > 0 {
		return errors.New("some operations failed: " + failures(m.Errors))
	}
	return nil
}

func row(w io.Writer, name string, r bench.Run) {
	var failed uint64
	for _, n := range r.Errors {
		failed += n
	}
	cpu := func(micros float64) string {
		if micros == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f", micros)
	}
	if r.Operations == 0 && failed == 0 && r.Alive > 0 {
		fmt.Fprintln(w, name+strings.Repeat("\t-", 8)+"\t0\t")
		return
	}
	fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\t%d\t\n", name, r.Operations, r.Rate,
		r.Latency.P50, r.Latency.P99, r.Latency.P999, r.Latency.Max, cpu(r.ServerCPU), cpu(r.ClientCPU), failed)
}

func failures(by map[string]uint64) string {
	var all []string
	for why, n := range by {
		all = append(all, fmt.Sprintf("%s %d", why, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
