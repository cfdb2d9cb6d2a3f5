package sim

import (
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
	streamData
	streamDiskFaults
	streamDrain
	streamDiskWork
	streamBackups
	streamShapes
	streamCalm
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
	drawShapes(from, &p)
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
		QueuedRetry:    netsim.Pick(r, 0, r.Between(200*time.Millisecond, 3*time.Second)),
	}
	if r.Chance(100_000) {
		c.Faulty = r.Between(longRun+5*time.Second, 90*time.Second)
	}
	c.ClocksBeyondRho = r.Chance(80_000)
	if r.Chance(200_000) { // large appends in a line of their own, and many small frames
		c.FrameBytes, c.LargeBytes, c.LargeOutBytes = 600, 2000, 8000
	}
	if r.Chance(150_000) {
		c.MaxFileBytes = 1 << 10
	}
	if r.Chance(300_000) {
		c.Limits = drawLimits(r)
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
	c.ReserveBytes = uint64(c.SegmentBytes) + netsim.Pick[uint64](r, 4<<10, 16<<10, 64<<10)
	c.MaxWait = netsim.Pick(r, 0, 0, r.Between(20*time.Millisecond, 300*time.Millisecond))
	c.Interleave = r.Chance(800_000)
	c.UnderWay = netsim.Pick(r, 0, 0, 0, 1, 4)
	c.SnapshotSlice = netsim.Pick(r, 1, 1, 2, 4, 16)
	return c
}

// longRun: a run that is longer is about sessions of the default TTL, 30 s, and how they expire.
const longRun = 35 * time.Second

// drawLimits makes some of the limits so small that they are reached (G10).
func drawLimits(r Chooser) Limits {
	some := func(least, most int) uint64 {
		if r.Chance(600_000) {
			return 0
		}
		return uint64(least + r.IntN(most-least+1))
	}
	return Limits{
		Sessions: some(2, 8), Locks: some(1, 4), HoldsPerSession: some(1, 2), WaitersPerLock: some(1, 3),
		ValueBytes: some(1, 20), AppendBytes: some(20, 200), Files: some(1, 3), FileBytes: some(300, 3000),
	}
}
