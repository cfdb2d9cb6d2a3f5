package core

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
)

func TestListLocksInPages(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	var want []string
	for i := range 50 {
		name := fmt.Sprintf("p/%02d", i*37%50)
		x.want(x.do(s, exclusive(name)), ok)
		want = append(want, name)
	}
	x.want(x.do(s, exclusive("q")), ok)
	slices.Sort(want)
	var got []string
	after := ""
	for more := true; more; {
		a := x.c.Read(&dlmv1.Read{Id: 7, Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{Prefix: "p/", After: after, Limit: 9}}})
		if a.Reason != ok || a.Id != 7 || len(a.Locks) == 0 || len(a.Locks) > 9 {
			t.Fatalf("got %v", a)
		}
		for _, l := range a.Locks {
			got = append(got, l.Lock)
		}
		after, more = got[len(got)-1], a.More
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if a := x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{Limit: 1001}}}); a.Reason != dlmv1.Reason_REASON_INVALID || a.Limit != 1000 {
		t.Fatalf("got %v", a)
	}
}

func TestListLocksEndsAPageThatGrowsLarge(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	for i := range 600 {
		op := exclusive(fmt.Sprint(i))
		op.Value = make([]byte, 4096)
		x.want(x.do(s, op), ok)
	}
	a := x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{Limit: 1000}}})
	if n := len(a.Locks); !a.More || n < 200 || n > 300 {
		t.Fatalf("got %d locks, more %v", n, a.More)
	}
}

func TestOtherReads(t *testing.T) {
	x := newTable(t)
	a, b := x.open(1), x.open(2)
	held := x.do(a, exclusive("l"))
	x.do(b, exclusive("l"))
	x.want(x.do(a, &dlmv1.Append{File: "f", Lock: "l", Token: held.Token, Data: []byte("x")}), ok)

	l := x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "l"}}}).Lock
	if len(l.Holders) != 1 || l.Holders[0].Token != held.Token || len(l.Waiters) != 1 || l.Waiters[0].Session != b {
		t.Fatalf("got %v", l)
	}
	if l := x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "free"}}}).Lock; len(l.Holders)+len(l.Waiters) != 0 {
		t.Fatalf("got %v", l)
	}
	check := func(token uint64) *dlmv1.ReadAnswer {
		return x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_CheckToken{CheckToken: &dlmv1.CheckToken{Lock: "l", Token: token}}})
	}
	if got := check(held.Token); !got.Current || got.Lock != nil {
		t.Fatalf("got %v", got)
	}
	if got := check(held.Token + 1); got.Current || got.Lock == nil {
		t.Fatalf("got %v", got)
	}
	list := func(after, limit uint64) *dlmv1.ReadAnswer {
		return x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_ListSessions{ListSessions: &dlmv1.ListSessions{After: after, Limit: limit}}})
	}
	if got := list(0, 1); len(got.Sessions) != 1 || !got.More || got.Sessions[0].Holds != 1 {
		t.Fatalf("got %v", got)
	}
	if got := list(a, 1); len(got.Sessions) != 1 || got.More || got.Sessions[0].Waits != 1 {
		t.Fatalf("got %v", got)
	}
	if got := list(99, 0); len(got.Sessions) != 0 || got.More {
		t.Fatalf("got %v", got)
	}
	if got := x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_ListFiles{ListFiles: &dlmv1.ListFiles{}}}).Files; len(got) != 1 || got[0].Length != 1 {
		t.Fatalf("got %v", got)
	}
	if got := x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "g"}}}); got.Reason != dlmv1.Reason_REASON_NOT_FOUND {
		t.Fatalf("got %v", got)
	}
	if got := x.c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).Status; got.Waiters != 1 || got.Locks != 1 || got.Sessions != 2 {
		t.Fatalf("got %v", got)
	}
	if got := x.c.Read(&dlmv1.Read{}); got.Reason != dlmv1.Reason_REASON_UNSUPPORTED {
		t.Fatalf("got %v", got)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "a b/c", "größe", "a..b", "...", "a/..b/.c", strings.Repeat("x", 255)} {
		if err := CheckName("lock", name, 255); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "a\nb", "\x00", "a\x7f", "\xff", "\u0085", "..", "../a", "a/..", "a/../b", strings.Repeat("x", 256)} {
		if err := CheckName("lock", name, 255); err == nil {
			t.Errorf("%q passed", name)
		}
	}
}

func TestNilOperationsAreInvalid(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	for _, r := range []*dlmv1.Request{
		{},
		{Op: &dlmv1.Request_Acquire{}},
		{Op: &dlmv1.Request_Cancel{}},
		{Op: &dlmv1.Request_SetLimits{}},
		{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{}}},
		{Op: &dlmv1.Request_Open{}},
		{Op: &dlmv1.Request_Attach{}},
	} {
		x.seq[s]++
		r.Session, r.Instance, r.Sequence = s, 1, x.seq[s]
		if a := x.c.Validate(r); a == nil || a.Reason != dlmv1.Reason_REASON_INVALID {
			t.Errorf("%T: Validate got %v", r.Op, a)
		}
		if out := x.entry(1, r); len(out.Answers) != 1 || out.Answers[0].Reason != dlmv1.Reason_REASON_INVALID {
			t.Errorf("%T: got %v", r.Op, out.Answers)
		}
	}
}

// The stamp is far from its end for centuries, but a wrong one must not make deadlines wrap around into the past.
func TestEndOfTime(t *testing.T) {
	x := newTable(t)
	x.entry(math.MaxUint64 - second)
	a, b := x.open(1), x.open(2)
	op := exclusive("l")
	op.HoldLimitNanos, op.LockDelayNanos = 60*second, second
	x.want(x.do(a, op), ok)
	x.do(b, exclusive("l"))
	if at, there := x.c.NextDeadline(); !there || at != math.MaxUint64 {
		t.Fatalf("the next deadline is %d", at)
	}
	x.entry(math.MaxUint64 - x.c.Now())
	if n := x.c.sessions.order.n + x.c.locks.order.n; n != 0 {
		t.Fatalf("%d sessions and locks are left", n)
	}
}
