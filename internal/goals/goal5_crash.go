package goals

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// Crash is goal 5.
var Crash = Goal{
	number: 5, name: "server crash", run: runCrash,
	title: "against a server of its own, which it kills; the one at %s is asked at the end whether it still works",
	flags: func(f *flag.FlagSet, o *options) {
		f.StringVar(&o.server, "server", "", "the server program to start and kill (default: the one beside this program)")
	},
	check: findServer,
}

// findServer looks for the program, before anything is done.
func findServer(o *options) error {
	if o.server == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.server = filepath.Join(filepath.Dir(self), "server")
	}
	info, err := os.Stat(o.server)
	if err == nil && (info.IsDir() || info.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is no program", o.server)
	}
	if err != nil {
		return fmt.Errorf("the server program to start and kill: %w; say which with --server", err)
	}
	return nil
}

func runCrash(ctx context.Context, e *env, r *rig.Report) {
	g, err := newCrashGoal(ctx, e)
	if err != nil {
		r.Fail(err)
		return
	}
	defer g.close()
	r.Run(ctx,
		rig.NewScenario("kill -9 in mid-load", g.killed("load", g.midLoad)),
		rig.NewScenario("kill -9 during recovery", g.killed("recovery", g.inRecovery)),
		rig.NewScenario("kill -9 right after a snapshot", g.killed("snapshot", g.afterSnapshot)),
		rig.NewScenario("A torn record at the end of the log", g.killed("torn", g.tornTail)),
		rig.NewScenario("Duplicates across a crash", g.duplicates),
		rig.NewScenario("The queue that has waited all the time", g.served),
	)
	r.Run(ctx, rig.NewCheck("The server at "+e.addr+" works", e.stillWorks))
}

// crashGoal has a server that it kills, and what must outlive that: holders, and a queue.
type crashGoal struct {
	*env
	dir      string
	running  *rig.Server
	proxy    *rig.Proxy // the address that stays
	c        *client.Client
	ledger   *rig.Ledger
	standing standing
	starts   int
}

// crashArgs make the server take snapshots all the time.
var crashArgs = []string{"--snapshot-bytes", "32KiB"}

func newCrashGoal(ctx context.Context, e *env) (*crashGoal, error) {
	g := &crashGoal{env: e, ledger: rig.NewLedger()}
	if err := g.open(ctx); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *crashGoal) open(ctx context.Context) (err error) {
	if g.dir, err = os.MkdirTemp("", "dlm-goal5-"); err != nil {
		return err
	}
	if g.proxy, err = rig.NewProxy(""); err != nil {
		return err
	}
	if _, err := g.up(ctx); err != nil {
		return err
	}
	if g.c, err = g.dial(); err != nil {
		return err
	}
	return g.stand(ctx)
}

// dial makes a client that is quick to try again: the point is what it finds then.
func (g *crashGoal) dial(opts ...client.Option) (*client.Client, error) {
	return client.Dial(g.proxy.Addr(), append([]client.Option{client.WithAttemptTimeout(500 * time.Millisecond), client.WithBackoff(5*time.Millisecond, 50*time.Millisecond)}, opts...)...)
}

func (g *crashGoal) data() string { return filepath.Join(g.dir, "data") }

// up starts the server and returns when it serves.
func (g *crashGoal) up(ctx context.Context) (rig.Serving, error) {
	if err := g.begin(); err != nil {
		return rig.Serving{}, err
	}
	at, err := g.running.Ready(ctx)
	if err == nil {
		g.proxy.SetTarget(at.Address)
	}
	return at, err
}

func (g *crashGoal) begin() (err error) {
	g.starts++
	g.running, err = rig.StartServer(g.server, g.data(), crashArgs...)
	return err
}

// down kills the server.
func (g *crashGoal) down() error {
	if !g.running.Kill() {
		return fmt.Errorf("the server has ended by itself:\n%s", g.running.Log())
	}
	return nil
}

func (g *crashGoal) close() {
	if g.c != nil {
		_ = g.c.Close()
	}
	if g.running != nil {
		g.running.Kill()
	}
	if g.proxy != nil {
		g.proxy.Close()
	}
	if g.dir != "" {
		_ = os.RemoveAll(g.dir)
	}
}

// killed runs a load while strike kills and restarts the server, and then looks at everything.
func (g *crashGoal) killed(name string, strike func(context.Context, *rig.Scenario) error) func(context.Context, *rig.Scenario) error {
	return func(ctx context.Context, s *rig.Scenario) error {
		tap := rig.NewTap()
		c, err := g.dial(tap.Option())
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		more := make(chan struct{})
		l := &load{ledger: g.ledger, prefix: g.id + "-" + name, workers: 8, rounds: 1, appends: 3, locks: 4, more: more}
		loaded := make(chan error, 1)
		go func() {
			err := l.run(ctx, c, lossyTTL)
			if err != nil {
				cancel(err) // nobody waits for progress then
			}
			loaded <- err
		}()
		var struck error
		if !g.calm {
			struck = strike(ctx, s)
		}
		close(more)
		if err := <-loaded; err != nil {
			return err
		}
		if struck != nil {
			return struck
		}
		s.See("%d locks, %d appends and %d releases were answered, %d requests had to be sent again; the slowest answer took %v",
			l.locked.Load(), l.appended.Load(), l.unlocked.Load(), tap.Stats().Retries, roundMS(time.Duration(l.slowest.Load())))
		return g.intact(ctx, s)
	}
}

// intact compares everything with what was acknowledged since the beginning.
func (g *crashGoal) intact(ctx context.Context, s *rig.Scenario) error {
	t, err := g.ledger.Check(ctx, g.c)
	if err != nil {
		return err
	}
	if t.Unacked > 0 {
		return fmt.Errorf("%d appends have no answer", t.Unacked)
	}
	if err := g.standing.check(ctx, g.c); err != nil {
		return err
	}
	s.See("since the beginning: %d grants with growing tokens; %d acknowledged appends, each there once, in order, in %d bytes", g.ledger.Grants(), t.Acked, t.Bytes)
	s.See("the %d holders still hold, the %d waiters still wait in their order", len(g.standing.holders), len(g.standing.waiters))
	return nil
}

// restart is up, with a look at what must have survived.
func (g *crashGoal) restart(ctx context.Context) (rig.Serving, error) {
	at, err := g.up(ctx)
	if err != nil {
		return at, err
	}
	return at, g.standing.check(ctx, g.c)
}

// progress returns when a few more locks were granted.
func (g *crashGoal) progress(ctx context.Context) {
	for n := g.ledger.Grants() + 4; g.ledger.Grants() < n && ctx.Err() == nil; {
		sleep(ctx, time.Millisecond)
	}
}

const (
	killsInLoad     = 10
	killsInRecovery = 4
	killsAtSnapshot = 4
	tornTails       = 3
)

func (g *crashGoal) midLoad(ctx context.Context, s *rig.Scenario) error {
	for range killsInLoad {
		g.progress(ctx)
		sleep(ctx, rand.N(60*time.Millisecond))
		if err := g.down(); err != nil {
			return err
		}
		if _, err := g.restart(ctx); err != nil {
			return err
		}
	}
	s.Inject(killsInLoad, "%d kills at random moments under 8 workers", killsInLoad)
	return nil
}

func (g *crashGoal) inRecovery(ctx context.Context, s *rig.Scenario) error {
	kills, early := 0, 0
	took := 60 * time.Millisecond // the last start
	for n := 0; n < killsInRecovery || early == 0 && n < 10*killsInRecovery; n++ {
		g.progress(ctx)
		if err := g.down(); err != nil {
			return err
		}
		for range 2 {
			if err := g.begin(); err != nil {
				return err
			}
			time.Sleep(rand.N(took))
			if err := g.down(); err != nil {
				return err
			}
			kills++
			if !g.running.Served() {
				early++
			}
		}
		began := time.Now()
		if _, err := g.up(ctx); err != nil {
			return err
		}
		took = time.Since(began)
		if err := g.standing.check(ctx, g.c); err != nil {
			return err
		}
	}
	s.Inject(early, "%d kills, each within the time that the server had last taken to start, twice in a row; %d of them before it had recovered", kills, early)
	return nil
}

func (g *crashGoal) afterSnapshot(ctx context.Context, s *rig.Scenario) error {
	var last string
	for range killsAtSnapshot {
		var err error
		if last, err = g.nextSnapshot(ctx); err != nil {
			return err
		}
		if err := g.down(); err != nil {
			return err
		}
		if _, err := g.restart(ctx); err != nil {
			return err
		}
	}
	s.Inject(killsAtSnapshot, "%d kills as soon as a new snapshot was there; the last was %s", killsAtSnapshot, last)
	return nil
}

// nextSnapshot returns when there is another snapshot than now.
func (g *crashGoal) nextSnapshot(ctx context.Context) (string, error) {
	newest := func() (string, error) { return newestFile(g.data(), "snapshot-????????????????") }
	old, err := newest()
	for now := old; err == nil && now == old; now, err = newest() {
		if ctx.Err() != nil {
			return "", fmt.Errorf("the server makes no snapshot: %w", context.Cause(ctx))
		}
		time.Sleep(200 * time.Microsecond)
	}
	if err != nil {
		return "", err
	}
	now, err := newest()
	return filepath.Base(now), err
}

func (g *crashGoal) tornTail(ctx context.Context, s *rig.Scenario) error {
	var torn, repaired int64
	for range tornTails {
		g.progress(ctx)
		if err := g.down(); err != nil {
			return err
		}
		n, err := tearTail(g.data())
		if err != nil {
			return err
		}
		at, err := g.restart(ctx)
		if err != nil {
			return err
		}
		if at.TornBytes != n {
			return fmt.Errorf("the log's end had %d torn bytes, the server says that it found %d", n, at.TornBytes)
		}
		torn, repaired = torn+n, repaired+at.TornBytes
	}
	s.Inject(tornTails, "%d kills, each time the first part of a record is added to the end of the log (%d bytes)", tornTails, torn)
	s.See("the server repairs it each time: it found %d torn bytes, and serves", repaired)
	return nil
}

// duplicates are sent again to the server that comes after the one that answered.
func (g *crashGoal) duplicates(ctx context.Context, s *rig.Scenario) error {
	r, err := duplicatesGoal{&env{addr: g.proxy.Addr(), id: g.id}}.newReplayer(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	name := r.l.prefix + "-0"
	for range r.l.rounds {
		if err := r.l.round(ctx, r.s, name, "worker"); err != nil {
			return err
		}
	}
	moved, err := r.other.Lock(ctx, name)
	if err != nil || g.calm {
		return err
	}
	r.done = r.requests()
	for n := range 2 {
		if err := g.down(); err != nil {
			return err
		}
		if _, err := g.restart(ctx); err != nil {
			return err
		}
		if err := r.again(ctx, s, fmt.Sprintf("after kill %d", n+1), sameAgain); err != nil {
			return err
		}
		if err := r.queued(ctx); err != nil {
			return err
		}
	}
	s.See("each was answered as before the kill, word for word")
	return r.unchanged(ctx, s, moved)
}

// stillWorks asks the server that was given.
func (e *env) stillWorks(ctx context.Context, s *rig.Scenario) error {
	c, err := dial(e.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	l := &load{ledger: rig.NewLedger(), prefix: e.id + "-last", workers: 2, rounds: 2, appends: 1, locks: 1}
	if err := l.run(ctx, c, lossyTTL); err != nil {
		return err
	}
	return l.verify(ctx, c, s)
}
