package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

func (d *diskFaults) full(f *Fault) {
	if f.Way == 2 {
		d.w.server.disk.FillAfter(f.Budget, filesDir)
	} else {
		d.w.server.disk.SetFree(int64(f.Budget))
	}
	end := d.w.sim.Now() + f.For
	d.fullUntil = end
	d.w.sim.At(end, func() {
		if d.fullUntil == end {
			d.roomAgain()
		}
	})
}

// filing is called before a file task.
func (d *diskFaults) filing(t *replica.FileTask) {
	d.filingAt = d.w.sim.Now()
	if d.fullSoon != nil && t.Writes() {
		d.full(d.fullSoon)
		d.fullSoon = nil
	}
}

func (d *diskFaults) roomAgain() {
	if d.w.server.disk.Limited() {
		d.limited = d.w.sim.Now()
	}
	d.w.server.disk.SetFree(-1)
}

// sent notes whether a request renews or gives back. Instances of a session use the same sequences: an answer without a
// position in the log does not say whose request it refuses, so all of them have to.
func (d *diskFaults) sent(r *dlmv1.Request) {
	gives := false
	switch r.GetOp().(type) {
	case *dlmv1.Request_KeepAlive, *dlmv1.Request_Renew, *dlmv1.Request_Release, *dlmv1.Request_Close, *dlmv1.Request_Cancel:
		gives = true
	}
	id := [2]uint64{r.GetSession(), r.GetSequence()}
	if before, seen := d.gives[id]; seen {
		gives = gives && before
	}
	d.gives[id] = gives
}

// working is called before the server looks at what has arrived. What it refuses from here on, it refuses after it has
// learned of the last batch; what has arrived together with the news of a batch may have been looked at before.
func (d *diskFaults) working() {
	d.logFull = d.logFull && !d.logWrote
}

// logged sees the outcome of a log task.
func (d *diskFaults) logged(res replica.LogResult) {
	d.logFull, d.logWrote = res.Full() || d.logFull, res.Wrote()
	if res.Full() {
		d.w.count("a batch did not fit into the log")
	}
}

// answered sees every answer that leaves the server. Requests are refused for lack of room only when there was none of late,
// and those that renew or give back only when the log itself could not be written.
func (d *diskFaults) answered(a *dlmv1.Answer) {
	level := d.w.server.node.Disk().Level
	gives := d.gives[[2]uint64{a.GetSession(), a.GetSequence()}] && a.GetSequence() != 0
	if a.GetReason() != dlmv1.Reason_REASON_DISK_FULL {
		if level != replica.DiskOK && a.GetIndex() != 0 && gives {
			d.w.checked("G10 reserve")
			d.w.count("renewed or given back on a disk that is " + level.String())
		}
		return
	}
	d.w.checked("G10 disk full")
	d.w.count("refused on a disk that is " + level.String())
	if a.GetIndex() != 0 {
		d.w.fail("G4", "a refusal for lack of room says that it is logged: %v", a)
	}
	const slack = 10 * time.Second // until the node has looked again, behind slow tasks
	since := max(d.limited, d.w.server.stood)
	if !d.w.server.disk.Limited() && d.w.sim.Now() > since+slack {
		d.w.fail("G10", "refused for lack of room, and there was enough for %v: %v", d.w.sim.Now()-since, a)
	}
	if gives && !d.logFull {
		d.w.fail("G10", "the log has room, and what renews or gives back is refused: %v", a)
	}
}
