package sim

import (
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
)

// replyChecker watches what crosses the wire: equal replies to equal requests (G4), and that every reply is in the log
// (G5).
type replyChecker struct {
	w     watcher
	log   *logChecker
	first map[[2]uint64]*dlmv1.Answer
	sent  map[[2]uint64]time.Duration
	acked uint64 // highest log position that a client has had an answer from
}

func newReplyChecker(w watcher, log *logChecker) *replyChecker {
	return &replyChecker{
		w: w, log: log, first: map[[2]uint64]*dlmv1.Answer{}, sent: map[[2]uint64]time.Duration{},
	}
}

// request notes when a request is sent for the first time.
func (c *replyChecker) request(now time.Duration, r *dlmv1.Request) {
	id := [2]uint64{r.GetSession(), r.GetSequence()}
	if _, ok := c.sent[id]; !ok && id[1] != 0 {
		c.sent[id] = now
	}
}

// answer takes one that has reached a client.
func (c *replyChecker) answer(a *dlmv1.Answer) {
	if a.GetIndex() == 0 {
		return
	}
	c.acked = max(c.acked, a.GetIndex())
	c.w.checked("G5 reply")
	found := false
	for _, logged := range c.log.answers[a.GetIndex()] {
		found = found || proto.Equal(logged, a)
	}
	// Two kinds need not lie in the log: the result of a sequence that was cancelled before it came is a part of the cancel's,
	// and that an instance was fenced off is never undone, so a server may say it from applied state.
	if !found && a.GetReason() != dlmv1.Reason_REASON_CANCELLED && a.GetReason() != dlmv1.Reason_REASON_INSTANCE_FENCED {
		c.w.fail("G5", "an answer that the log does not hold at position %d: %v", a.GetIndex(), a)
	}
	if a.GetSequence() == 0 || refusal(a) {
		return
	}
	id := [2]uint64{a.GetSession(), a.GetSequence()}
	first := c.first[id]
	if first == nil {
		c.first[id] = a
		return
	}
	c.w.checked("G4")
	if !proto.Equal(first, a) {
		c.w.fail("G4", "two answers to (%d, %d): %v and %v", id[0], id[1], first, a)
	}
}
