package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// overload is some engines that ask one server for more than it can do: it deals with a number of requests at each step, in
// order of their arrival, whether their callers still wait or not.
type overload struct {
	t        *testing.T
	now      time.Duration
	engines  []*Engine
	queue    []arrived
	token    uint64
	began    map[begun]time.Duration // the Lock of the pair
	inTime   int
	longest  int // queue
	perStep  int
	deadline time.Duration
}

type begun struct {
	engine int
	call   Call
}

type arrived struct {
	engine int
	conn   uint64
	req    *dlmv1.Request
}

const (
	overloadStep = 5 * time.Millisecond
	overloadTTL  = time.Hour
)

func newOverload(t *testing.T, engines, perStep int) *overload {
	o := &overload{t: t, now: time.Hour, perStep: perStep, deadline: time.Second, began: map[begun]time.Duration{}}
	for i := range engines {
		e := New(Config{}, rand.New(rand.NewPCG(1, uint64(i))))
		o.engines = append(o.engines, e)
		e.OpenSession(o.now, 0, SessionOptions{})
		conn := e.Flush(o.now).Dial[0].Conn
		e.Connected(o.now, conn)
		e.Receive(o.now, conn, &dlmv1.ServerFrame{Hello: &dlmv1.Hello{ClusterId: []byte("one"), DriftPpm: 10_000, Window: 4096}})
		key := e.Flush(o.now).Frames[0].Frame.GetRequests()[0].GetOpen().GetKey()
		e.Receive(o.now, conn, &dlmv1.ServerFrame{Answers: []*dlmv1.Answer{{
			Key: key, Session: 7, Instance: 1, Index: 1, Stamp: stampAt(0), NextSequence: 1,
			SessionDeadline: stampAt(overloadTTL), TtlNanos: uint64(overloadTTL),
		}}})
		e.Flush(o.now)
	}
	return o
}

// step begins some pairs of lock and unlock at each engine, and lets the server work.
func (o *overload) step(pairs int) {
	for i, e := range o.engines {
		for range pairs {
			o.token++
			call := e.Lock(o.now, o.now+o.deadline, 7, acquire(fmt.Sprint("lock ", o.token)))
			o.began[begun{i, call}] = o.now
		}
		o.flush(i)
	}
	o.longest = max(o.longest, len(o.queue))
	o.now += overloadStep
	n := min(o.perStep, len(o.queue))
	frames := make([]*dlmv1.ServerFrame, len(o.engines))
	for _, a := range o.queue[:n] {
		if frames[a.engine] == nil {
			frames[a.engine] = &dlmv1.ServerFrame{}
		}
		o.token++
		frames[a.engine].Answers = append(frames[a.engine].Answers, &dlmv1.Answer{
			Session: 7, Sequence: a.req.GetSequence(), Index: o.token, Token: o.token,
			Stamp: stampAt(o.now - time.Hour), SessionDeadline: stampAt(o.now - time.Hour + overloadTTL),
		})
	}
	o.queue = o.queue[n:]
	for i, f := range frames {
		if f != nil {
			o.engines[i].Receive(o.now, o.engines[i].link.conn, f)
		}
		o.flush(i)
	}
}

func (o *overload) flush(i int) {
	e := o.engines[i]
	fx := e.Flush(o.now)
	for _, f := range fx.Frames {
		for _, r := range f.Frame.GetRequests() {
			o.queue = append(o.queue, arrived{i, f.Conn, r})
		}
	}
	for _, d := range fx.Done {
		id := begun{i, d.Call}
		began, is := o.began[id]
		delete(o.began, id)
		switch {
		case d.Err != nil || !is:
		case d.Answer.GetStamp() != 0 && e.sessions[7].holds[d.Answer.GetToken()] != nil: // locked
			h := e.sessions[7].holds[d.Answer.GetToken()]
			call := e.Unlock(o.now, began+o.deadline, 7, h.lock.name, h.token)
			o.began[begun{i, call}] = began
		default:
			o.inTime++
		}
	}
}

// At several times the load that the server can carry nearly all of what it can do is done in time, and its queue stays short.
func TestOverload(t *testing.T) {
	const engines, perStep, seconds = 4, 64, 5 // 12,800 requests a second, 6,400 pairs
	capacity := perStep / 2 * int(time.Second/overloadStep)
	for _, times := range []int{2, 4} {
		o := newOverload(t, engines, perStep)
		for range 3 * time.Second / overloadStep { // it takes a moment to find out
			o.step(times * perStep / 2 / engines)
		}
		o.inTime, o.longest = 0, 0
		for range seconds * time.Second / overloadStep {
			o.step(times * perStep / 2 / engines)
		}
		rate := o.inTime / seconds
		if rate < capacity*9/10 {
			t.Errorf("at %d times the load %d of %d pairs a second are done in time", times, rate, capacity)
		}
		if most := capacity; o.longest > most {
			t.Errorf("at %d times the load the server's queue reached %d requests, %d may do", times, o.longest, most)
		}
		t.Logf("at %d times the load %d of %d pairs a second are done in time, the server's queue reached %d", times, rate, capacity, o.longest)
	}
}
