package sim

import (
	"strconv"
	"time"

	"dlm/netsim"
)

// workload is what the actors of a plan have in common.
type workload struct {
	locks    int // names
	ttlMin   time.Duration
	holdMost time.Duration
	think    time.Duration
	herd     bool // dozens of actors that all want one lock
	limits   bool // they change the cluster's limits
}

func drawActors(r Chooser, c Config) []Actor {
	w := workload{
		locks:    netsim.Pick(r, 1, 2, 3, 4, 4, 6, 12, 40),
		ttlMin:   netsim.Pick(r, 500*time.Millisecond, time.Second),
		holdMost: r.Between(50*time.Millisecond, 2*time.Second),
		think:    time.Second,
		herd:     r.Chance(50_000),
		limits:   r.Chance(150_000),
	}
	least, most := 1, netsim.Pick(r, 2, 2, 2, 3, 6)
	ops := 12
	switch {
	case w.herd:
		w.locks, w.think, w.holdMost = 1, 100*time.Millisecond, 200*time.Millisecond
		least, most, ops = 6, 10, 3
	case c.Faulty > longRun:
		w.think = 12 * time.Second
	}
	var actors []Actor
	for client := range c.Clients {
		r.Times(least, most, func(r Chooser) { actors = append(actors, w.drawActor(r, c, client, ops)) })
	}
	return actors
}

func (w *workload) drawActor(r Chooser, c Config, client, ops int) Actor {
	a := Actor{
		Client: client,
		Start:  r.Between(0, 300*time.Millisecond),
		TTL:    r.Between(w.ttlMin, 4*time.Second),
		Attach: r.Chance(400_000),
		ByHand: r.Chance(400_000),
	}
	switch {
	case c.Faulty > longRun && r.Chance(700_000):
		a.TTL = 0
	case r.Chance(50_000):
		a.TTL = 30 * time.Second
	}
	r.Times(ops/3, ops/3+ops-1, func(r Chooser) { a.Ops = append(a.Ops, w.drawOp(r)) })
	return a
}

func (w *workload) drawOp(r Chooser) Op {
	lock := strconv.Itoa(r.IntN(w.locks))
	op := Op{
		Think: r.Tail(0, w.think),
		Async: r.Chance(200_000),
		Lock:  "lock-" + lock,
		File:  "file-" + lock,
		Which: r.Uint64() >> 1,
		Bytes: 1 + r.IntN(200),
	}
	if r.Chance(30_000) { // a file that is bound to another lock
		op.File = "file-" + strconv.Itoa(r.IntN(w.locks))
	}
	if r.Chance(50_000) {
		op.Bytes = 4000 + r.IntN(20_000)
	}
	if r.Chance(800_000) {
		op.Deadline = r.Between(200*time.Millisecond, 8*time.Second)
	}
	switch k := r.IntN(1000); {
	case k < 700:
		w.drawLock(r, &op)
	case k < 780:
		op.Kind = OpStale
	case k < 880:
		op.Kind = OpRead
	case k < 920:
		op.Kind, op.Now = OpRevoke, r.Chance(200_000)
	case k < 930:
		op.Kind, op.Now = OpRevokeSess, r.Chance(200_000)
	case k < 965:
		op.Kind = OpTakeOver
		op.Hold, op.Steps = r.Tail(0, w.holdMost), r.IntN(3)
	case k < 990 && w.limits:
		l := drawLimits(r)
		l.Window = netsim.Pick[uint64](r, 0, 0, 4, 8, 24)
		op.Kind, op.Limits = OpSetLimits, &l
	default:
		op.Kind = OpClose
	}
	return op
}

func (w *workload) drawLock(r Chooser, op *Op) {
	op.Kind = OpLock
	op.Shared = r.Chance(300_000)
	op.Wait = netsim.Pick(r, -1, -1, 0, r.Between(time.Millisecond, 3*time.Second))
	op.Hold, op.Steps = r.Tail(0, w.holdMost), r.IntN(4)
	if w.herd {
		op.Wait = netsim.Pick(r, -1, -1, r.Between(100*time.Millisecond, 5*time.Second))
	}
	if r.Chance(200_000) {
		op.HoldLimit = r.Between(50*time.Millisecond, 2*time.Second)
	}
	if r.Chance(200_000) {
		op.LockDelay = r.Between(10*time.Millisecond, time.Second)
	}
	if r.Chance(200_000) {
		op.AbandonAfter = r.Tail(0, 2*time.Second)
	}
	if r.Chance(100_000) {
		op.Value = r.IntN(40)
	}
	op.Delete, op.Forget = r.Chance(100_000), r.Chance(70_000)
	op.Zombie = r.Chance(300_000)
	op.AtOnce = op.Which%5 == 0
	if op.HoldLimit > 0 && op.Which/5%2 == 0 {
		op.NewLimit = 20*time.Millisecond + time.Duration(op.Which/10)%(2*time.Second)
	}
}
