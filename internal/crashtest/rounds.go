package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

type config struct {
	rounds, clients int
	server, lie     string
	out             io.Writer
}

// test is a run: the server, and who is sure of what.
type test struct {
	config
	dir    string
	proxy  *rig.Proxy
	server *rig.Server
	load   *load
	asker  *client.Client
	counts counts
}

// counts are for the reader.
type counts struct {
	kills, early int // early: before the server had recovered
	torn         int // starts that found a torn tail
	tornBytes    int64
	snapshots    int // starts from another snapshot than the one before
	lastSnapshot uint64
}

// checkEvery is after how many rounds everything is compared, besides at the end: by then files are long.
const checkEvery = 20

func run(ctx context.Context, c config) error {
	began := time.Now()
	t := &test{config: c}
	err := t.run(ctx)
	n := t.counts
	elapsed := time.Since(began)
	if l := t.load; l != nil {
		fmt.Fprintf(c.out, "%d kills, %d of them before the server had recovered; %d starts found a torn tail (%d bytes), %d another snapshot\n",
			n.kills, n.early, n.torn, n.tornBytes, n.snapshots)
		fmt.Fprintf(c.out, "%d clients: %d acknowledged operations (%d locks, %d appends, %d releases), %d calls given up; %.0f operations a second in %.1f s\n",
			c.clients, l.acked(), l.locks.Load(), l.appends.Load(), l.unlocks.Load(), l.givenUp.Load(), float64(l.acked())/elapsed.Seconds(), elapsed.Seconds())
	}
	if err != nil {
		if t.dir != "" {
			fmt.Fprintf(c.out, "the data directory is kept: %s\n", t.dir)
		}
		fmt.Fprintf(c.out, "FAIL: %v\n", err)
		return err
	}
	_ = os.RemoveAll(t.dir)
	fmt.Fprintln(c.out, "PASS")
	return nil
}

func (t *test) run(ctx context.Context) (err error) {
	if t.dir, err = os.MkdirTemp("", "dlm-crashtest-"); err != nil {
		return err
	}
	if t.proxy, err = rig.NewProxy(""); err != nil {
		return err
	}
	defer t.proxy.Close()
	if t.asker, err = dial(t.proxy.Addr()); err != nil {
		return err
	}
	defer t.asker.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.load = newLoad(t.clients)
	stop := t.load.start(ctx, t.proxy.Addr(), cancel)
	err = t.all(ctx)
	if err == nil {
		// The clients get their last answers from a server that lives.
		err = errors.Join(stop(), t.compare(ctx, "at the end"), t.server.Stop(), t.up(ctx), t.compare(ctx, "after an orderly stop and start"))
	}
	cancel(errors.New("the test is over"))
	_ = stop()
	if t.server != nil {
		t.server.Kill()
	}
	return err
}

// all rounds: at the end of each the server lives.
func (t *test) all(ctx context.Context) error {
	if err := t.up(ctx); err != nil {
		return err
	}
	for round := 1; round <= t.rounds; round++ {
		// Work until something was acknowledged, then die at any moment.
		if err := t.load.progress(ctx); err != nil {
			return err
		}
		time.Sleep(rand.N(80 * time.Millisecond))
		if err := t.kill(); err != nil {
			return err
		}
		for rand.IntN(4) == 0 {
			if err := t.start(); err != nil {
				return err
			}
			time.Sleep(rand.N(30 * time.Millisecond))
			if err := t.kill(); err != nil {
				return err
			}
		}
		if err := t.up(ctx); err != nil {
			return err
		}
		if round%checkEvery == 0 {
			if err := t.compare(ctx, fmt.Sprintf("round %d", round)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *test) start() (err error) {
	t.server, err = rig.StartServer(t.config.server, filepath.Join(t.dir, "data"), "--lie", t.lie)
	return err
}

// readyWithin is more than any recovery takes.
const readyWithin = 60 * time.Second

func (t *test) up(ctx context.Context) error {
	if err := t.start(); err != nil {
		return err
	}
	inner, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	at, err := t.server.Ready(inner)
	if err != nil {
		if context.Cause(ctx) != nil {
			return context.Cause(ctx) // a client has found something
		}
		return err
	}
	t.proxy.SetTarget(at.Address)
	if at.TornBytes > 0 {
		t.counts.torn++
		t.counts.tornBytes += at.TornBytes
	}
	if at.SnapshotIndex != t.counts.lastSnapshot {
		t.counts.snapshots++
		t.counts.lastSnapshot = at.SnapshotIndex
	}
	return nil
}

func (t *test) kill() error {
	served := t.server.Served()
	if !t.server.Kill() {
		return fmt.Errorf("the server has ended by itself:\n%s", t.server.Log())
	}
	t.counts.kills++
	if !served {
		t.counts.early++
	}
	return nil
}

// compareWithin bounds a comparison, and the wait for clients to finish what they hold.
const compareWithin = 60 * time.Second

// compare everything, while the clients rest.
func (t *test) compare(ctx context.Context, when string) error {
	inner, cancel := context.WithTimeout(ctx, compareWithin)
	defer cancel()
	t.load.rest.Lock()
	defer t.load.rest.Unlock()
	if context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	tally, err := t.load.ledger.Check(inner, t.asker)
	if err == nil {
		err = t.foreign(inner)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", when, err)
	}
	fmt.Fprintf(t.out, "%s: %d grants with growing tokens; %d files of %d bytes: %d acknowledged appends are there once, of %d others %d\n",
		when, t.load.ledger.Grants(), tally.Files, tally.Bytes, tally.Acked, tally.Unacked, tally.Kept)
	return nil
}

// foreign looks for files that nobody has appended to, and at the service's idea of the last token.
func (t *test) foreign(ctx context.Context) error {
	known := map[string]bool{}
	for _, name := range t.load.names() {
		known[name] = true
	}
	for f, err := range t.asker.Files(ctx, "") {
		if err != nil {
			return err
		}
		if !known[f.GetFile()] {
			return fmt.Errorf("there is a file %q, which nobody has appended to", f.GetFile())
		}
	}
	st, err := t.asker.Status(ctx)
	if err == nil && st.GetLastToken() < t.load.ledger.Floor() {
		err = fmt.Errorf("the service says that the last token is %d, it has granted %d", st.GetLastToken(), t.load.ledger.Floor())
	}
	return err
}
