package goals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/internal/rig"
)

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

func (g duplicatesGoal) newReplayer(ctx context.Context) (*replayer, error) {
	r := &replayer{duplicatesGoal: g, tap: rig.NewTap(), waiting: make(chan error, 1)}
	r.l = &load{ledger: rig.NewLedger(), prefix: g.name("replay"), workers: 1, rounds: 10, appends: 3, locks: 1}
	if err := r.open(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *replayer) open(ctx context.Context) (err error) {
	if r.raw, err = rig.NewRaw(r.addr); err != nil {
		return err
	}
	if r.c, err = dial(r.addr, r.tap.Option()); err != nil {
		return err
	}
	if r.other, err = r.c.OpenSession(ctx, client.WithTTL(lossyTTL)); err != nil {
		return err
	}
	if r.pinned, err = r.other.Lock(ctx, r.name("pinned")); err != nil {
		return err
	}
	if r.s, err = r.c.OpenSession(ctx, client.WithTTL(lossyTTL)); err != nil {
		return err
	}
	go func() {
		_, err := r.s.Lock(ctx, r.pinned.Name())
		r.waiting <- err
	}()
	return r.queued(ctx)
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
