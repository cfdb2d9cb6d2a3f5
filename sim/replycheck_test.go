package sim

import (
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

func withHold(token uint64) *dlmv1.Answer {
	return &dlmv1.Answer{Holds: []*dlmv1.Hold{{Lock: "a", Token: token}}}
}

// answered is an answer as it comes over the wire.
func answered(session, seq, index, token uint64) *dlmv1.Answer {
	return &dlmv1.Answer{Session: session, Sequence: seq, Index: index, Token: token}
}

func replies(logged ...*dlmv1.Answer) (*complaints, *replyChecker) {
	w := &complaints{}
	c := newReplyChecker(w)
	c.log = newLogChecker(w, c, testLog(w).limits, 0)
	for _, a := range logged {
		c.log.answers[a.GetIndex()] = append(c.log.answers[a.GetIndex()], a)
	}
	return w, c
}

func TestReplyChecker(t *testing.T) {
	a, b := answered(1, 1, 5, 10), answered(1, 1, 6, 11)
	w, c := replies(a, b)
	c.answer(a)
	c.answer(a)
	c.answer(&dlmv1.Answer{Session: 1, Sequence: 2, Reason: dlmv1.Reason_REASON_OVERLOADED, Detail: "busy"})
	if len(w.got) != 0 {
		t.Fatalf("complains %q of equal answers and a refusal", w.got)
	}
	for _, bad := range []struct {
		name, number string
		answer       *dlmv1.Answer
	}{
		{"two answers to one request", "G4", b},
		{"an answer that is not in the log", "G5", answered(2, 1, 7, 12)},
		{"a cancel that the log does not hold", "G5", &dlmv1.Answer{Session: 2, Sequence: 1, Index: 7, Reason: dlmv1.Reason_REASON_CANCELLED}},
		{"a fence that the log does not hold", "G5", &dlmv1.Answer{Session: 2, Sequence: 1, Index: 7, Instance: 2, Reason: dlmv1.Reason_REASON_INSTANCE_FENCED}},
		{"a grant before the log", "G4", answered(1, 3, 0, 12)},
		{"an expiry before the log", "G4", &dlmv1.Answer{Session: 1, Sequence: 3, Reason: dlmv1.Reason_REASON_SESSION_EXPIRED, Detail: "because"}},
		{"a refusal without a word", "G10", &dlmv1.Answer{Session: 1, Sequence: 3, Reason: dlmv1.Reason_REASON_OVERLOADED}},
	} {
		w, c := replies(a, b)
		c.answer(a)
		c.answer(bad.answer)
		if !w.first(bad.number) {
			t.Errorf("%s: complains %q, want %s", bad.name, w.got, bad.number)
		}
	}
}

func TestReplyCheckerComparesCopies(t *testing.T) {
	w, c := replies()
	send := func(r *dlmv1.Request) { c.request(time.Second, ask(1, 1, r, ok()).req) }
	send(release("a", 10))
	send(release("a", 10))
	if len(w.got) != 0 {
		t.Fatalf("complains %q of a retry", w.got)
	}
	send(release("a", 11))
	if !w.first("G4") {
		t.Errorf("complains %q of one sequence for two operations, want G4", w.got)
	}
}

// What had been answered when a call was made lies before it.
func TestReplyCheckerKnowsTheOrder(t *testing.T) {
	w, c := replies()
	k := &call{acked: 5, made: time.Second, asked: asked{op: write("a", 10)}}
	c.ended(k, answered(1, 1, 6, 0))
	if len(w.got) != 0 {
		t.Fatalf("complains %q of a call that took effect after what came before it", w.got)
	}
	c.ended(k, answered(1, 1, 5, 0))
	if !w.first("G6") {
		t.Errorf("complains %q of a call that took effect before it was made, want G6", w.got)
	}
}

func TestReadsAreCompared(t *testing.T) {
	holder := func(token uint64) *dlmv1.LockInfo {
		return &dlmv1.LockInfo{Lock: "a", Holders: []*dlmv1.Holder{{Session: 1, Token: token}}}
	}
	getLock := &dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "a"}}}
	getToken := &dlmv1.Read{Op: &dlmv1.Read_CheckToken{CheckToken: &dlmv1.CheckToken{Lock: "a", Token: 10}}}
	locks := &dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{}}}
	sessions := &dlmv1.Read{Op: &dlmv1.Read_ListSessions{ListSessions: &dlmv1.ListSessions{Limit: 2}}}
	files := &dlmv1.Read{Op: &dlmv1.Read_ListFiles{ListFiles: &dlmv1.ListFiles{}}}
	data := &dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "f"}}}
	two := []*dlmv1.SessionInfo{{Session: 1}, {Session: 2}}
	for _, c := range []struct {
		name  string
		read  *dlmv1.Read
		a     *dlmv1.ReadAnswer
		acked uint64
		wrong bool
	}{
		{"the holder", getLock, &dlmv1.ReadAnswer{Index: 2, Lock: holder(10)}, 2, false},
		{"the holder of an earlier position", getLock, &dlmv1.ReadAnswer{Index: 2, Lock: holder(10)}, 0, false},
		{"nobody", getLock, &dlmv1.ReadAnswer{Index: 2, Lock: &dlmv1.LockInfo{Lock: "a"}}, 2, true},
		{"another token", getLock, &dlmv1.ReadAnswer{Index: 2, Lock: holder(11)}, 2, true},
		{"what was answered before is not seen", getLock, &dlmv1.ReadAnswer{Index: 2, Lock: holder(10)}, 3, true},
		{"a current token", getToken, &dlmv1.ReadAnswer{Index: 2, Current: true}, 2, false},
		{"a current token that is said not to be", getToken, &dlmv1.ReadAnswer{Index: 2}, 2, true},
		{"an old token that is said to be current", getToken, &dlmv1.ReadAnswer{Index: 4, Current: true}, 2, true},
		{"the locks", locks, &dlmv1.ReadAnswer{Index: 3, Locks: []*dlmv1.LockInfo{holder(10)}}, 2, false},
		{"no locks", locks, &dlmv1.ReadAnswer{Index: 3}, 2, true},
		{"two sessions of three", sessions, &dlmv1.ReadAnswer{Index: 3, Sessions: two, More: true}, 2, false},
		{"one session of three", sessions, &dlmv1.ReadAnswer{Index: 3, Sessions: two[:1]}, 2, true},
		{"the bytes", data, &dlmv1.ReadAnswer{Index: 3, Data: []byte("xx")}, 2, false},
		{"the bytes of an earlier position", data, &dlmv1.ReadAnswer{Index: 2, Data: []byte("x")}, 2, false},
		{"too few bytes", data, &dlmv1.ReadAnswer{Index: 3, Data: []byte("x")}, 2, true},
		{"other bytes", data, &dlmv1.ReadAnswer{Index: 3, Data: []byte("xy")}, 2, true},
		{"no file", data, &dlmv1.ReadAnswer{Index: 3, Reason: dlmv1.Reason_REASON_NOT_FOUND}, 2, true},
		{"no file yet", data, &dlmv1.ReadAnswer{Index: 1, Reason: dlmv1.Reason_REASON_NOT_FOUND}, 1, false},
		{"a file list without its file", files, &dlmv1.ReadAnswer{Index: 3}, 2, true},
		{"a file with another checksum", files, &dlmv1.ReadAnswer{Index: 3, Files: []*dlmv1.FileInfo{{File: "f", Lock: "a", Length: 2}}}, 2, true},
	} {
		w := &complaints{}
		l := testLog(w)
		for i, e := range []entry{
			at(1, opening(1), opening(2), opening(3)),
			at(2, ask(1, 1, acquire("a"), token(10)), ask(1, 2, write("a", 10), placed(0, 1))),
			at(3, ask(1, 3, write("a", 10), placed(1, 2))),
			at(4, ask(1, 4, release("a", 10), ok())),
		} {
			l.enter(uint64(i+1), e)
		}
		l.read(c.read, c.a, c.acked)
		if w.first("G6") != c.wrong || !c.wrong && len(w.got) > 0 {
			t.Errorf("%s: complains %q", c.name, w.got)
		}
	}
}
