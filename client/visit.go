package client

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// A program that has one call under way at a time costs little but hand-overs: from the caller to the loop, to the connection's writer,
// from its reader to the loop, to the caller; each of them may wake a thread. So the caller takes its call to the engine itself and
// sends what comes of it, and the reader takes the answer there. Where calls meet they go through the loop's goroutine as ever, which
// makes one frame of many.

// visit carries a task out at once, in the caller's goroutine, if nobody else wants the engine and no more than so many calls are under
// way, and sends what comes of it if it may. If it says false nothing was done.
func (c *Client) visit(t task, calls int, send bool) bool {
	l := c.loop
	if !l.mu.TryLock() {
		return false
	}
	if l.pending > calls || !c.idle() {
		l.mu.Unlock()
		return false
	}
	l.visitor[0] = t
	claimed := l.turn(l.visitor[:], send)
	l.visitor[0] = nil
	l.mu.Unlock()
	if claimed != nil {
		claimed.sendClaimed()
	}
	return true
}

// idle says that nothing is posted and the client is not closed.
func (c *Client) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.inbox) == 0 && !c.closed
}

// submit is post for what begins a call.
func (c *Client) submit(t task) bool { return c.visit(t, 0, true) || c.post(t) }

// received is post for a frame of a connection.
func (cn *conn) received(f *dlmv1.ServerFrame, first bool) {
	t := taskFunc(func(l *loop, now time.Duration) {
		if first {
			// Not before the first frame: a proxy may accept for a server that is not there.
			l.c.health.Store(nil)
		}
		if l.conns[cn.id] == cn {
			cn.clear = cn.clear || cn.last.answeredBy(f)
			l.engine.Receive(now, cn.id, f)
		}
	})
	if !cn.c.visit(t, 1, false) {
		cn.c.post(t)
	}
}

// item names a request or a read. The zero value names nothing.
type item struct {
	read        bool
	session, id uint64
}

// lastOf is the last item of a frame; the zero one if it has no number of its own.
func lastOf(f *dlmv1.ClientFrame) item {
	if reads := f.GetReads(); len(reads) > 0 {
		return item{read: true, id: reads[len(reads)-1].GetId()}
	}
	if requests := f.GetRequests(); len(requests) > 0 && requests[len(requests)-1].GetSequence() != 0 {
		r := requests[len(requests)-1]
		return item{session: r.GetSession(), id: r.GetSequence()}
	}
	return item{}
}

// answeredBy says whether the frame answers it.
func (i item) answeredBy(f *dlmv1.ServerFrame) bool {
	if i.read {
		for _, a := range f.GetReads() {
			if a.GetId() == i.id {
				return true
			}
		}
		return false
	}
	for _, a := range f.GetAnswers() {
		if i.id != 0 && a.GetSequence() == i.id && a.GetSession() == i.session {
			return true
		}
	}
	return false
}
