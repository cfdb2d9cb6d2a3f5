package engine

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// world is a small one: one server that is a bare core, a network that loses, repeats and reorders, and engines whose
// clocks run at different rates. The real simulation is package sim; this one is for what the engine alone promises.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Duration // true time
	queue events
	order uint64

	core     *core.Core
	index    uint64
	askers   map[string][]peer
	attached map[uint64]peer
	armed    uint64 // stamp that a server timer is set for
	ppm      uint64
	rate     float64 // of the server's clock

	faults  faults
	clients []*client
	check   func()
	appends map[string]int
}

type faults struct {
	drop, repeat, cut float64 // per message
	delay             time.Duration
	mute              bool // nothing gets through
}

type peer struct {
	c    *client
	conn uint64
}

type client struct {
	w      *world
	id     int
	e      *Engine
	rate   float64
	origin time.Duration
	open   map[uint64]bool // connections, this end
	wake   time.Duration
	done   map[Call]Completion
	events []Event
	sent   []*dlmv1.Request
	times  []time.Duration // local time of each of sent
	onDone func(Completion)
	onEv   func(Event)
}

type event struct {
	at    time.Duration
	order uint64
	do    func()
}
type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	limits := core.DefaultLimits()
	limits.MinTtlNanos = uint64(100 * time.Millisecond)
	c, err := core.New(core.Config{Limits: limits, ClusterID: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), core: c, askers: map[string][]peer{}, attached: map[uint64]peer{},
		ppm: limits.DriftPpm, rate: 1, faults: faults{delay: time.Millisecond}, appends: map[string]int{},
	}
}

// setLimits begins anew with other limits; before anything else.
func (w *world) setLimits(limits *dlmv1.Limits) {
	limits.MinTtlNanos = uint64(100 * time.Millisecond)
	c, err := core.New(core.Config{Limits: limits, ClusterID: [16]byte{1}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.core = c
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.queue, event{w.now + d, w.order, do})
}

func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= end {
		ev := heap.Pop(&w.queue).(event)
		w.now = ev.at
		ev.do()
		if w.check != nil {
			w.check()
		}
	}
	w.now = end
}

// until runs until the condition holds, for at most an hour.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := w.now + time.Hour; !ok(); {
		if len(w.queue) == 0 || w.queue[0].at > end {
			w.t.Fatalf("%s: not within an hour", what)
		}
		w.run(w.queue[0].at - w.now)
	}
}

func (w *world) client(cfg Config, rate float64) *client {
	c := &client{
		w: w, id: len(w.clients), rate: rate, origin: time.Duration(w.rng.Int64N(int64(time.Hour))),
		open: map[uint64]bool{}, done: map[Call]Completion{}, wake: -1,
	}
	c.e = New(cfg, rand.New(rand.NewPCG(w.rng.Uint64(), 2)))
	w.clients = append(w.clients, c)
	return c
}

func (c *client) clock() time.Duration {
	return c.origin + time.Duration(float64(c.w.now)*c.rate)
}

// flush performs the engine's effects.
func (c *client) flush() {
	w := c.w
	fx := c.e.Flush(c.clock())
	for _, conn := range fx.Close {
		c.hangUp(conn)
	}
	for _, d := range fx.Dial {
		w.after(w.delay(), func() { c.connect(d.Conn) })
	}
	for _, out := range fx.Frames {
		for _, r := range out.Frame.GetRequests() {
			c.sent = append(c.sent, proto.Clone(r).(*dlmv1.Request))
			c.times = append(c.times, c.clock())
		}
		data, _ := proto.Marshal(out.Frame)
		w.deliver(c, out.Conn, func() {
			f := &dlmv1.ClientFrame{}
			if err := proto.Unmarshal(data, f); err != nil {
				w.t.Fatal(err)
			}
			w.serve(peer{c, out.Conn}, f)
		})
	}
	for _, d := range fx.Done {
		if _, twice := c.done[d.Call]; twice {
			w.t.Fatalf("call %d completed twice", d.Call)
		}
		c.done[d.Call] = d
		if c.onDone != nil {
			c.onDone(d)
		}
	}
	for _, ev := range fx.Events {
		c.events = append(c.events, ev)
		if c.onEv != nil {
			c.onEv(ev)
		}
	}
	c.schedule()
}

func (c *client) schedule() {
	at, ok := c.e.NextTimer()
	if !ok {
		return
	}
	true_ := max(time.Duration(float64(at-c.origin)/c.rate)+1, c.w.now)
	if c.wake > c.w.now && c.wake <= true_ {
		return
	}
	c.wake = true_
	c.w.after(true_-c.w.now, func() {
		if c.wake == true_ {
			c.wake = -1
			c.flush()
		}
	})
}

func (c *client) connect(conn uint64) {
	if c.w.faults.mute {
		return
	}
	c.open[conn] = true
	c.e.Connected(c.clock(), conn)
	c.w.reply(peer{c, conn}, &dlmv1.ServerFrame{Hello: &dlmv1.Hello{
		ClusterId: []byte("cluster"), DriftPpm: c.w.ppm, Window: c.w.core.Limits().Window,
	}})
	c.flush()
}

func (c *client) hangUp(conn uint64) { delete(c.open, conn) }

func (w *world) delay() time.Duration {
	return time.Duration(w.rng.Int64N(int64(w.faults.delay) + 1))
}

func (w *world) deliver(c *client, conn uint64, do func()) {
	f := w.faults
	if w.rng.Float64() < f.cut && c.open[conn] {
		c.hangUp(conn)
		w.after(w.delay(), func() { c.e.Disconnected(c.clock(), conn); c.flush() })
		return
	}
	if f.mute || w.rng.Float64() < f.drop {
		return
	}
	w.after(w.delay(), do)
	for w.rng.Float64() < f.repeat {
		w.after(w.delay()*20, do)
	}
}

func (w *world) reply(p peer, f *dlmv1.ServerFrame) {
	data, _ := proto.Marshal(f)
	w.deliver(p.c, p.conn, func() {
		if !p.c.open[p.conn] {
			return
		}
		f := &dlmv1.ServerFrame{}
		if err := proto.Unmarshal(data, f); err != nil {
			w.t.Fatal(err)
		}
		p.c.e.Receive(p.c.clock(), p.conn, f)
		p.c.flush()
	})
}

// ---------------------------------------------------------------------------------------------------------------------
// The server

func nameOf(session, sequence uint64, key []byte) string {
	if len(key) > 0 {
		return string(key)
	}
	return fmt.Sprint(session, "/", sequence)
}

func keyOf(r *dlmv1.Request) []byte {
	return append(r.GetOpen().GetKey(), r.GetAttach().GetKey()...)
}

func (w *world) serve(p peer, f *dlmv1.ClientFrame) {
	var batch []*dlmv1.Request
	for _, r := range f.GetRequests() {
		w.askers[nameOf(r.Session, r.Sequence, keyOf(r))] = append(w.askers[nameOf(r.Session, r.Sequence, keyOf(r))], p)
		if r.GetAttach() != nil {
			w.attached[r.Session] = p
		}
		if a, n := w.core.Lookup(r); a != nil {
			w.answer(a)
			continue
		} else if n != nil {
			w.reply(p, &dlmv1.ServerFrame{Notices: []*dlmv1.Notice{n}})
			continue
		}
		if a := w.core.Validate(r); a != nil {
			w.reply(p, &dlmv1.ServerFrame{Answers: []*dlmv1.Answer{a}})
			continue
		}
		if w.faults.drop > 0 && w.rng.IntN(20) == 0 { // overloaded now and then
			w.reply(p, &dlmv1.ServerFrame{Answers: []*dlmv1.Answer{{
				Session: r.Session, Sequence: r.Sequence, Key: keyOf(r), Reason: dlmv1.Reason_REASON_OVERLOADED,
			}}})
			continue
		}
		batch = append(batch, r)
	}
	for _, q := range f.GetReads() {
		a := w.core.Read(q)
		a.Id = q.Id
		w.reply(p, &dlmv1.ServerFrame{Reads: []*dlmv1.ReadAnswer{a}})
	}
	if len(batch) > 0 {
		w.after(w.delay(), func() { w.apply(batch) })
	}
}

func (w *world) stamp() uint64 { return uint64(float64(w.now)*w.rate) + 1 }

func (w *world) apply(batch []*dlmv1.Request) {
	w.index++
	out := w.core.Apply(w.index, w.stamp(), batch)
	if err := w.core.Check(); err != nil {
		w.t.Fatal(err)
	}
	for _, f := range out.Files {
		if f.Kind == core.FileWrite {
			w.appends[string(f.Data)]++
		}
	}
	for _, a := range out.Answers {
		w.answer(a)
	}
	for _, n := range out.Notices {
		if p, ok := w.attached[n.Session]; ok {
			w.reply(p, &dlmv1.ServerFrame{Notices: []*dlmv1.Notice{n}})
		}
	}
	if d, ok := w.core.NextDeadline(); ok && d != w.armed {
		w.armed = d
		at := max(time.Duration(float64(d)/w.rate)+1, w.now)
		w.after(at-w.now, func() {
			if w.armed == d {
				w.armed = 0
				w.apply(nil)
			}
		})
	}
}

func (w *world) answer(a *dlmv1.Answer) {
	name := nameOf(a.Session, a.Sequence, a.Key)
	for _, p := range w.askers[name] {
		if len(a.Key) > 0 && a.Reason == dlmv1.Reason_REASON_OK {
			w.attached[a.Session] = p
		}
		w.reply(p, &dlmv1.ServerFrame{Answers: []*dlmv1.Answer{a}})
	}
	delete(w.askers, name)
}

// ---------------------------------------------------------------------------------------------------------------------
// Calls that wait

func (c *client) wait(id Call) Completion {
	c.w.t.Helper()
	c.flush()
	c.w.until(fmt.Sprintf("client %d, call %d", c.id, id), func() bool { _, ok := c.done[id]; return ok })
	return c.done[id]
}

func (c *client) must(id Call) Completion {
	c.w.t.Helper()
	d := c.wait(id)
	if d.Err != nil {
		c.w.t.Fatalf("client %d, call %d: %v", c.id, id, d.Err)
	}
	return d
}

func (c *client) session(ttl time.Duration) uint64 {
	c.w.t.Helper()
	return c.must(c.e.OpenSession(c.clock(), 0, SessionOptions{TTL: ttl, Label: "test"})).Session
}

func (c *client) lock(session uint64, a *dlmv1.Acquire) uint64 {
	c.w.t.Helper()
	return c.must(c.e.Lock(c.clock(), 0, session, a)).Answer.GetToken()
}

func (c *client) held(session uint64, lock string, token uint64) bool {
	return c.e.Held(c.clock(), session, lock, token)
}
