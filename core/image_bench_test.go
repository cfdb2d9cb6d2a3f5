package core

import (
	"fmt"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
)

// manyLocks returns a table in which 10 sessions hold so many locks.
func manyLocks(tb testing.TB, locks int) *Core {
	const sessions = 10
	x := newTable(tb)
	for i := range sessions {
		x.c.Apply(1, 1, []*dlmv1.Request{{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: []byte(fmt.Sprintf("session%09d", i))}}}})
	}
	var seqs [sessions]uint64
	for i := range locks {
		s := i % sessions
		seqs[s]++
		x.c.Apply(uint64(i)+2, uint64(i)+2, []*dlmv1.Request{{
			Session: uint64(s) + 1, Instance: 1, Sequence: seqs[s], Watermark: seqs[s],
			Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: fmt.Sprintf("service/%08d", i)}},
		}})
	}
	return x.c
}

// BenchmarkImage encodes 1,000,000 held locks, in slices of 512.
func BenchmarkImage(b *testing.B) {
	c := manyLocks(b, 1_000_000)
	slices, bytes := 0, 0
	for b.Loop() {
		for image, done := c.BeginImage(), false; !done; slices++ {
			var part []byte
			part, done = image.Next(512)
			bytes += len(part)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(slices), "us/slice")
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes")
}

// BenchmarkRestore restores 1,000,000 held locks.
func BenchmarkRestore(b *testing.B) {
	data := manyLocks(b, 1_000_000).Snapshot()
	for b.Loop() {
		if _, err := Restore(data); err != nil {
			b.Fatal(err)
		}
	}
}
