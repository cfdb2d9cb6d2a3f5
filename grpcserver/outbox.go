package grpcserver

import (
	"sync"
	"sync/atomic"

	dlmv1 "dlm/api/dlm/v1"
)

// peer is the far end of a connection as the node goroutine sees it. None of its methods blocks.
type peer interface {
	// deliver hands a frame of so many bytes over. False: the peer has had its last frame, the connection is over for the node.
	deliver(f *dlmv1.ServerFrame, size int64) bool
	// finish ends the connection with a status, once what was delivered is sent.
	finish(err error)
	// abort ends it at once.
	abort(err error)
}

// sendBytes is about how large a frame may grow when frames are put together. One frame may always be larger by itself.
const sendBytes = 1 << 20

// outbox holds the frames that wait to be sent on one stream.
type outbox struct {
	share *outboxes
	wake  chan struct{} // holds a token when something changed that the writer wants to know
	done  chan struct{} // closed when the stream is to end

	mu       sync.Mutex
	owed     int // requests and reads taken and not yet answered, about (copies are answered once)
	busy     int // those of them that the server works on: not the acquires that wait in queues, about
	frames   []sized
	bytes    int64
	lastErr  error // the status, once finishing or done
	finishes bool
	ended    bool
	// The client sends nothing more.
	halfClosed bool
	sending    bool // somebody has what next gave out last
	claimed    bool // by the reader, see claim
}

type sized struct {
	frame *dlmv1.ServerFrame
	bytes int64
}

// outboxes is what all streams share.
type outboxes struct {
	perStream int64
	total     int64
	streams   atomic.Int64
	bytes     atomic.Int64
}

// limit is how much one stream may have waiting now: everybody gets an equal share once memory is short.
func (o *outboxes) limit() int64 {
	if o.bytes.Load() < o.total {
		return o.perStream
	}
	return min(o.perStream, o.total/max(o.streams.Load(), 1))
}

func newOutbox(share *outboxes) *outbox {
	return &outbox{share: share, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// deliver queues a frame. A stream whose client has not read what waits already is ended: one frame is always taken,
// however large.
func (o *outbox) deliver(f *dlmv1.ServerFrame, size int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended || o.finishes {
		return false
	}
	if o.bytes > 0 && o.bytes+size > o.share.limit() {
		o.endLocked(errNotReading)
		return false
	}
	o.frames = append(o.frames, sized{f, size})
	o.bytes += size
	o.share.bytes.Add(size)
	if !o.claimed {
		o.signal()
	}
	return true
}

// claim makes what is delivered from now on the caller's to send, instead of the writer's. It fails if something is being sent, or
// waits. Until give, next is the caller's alone.
func (o *outbox) claim() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sending || len(o.frames) > 0 || o.finishes || o.ended {
		return false
	}
	o.claimed = true
	return true
}

// give ends a claim.
func (o *outbox) give() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claimed = false
	if len(o.frames) > 0 || o.finishes {
		o.signal()
	}
}

func (o *outbox) finish(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended || o.finishes {
		return
	}
	o.finishes, o.lastErr = true, err
	o.signal()
}

func (o *outbox) abort(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endLocked(err)
}

func (o *outbox) endLocked(err error) {
	if o.ended {
		return
	}
	o.ended, o.lastErr = true, err
	o.share.bytes.Add(-o.bytes)
	o.frames, o.bytes = nil, 0
	close(o.done)
}

// err is the status to end the stream with.
func (o *outbox) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lastErr
}

// next returns everything that can be sent as one frame, nil if nothing waits; the writer (claimer is false) gets nothing from a claimed
// outbox. What it gave out last is sent by then. With the last frame of a finishing stream sent, it ends the stream.
func (o *outbox) next(claimer bool) *dlmv1.ServerFrame {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.claimed && !claimer {
		return nil
	}
	o.sending = len(o.frames) > 0
	if !o.sending {
		if o.finishes {
			o.endLocked(o.lastErr)
		}
		return nil
	}
	n, size := 1, o.frames[0].bytes
	for n < len(o.frames) && size+o.frames[n].bytes <= sendBytes && o.frames[0].frame.GetHello() == nil {
		size += o.frames[n].bytes
		n++
	}
	f := merge(o.frames[:n])
	o.frames = o.frames[n:]
	if len(o.frames) == 0 {
		o.frames = nil
	}
	o.bytes -= size
	o.share.bytes.Add(-size)
	return f
}

// merge puts frames together. Those it is given may belong to nobody else; the answers in them are shared and only read.
func merge(frames []sized) *dlmv1.ServerFrame {
	f := frames[0].frame
	for _, more := range frames[1:] {
		f.Answers = append(f.Answers, more.frame.GetAnswers()...)
		f.Reads = append(f.Reads, more.frame.GetReads()...)
		f.Notices = append(f.Notices, more.frame.GetNotices()...)
	}
	return f
}

// reply is the peer of a unary call: it takes one frame.
type reply struct {
	frame chan *dlmv1.ServerFrame // holds one
	err   chan error              // holds one
}

func newReply() *reply {
	return &reply{frame: make(chan *dlmv1.ServerFrame, 1), err: make(chan error, 1)}
}

func (r *reply) deliver(f *dlmv1.ServerFrame, _ int64) bool {
	select {
	case r.frame <- f:
	default:
	}
	return false
}

func (r *reply) finish(err error) { r.abort(err) }

func (r *reply) abort(err error) {
	select {
	case r.err <- err:
	default:
	}
}

// took counts what the client asked for, and returns how much the server works on now.
func (o *outbox) took(n int) (busy int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owed += n
	o.busy += n
	return o.busy
}

// answered counts what was sent: so many answers, and notices that acquires wait. The answer to one that waited counts twice for busy,
// which may so be too low, never too high.
func (o *outbox) answered(answers, waits int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owed -= answers
	o.busy = max(o.busy-answers-waits, 0)
	o.endIfDone()
}

// halfClose is told that the client sends nothing more: the stream ends when it owes no more answers.
func (o *outbox) halfClose() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.halfClosed = true
	o.endIfDone()
}

// endIfDone ends a stream on which nothing more can come. The caller has mu.
func (o *outbox) endIfDone() {
	if o.halfClosed && o.owed <= 0 && len(o.frames) == 0 {
		o.endLocked(nil)
	}
}
