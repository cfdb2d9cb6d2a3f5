package client_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"dlm/client"
)

func BenchmarkPairs(b *testing.B) {
	addr, stop := startServer()
	defer stop()
	c, _ := client.Dial(addr)
	defer c.Close()
	s, err := c.OpenSession(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		name := fmt.Sprint("lock", n.Add(1))
		for pb.Next() {
			l, err := s.Lock(b.Context(), name)
			if err != nil {
				b.Error(err)
				return
			}
			_ = l.Unlock(b.Context())
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}
