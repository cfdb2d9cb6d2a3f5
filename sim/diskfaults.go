package sim

import (
	"path"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/netsim"
	"dlm/replica"
	"dlm/sim/simdisk"
)

// The kinds of faults of the disk, besides a failing sync or write.
const (
	FaultRot   FaultKind = "bit-rot"         // a bit at rest turns over; Way 1: in the head of a frame of the log, Way 2: of the last one that must not be lost
	FaultStray FaultKind = "misplaced-write" // a sector at rest gets the content of another one
	FaultStale FaultKind = "lost-write"      // a sector at rest is zeros, as if it had never been written
	FaultRead  FaultKind = "fail-read"       // a read fails, after Budget others
	FaultSlow  FaultKind = "slow-disk"       // every task takes up to a second longer, for For
	FaultFull  FaultKind = "disk-full"       // only Budget bytes are left free, for For; Way 1: from the next write to a data file on, Way 2: so many writes to data files still find room
)

func drawDiskFaults(r Chooser, c Config) []Fault {
	var faults []Fault
	add := func(kind FaultKind, share, most int, shape func(Chooser, *Fault)) {
		if !r.Chance(share) {
			return
		}
		r.Times(1, most, func(r Chooser) {
			f := Fault{
				At: r.Between(0, c.Faulty), Kind: kind, Client: -1, For: r.Tail(10*time.Millisecond, 5*time.Second),
				Budget: r.IntN(12), Which: r.Uint64() >> 1,
			}
			if shape != nil {
				shape(r, &f)
			}
			faults = append(faults, f)
		})
	}
	add(FaultRot, 150_000, 6, nil)
	add(FaultStray, 80_000, 4, nil)
	add(FaultStale, 80_000, 4, nil)
	add(FaultRead, 80_000, 3, nil)
	add(FaultSlow, 150_000, 3, nil)
	add(FaultFull, 250_000, 4, func(r Chooser, f *Fault) {
		f.Budget = r.IntN(netsim.Pick(r, 2<<10, 16<<10, 64<<10))
		if r.Chance(400_000) {
			f.Way, f.Budget = 1, r.IntN(3<<10)
		} else if r.Chance(300_000) { // a small disk, and enough on it
			f.At, f.For, f.Budget = 0, c.Faulty, int(c.ReserveBytes)+r.IntN(100<<10)
		}
	})
	add(FaultDiskCrash, 400_000, 5, func(r Chooser, f *Fault) {
		f.Way, f.Power, f.Again, f.Budget = 1, r.Chance(500_000), r.Chance(250_000), r.IntN(24)
	})
	return faults
}

// diskFaults is what is wrong with the server's disk, and the checks that damage is refused and never served.
type diskFaults struct {
	w         *World
	harm      []*harm
	slowUntil time.Duration
	openings  int           // recoveries that succeeded
	slowTask  time.Duration // when the last of the tasks that take longer will have ended, about

	fullUntil time.Duration // of the newest FaultFull
	fullSoon  *Fault        // strikes before the next file task with a write
	limited   time.Duration // when the room was limited last
	filingAt  time.Duration // when the newest file task began
	logFull   bool          // the log's last batch did not fit
	logWrote  bool          // it did, as the server was told just now
	gives     map[[2]uint64]bool

	term uint64 // the highest that an entry was applied in: the vote for it was durable before
}

func newDiskFaults(w *World) *diskFaults { return &diskFaults{w: w, gives: map[[2]uint64]bool{}} }

// strike is World.strike for the disk.
func (d *diskFaults) strike(f *Fault) {
	disk := d.w.server.disk
	switch f.Kind {
	case FaultSync:
		disk.FailSync(f.Budget)
	case FaultWrite:
		disk.FailWrite(f.Budget)
	case FaultRead:
		disk.FailRead(f.Budget)
	case FaultSlow:
		d.slowUntil = max(d.slowUntil, d.w.sim.Now()+f.For)
	case FaultFull:
		if f.Way != 0 {
			d.fullSoon = f
		} else {
			d.full(f)
		}
	case FaultRot, FaultStray, FaultStale:
		d.damage(f)
	}
}

func (d *diskFaults) heal() {
	disk := d.w.server.disk
	disk.FailSync(-1)
	disk.FailWrite(-1)
	disk.FailRead(-1)
	d.slowUntil, d.fullUntil, d.fullSoon = 0, 0, nil
	d.w.healedFrom = max(d.w.healedFrom, d.slowTask) // one of them may be under way
	d.roomAgain()
}

// slow is what a task takes longer now.
func (d *diskFaults) slow(r *netsim.RNG) time.Duration {
	if d.w.sim.Now() >= d.slowUntil {
		return 0
	}
	d.w.count("slow disk task")
	longer := r.Between(0, time.Second)
	d.slowTask = max(d.slowTask, d.w.sim.Now()+longer)
	return longer
}

// hardState checks the term and the vote that recovery found: who forgets a vote may give another one in the same term.
func (d *diskFaults) hardState(h *raftpb.HardState) {
	d.w.checked("G5 vote")
	if h.GetTerm() < d.term || h.GetTerm() == d.term && d.term > 1 && h.GetVote() != memberID {
		d.w.fail("G5", "term %d was in force, and recovery found term %d with a vote for %d", d.term, h.GetTerm(), h.GetVote())
	}
}

// diskStopped begins the names of the counts of where crashes have interrupted the disk's user.
const (
	diskStopped           = "disk stopped: "
	diskStoppedInRecovery = diskStopped + "recovery: "
)

// crashed counts such a place, in recovery apart.
func (d *diskFaults) crashed(inRecovery bool) {
	before, refused, ok := d.w.server.disk.Stopped()
	if !ok {
		return
	}
	name := diskStopped
	if inRecovery {
		name = diskStoppedInRecovery
	}
	d.w.count(name + "after " + opName(before) + ", before " + opName(refused))
}

// filed sees the outcome of a file task.
func (d *diskFaults) filed(res *replica.FileResult) {
	write, snapshot, segment := res.DidNotFit()
	if write {
		d.w.count("an append did not fit into its file")
	}
	if snapshot {
		d.w.count("a snapshot did not fit")
	}
	if segment {
		d.w.count("the next segment did not fit")
	}
}

func opName(o simdisk.Op) string {
	base, temporary := strings.CutSuffix(path.Base(o.Name), ".tmp")
	what := "data file"
	switch {
	case o.Kind == "":
		return "the start"
	case o.Name == "":
		what = "removed file"
	case base == "next":
		what = "next segment"
	case strings.HasPrefix(base, "segment-"):
		what = "segment"
	case strings.HasPrefix(base, "snapshot-"):
		what = "snapshot"
	case strings.HasSuffix(base, ".crc"):
		what = "sidecar"
	case o.Kind == "syncdir" || o.Kind == "mkdir":
		what = "directory"
	}
	if temporary {
		what = "unfinished " + what
	}
	return o.Kind + " of " + what
}
