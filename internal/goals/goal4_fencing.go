package goals

import (
	"context"
	"errors"
	"fmt"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/internal/rig"
)

// Fencing is goal 4.
var Fencing = Goal{number: 4, name: "fencing", title: "against %s", run: runFencing}

func runFencing(ctx context.Context, e *env, r *rig.Report) {
	g := fencingGoal{e}
	r.Together(ctx,
		rig.NewScenario("A holder's process is stopped, and goes on after its lock has moved on", g.process),
		rig.NewScenario("An append is under way so long that the lock has moved on when it arrives", g.lateAppend),
		rig.NewScenario("A hold limit passes while the holder is paused", g.loses("limit", fencedLimit, dlmv1.Reason_REASON_HOLD_LIMIT, client.ErrHoldLimit, g.passLimit)),
		rig.NewScenario("An operator revokes the lock", g.loses("revoked", 0, dlmv1.Reason_REASON_LOCK_REVOKED, client.ErrRevoked, g.revoke)),
	)
}

type fencingGoal struct{ *env }

const fencedTTL = time.Second

// fencedLimit is the hold limit that passes.
const fencedLimit = time.Second

// loses: the holder's session lives on, so it may ask the service itself, by its library.
func (g fencingGoal) loses(name string, limit time.Duration, reason dlmv1.Reason, why error, lose func(context.Context, *rig.Scenario, *pair) error) func(context.Context, *rig.Scenario) error {
	return func(ctx context.Context, s *rig.Scenario) error {
		p, err := g.newPair(ctx, name, nextTTL, client.HoldLimit(limit))
		if err != nil {
			return err
		}
		defer p.close()
		file := p.lock + "-file"
		if g.calm {
			return nil
		}
		if err := lose(ctx, s, p); err != nil {
			return err
		}
		gr, err := p.await(ctx)
		if err != nil {
			return err
		}
		p.proxy.Silence(false, false)
		if !errors.Is(p.held.Err(), why) {
			return fmt.Errorf("the library says %w, it should say: %w", p.held.Err(), why)
		}
		s.See("the library had told the holder: %v", p.held.Err())
		if _, err := gr.lock.Append(ctx, file, []byte("next\n")); err != nil {
			return err
		}
		_, appendErr := p.held.Append(ctx, file, []byte("former\n"))
		for _, tried := range []struct {
			what string
			err  error
		}{{"append", appendErr}, {"renew", p.held.Renew(ctx, 0)}} {
			a := answerOf(tried.err)
			if a.GetReason() != reason || a.GetToken() != gr.lock.Token() {
				return fmt.Errorf("%s with the old token: want %v and the current token %d, got %w (token %d)", tried.what, reason, gr.lock.Token(), tried.err, a.GetToken())
			}
			s.See("%s with token %d: %v, the current token is %d", tried.what, p.held.Token(), a.GetReason(), a.GetToken())
		}
		if err := p.held.Unlock(ctx); !errors.Is(err, why) {
			return fmt.Errorf("release with the old token: want %w, got %w", why, err)
		}
		if err := g.refused(ctx, s, p.lock, file, p.held.Token(), gr.lock.Token()); err != nil {
			return err
		}
		return g.onlyNext(ctx, s, p.next, gr.lock, file, "next\n")
	}
}

func (g fencingGoal) passLimit(ctx context.Context, s *rig.Scenario, p *pair) error {
	// Otherwise the library gives the lock back a little before, by its cautious clock.
	p.proxy.Silence(true, true)
	s.Inject(1, "the holder does nothing and hears nothing for its hold limit of %v; its session lives on (TTL %v)", fencedLimit, nextTTL)
	return nil
}

func (g fencingGoal) revoke(ctx context.Context, s *rig.Scenario, p *pair) error {
	losses, err := p.next.Revoke(ctx, p.lock, client.RevokeWhy("goal 4"))
	s.Inject(len(losses), "an operator revokes token %d", p.held.Token())
	return err
}

// answerOf is what the service said in an error, nil if it is not the service's.
func answerOf(err error) *dlmv1.Answer {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Answer
	}
	return nil
}

// refused asks without the library, in a session that lives: an application that ignores what it was told.
func (g fencingGoal) refused(ctx context.Context, s *rig.Scenario, lock, file string, old, current uint64) error {
	raw, err := rig.NewRaw(g.addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	session, err := raw.Open(ctx, nextTTL)
	if err != nil {
		return err
	}
	for _, op := range rig.Fenced(lock, file, old, []byte("former\n")) {
		a, err := session.Call(ctx, op.Request)
		if err != nil {
			return err
		}
		if a.GetReason() != dlmv1.Reason_REASON_STALE_TOKEN || a.GetToken() != current {
			return fmt.Errorf("%s with token %d from another session: want %v and the current token %d, got %v and token %d",
				op.Name, old, dlmv1.Reason_REASON_STALE_TOKEN, current, a.GetReason(), a.GetToken())
		}
	}
	s.See("append, renew and release with token %d from another session, past the library: %v, the current token is %d", old, dlmv1.Reason_REASON_STALE_TOKEN, current)
	_, err = session.Call(ctx, &dlmv1.Request{Op: &dlmv1.Request_Close{Close: &dlmv1.Close{}}})
	return err
}

// onlyNext: the file holds these bytes and no others, and the next holder still holds.
func (g fencingGoal) onlyNext(ctx context.Context, s *rig.Scenario, c *client.Client, lk *client.Lock, file, want string) error {
	content, err := c.ReadFile(ctx, file)
	if err != nil {
		return err
	}
	if string(content) != want {
		return fmt.Errorf("the file holds %q, it should hold %q", content, want)
	}
	current, _, err := c.CheckToken(ctx, lk.Name(), lk.Token())
	if err != nil {
		return err
	}
	if !current || !lk.Held() {
		return fmt.Errorf("the next holder has lost token %d: %w", lk.Token(), lk.Err())
	}
	s.See("the file holds what it should, byte by byte, and nothing of the former holder since; token %d still holds", lk.Token())
	return nil
}

// lateAppend: the holder's append is held back by the network until its lock has moved on.
func (g fencingGoal) lateAppend(ctx context.Context, s *rig.Scenario) error {
	return whileAwake(s, func(*stopwatch) error { return g.lateAppendOnce(ctx, s) })
}

func (g fencingGoal) lateAppendOnce(ctx context.Context, s *rig.Scenario) error {
	p, err := g.newPair(ctx, "late", fencedTTL)
	if err != nil {
		return err
	}
	defer p.close()
	file := p.lock + "-file"
	if g.calm {
		return nil
	}
	if _, err := p.held.Append(ctx, file, []byte("before\n")); err != nil {
		return ifLate(fencedTTL/4, err)
	}
	p.proxy.Silence(true, false)
	if _, err = p.held.Append(ctx, file, []byte("late\n")); !errors.Is(err, client.ErrExpired) {
		return fmt.Errorf("an append that is never answered: want %w, got %w", client.ErrExpired, err)
	}
	gr, err := p.await(ctx)
	if err != nil {
		return err
	}
	if _, err := gr.lock.Append(ctx, file, []byte("next\n")); err != nil {
		return err
	}
	held := p.proxy.Stats().Held[rig.Up]
	p.proxy.Silence(false, false)
	s.Inject(held, "an append under token %d is held back by the network, and delivered when token %d has the lock", p.held.Token(), gr.lock.Token())
	s.See("the holder's library had told it: %v", p.held.Err())
	if err := g.replayed(ctx, s, p); err != nil {
		return err
	}
	if err := g.refused(ctx, s, p.lock, file, p.held.Token(), gr.lock.Token()); err != nil {
		return err
	}
	return g.onlyNext(ctx, s, p.next, gr.lock, file, "before\nnext\n")
}

// replayed sends the late append once more, as it was: what comes over a stream that has ended is answered to nobody.
func (g fencingGoal) replayed(ctx context.Context, s *rig.Scenario, p *pair) error {
	raw, err := rig.NewRaw(g.addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	for _, r := range p.holderTap.Records() {
		if string(r.Request.GetAppend().GetData()) != "late\n" {
			continue
		}
		a, err := raw.Call(ctx, r.Request)
		if err != nil {
			return err
		}
		if a.GetReason() != dlmv1.Reason_REASON_SESSION_EXPIRED {
			return fmt.Errorf("the late append is answered %v, it should be %v", a.GetReason(), dlmv1.Reason_REASON_SESSION_EXPIRED)
		}
		s.See("the same append, sent once more by hand: %v", a.GetReason())
		return nil
	}
	return errors.New("the late append never came to the network")
}
