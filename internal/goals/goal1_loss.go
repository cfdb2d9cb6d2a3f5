package goals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/internal/rig"
)

// Loss is goal 1.
var Loss = Goal{number: 1, name: "packet loss", title: "against %s", run: runLoss}

func runLoss(ctx context.Context, e *env, r *rig.Report) {
	g := lossGoal{e}
	r.Together(ctx,
		rig.NewScenario("Requests are lost", g.lossy(30, 0)),
		rig.NewScenario("Answers are lost", g.lossy(0, 30)),
		rig.NewScenario("Requests and answers are lost", g.lossy(25, 25)),
		rig.NewScenario("The pauses between retries of a request grow", g.backoff),
		rig.NewScenario("Connections are cut in the middle of a frame", g.cuts),
		rig.NewScenario("The server falls silent for seconds", g.silence),
	)
}

type lossGoal struct{ *env }

// lossyTTL is long enough that no session ends while everything is slow: that is goal 3's subject.
const lossyTTL = 2 * time.Minute

// lossy drops these shares, in percent, of all requests and answers.
func (g lossGoal) lossy(up, down int) func(context.Context, *rig.Scenario) error {
	return func(ctx context.Context, s *rig.Scenario) error {
		tap := rig.NewTap()
		if !g.calm {
			lose := func(percent int) rig.Fate {
				if rand.IntN(100) < percent {
					return rig.Fate{}
				}
				return rig.Once
			}
			tap.Set(func(*dlmv1.Request) rig.Fate { return lose(up) }, func(*dlmv1.Answer) rig.Fate { return lose(down) },
				func() bool { return rand.IntN(100) >= down })
		}
		c, err := dial(g.addr, tap.Option())
		if err != nil {
			return err
		}
		defer c.Close()
		l := &load{ledger: rig.NewLedger(), prefix: fmt.Sprintf("%s-loss-%d-%d", g.id, up, down), workers: 8, rounds: 6, appends: 3, locks: 8}
		if down == 0 {
			l.locks = 4 // a grant to somebody who waited is asked for again more rarely, so only this one has queues
		}
		err = l.run(ctx, c, lossyTTL)
		st := tap.Stats()
		s.Inject(st.LostRequests+st.LostAnswers+st.LostHints, "%d of %d requests lost, %d of %d answers, %d notices and reads",
			st.LostRequests, st.Requests, st.LostAnswers, st.Answers, st.LostHints)
		if err != nil {
			return err
		}
		if err := missing(up > 0 && st.LostRequests == 0, down > 0 && st.LostAnswers == 0); err != nil {
			return err
		}
		s.See("the library sent %d requests again", st.Retries)
		tap.Set(nil, nil, nil)
		return l.verify(ctx, c, s)
	}
}

// missing is an error if any of the injections of a scenario did not happen.
func missing(none ...bool) error {
	for _, n := range none {
		if n {
			return rig.ErrNothingInjected
		}
	}
	return nil
}

const (
	backoffAsked = 48 // requests that are watched, so that medians say something: each pause is drawn at random
	backoffLost  = 6  // attempts of each that are lost
	backoffTries = 5  // measurements: a machine that stalls spoils one
	// backoffEvery is the time from one acquire to the next: a stall of the machine meets a few of them, each in another attempt.
	backoffEvery = 30 * time.Millisecond
)

// backoff loses the first attempts of many acquires, while answers to other requests keep the connection alive.
func (g lossGoal) backoff(ctx context.Context, s *rig.Scenario) error {
	for range backoffTries {
		pauses, lost, err := g.measureBackoff(ctx, g.name("backoff"))
		if err != nil {
			return err
		}
		s.Inject(lost, "the first %d attempts of each of %d acquires lost (%d requests)", backoffLost, backoffAsked, lost)
		if lost == 0 {
			return nil // the scenario fails for that
		}
		s.See("median time from one attempt to the next: %s", joinDurations(pauses))
		if growing(pauses) {
			s.See("it grows, and the last is %.1f times the first", float64(pauses[len(pauses)-1])/float64(pauses[0]))
			return nil
		}
		s.See("it does not grow: measuring once more, in case the machine stalled")
	}
	return errors.New("the pauses between retries do not grow")
}

func growing(pauses []time.Duration) bool {
	for i := 1; i < len(pauses); i++ {
		if pauses[i] <= pauses[i-1] {
			return false
		}
	}
	return len(pauses) == backoffLost && pauses[len(pauses)-1] >= 3*pauses[0]
}

func joinDurations(ds []time.Duration) string {
	var text []string
	for _, d := range ds {
		text = append(text, fmt.Sprint(roundMS(d)))
	}
	return strings.Join(text, ", ")
}

func (g lossGoal) measureBackoff(ctx context.Context, prefix string) (pauses []time.Duration, lost int, err error) {
	tap := rig.NewTap()
	attempts := map[uint64]int{}
	if !g.calm {
		tap.Set(func(r *dlmv1.Request) rig.Fate { // under the tap's lock
			if r.GetAcquire() == nil || attempts[r.GetSequence()] == backoffLost {
				return rig.Once
			}
			attempts[r.GetSequence()]++
			return rig.Fate{}
		}, nil, nil)
	}
	c, err := client.Dial(g.addr, tap.Option(), client.WithAttemptTimeout(40*time.Millisecond), client.WithBackoff(20*time.Millisecond, 2*time.Second))
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	session, err := c.OpenSession(ctx, client.WithTTL(lossyTTL))
	if err != nil {
		return nil, 0, err
	}
	stop := keepTalking(ctx, c)
	defer stop()
	errs := make(chan error, backoffAsked)
	for i := range backoffAsked {
		go func() {
			_, err := session.Lock(ctx, fmt.Sprintf("%s-%d", prefix, i))
			errs <- err
		}()
		sleep(ctx, backoffEvery)
	}
	for range backoffAsked {
		if err := <-errs; err != nil {
			return nil, 0, err
		}
	}
	return medianPauses(tap.Records()), tap.Stats().LostRequests, session.Close(ctx)
}

// keepTalking asks for something small all the time, until stop: a connection on which nothing comes is given up, and a new
// one has everything sent at once.
func keepTalking(ctx context.Context, c *client.Client) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var one sync.WaitGroup
	one.Go(func() {
		for ctx.Err() == nil {
			_, _ = c.Status(ctx)
			time.Sleep(5 * time.Millisecond)
		}
	})
	return func() { cancel(); one.Wait() }
}

// medianPauses is the median time between the n-th and the next attempt at acquires, over those on one connection.
func medianPauses(records []rig.Record) []time.Duration {
	var all [backoffLost][]time.Duration
	for _, r := range records {
		for i := 0; r.Request.GetAcquire() != nil && i+1 < len(r.Sendings) && i < backoffLost; i++ {
			if a, b := r.Sendings[i], r.Sendings[i+1]; a.Stream == b.Stream {
				all[i] = append(all[i], b.At-a.At)
			}
		}
	}
	var medians []time.Duration
	for _, pauses := range all {
		if len(pauses) < backoffAsked/2 {
			break // the machine stalled, the connection was given up
		}
		slices.Sort(pauses)
		medians = append(medians, pauses[len(pauses)/2])
	}
	return medians
}

const cutsMade = 24

// cuts ends connections inside frames, in both directions in turn.
func (g lossGoal) cuts(ctx context.Context, s *rig.Scenario) error {
	return g.proxied(ctx, s, "cut", func(ctx context.Context, p *rig.Proxy) {
		cut := func() int { st := p.Stats(); return st.CutInFrame[rig.Up] + st.CutInFrame[rig.Down] }
		for n := 0; n < cutsMade && ctx.Err() == nil; n++ {
			p.CutInFrame(rig.Direction(n % 2))
			for cut() == n && ctx.Err() == nil {
				sleep(ctx, 5*time.Millisecond)
			}
			sleep(ctx, 40*time.Millisecond)
		}
	}, func(p *rig.Proxy) error {
		st := p.Stats()
		s.Inject(st.CutInFrame[rig.Up]+st.CutInFrame[rig.Down], "%d connections cut within a frame to the server, %d within a frame to the client",
			st.CutInFrame[rig.Up], st.CutInFrame[rig.Down])
		s.See("the library made %d connections", st.Connections)
		return missing(st.CutInFrame[rig.Up] == 0, st.CutInFrame[rig.Down] == 0)
	})
}

// silence holds bytes back: towards the server, from it, both, and then loses what was held.
func (g lossGoal) silence(ctx context.Context, s *rig.Scenario) error {
	const long = 1500 * time.Millisecond
	var lost int
	return g.proxied(ctx, s, "silence", func(ctx context.Context, p *rig.Proxy) {
		for _, way := range [][2]bool{{true, false}, {false, true}, {true, true}} {
			sleep(ctx, 600*time.Millisecond)
			p.Silence(way[0], way[1])
			sleep(ctx, long)
			if way[0] && way[1] {
				lost = p.Cut()
			}
			p.Silence(false, false)
		}
		sleep(ctx, 100*time.Millisecond)
	}, func(p *rig.Proxy) error {
		st := p.Stats()
		s.Inject(st.Held[rig.Up]+st.Held[rig.Down], "silence for %v towards the server, then from it, then both ways; after the last, what was held back is lost with %d connections", long, lost)
		s.See("%d pieces of data were held back towards the server and %d from it; the library made %d connections", st.Held[rig.Up], st.Held[rig.Down], st.Connections)
		return missing(st.Held[rig.Up] == 0, st.Held[rig.Down] == 0)
	})
}

// proxied runs a load through a proxy until disturb has done what it wants to the proxy.
func (g lossGoal) proxied(ctx context.Context, s *rig.Scenario, name string, disturb func(context.Context, *rig.Proxy), tell func(*rig.Proxy) error) error {
	p, err := rig.NewProxy(g.addr)
	if err != nil {
		return err
	}
	defer p.Close()
	tap := rig.NewTap()
	c, err := dial(p.Addr(), tap.Option())
	if err != nil {
		return err
	}
	defer c.Close()
	disturbed := make(chan struct{})
	l := &load{ledger: rig.NewLedger(), prefix: g.id + "-" + name, workers: 8, rounds: 4, appends: 3, locks: 4, more: disturbed}
	inner, cancel := context.WithCancel(ctx)
	go func() {
		defer close(disturbed)
		if !g.calm {
			disturb(inner, p)
		}
	}()
	err = l.run(ctx, c, lossyTTL)
	cancel()
	<-disturbed
	if err := errors.Join(err, tell(p)); err != nil {
		return err
	}
	s.See("the library sent %d requests again", tap.Stats().Retries)
	return l.verify(ctx, c, s)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
