// Bigbench measures a server that has much to remember: how long requests take with and without a snapshot being taken, how
// large the log and the snapshot are on the disk, and how long a restart takes after a kill.
//
//	bigbench -server bin/server -locks 1000000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

type settings struct {
	server                string
	locks, sessions, rate int
	phase                 time.Duration
	snapshotBytes         string
	restarts              int
}

func main() {
	var s settings
	flag.StringVar(&s.server, "server", "bin/server", "program of the server")
	flag.IntVar(&s.locks, "locks", 1_000_000, "locks to hold")
	flag.IntVar(&s.sessions, "sessions", 10, "sessions that hold them")
	flag.IntVar(&s.rate, "rate", 1000, "pairs a second while it is measured")
	flag.DurationVar(&s.phase, "phase", 20*time.Second, "how long each phase is measured")
	flag.StringVar(&s.snapshotBytes, "snapshot-bytes", "4MiB", "log between snapshots in the phase with snapshots")
	flag.IntVar(&s.restarts, "restarts", 5, "how often the server is killed and started again")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "bigbench:", err)
		os.Exit(1)
	}
}

func run(s settings) (err error) {
	dir, err := os.MkdirTemp("", "dlm-big.")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	began := time.Now()
	if err := s.with(data, nil, func(addr string) error { return s.hold(addr) }); err != nil {
		return err
	}
	fmt.Printf("%d locks held after %.1f s\n", s.locks, time.Since(began).Seconds())
	for _, p := range []struct {
		name string
		args []string
	}{
		{"without snapshots", []string{"--snapshot-bytes", "1GiB"}},
		{"with snapshots", []string{"--snapshot-bytes", s.snapshotBytes}},
	} {
		if err := s.with(data, p.args, func(addr string) error { return s.phaseOf(p.name, data, addr) }); err != nil {
			return err
		}
	}
	return s.restart(data)
}

// with runs the server meanwhile and kills it at the end.
func (s *settings) with(data string, args []string, do func(addr string) error) error {
	server, err := rig.StartServer(s.server, data, args...)
	if err != nil {
		return err
	}
	defer server.Kill()
	serving, err := ready(server)
	if err != nil {
		return err
	}
	return do(serving.Address)
}

func ready(server *rig.Server) (rig.Serving, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return server.Ready(ctx)
}

// hold acquires the locks and leaves their sessions open.
func (s *settings) hold(addr string) error {
	c, err := client.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Leave()
	const callers = 256
	held := make([]*client.Session, s.sessions)
	for i := range held {
		if held[i], err = c.OpenSession(context.Background(), client.WithTTL(6*time.Hour)); err != nil {
			return err
		}
	}
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			for i := w; i < s.locks && errs[w] == nil; i += callers {
				_, errs[w] = held[i%s.sessions].Lock(context.Background(), fmt.Sprintf("service/%08d", i))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// phaseOf locks and unlocks at a fixed rate. A latency counts from when the pair should have begun: if this process gets no
// processor, it is in the latencies, and "late" says how much of the longest may be owed to that.
func (s *settings) phaseOf(name, data, addr string) error {
	c, err := client.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	session, err := c.OpenSession(context.Background())
	if err != nil {
		return err
	}
	n := int(s.phase.Seconds() * float64(s.rate))
	took, late, errs := make([]time.Duration, n), make([]time.Duration, n), make([]error, n)
	disk := watch(data)
	begin := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	for i := range n {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(s.rate))
		time.Sleep(time.Until(due))
		wg.Go(func() {
			late[i] = time.Since(due)
			l, err := session.Lock(context.Background(), fmt.Sprintf("pair-%d", i))
			if err == nil {
				err = l.Unlock(context.Background())
			}
			took[i], errs[i] = time.Since(due), err
		})
	}
	wg.Wait()
	seen := disk()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[min(n-1, int(q*float64(n)))].Seconds() * 1e3 }
	within, _ := slices.BinarySearch(took, slow)
	fmt.Printf("%-18s %d pairs/s: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, most %.2f ms, %d above %v, begun at most %.2f ms late; %s\n",
		name, s.rate, at(0.5), at(0.99), at(0.999), at(1), n-within, slow, slices.Max(late).Seconds()*1e3, seen)
	return nil
}

// slow is a pair that takes as long as this.
const slow = 20 * time.Millisecond

// watch looks at the data directory every 50 ms until the result is asked for.
func watch(data string) (result func() string) {
	stop, out := make(chan struct{}), make(chan string)
	go func() {
		var logMost, snapshot int64
		var begun, took time.Duration
		names := map[string]bool{}
		start := time.Now()
		for {
			select {
			case <-stop:
				out <- fmt.Sprintf("%d snapshots of %.1f MB in %.2f s or less, log at most %.0f MB", max(len(names)-1, 0), float64(snapshot)/1e6, took.Seconds(), float64(logMost)/1e6)
				return
			case <-time.After(50 * time.Millisecond):
			}
			now := time.Since(start)
			var log int64
			writing := false
			files, _ := filepath.Glob(filepath.Join(data, "*"))
			for _, f := range files {
				info, err := os.Stat(f)
				if err != nil {
					continue
				}
				base := filepath.Base(f)
				switch {
				case len(base) > 9 && base[:9] == "snapshot-" && filepath.Ext(base) == ".tmp":
					writing = true
				case len(base) > 9 && base[:9] == "snapshot-":
					names[base], snapshot = true, info.Size()
				case len(base) > 4 && (base[:4] == "segm" || base[:4] == "next"):
					log += info.Size()
				}
			}
			logMost = max(logMost, log)
			switch {
			case writing && begun == 0:
				begun = now
			case !writing && begun != 0:
				took, begun = max(took, now-begun), 0
			}
		}
	}()
	return func() string {
		close(stop)
		return <-out
	}
}

// restart kills the server and measures from the start of the process until it serves.
func (s *settings) restart(data string) error {
	var all []time.Duration
	for range s.restarts {
		began := time.Now()
		server, err := rig.StartServer(s.server, data)
		if err != nil {
			return err
		}
		serving, err := ready(server)
		took := time.Since(began)
		server.Kill()
		if err != nil {
			return err
		}
		all = append(all, took)
		fmt.Printf("restart: serves after %.2f s (%d entries after the snapshot)\n", took.Seconds(), serving.Entries)
	}
	slices.Sort(all)
	fmt.Printf("restart: median %.2f s, longest %.2f s\n", all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
	return nil
}
