package grpcserver

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
)

// BenchmarkPairs locks and unlocks, each worker a lock of its own, durably; one operation is a pair. Client and server share
// the machine.
func BenchmarkPairs(b *testing.B) {
	for _, workers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("stream/%d", workers), func(b *testing.B) { benchmarkPairs(b, workers, byStream) })
		b.Run(fmt.Sprintf("unary/%d", workers), func(b *testing.B) { benchmarkPairs(b, workers, byCall) })
	}
}

// ask sends a request and waits for its answer.
type ask func(*dlmv1.Request) *dlmv1.Answer

func benchmarkPairs(b *testing.B, workers int, way func(*testing.B, dlmv1grpc.LocksClient) ask) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(Options{Dir: b.TempDir(), Listener: l})
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve()
	defer s.Stop()
	cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer cc.Close()
	do := way(b, dlmv1grpc.NewLocksClient(cc))
	sessions := make([]uint64, workers)
	for w := range sessions {
		sessions[w] = do(&dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: fmt.Appendf(nil, "%016d", w)}}}).GetSession()
	}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for w, session := range sessions {
		wg.Go(func() {
			name := fmt.Sprintf("lock-%d", w)
			for n := uint64(1); left.Add(-1) >= 0; n += 2 {
				a := do(acquire(session, n, name, nil))
				do(release(session, n+1, name, a.GetToken()))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

func byCall(b *testing.B, c dlmv1grpc.LocksClient) ask {
	return func(r *dlmv1.Request) *dlmv1.Answer {
		a, err := c.Call(b.Context(), r)
		if err != nil {
			b.Error(err)
		}
		return a
	}
}

// byStream puts all workers on one stream and sends what is ready in one frame, as the client library does.
func byStream(b *testing.B, c dlmv1grpc.LocksClient) ask {
	st, err := c.Stream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	waiting := map[string]chan *dlmv1.Answer{}
	identify := func(session, sequence uint64, key []byte) string {
		if len(key) > 0 {
			return string(key)
		}
		return fmt.Sprint(session, "/", sequence)
	}
	go func() {
		for {
			f, err := st.Recv()
			if err != nil {
				return
			}
			mu.Lock()
			for _, a := range f.GetAnswers() {
				id := identify(a.GetSession(), a.GetSequence(), a.GetKey())
				waiting[id] <- a
				delete(waiting, id)
			}
			mu.Unlock()
		}
	}()
	ready := make(chan *dlmv1.Request, 4096)
	b.Cleanup(func() { close(ready) })
	go func() {
		for r := range ready {
			f := &dlmv1.ClientFrame{Requests: []*dlmv1.Request{r}}
			for more := true; more; {
				select {
				case r, more = <-ready:
					if more {
						f.Requests = append(f.Requests, r)
					}
				default:
					more = false
				}
			}
			if st.Send(f) != nil {
				return
			}
		}
	}()
	return func(r *dlmv1.Request) *dlmv1.Answer {
		reply := make(chan *dlmv1.Answer, 1)
		mu.Lock()
		waiting[identify(r.GetSession(), r.GetSequence(), r.GetOpen().GetKey())] = reply
		mu.Unlock()
		ready <- r
		return <-reply
	}
}
