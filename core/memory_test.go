package core

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
)

// What a lock, a place in a queue and a session may cost in bytes of heap after a collection, everything that core keeps
// for them counted in: index, name, order, the sequence's slot.
const (
	bytesPerLock   = 350
	bytesPerWaiter = 300
)

// TestMemory holds the state's layout to these bounds, on fewer locks than BenchmarkMemory. A map costs most just after it
// has grown, as it has at 60,000.
func TestMemory(t *testing.T) {
	for _, locks := range []int{60_000, 100_000} {
		for _, m := range memories {
			if got := m.measure(t, locks); got > m.most {
				t.Errorf("%s, %d of them: %.0f bytes each, at most %.0f are allowed", m.name, locks, got, m.most)
			} else {
				t.Logf("%s, %d of them: %.0f bytes each", m.name, locks, got)
			}
		}
	}
}

// BenchmarkMemory says what 1,000,000 of each cost.
func BenchmarkMemory(b *testing.B) {
	for _, m := range memories {
		b.Run(strings.ReplaceAll(m.name, " ", "_"), func(b *testing.B) {
			got := 0.0
			for b.Loop() {
				got = m.measure(b, 1_000_000)
			}
			b.ReportMetric(got, "bytes/item")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// memories are the things that a table may hold many of.
var memories = []struct {
	name    string
	most    float64 // bytes each
	measure func(tb testing.TB, n int) float64
}{
	{"held locks", bytesPerLock, func(tb testing.TB, n int) float64 {
		m := newMemory(tb, 1000)
		return m.grown(n, func() { m.acquire(0, n, &dlmv1.Acquire{}) })
	}},
	{"held locks with a hold limit and a value", bytesPerLock + 250, func(tb testing.TB, n int) float64 {
		m := newMemory(tb, 1000)
		return m.grown(n, func() {
			m.acquire(0, n, &dlmv1.Acquire{HoldLimitNanos: 1 << 40, LockDelayNanos: 1 << 30, Value: []byte("10.0.0.1:8080")})
		})
	}},
	{"waiters, each for a lock of its own", bytesPerWaiter, func(tb testing.TB, n int) float64 {
		m := newMemory(tb, 2000)
		m.acquire(0, n, &dlmv1.Acquire{})
		return m.grown(n, func() { m.acquire(1000, n, &dlmv1.Acquire{}) })
	}},
	{"waiters with a wait timeout, each for a lock of its own", bytesPerWaiter, func(tb testing.TB, n int) float64 {
		m := newMemory(tb, 2000)
		m.acquire(0, n, &dlmv1.Acquire{})
		return m.grown(n, func() { m.acquire(1000, n, &dlmv1.Acquire{WaitNanos: new(uint64(1 << 40))}) })
	}},
}

// memory is a table of which every byte counts: nothing but what core keeps outlives an entry.
type memory struct {
	tb   testing.TB
	c    *Core
	now  uint64
	seqs []uint64
}

func newMemory(tb testing.TB, sessions int) *memory {
	c, err := New(Config{Limits: &dlmv1.Limits{Locks: 1 << 30, HoldsPerSession: 1 << 30, WaitersPerLock: 1 << 30, Window: maxWindow}})
	if err != nil {
		tb.Fatal(err)
	}
	m := &memory{tb: tb, c: c, now: 1, seqs: make([]uint64, sessions)}
	for i := range sessions {
		key := make([]byte, 16)
		key[0], key[1] = byte(i), byte(i>>8)
		c.Apply(1, 1, []*dlmv1.Request{{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key}}}})
	}
	return m
}

// grown is by how much the heap grows for each of n.
func (m *memory) grown(n int, do func()) float64 {
	before := heapBytes()
	do()
	after := heapBytes()
	runtime.KeepAlive(m.c)
	return (float64(after) - float64(before)) / float64(n)
}

func heapBytes() uint64 {
	runtime.GC() // twice: what a pool of the protobuf library let go in the first one is freed in the second
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// acquire asks for n locks on behalf of 1,000 sessions from the first one on.
func (m *memory) acquire(first, n int, like *dlmv1.Acquire) {
	const sessions, batch = 1000, 64
	for i := 0; i < n; i += batch {
		var requests []*dlmv1.Request
		for j := i; j < min(i+batch, n); j++ {
			s := first + j%sessions
			m.seqs[s]++
			requests = append(requests, &dlmv1.Request{
				Session: uint64(s + 1), Instance: 1, Sequence: m.seqs[s], Watermark: m.seqs[s],
				Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{
					Lock:      fmt.Sprintf("lock/%011d", j), // 16 bytes, of its own, as from the wire
					WaitNanos: like.WaitNanos, HoldLimitNanos: like.HoldLimitNanos, LockDelayNanos: like.LockDelayNanos, Value: like.Value,
				}},
			})
		}
		m.now++
		for _, a := range m.c.Apply(m.now, m.now, requests).Answers {
			if a.Reason != ok {
				m.tb.Fatal(a)
			}
		}
	}
}
