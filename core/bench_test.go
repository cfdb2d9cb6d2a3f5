package core

import (
	"fmt"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
)

// BenchmarkPairs releases and acquires again the 100,000 locks of 1,000 sessions, 64 requests an entry.
func BenchmarkPairs(b *testing.B) {
	const sessions, locks, batch = 1000, 100_000, 64
	x := newTable(b)
	for i := range sessions {
		key := make([]byte, 16)
		key[0], key[1] = byte(i), byte(i>>8)
		x.c.Apply(1, 1, []*dlmv1.Request{{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key}}}})
	}
	names := make([]string, locks)
	acquires := make([]dlmv1.Request_Acquire, locks)
	releases := make([]dlmv1.Request_Release, locks)
	for i := range names {
		names[i] = fmt.Sprintf("service/shard/%06d", i)
		acquires[i].Acquire = &dlmv1.Acquire{Lock: names[i]}
		releases[i].Release = &dlmv1.Release{Lock: names[i]}
	}
	var seqs [sessions]uint64
	requests := make([]*dlmv1.Request, batch)
	for i := range requests {
		requests[i] = &dlmv1.Request{Instance: 1}
	}
	next := func(r *dlmv1.Request, lock int) {
		s := lock % sessions
		seqs[s]++
		r.Session, r.Sequence, r.Watermark = uint64(s+1), seqs[s], seqs[s]
	}
	now := uint64(1)
	apply := func(n int) []*dlmv1.Answer {
		now += 1000
		return x.c.Apply(now, now, requests[:n]).Answers
	}
	acquire := func(first, n int) {
		for j := range n {
			next(requests[j], first+j)
			requests[j].Op = &acquires[first+j]
		}
		for j, a := range apply(n) {
			releases[first+j].Release.Token = a.Token
		}
	}
	// All locks are held, but for those of the entry under way.
	for i := 0; i < locks; i += batch {
		acquire(i, min(batch, locks-i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += 2 * batch {
		first := done / 2 % (locks - batch)
		for j := range batch {
			next(requests[j], first+j)
			requests[j].Op = &releases[first+j]
		}
		for _, a := range apply(batch) {
			if a.Reason != ok {
				b.Fatal(a)
			}
		}
		acquire(first, batch)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkKeepAlives renews 100,000 sessions in turn.
func BenchmarkKeepAlives(b *testing.B) {
	const sessions, batch = 100_000, 256
	x := newTable(b)
	for i := range sessions {
		key := make([]byte, 16)
		key[0], key[1], key[2] = byte(i), byte(i>>8), byte(i>>16)
		x.c.Apply(1, 1, []*dlmv1.Request{{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key}}}})
	}
	seqs := make([]uint64, sessions)
	requests := make([]*dlmv1.Request, batch)
	for i := range requests {
		requests[i] = &dlmv1.Request{Instance: 1, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}
	}
	b.ReportAllocs()
	b.ResetTimer()
	now := uint64(1)
	for done := 0; done < b.N; done += batch {
		for j := range batch {
			s := (done + j) % sessions
			seqs[s]++
			r := requests[j]
			r.Session, r.Sequence, r.Watermark = uint64(s+1), seqs[s], seqs[s]
		}
		now += 100_000
		x.c.Apply(now, now, requests)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
