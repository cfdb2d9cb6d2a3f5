package replica

import (
	"fmt"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// noRoom is the refusal of a new request that the node cannot take now, if it is one. Refused early, the same request may
// succeed a moment later; taken and left waiting past its caller's patience it would cost the same work and help nobody.
func (n *Node) noRoom(r *dlmv1.Request) (dlmv1.Reason, string) {
	if detail := n.overloaded(r); detail != "" {
		return dlmv1.Reason_REASON_OVERLOADED, detail
	}
	if detail := n.noRoomFor(r); detail != "" {
		return dlmv1.Reason_REASON_DISK_FULL, detail
	}
	return dlmv1.Reason_REASON_OK, ""
}

func (n *Node) overloaded(r *dlmv1.Request) string {
	backlog, most := n.requests.unlogged(), n.cfg.MaxPending
	if upkeep(r) {
		most *= 2
	} else if wait := n.requests.longestWait(n.now); wait > n.cfg.MaxWait && backlog > n.cfg.MaxPending/64 {
		return fmt.Sprintf("%d requests wait for the log, the first for %v", backlog, wait.Round(time.Millisecond))
	}
	switch {
	case backlog >= most:
		return fmt.Sprintf("%d requests wait for the log, at most %d may", backlog, most)
	case r.GetAppend() != nil && n.files.unwritten >= n.cfg.MaxFileBytes:
		return fmt.Sprintf("%d appended bytes wait for the disk, at most %d may", n.files.unwritten, n.cfg.MaxFileBytes)
	}
	return ""
}

// upkeep says whether a request keeps what its session has, or gives it back. A server that is asked for more than it can do
// goes on doing these: it must not take leases away, nor keep locks from those who wait for them.
func upkeep(r *dlmv1.Request) bool {
	switch r.GetOp().(type) {
	case *dlmv1.Request_KeepAlive, *dlmv1.Request_Renew, *dlmv1.Request_Release, *dlmv1.Request_Cancel, *dlmv1.Request_Close:
		return true
	}
	return false
}

// longestWait is how long the oldest of the small requests has waited for the next batch.
func (t *requestTable) longestWait(now time.Duration) time.Duration {
	if len(t.small) == 0 {
		return 0
	}
	return now - t.small[0].since
}
