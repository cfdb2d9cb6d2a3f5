package sim

import (
	"strconv"
	"time"

	"dlm/netsim"
)

// shapes are situations in which several things have to meet, which faults and operations drawn one by one bring about once in
// hundreds of seeds. A share of the seeds, in millionths, gets each of them on top of what it has. Each draws from a stream
// of its own: a new one goes to the end, and moves no plan but those that it is drawn for.
var shapes = []struct {
	share int
	add   func(Chooser, *Plan)
}{
	{200_000, renewOverlapping},
	{200_000, resetInCalm},
	{150_000, fillDisk},
	{100_000, churnFiles},
	{80_000, goToRho},
	{80_000, failDisk},
	{150_000, revokeTwice},
	{150_000, shareAndCheck},
	{150_000, limitBack},
	{200_000, rotHeads},
	{250_000, closeFiles},
	{200_000, boundHolds},
}

func drawShapes(from func(stream uint64) Chooser, p *Plan) {
	for i := range shapes {
		if r := from(streamShapes + uint64(i)<<8); r.Chance(shapes[i].share) {
			shapes[i].add(r, p)
		}
	}
}

// eachLock changes a share of the operations that acquire.
func eachLock(r Chooser, p *Plan, share int, change func(*Op)) {
	for i := range p.Actors {
		for j := range p.Actors[i].Ops {
			if op := &p.Actors[i].Ops[j]; op.Kind == OpLock && r.Chance(share) {
				change(op)
			}
		}
	}
}

// someLock is one that the plan has.
func someLock(r Chooser, p *Plan) string {
	locks := []string{"lock-0"}
	for i := range p.Actors {
		for j := range p.Actors[i].Ops {
			if op := &p.Actors[i].Ops[j]; op.Kind == OpLock {
				locks = append(locks, op.Lock)
			}
		}
	}
	return locks[r.IntN(len(locks))]
}

// confirmByHand lets more sessions confirm revokes late.
func confirmByHand(r Chooser, p *Plan) {
	for i := range p.Actors {
		p.Actors[i].ByHand = p.Actors[i].ByHand || r.Chance(500_000)
	}
}

// addActors adds one to so many actors, each with operations of its own.
func addActors(r Chooser, p *Plan, most int, draw func(Chooser) Op) {
	r.Times(1, most, func(r Chooser) {
		a := Actor{
			Client: r.IntN(p.Config.Clients), Start: r.Between(0, 500*time.Millisecond),
			TTL: r.Between(time.Second, 4*time.Second), Attach: r.Chance(400_000),
		}
		r.Times(6, 24, func(r Chooser) {
			op := draw(r)
			op.Deadline = r.Between(200*time.Millisecond, 8*time.Second)
			a.Ops = append(a.Ops, op)
		})
		p.Actors = append(p.Actors, a)
	})
}

// renewOverlapping: holders set their hold limits anew all the time, and no renewal waits for the one before. On a network
// that loses much their answers overtake each other, share an entry, or come when the shorter limit is over.
func renewOverlapping(r Chooser, p *Plan) {
	n := &p.Config.Net
	n.InOrder, n.DropPPM, n.SlowPPM = false, 40_000+r.IntN(100_000), 40_000+r.IntN(60_000)
	p.Config.AttemptTimeout = r.Between(50*time.Millisecond, 300*time.Millisecond)
	eachLock(r, p, 700_000, func(op *Op) {
		op.AtOnce = r.Chance(300_000)
		op.Overlap = !op.AtOnce
		op.Steps = 3 + r.IntN(4)
		op.Hold = r.Between(300*time.Millisecond, 3*time.Second)
		op.HoldLimit = r.Between(500*time.Millisecond, 3*time.Second)
		op.NewLimit = r.Between(20*time.Millisecond, time.Second)
	})
}

// resetInCalm: connections go on breaking when all else is healed.
func resetInCalm(r Chooser, p *Plan) {
	p.Config.CalmResets = r.Between(calmResetsLeast, 4*calmResetsLeast)
}

// fillDisk: others fill the disk, between any two writes to the data files, which are many and grow fast.
func fillDisk(r Chooser, p *Plan) {
	p.Config.MaxFileBytes, p.Config.Limits.AppendBytes, p.Config.Limits.FileBytes = 0, 0, 0
	if r.Chance(500_000) {
		p.Config.FrameBytes, p.Config.LargeBytes, p.Config.LargeOutBytes = 600, 2000, 8000
	}
	eachLock(r, p, 500_000, func(op *Op) {
		op.Steps, op.AtOnce = 1+r.IntN(4), r.Chance(400_000)
		op.Bytes = 1000 + r.IntN(10_000)
		op.File += "-" + strconv.Itoa(r.IntN(10))
	})
	r.Times(3, 8, func(r Chooser) {
		p.Faults = append(p.Faults, Fault{
			At: r.Between(0, p.Config.Faulty), Kind: FaultFull, Client: -1, For: r.Between(time.Second, 6*time.Second),
			Way: 2, Budget: r.IntN(6),
		})
	})
}

// churnFiles: files come and go, and crashes meet the snapshots with which they go.
func churnFiles(r Chooser, p *Plan) {
	p.Config.SnapshotBytes, p.Config.MaxFileBytes = netsim.Pick[uint64](r, 1<<10, 1<<10, 2<<10), 0
	eachLock(r, p, 700_000, func(op *Op) {
		op.Shared, op.Steps = false, 1+r.IntN(3)
		op.Delete = r.Chance(400_000)
	})
	r.Times(2, 8, func(r Chooser) {
		p.Faults = append(p.Faults, Fault{
			At: r.Between(0, p.Config.Faulty), Kind: FaultDiskCrash, Way: 2,
			Power: r.Chance(500_000), Again: r.Chance(250_000), Budget: r.IntN(16),
		})
	})
}

// goToRho: the server's clock is as fast and the clients' as slow as rho lets them be, and clients are out of reach: leases
// end for both sides at nearly the same time.
func goToRho(r Chooser, p *Plan) {
	if p.Config.ClocksBeyondRho {
		return
	}
	p.Config.DriftPPM = netsim.Pick[uint64](r, 10_000, 100_000)
	for client := -1; client < p.Config.Clients; client++ {
		f := Fault{Kind: FaultRate, Client: client}
		if client < 0 {
			f.PPM = p.Config.DriftPPM - 1
		}
		p.Faults = append(p.Faults, f)
	}
	r.Times(2, 6, func(r Chooser) {
		p.Faults = append(p.Faults, Fault{
			At: r.Between(0, p.Config.Faulty), Kind: FaultCut, Client: r.IntN(p.Config.Clients),
			For: r.Between(500*time.Millisecond, 6*time.Second), Way: r.IntN(3),
		})
	})
}

// failDisk: a sync fails, and some time after it the power.
func failDisk(r Chooser, p *Plan) {
	r.Times(1, 3, func(r Chooser) {
		at := r.Between(0, p.Config.Faulty)
		p.Faults = append(
			p.Faults,
			Fault{At: at, Kind: FaultSync, Client: -1, Budget: r.IntN(4)},
			Fault{At: at + r.Tail(0, 2*time.Second), Kind: FaultServerCrash, Power: true, Budget: r.IntN(8)},
		)
	})
}

// revokeTwice: locks are revoked, and once more before their holders have confirmed, often at once: what is revoked and still
// blocks is changed a second time.
func revokeTwice(r Chooser, p *Plan) {
	eachLock(r, p, 500_000, func(op *Op) {
		op.Hold = r.Between(300*time.Millisecond, 3*time.Second)
		if r.Chance(500_000) {
			op.HoldLimit = 0
		}
	})
	confirmByHand(r, p)
	addActors(r, p, 2, func(r Chooser) Op {
		op := Op{
			Kind: OpRevoke, Lock: someLock(r, p), Think: r.Tail(10*time.Millisecond, time.Second), Recent: r.Chance(500_000),
			Which: r.Uint64() >> 1, Now: r.Chance(100_000), Again: r.Tail(time.Millisecond, 500*time.Millisecond),
		}
		op.AgainNow = r.Chance(700_000)
		return op
	})
}

// shareAndCheck: several sessions share a lock, some of them lose it, and meanwhile each one's token is checked.
func shareAndCheck(r Chooser, p *Plan) {
	lock := someLock(r, p)
	eachLock(r, p, 600_000, func(op *Op) {
		op.Shared, op.Lock, op.Wait = true, lock, -1
		op.Hold = r.Between(300*time.Millisecond, 3*time.Second)
	})
	addActors(r, p, 2, func(r Chooser) Op {
		op := Op{
			Kind: OpRead, Lock: lock, Think: r.Tail(0, 300*time.Millisecond), Async: r.Chance(500_000), Recent: true,
			Which: r.Uint64()>>4<<3 | 4, // a check of a token
		}
		if r.Chance(150_000) {
			op.Kind, op.Now = OpRevoke, r.Chance(300_000)
		}
		return op
	})
}

// limitBack: renewals raise the hold limit and set it back to the acquire's own, and none waits for the one before: their
// answers cross, share an entry, or are lost.
func limitBack(r Chooser, p *Plan) {
	n := &p.Config.Net
	n.InOrder, n.DropPPM, n.SlowPPM = false, 50_000+r.IntN(150_000), 40_000+r.IntN(60_000)
	p.Config.AttemptTimeout = r.Between(200*time.Millisecond, 800*time.Millisecond) // what is lost is missed until a limit has passed
	eachLock(r, p, 700_000, func(op *Op) {
		op.AtOnce = r.Chance(300_000)
		op.Overlap = !op.AtOnce
		op.Steps = 3 + r.IntN(4)
		op.HoldLimit = r.Between(60*time.Millisecond, 400*time.Millisecond)
		op.Hold = r.Between(2*op.HoldLimit, 6*op.HoldLimit)
		op.NewLimit, op.Back = r.Between(op.HoldLimit, 4*op.HoldLimit), true
	})
}

// rotHeads: bits turn over in the heads of the log's frames, and the server comes back soon after.
func rotHeads(r Chooser, p *Plan) {
	r.Times(1, 5, func(r Chooser) {
		at := r.Between(0, p.Config.Faulty)
		p.Faults = append(
			p.Faults,
			Fault{At: at, Kind: FaultRot, Client: -1, Way: 1 + r.IntN(2), Which: r.Uint64() >> 1},
			Fault{At: at + r.Tail(0, time.Second), Kind: FaultServerCrash, Power: r.Chance(500_000), Budget: r.IntN(8)},
		)
	})
}

// closeFiles: many data files are written in turns, of which few may be open at once, and the power fails.
func closeFiles(r Chooser, p *Plan) {
	p.Config.OpenFiles, p.Config.MaxFileBytes = 1+r.IntN(4), 0
	p.Config.Limits.Files = 0
	eachLock(r, p, 600_000, func(op *Op) {
		op.Shared, op.Steps = false, 1+r.IntN(4)
		op.File += "-" + strconv.Itoa(r.IntN(8))
	})
	r.Times(1, 4, func(r Chooser) {
		p.Faults = append(p.Faults, Fault{
			At: r.Between(0, p.Config.Faulty), Kind: FaultDiskCrash, Way: r.IntN(3), Power: r.Chance(800_000), Budget: r.IntN(24),
		})
	})
}

// boundHolds: the cluster bounds hold limits, and changes that bound. Holds with and without a limit of their own are given
// others by renewals, shorter and longer than the bound and than their session's lease, and some are revoked then.
func boundHolds(r Chooser, p *Plan) {
	most := r.Between(500*time.Millisecond, 6*time.Second)
	p.Config.Limits.MaxHoldLimit = uint64(most)
	around := func(r Chooser) time.Duration { return r.Between(most/8, most+most/2) }
	eachLock(r, p, 700_000, func(op *Op) {
		op.Overlap = r.Chance(300_000)
		op.AtOnce, op.Back = false, r.Chance(600_000)
		op.Steps, op.Hold = 2+r.IntN(4), r.Between(100*time.Millisecond, 2*time.Second)
		if r.Chance(300_000) { // past its session's lease, if a revoke is not confirmed before
			op.Hold = r.Between(2*time.Second, 8*time.Second)
		}
		op.NewLimit, op.HoldLimit = around(r), 0
		if r.Chance(500_000) {
			op.HoldLimit = r.Between(most/8, most+most/16)
		}
	})
	confirmByHand(r, p)
	addActors(r, p, 1, func(r Chooser) Op {
		op := Op{Think: r.Tail(50*time.Millisecond, 2*time.Second), Lock: someLock(r, p), Which: r.Uint64() >> 1}
		if r.Chance(700_000) {
			op.Kind, op.Recent = OpRevoke, r.Chance(500_000)
		} else {
			op.Kind, op.Limits = OpSetLimits, &Limits{MaxHoldLimit: uint64(around(r))}
		}
		return op
	})
}
