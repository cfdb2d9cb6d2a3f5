package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// Recorded histories of the log: small ones, by hand, that the log checker must accept or reject. Sessions 1, 2 and 3 are
// open from position 1 on, each with a TTL of 1000.

// complaints collects what a checker reports.
type complaints struct{ got []string }

func (c *complaints) checked(string) {}
func (c *complaints) fail(number, format string, args ...any) {
	c.got = append(c.got, number+" "+fmt.Sprintf(format, args...))
}

// first says whether the first complaint is about the number; the world reports no other.
func (c *complaints) first(number string) bool {
	return len(c.got) > 0 && strings.HasPrefix(c.got[0], number+" ")
}

type (
	// step is something in a log entry: a request and its own answer (or the notice that it waits), or an answer to somebody
	// who waits. Answers come out in the order of the steps.
	step struct {
		req    *dlmv1.Request
		answer *dlmv1.Answer
		notice *dlmv1.Notice
	}
	entry struct {
		stamp uint64
		steps []step
	}
)

func at(stamp uint64, steps ...step) entry { return entry{stamp, steps} }

// ask is a request with its answer.
func ask(session, seq uint64, r *dlmv1.Request, a *dlmv1.Answer) step {
	r.Session, r.Instance, r.Sequence = session, max(r.Instance, 1), seq
	if r.Watermark == 0 {
		r.Watermark = seq
	}
	a.Session, a.Sequence = session, seq
	return step{req: r, answer: a}
}

// told is an answer to a request of an earlier entry, or of an earlier step.
func told(session, seq uint64, a *dlmv1.Answer) step {
	a.Session, a.Sequence = session, seq
	return step{answer: a}
}

// queue is an acquire that waits.
func queue(session, seq uint64, r *dlmv1.Request) step {
	s := ask(session, seq, r, &dlmv1.Answer{})
	return step{req: s.req, notice: &dlmv1.Notice{Kind: dlmv1.Notice_KIND_QUEUED, Session: session, Sequence: seq}}
}

// hint is a notice.
func hint(n *dlmv1.Notice) step { return step{notice: n} }

func ok() *dlmv1.Answer                        { return &dlmv1.Answer{} }
func token(n uint64) *dlmv1.Answer             { return &dlmv1.Answer{Token: n} }
func no(r dlmv1.Reason) *dlmv1.Answer          { return &dlmv1.Answer{Reason: r} }
func lost(t uint64) []*dlmv1.Loss              { return []*dlmv1.Loss{{Lock: "a", Token: t}} }
func placed(from, to uint64) (a *dlmv1.Answer) { return &dlmv1.Answer{Offset: from, Length: to} }

func acquire(lock string) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: lock}}}
}

func with(r *dlmv1.Request, change func(*dlmv1.Acquire)) *dlmv1.Request {
	change(r.GetAcquire())
	return r
}

func sharing(a *dlmv1.Acquire)  { a.Mode = dlmv1.Mode_MODE_SHARED }
func trying(a *dlmv1.Acquire)   { a.WaitNanos = new(uint64) }
func limited(a *dlmv1.Acquire)  { a.HoldLimitNanos = 100 }
func delaying(a *dlmv1.Acquire) { a.LockDelayNanos = 50 }
func waiting(a *dlmv1.Acquire)  { a.WaitNanos = new(uint64); *a.WaitNanos = 100 }

func release(lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: lock, Token: token}}}
}

func renew(lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: lock, Token: token}}}
}

func keepAlive() *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}
}

func cancel(seq uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Cancel{Cancel: &dlmv1.Cancel{Sequence: seq}}}
}

// awaiting is a request whose client still awaits every sequence from one up.
func awaiting(from uint64, r *dlmv1.Request) *dlmv1.Request {
	r.Watermark = from
	return r
}

func revoke(lock string, now bool) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: lock, Now: now}}}
}

func write(lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "f", Lock: lock, Token: token, Data: []byte("x")}}}
}

func remove(lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: "f", Lock: lock, Token: token}}}
}

func setLimits(l *dlmv1.Limits) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{Limits: l}}}
}

func opening(id uint64) step {
	key := make([]byte, 16)
	key[0] = byte(id)
	return step{
		req:    &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key, TtlNanos: 1000}}},
		answer: &dlmv1.Answer{Session: id, Key: key, Instance: 1, TtlNanos: 1000},
	}
}

func takingOver(session, replaces uint64, a *dlmv1.Answer) step {
	key := make([]byte, 16)
	key[0], key[1] = byte(session), byte(replaces)
	a.Session, a.Key, a.Instance = session, key, replaces+1
	return step{req: &dlmv1.Request{Session: session, Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: key, Replaces: replaces}}}, answer: a}
}

// sentAll is a wire on which everything was sent at once.
type sentAll struct{}

func (sentAll) sent(r *dlmv1.Request) (time.Duration, uint64, bool) { return 0, hashOp(r), true }

func testLog(w watcher) *logChecker {
	limits := core.DefaultLimits()
	limits.MinTtlNanos = 1
	return newLogChecker(w, sentAll{}, limits, 0)
}

// enter adds an entry. What its answers leave out is filled in: their position and stamp, the deadline that a renewal at the
// stamp gives, a word with each refusal.
func (l *logChecker) enter(index uint64, e entry) {
	var reqs []*dlmv1.Request
	var out core.Output
	for _, s := range e.steps {
		if s.req != nil {
			reqs = append(reqs, s.req)
		}
		if s.notice != nil {
			out.Notices = append(out.Notices, s.notice)
		}
		a := s.answer
		if a == nil {
			continue
		}
		if a.Index == 0 {
			a.Index = index
		}
		if a.SessionDeadline == 0 {
			a.SessionDeadline = e.stamp + 1000
		}
		if a.Reason != 0 {
			a.Detail = "because"
		}
		out.Answers = append(out.Answers, a)
	}
	l.entry(time.Duration(e.stamp), index, e.stamp, hashEntry(e.stamp, reqs, out), reqs, out)
}

func play(entries []entry) *complaints {
	c := &complaints{}
	l := testLog(c)
	for i, e := range append([]entry{at(1, opening(1), opening(2), opening(3))}, entries...) {
		l.enter(uint64(i+1), e)
	}
	return c
}

// Each of these histories is as it should be.
func TestLogCheckerAccepts(t *testing.T) {
	const (
		revoked = dlmv1.Reason_REASON_LOCK_REVOKED
		expired = dlmv1.Reason_REASON_SESSION_EXPIRED
		stale   = dlmv1.Reason_REASON_STALE_TOKEN
		tooOld  = dlmv1.Reason_REASON_TOO_OLD
	)
	for name, entries := range map[string][]entry{
		"a queue of two": {
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))), at(4, queue(3, 1, acquire("a"))),
			at(5, told(2, 1, &dlmv1.Answer{Token: 11, SessionDeadline: 1003}), ask(1, 2, release("a", 10), ok())),
		},
		"appends, a delete, a new life of the file": {
			at(2, ask(1, 1, acquire("a"), token(10)), ask(1, 2, write("a", 10), placed(0, 1)), ask(1, 3, write("a", 10), placed(1, 2))),
			at(3, ask(1, 4, remove("a", 10), ok()), ask(1, 5, write("a", 10), placed(0, 1))),
		},
		"a hold limit, renewed, then passed, with a lock-delay": {
			at(2, ask(1, 1, with(with(acquire("a"), limited), delaying), &dlmv1.Answer{Token: 10, HoldDeadline: 102})),
			at(50, ask(1, 2, renew("a", 10), &dlmv1.Answer{Token: 10, HoldDeadline: 150})),
			at(150, queue(2, 1, acquire("a")), ask(1, 3, release("a", 10), no(dlmv1.Reason_REASON_HOLD_LIMIT))),
			at(200, told(2, 1, &dlmv1.Answer{Token: 11, SessionDeadline: 1150})),
		},
		"a revoke that is told, confirmed, and passed on": {
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))),
			at(4, ask(3, 1, revoke("a", false), &dlmv1.Answer{Losses: lost(10)})),
			at(5, ask(1, 2, keepAlive(), &dlmv1.Answer{Losses: lost(10)})),
			at(6, told(2, 1, &dlmv1.Answer{Token: 11, SessionDeadline: 1003}), ask(1, 3, release("a", 10), no(revoked))),
			at(7, ask(1, 4, keepAlive(), ok())),
		},
		"a revoke at once that is told until it is confirmed, and another until the lease as of then has ended": {
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(3, 1, revoke("a", true), &dlmv1.Answer{Losses: lost(10)})),
			at(4, ask(1, 2, keepAlive(), &dlmv1.Answer{Losses: lost(10)})),
			at(6, ask(1, 3, release("a", 10), no(revoked))), at(7, ask(1, 4, keepAlive(), ok())),
			at(8, ask(1, 5, acquire("a"), token(11))), at(9, ask(3, 2, revoke("a", true), &dlmv1.Answer{Losses: lost(11)})),
			at(1007, ask(1, 6, keepAlive(), &dlmv1.Answer{Losses: lost(11)})), at(1008, ask(1, 7, keepAlive(), ok())),
		},
		"a cancel of one that waits, and one of an acquire that has not come": {
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))),
			at(4, told(2, 1, no(dlmv1.Reason_REASON_CANCELLED)), ask(2, 2, cancel(1), &dlmv1.Answer{Cancelled: dlmv1.Reason_REASON_CANCELLED})),
			at(5, ask(3, 2, awaiting(1, cancel(1)), &dlmv1.Answer{Cancelled: dlmv1.Reason_REASON_CANCELLED})),
			at(6, ask(3, 1, acquire("b"), &dlmv1.Answer{Reason: dlmv1.Reason_REASON_CANCELLED, Index: 5})),
		},
		"a cancel that its client's release overtook, refused each time that it comes": {
			at(2, ask(1, 1, acquire("a"), token(10))),
			at(3, ask(1, 3, release("a", 10), ok()), ask(1, 2, cancel(1), no(tooOld))),
			at(4, ask(1, 2, cancel(1), &dlmv1.Answer{Reason: tooOld, SessionDeadline: 1003})),
		},
		"a cancel whose result is that its acquire is too old, and that is too old itself later": {
			at(2, ask(1, 1, acquire("a"), token(10)), ask(1, 2, keepAlive(), ok()), ask(1, 3, cancel(1), no(tooOld))),
			at(3, ask(1, 3, cancel(1), &dlmv1.Answer{Reason: tooOld, Index: 2, SessionDeadline: 1002})),
			at(4, ask(1, 4, keepAlive(), ok())),
			at(5, ask(1, 3, cancel(1), &dlmv1.Answer{Reason: tooOld, SessionDeadline: 1004})),
		},
		"what is awaited comes after a later one": {
			at(2, ask(1, 3, awaiting(2, keepAlive()), ok())), at(3, ask(1, 2, acquire("a"), token(10))),
			at(4, ask(1, 1, acquire("b"), &dlmv1.Answer{Reason: tooOld, SessionDeadline: 1003})),
		},
		"a session that expires and lets a waiter in": {
			at(2, ask(1, 1, acquire("a"), token(10))), at(900, queue(2, 1, acquire("a"))),
			at(1002, told(2, 1, &dlmv1.Answer{Token: 11, SessionDeadline: 1900})),
			at(1003, ask(1, 2, release("a", 10), no(expired))),
		},
		"a takeover": {
			at(2, ask(1, 1, acquire("a"), token(10))),
			at(3, takingOver(1, 1, &dlmv1.Answer{Holds: []*dlmv1.Hold{{Lock: "a", Token: 10}}})),
			at(4, ask(1, 2, release("a", 10), &dlmv1.Answer{Reason: dlmv1.Reason_REASON_INSTANCE_FENCED, Instance: 2})),
		},
		"readers together, a try that fails, a token that was released": {
			at(2, ask(1, 1, with(acquire("a"), sharing), token(10)), ask(2, 1, with(acquire("a"), sharing), token(11))),
			at(3, ask(3, 1, with(acquire("a"), trying), no(dlmv1.Reason_REASON_NOT_ACQUIRED))),
			at(4, ask(1, 2, release("a", 10), ok()), ask(1, 3, release("a", 10), &dlmv1.Answer{Reason: stale, Token: 11})),
		},
		"a limit that is lowered below what there is": {
			at(2, ask(1, 1, acquire("a"), token(10)), ask(1, 2, acquire("b"), token(11))),
			at(3, ask(2, 1, setLimits(&dlmv1.Limits{Locks: 1}), ok())),
			at(4, ask(2, 2, acquire("c"), &dlmv1.Answer{Reason: dlmv1.Reason_REASON_LIMIT, Limit: 1}), ask(1, 3, release("b", 11), ok())),
		},
	} {
		if c := play(entries); len(c.got) > 0 {
			t.Errorf("%s: complains %q", name, c.got)
		}
	}
}

// Each of these histories breaks one promise, and the first complaint is about that one.
func TestLogCheckerRejects(t *testing.T) {
	const (
		tooOld    = dlmv1.Reason_REASON_TOO_OLD
		expired   = dlmv1.Reason_REASON_SESSION_EXPIRED
		timeout   = dlmv1.Reason_REASON_WAIT_TIMEOUT
		cancelled = dlmv1.Reason_REASON_CANCELLED
		stale     = dlmv1.Reason_REASON_STALE_TOKEN
	)
	for _, c := range []struct {
		name, number string
		entries      []entry
	}{
		{"two exclusive holders", "G1", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(2, 1, acquire("a"), token(11))),
		}},
		{"a shared holder beside an exclusive one", "G1", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(2, 1, with(acquire("a"), sharing), token(11))),
		}},
		{"a grant in a lock-delay", "G1", []entry{
			at(2, ask(1, 1, with(acquire("a"), delaying), token(10))),
			at(3, ask(3, 1, revoke("a", true), &dlmv1.Answer{Losses: lost(10)})),
			at(4, ask(2, 1, acquire("a"), token(11))),
		}},
		{"a grant while a revoked holder may still believe", "G1", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(3, 1, revoke("a", false), &dlmv1.Answer{Losses: lost(10)})),
			at(4, ask(2, 1, acquire("a"), token(11))),
		}},
		{"a renewal that hides a revoke", "G2", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(3, 1, revoke("a", false), &dlmv1.Answer{Losses: lost(10)})),
			at(4, ask(1, 2, keepAlive(), ok())),
		}},
		{"a renewal that hides a revoke at once", "G2", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(3, 1, revoke("a", true), &dlmv1.Answer{Losses: lost(10)})),
			at(4, ask(2, 1, acquire("a"), token(11))), at(5, ask(1, 2, keepAlive(), ok())),
		}},
		{"a token twice", "G3", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(2, 1, acquire("b"), token(10))),
		}},
		{"a token that goes back", "G3", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(2, 1, acquire("b"), token(9))),
		}},
		{"a session id twice", "G3", []entry{at(2, func() step { s := opening(4); s.answer.Session = 3; return s }())}},
		{"an append under a released token", "G3", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(1, 2, release("a", 10), ok())),
			at(4, ask(1, 3, write("a", 10), placed(0, 1))),
		}},
		{"an append under a shared hold", "G3", []entry{
			at(2, ask(1, 1, with(acquire("a"), sharing), token(10)), ask(1, 2, write("a", 10), placed(0, 1))),
		}},
		{"an append to another lock's file", "G3", []entry{
			at(2, ask(1, 1, acquire("a"), token(10)), ask(1, 2, write("a", 10), placed(0, 1))),
			at(3, ask(2, 1, acquire("b"), token(11)), ask(2, 2, write("b", 11), placed(1, 2))),
		}},
		{"a release of another's token", "G3", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(2, 1, release("a", 10), ok())),
		}},
		{"a renewal of a revoked token", "G3", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(3, 1, revoke("a", false), &dlmv1.Answer{Losses: lost(10)})),
			at(4, ask(1, 2, renew("a", 10), token(10))),
		}},
		{"a duplicate that takes effect again", "G4", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(1, 1, acquire("a"), token(11))),
		}},
		{"an awaited answer that is forgotten", "G4", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(1, 1, acquire("a"), no(tooOld))),
		}},
		{"a cancel's own result, forgotten though it is awaited", "G4", []entry{
			at(2, ask(1, 1, acquire("a"), token(10)), ask(1, 2, keepAlive(), ok()), ask(1, 3, cancel(1), no(tooOld))),
			at(3, ask(1, 3, cancel(1), no(tooOld))),
		}},
		{"an acquire that is awaited no longer and is granted", "G4", []entry{
			at(2, ask(1, 2, keepAlive(), ok())), at(3, ask(1, 1, acquire("a"), token(10))),
		}},
		{"an acquire that is awaited no longer and waits", "G4", []entry{
			at(2, ask(1, 2, keepAlive(), ok()), ask(2, 1, acquire("a"), token(10))), at(3, queue(1, 1, acquire("a"))),
		}},
		{"a cancel that is awaited no longer and takes effect", "G4", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(1, 3, release("a", 10), ok())),
			at(4, ask(1, 2, cancel(1), &dlmv1.Answer{Cancelled: cancelled})),
		}},
		{"a request that is awaited and refused as too old", "G6", []entry{
			at(2, ask(1, 2, awaiting(1, keepAlive()), ok())), at(3, ask(1, 1, acquire("a"), no(tooOld))),
		}},
		{"a cancel that renews and is refused, though its acquire may still come", "G6", []entry{
			at(2, ask(1, 2, awaiting(1, cancel(1)), no(tooOld))),
		}},
		{"a cancel that remembers an acquire that is awaited no longer", "G6", []entry{
			at(2, ask(1, 2, keepAlive(), ok())), at(3, ask(1, 3, cancel(1), &dlmv1.Answer{Cancelled: cancelled})),
		}},
		{"a waiting acquire that is forgotten", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))), at(4, ask(2, 2, keepAlive(), ok())),
			at(5, ask(2, 1, acquire("a"), no(tooOld))),
		}},
		{"two appends at one offset", "G4", []entry{
			at(2, ask(1, 1, acquire("a"), token(10)), ask(1, 2, write("a", 10), placed(0, 1)), ask(1, 3, write("a", 10), placed(0, 1))),
		}},
		{"an answer that nobody waits for", "G4", []entry{at(2, told(1, 7, token(10)))}},
		{"a lock that was free and not given", "G6", []entry{
			at(2, ask(1, 1, with(acquire("a"), trying), no(dlmv1.Reason_REASON_NOT_ACQUIRED))),
		}},
		{"a good token that is said to be stale", "G6", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(1, 2, release("a", 10), &dlmv1.Answer{Reason: stale, Token: 10})),
		}},
		{"a loss that is given the wrong reason", "G6", []entry{
			at(2, ask(1, 1, with(acquire("a"), limited), &dlmv1.Answer{Token: 10, HoldDeadline: 102})),
			at(200, ask(1, 2, release("a", 10), no(stale))),
		}},
		{"a revoke that misses a holder", "G6", []entry{
			at(2, ask(1, 1, with(acquire("a"), sharing), token(10)), ask(2, 1, with(acquire("a"), sharing), token(11))),
			at(3, ask(3, 1, revoke("a", false), &dlmv1.Answer{Losses: lost(10)})),
		}},
		{"a new request of a live session that is refused", "G6", []entry{at(2, ask(1, 1, keepAlive(), no(tooOld)))}},
		{"a later waiter first", "G7", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))), at(4, queue(3, 1, acquire("a"))),
			at(5, told(3, 1, token(11)), ask(1, 2, release("a", 10), ok())),
		}},
		{"a newcomer before a waiter", "G7", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))),
			at(5, ask(1, 2, release("a", 10), ok()), ask(3, 1, acquire("a"), token(11))),
		}},
		{"a shared one past a queued exclusive one", "G7", []entry{
			at(2, ask(1, 1, with(acquire("a"), sharing), token(10))), at(3, queue(2, 1, acquire("a"))),
			at(4, ask(3, 1, with(acquire("a"), sharing), token(11))),
		}},
		{"a grant to a session that has expired", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))), at(1100, told(2, 1, token(11))),
		}},
		{"a waiter whose session has expired", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))), at(1100),
		}},
		{"a request of a session that has expired", "G8", []entry{at(1100, ask(1, 1, acquire("a"), token(10)))}},
		{"a request of the former instance", "G8", []entry{
			at(2, takingOver(1, 1, ok())), at(3, ask(1, 1, acquire("a"), token(10))),
		}},
		{"an attach that forgets a hold", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, takingOver(1, 1, ok())),
		}},
		{"a cancel that hides a grant", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, ask(1, 2, cancel(1), &dlmv1.Answer{Cancelled: cancelled})),
		}},
		{"a cancel that leaves its acquire in the queue", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))),
			at(4, ask(2, 2, cancel(1), &dlmv1.Answer{Cancelled: cancelled})),
		}},
		{"an acquire that comes after its cancel and is granted", "G8", []entry{
			at(2, ask(1, 2, awaiting(1, cancel(1)), &dlmv1.Answer{Cancelled: cancelled})), at(3, ask(1, 1, acquire("a"), token(10))),
		}},
		{"a wait that times out early", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, with(acquire("a"), waiting))), at(102, told(2, 1, no(timeout))),
		}},
		{"a wait that does not time out", "G8", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, with(acquire("a"), waiting))), at(103),
		}},
		{"a session that expires early", "G9", []entry{at(900, ask(2, 1, acquire("a"), no(expired)))}},
		{"a session that is told early that it has expired", "G9", []entry{
			at(900, hint(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_SESSION_LOST, Session: 2, Reason: expired})),
		}},
		{"a hold that is told that it is lost", "G9", []entry{
			at(2, ask(1, 1, acquire("a"), token(10)),
				hint(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_LOCK_LOST, Session: 1, Lock: "a", Token: 10, Reason: dlmv1.Reason_REASON_HOLD_LIMIT})),
		}},
		{"a deadline that no renewal gives", "G9", []entry{at(2, ask(1, 1, acquire("a"), &dlmv1.Answer{Token: 10, SessionDeadline: 1001}))}},
		{"a hold limit that is told wrongly", "G9", []entry{at(2, ask(1, 1, with(acquire("a"), limited), &dlmv1.Answer{Token: 10, HoldDeadline: 99}))}},
		{"cluster time that goes back", "G9", []entry{at(5), at(4)}},
		{"one lock too many", "G10", []entry{
			at(2, ask(2, 1, setLimits(&dlmv1.Limits{Locks: 1}), ok()), ask(1, 1, acquire("a"), token(10)), ask(1, 2, acquire("b"), token(11))),
		}},
		{"one waiter too many", "G10", []entry{
			at(2, ask(2, 1, setLimits(&dlmv1.Limits{WaitersPerLock: 1}), ok()), ask(1, 1, acquire("a"), token(10))),
			at(3, queue(2, 2, acquire("a")), queue(3, 1, acquire("a"))),
		}},
		{"one session too many", "G10", []entry{at(2, ask(2, 1, setLimits(&dlmv1.Limits{Sessions: 3}), ok()), opening(4))}},
		{"one byte too many", "G10", []entry{
			at(2, ask(2, 1, setLimits(&dlmv1.Limits{FileBytes: 1}), ok()), ask(1, 1, acquire("a"), token(10)),
				ask(1, 2, write("a", 10), placed(0, 1)), ask(1, 3, write("a", 10), placed(1, 2))),
		}},
		{"a name that is too long", "G10", []entry{at(2, ask(1, 1, acquire(strings.Repeat("a", 256)), token(10)))}},
		{"a limit that is not reached", "G10", []entry{at(2, ask(1, 1, acquire("a"), &dlmv1.Answer{Reason: dlmv1.Reason_REASON_LIMIT, Limit: 1}))}},
		{"a limit that is not named", "G10", []entry{
			at(2, ask(2, 1, setLimits(&dlmv1.Limits{HoldsPerSession: 1}), ok()), ask(1, 1, acquire("a"), token(10)),
				ask(1, 2, acquire("b"), no(dlmv1.Reason_REASON_LIMIT))),
		}},
		{"a release that wakes nobody", "L3", []entry{
			at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))), at(5, ask(1, 2, release("a", 10), ok())),
		}},
		{"a lock-delay that ends and wakes nobody", "L3", []entry{
			at(2, ask(1, 1, with(acquire("a"), delaying), token(10))), at(3, queue(2, 1, acquire("a"))),
			at(4, ask(3, 1, revoke("a", true), &dlmv1.Answer{Losses: lost(10)})), at(54),
		}},
	} {
		if got := play(c.entries); !got.first(c.number) {
			t.Errorf("%s: complains %q, want %s first", c.name, got.got, c.number)
		}
	}
}

// An entry that comes again after a restart has to bring about the same.
func TestLogCheckerComparesReplays(t *testing.T) {
	c := &complaints{}
	l := testLog(c)
	l.enter(1, at(1, opening(1)))
	l.enter(1, at(1, opening(1)))
	if len(c.got) != 0 {
		t.Fatalf("complains %q of an equal replay", c.got)
	}
	l.enter(1, at(2, opening(1)))
	if !c.first("G5") {
		t.Fatalf("complains %q of another stamp, want G5", c.got)
	}
}

// forged is a wire on which something else was sent than lies in the log.
type forged struct{}

func (forged) sent(*dlmv1.Request) (time.Duration, uint64, bool) { return 0, 1, true }

func TestLogCheckerWantsWhatWasSent(t *testing.T) {
	c := &complaints{}
	l := testLog(c)
	l.wire = forged{}
	l.enter(1, at(1, opening(1)))
	if !c.first("G4") {
		t.Fatalf("complains %q of a request that nobody has sent, want G4", c.got)
	}
}

// A session must live in true time too.
func TestLogCheckerMeasuresTrueTime(t *testing.T) {
	c := &complaints{}
	l := testLog(c)
	open := opening(1)
	open.req.GetOpen().TtlNanos, open.answer.TtlNanos = uint64(time.Second), uint64(time.Second)
	open.answer.SessionDeadline = uint64(time.Second) + 1
	l.enter(1, at(1, open))
	l.entry(time.Second/2, 2, uint64(2*time.Second), 0, nil, core.Output{})
	if !c.first("G9") {
		t.Fatalf("complains %q of a stamp that outran true time, want G9", c.got)
	}
}
