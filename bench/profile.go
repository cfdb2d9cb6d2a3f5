package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"dlm/bench/side"
	"dlm/internal/bench"
)

// profile measures where our time goes: each workload runs twice, once for the figures and once under the CPU profilers, which
// cost time themselves. The profiles are kept for `go tool pprof`.
func (o *options) profile(ctx context.Context) (err error) {
	ours := side.DLM(o.bin)
	if err := ours.Find(); err != nil {
		return err
	}
	p := side.Profile{Began: time.Now().UTC(), Seconds: o.cell.Seconds()}
	if p.Machine, err = side.Describe(o.dir); err != nil {
		return err
	}
	if p.Version, err = ours.Version(); err != nil {
		return err
	}
	keep := filepath.Join(o.bin, "peers", "profiles")
	if err := os.MkdirAll(keep, 0o755); err != nil {
		return err
	}
	server, err := ours.Run(ctx, o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	type job struct {
		side.Workload
		peer side.Peer
	}
	var jobs []job
	for _, w := range side.Workloads(o.locks) {
		if w.Half == "" {
			jobs = append(jobs, job{w, side.Library(ours)})
		}
		if w.Name == "pairs-64" {
			w.Name, w.What = "unary-64", w.What+", unary calls"
			jobs = append(jobs, job{w, side.Unary(ours)})
		}
	}
	jobs, err = pick(jobs, o.workloads, "workload", func(j job) string { return j.Name })
	if err != nil {
		return err
	}
	// A server shows its metrics once it has recovered; after this it has, and is warm.
	warm := side.Workload{Name: "warming", Use: side.Use{Workers: 64}}
	if _, err := side.Once(ctx, server, side.Library(ours), warm, bench.Job{Duration: o.cell}, warm.Name); err != nil {
		return err
	}
	for _, j := range jobs {
		row, err := o.figures(ctx, server, j.peer, j.Workload)
		if err != nil {
			return fmt.Errorf("%s: %w", j.Name, err)
		}
		if err := o.shares(ctx, server, j.peer, j.Workload, keep, &row); err != nil {
			return fmt.Errorf("%s: %w", j.Name, err)
		}
		fmt.Printf("%-11s %8.0f operations/s, %6.0f syncs/s of %5.0f µs, server %.1f µs, client %.1f µs of CPU\n", j.Name, row.Rate, row.Syncs, row.SyncMicros,
			row.Server.CPU, row.Client.CPU)
		p.Rows = append(p.Rows, row)
	}
	fmt.Printf("the profiles are in %s; look with: go tool pprof -http : FILE\n", keep)
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	if err := side.Save(filepath.Join(o.out, side.ProfileFile), p); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.out, side.ResultsFile)); err != nil {
		fmt.Println("the document is written once `bench peers` has made its results")
		return nil
	}
	return side.Write(o.out)
}

func (o *options) job() bench.Job { return bench.Job{Warmup: o.warmup, Duration: o.cell} }

// figures runs a workload with nothing in its way, and reads all counters before and after. The operations of the warm-up count
// too: what is divided by is what the server did in the same time.
func (o *options) figures(ctx context.Context, server *side.Running, peer side.Peer, w side.Workload) (row side.ProfileRow, err error) {
	admin := fmt.Sprintf("127.0.0.1:%d", server.Ports[1])
	j := o.job()
	j.Duration, j.Warmup = j.Duration+j.Warmup, 0
	before, client, err := counters(ctx, server, admin)
	if err != nil {
		return row, err
	}
	run, err := side.Once(ctx, server, peer, w, j, "figures-"+w.Name)
	if err != nil {
		return row, err
	}
	after, clientAfter, err := counters(ctx, server, admin)
	if err != nil {
		return row, err
	}
	if len(run.Errors) > 0 {
		return row, fmt.Errorf("operations failed: %v", run.Errors)
	}
	s, c, n := after.Since(before), clientAfter.Since(client), float64(run.Operations)
	return side.ProfileRow{
		Workload: w.Name, What: w.What, Rate: run.Rate, P50: run.Latency.P50, P99: run.Latency.P99,
		Syncs: s.Syncs / run.Seconds, Batch: s.Requests / max(s.Syncs, 1), SyncMicros: s.SyncSeconds * 1e6 / max(s.Syncs, 1), Written: s.Written / n,
		Server: side.Side{CPU: run.ServerCPU, Cores: run.ServerCores, Switches: s.Switches / n, Allocs: s.Allocs / n, AllocBytes: s.AllocBytes / n},
		Client: side.Side{CPU: run.ClientCPU, Cores: run.ClientCores, Switches: c.Switches / n, Allocs: c.Allocs / n, AllocBytes: c.AllocBytes / n},
	}, nil
}

// counters are the server's and ours.
func counters(ctx context.Context, server *side.Running, admin string) (theirs, ours side.Counters, err error) {
	if theirs, err = side.ServerCounters(ctx, server.PID, admin, server.Dir); err != nil {
		return theirs, ours, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	ours.Allocs, ours.AllocBytes = float64(m.Mallocs), float64(m.TotalAlloc)
	ours.Switches, err = side.Switches(os.Getpid())
	return theirs, ours, err
}

// shares runs it again under both profilers.
func (o *options) shares(ctx context.Context, server *side.Running, peer side.Peer, w side.Workload, keep string, row *side.ProfileRow) error {
	// Where operations are counted the time is not known before: it is as long as it was the first time.
	seconds := max(1, int(o.cell.Seconds()))
	if w.Count > 0 {
		seconds = max(1, int(float64(w.Count)/row.Rate))
	}
	type page struct {
		b   []byte
		err error
	}
	got := make(chan page, 1)
	go func() {
		if w.Count == 0 {
			time.Sleep(o.warmup)
		}
		b, err := side.Get(ctx, fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", server.Ports[1], seconds))
		got <- page{b, err}
	}()
	var own bytes.Buffer
	if err := pprof.StartCPUProfile(&own); err != nil {
		return err
	}
	_, err := side.Once(ctx, server, peer, w, o.job(), "shares-"+w.Name)
	pprof.StopCPUProfile()
	theirs := <-got
	if err := errors.Join(err, theirs.err); err != nil {
		return err
	}
	for _, x := range []struct {
		name string
		b    []byte
		into *side.Side
	}{{"server", theirs.b, &row.Server}, {"client", own.Bytes(), &row.Client}} {
		if err := os.WriteFile(filepath.Join(keep, w.Name+"-"+x.name+".pb.gz"), x.b, 0o644); err != nil {
			return err
		}
		parsed, err := profile.ParseData(x.b)
		if err != nil {
			return err
		}
		x.into.Shares = sharesOf(parsed)
	}
	return nil
}

// kinds tell what a sample is spent on by a function on its stack. Of each sample the innermost function that says something
// counts; among the kinds that fit that function, the first.
var kinds = []struct {
	of    string
	names []string // prefixes of functions
}{
	{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcDrain", "runtime.bgsweep", "runtime.gcAssistAlloc", "runtime.bgscavenge", "runtime.scanobject"}},
	{"allocation", []string{"runtime.mallocgc", "runtime.newobject", "runtime.makeslice", "runtime.growslice", "runtime.deductAssistCredit"}},
	{"switching goroutines, waking threads", []string{
		"runtime.schedule", "runtime.findRunnable", "runtime.mcall", "runtime.park_m", "runtime.goready", "runtime.ready", "runtime.wakep",
		"runtime.mstart", "runtime.systemstack_switch", "runtime.futex", "runtime.netpoll", "runtime.sysmon", "runtime.gopark", "runtime.goschedImpl",
		"runtime.selectgo", "runtime.chansend", "runtime.chanrecv", "runtime.exitsyscall", "runtime.entersyscall", "runtime.usleep",
	}},
	{"network: system calls", []string{"internal/poll.(*FD)", "net.(*netFD)"}},
	{"disk: system calls", []string{"syscall.Fdatasync", "golang.org/x/sys/unix.", "internal/poll.(*FD).Pwrite", "os.(*File)", "syscall."}},
	{"gRPC and HTTP/2", []string{"google.golang.org/grpc", "golang.org/x/net/http2"}},
	{"protobuf", []string{"google.golang.org/protobuf"}},
	{"raft", []string{"go.etcd.io/raft"}},
	{"core: the lock table", []string{"dlm/core."}},
	{"wal", []string{"dlm/wal"}},
	{"replica", []string{"dlm/replica."}},
	{"grpcserver", []string{"dlm/grpcserver."}},
	{"engine", []string{"dlm/client/engine."}},
	{"client", []string{"dlm/client."}},
	{"the load generator", []string{"dlm/internal/bench", "dlm/bench", "main.", "github.com/HdrHistogram"}},
}

const otherKind = "the rest"

func sharesOf(p *profile.Profile) (shares []side.Share) {
	by, all := map[string]float64{}, 0.0
	for _, s := range p.Sample {
		v := float64(s.Value[len(s.Value)-1]) // nanoseconds
		all += v
		by[kindOf(s)] += v
	}
	for _, k := range kinds {
		if by[k.of] > 0 {
			shares = append(shares, side.Share{Of: k.of, Percent: 100 * by[k.of] / all})
		}
	}
	return append(shares, side.Share{Of: otherKind, Percent: 100 * by[otherKind] / max(all, 1)})
}

func kindOf(s *profile.Sample) string {
	for _, l := range s.Location {
		for _, line := range l.Line { // the innermost first
			name := line.Function.Name
			// A write to a file is not the network, though both go through internal/poll.
			if strings.HasPrefix(name, "internal/poll.(*FD).Pwrite") || strings.HasPrefix(name, "internal/poll.(*FD).Fsync") {
				return "disk: system calls"
			}
			for _, k := range kinds {
				for _, prefix := range k.names {
					if strings.HasPrefix(name, prefix) && (prefix != "syscall." || strings.HasPrefix(name, "syscall.Fdatasync") || strings.HasPrefix(name, "syscall.Pwrite")) {
						return k.of
					}
				}
			}
		}
	}
	return otherKind
}
