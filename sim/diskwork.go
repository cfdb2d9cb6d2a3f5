package sim

import (
	"iter"
	"path"
	"strings"
	"time"

	"dlm/netsim"
	"dlm/sim/simdisk"
	"dlm/wal/vfs"
)

// diskWork runs the tasks of a server's two disk goroutines. With Config.Interleave each is a coroutine that stops at every
// changing operation of the file system, and goes on at a virtual time of its own, so that the two meet in every way that the
// goroutines of the real shell can: also between an operation and what the task does next. Without it a task is done at one
// instant.
//
//	startLog, startFile --> diskTask --wal.Store--> steppedFS --> simdisk
//	                           ^                        |
//	                           +---- an event later ----+ before, and sometimes after, each changing operation
type diskWork struct {
	s          *server
	rng        *netsim.RNG
	interleave bool
	running    *diskTask // whose code runs now
	tasks      []*diskTask
}

// diskTask is a task on its way.
type diskTask struct {
	log     bool // of the log, or else of the files
	next    func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	end     time.Duration // when the process hears of its outcome
	share   int           // a pause is at most this part of what is left of its time
	begun   bool
	over    bool
	dropped bool
	at      simdisk.Op // that it stands before or behind
}

func newDiskWork(s *server) *diskWork {
	return &diskWork{s: s, rng: netsim.NewRNG(s.w.plan.Seed, streamDiskWork), interleave: s.w.plan.Config.Interleave}
}

// start lets a task take d in all. done is called at its end, unless the process dies before.
func (k *diskWork) start(log bool, d time.Duration, run, done func()) {
	sim := k.s.w.sim
	t := &diskTask{log: log, end: sim.Now() + d, share: netsim.Pick(k.rng, 1, 2, 4, 8, 16, 32)}
	k.tasks = append(k.tasks, t)
	finish := func() {
		if t.dropped {
			return
		}
		k.tasks = without(k.tasks, t)
		done()
	}
	if !k.interleave {
		sim.At(t.end, func() {
			if !t.dropped {
				run()
			}
			finish()
		})
		return
	}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		run()
	})
	sim.After(k.rng.Between(0, d), func() { k.goOn(t, finish) })
}

// goOn lets a task do what it does up to its next stop, and comes back to it later.
func (k *diskWork) goOn(t *diskTask, finish func()) {
	if t.dropped {
		return
	}
	k.step(t)
	w := k.s.w
	if t.over {
		w.sim.At(t.end, finish)
		return
	}
	pause := k.rng.Between(0, (t.end-w.sim.Now())/time.Duration(t.share))
	if !w.healed && k.rng.Chance(slowOperation) {
		extra := k.rng.Between(0, w.plan.Config.DiskSlow)
		pause, t.end = pause+extra, t.end+extra
	}
	w.sim.After(pause, func() { k.goOn(t, finish) })
}

// slowOperation is the share of the operations, in millionths, that take up to Config.DiskSlow longer: long enough for the
// other side to end its task, and to begin one that this one knows nothing of.
const slowOperation = 20_000

func (k *diskWork) step(t *diskTask) {
	k.running, t.begun = t, true
	_, more := t.next()
	k.running, t.over = nil, !more
}

// rush lets the tasks on their way get some of their operations done before the process dies of a fault: as many as the disk
// lets pass. Without Interleave they are done one after the other, with it in turns.
func (k *diskWork) rush(f *Fault) {
	s := k.s
	if !k.interleave {
		if s.file != nil && (s.log == nil || f.Way == 1 || s.rng.Chance(500_000)) {
			s.file.Run(s.store)
			s.w.count("crash in a file task")
		}
		if s.log != nil {
			s.log.Run(s.store)
			s.w.count("crash in a log task")
		}
		return
	}
	for _, t := range k.tasks {
		if !t.over {
			s.w.count("crash in a " + map[bool]string{false: "file", true: "log"}[t.log] + " task")
		}
	}
	turn := netsim.Pick(k.rng, 0, 250_000, 500_000, 750_000, 1_000_000) // of the log
	for {
		var left []*diskTask
		for _, t := range k.tasks {
			if !t.over {
				left = append(left, t)
			}
		}
		switch {
		case len(left) == 0:
			return
		case len(left) == 1 || left[0].log == k.rng.Chance(turn):
			k.step(left[0])
		default:
			k.step(left[1])
		}
	}
}

// drop ends the tasks with the process that they belong to: no operation of theirs takes place any more.
func (k *diskWork) drop() {
	for _, t := range k.tasks {
		t.dropped = true
		if t.stop != nil {
			k.running = t
			t.stop()
			k.running = nil
		}
	}
	k.tasks = nil
}

// other is the task on its way besides the one that runs; nil if there is none that has begun and is not over.
func (k *diskWork) other() *diskTask {
	for _, t := range k.tasks {
		if t != k.running && t.begun && !t.over {
			return t
		}
	}
	return nil
}

// pause lets the others go on. It fails if the process has died meanwhile.
func (k *diskWork) pause() error {
	t := k.running
	if t.dropped || !t.yield(struct{}{}) {
		return simdisk.ErrDead
	}
	return nil
}

// afterToo is the share of the operations, in millionths, after which a task stops as well: what the operation did is done,
// and what the code does next is not.
const afterToo = 300_000

// do takes an operation between its pauses. Outside of a task, in recovery, there are none.
func (k *diskWork) do(kind, name string, operation func() error) error {
	t := k.running
	if t == nil {
		return operation()
	}
	t.at = simdisk.Op{Kind: kind, Name: name}
	if err := k.pause(); err != nil {
		return err
	}
	k.s.w.probes.diskStep(t, k.other())
	err := operation()
	if k.rng.Chance(afterToo) {
		if dead := k.pause(); dead != nil {
			return dead
		}
	}
	return err
}

// fs is the disk as the process sees it.
func (k *diskWork) fs() vfs.FS {
	if !k.interleave {
		return k.s.disk.FS()
	}
	return steppedFS{k.s.disk.FS(), k}
}

// steppedFS stops the task that runs at each operation that changes something.
type steppedFS struct {
	vfs.FS
	k *diskWork
}

func (f steppedFS) Create(name string) (file vfs.File, err error) {
	err = f.k.do("create", name, func() error {
		file, err = f.FS.Create(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return steppedFile{file, f.k, name}, nil
}

func (f steppedFS) Open(name string) (vfs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return steppedFile{file, f.k, name}, nil
}

func (f steppedFS) Remove(name string) error {
	return f.k.do("remove", name, func() error { return f.FS.Remove(name) })
}

func (f steppedFS) Rename(from, to string) error {
	return f.k.do("rename", from, func() error { return f.FS.Rename(from, to) })
}

func (f steppedFS) SyncDir(dir string) error {
	return f.k.do("syncdir", dir, func() error { return f.FS.SyncDir(dir) })
}

type steppedFile struct {
	vfs.File
	k    *diskWork
	name string // under which it was opened
}

func (f steppedFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.k.do("write", f.name, func() error {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	return n, err
}

func (f steppedFile) Sync() error { return f.k.do("sync", f.name, f.File.Sync) }

// WriteSynced stops between its halves too: a power cut in its midst leaves any part of it.
func (f steppedFile) WriteSynced(p []byte, off int64) error {
	if _, err := f.WriteAt(p, off); err != nil {
		return err
	}
	halves := f.File.(interface {
		SyncRange(off int64, length int) error
	})
	return f.k.do("sync", f.name, func() error { return halves.SyncRange(off, len(p)) })
}

func (f steppedFile) Truncate(size int64) error {
	return f.k.do("truncate", f.name, func() error { return f.File.Truncate(size) })
}

// diskStep sees an operation of a disk task that is about to take place while another task may be between two of its own.
func (p *prober) diskStep(t, other *diskTask) {
	if other == nil {
		return
	}
	log, file := t, other
	if !t.log {
		log, file = other, t
	}
	const made = "next.tmp"
	name := path.Base(log.at.Name)
	p.meetIf(takenWhileFiling, t.log && log.at.Kind == "rename" && name == made)
	p.meetIf(twoSegmentsMade, t.log && log.at.Kind == "create" && path.Base(file.at.Name) == made)
	p.meetIf(cutWhileSnapshot, t.log && log.at.Kind == "remove" && strings.HasPrefix(path.Base(file.at.Name), "snapshot-"))
	p.meetIf(bothAppend, !t.log && file.at.Kind == "sync" && log.at.Kind == "sync")
}
