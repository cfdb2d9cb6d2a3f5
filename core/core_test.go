package core

import (
	"testing"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
)

// table is a lock table with a log position, and short ways to drive it.
type table struct {
	t     testing.TB
	c     *Core
	index uint64
	seq   map[uint64]uint64
	inst  map[uint64]uint64
}

func newTable(t testing.TB) *table {
	t.Helper()
	c, err := New(Config{ClusterID: [16]byte{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	return &table{t: t, c: c, index: 1, seq: map[uint64]uint64{}, inst: map[uint64]uint64{}}
}

// entry applies one entry, d nanoseconds later, and checks that nothing is broken.
func (x *table) entry(d uint64, requests ...*dlmv1.Request) Output {
	x.t.Helper()
	x.index++
	out := x.c.Apply(x.index, x.c.Now()+d, requests)
	if err := x.c.Check(); err != nil {
		x.t.Fatal(err)
	}
	return out
}

// one applies one request and returns its answer; nil if it waits.
func (x *table) one(r *dlmv1.Request) *dlmv1.Answer {
	x.t.Helper()
	out := x.entry(1, r)
	for _, a := range out.Answers {
		if a.Session == r.Session && a.Sequence == r.Sequence || r.Sequence == 0 {
			return a
		}
	}
	return nil
}

func (x *table) open(n byte) uint64 {
	x.t.Helper()
	key := make([]byte, 16)
	key[0] = n
	a := x.one(&dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key, Label: "t"}}})
	x.want(a, dlmv1.Reason_REASON_OK)
	x.inst[a.Session] = a.Instance
	return a.Session
}

// req is the session's next request.
func (x *table) req(s uint64, op any) *dlmv1.Request {
	x.seq[s]++
	r := &dlmv1.Request{Session: s, Instance: x.inst[s], Sequence: x.seq[s], Watermark: x.seq[s]}
	switch op := op.(type) {
	case *dlmv1.KeepAlive:
		r.Op = &dlmv1.Request_KeepAlive{KeepAlive: op}
	case *dlmv1.Close:
		r.Op = &dlmv1.Request_Close{Close: op}
	case *dlmv1.Acquire:
		r.Op = &dlmv1.Request_Acquire{Acquire: op}
	case *dlmv1.Cancel:
		r.Op = &dlmv1.Request_Cancel{Cancel: op}
	case *dlmv1.Release:
		r.Op = &dlmv1.Request_Release{Release: op}
	case *dlmv1.Renew:
		r.Op = &dlmv1.Request_Renew{Renew: op}
	case *dlmv1.Revoke:
		r.Op = &dlmv1.Request_Revoke{Revoke: op}
	case *dlmv1.RevokeSession:
		r.Op = &dlmv1.Request_RevokeSession{RevokeSession: op}
	case *dlmv1.Append:
		r.Op = &dlmv1.Request_Append{Append: op}
	case *dlmv1.Delete:
		r.Op = &dlmv1.Request_Delete{Delete: op}
	case *dlmv1.SetLimits:
		r.Op = &dlmv1.Request_SetLimits{SetLimits: op}
	}
	return r
}

func (x *table) do(s uint64, op any) *dlmv1.Answer { x.t.Helper(); return x.one(x.req(s, op)) }

func (x *table) want(a *dlmv1.Answer, reason dlmv1.Reason) {
	x.t.Helper()
	if a == nil {
		x.t.Fatalf("no answer, want %v", reason)
	}
	if a.Reason != reason {
		x.t.Fatalf("got %v (%s), want %v", a.Reason, a.Detail, reason)
	}
}

const (
	ok     = dlmv1.Reason_REASON_OK
	second = uint64(1e9)
)

func exclusive(lock string) *dlmv1.Acquire { return &dlmv1.Acquire{Lock: lock} }

func TestAcquireAndRelease(t *testing.T) {
	x := newTable(t)
	a, b := x.open(1), x.open(2)
	held := x.do(a, exclusive("l"))
	x.want(held, ok)
	x.want(x.do(a, exclusive("l")), dlmv1.Reason_REASON_ALREADY_HELD)
	try := exclusive("l")
	try.WaitNanos = proto.Uint64(0)
	x.want(x.do(b, try), dlmv1.Reason_REASON_NOT_ACQUIRED)
	if w := x.do(b, exclusive("l")); w != nil {
		t.Fatalf("got %v, want it to wait", w)
	}
	x.want(x.do(b, exclusive("l")), dlmv1.Reason_REASON_ALREADY_WAITING)
	out := x.entry(1, x.req(a, &dlmv1.Release{Lock: "l", Token: held.Token}))
	if len(out.Answers) != 2 || out.Answers[0].Session != b || out.Answers[0].Token <= held.Token {
		t.Fatalf("got %v, want the grant and the release", out.Answers)
	}
	again := x.do(a, &dlmv1.Release{Lock: "l", Token: held.Token})
	x.want(again, dlmv1.Reason_REASON_STALE_TOKEN)
	if again.Token != out.Answers[0].Token {
		t.Fatalf("the current token is %d, got %d", out.Answers[0].Token, again.Token)
	}
}

func TestDuplicateGetsTheSameAnswer(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	r := x.req(s, exclusive("l"))
	first := x.one(r)
	before := x.c.sessions.byID[s].deadline
	if second := x.one(r); second != first {
		t.Fatalf("got %v, want the very same as %v", second, first)
	}
	if x.c.sessions.byID[s].deadline != before {
		t.Fatal("a duplicate renewed the session")
	}
	if got, _ := x.c.Lookup(r); got != first {
		t.Fatalf("Lookup got %v", got)
	}
	other := proto.Clone(r).(*dlmv1.Request)
	other.GetAcquire().Lock = "m"
	x.want(x.one(other), dlmv1.Reason_REASON_SEQUENCE_REUSED)
	x.want(x.do(s, &dlmv1.KeepAlive{}), ok)
	x.want(x.one(r), dlmv1.Reason_REASON_TOO_OLD)
}

func TestWindow(t *testing.T) {
	x := newTable(t)
	x.want(x.do(x.open(2), &dlmv1.SetLimits{Limits: &dlmv1.Limits{Window: 4}}), ok)
	s := x.open(1)
	x.want(x.do(s, &dlmv1.KeepAlive{}), ok)
	at := func(seq, watermark uint64, awaited ...uint64) *dlmv1.Answer {
		r := x.req(s, &dlmv1.KeepAlive{})
		r.Sequence, r.Watermark, r.Awaited = seq, watermark, awaited
		return x.one(r)
	}
	x.want(at(6, 6), dlmv1.Reason_REASON_WINDOW_FULL) // 1 + 4 is the last
	x.want(at(5, 5, 3), ok)
	x.want(at(4, 4), dlmv1.Reason_REASON_TOO_OLD)
	x.want(at(3, 3), ok) // the gap that was listed
	x.want(at(8, 3), dlmv1.Reason_REASON_WINDOW_FULL)
	x.want(at(6, 3), ok) // 3 5 6
	x.want(at(7, 3), ok)
	x.want(at(8, 3), dlmv1.Reason_REASON_WINDOW_FULL)
	x.want(at(8, 8), ok)
	x.want(at(2, 9), dlmv1.Reason_REASON_TOO_OLD)
	x.want(at(9, 10), dlmv1.Reason_REASON_INVALID)
	x.want(at(9, 9), dlmv1.Reason_REASON_INVALID) // recorded
}

func TestExpiryAndLockDelay(t *testing.T) {
	x := newTable(t)
	a, b := x.open(1), x.open(2)
	op := exclusive("l")
	op.LockDelayNanos = 5 * second
	x.want(x.do(a, op), ok)
	x.entry(20 * second)
	if w := x.do(b, exclusive("l")); w != nil {
		t.Fatalf("got %v, want it to wait", w)
	}
	out := x.entry(10 * second)
	if len(out.Answers) != 0 || len(out.Notices) != 1 || out.Notices[0].Reason != dlmv1.Reason_REASON_SESSION_EXPIRED {
		t.Fatalf("got %v, want the loss alone", out)
	}
	x.want(x.do(a, &dlmv1.KeepAlive{}), dlmv1.Reason_REASON_SESSION_EXPIRED)
	out = x.entry(5 * second)
	if len(out.Answers) != 1 || out.Answers[0].Session != b {
		t.Fatalf("got %v, want the grant", out)
	}
}

func TestNothingIsGrantedToWhatIsDue(t *testing.T) {
	x := newTable(t)
	a, b, d := x.open(1), x.open(2), x.open(3)
	op := exclusive("l")
	op.HoldLimitNanos = second
	x.want(x.do(a, op), ok)
	op = exclusive("l")
	op.WaitNanos = proto.Uint64(2 * second)
	if x.do(b, op) != nil || x.do(d, exclusive("l")) != nil {
		t.Fatal("want both to wait")
	}
	out := x.entry(3 * second)
	if len(out.Answers) != 2 || out.Answers[0].Reason != dlmv1.Reason_REASON_WAIT_TIMEOUT || out.Answers[1].Session != d {
		t.Fatalf("got %v, want a timeout and a grant", out.Answers)
	}
}

func TestRevoke(t *testing.T) {
	x := newTable(t)
	a, b := x.open(1), x.open(2)
	held := x.do(a, exclusive("l"))
	x.want(x.do(b, &dlmv1.Revoke{Lock: "m"}), dlmv1.Reason_REASON_NOT_FOUND)
	revoked := x.do(b, &dlmv1.Revoke{Lock: "l", Why: "because"})
	x.want(revoked, ok)
	if len(revoked.Losses) != 1 || revoked.Losses[0].Token != held.Token {
		t.Fatalf("got %v", revoked.Losses)
	}
	x.want(x.do(a, &dlmv1.Append{File: "f", Lock: "l", Token: held.Token}), dlmv1.Reason_REASON_LOCK_REVOKED)
	if l := x.do(a, &dlmv1.KeepAlive{}).Losses; len(l) != 1 || l[0].Why != "because" {
		t.Fatalf("got %v", l)
	}
	if w := x.do(b, exclusive("l")); w != nil {
		t.Fatalf("got %v, want it to wait", w)
	}
	out := x.entry(1, x.req(a, &dlmv1.Release{Lock: "l", Token: held.Token}))
	if len(out.Answers) != 2 || out.Answers[0].Session != b || out.Answers[1].Reason != dlmv1.Reason_REASON_LOCK_REVOKED {
		t.Fatalf("got %v", out.Answers)
	}
	x.want(x.do(a, &dlmv1.RevokeSession{Session: b}), ok)
	x.want(x.do(b, &dlmv1.KeepAlive{}), dlmv1.Reason_REASON_SESSION_REVOKED)
	x.want(x.do(b, &dlmv1.Close{}), ok)
	if x.c.locks.order.n != 0 {
		t.Fatal("the lock is not free")
	}
}

func TestCancel(t *testing.T) {
	x := newTable(t)
	a, b := x.open(1), x.open(2)
	x.want(x.do(a, exclusive("l")), ok)
	x.do(b, exclusive("l"))
	out := x.entry(1, x.req(b, &dlmv1.Cancel{Sequence: 1}))
	if len(out.Answers) != 2 || out.Answers[0].Sequence != 1 || out.Answers[1].Cancelled != dlmv1.Reason_REASON_CANCELLED {
		t.Fatalf("got %v", out.Answers)
	}
	late := x.req(b, exclusive("m")) // 3, overtaken by its cancel
	over := x.req(b, &dlmv1.Cancel{Sequence: 3})
	over.Watermark = 3
	x.want(x.one(over), ok)
	x.want(x.one(late), dlmv1.Reason_REASON_CANCELLED)
	x.want(x.do(b, &dlmv1.Cancel{Sequence: 9}), dlmv1.Reason_REASON_INVALID)
}

func TestAttachFencesOff(t *testing.T) {
	x := newTable(t)
	a, b := x.open(1), x.open(2)
	x.want(x.do(a, exclusive("l")), ok)
	x.want(x.do(b, exclusive("m")), ok)
	x.do(b, exclusive("l"))
	attach := &dlmv1.Request{Session: b, Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: make([]byte, 16), Replaces: 1}}}
	out := x.entry(1, attach)
	if len(out.Answers) != 2 || out.Answers[0].Reason != dlmv1.Reason_REASON_INSTANCE_FENCED {
		t.Fatalf("got %v", out.Answers)
	}
	got := out.Answers[1]
	if got.Instance != 2 || got.NextSequence != 3 || len(got.Holds) != 1 || got.Holds[0].Lock != "m" {
		t.Fatalf("got %v", got)
	}
	x.want(x.do(b, &dlmv1.KeepAlive{}), dlmv1.Reason_REASON_INSTANCE_FENCED)
	before := x.c.Snapshot()
	if again := x.one(attach); again.Instance != 2 || len(before) != len(x.c.Snapshot()) {
		t.Fatalf("got %v", again)
	}
}

func TestFiles(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	held := x.do(s, exclusive("l"))
	data := make([]byte, 3*FileBlock/2)
	for i, n := range []uint64{0, uint64(len(data)), 2 * uint64(len(data))} {
		a := x.do(s, &dlmv1.Append{File: "f", Lock: "l", Token: held.Token, Data: data})
		x.want(a, ok)
		if a.Offset != n || a.Length != n+uint64(len(data)) {
			t.Fatalf("append %d: got %v", i, a)
		}
	}
	var whole FileRecord
	whole.grow(make([]byte, 3*len(data)))
	f, _ := x.c.File("f")
	if f.CRC != whole.CRC || f.TailCRC != whole.TailCRC || f.Length != whole.Length {
		t.Fatalf("got %+v, want the checksums of %+v", f, whole)
	}
	x.want(x.do(s, exclusive("m")), ok)
	x.want(x.do(s, &dlmv1.Append{File: "f", Lock: "m", Token: held.Token + 1}), dlmv1.Reason_REASON_WRONG_LOCK)
	x.want(x.do(s, &dlmv1.Delete{File: "f", Lock: "l", Token: 7}), dlmv1.Reason_REASON_STALE_TOKEN)
	x.want(x.do(s, &dlmv1.Delete{File: "f", Lock: "l", Token: held.Token}), ok)
	if _, there := x.c.File("f"); there || x.c.NextFileID() != 2 {
		t.Fatal("the file is still there")
	}
}

func TestUnknownFields(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	r := x.req(s, exclusive("l"))
	r.GetAcquire().ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1})
	if a := x.c.Validate(r); a == nil || a.Reason != dlmv1.Reason_REASON_UNSUPPORTED || a.Index != 0 {
		t.Fatalf("got %v", a)
	}
	x.want(x.one(r), dlmv1.Reason_REASON_UNSUPPORTED)
	x.want(x.one(&dlmv1.Request{Session: s, Instance: 1, Sequence: 2}), dlmv1.Reason_REASON_INVALID)
}

// A window that is made smaller is so for sessions opened later: those who were there await what they were allowed to, and
// renew (L4).
func TestLoweredWindowKeepsKeepAlives(t *testing.T) {
	x := newTable(t)
	holder, waiter := x.open(1), x.open(2)
	for i := range 20 {
		name := string(rune('a' + i))
		x.want(x.do(holder, exclusive(name)), ok)
		r := x.req(waiter, exclusive(name))
		r.Watermark = 1
		x.entry(0, r)
	}
	x.want(x.do(holder, &dlmv1.SetLimits{Limits: &dlmv1.Limits{Window: 8}}), ok)
	r := x.req(waiter, &dlmv1.KeepAlive{})
	r.Watermark = 1
	if a := x.c.Validate(r); a != nil {
		t.Fatalf("the keep-alive is refused: %v", a)
	}
	x.want(x.one(r), ok)
	late := x.open(3)
	far := x.req(late, &dlmv1.KeepAlive{})
	far.Sequence = 9
	x.want(x.one(far), dlmv1.Reason_REASON_WINDOW_FULL)
}
