package goals

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// Timeout is goal 3.
var Timeout = Goal{
	number: 3, name: "lock timeout", title: "against %s", run: runTimeout,
	flags: func(f *flag.FlagSet, o *options) {
		f.BoolVar(&o.slow, "default", false, "show the default timeout of 30 s too, which takes as long")
	},
}

// lateBy is how long after its time a lock may move on, by the promise.
const lateBy = time.Second

func runTimeout(ctx context.Context, e *env, r *rig.Report) {
	g := timeoutGoal{e}
	scenarios := []*rig.Scenario{
		rig.NewScenario("The holder's path to the server falls silent", g.expires(expiry{name: "silent", ttl: 1500 * time.Millisecond, stop: silent})),
		rig.NewScenario("The holder's connection breaks for good", g.expires(expiry{name: "cut", ttl: time.Second, stop: cut})),
		rig.NewScenario("The same with a lock-delay", g.expires(expiry{name: "delay", ttl: time.Second, delay: 1500 * time.Millisecond, stop: silent})),
		rig.NewScenario("A release has no lock-delay", g.released),
		rig.NewScenario("A holder that renews keeps its lock", g.renews),
		rig.NewScenario("A hold limit ends the hold, however alive the session is", g.holdLimit),
	}
	if e.slow {
		scenarios = append(scenarios, rig.NewScenario("The default timeout", g.expires(expiry{name: "default", stop: silent})))
	}
	r.Together(ctx, scenarios...)
}

type timeoutGoal struct{ *env }

// expiry is a way to stop renewing.
type expiry struct {
	name       string
	ttl, delay time.Duration // ttl 0: the cluster's default, which must be untouched
	stop       func(p *rig.Proxy) string
}

func silent(p *rig.Proxy) string {
	p.Silence(true, true)
	return "nothing passes any more between the holder and the server"
}

func cut(p *rig.Proxy) string {
	p.Refuse(true)
	return fmt.Sprintf("%d connection of the holder cut, new ones refused", p.Cut())
}

const defaultTTL = 30 * time.Second

// expires: the next in line gets the lock when the holder's session has ended, neither earlier nor much later.
func (g timeoutGoal) expires(x expiry) func(context.Context, *rig.Scenario) error {
	return func(ctx context.Context, s *rig.Scenario) error {
		return whileAwake(s, func(w *stopwatch) error { return g.expiresOnce(ctx, s, w, x) })
	}
}

func (g timeoutGoal) expiresOnce(ctx context.Context, s *rig.Scenario, w *stopwatch, x expiry) error {
	p, err := g.newPair(ctx, x.name, x.ttl, client.LockDelay(x.delay))
	if err != nil {
		return err
	}
	defer p.close()
	ttl := p.hs.TTL()
	if x.ttl == 0 && ttl != defaultTTL {
		return fmt.Errorf("this cluster's default is %v, so it cannot show that of %v: use a new data directory and no --lock-timeout", ttl, defaultTTL)
	}
	if x.ttl != 0 {
		if err := g.outlive(ctx, p); err != nil {
			return err
		}
	}
	if g.calm {
		return nil
	}
	how := x.stop(p.proxy)
	stopped := p.holderTap.Now()
	s.Inject(1, "%s (TTL %v, lock-delay %v)", how, ttl, x.delay)
	gr, err := p.await(ctx)
	if err != nil {
		return err
	}
	if lost := p.held.Err(); !errors.Is(lost, client.ErrExpired) {
		return fmt.Errorf("the holder's library says %w, it should say that the session expired", lost)
	}
	return g.judge(s, p, gr, x.delay, gr.at.Sub(p.holderTap.Began()), stopped, w.lateness())
}

// outlive returns when the holder has kept its lock for longer than its TTL, by renewing, and right after a renewal was
// acknowledged: so nothing is under way that would lengthen its lease beyond what is known.
func (g timeoutGoal) outlive(ctx context.Context, p *pair) error {
	ttl := p.hs.TTL()
	sleep(ctx, ttl+ttl/4)
	for began, acked := time.Now(), p.keepAlives(); p.keepAlives() == acked; {
		if !p.held.Held() || time.Since(began) > ttl {
			return ifLate(ttl/4, fmt.Errorf("the holder could renew, and lost its lock or did not: %w", p.held.Err()))
		}
		sleep(ctx, time.Millisecond)
	}
	return nil
}

// judge compares the time of the grant with what the holder's tap has seen.
func (g timeoutGoal) judge(s *rig.Scenario, p *pair, gr grant, delay, got, stopped, late time.Duration) error {
	var acked, sent time.Duration // first sending of the last acknowledged renewal, and of the last one that may have arrived
	var deadline uint64
	for _, r := range p.holderTap.Records() {
		if r.Request.GetAttach() != nil {
			continue // renews nothing
		}
		if first := r.Sendings[0].At; first <= stopped {
			sent = max(sent, first)
			if len(r.Answers) > 0 {
				acked = max(acked, first)
				deadline = max(deadline, r.Answers[0].GetSessionDeadline())
			}
		}
	}
	stamp, err := p.grantStamp(gr.lock.Token())
	if err != nil {
		return err
	}
	ttl := p.hs.TTL()
	after, afterSent := got-acked, got-sent
	s.See("the next in line got the lock %v after the last acknowledged renewal was sent; the library had told the holder", roundMS(after))
	s.See("in cluster time %v after the deadline that the holder knew; this machine was up to %v late", roundMS(time.Duration(stamp-deadline)), roundMS(late))
	switch {
	case after < ttl+delay:
		return fmt.Errorf("too early: TTL and lock-delay are %v", ttl+delay)
	case stamp < deadline+uint64(delay):
		return errors.New("too early in cluster time")
	case afterSent > ttl+delay+lateBy+late:
		return fmt.Errorf("too late: %v after the last renewal that may have arrived; allowed are %v and %v", afterSent, ttl+delay, lateBy)
	}
	return nil
}

// released: the lock-delay is for involuntary losses only.
func (g timeoutGoal) released(ctx context.Context, s *rig.Scenario) error {
	watch := startStopwatch()
	defer watch.close()
	const delay = time.Minute
	p, err := g.newPair(ctx, "released", nextTTL, client.LockDelay(delay))
	if err != nil {
		return err
	}
	defer p.close()
	if g.calm {
		return nil
	}
	began := time.Now()
	if err := p.held.Unlock(ctx); err != nil {
		return err
	}
	s.Inject(1, "the holder releases a lock that has a lock-delay of %v", delay)
	gr, err := p.await(ctx)
	if err != nil {
		return err
	}
	took := gr.at.Sub(began)
	s.See("the next in line got it after %v", took.Round(10*time.Microsecond))
	if took > lateBy+watch.lateness() {
		return fmt.Errorf("too late: allowed are %v", lateBy)
	}
	return nil
}

const (
	renewTTL = 1500 * time.Millisecond
	renewFor = 4 * renewTTL
)

// renews: a holder with a sound path keeps the lock for many TTLs.
func (g timeoutGoal) renews(ctx context.Context, s *rig.Scenario) error {
	return whileAwake(s, func(w *stopwatch) error { return g.renewsOnce(ctx, s, w) })
}

func (g timeoutGoal) renewsOnce(ctx context.Context, s *rig.Scenario, w *stopwatch) error {
	p, err := g.newPair(ctx, "renews", renewTTL)
	if err != nil {
		return err
	}
	defer p.close()
	if g.calm {
		return nil
	}
	asked := 0
	for until := time.Now().Add(renewFor); time.Now().Before(until); asked++ {
		if !p.held.Held() {
			return ifLate(renewTTL/4, fmt.Errorf("the holder lost its lock: %w", p.held.Err()))
		}
		select {
		case <-p.granted:
			if p.held.Held() {
				return errors.New("the next in line was granted a lock that is held")
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
	renewals := p.keepAlives()
	s.Inject(1, "somebody waits for the lock for %v, %d times its holder's TTL", renewFor, renewFor/renewTTL)
	began := time.Now()
	if err := p.held.Unlock(ctx); err != nil {
		return err
	}
	gr, err := p.await(ctx)
	if err != nil {
		return err
	}
	s.See("%d keep-alives were acknowledged, and the library said \"held\" each of %d times; the lock moved on %v after its release",
		renewals, asked, gr.at.Sub(began).Round(10*time.Microsecond))
	if took := gr.at.Sub(began); took > lateBy+w.lateness() {
		return fmt.Errorf("too late: allowed are %v", lateBy)
	}
	return nil
}

// holdLimit: a renewal starts the limit anew, then it ends the hold.
func (g timeoutGoal) holdLimit(ctx context.Context, s *rig.Scenario) error {
	return whileAwake(s, func(w *stopwatch) error { return g.holdLimitOnce(ctx, s, w) })
}

func (g timeoutGoal) holdLimitOnce(ctx context.Context, s *rig.Scenario, w *stopwatch) error {
	const limit = 1500 * time.Millisecond
	p, err := g.newPair(ctx, "limit", nextTTL, client.HoldLimit(limit))
	if err != nil {
		return err
	}
	defer p.close()
	if g.calm {
		return nil
	}
	sleep(ctx, limit/2)
	sent := time.Now()
	if err := p.held.Renew(ctx, 0); err != nil {
		return ifLate(limit/4, err)
	}
	answered := time.Now()
	// The library gives the lock back when the limit passes by its cautious clock; that must not be what is measured.
	p.proxy.Silence(true, true)
	s.Inject(1, "a holder with a hold limit of %v renews it once, after %v, and then does not; its path falls silent, its session lives on (TTL %v)", limit, limit/2, nextTTL)
	gr, err := p.await(ctx)
	if err != nil {
		return err
	}
	if why := p.held.Err(); !errors.Is(why, client.ErrHoldLimit) {
		return fmt.Errorf("the holder's library says %w, it should say that the hold limit passed", why)
	}
	s.See("the next in line got the lock %v after the renewal was sent; the library had told the holder why", roundMS(gr.at.Sub(sent)))
	p.proxy.Silence(false, false)
	if _, err := p.hs.TryLock(ctx, p.lock+"-other"); err != nil {
		return fmt.Errorf("the session should have outlived the hold: %w", err)
	}
	switch {
	case gr.at.Sub(sent) < limit:
		return fmt.Errorf("too early: the limit is %v", limit)
	case gr.at.Sub(answered) > limit+lateBy+w.lateness():
		return fmt.Errorf("too late: allowed are %v and %v", limit, lateBy)
	}
	return nil
}
