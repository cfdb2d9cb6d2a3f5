package goals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// standing is what must outlive every crash: holders, and a queue behind the first of them.
type standing struct {
	holders []*client.Lock
	waiters []*waiting // in the order in which they asked
	served  chan *waiting
}

// waiting is one place in the queue, with a session of its own.
type waiting struct {
	session *client.Session
	token   uint64
	err     error
}

const (
	standingHolders = 3
	standingWaiters = 6
)

// stand sets it up, at the beginning.
func (g *crashGoal) stand(ctx context.Context) error {
	st := &g.standing
	for i := range standingHolders {
		s, err := g.c.OpenSession(ctx, client.WithTTL(lossyTTL), client.WithLabel("standing holder"))
		if err != nil {
			return err
		}
		floor := g.ledger.Floor()
		lk, err := s.Lock(ctx, fmt.Sprintf("%s-standing-%d", g.id, i))
		if err != nil {
			return err
		}
		if err := g.ledger.Granted(lk.Name(), lk.Token(), floor); err != nil {
			return err
		}
		st.holders = append(st.holders, lk)
	}
	st.served = make(chan *waiting, standingWaiters)
	for range standingWaiters {
		s, err := g.c.OpenSession(ctx, client.WithTTL(lossyTTL), client.WithLabel("standing waiter"))
		if err != nil {
			return err
		}
		w := &waiting{session: s}
		st.waiters = append(st.waiters, w)
		go g.wait(ctx, w, st.holders[0].Name())
		if err := st.queueLength(ctx, g.c, len(st.waiters)); err != nil {
			return err
		}
	}
	return st.check(ctx, g.c)
}

// wait gets the lock some day, and gives it on.
func (g *crashGoal) wait(ctx context.Context, w *waiting, name string) {
	floor := g.ledger.Floor()
	lk, err := w.session.Lock(ctx, name)
	if err == nil {
		w.token = lk.Token()
		g.standing.served <- w
		err = errors.Join(g.ledger.Granted(name, lk.Token(), floor), lk.Unlock(ctx))
	}
	w.err = err
}

func (st *standing) queueLength(ctx context.Context, c *client.Client, n int) error {
	for {
		info, err := c.GetLock(ctx, st.holders[0].Name())
		if err != nil {
			return err
		}
		if len(info.GetWaiters()) == n {
			return nil
		}
		sleep(ctx, time.Millisecond)
	}
}

// check asks the libraries of the holders, and the service.
func (st *standing) check(ctx context.Context, c *client.Client) error {
	for _, lk := range st.holders {
		current, info, err := c.CheckToken(ctx, lk.Name(), lk.Token())
		if err != nil {
			return err
		}
		if !current || !lk.Held() {
			return fmt.Errorf("lock %q is no longer held under token %d: the service says %v, the library %v", lk.Name(), lk.Token(), info, lk.Err())
		}
	}
	info, err := c.GetLock(ctx, st.holders[0].Name())
	if err != nil {
		return err
	}
	var want, got []uint64
	for _, w := range st.waiters {
		want = append(want, w.session.ID())
	}
	for _, w := range info.GetWaiters() {
		got = append(got, w.GetSession())
	}
	if !slices.Equal(want, got) {
		return fmt.Errorf("sessions %v wait for lock %q, it should be %v", got, info.GetLock(), want)
	}
	return nil
}

// served lets the queue go: each gets the lock in turn.
func (g *crashGoal) served(ctx context.Context, s *rig.Scenario) error {
	if g.calm {
		return nil
	}
	st := &g.standing
	if err := st.holders[0].Unlock(ctx); err != nil {
		return err
	}
	s.Inject(1, "after %d starts of the server, the holder releases the lock for which %d have waited since the first", g.starts, len(st.waiters))
	for i, want := range st.waiters {
		select {
		case w := <-st.served:
			if w != want {
				return fmt.Errorf("session %d got the lock in place %d, it should have been session %d", w.session.ID(), i+1, want.session.ID())
			}
			if i > 0 && w.token <= st.waiters[i-1].token {
				return fmt.Errorf("token %d follows token %d: tokens must grow", w.token, st.waiters[i-1].token)
			}
		case <-ctx.Done():
			return fmt.Errorf("place %d of the queue gets nothing: %w", i+1, context.Cause(ctx))
		}
	}
	s.See("all were served in the order in which they had asked, with tokens %d ... %d", st.waiters[0].token, st.waiters[len(st.waiters)-1].token)
	for _, lk := range st.holders[1:] {
		if err := lk.Unlock(ctx); err != nil {
			return err
		}
	}
	return nil
}

// newestFile is the last of the files that fit, by name.
func newestFile(dir, pattern string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return "", fmt.Errorf("no %s in %s", pattern, dir)
	}
	return slices.Max(names), nil
}

const (
	logSector  = 512
	frameMagic = "DLMF" // of a frame in a log segment, at the beginning of a sector: see package wal
)

// tearTail adds the first part of a record to the end of the log, as a machine does that loses power while it writes: the
// beginning of the last record, once more, after it. It returns how many bytes that are.
func tearTail(dir string) (int64, error) {
	name, err := newestFile(dir, "segment-????????????????")
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	image, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	used := len(bytes.TrimRight(image, "\x00"))
	end := (used + logSector - 1) / logSector * logSector
	begin := end - logSector
	for begin > 0 && string(image[begin:begin+len(frameMagic)]) != frameMagic {
		begin -= logSector
	}
	if begin == 0 || end+logSector > len(image) {
		return 0, fmt.Errorf("%s: no record, or no room after the last", name)
	}
	torn := bytes.TrimRight(image[begin:min(begin+logSector/2, used)], "\x00")
	_, err = f.WriteAt(torn, int64(end))
	return int64(len(torn)), errors.Join(err, f.Sync())
}
