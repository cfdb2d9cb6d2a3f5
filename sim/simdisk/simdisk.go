package simdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"

	"dlm/wal/vfs"
)

// Errors that a real disk does not give.
var (
	// ErrStopped: StopAfter ran out; nothing works until the next crash.
	ErrStopped = errors.New("simdisk: stopped")
	// ErrDead: the handle was opened before the last crash, or closed.
	ErrDead = errors.New("simdisk: handle is dead")
	// ErrInjected: FailSync, FailWrite or FailRead asked for it.
	ErrInjected = errors.New("simdisk: injected failure")
)

// Disk is one disk. It outlives the processes that use it.
type Disk struct {
	rng   rand.Source
	dirs  map[string]*directory
	epoch uint64 // counts crashes; handles of an earlier one are dead
	ops   int    // changing operations so far

	// Faults; -1 is none, otherwise how many more succeed.
	budget    int
	failSync  int
	failWrite int
	failRead  int
	capacity  int64 // of all files; -1 = no limit
	fillAfter int   // see FillAfter
	fillDir   string
	stopped   bool // the budget has run out and somebody has noticed

	last, refused op // see Stopped

	// Watch, if set, is told of every change of names that has taken place (create, remove, rename, syncdir). It must not
	// use the disk.
	Watch func(Op)
}

// New returns an empty disk that draws its chance from rng.
func New(rng rand.Source) *Disk {
	return &Disk{
		rng: rng, dirs: map[string]*directory{".": newDirectory(), "/": newDirectory()},
		capacity: -1, fillAfter: -1, budget: -1, failSync: -1, failWrite: -1, failRead: -1,
	}
}

// FS returns the disk's file system, for any number of processes in turn.
func (d *Disk) FS() vfs.FS { return fileSystem{d} }

// Ops returns how many changing operations there were: Create, Remove,
// Rename, SyncDir, MkdirAll of a missing directory, WriteAt, Truncate, Sync.
func (d *Disk) Ops() int { return d.ops }

// StopAfter lets n more changing operations pass. After that everything fails
// with ErrStopped until the next Crash or PowerCut; if the first thing to
// fail is a write, a part of it may still have happened. Below 0 there is no
// end; but if something has failed already, that is too late.
func (d *Disk) StopAfter(n int) {
	if !d.stopped {
		d.budget = n
	}
}

// FailSync makes one sync (of a file or a directory) fail, after n others.
func (d *Disk) FailSync(n int) { d.failSync = n }

// FailWrite makes one write fail with a part of it written, after n others.
func (d *Disk) FailWrite(n int) { d.failWrite = n }

// FailRead makes one read fail, after n others.
func (d *Disk) FailRead(n int) { d.failRead = n }

// Crash ends the process that uses the disk: faults are over, handles die,
// and everything written is still there.
func (d *Disk) Crash() {
	d.epoch++
	d.budget, d.failSync, d.failWrite, d.failRead = -1, -1, -1, -1
	d.stopped = false
	d.last, d.refused = op{}, op{}
}

// PowerCut is a crash that also takes what was not synced.
func (d *Disk) PowerCut() {
	d.Crash()
	for _, name := range sortedKeys(d.dirs) {
		dir := d.dirs[name]
		dir.powerCut(d.chance)
		for _, file := range sortedKeys(dir.names) {
			dir.names[file].powerCut(d)
		}
	}
}

// Flip turns over one bit of a file, in the cache and on the medium.
func (d *Disk) Flip(name string, bit int64) error {
	n, err := d.find("flip", name)
	if err != nil {
		return err
	}
	if bit < 0 || bit/8 >= int64(len(n.cache)) {
		return fmt.Errorf("simdisk: flip bit %d of %s, which has %d bytes", bit, name, len(n.cache))
	}
	n.cache[bit/8] ^= 1 << (bit % 8)
	if bit/8 < int64(len(n.medium)) {
		n.medium[bit/8] ^= 1 << (bit % 8)
	}
	return nil
}

// Names are the files of a directory, sorted, as everybody sees them. It is for whoever watches, and disturbs no fault.
func (d *Disk) Names(dir string) []string {
	if r := d.dirs[path.Clean(dir)]; r != nil {
		return sortedKeys(r.names)
	}
	return nil
}

// below draws a number in [0, n). The bias of the remainder does not matter.
func (d *Disk) below(n int) int { return int(d.rng.Uint64() % uint64(n)) }

func (d *Disk) chance() bool { return d.below(2) == 0 }

// alive is asked before reading operations.
func (d *Disk) alive() error {
	if d.budget == 0 {
		d.stopped = true
		return ErrStopped
	}
	return nil
}

// change is asked before changing operations, and counts them.
func (d *Disk) change(kind, name string, n *inode) error {
	if err := d.alive(); err != nil {
		if d.refused.kind == "" {
			d.refused = op{kind, name, n}
		}
		return err
	}
	d.last = op{kind, name, n}
	if d.budget > 0 {
		d.budget--
	}
	d.ops++
	return nil
}

// due counts a fault down and says whether it is its turn.
func due(counter *int) bool {
	if *counter < 0 {
		return false
	}
	*counter--
	return *counter < 0
}

func (d *Disk) directory(op, name string) (*directory, error) {
	if dir := d.dirs[path.Clean(name)]; dir != nil {
		return dir, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (d *Disk) find(op, name string) (*inode, error) {
	dir, err := d.directory(op, path.Dir(name))
	if err != nil {
		return nil, err
	}
	if n := dir.names[path.Base(name)]; n != nil {
		return n, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}
