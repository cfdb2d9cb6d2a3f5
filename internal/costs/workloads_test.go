package costs

import (
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/wire"
)

// workload is something to measure.
type workload struct {
	name string
	ops  int                          // operations in a step
	make func(tb testing.TB) (s step) // all that is not measured
}

type step func()

// The settings of all workloads, unless their names say otherwise: 1,000 sessions, names of 16 bytes, 64 requests an entry.
const (
	sessions = 1000
	batch    = 64
)

// An operation of core, wal, codec and replica is a request. "pairs" are acquires and releases, none of them contended.
var workloads = []workload{
	{"core/pairs", 2 * batch, func(tb testing.TB) step { return pairs(tb, 100_000, nil) }},
	{"core/pairs with hold limits", 2 * batch, func(tb testing.TB) step {
		return pairs(tb, 100_000, &dlmv1.Acquire{HoldLimitNanos: 1 << 40, LockDelayNanos: 1 << 30})
	}},
	{"core/hand-offs", 2 * batch, handOffs},
	{"core/keep-alives", batch, keepAlives},
	{"core/duplicates", batch, duplicates},
	{"core/appends", batch, appends},
	{"codec/frame from client", batch, func(tb testing.TB) step {
		return decoding(tb, clientFrame(), func() wire.Message { return &dlmv1.ClientFrame{} })
	}},
	{"codec/frame to client", batch, func(tb testing.TB) step { return encoding(tb, serverFrame()) }},
	{"codec/entry written", batch, func(tb testing.TB) step { return encoding(tb, entry()) }},
	{"codec/entry read", batch, func(tb testing.TB) step { return decoding(tb, entry(), func() wire.Message { return &dlmv1.Batch{} }) }},
	{"wal/entries of 1", 1, func(tb testing.TB) step { return logWrites(tb, 1) }},
	{"wal/entries of 64", batch, func(tb testing.TB) step { return logWrites(tb, batch) }},
	{"replica/pairs, 1 a step", 2, func(tb testing.TB) step { return replicaPairs(tb, 1) }},
	{"replica/pairs, 64 a step", 2 * batch, func(tb testing.TB) step { return replicaPairs(tb, batch) }},
}

func lockName(i int) string { return fmt.Sprintf("lock/%011d", i) }

// table is a lock table and the clients in front of it. Its requests are used again, as no server could do.
type table struct {
	tb       testing.TB
	c        *core.Core
	now      uint64
	seqs     [sessions]uint64
	requests []*dlmv1.Request
}

func newTable(tb testing.TB) *table {
	c, err := core.New(core.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	t := &table{tb: tb, c: c, requests: make([]*dlmv1.Request, batch)}
	for i := range sessions {
		t.now++
		c.Apply(t.now, t.now, []*dlmv1.Request{open(i)})
	}
	for i := range t.requests {
		t.requests[i] = &dlmv1.Request{Instance: 1}
	}
	return t
}

func open(session int) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: fmt.Appendf(nil, "%016d", session)}}}
}

// ask makes the j-th request of an entry one of the session's.
func (t *table) ask(j, session int) *dlmv1.Request {
	t.seqs[session]++
	r := t.requests[j]
	r.Session, r.Sequence, r.Watermark = uint64(session+1), t.seqs[session], t.seqs[session]
	return r
}

// apply applies the entry a microsecond a request later, and requires that every answer is OK.
func (t *table) apply() []*dlmv1.Answer {
	t.now += 1000 * batch
	answers := t.c.Apply(t.now, t.now, t.requests).Answers
	for _, a := range answers {
		if a.Reason != dlmv1.Reason_REASON_OK {
			t.tb.Fatal(a)
		}
	}
	return answers
}

// pairs holds all locks but those of the entry under way: it releases 64 and acquires them again, going round.
func pairs(tb testing.TB, locks int, like *dlmv1.Acquire) step {
	t := newTable(tb)
	locks -= locks % batch
	acquires := make([]dlmv1.Request_Acquire, locks)
	releases := make([]dlmv1.Request_Release, locks)
	for i := range locks {
		acquires[i].Acquire = &dlmv1.Acquire{
			Lock: lockName(i), HoldLimitNanos: like.GetHoldLimitNanos(), LockDelayNanos: like.GetLockDelayNanos(),
		}
		releases[i].Release = &dlmv1.Release{Lock: lockName(i)}
	}
	acquire := func(first int) {
		for j := range batch {
			t.ask(j, (first+j)%sessions).Op = &acquires[first+j]
		}
		for j, a := range t.apply() {
			releases[first+j].Release.Token = a.Token
		}
	}
	for i := 0; i < locks; i += batch {
		acquire(i)
	}
	first := 0
	return func() {
		for j := range batch {
			t.ask(j, (first+j)%sessions).Op = &releases[first+j]
		}
		t.apply()
		acquire(first)
		first = (first + batch) % locks
	}
}

// handOffs has two sessions for each of 64 locks: one releases it, which grants it to the other, and queues again.
func handOffs(tb testing.TB) step {
	t := newTable(tb)
	var acquires [batch]dlmv1.Request_Acquire
	var releases [batch]dlmv1.Request_Release
	holder, waiter := 0, batch // first sessions
	enqueue := func(first int) []*dlmv1.Answer {
		for j := range batch {
			t.ask(j, first+j).Op = &acquires[j]
		}
		return t.apply()
	}
	for j := range batch {
		acquires[j].Acquire = &dlmv1.Acquire{Lock: lockName(j), WaitNanos: new(uint64(1 << 40))}
		releases[j].Release = &dlmv1.Release{Lock: lockName(j)}
	}
	for j, a := range enqueue(holder) {
		releases[j].Release.Token = a.Token
	}
	enqueue(waiter)
	return func() {
		for j := range batch {
			t.ask(j, holder+j).Op = &releases[j]
		}
		for _, a := range t.apply() { // of the release and of the grant
			if a.Token != 0 {
				releases[(int(a.Session)-1)%batch].Release.Token = a.Token
			}
		}
		enqueue(holder)
		holder, waiter = waiter, holder
	}
}

// keepAlives renews the sessions in turn.
func keepAlives(tb testing.TB) step {
	t := newTable(tb)
	op := &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}
	first := 0
	return func() {
		for j := range batch {
			t.ask(j, (first+j)%sessions).Op = op
		}
		t.apply()
		first += batch
	}
}

// duplicates applies requests that have an answer.
func duplicates(tb testing.TB) step {
	t := newTable(tb)
	for j := range batch {
		t.ask(j, j).Op = &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: lockName(j)}}
	}
	t.apply()
	return func() { t.apply() }
}

// appends appends 100 bytes to a file of each of 64 locks.
func appends(tb testing.TB) step {
	t := newTable(tb)
	ops := make([]dlmv1.Request_Append, batch)
	for j := range batch {
		t.ask(j, j).Op = &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: lockName(j)}}
	}
	for j, a := range t.apply() {
		ops[j].Append = &dlmv1.Append{File: lockName(j), Lock: lockName(j), Token: a.Token, Data: make([]byte, 100)}
	}
	return func() {
		for j := range batch {
			t.ask(j, j).Op = &ops[j]
		}
		t.apply()
	}
}

// entry is a batch of 64 acquires.
func entry() *dlmv1.Batch {
	return &dlmv1.Batch{Version: 1, Stamp: 1 << 50, Requests: clientFrame().Requests}
}

func clientFrame() *dlmv1.ClientFrame {
	f := &dlmv1.ClientFrame{}
	for j := range batch {
		f.Requests = append(f.Requests, &dlmv1.Request{
			Session: uint64(j + 1), Instance: 1, Sequence: 1000, Watermark: 1000,
			Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: lockName(j)}},
		})
	}
	return f
}

func serverFrame() *dlmv1.ServerFrame {
	f := &dlmv1.ServerFrame{}
	for j := range batch {
		f.Answers = append(f.Answers, &dlmv1.Answer{
			Session: uint64(j + 1), Sequence: 1000, Index: 1 << 30, Stamp: 1 << 50, SessionDeadline: 1 << 50, Token: 1 << 52,
		})
	}
	return f
}

func encoding(tb testing.TB, m interface{ MarshalVT() ([]byte, error) }) step {
	return func() {
		if _, err := m.MarshalVT(); err != nil {
			tb.Fatal(err)
		}
	}
}

func decoding(tb testing.TB, m proto.Message, empty func() wire.Message) step {
	data, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := empty().UnmarshalVT(data); err != nil {
			tb.Fatal(err)
		}
	}
}

// raftEntry is one of the log, with a batch of n acquires.
func raftEntry(tb testing.TB, n int) *raftpb.Entry {
	b := entry()
	b.Requests = b.Requests[:n]
	data, err := proto.Marshal(b)
	if err != nil {
		tb.Fatal(err)
	}
	return &raftpb.Entry{Term: new(uint64(1)), Data: data}
}
