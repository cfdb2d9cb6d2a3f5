package sim

import (
	"errors"
	"slices"
	"strconv"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/netsim"
	"dlm/replica"
	"dlm/sim/simdisk"
	"dlm/wal"
)

const (
	dataDir  = "data"
	filesDir = dataDir + "/files"
	memberID = 1
)

// server is one server machine: a disk, and the process that runs on it or does not.
type server struct {
	w     *World
	disk  *simdisk.Disk
	rng   *netsim.RNG
	clock clock
	tasks *diskWork

	node  *replica.Node
	store *wal.Store
	up    bool
	// life is the incarnation of the process: what was asked for in another one comes to nothing.
	life uint64

	inbox       []serverEvent
	waking      bool
	wakes       uint64        // counts them, so that one that was superseded does nothing
	stalled     time.Duration // until then the process stands still
	stood       time.Duration // until then one stood still last
	timer       time.Duration // the local time that is armed, 0 = none
	log         *replica.LogTask
	file        *replica.FileTask
	diskCrash   *Fault // strikes in the middle of the next task
	crashAt     *Fault // strikes when the process comes to its point
	loop        int    // so many more crashes of loopFault
	loopFault   *Fault
	restarts    int
	lastApplied uint64
}

// serverEvent is something that has reached the process and that it has not looked at yet.
type serverEvent struct {
	conn       uint64
	frame      []byte
	connect    bool
	disconnect bool
	logDone    bool
	logRes     replica.LogResult
	fileDone   bool
	fileRes    replica.FileResult
	backup     uint64 // the next part of this backup is wanted
	cause      uint64
}

func newServer(w *World) *server {
	s := &server{w: w, rng: netsim.NewRNG(w.plan.Seed, streamServer)}
	s.disk = simdisk.New(netsim.NewRNG(w.plan.Seed, streamDisk))
	s.tasks = newDiskWork(s)
	s.clock = clock{localAt: s.rng.Between(time.Hour, 1000*time.Hour), ppm: s.rng.Uint64() % w.plan.Config.RateBound()}
	return s
}

// firstToken of the simulated cluster.
const firstToken = 1000

// founding is what the cluster begins with.
func (s *server) founding() core.Config {
	cfg := &s.w.plan.Config
	limits := cfg.Limits.message() // what is 0 takes its default
	limits.DriftPpm, limits.Window = cfg.DriftPPM, cfg.Window
	return core.Config{Limits: limits, ClusterID: [16]byte{'s', 'i', 'm'}, FirstToken: firstToken}
}

// create makes the data directory, as the first start of a server does.
func (s *server) create() error {
	cfg := s.founding()
	snap, err := replica.InitialSnapshot(cfg, memberID)
	if err != nil {
		return err
	}
	return wal.Create(s.disk.FS(), dataDir, wal.Identity{ClusterID: cfg.ClusterID, MemberID: memberID}, snap)
}

// start recovers and begins to serve. It is called again later if the process dies in recovery.
func (s *server) start(again *Fault) {
	if s.up {
		return
	}
	s.life++
	if again != nil {
		s.disk.StopAfter(again.Budget)
	}
	s.w.disks.opening()
	store, rec, err := wal.Open(s.tasks.fs(), dataDir, wal.Options{SegmentBytes: s.w.plan.Config.SegmentBytes, OpenFiles: s.w.plan.Config.OpenFiles})
	if err != nil {
		s.w.note("recovery stopped", s.life, 0, 0)
		switch {
		case errors.Is(err, simdisk.ErrStopped) || errors.Is(err, simdisk.ErrInjected):
			s.w.count("crash in recovery")
			s.w.disks.crashed(true)
		case errors.Is(err, wal.ErrFull) && s.disk.Limited():
			s.w.count("no room for recovery")
		case !s.w.disks.refused(err):
			s.w.fail("G5", "the server cannot start: %v", err)
			return
		}
		s.stopDisk(s.rng.Chance(500_000))
		s.restartAfter(nil)
		return
	}
	s.w.disks.opened()
	s.w.disks.hardState(rec.HardState)
	cfg := s.w.plan.Config
	s.node, err = replica.Start(replica.Config{
		MemberID: memberID, Version: "sim", SnapshotBytes: cfg.SnapshotBytes, EntryBytes: cfg.EntryBytes, SnapshotSlice: cfg.SnapshotSlice,
		MaxPending: cfg.MaxPending, MaxWait: cfg.MaxWait, MaxFileBytes: cfg.MaxFileBytes, Observe: s.w.observe,
		ReserveBytes: cfg.ReserveBytes, LogReserveBytes: uint64(cfg.SegmentBytes) / 4,
	}, rec, s.read())
	if err != nil {
		s.w.fail("G5", "the server cannot start: %v", err)
		return
	}
	s.store, s.up = store, true
	s.restarts++
	s.w.twins.started(s.node.Core())
	s.w.outageEnds()
	s.w.mark("server up", s.life, rec.Snapshot.Index, uint64(len(rec.Entries)))
	s.w.scribe.up(serverLane, "the server starts from the snapshot at position %d and %d entries after it", rec.Snapshot.Index, len(rec.Entries))
	s.w.probes.serverUp(s, rec)
	if again != nil {
		// What is left of the budget strikes later: as soon as the first task meets it.
		s.w.count("recovery under a budget")
	}
	s.crashAgain()
	s.flush()
}

func (s *server) read() time.Duration { return s.clock.read(s.w.sim.Now()) }

// crash ends the process in the middle of whatever it did.
func (s *server) crash(f *Fault) {
	if !s.up {
		return
	}
	s.w.probes.serverDies(s)
	// A task on its way gets some of its operations done.
	s.disk.StopAfter(f.Budget)
	s.tasks.rush(f)
	s.w.disks.crashed(false)
	s.end(f.Power, f)
	again := f
	if !f.Again {
		again = nil
	}
	s.restartAfter(again)
}

var downNames = map[bool]string{false: "crash", true: "power cut"}

// end is the end of the process; why may be nil.
func (s *server) end(power bool, why *Fault) {
	s.w.mark("server down", s.life, b2u(power), 0)
	s.w.scribe.down(serverLane, downNames[power], why, "the server is down: "+downNames[power])
	s.tasks.drop()
	s.w.images.down()
	s.up, s.node, s.store, s.inbox, s.log, s.file, s.timer = false, nil, nil, nil, nil, nil, 0
	s.waking, s.stalled, s.crashAt = false, 0, nil
	s.w.outageBegins()
	s.life++
	s.w.net.CloseServer(0, power)
	s.stopDisk(power)
	if power {
		s.w.count("power cut")
	} else {
		s.w.count("server crash")
	}
}

func (s *server) stopDisk(power bool) {
	if power {
		s.disk.PowerCut()
	} else {
		s.disk.Crash()
	}
}

func (s *server) restartAfter(again *Fault) {
	life := s.life
	s.w.sim.After(s.rng.Tail(5*time.Millisecond, 4*time.Second), func() {
		if s.life != life {
			return
		}
		if s.w.healed {
			again = nil
		}
		s.start(again)
	})
}

// deliver hands an event to the process, which looks at it (and at its clock) a little later.
func (s *server) deliver(e serverEvent) {
	e.cause = s.w.sim.Cause
	s.inbox = append(s.inbox, e)
	s.wake(s.rng.Between(0, s.w.gap()))
}

func (s *server) wake(d time.Duration) {
	if s.waking {
		return
	}
	s.waking = true
	s.wakes++
	life, n := s.life, s.wakes
	at := max(s.w.sim.Now()+d, s.stalled)
	s.w.sim.At(at, func() {
		if s.life != life || s.wakes != n {
			return
		}
		s.waking = false
		if s.stalled > s.w.sim.Now() {
			s.wake(0)
			return
		}
		s.work()
	})
}

// work takes everything that has arrived in, each with a reading of the clock after its arrival, then flushes.
func (s *server) work() {
	if s.crashHere(PointArrival) {
		return
	}
	inbox := s.inbox
	s.inbox = nil
	s.w.disks.working()
	for _, e := range inbox {
		now := s.read()
		s.w.sim.Cause = e.cause
		switch {
		case e.connect:
			s.node.Connect(now, e.conn)
		case e.disconnect:
			s.node.Disconnect(e.conn)
		case e.logDone:
			s.w.disks.logged(e.logRes)
			s.node.LogDone(now, e.logRes)
		case e.backup != 0:
			s.w.backups.event(now, e)
		case e.fileDone:
			s.node.FileDone(now, e.fileRes)
		default:
			var f dlmv1.ClientFrame
			if err := f.UnmarshalVT(e.frame); err != nil {
				s.w.fail("sim", "a frame does not decode: %v", err)
				return
			}
			s.w.scribe.received(&f)
			s.w.probes.arrived(&f)
			s.node.Receive(now, e.conn, &f)
		}
	}
	s.flush()
}

func (s *server) flush() {
	eff := s.node.Flush(s.read())
	s.w.images.flushed(s.node)
	s.w.afterServerStep()
	if eff.Err != nil {
		s.stopped(eff.Err)
		return
	}
	if s.crashHere(PointDecided) {
		return
	}
	for _, o := range eff.Frames {
		for _, a := range o.Frame.GetAnswers() {
			s.w.disks.answered(a)
		}
		b, err := o.Frame.MarshalVT()
		if err != nil {
			s.w.fail("sim", "a frame does not encode: %v", err)
			return
		}
		s.w.net.SendToClient(o.Conn, b)
	}
	for i := range eff.Backup {
		s.w.backups.part(&eff.Backup[i])
	}
	if s.crashHere(PointSent) {
		return
	}
	if eff.Log != nil {
		s.startLog(eff.Log)
	}
	if eff.File != nil {
		s.startFile(eff.File)
	}
	s.arm()
}

// stopped: the node gave up. That is right only after a fault of the disk.
func (s *server) stopped(err error) {
	s.w.note("server stops", s.life, 0, 0)
	s.w.logf("%v", err)
	if !errors.Is(err, simdisk.ErrInjected) && !errors.Is(err, simdisk.ErrStopped) && !errors.Is(err, wal.ErrBroken) &&
		!s.w.disks.filingRefused(err) {
		s.w.fail("G5", "the server stopped: %v", err)
		return
	}
	s.w.count("stopped by the disk")
	s.end(s.rng.Chance(500_000), nil)
	s.restartAfter(nil)
}

func (s *server) diskTime() time.Duration {
	c := &s.w.plan.Config
	d := s.rng.Between(c.DiskMin, c.DiskMax)
	if !s.w.healed && s.rng.Chance(20_000) {
		d += s.rng.Tail(0, c.DiskSlow)
	}
	return d + s.w.disks.slow(s.rng)
}

func (s *server) startLog(t *replica.LogTask) {
	s.log = t
	d := s.diskTime()
	task := s.w.scribe.diskTask("log", d, t)
	if s.diskCrash != nil && s.diskCrash.Way == 0 {
		s.maybeDiskCrash(d)
	}
	var res replica.LogResult
	s.tasks.start(true, d, func() { res = t.Run(s.store) }, func() {
		s.log = nil
		s.w.scribe.diskDone(task, "log", res.Err())
		if res.Err() == nil && s.crashHere(PointSynced) {
			return
		}
		s.deliver(serverEvent{logDone: true, logRes: res})
	})
}

func (s *server) startFile(t *replica.FileTask) {
	s.file = t
	d := s.diskTime()
	task := s.w.scribe.diskTask("files", d, nil)
	if s.diskCrash != nil && (s.diskCrash.Way != 2 || s.letsFilesGo(t)) {
		s.maybeDiskCrash(d)
	}
	var res replica.FileResult
	s.tasks.start(false, d, func() {
		s.w.disks.filing(t)
		res = t.Run(s.store)
	}, func() {
		s.file = nil
		s.w.scribe.diskDone(task, "files", res.Err())
		s.w.disks.filed(&res)
		if part, first, last, ok := t.SnapshotPart(&res); ok {
			s.w.images.part(part, first, last)
		}
		s.deliver(serverEvent{fileDone: true, fileRes: res})
	})
}

// letsFilesGo says whether a task ends with the removal of data files.
func (s *server) letsFilesGo(t *replica.FileTask) bool {
	return slices.ContainsFunc(s.disk.Names(filesDir), func(name string) bool {
		id, err := strconv.ParseUint(name, 16, 64)
		return err == nil && t.LetsGo(id)
	})
}

func (s *server) maybeDiskCrash(d time.Duration) {
	f := s.diskCrash
	if f == nil {
		return
	}
	s.diskCrash = nil
	life := s.life
	s.w.sim.After(d/2, func() {
		if s.life == life {
			s.crash(f)
		}
	})
}

// arm sets the node's timer.
func (s *server) arm() {
	at, ok := s.node.NextTimer()
	if !ok || at == s.timer {
		return
	}
	s.timer = at
	life := s.life
	s.w.sim.At(max(s.clock.when(at), s.stalled), func() {
		if s.life != life || !s.up || s.timer != at {
			return
		}
		s.timer = 0
		s.wake(0)
	})
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// unstall lets a process that stands still go on at once.
func (s *server) unstall() {
	if s.up {
		s.stalled, s.waking, s.timer = 0, false, 0
		s.stood = s.w.sim.Now()
		s.wake(0)
	}
}
