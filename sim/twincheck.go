package sim

import (
	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// twinChecker checks that a snapshot and the log after it are worth as much as the whole log (G5): state hash for state
// hash, answer for answer.
//
//	log     whole log, from the first entry on ------------------------------------------>
//	twin    snapshot --entries--> compare, snapshot --entries--> compare, snapshot --entries-->
//	server  snapshot of its disk --entries of its disk--> compare at each start and each comparison of the twin
type twinChecker struct {
	w         watcher
	log, twin *core.Core
	index     uint64 // of the newest entry
	since     int    // entries since the twin's snapshot
}

// twinEvery is how many entries the twin gets after each snapshot: enough for what a snapshot lost to be asked for.
const twinEvery = 24

func newTwinChecker(w watcher, cfg core.Config) (*twinChecker, error) {
	log, err := core.New(cfg)
	if err != nil {
		return nil, err
	}
	t := &twinChecker{w: w, log: log}
	t.renew()
	return t, nil
}

// entry applies one that the server has applied; hash is that of the server's outputs, state the server's lock table.
func (t *twinChecker) entry(index, stamp, hash uint64, reqs []*dlmv1.Request, server *core.Core) {
	if index <= t.index {
		if index == t.index {
			t.compare(server)
		}
		return
	}
	t.index = index
	if hashEntry(stamp, reqs, t.log.Apply(index, stamp, reqs)) != hash {
		t.w.fail("G5", "position %d brings about something else by the whole log than by the server's snapshot and the log after it", index)
	}
	t.w.checked("G5 twin")
	if hashEntry(stamp, reqs, t.twin.Apply(index, stamp, reqs)) != hash {
		t.w.fail("G5", "position %d brings about something else by a snapshot of position %d and the log after it than by the whole log", index, index-uint64(t.since)-1)
	}
	if t.since++; t.since >= twinEvery {
		t.compare(server)
		if t.twin.Hash() != t.log.Hash() {
			t.w.fail("G5", "the state at position %d is another by a snapshot of about %d entries before and the log after it than by the whole log", index, t.since)
		}
		t.renew()
	}
}

// renew gives the twin a new snapshot to begin with.
func (t *twinChecker) renew() {
	twin, err := core.Restore(t.log.Snapshot())
	if err != nil {
		t.w.fail("G5", "the snapshot of position %d cannot be restored: %v", t.index, err)
		return
	}
	t.twin, t.since = twin, 0
	if t.twin.Hash() != t.log.Hash() {
		t.w.fail("G5", "the state at position %d is another one after a snapshot", t.index)
	}
}

// compare holds the server's lock table, which has come to the newest entry, against the whole log's.
func (t *twinChecker) compare(server *core.Core) {
	t.w.checked("G5 state")
	if server.Hash() != t.log.Hash() {
		t.w.fail("G5", "the server's state at position %d is not that of the whole log", t.index)
	}
}

// started compares a server that has just started, if its snapshot alone holds everything.
func (t *twinChecker) started(server *core.Core) {
	if at := server.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).GetIndex(); at == t.index {
		t.compare(server)
	}
}
