package goals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
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

// replayer is a session whose answers the service has to keep, because an early request of it is still unanswered: an
// acquire that waits. So each later request can be sent again at any time and must be answered as it was.
type replayer struct {
	duplicatesGoal
	tap      *rig.Tap
	c        *client.Client
	s, other *client.Session
	pinned   *client.Lock // held by other, awaited by s
	waiting  chan error
	raw      *rig.Raw
	l        *load
	done     []rig.Record // the requests of the load, each answered
}

func (g duplicatesGoal) newReplayer(ctx context.Context) (r *replayer, err error) {
	r = &replayer{duplicatesGoal: g, tap: rig.NewTap(), waiting: make(chan error, 1)}
	r.l = &load{ledger: rig.NewLedger(), prefix: g.id + "-replay", workers: 1, rounds: 10, appends: 3, locks: 1}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.raw, err = rig.NewRaw(g.addr); err != nil {
		return nil, err
	}
	if r.c, err = dial(g.addr, r.tap.Option()); err != nil {
		return nil, err
	}
	if r.other, err = r.c.OpenSession(ctx, client.WithTTL(nextTTL)); err != nil {
		return nil, err
	}
	if r.pinned, err = r.other.Lock(ctx, g.id+"-pinned"); err != nil {
		return nil, err
	}
	if r.s, err = r.c.OpenSession(ctx, client.WithTTL(nextTTL)); err != nil {
		return nil, err
	}
	go func() {
		_, err := r.s.Lock(ctx, r.pinned.Name())
		r.waiting <- err
	}()
	return r, r.queued(ctx)
}

// queued returns when the acquire waits, and makes sure that it waits once.
func (r *replayer) queued(ctx context.Context) error {
	for {
		info, err := r.c.GetLock(ctx, r.pinned.Name())
		if err != nil {
			return err
		}
		switch n := len(info.GetWaiters()); {
		case n == 1:
			return nil
		case n > 1:
			return fmt.Errorf("one acquire has %d places in the queue", n)
		}
		sleep(ctx, time.Millisecond)
	}
}

func (r *replayer) close() {
	if r.c != nil {
		_ = r.c.Close()
	}
	if r.raw != nil {
		r.raw.Close()
	}
}

func (g duplicatesGoal) replayed(ctx context.Context, s *rig.Scenario) error {
	r, err := g.newReplayer(ctx)
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
	if g.calm {
		return nil
	}
	r.done = r.requests()
	if err := r.again(ctx, s, "after all were released", sameAgain); err != nil {
		return err
	}
	moved, err := r.other.Lock(ctx, name)
	if err != nil {
		return err
	}
	if err := r.again(ctx, s, fmt.Sprintf("while another session holds the lock under token %d", moved.Token()), sameAgain); err != nil {
		return err
	}
	if err := r.queued(ctx); err != nil {
		return err
	}
	if err := r.reused(ctx, s); err != nil {
		return err
	}
	// From here on nothing is awaited any more.
	if err := errors.Join(r.pinned.Unlock(ctx), <-r.waiting, r.l.round(ctx, r.s, name+"-b", "worker")); err != nil {
		return err
	}
	if err := r.again(ctx, s, "when their answers are no longer awaited", tooOld); err != nil {
		return err
	}
	if err := r.s.Close(ctx); err != nil {
		return err
	}
	if err := r.again(ctx, s, "after the session's end", closedAgain); err != nil {
		return err
	}
	s.See("each copy was answered as the request had been while its answer was awaited, later \"too old\", later \"closed\"")
	return r.unchanged(ctx, s, moved)
}

// verdict says whether an answer to a repeated request is right.
type verdict func(r rig.Record, a *dlmv1.Answer) error

func sameAgain(r rig.Record, a *dlmv1.Answer) error {
	if proto.Equal(a, r.Answers[0]) {
		return nil
	}
	return fmt.Errorf("request %s is answered %v, and was answered %v", r.ID, a, r.Answers[0])
}

func tooOld(r rig.Record, a *dlmv1.Answer) error { return only(r, a, dlmv1.Reason_REASON_TOO_OLD) }

func closedAgain(r rig.Record, a *dlmv1.Answer) error {
	return only(r, a, dlmv1.Reason_REASON_SESSION_CLOSED)
}

func only(r rig.Record, a *dlmv1.Answer, want dlmv1.Reason) error {
	if a.GetReason() == want {
		return nil
	}
	return fmt.Errorf("request %s is answered %v, it should be %v", r.ID, a, want)
}

const replays = 3

// again sends every request of the load several times, past the library, in any order.
func (r *replayer) again(ctx context.Context, s *rig.Scenario, when string, right verdict) error {
	var all []rig.Record
	for range replays {
		all = append(all, r.done...)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, rec := range all {
		a, err := r.raw.Call(ctx, rec.Request)
		if err != nil {
			return err
		}
		if err := right(rec, a); err != nil {
			return err
		}
	}
	s.Inject(len(all), "%d requests sent %d times each, %s", len(r.done), replays, when)
	return nil
}

// requests are those of the session with an answer; so not the acquire that waits, nor the open.
func (r *replayer) requests() []rig.Record {
	return slices.DeleteFunc(r.tap.Records(), func(rec rig.Record) bool {
		return rec.Request.GetSession() != r.s.ID() || rec.Request.GetSequence() == 0 || len(rec.Answers) == 0
	})
}

// reused sends another request under the identity of one that was answered.
func (r *replayer) reused(ctx context.Context, s *rig.Scenario) error {
	q := proto.CloneOf(r.done[len(r.done)-1].Request)
	q.Op = &dlmv1.Request_Append{Append: &dlmv1.Append{File: r.l.prefix + "-0", Lock: r.l.prefix + "-0", Token: 1, Data: []byte("another\n")}}
	a, err := r.raw.Call(ctx, q)
	if err != nil {
		return err
	}
	s.Inject(1, "another request under the sequence of one of them")
	s.See("it is answered %v", a.GetReason())
	if a.GetReason() != dlmv1.Reason_REASON_SEQUENCE_REUSED {
		return fmt.Errorf("it should be %v", dlmv1.Reason_REASON_SEQUENCE_REUSED)
	}
	return nil
}

// unchanged: the copies had no effect.
func (r *replayer) unchanged(ctx context.Context, s *rig.Scenario, moved *client.Lock) error {
	current, info, err := r.c.CheckToken(ctx, moved.Name(), moved.Token())
	if err != nil {
		return err
	}
	if !current || !moved.Held() || len(info.GetHolders()) > 1 || len(info.GetWaiters()) > 0 {
		return fmt.Errorf("token %d of the other session should still hold, alone: %v", moved.Token(), info)
	}
	t, err := r.l.ledger.Check(ctx, r.c)
	if err != nil {
		return err
	}
	s.See("the other session still holds the lock under token %d; %d appends are there once, in %d bytes", moved.Token(), t.Acked, t.Bytes)
	return r.other.Close(ctx)
}
