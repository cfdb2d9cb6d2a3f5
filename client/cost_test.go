package client

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// yesServer answers every request at once that it is done: what is left is what the client itself costs.
type yesServer struct{}

type yesStream struct {
	ctx   context.Context
	out   chan *dlmv1.ServerFrame
	index uint64 // and stamp
	token uint64 // the last one
}

func (yesServer) name(int) string { return "yes" }
func (yesServer) close()          {}

func (yesServer) dial(ctx context.Context, _ int) (stream, error) {
	st := &yesStream{ctx: ctx, out: make(chan *dlmv1.ServerFrame, maxUnsent)}
	st.out <- &dlmv1.ServerFrame{Hello: &dlmv1.Hello{ClusterId: make([]byte, 16), MemberId: 1, Window: 1 << 14}}
	return st, nil
}

func (st *yesStream) Recv() (*dlmv1.ServerFrame, error) {
	select {
	case f := <-st.out:
		return f, nil
	case <-st.ctx.Done():
		return nil, context.Cause(st.ctx)
	}
}

func (st *yesStream) Send(f *dlmv1.ClientFrame) error {
	st.index++
	out := &dlmv1.ServerFrame{Answers: make([]*dlmv1.Answer, 0, len(f.GetRequests()))}
	answers := make([]dlmv1.Answer, len(f.GetRequests()))
	for i, r := range f.GetRequests() {
		a := &answers[i]
		a.Session, a.Sequence, a.Index, a.Stamp = r.GetSession(), r.GetSequence(), st.index, st.index
		switch op := r.GetOp().(type) {
		case *dlmv1.Request_Open:
			a.Session, a.Key, a.Instance, a.NextSequence, a.Limit = 1, op.Open.GetKey(), 1, 1, 1<<14
			a.TtlNanos, a.SessionDeadline = uint64(time.Hour), uint64(time.Hour)
		case *dlmv1.Request_Acquire:
			st.token++
			a.Token = st.token
		case *dlmv1.Request_KeepAlive:
			a.SessionDeadline = st.index + uint64(time.Hour)
		}
		out.Answers = append(out.Answers, a)
	}
	st.out <- out
	return nil
}

// BenchmarkLibrary is what a lock and its release cost in the client alone.
func BenchmarkLibrary(b *testing.B) {
	for _, workers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			c, err := Dial("yes", func(o *options) { o.transport = yesServer{} })
			if err != nil {
				b.Fatal(err)
			}
			defer c.Leave()
			s, err := c.OpenSession(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for w := range workers {
				all.Go(func() {
					ctx, cancel := context.WithCancel(b.Context())
					defer cancel()
					name := fmt.Sprintf("lock/%06d", w)
					for n := w; n < b.N; n += workers {
						l, err := s.Lock(ctx, name)
						if err == nil {
							err = l.Unlock(ctx)
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
