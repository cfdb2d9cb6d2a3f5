package core

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
)

// What is refused says in plain words and units what is wrong and what is allowed.
func TestRefusalsSpeakPlainly(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	open := func(ttl time.Duration, label string) *dlmv1.Request {
		return &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: make([]byte, 16), TtlNanos: uint64(ttl), Label: label}}}
	}
	acquire := func(a *dlmv1.Acquire) *dlmv1.Request {
		return &dlmv1.Request{Sequence: 1, Op: &dlmv1.Request_Acquire{Acquire: a}}
	}
	limits := func(l *dlmv1.Limits) *dlmv1.Request {
		return &dlmv1.Request{Sequence: 1, Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{Limits: l}}}
	}
	long, forever := strings.Repeat("x", 256), ^uint64(0)
	for _, row := range []struct {
		r    *dlmv1.Request
		want string
	}{
		{open(time.Millisecond, ""), "the TTL is 1ms, allowed are 500ms to 24h0m0s"},
		{open(48*time.Hour, ""), "the TTL is 48h0m0s, allowed are 500ms to 24h0m0s"},
		{open(0, long+"x"), "the label has 257 bytes, at most 256 are allowed"},
		{acquire(&dlmv1.Acquire{}), "a lock's name cannot be empty"},
		{acquire(&dlmv1.Acquire{Lock: long}), "the lock's name has 256 bytes, at most 255 are allowed"},
		{acquire(&dlmv1.Acquire{Lock: "a\n"}), `the lock's name "a\n" holds the control character U+000A`},
		{acquire(&dlmv1.Acquire{Lock: "a\xff"}), `the lock's name "a\xff" is not valid UTF-8`},
		{acquire(&dlmv1.Acquire{Lock: "a", WaitNanos: &forever}), "the wait timeout is more than 292 years, at most 8760h0m0s is allowed"},
		{acquire(&dlmv1.Acquire{Lock: "a", HoldLimitNanos: uint64(366 * 24 * time.Hour)}), "the hold limit is 8784h0m0s, at most 8760h0m0s is allowed"},
		{acquire(&dlmv1.Acquire{Lock: "a", LockDelayNanos: uint64(2 * time.Hour)}), "the lock-delay is 2h0m0s, at most 1h0m0s is allowed"},
		{acquire(&dlmv1.Acquire{Lock: "a", Value: make([]byte, 4097)}), "the length of the value in bytes is 4097, at most 4096 is allowed"},
		{acquire(&dlmv1.Acquire{Lock: "a", Mode: 7}), "mode 7 is not known"},
		{limits(&dlmv1.Limits{MinTtlNanos: uint64(time.Hour)}), "default-ttl is 30s, outside min-ttl 1h0m0s to max-ttl 24h0m0s"},
		{limits(&dlmv1.Limits{DriftPpm: 1_000_000}), "drift-ppm is 1000000, allowed are 1 to 500000"},
		{limits(nil), "no limits were given"},
	} {
		a := x.c.Validate(row.r)
		if a == nil { // a limit that may be raised before an earlier copy comes: for the log to refuse
			x.seq[s]++
			row.r.Session, row.r.Instance, row.r.Sequence = s, 1, x.seq[s]
			a = x.one(row.r)
		}
		if a.GetDetail() != row.want || a.GetReason() == dlmv1.Reason_REASON_OK {
			t.Errorf("got %v %q, want %q", a.GetReason(), a.GetDetail(), row.want)
		}
	}
}

// REASON_INVALID is final. So what a raised limit would allow is refused in the log, where no copy comes to it later.
func TestLimitsAreJudgedInTheLog(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	x.want(x.do(s, &dlmv1.SetLimits{Limits: &dlmv1.Limits{ValueBytes: 1}}), ok)
	op := exclusive("l")
	op.Value = []byte("too long")
	r := x.req(s, op)
	if a := x.c.Validate(r); a != nil {
		t.Fatalf("refused before the log: %v", a)
	}
	first := x.one(r)
	x.want(first, dlmv1.Reason_REASON_INVALID)
	raise := x.req(s, &dlmv1.SetLimits{Limits: &dlmv1.Limits{ValueBytes: 100}})
	raise.Watermark = r.Sequence
	x.want(x.one(raise), ok)
	if again := x.one(r); !proto.Equal(again, first) {
		t.Fatalf("a copy got %v, the first %v", again, first)
	}
}
