package side

import (
	"context"
	"time"
)

// Held is a lock that is held.
type Held interface {
	Unlock(ctx context.Context) error
}

// Client is a service in use, by any number of workers at once.
type Client interface {
	// Lock acquires a lock for a worker (0 .. Use.Workers - 1), waiting for it if need be.
	Lock(ctx context.Context, worker int, name string) (Held, error)
	// Close gives everything back, what is still held too.
	Close() error
}

// Use says what a client is wanted for.
type Use struct {
	Workers int
	// Apart: the workers want the same lock, as if they were processes of their own. Otherwise they may share sessions.
	Apart bool
	// One: everything is held by one session.
	One bool
}

// Peer is one way to use a service.
type Peer struct {
	// Name in results; Title and How for people: how it is used, in a few words.
	Name, Title, How string
	Service          *Service
	// Only lists the workloads that it takes part in. nil = all.
	Only []string
	// Dial connects to a server that serves.
	Dial func(ctx context.Context, addr string, use Use) (Client, error)
}

// Workload is a row of the comparison.
type Workload struct {
	Name, What string
	Use        Use
	// Count is how many locks are acquired and kept; 0 = pairs of lock and unlock for as long as a cell lasts.
	Count int
	// Half: at half of the rate that the peer reached in the workload of this name in the same round.
	Half string
}

// Workloads are all rows, in the order in which a round takes them.
func Workloads(locks int) []Workload {
	return []Workload{
		{Name: "pairs-1", What: "Uncontended pairs, 1 worker", Use: Use{Workers: 1}},
		{Name: "pairs-64", What: "Uncontended pairs, 64 workers", Use: Use{Workers: 64}},
		{Name: "pairs-1024", What: "Uncontended pairs, 1,024 workers", Use: Use{Workers: 1024}},
		{Name: "half", What: "Uncontended pairs at half of the peak rate, up to 1,024 at once", Use: Use{Workers: 1024}, Half: "pairs-1024"},
		{Name: "handoff-8", What: "One lock, 8 workers", Use: Use{Workers: 8, Apart: true}},
		{Name: "held", What: "Locks acquired and kept by one session, 64 callers", Use: Use{Workers: 64, One: true}, Count: locks},
	}
}

// Poll is how long a client of a service without queues waits before it tries again: 1 to 3 ms, at random. Libraries for
// Redis wait 50 to 250 ms unless told otherwise; this favours them where locks change hands.
func Poll(ctx context.Context, draw func(n int64) int64) error {
	t := time.NewTimer(time.Millisecond + time.Duration(draw(int64(2*time.Millisecond))))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
