package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// BenchmarkPairs is the engine's share of a lock and its unlock, with many workers on one session.
func BenchmarkPairs(b *testing.B) {
	for _, workers := range []int{1, 64, 900} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) { benchPairs(b, workers) })
	}
}

func benchPairs(b *testing.B, workers int) {
	e := New(Config{}, rand.New(rand.NewPCG(1, 1)))
	now := time.Hour
	open := e.OpenSession(now, 0, SessionOptions{})
	conn := e.Flush(now).Dial[0].Conn
	e.Connected(now, conn)
	e.Receive(now, conn, &dlmv1.ServerFrame{Hello: &dlmv1.Hello{ClusterId: []byte("one"), Window: 1024}})
	names := make([]string, workers)
	for i := range names {
		names[i] = fmt.Sprint("lock", i)
	}
	lockOf := map[Call]int{}
	token, index, pairs := uint64(0), uint64(0), 0
	b.ReportAllocs()
	for pairs < b.N {
		now += 100 * time.Microsecond
		fx := e.Flush(now)
		for _, d := range fx.Done {
			i, locked := lockOf[d.Call]
			switch {
			case d.Err != nil:
				b.Fatal(d.Err)
			case d.Call == open:
				for i, name := range names {
					lockOf[e.Lock(now, now+time.Minute, d.Session, &dlmv1.Acquire{Lock: name})] = i
				}
			case locked && d.Answer.Token != 0:
				delete(lockOf, d.Call)
				lockOf[e.Unlock(now, now+time.Minute, d.Session, names[i], d.Answer.Token)] = i
			case locked:
				delete(lockOf, d.Call)
				pairs++
				lockOf[e.Lock(now, now+time.Minute, d.Session, &dlmv1.Acquire{Lock: names[i]})] = i
			}
		}
		reply := &dlmv1.ServerFrame{}
		for _, f := range fx.Frames {
			for _, r := range f.Frame.GetRequests() {
				index++
				a := &dlmv1.Answer{Session: 1, Sequence: r.Sequence, Index: index, Stamp: uint64(now), SessionDeadline: uint64(now + time.Minute)}
				if o := r.GetOpen(); o != nil {
					a.Key, a.Instance, a.NextSequence, a.TtlNanos = o.Key, 1, 1, uint64(time.Minute)
				}
				if r.GetAcquire() != nil {
					token++
					a.Token = token
				}
				reply.Answers = append(reply.Answers, a)
			}
		}
		e.Receive(now, conn, reply)
	}
}
