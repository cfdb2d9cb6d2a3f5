package replica

import (
	"fmt"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// DiskLevel says how much room the disk leaves. Whatever renews or gives back goes on as long as the log has room.
type DiskLevel int

const (
	// DiskOK: nothing is refused.
	DiskOK DiskLevel = iota
	// DiskTight: less than the reserve is free, or something did not fit: appends are refused.
	DiskTight
	// DiskLow: the log's next segment cannot be made, and the active one is nearly full: opens, acquires and new limits are
	// refused as well.
	DiskLow
	// DiskFull: a batch does not fit into the log. It waits for room, and everything else is refused.
	DiskFull
)

func (l DiskLevel) String() string {
	return [...]string{"ok", "tight", "low", "full"}[l]
}

// Disk is what a node knows of its disk's room.
type Disk struct {
	Level DiskLevel
	// Free is how many bytes the file system had left when it was last asked, Reserve how many of them are not for appends.
	Free, Reserve uint64
	// Log is how many bytes the log takes before it needs another segment.
	Log int64
}

// Disk returns what the node knows of its disk's room.
func (n *Node) Disk() Disk {
	return Disk{Level: n.space.level, Free: n.space.free, Reserve: n.reserve(), Log: n.space.log}
}

// spaceSide is what is known of the disk's room, and the rhythm in which what did not fit is tried again.
type spaceSide struct {
	level DiskLevel
	known bool
	free  uint64
	at    time.Duration // of the measurement
	log   int64
	ready bool // the log's next segment is made
	// preparing: a job that makes a part of it is queued or on its way. noRoom: it did not fit.
	preparing, noRoom bool
	measuring         bool          // a job that only measures is queued or on its way
	checkAt           time.Duration // when to look again, unless the level is DiskOK
}

// due says whether it is time to look again, and to try again what did not fit.
func (s *spaceSide) due(now time.Duration) bool { return s.level != DiskOK && now >= s.checkAt }

// reserve is the room that appends must leave: for a segment and more of log, for the next snapshot beside the last, and for
// what was promised already.
func (n *Node) reserve() uint64 {
	return n.cfg.ReserveBytes + 2*n.snap.size + uint64(n.files.unwritten) + uint64(n.requests.appendBytes)
}

// assess sets the level.
func (n *Node) assess() {
	s := &n.space
	need := n.reserve()
	if s.level != DiskOK {
		need += need / 8 // so that it does not change with every append
	}
	before := s.level
	switch {
	case n.log.stuck:
		s.level = DiskFull
	case s.noRoom && !s.ready && s.log < int64(n.cfg.LogReserveBytes):
		s.level = DiskLow
	case s.noRoom || n.files.stuck || n.snap.needs > 0 || s.known && s.free < need:
		s.level = DiskTight
	default:
		s.level = DiskOK
	}
	if before == DiskOK && s.level != DiskOK {
		s.checkAt = n.now + n.cfg.SpaceRetry
	}
}

// noRoomFor is the refusal of a request for lack of room, if it is one.
func (n *Node) noRoomFor(r *dlmv1.Request) string {
	grows := false
	switch r.GetOp().(type) {
	case *dlmv1.Request_Append:
		n.refreshSpace()
		n.assess()
		if n.space.level >= DiskTight {
			return fmt.Sprintf("the disk is nearly full: %d bytes are free, %d are kept for what renews and gives back", n.space.free, n.reserve())
		}
		return ""
	case *dlmv1.Request_Open, *dlmv1.Request_Acquire, *dlmv1.Request_SetLimits:
		grows = true
	}
	switch {
	case n.space.level == DiskFull:
		return "the disk is full, and the log has no room left"
	case n.space.level == DiskLow && grows:
		return "the disk is full: what is left of the log is kept for what renews and gives back"
	}
	return ""
}

// refreshSpace has the disk looked at if that was long ago.
func (n *Node) refreshSpace() {
	s := &n.space
	if s.known && n.now >= s.at+n.cfg.SpaceRetry {
		n.measure()
	}
}

func (n *Node) measure() {
	if f := &n.files; !f.busy && len(f.queue) == 0 && !n.space.measuring {
		n.space.measuring = true
		f.queue = append(f.queue, fileJob{measure: true})
	}
}

// watchSpace has the log's next segment made ahead, and looks again at a disk that was short of room.
func (n *Node) watchSpace(due bool) {
	s := &n.space
	if !s.ready && !s.preparing && !n.stopped && (!s.noRoom || due) {
		s.preparing = true
		n.files.queue = append(n.files.queue, fileJob{prepare: true})
	}
	if due {
		s.checkAt = n.now + n.cfg.SpaceRetry
		n.measure()
	}
}

// spaceFound takes a measurement.
func (n *Node) spaceFound(res *FileResult) {
	s := &n.space
	s.known, s.free, s.at = true, res.space.Free, n.now
	s.log, s.ready = res.space.Log, res.space.Ready
	if res.prepared {
		s.preparing, s.noRoom = false, res.noRoom
	}
	if res.measured {
		s.measuring = false
	}
	if (s.ready || res.gaveRoom) && n.log.stuck {
		s.checkAt = n.now
	}
	n.assess()
}
