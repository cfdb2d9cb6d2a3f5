package core

import (
	"errors"
	"fmt"

	dlmv1 "dlm/api/dlm/v1"
)

// Config is what a new cluster begins with.
type Config struct {
	// Limits seed the replicated limits. A field that is 0, and nil as a whole, takes the value of DefaultLimits.
	Limits *dlmv1.Limits
	// ClusterID names the cluster in every stream's first frame.
	ClusterID [16]byte
	// FirstToken is the first fencing token to mint; 0 means 1. It must lie above every token that was ever issued
	// under this name: that is how tokens stay unique across a restore or a wiped data directory. Session ids begin there
	// too, so that a client which knows nothing but an id of a former cluster never gets a stranger's session.
	FirstToken uint64
}

// ErrConfig is what New wraps.
var ErrConfig = errors.New("core: bad configuration")

// Core is the lock table. Its zero value is not usable: call New or Restore. It is not safe for concurrent use.
type Core struct {
	limits    *dlmv1.Limits // replaced as a whole, never changed in place: Limits hands it out
	clusterID [16]byte

	index uint64 // of the last entry applied
	now   uint64 // its stamp; never goes back

	// The last id given out of each kind; the next is one more. None is ever given out twice.
	lastToken, lastWaiter, lastFile uint64

	sessions sessionTable
	locks    lockTable
	files    fileTable
	// waiting counts the waiters of all locks.
	waiting int
	// deadlines holds one item for whatever time alone will change. After Apply all of them lie beyond now.
	deadlines deadlines

	image     *Image // that is being taken, or nil
	imageMark uint32 // of the image begun last

	out    Output  // of the entry that is being applied
	events []Event // of the last entry; the memory is used again
}

// Output is what one entry brought about. Nothing in it may be changed: core keeps the answers and hands the same ones
// out again for duplicates.
type Output struct {
	// Answers go to whoever sent the request (session, sequence), or the Open or Attach with that key. Requests of earlier
	// entries are among them: an acquire that waited.
	Answers []*dlmv1.Answer
	// Notices are hints; losing them is harmless.
	Notices []*dlmv1.Notice
	// Files are to be done in this order. Doing them again after a crash is harmless.
	Files []FileOp
	// Events say what happened, in order. They are valid until the next Apply.
	Events []Event
}

// New returns an empty lock table at stamp 0.
func New(cfg Config) (*Core, error) {
	limits := mergeLimits(DefaultLimits(), cfg.Limits)
	if err := checkLimits(limits); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c := newCore()
	c.limits = limits
	c.clusterID = cfg.ClusterID
	c.lastToken = max(cfg.FirstToken, 1) - 1
	c.sessions.last = c.lastToken
	return c, nil
}

func newCore() *Core {
	return &Core{sessions: newSessionTable(), locks: newLockTable(), files: newFileTable()}
}

// Apply applies one log entry: time advances to stamp, what is due at it happens in the order (deadline, kind, id), then
// the requests take effect in order. A stamp below Now counts as Now.
//
// Requests are neither changed nor retained, but for their strings, and but for the data of appends, which the FileOps
// refer to.
func (c *Core) Apply(index, stamp uint64, requests []*dlmv1.Request) Output {
	c.index = index
	c.now = max(c.now, stamp)
	c.events = c.events[:0]
	if len(requests) > 0 {
		c.out.Answers = make([]*dlmv1.Answer, 0, len(requests))
	}
	for d := c.deadlines.firstDue(c.now); d != nil; d = c.deadlines.firstDue(c.now) {
		c.deadlines.remove(d)
		d.owner.due(c)
	}
	for _, r := range requests {
		c.request(r)
	}
	out := c.out
	out.Events = c.events
	c.out = Output{}
	return out
}

// request applies one request.
func (c *Core) request(r *dlmv1.Request) {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		c.emit(c.open(r, op.Open))
	case *dlmv1.Request_Attach:
		c.emit(c.attach(r, op.Attach))
	default:
		if a := c.sequenced(r); a != nil {
			c.emit(a)
		}
	}
}

// sequenced applies a request that is identified by (session, sequence). It returns nil if the request waits.
//
// The order of the checks is what keeps G4: whether a request is a duplicate is decided before anything that may have
// changed since the first copy of it, such as limits or holds.
func (c *Core) sequenced(r *dlmv1.Request) *dlmv1.Answer {
	s := c.sessions.byID[r.Session]
	if s == nil {
		return c.refuse(nil, r, c.sessions.gone(r.Session))
	}
	if r.Instance != s.instance {
		return c.refuse(s, r, fenced(s))
	}
	if r.Sequence == 0 {
		return c.refuse(s, r, refusal{reason: dlmv1.Reason_REASON_INVALID, detail: "sequences start at 1"})
	}
	digest := digestOp(r)
	known := s.window.find(r.Sequence)
	if known != nil && known.kind != slotGap {
		return c.duplicate(s, known, r, digest)
	}
	if known == nil && r.Sequence <= s.window.highest {
		return c.refuse(s, r, refusal{reason: dlmv1.Reason_REASON_TOO_OLD, detail: "this sequence was answered and is forgotten, or was given up before it came; it takes no effect any more"})
	}
	if _, isClose := r.Op.(*dlmv1.Request_Close); s.revoked && !isClose {
		return c.refuse(s, r, refusal{reason: dlmv1.Reason_REASON_SESSION_REVOKED, detail: s.why})
	}
	watermark, awaited := r.Watermark, r.Awaited
	bad := checkEnvelope(r)
	if bad.reason != dlmv1.Reason_REASON_OK {
		watermark, awaited = 0, nil // unusable: forget nothing
	}
	c.preserveSession(s)
	at, ok := s.window.admit(r.Sequence, watermark, awaited, s.waits.n)
	if !ok {
		a := refused(r, windowFull(s))
		return a // index 0: not the request's result, it may be sent again
	}

	c.renew(s)
	s.forgetUnblocked(c.now)
	if bad.reason == dlmv1.Reason_REASON_OK {
		bad = c.checkOp(r)
	}
	at.digest = digest
	var a *dlmv1.Answer
	if bad.reason != dlmv1.Reason_REASON_OK {
		a = c.refuse(s, r, bad)
	} else if a = c.execute(s, at, r); a == nil {
		return nil
	}
	if s.ended {
		a.SessionDeadline = 0
	} else {
		at.kind, at.answer = slotAnswered, a
	}
	return a
}

// duplicate answers a request whose sequence has a result or waits.
func (c *Core) duplicate(s *session, known *slot, r *dlmv1.Request, digest uint64) *dlmv1.Answer {
	switch {
	case known.digest != anyDigest && known.digest != digest:
		return c.refuse(s, r, reused())
	case known.kind == slotAnswered:
		return known.answer
	}
	c.notify(c.queuedNotice(known.waiter))
	return nil
}

// execute carries out a request that is new and well formed. It returns nil if the request waits.
func (c *Core) execute(s *session, at *slot, r *dlmv1.Request) *dlmv1.Answer {
	seq := r.Sequence
	switch op := r.Op.(type) {
	case *dlmv1.Request_KeepAlive:
		return c.keepAlive(s, seq)
	case *dlmv1.Request_Close:
		return c.closeSession(s, seq)
	case *dlmv1.Request_Acquire:
		return c.acquire(s, at, seq, op.Acquire)
	case *dlmv1.Request_Cancel:
		return c.cancel(s, seq, op.Cancel)
	case *dlmv1.Request_Release:
		return c.releaseOp(s, seq, op.Release)
	case *dlmv1.Request_Renew:
		return c.renewOp(s, seq, op.Renew)
	case *dlmv1.Request_Revoke:
		return c.revokeOp(s, seq, op.Revoke)
	case *dlmv1.Request_RevokeSession:
		return c.revokeSessionOp(s, seq, op.RevokeSession)
	case *dlmv1.Request_Append:
		return c.appendOp(s, seq, op.Append)
	case *dlmv1.Request_Delete:
		return c.deleteOp(s, seq, op.Delete)
	case *dlmv1.Request_SetLimits:
		return c.setLimits(s, seq, op.SetLimits)
	}
	panic(fmt.Sprintf("core: operation %T passed the checks and has no implementation", r.Op))
}

// Lookup answers a duplicate from applied state: with the recorded answer, or with the notice that the acquire waits.
// (nil, nil) means that the request must go through the log. Lookup gives no verdict that only the log may give: an
// unknown session or a forgotten sequence is none of its business.
func (c *Core) Lookup(req *dlmv1.Request) (answer *dlmv1.Answer, queued *dlmv1.Notice) {
	switch op := req.GetOp().(type) {
	case *dlmv1.Request_Open:
		s := c.sessions.byKey[toKey(op.Open.GetKey())]
		if s != nil && len(op.Open.GetKey()) == len(s.openKey) && s.openDigest == digestOpen(op.Open) {
			return s.openAnswer, nil
		}
		return nil, nil
	case *dlmv1.Request_Attach:
		return nil, nil
	}
	s := c.sessions.byID[req.GetSession()]
	if s == nil || s.instance != req.GetInstance() {
		return nil, nil
	}
	known := s.window.find(req.GetSequence())
	if known == nil || known.kind == slotGap || (known.digest != anyDigest && known.digest != digestOp(req)) {
		return nil, nil
	}
	if known.kind == slotAnswered {
		return known.answer, nil
	}
	return nil, c.queuedNotice(known.waiter)
}

// Now is the stamp of the last entry applied.
func (c *Core) Now() uint64 { return c.now }

// NextDeadline is the earliest stamp at which time alone changes something, if there is one. It is beyond Now.
func (c *Core) NextDeadline() (stamp uint64, ok bool) {
	d := c.deadlines.first()
	if d == nil {
		return 0, false
	}
	return d.at, true
}

// Limits are the limits in force. The caller must not change them; core replaces them as a whole.
func (c *Core) Limits() *dlmv1.Limits { return c.limits }

// ClusterID is the cluster's name.
func (c *Core) ClusterID() [16]byte { return c.clusterID }

// LastToken is the token minted last; FirstToken - 1 if there is none yet.
func (c *Core) LastToken() uint64 { return c.lastToken }

// NextFileID is the id of the next file to be created: every id below it was given out.
func (c *Core) NextFileID() uint64 { return c.lastFile + 1 }

// SessionInstance is the current instance of an open session.
func (c *Core) SessionInstance(session uint64) (instance uint64, ok bool) {
	s := c.sessions.byID[session]
	if s == nil {
		return 0, false
	}
	return s.instance, true
}
