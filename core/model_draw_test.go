package core_test

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// What is drawn is a plan of small numbers. The driver turns it into requests with what it has learnt from answers so
// far, so that a failing plan shrinks to the few steps that matter.

var (
	lockNames = []string{"a", "b", "c"}
	fileNames = []string{"f", "g"}
)

// step is one log entry.
type step struct {
	Wait    int // stamp: that much after the last one
	Restore bool
	Image   int // encode so many records of the image
	Draws   []draw
}

type drawKind int

const (
	drawAcquire drawKind = iota
	drawRelease
	drawOpen
	drawKeepAlive
	drawDuplicate
	drawCancel
	drawRenew
	drawRevoke
	drawRevokeSession
	drawAttach
	drawAppend
	drawDelete
	drawClose
)

// draw is one request in the making.
type draw struct {
	Kind                   drawKind
	Session, Lock, Token   int // which of the known ones
	Ahead, Forget          int // sequence and watermark
	Keep                   []int
	Wait, Limit, Delay     int
	Shared, Now, Old, Same bool
}

func often(t *rapid.T, name string, values ...int) int {
	return rapid.SampledFrom(values).Draw(t, name)
}

// seldom is true in one of n cases.
func seldom(t *rapid.T, name string, n int) bool { return rapid.IntRange(0, n-1).Draw(t, name) == n-1 }

func drawStep(t *rapid.T) step {
	return step{
		Wait:    often(t, "wait", 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 5, 13, -1),
		Restore: seldom(t, "restore", 6),
		Image:   rapid.IntRange(0, 4).Draw(t, "image"),
		Draws:   rapid.SliceOfN(rapid.Custom(drawRequest), 0, 6).Draw(t, "requests"),
	}
}

func drawRequest(t *rapid.T) draw {
	d := draw{
		Kind: rapid.SampledFrom([]drawKind{
			drawAcquire, drawAcquire, drawAcquire, drawAcquire, drawAcquire, drawAcquire, drawAcquire, drawAcquire,
			drawAcquire, drawAcquire, drawAcquire, drawAcquire, drawRelease, drawRelease, drawRelease, drawRelease,
			drawOpen, drawOpen, drawKeepAlive, drawKeepAlive, drawDuplicate, drawDuplicate, drawDuplicate, drawDuplicate,
			drawCancel, drawCancel, drawCancel, drawRenew, drawRenew, drawRevoke, drawRevoke, drawRevokeSession,
			drawAttach, drawAppend, drawAppend, drawAppend, drawDelete, drawClose,
		}).Draw(t, "kind"),
		Session: often(t, "session", 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 6, 7),
		Lock:    often(t, "lock", 0, 0, 0, 1, 1, 2),
		Token:   often(t, "token", 0, 0, 0, 0, 1, 1, 2, 3, 5),
		Ahead:   often(t, "ahead", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 9, -1, -1, -2, -4, -100),
		Forget:  often(t, "forget", 0, 1, 2, 2, 3, 3, 4, 4, 4, 100, -1),
		Keep:    rapid.SliceOfN(rapid.IntRange(1, 5), 0, 2).Draw(t, "keep"),
		Wait:    often(t, "timeout", -1, -1, 0, 1, 2, 5),
		Limit:   often(t, "limit", 0, 0, 0, 1, 3, 6, 30),
		Delay:   often(t, "delay", 0, 0, 2, 4),
		Shared:  seldom(t, "shared", 3),
		Now:     seldom(t, "now", 3),
		Old:     seldom(t, "old", 12),
		Same:    rapid.Bool().Draw(t, "same"),
	}
	return d
}

// driver knows what a client could know, of all sessions.
type driver struct {
	now      uint64
	opens    uint64
	sessions []*driverSession // youngest first
	gone     []*driverSession // those that ended, youngest first
	grants   []grant          // youngest first
	sent     []*dlmv1.Request // youngest first
}

type driverSession struct {
	id, instance, highest, keys uint64
}

type grant struct {
	session uint64
	lock    string
	token   uint64
}

func (d *driver) stamp(s step) uint64 {
	if s.Wait < 0 {
		return d.now - min(d.now, 1) // a stamp below Now counts as Now
	}
	d.now += uint64(s.Wait)
	return d.now
}

func (d *driver) requests(s step) (requests []*dlmv1.Request) {
	for _, w := range s.Draws {
		if q := d.request(w); q != nil {
			requests = append(requests, q)
		}
	}
	return requests
}

func (d *driver) request(w draw) *dlmv1.Request {
	if w.Kind == drawDuplicate {
		if len(d.sent) == 0 {
			return nil
		}
		q := proto.CloneOf(d.sent[(w.Session+3*w.Token)%len(d.sent)])
		if w.Old && q.GetAcquire() != nil {
			q.GetAcquire().HoldLimitNanos++ // the same identity for something else
		}
		return q
	}
	q := d.fresh(w)
	d.sent = slices.Insert(d.sent, 0, proto.CloneOf(q))
	return q
}

func (d *driver) fresh(w draw) *dlmv1.Request {
	if w.Kind == drawOpen || len(d.sessions) == 0 {
		if !w.Old {
			d.opens++
		}
		ttl := uint64([]int{0, 9, 20, 40, 40}[w.Token%5])
		return &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: makeKey(1, d.opens), TtlNanos: ttl, Label: "someone"}}}
	}
	s := &driverSession{id: 999, instance: 1}
	switch {
	case w.Session < 6:
		s = d.sessions[w.Session%len(d.sessions)]
	case w.Session == 6 && len(d.gone) > 0:
		s = d.gone[w.Token%len(d.gone)]
	}
	q := &dlmv1.Request{Session: s.id, Instance: s.instance}
	if w.Old {
		q.Instance-- // an instance that was fenced off
	}
	if w.Kind == drawAttach {
		d.attach(q, s, w)
		return q
	}
	d.number(q, s, w)
	d.operation(q, w)
	return q
}

func makeKey(of, n uint64) []byte {
	k := make([]byte, 16)
	k[0], k[1], k[15] = byte(of), byte(n>>8), byte(n)
	return k
}

func (d *driver) attach(q *dlmv1.Request, s *driverSession, w draw) {
	q.Instance = 0
	at := &dlmv1.Attach{Replaces: s.instance}
	if !w.Same {
		s.keys++
	}
	at.Key = makeKey(2+s.id, s.keys)
	if w.Old {
		at.Replaces--
	}
	q.Op = &dlmv1.Request_Attach{Attach: at}
}

// number draws sequence, watermark and awaited list.
func (d *driver) number(q *dlmv1.Request, s *driverSession, w draw) {
	sequence := int(s.highest) + w.Ahead
	if w.Ahead == -100 {
		sequence = 0
	}
	q.Sequence = uint64(max(sequence, 0))
	s.highest = max(s.highest, q.Sequence)
	if w.Ahead == 9 {
		s.highest = q.Sequence - 9 // most probably beyond the window
	}
	switch {
	case w.Forget == -1:
		q.Watermark = q.Sequence + uint64(w.Token/5) // above the sequence now and then
	case w.Forget < 100:
		q.Watermark = q.Sequence - min(q.Sequence, uint64(w.Forget))
	}
	keep := sortedBy(w.Keep, func(back int) int { return -back })
	for _, back := range slices.Compact(keep) {
		if uint64(back) < q.Watermark || (w.Old && w.Now) {
			q.Awaited = append(q.Awaited, q.Watermark-min(q.Watermark, uint64(back)))
		}
	}
}

func (d *driver) operation(q *dlmv1.Request, w draw) {
	lock := lockNames[w.Lock]
	token := uint64(0)
	if len(d.grants) > 0 && w.Kind != drawAcquire && w.Kind != drawCancel {
		g := d.grants[w.Token%len(d.grants)]
		token = g.token
		if !w.Old { // name the lock that the token is for, and mostly let its holder do it
			lock = g.lock
			if w.Session != 2 {
				d.as(q, g.session)
			}
		}
	}
	file := fileNames[w.Session%len(fileNames)]
	switch w.Kind {
	case drawAcquire:
		q.Op = &dlmv1.Request_Acquire{Acquire: acquireOf(lock, w)}
	case drawRelease:
		q.Op = &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: lock, Token: token}}
	case drawKeepAlive:
		q.Op = &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}
	case drawCancel:
		victim := q.GetSequence() - min(q.GetSequence(), uint64(w.Token)) // perhaps one that was skipped, or this one
		if w.Same {
			victim = d.acquireFor(q, w.Token)
		}
		q.Op = &dlmv1.Request_Cancel{Cancel: &dlmv1.Cancel{Sequence: victim}}
	case drawRenew:
		q.Op = &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: lock, Token: token, HoldLimitNanos: uint64(w.Limit)}}
	case drawRevoke:
		if w.Same {
			token = 0
		}
		q.Op = &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: lock, Token: token, Now: w.Now, Why: "told so"}}
	case drawRevokeSession:
		victim := d.sessions[w.Token%len(d.sessions)].id
		q.Op = &dlmv1.Request_RevokeSession{RevokeSession: &dlmv1.RevokeSession{Session: victim, Now: w.Now, Why: "told so"}}
	case drawAppend:
		q.Op = &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: lock, Token: token, Data: []byte("data")[:(w.Wait+1)&3]}}
	case drawDelete:
		q.Op = &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: file, Lock: lock, Token: token}}
	case drawClose:
		q.Op = &dlmv1.Request_Close{Close: &dlmv1.Close{}}
	}
}

// acquireFor finds an acquire that was sent, and gives the request to its session.
func (d *driver) acquireFor(q *dlmv1.Request, back int) uint64 {
	for _, sent := range d.sent {
		if sent.GetAcquire() == nil {
			continue
		}
		if back == 0 {
			d.as(q, sent.GetSession())
			return sent.GetSequence()
		}
		back--
	}
	return 0
}

// as gives a request to the session of a grant, under a sequence of that one.
func (d *driver) as(q *dlmv1.Request, session uint64) {
	if session == q.GetSession() {
		return
	}
	for _, s := range d.sessions {
		if s.id == session {
			s.highest++
			q.Session, q.Instance, q.Sequence, q.Awaited = s.id, s.instance, s.highest, nil
			q.Watermark = s.highest - min(s.highest, 3)
		}
	}
}

func acquireOf(lock string, w draw) *dlmv1.Acquire {
	a := &dlmv1.Acquire{Lock: lock, HoldLimitNanos: uint64(w.Limit), LockDelayNanos: uint64(w.Delay), Value: []byte("v")}
	if w.Shared {
		a.Mode = dlmv1.Mode_MODE_SHARED
	}
	if w.Wait >= 0 {
		a.WaitNanos = proto.Uint64(uint64(w.Wait))
	}
	return a
}

// learn takes in what the answers say.
func (d *driver) learn(out core.Output) {
	defer d.bury(out)
	for _, n := range out.Notices {
		if n.GetKind() == dlmv1.Notice_KIND_LOCK_LOST {
			d.retire(n.GetToken())
		}
	}
	for _, a := range out.Answers {
		if a.GetReason() != dlmv1.Reason_REASON_OK {
			continue
		}
		known := slices.IndexFunc(d.sessions, func(s *driverSession) bool { return s.id == a.GetSession() })
		switch {
		case len(a.GetKey()) > 0 && known < 0:
			d.sessions = slices.Insert(d.sessions, 0, &driverSession{id: a.GetSession(), instance: a.GetInstance()})
		case len(a.GetKey()) > 0:
			d.sessions[known].instance = max(d.sessions[known].instance, a.GetInstance())
		default:
			d.result(a)
		}
	}
}

// result looks at what an answer of a numbered request was about.
func (d *driver) result(a *dlmv1.Answer) {
	for _, q := range d.sent {
		if q.GetSession() != a.GetSession() || q.GetSequence() != a.GetSequence() {
			continue
		}
		if ask := q.GetAcquire(); ask != nil && a.GetToken() != 0 {
			if g := (grant{a.GetSession(), ask.GetLock(), a.GetToken()}); !slices.Contains(d.grants, g) {
				d.grants = slices.Insert(d.grants, 0, g)
			}
		}
		d.retire(q.GetRelease().GetToken())
		return
	}
}

// retire moves a grant that is over behind the others: it is named less often from now on.
func (d *driver) retire(token uint64) {
	i := slices.IndexFunc(d.grants, func(g grant) bool { return g.token == token })
	if i >= 0 {
		g := d.grants[i]
		d.grants = append(slices.Delete(d.grants, i, i+1), g)
	}
}

// bury sets aside the sessions that are gone by now.
func (d *driver) bury(out core.Output) {
	for _, a := range out.Answers {
		i := slices.IndexFunc(d.sessions, func(s *driverSession) bool { return s.id == a.GetSession() })
		if i >= 0 && a.GetSessionDeadline() == 0 && a.GetIndex() != 0 {
			for _, g := range slices.Clone(d.grants) {
				if g.session == a.GetSession() {
					d.retire(g.token)
				}
			}
			d.gone = slices.Insert(d.gone, 0, d.sessions[i])
			d.sessions = slices.Delete(d.sessions, i, i+1)
		}
	}
}
