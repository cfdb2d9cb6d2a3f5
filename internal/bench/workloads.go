package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"dlm/client"
)

// Workload is a kind of load.
type Workload struct {
	Name string
	What string // one operation, in words
	// once: the operations are numbered and each is done once; the run ends when all are.
	once bool
	// apart: the workers want the same lock, so each has a session of its own unless told otherwise: the calls of one session
	// queue in the library.
	apart bool
	// idle: there are no operations; the run only passes time.
	idle bool
	// begin is called by each worker before its first operation of a run.
	begin func(context.Context, *world, int) error
	op    func(ctx context.Context, w *world, worker, n int) error
}

// Workloads are all there are.
func Workloads() []Workload { return workloads }

var workloads = []Workload{
	{Name: "pairs", What: "lock and unlock, each worker a lock of its own", op: pair(ownLock)},
	{Name: "handoff", What: "lock and unlock, all workers the same lock", apart: true, op: handoff},
	{Name: "shared", What: "lock and unlock in shared mode, all workers the same lock", apart: true, op: pair(oneLock, client.Shared())},
	{Name: "reads", What: "a linearizable read of one lock's state", op: read},
	{Name: "appends", What: "an append under a lock that the worker holds", begin: hold, op: appendOp},
	{Name: "held", What: "acquire a lock and keep it", once: true, op: keep},
	{Name: "keepalives", What: "nothing: sessions are kept alive", idle: true},
}

func workloadOf(name string) Workload {
	for _, w := range workloads {
		if w.Name == name {
			return w
		}
	}
	return Workload{}
}

// world is what the workers of a run share.
type world struct {
	prefix   string
	clients  []*client.Client
	sessions []*client.Session
	locks    []*client.Lock // by worker
	data     []byte
	owner    atomic.Int64 // worker + 1 that had the lock last
	changes  atomic.Uint64
}

func (w *world) session(worker int) *client.Session { return w.sessions[worker%len(w.sessions)] }

// alive counts the sessions that were not lost.
func (w *world) alive() (n int) {
	for _, s := range w.sessions {
		if s.Context().Err() == nil {
			n++
		}
	}
	return n
}

func ownLock(w *world, worker int) string { return fmt.Sprintf("%s/lock-%d", w.prefix, worker) }
func oneLock(w *world, _ int) string      { return w.prefix + "/lock" }

func pair(name func(*world, int) string, opts ...client.LockOption) func(context.Context, *world, int, int) error {
	return func(ctx context.Context, w *world, worker, _ int) error {
		l, err := w.session(worker).Lock(ctx, name(w, worker), opts...)
		if err != nil {
			return err
		}
		return l.Unlock(ctx)
	}
}

func handoff(ctx context.Context, w *world, worker, _ int) error {
	l, err := w.session(worker).Lock(ctx, oneLock(w, worker))
	if err != nil {
		return err
	}
	if me := int64(worker + 1); w.owner.Swap(me) != me {
		w.changes.Add(1)
	}
	return l.Unlock(ctx)
}

func read(ctx context.Context, w *world, worker, _ int) error {
	_, err := w.clients[worker%len(w.clients)].GetLock(ctx, ownLock(w, worker))
	return err
}

// hold takes the worker's lock, unless it has it from the run before.
func hold(ctx context.Context, w *world, worker int) error {
	if l := w.locks[worker]; l != nil && l.Held() {
		return nil
	}
	l, err := w.session(worker).Lock(ctx, ownLock(w, worker))
	w.locks[worker] = l
	return err
}

func appendOp(ctx context.Context, w *world, worker, _ int) error {
	_, err := w.locks[worker].Append(ctx, ownLock(w, worker), w.data)
	return err
}

func keep(ctx context.Context, w *world, worker, n int) error {
	_, err := w.session(worker).Lock(ctx, fmt.Sprintf("%s/%012d", w.prefix, n))
	return err
}

// connect makes connections and sessions.
func connect(ctx context.Context, o Options, prefix string) (*world, error) {
	w := &world{prefix: prefix, data: make([]byte, o.Bytes), locks: make([]*client.Lock, o.Workers)}
	for range o.Connections {
		c, err := client.Dial(o.Server)
		if err != nil {
			return nil, err
		}
		w.clients = append(w.clients, c)
	}
	opts := []client.SessionOption{client.WithLabel("dlm bench")}
	if o.TTL > 0 {
		opts = append(opts, client.WithTTL(o.TTL))
	}
	w.sessions = make([]*client.Session, o.Sessions)
	err := fanOut(min(o.Sessions, 256), func(opener, openers int) error {
		for i := opener; i < o.Sessions; i += openers {
			s, err := w.clients[i%len(w.clients)].OpenSession(ctx, opts...)
			if err != nil {
				return err
			}
			w.sessions[i] = s
		}
		return nil
	})
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// close gives everything back.
func (w *world) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = fanOut(min(len(w.sessions), 256), func(closer, closers int) error {
		for i := closer; i < len(w.sessions); i += closers {
			if s := w.sessions[i]; s != nil {
				_ = s.Close(ctx) // it would lapse by itself
			}
		}
		return nil
	})
	for _, c := range w.clients {
		_ = c.Close()
	}
}
