package grpcserver

import (
	"sync"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

// event is something for the node goroutine. Which fields are set follows from the kind.
type event struct {
	kind  eventKind
	conn  uint64
	peer  peer               // of a new connection
	frame *dlmv1.ClientFrame // eventCall, eventFrame
	file  replica.FileResult
	log   replica.LogResult         // eventLogDone
	err   error                     // eventAbort
	stats chan<- replica.Stats      // eventStats; holds one
	parts chan<- replica.BackupPart // eventBackup; holds backupParts
	cost  int64                     // eventCall, eventFrame: bytes of memory, about
}

type eventKind int

const (
	eventStream     eventKind = iota // a stream was opened
	eventCall                        // a unary call: a connection and its only frame
	eventFrame                       // a frame arrived on a stream
	eventDisconnect                  // a stream or a call has gone
	eventLogDone
	eventFileDone
	eventStats      // somebody wants to know
	eventBackup     // somebody wants a backup; conn names it
	eventBackupNext // its next part
	eventBackupEnd  // no more of it
	eventStop       // refuse what is new, end when idle
	eventAbort      // end now
)

// inbox is what has arrived for the node goroutine. Frames are limited by their bytes: who brings one more waits. Everything
// else is limited by its nature (one for each connection, one for each task) and never waits.
type inbox struct {
	wake chan struct{} // holds one token if events is not empty, or after a nudge

	mu     sync.Mutex
	space  sync.Cond // signalled when bytes falls or closed is set
	events []event
	bytes  int64 // of the frames in events; above limit only by one frame for each who did not have to wait
	limit  int64
	closed bool
}

func newInbox(limit int64) *inbox {
	b := &inbox{wake: make(chan struct{}, 1), limit: limit}
	b.space.L = &b.mu
	return b
}

// put adds an event, after waiting for space if it is a frame. It says false if the node goroutine has ended.
func (b *inbox) put(e event) bool {
	if e.frame != nil {
		e.cost = frameCost(e.frame)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for e.cost > 0 && b.bytes >= b.limit && !b.closed {
		b.space.Wait()
	}
	if b.closed {
		return false
	}
	b.bytes += e.cost
	b.events = append(b.events, e)
	if len(b.events) == 1 {
		b.nudge()
	}
	return true
}

// nudge wakes the node goroutine.
func (b *inbox) nudge() {
	select {
	case b.wake <- struct{}{}:
	default: // it will wake up in any case
	}
}

// take returns everything that has arrived and gives the caller's former slice back for reuse. Call it after a receive
// from wake, or at any other time: it then returns what there is.
func (b *inbox) take(reuse []event) []event {
	clear(reuse)
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.events
	b.events = reuse[:0]
	if b.bytes >= b.limit {
		b.space.Broadcast()
	}
	b.bytes = 0
	select {
	case <-b.wake:
	default:
	}
	return taken
}

// close lets every put fail from now on, and returns what nobody has taken.
func (b *inbox) close() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	late := b.events
	b.closed, b.events = true, nil
	b.space.Broadcast()
	return late
}

// frameCost is about what a frame takes in memory: a request with nothing in it is two bytes on the wire and some
// hundred here.
func frameCost(f *dlmv1.ClientFrame) int64 {
	return int64(f.SizeVT()) + 256*int64(1+len(f.GetRequests())+len(f.GetReads()))
}
