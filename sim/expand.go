package sim

import (
	"strconv"
	"time"

	"dlm/netsim"
)

// The streams that a plan and its run draw from.
const (
	streamConfig = iota + 1
	streamWork
	streamFaults
	streamDisk
	streamServer
	streamClient
	streamNet
	streamRaft
	streamDiskFaults
)

// Expand draws the plan of a seed: each its own subset of the faults, its own sizes and speeds.
func Expand(seed uint64) Plan {
	p := Draw(func(label uint64) Chooser { return stream{netsim.NewRNG(seed, label)} })
	p.Seed = seed
	return p
}

// Draw draws a plan without its seed. Configuration, workload and faults draw from streams of their own.
func Draw(from func(stream uint64) Chooser) Plan {
	var p Plan
	p.Config = drawConfig(from(streamConfig))
	p.Actors = drawActors(from(streamWork), p.Config)
	p.Faults = drawFaults(from(streamFaults), p.Config)
	p.Faults = append(p.Faults, drawDiskFaults(from(streamDiskFaults), p.Config)...)
	return p
}

func drawConfig(r Chooser) Config {
	c := Config{
		Clients:        2 + r.IntN(4),
		DriftPPM:       netsim.Pick(r, uint64(100), 10_000, 10_000, 100_000),
		Faulty:         r.Between(5*time.Second, 25*time.Second),
		DiskMin:        50 * time.Microsecond,
		DiskMax:        r.Between(100*time.Microsecond, 5*time.Millisecond),
		DiskSlow:       r.Between(0, 800*time.Millisecond),
		GapMax:         r.Between(0, 20*time.Millisecond),
		SegmentBytes:   netsim.Pick[int64](r, 8<<10, 16<<10, 64<<10),
		SnapshotBytes:  netsim.Pick[uint64](r, 1<<10, 4<<10, 16<<10),
		EntryBytes:     netsim.Pick[uint64](r, 256, 4<<10, 1<<20),
		MaxPending:     netsim.Pick(r, 0, 0, 0, 8),
		Window:         netsim.Pick[uint64](r, 0, 0, 8, 32),
		AttemptTimeout: r.Between(50*time.Millisecond, 800*time.Millisecond),
		BackoffMin:     r.Between(time.Millisecond, 20*time.Millisecond),
		BackoffMax:     r.Between(50*time.Millisecond, time.Second),
	}
	c.Net = netsim.Faults{
		DelayMin: 20 * time.Microsecond,
		DelayMax: r.Between(100*time.Microsecond, 10*time.Millisecond),
		InOrder:  r.Chance(300_000),
	}
	n := &c.Net
	some := func(most int) int {
		if r.Chance(350_000) {
			return 0
		}
		return r.IntN(most)
	}
	n.DropPPM, n.DupPPM, n.LatePPM = some(120_000), some(150_000), some(80_000)
	n.LateMax = r.Between(time.Second, 10*time.Second)
	n.SlowPPM, n.SlowMax = some(80_000), r.Between(50*time.Millisecond, 4*time.Second)
	n.ResetPPM, n.DialFailPPM = some(20_000), some(300_000)
	return c
}

func drawActors(r Chooser, c Config) []Actor {
	locks := 1 + r.IntN(4)
	ttlMin := netsim.Pick(r, 500*time.Millisecond, time.Second)
	holdMost := r.Between(50*time.Millisecond, 2*time.Second)
	var actors []Actor
	for client := range c.Clients {
		r.Times(1, 2, func(r Chooser) {
			a := Actor{
				Client: client,
				Start:  r.Between(0, 300*time.Millisecond),
				TTL:    r.Between(ttlMin, 4*time.Second),
				Attach: r.Chance(400_000),
				ByHand: r.Chance(300_000),
			}
			if r.Chance(50_000) {
				a.TTL = 30 * time.Second
			}
			r.Times(4, 15, func(r Chooser) { a.Ops = append(a.Ops, drawOp(r, locks, holdMost)) })
			actors = append(actors, a)
		})
	}
	return actors
}

func drawOp(r Chooser, locks int, holdMost time.Duration) Op {
	lock := strconv.Itoa(r.IntN(locks))
	op := Op{
		Think: r.Tail(0, time.Second),
		Async: r.Chance(200_000),
		Lock:  "lock-" + lock,
		File:  "file-" + lock,
		Which: r.Uint64() >> 1,
		Bytes: 1 + r.IntN(200),
	}
	if r.Chance(50_000) {
		op.Bytes = 4000 + r.IntN(6000)
	}
	if r.Chance(800_000) {
		op.Deadline = r.Between(200*time.Millisecond, 8*time.Second)
	}
	switch k := r.IntN(100); {
	case k < 70:
		op.Kind = OpLock
		op.Shared = r.Chance(300_000)
		op.Wait = netsim.Pick(r, -1, -1, 0, r.Between(time.Millisecond, 3*time.Second))
		op.Hold, op.Steps = r.Tail(0, holdMost), r.IntN(4)
		if r.Chance(200_000) {
			op.HoldLimit = r.Between(50*time.Millisecond, 2*time.Second)
		}
		if r.Chance(200_000) {
			op.LockDelay = r.Between(10*time.Millisecond, time.Second)
		}
		if r.Chance(200_000) {
			op.AbandonAfter = r.Tail(0, 2*time.Second)
		}
		op.Delete, op.Forget = r.Chance(100_000), r.Chance(70_000)
	case k < 78:
		op.Kind = OpStale
	case k < 90:
		op.Kind = OpRead
	case k < 94:
		op.Kind, op.Now = OpRevoke, r.Chance(200_000)
	case k < 95:
		op.Kind, op.Now = OpRevokeSess, r.Chance(200_000)
	default:
		op.Kind = OpClose
	}
	return op
}

func drawFaults(r Chooser, c Config) []Fault {
	var faults []Fault
	// Each kind strikes in a share of the seeds, and then up to most times.
	add := func(kind FaultKind, share, most int, shape func(Chooser, *Fault)) {
		if !r.Chance(share) {
			return
		}
		r.Times(1, most, func(r Chooser) {
			f := Fault{
				At: r.Between(0, c.Faulty), Kind: kind, Client: r.IntN(c.Clients),
				For: r.Tail(10*time.Millisecond, 6*time.Second), Budget: r.IntN(8),
			}
			if shape != nil {
				shape(r, &f)
			}
			faults = append(faults, f)
		})
	}
	crash := func(r Chooser, f *Fault) { f.Power, f.Again = r.Chance(500_000), r.Chance(250_000) }
	add(FaultServerCrash, 500_000, 4, crash)
	add(FaultDiskCrash, 600_000, 6, crash)
	add(FaultServerStall, 300_000, 3, nil)
	add(FaultSync, 150_000, 2, crash)
	add(FaultWrite, 100_000, 2, crash)
	add(FaultClientCrash, 500_000, 3, nil)
	add(FaultClientStall, 500_000, 4, nil)
	add(FaultCut, 400_000, 4, func(r Chooser, f *Fault) { f.Way = r.IntN(3) })
	add(FaultIsolate, 200_000, 2, nil)
	add(FaultReset, 400_000, 8, nil)
	add(FaultRate, 700_000, 8, func(r Chooser, f *Fault) {
		f.Client = r.IntN(c.Clients+1) - 1
		f.PPM = netsim.Pick(r, 0, c.DriftPPM-1, r.Uint64()%c.DriftPPM)
	})
	return faults
}
