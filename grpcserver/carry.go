package grpcserver

import (
	"time"

	"dlm/replica"
)

// A client that waits for what it asked before it asks again costs a server with nothing else to do little but its hand-overs: from the
// stream's reader to the node goroutine, to the log goroutine, back, to the writer; each of them may wake a thread. So the reader carries
// such a frame itself: it has the node's turn, writes and syncs the log, has the turn that makes the answers, and sends them. The order is
// the same, and so is the code; only the goroutine is another. Meanwhile it does not read: whatever else its client sends waits for
// the sync, as it would have to anyway, but does not gather for the next batch. That is why only those carry who have been alone. An
// acquire that waits in a queue asks for nothing.

// solitude tells a stream whose client waits for what it asked.
type solitude struct{ frames int }

const (
	// aloneAfter is how many frames in a row must have been the only one under way.
	aloneAfter = 8
	// lookEvery: who carries does not see whether more has arrived, so one frame of so many is not carried.
	lookEvery = 64
	// carryMost is how many requests and reads such a frame may have. With more, hand-overs cost little beside the requests.
	carryMost = 16
)

// frame takes note of a frame with n requests and reads, with which the server works on busy. It says whether the frame may be carried.
func (a *solitude) frame(n, busy int) bool {
	if n == 0 || n > carryMost || n != busy {
		a.frames = 0
		return false
	}
	a.frames++
	return a.frames > aloneAfter && a.frames%lookEvery != 0
}

// quickSync is how long a sync may take for a reader to wait for it. With a slower disk hand-overs do not matter, and reads, which need
// no disk, must not wait for it.
const quickSync = time.Millisecond

// carry takes a frame through the node and the log and sends what comes of it. It says false, with nothing done, if others are at it.
func (s service) carry(e event, stream frames, out *outbox) bool {
	l := s.loop
	if !out.claim() {
		return false
	}
	defer out.give()
	if !l.mu.TryLock() {
		return false
	}
	task := l.visit(&e, time.Duration(s.lastSync.Load()) < quickSync)
	if task != nil {
		e = event{kind: eventLogDone, log: s.runLog(task)}
		l.mu.Lock()
		l.visit(&e, false)
	}
	send(stream, out, true)
	return true
}

// visit is a turn of somebody else than the node goroutine, which learns of it if it was the last. The caller has mu, and has it no
// more in the end.
func (l *nodeLoop) visit(e *event, carry bool) *replica.LogTask {
	defer l.mu.Unlock()
	if l.ended {
		return nil
	}
	task := l.turn(e, carry)
	if l.fatal != nil || l.stopping {
		l.inbox.nudge()
	}
	return task
}
