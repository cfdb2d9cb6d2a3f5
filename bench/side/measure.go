package side

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"dlm/internal/bench"
)

// Plan says what to measure.
type Plan struct {
	Peers     []Peer
	Workloads []Workload
	Rounds    int
	Duration  time.Duration // of a cell
	Warmup    time.Duration // before each cell
	Dir       string        // the servers' data
	Settings  Settings
	Log       func(format string, args ...any)
}

// warming is how long each server is loaded before the first round.
const warming = 3 * time.Second

// Measure starts the servers, takes all rounds and stops the servers.
func Measure(ctx context.Context, p Plan) (results Results, err error) {
	results = Results{Began: time.Now().UTC(), Settings: p.Settings}
	if err := os.MkdirAll(p.Dir, 0o711); err != nil {
		return results, err
	}
	if results.Machine, err = Describe(p.Dir); err != nil {
		return results, err
	}
	for _, w := range p.Workloads {
		results.Rows = append(results.Rows, RowAbout{w.Name, w.What})
	}
	running := map[*Service]*Running{}
	defer func() {
		for _, r := range running {
			err = errors.Join(err, r.Stop())
		}
	}()
	peers, err := p.start(ctx, running, &results)
	if err != nil {
		return results, err
	}
	for _, peer := range peers {
		warm := Workload{Name: "warming", Use: Use{Workers: 64}}
		c := p.cell(ctx, running, peer, warm, 0, warming, "warming")
		if c.Failed != "" {
			return results, fmt.Errorf("%s: %s", peer.Name, c.Failed)
		}
	}
	for round := range p.Rounds {
		sync, err := probeSync(p.Dir)
		if err != nil {
			return results, err
		}
		results.Syncs = append(results.Syncs, sync)
		p.Log("round %d of %d: writing and syncing 4 KiB takes %.0f µs", round+1, p.Rounds, sync)
		peaks := map[string]float64{}
		for _, w := range p.Workloads {
			for i := range peers {
				peer := peers[(i+round)%len(peers)]
				if peer.Only != nil && !slices.Contains(peer.Only, w.Name) {
					continue
				}
				asked := 0.0
				if w.Half != "" {
					if asked = peaks[w.Half+" "+peer.Name] / 2; asked == 0 {
						continue // no peak, no half of it; why not is in that cell
					}
				}
				c := p.cell(ctx, running, peer, w, asked, p.Duration, fmt.Sprintf("r%d-%s", round+1, w.Name))
				if ctx.Err() != nil {
					return results, ctx.Err()
				}
				c.Round = round + 1
				peaks[w.Name+" "+peer.Name] = c.Run.Rate
				results.Cells = append(results.Cells, c)
				p.Log("  %s", c)
			}
		}
	}
	results.Took = time.Since(results.Began).Round(time.Second).String()
	return results, nil
}

// start runs the services of all peers that are installed, and halts them.
func (p Plan) start(ctx context.Context, running map[*Service]*Running, results *Results) (peers []Peer, err error) {
	for _, peer := range p.Peers {
		s := peer.Service
		if err := s.Find(); err != nil {
			p.Log("SKIPPED: %s is not installed: %v", peer.Title, err)
			results.Skipped = append(results.Skipped, Skipped{peer.Name, err.Error()})
			continue
		}
		if running[s] == nil {
			version, err := s.Version()
			if err != nil {
				return nil, fmt.Errorf("%s: its version: %w", s.Name, err)
			}
			if running[s], err = s.Run(ctx, p.Dir); err != nil {
				delete(running, s)
				return nil, err
			}
			p.Log("%s serves at %s as process %d", version, running[s].Addr, running[s].PID)
			running[s].Halt()
			results.Services = append(results.Services, About{Name: s.Name, How: s.Setup, Version: version})
		}
		peers = append(peers, peer)
		results.Peers = append(results.Peers, About{Name: peer.Name, Title: peer.Title, How: peer.How})
	}
	return peers, nil
}

// cell measures once. The server goes on for as long as that takes.
func (p Plan) cell(ctx context.Context, running map[*Service]*Running, peer Peer, w Workload, asked float64, duration time.Duration, prefix string) Cell {
	c := Cell{Workload: w.Name, Peer: peer.Name, Asked: asked}
	server := running[peer.Service]
	server.GoOn()
	defer server.Halt()
	runtime.GC() // what the last one left is not this one's
	// No client library that ignores its context may hold up the rest.
	ctx, cancel := context.WithTimeout(ctx, duration+p.Warmup+5*time.Minute)
	defer cancel()
	began, before := time.Now(), p.others(server)
	var err error
	if c.Run, err = Once(ctx, server, peer, w, bench.Job{Rate: asked, Warmup: p.Warmup, Duration: duration}, prefix); err != nil {
		c.Failed = err.Error()
	}
	c.Others = (p.others(server) - before).Seconds() / time.Since(began).Seconds()
	return c
}

// others is the CPU time that neither the server nor this process has used, nor was there to use, so far.
func (p Plan) others(server *Running) time.Duration {
	used, err := server.CPU()
	if err != nil {
		return 0
	}
	worked, stolen := busy()
	return worked + stolen - used - ownCPU()
}

// Once dials, runs the workload and closes. Rate, Warmup and Duration are the job's.
func Once(ctx context.Context, server *Running, peer Peer, w Workload, j bench.Job, prefix string) (bench.Run, error) {
	client, err := dial(ctx, server.Addr, peer, w.Use)
	if err != nil {
		return bench.Run{}, fmt.Errorf("connecting: %w", err)
	}
	j.Workers, j.Count, j.ServerCPU = w.Use.Workers, w.Count, server.CPU
	names := make([]string, w.Use.Workers)
	for i := range names {
		names[i] = fmt.Sprintf("%s/%d", prefix, i)
	}
	var owner atomic.Int64
	var changes atomic.Uint64
	switch {
	case w.Count > 0:
		j.Op = func(ctx context.Context, worker, n int) error {
			_, err := client.Lock(ctx, worker, fmt.Sprintf("%s/%08d", prefix, n))
			return err
		}
	case w.Use.Apart:
		j.Changes = changes.Load
		j.Op = func(ctx context.Context, worker, _ int) error {
			held, err := client.Lock(ctx, worker, prefix)
			if err != nil {
				return err
			}
			if me := int64(worker + 1); owner.Swap(me) != me {
				changes.Add(1)
			}
			return held.Unlock(ctx)
		}
	default:
		j.Op = func(ctx context.Context, worker, _ int) error {
			held, err := client.Lock(ctx, worker, names[worker])
			if err != nil {
				return err
			}
			return held.Unlock(ctx)
		}
	}
	run, err := j.Run(ctx)
	return run, errors.Join(err, client.Close())
}

// dial tries again while a server that has just begun to listen is not ready yet.
func dial(ctx context.Context, addr string, peer Peer, use Use) (Client, error) {
	for deadline := time.Now().Add(patience); ; {
		once, cancel := context.WithTimeout(ctx, patience)
		c, err := peer.Dial(once, addr, use)
		cancel()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return c, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// String is the cell in one line.
func (c Cell) String() string {
	if c.Failed != "" {
		return fmt.Sprintf("%-11s %-16s FAILED: %s", c.Workload, c.Peer, c.Failed)
	}
	r := c.Run
	s := fmt.Sprintf("%-11s %-16s %8.0f/s  p50 %6.0f µs  p99 %6.0f µs  CPU µs: server %5.1f, client %5.1f", c.Workload, c.Peer, r.Rate,
		r.Latency.P50, r.Latency.P99, r.ServerCPU, r.ClientCPU)
	if r.OwnerChanges > 0 {
		s += fmt.Sprintf("  %.0f owner changes/s", r.OwnerChanges)
	}
	if c.Others > noise {
		s += fmt.Sprintf("  (others used %.2f cores)", c.Others)
	}
	if len(r.Errors) > 0 {
		s += fmt.Sprintf("  ERRORS: %v", r.Errors)
	}
	return s
}
