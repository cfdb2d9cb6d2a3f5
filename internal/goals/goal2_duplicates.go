package goals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/internal/rig"
)

// Duplicates is goal 2.
var Duplicates = Goal{number: 2, name: "duplicates", title: "against %s", run: runDuplicates}

func runDuplicates(ctx context.Context, e *env, r *rig.Report) {
	g := duplicatesGoal{e}
	r.Together(ctx,
		rig.NewScenario("Each request is sent several times at once, each answer comes twice", g.atOnce),
		rig.NewScenario("Each request is sent again, late", g.late),
		rig.NewScenario("Answers are lost with their connection, so the library repeats what was done", g.cutOff),
		rig.NewScenario("Each request is sent again after its release, and after the lock has moved on", g.replayed),
	)
}

type duplicatesGoal struct{ *env }

// atOnce repeats within the stream, and in calls beside it, so that several callers wait for one result.
func (g duplicatesGoal) atOnce(ctx context.Context, s *rig.Scenario) error {
	raw, err := rig.NewRaw(g.addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	var mu sync.Mutex
	var beside sync.WaitGroup
	answers := map[string][]*dlmv1.Answer{}
	var failed error
	ask := func(r *dlmv1.Request) {
		a, err := raw.Call(ctx, r)
		mu.Lock()
		defer mu.Unlock()
		answers[rig.Identity(r)] = append(answers[rig.Identity(r)], a)
		failed = errors.Join(failed, err)
	}
	return g.loaded(ctx, s, "once", func(r *dlmv1.Request) rig.Fate {
		if r.GetSequence() != 0 { // an open or an attach beside the stream would take the session's notices along
			beside.Go(func() { ask(r) })
			beside.Go(func() { ask(r) })
		}
		return rig.Fate{Copies: 2}
	}, rig.Fate{Copies: 2}, func(tap *rig.Tap) ([]rig.Record, error) {
		beside.Wait()
		records, n := tap.Records(), 0
		for i := range records {
			more := answers[records[i].ID]
			n += len(more)
			records[i].Answers = append(records[i].Answers, more...)
		}
		s.Inject(n, "%d copies of them were sent by calls beside the stream, at the same time", n)
		return records, failed
	})
}

func (g duplicatesGoal) late(ctx context.Context, s *rig.Scenario) error {
	return g.loaded(ctx, s, "late", func(*dlmv1.Request) rig.Fate {
		return rig.Fate{Copies: 1, Late: []time.Duration{rand.N(50 * time.Millisecond), rand.N(500 * time.Millisecond)}}
	}, rig.Once, func(tap *rig.Tap) ([]rig.Record, error) {
		sleep(ctx, 600*time.Millisecond) // for the last copies
		return tap.Records(), nil
	})
}

// loaded lets every request of a load pass several times.
func (g duplicatesGoal) loaded(ctx context.Context, s *rig.Scenario, name string, up func(*dlmv1.Request) rig.Fate, down rig.Fate, then func(*rig.Tap) ([]rig.Record, error)) error {
	tap := rig.NewTap()
	if !g.calm {
		tap.Set(up, func(*dlmv1.Answer) rig.Fate { return down }, nil)
	}
	c, err := dial(g.addr, tap.Option())
	if err != nil {
		return err
	}
	defer c.Close()
	l := &load{ledger: rig.NewLedger(), prefix: g.id + "-" + name, workers: 8, rounds: 20, appends: 3, locks: 4}
	if err := l.run(ctx, c, lossyTTL); err != nil {
		return err
	}
	st := tap.Stats()
	s.Inject(st.RepeatedRequests+st.RepeatedAnswers, "%d requests were sent %d times more in the stream (%d of these late), answers came %d times more",
		st.Requests, st.RepeatedRequests, st.LateOnes, st.RepeatedAnswers)
	records, err := then(tap)
	if err != nil {
		return err
	}
	if err := sameAnswers(s, records); err != nil {
		return err
	}
	return l.verify(ctx, c, s)
}

// sameAnswers: whatever was answered to a request was answered each time, word for word (G4). A copy that came when its answer
// was no longer awaited may be told so instead; so may one that came after the session's end.
func sameAnswers(s *rig.Scenario, records []rig.Record) error {
	repeated, same, tooLate, empty := 0, 0, 0, 0
	for _, r := range records {
		var result *dlmv1.Answer
		for _, a := range r.Answers {
			switch {
			case a.GetIndex() == 0: // refused before the log: no result
				continue
			case result == nil:
				result = a
				continue
			case proto.Equal(a, result):
				same++
			case forgotten(a):
				tooLate++
			case r.Request.GetOpen() != nil && a.GetSession() > result.GetSession():
				empty++ // the session that it had opened was closed before: an empty one, which nobody renews, is begun
			default:
				return fmt.Errorf("request %s was answered differently: first %v, then %v", r.ID, result, a)
			}
			repeated++
		}
	}
	if repeated == 0 {
		return nil
	}
	s.See("%d further answers to what was answered: %d word for word the same, %d \"too old\" or \"closed\", %d opens after the close", repeated, same, tooLate, empty)
	return nil
}

func forgotten(a *dlmv1.Answer) bool {
	return a.GetReason() == dlmv1.Reason_REASON_TOO_OLD || a.GetReason() == dlmv1.Reason_REASON_SESSION_CLOSED
}

const answersLost = 10

// cutOff holds back answers until their connection is cut.
func (g duplicatesGoal) cutOff(ctx context.Context, s *rig.Scenario) error {
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
	go func() {
		defer close(disturbed)
		for n := 0; n < answersLost && !g.calm && ctx.Err() == nil; n++ {
			sleep(ctx, 50*time.Millisecond)
			p.Silence(false, true)
			sleep(ctx, 50*time.Millisecond)
			p.Cut()
			p.Silence(false, false)
		}
	}()
	l := &load{ledger: rig.NewLedger(), prefix: g.id + "-cut", workers: 8, rounds: 4, appends: 3, locks: 4, more: disturbed}
	if err := l.run(ctx, c, lossyTTL); err != nil {
		return err
	}
	st := tap.Stats()
	s.Inject(p.Stats().Held[rig.Down], "%d pieces of data with answers were lost with %d connections", p.Stats().Held[rig.Down], p.Stats().Cut)
	s.See("the library sent %d requests again", st.Retries)
	if err := errors.Join(missing(st.Retries == 0), sameAnswers(s, tap.Records())); err != nil {
		return err
	}
	return l.verify(ctx, c, s)
}
