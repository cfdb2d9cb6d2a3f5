package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// complaints collects what a checker reports.
type complaints struct{ got []string }

func (c *complaints) checked(string) {}
func (c *complaints) fail(number, format string, args ...any) {
	c.got = append(c.got, number+" "+fmt.Sprintf(format, args...))
}

// entry is one hand-made log entry.
type entry struct {
	stamp uint64
	reqs  []*dlmv1.Request
	out   core.Output
}

type answers = []*dlmv1.Answer

func ask(session, seq uint64, r *dlmv1.Request) *dlmv1.Request {
	r.Session, r.Instance, r.Sequence, r.Watermark = session, 1, seq, seq
	return r
}

func opened(id uint64) (*dlmv1.Request, *dlmv1.Answer) {
	key := []byte{byte(id)}
	return &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key}}},
		&dlmv1.Answer{Session: id, Index: 1, Key: key, Instance: 1, TtlNanos: 1000}
}

func acquire(lock string, shared bool) *dlmv1.Request {
	a := &dlmv1.Acquire{Lock: lock}
	if shared {
		a.Mode = dlmv1.Mode_MODE_SHARED
	}
	return &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: a}}
}

func release(lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: lock, Token: token}}}
}

func appended(lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "f", Lock: lock, Token: token, Data: []byte("x")}}}
}

func granted(session, seq, index, token uint64) *dlmv1.Answer {
	return &dlmv1.Answer{Session: session, Sequence: seq, Index: index, Token: token}
}

func reason(session, seq, index uint64, r dlmv1.Reason) *dlmv1.Answer {
	return &dlmv1.Answer{Session: session, Sequence: seq, Index: index, Reason: r}
}

func waits(session, seq uint64) *dlmv1.Notice {
	return &dlmv1.Notice{Kind: dlmv1.Notice_KIND_QUEUED, Session: session, Sequence: seq}
}

// begin opens the sessions 1, 2 and 3, each with a TTL of 1000.
func begin() entry {
	e := entry{stamp: 1}
	for id := uint64(1); id <= 3; id++ {
		r, a := opened(id)
		e.reqs, e.out.Answers = append(e.reqs, r), append(e.out.Answers, a)
	}
	return e
}

func play(entries []entry) []string {
	c := &complaints{}
	l := newLogChecker(c, 0)
	for i, e := range append([]entry{begin()}, entries...) {
		fill(e)
		l.entry(time.Duration(e.stamp), uint64(i+1), e.stamp, e.reqs, e.out, func(uint64, uint64) time.Duration { return 0 })
	}
	return c.got
}

type reqs = []*dlmv1.Request

// fill gives the answers of new requests the session deadline that they renewed: none of these histories is about it but
// the one that sets a wrong one.
func fill(e entry) {
	for _, a := range e.out.Answers {
		if a.SessionDeadline == 0 {
			a.SessionDeadline = e.stamp + 1000
		}
	}
}

func TestLogCheckerRejects(t *testing.T) {
	const (
		tooOld  = dlmv1.Reason_REASON_TOO_OLD
		expired = dlmv1.Reason_REASON_SESSION_EXPIRED
		timeout = dlmv1.Reason_REASON_WAIT_TIMEOUT
	)
	first := entry{2, reqs{ask(1, 1, acquire("a", false))}, core.Output{Answers: answers{granted(1, 1, 2, 10)}}}
	second := entry{3, reqs{ask(2, 1, acquire("a", false))}, core.Output{Notices: []*dlmv1.Notice{waits(2, 1)}}}
	third := entry{4, reqs{ask(3, 1, acquire("a", false))}, core.Output{Notices: []*dlmv1.Notice{waits(3, 1)}}}
	for _, c := range []struct {
		name, number string // number "" = nothing to complain of
		entries      []entry
	}{
		{"a good history", "", []entry{first, second, third, {
			5,
			reqs{ask(1, 2, release("a", 10))},
			core.Output{Answers: answers{granted(2, 1, 5, 11), reason(1, 2, 5, 0)}},
		}}},
		{"two exclusive holders", "G1", []entry{first, {
			3, reqs{ask(2, 1, acquire("a", false))}, core.Output{Answers: answers{granted(2, 1, 3, 11)}},
		}}},
		{"a shared holder beside an exclusive one", "G1", []entry{first, {
			3, reqs{ask(2, 1, acquire("a", true))}, core.Output{Answers: answers{granted(2, 1, 3, 11)}},
		}}},
		{"a token twice", "G3", []entry{first, {
			3, reqs{ask(2, 1, acquire("b", false))}, core.Output{Answers: answers{granted(2, 1, 3, 10)}},
		}}},
		{"an append under a released token", "G3", []entry{
			first,
			{3, reqs{ask(1, 2, release("a", 10))}, core.Output{Answers: answers{reason(1, 2, 3, 0)}}},
			{4, reqs{ask(1, 3, appended("a", 10))}, core.Output{Answers: answers{reason(1, 3, 4, 0)}}},
		}},
		{"a release of another's token", "G3", []entry{first, {
			3, reqs{ask(2, 1, release("a", 10))}, core.Output{Answers: answers{reason(2, 1, 3, 0)}},
		}}},
		{"a duplicate that takes effect again", "G4", []entry{first, {
			3, reqs{ask(1, 1, acquire("a", false))}, core.Output{Answers: answers{granted(1, 1, 3, 11)}},
		}}},
		{"an awaited answer that is forgotten", "G4", []entry{first, {
			3, reqs{ask(1, 1, acquire("a", false))}, core.Output{Answers: answers{reason(1, 1, 3, tooOld)}},
		}}},
		{"two appends at one offset", "G4", []entry{
			first,
			{3, reqs{ask(1, 2, appended("a", 10))}, core.Output{Answers: answers{reason(1, 2, 3, 0)}}},
			{4, reqs{ask(1, 3, appended("a", 10))}, core.Output{Answers: answers{reason(1, 3, 4, 0)}}},
		}},
		{"a later waiter first", "G7", []entry{first, second, third, {
			5,
			reqs{ask(1, 2, release("a", 10))},
			core.Output{Answers: answers{granted(3, 1, 5, 11), reason(1, 2, 5, 0)}},
		}}},
		{"a newcomer before a waiter", "G7", []entry{first, second, {
			5,
			reqs{ask(1, 2, release("a", 10)), ask(3, 1, acquire("a", false))},
			core.Output{Answers: answers{reason(1, 2, 5, 0), granted(3, 1, 5, 11)}},
		}}},
		{"a grant to a session that has expired", "G8", []entry{first, second, {
			1100,
			nil,
			core.Output{Answers: answers{granted(2, 1, 4, 11)}},
		}}},
		{"a waiter whose session has expired", "G8", []entry{first, second, {1100, nil, core.Output{}}}},
		{"a session that expires early", "G9", []entry{first, second, {
			900, nil, core.Output{Answers: answers{reason(2, 1, 4, expired)}},
		}}},
		{"a deadline that no renewal gives", "G9", []entry{{
			2,
			reqs{ask(1, 1, acquire("a", false))},
			core.Output{Answers: answers{{Session: 1, Sequence: 1, Index: 2, Token: 10, SessionDeadline: 1001}}},
		}}},
		{"a wait that times out early", "G8", []entry{first, second, {
			900, nil, core.Output{Answers: answers{reason(2, 1, 4, timeout)}},
		}}},
		{"a release that wakes nobody", "L3", []entry{first, second, {
			5, reqs{ask(1, 2, release("a", 10))}, core.Output{Answers: answers{reason(1, 2, 5, 0)}},
		}}},
	} {
		got := play(c.entries)
		switch {
		case c.number == "" && len(got) > 0:
			t.Errorf("%s: complains %q", c.name, got)
		case c.number != "" && (len(got) == 0 || !contain(got, c.number)):
			t.Errorf("%s: complains %q, want %s", c.name, got, c.number)
		}
	}
}

func contain(got []string, number string) bool {
	for _, g := range got {
		if strings.HasPrefix(g, number+" ") {
			return true
		}
	}
	return false
}

// An entry that comes again after a restart has to bring about the same.
func TestLogCheckerComparesReplays(t *testing.T) {
	c := &complaints{}
	l := newLogChecker(c, 0)
	sent := func(uint64, uint64) time.Duration { return 0 }
	e := begin()
	l.entry(1, 1, 1, e.reqs, e.out, sent)
	l.entry(1, 1, 1, e.reqs, e.out, sent)
	if len(c.got) != 0 {
		t.Fatalf("complains %q of an equal replay", c.got)
	}
	l.entry(1, 1, 2, e.reqs, e.out, sent)
	if !contain(c.got, "G5") {
		t.Fatalf("complains %q of another stamp, want G5", c.got)
	}
}

// A session must live in true time too.
func TestLogCheckerMeasuresTrueTime(t *testing.T) {
	c := &complaints{}
	l := newLogChecker(c, 0)
	sent := func(uint64, uint64) time.Duration { return 0 }
	r, a := opened(1)
	a.TtlNanos = uint64(time.Second)
	l.entry(1, 1, 1, reqs{r}, core.Output{Answers: answers{a}}, sent)
	l.entry(time.Second/2, 2, uint64(2*time.Second), nil, core.Output{}, sent)
	if !contain(c.got, "G9") {
		t.Fatalf("complains %q of a stamp that outran true time, want G9", c.got)
	}
}

func TestLeaseCheckerRejects(t *testing.T) {
	yes := func(*claim) bool { return true }
	nobody := func(*claim) bool { return false }
	for _, c := range []struct {
		name         string
		a, b         claim
		exempt       func(*claim) bool
		wantComplain bool
	}{
		{"two exclusive", claim{lock: "a", token: 1}, claim{client: 1, lock: "a", token: 2}, nobody, true},
		{"shared and exclusive", claim{lock: "a", token: 1, shared: true}, claim{client: 1, lock: "a", token: 2}, nobody, true},
		{"both shared", claim{lock: "a", token: 1, shared: true}, claim{client: 1, lock: "a", token: 2, shared: true}, nobody, false},
		{"two locks", claim{lock: "a", token: 1}, claim{client: 1, lock: "b", token: 2}, nobody, false},
		{"revoked at once", claim{lock: "a", token: 1}, claim{client: 1, lock: "a", token: 2}, func(k *claim) bool { return k.token == 1 }, false},
	} {
		w := &complaints{}
		l := &leaseChecker{w: w}
		l.add(&c.a)
		l.add(&c.b)
		l.check(yes, c.exempt)
		if contain(w.got, "G2") != c.wantComplain {
			t.Errorf("%s: complains %q", c.name, w.got)
		}
	}
	w := &complaints{}
	l := &leaseChecker{w: w}
	l.add(&claim{lock: "a", token: 1})
	l.check(func(*claim) bool { return false }, nobody)
	l.check(yes, nobody)
	if !contain(w.got, "G2") {
		t.Errorf("a hold that comes back after it had lapsed: complains %q, want G2", w.got)
	}
}

func TestReplyCheckerRejects(t *testing.T) {
	w := &complaints{}
	log := newLogChecker(w, 0)
	a, b := granted(1, 1, 5, 10), granted(1, 1, 6, 11)
	log.answers[5], log.answers[6] = answers{a}, answers{b}
	c := newReplyChecker(w, log)
	c.answer(a)
	c.answer(a)
	if len(w.got) != 0 {
		t.Fatalf("complains %q of equal answers", w.got)
	}
	c.answer(b)
	if !contain(w.got, "G4") {
		t.Errorf("complains %q of two answers to one request, want G4", w.got)
	}
	c.answer(granted(2, 1, 7, 12))
	if !contain(w.got, "G5") {
		t.Errorf("complains %q of an answer that is not in the log, want G5", w.got)
	}
}

func TestReadsAreCompared(t *testing.T) {
	w := &complaints{}
	l := newLogChecker(w, 0)
	l.lock("a").history = []lockVersion{{index: 2, tokens: []uint64{10}}}
	l.files = []*logFile{{name: "f", data: []byte("abc"), born: 1}}
	get := &dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "a"}}}
	file := &dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "f"}}}
	l.read(w, get, &dlmv1.ReadAnswer{Index: 2, Lock: &dlmv1.LockInfo{Holders: []*dlmv1.Holder{{Token: 10}}}}, 2)
	l.read(w, file, &dlmv1.ReadAnswer{Index: 2, Data: []byte("abc")}, 2)
	if len(w.got) != 0 {
		t.Fatalf("complains %q of right reads", w.got)
	}
	l.read(w, get, &dlmv1.ReadAnswer{Index: 2, Lock: &dlmv1.LockInfo{}}, 2)
	l.read(w, get, &dlmv1.ReadAnswer{Index: 2, Lock: &dlmv1.LockInfo{Holders: []*dlmv1.Holder{{Token: 10}}}}, 3)
	l.read(w, file, &dlmv1.ReadAnswer{Index: 2, Data: []byte("abX")}, 2)
	if len(w.got) != 3 {
		t.Errorf("complains %q of a wrong holder, a stale read and wrong bytes, want all three", w.got)
	}
}

func TestClockStaysWithinItsRate(t *testing.T) {
	c := clock{localAt: time.Hour, ppm: 9_999}
	for _, at := range []time.Duration{0, 1, time.Second, 3 * time.Hour} {
		d := c.read(at) - time.Hour
		if d < at || float64(d) > float64(at)*1.01 {
			t.Errorf("after %v the clock has counted %v", at, d)
		}
		if got := c.when(c.read(at)); at < 900*time.Second && got > at {
			t.Errorf("the clock reads %v at %v, but says at %v", c.read(at), at, got)
		}
	}
}
