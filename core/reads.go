package core

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"

	dlmv1 "dlm/api/dlm/v1"
)

const (
	pageDefault = 100
	pageMost    = 1000
	// pageBytes ends a page of locks early, whose holders and waiters may be many. It is a rough size; one lock is
	// always shown as a whole.
	pageBytes = 1 << 20
	// readMost is the most that one ReadFile may ask for, in bytes.
	readMost = 256 << 10
)

// Read answers a read from the state as of the last entry applied. It leaves out what core does not know: the bytes of
// ReadFile, and of GetStatus all that the server knows.
func (c *Core) Read(r *dlmv1.Read) *dlmv1.ReadAnswer {
	a := &dlmv1.ReadAnswer{Id: r.GetId(), Index: c.index, Stamp: c.now}
	if bad := dlmv1.BadReadText(r); bad != "" {
		a.Reason, a.Detail = dlmv1.Reason_REASON_INVALID, bad
		return a
	}
	var f refusal
	switch op := r.GetOp().(type) {
	case *dlmv1.Read_GetLock:
		f = c.getLock(a, op.GetLock)
	case *dlmv1.Read_ListLocks:
		f = c.listLocks(a, op.ListLocks)
	case *dlmv1.Read_ListSessions:
		f = c.listSessions(a, op.ListSessions)
	case *dlmv1.Read_CheckToken:
		f = c.checkToken(a, op.CheckToken)
	case *dlmv1.Read_ListFiles:
		f = c.listFiles(a, op.ListFiles)
	case *dlmv1.Read_ReadFile:
		f = c.readFile(a, op.ReadFile)
	case *dlmv1.Read_GetStatus:
		a.Status = c.status()
	default:
		f = unsupported("the read has no operation that this version knows")
	}
	a.Reason, a.Detail, a.Limit = f.reason, f.detail, f.limit
	return a
}

func (c *Core) getLock(a *dlmv1.ReadAnswer, op *dlmv1.GetLock) refusal {
	f := c.checkLock(op.GetLock())
	if f.reason == dlmv1.Reason_REASON_OK {
		a.Lock, _ = c.lockInfo(op.GetLock())
	}
	return f
}

// lockInfo describes a lock, free or not, and says about how many bytes that takes.
func (c *Core) lockInfo(name string) (info *dlmv1.LockInfo, size int) {
	info = &dlmv1.LockInfo{Lock: name}
	size = len(name) + 16
	l := c.locks.byName[name]
	if l == nil {
		return info, size
	}
	info.DelayedUntil = l.delayed()
	for h := range l.holds.all() {
		info.Holders = append(info.Holders, &dlmv1.Holder{
			Session: h.session.id, Label: h.session.label, Mode: h.mode, Token: h.token, Value: slices.Clone(h.terms.get().value),
			Granted: h.granted, HoldDeadline: h.deadline(), SessionDeadline: h.session.deadline, Revoked: h.revoked,
		})
		size += len(h.session.label) + len(h.terms.get().value) + 48
	}
	for w := range l.waiters.all() {
		info.Waiters = append(info.Waiters, &dlmv1.Waiter{
			Session: w.session.id, Label: w.session.label, Mode: w.mode, Sequence: w.sequence,
			Since: w.since, WaitDeadline: w.timer.stamp(),
		})
		size += len(w.session.label) + 32
	}
	return info, size
}

func pageLimit(asked uint64) (int, refusal) {
	if asked == 0 {
		return pageDefault, refusal{}
	}
	return int(min(asked, pageMost)), checkMost("limit", asked, pageMost)
}

func (c *Core) listLocks(a *dlmv1.ReadAnswer, op *dlmv1.ListLocks) refusal {
	n, f := pageLimit(op.GetLimit())
	if f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	page := newPage(op.GetPrefix(), op.GetAfter(), n)
	for l := range c.locks.order.all() {
		page.offer(l.name)
	}
	names, more := page.sorted()
	a.More = more
	bytes := 0
	for _, name := range names {
		if bytes > pageBytes {
			a.More = true
			break
		}
		info, size := c.lockInfo(name)
		a.Locks = append(a.Locks, info)
		bytes += size
	}
	return refusal{}
}

func (c *Core) listSessions(a *dlmv1.ReadAnswer, op *dlmv1.ListSessions) refusal {
	n, f := pageLimit(op.GetLimit())
	if f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	first := c.sessions.order.first
	if s := c.sessions.byID[op.GetAfter()]; s != nil {
		first = s.link.next
	}
	for s := first; s != nil; s = s.link.next {
		if s.id <= op.GetAfter() {
			continue
		}
		if len(a.Sessions) == n {
			a.More = true
			break
		}
		a.Sessions = append(a.Sessions, &dlmv1.SessionInfo{
			Session: s.id, Label: s.label, Instance: s.instance, TtlNanos: s.ttl, Opened: s.opened,
			SessionDeadline: s.deadline, Holds: uint64(s.holds.n), Waits: uint64(s.waits.n), Revoked: s.revoked,
		})
	}
	return refusal{}
}

func (c *Core) checkToken(a *dlmv1.ReadAnswer, op *dlmv1.CheckToken) refusal {
	if f := c.checkLock(op.GetLock()); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	if l := c.locks.byName[op.GetLock()]; l != nil {
		for h := range l.holds.all() {
			if h.token == op.GetToken() && !h.revoked {
				a.Current = true
				return refusal{}
			}
		}
	}
	a.Lock, _ = c.lockInfo(op.GetLock())
	return refusal{}
}

func fileInfo(f *file) *dlmv1.FileInfo {
	return &dlmv1.FileInfo{File: f.Name, Lock: f.Lock, Length: f.Length, Checksum: f.CRC}
}

func (c *Core) listFiles(a *dlmv1.ReadAnswer, op *dlmv1.ListFiles) refusal {
	n, f := pageLimit(op.GetLimit())
	if f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	page := newPage(op.GetPrefix(), op.GetAfter(), n)
	for f := range c.files.order.all() {
		page.offer(f.Name)
	}
	names, more := page.sorted()
	a.More = more
	for _, name := range names {
		a.Files = append(a.Files, fileInfo(c.files.byName[name]))
	}
	return refusal{}
}

func (c *Core) readFile(a *dlmv1.ReadAnswer, op *dlmv1.ReadFile) refusal {
	if f := c.checkName("file", op.GetFile()); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	if f := checkMost("bytes", op.GetBytes(), readMost); f.reason != dlmv1.Reason_REASON_OK {
		return f
	}
	f := c.files.byName[op.GetFile()]
	if f == nil {
		return refusal{reason: dlmv1.Reason_REASON_NOT_FOUND, detail: fmt.Sprintf("there is no file %q", op.GetFile())}
	}
	a.Files = []*dlmv1.FileInfo{fileInfo(f)}
	return refusal{}
}

func (c *Core) status() *dlmv1.Status {
	return &dlmv1.Status{
		ClusterId: slices.Clone(c.clusterID[:]), Index: c.index,
		Sessions: uint64(len(c.sessions.byID)), Locks: uint64(len(c.locks.byName)), Waiters: uint64(c.waiting),
		Files: uint64(len(c.files.byName)), LastToken: c.lastToken, Limits: mergeLimits(c.limits, nil),
	}
}

// page selects the first n names in order that begin with prefix and lie after `after`, in one pass over names in any
// order and in O(n) memory.
type page struct {
	prefix, after string
	n             int
	names         nameHeap // at most n + 1: the one too many says that there are more
}

func newPage(prefix, after string, n int) *page { return &page{prefix: prefix, after: after, n: n} }

func (p *page) offer(name string) {
	if !strings.HasPrefix(name, p.prefix) || name <= p.after {
		return
	}
	if len(p.names) <= p.n {
		heap.Push(&p.names, name)
		return
	}
	if name < p.names[0] {
		p.names[0] = name
		heap.Fix(&p.names, 0)
	}
}

func (p *page) sorted() (names []string, more bool) {
	names = p.names
	slices.Sort(names)
	if len(names) > p.n {
		return names[:p.n], true
	}
	return names, false
}

// nameHeap has the greatest name at its top.
type nameHeap []string

func (h nameHeap) Len() int           { return len(h) }
func (h nameHeap) Less(i, j int) bool { return h[i] > h[j] }
func (h nameHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *nameHeap) Push(x any)        { *h = append(*h, x.(string)) }
func (h *nameHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
