package grpcserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/wire"
)

// bystander locks and unlocks all the time, and notes how long that took at most.
type bystander struct {
	stop  context.CancelFunc
	done  chan struct{}
	mu    sync.Mutex
	pairs int
	worst time.Duration
	err   error
}

func startBystander(t *testing.T, c dlmv1grpc.LocksClient) *bystander {
	ctx, stop := context.WithCancel(context.Background())
	b := &bystander{stop: stop, done: make(chan struct{})}
	session := must(t, c, open("z", 0)).GetSession()
	go func() {
		defer close(b.done)
		for seq := uint64(1); ctx.Err() == nil; seq += 2 {
			began := time.Now()
			a, err := c.Call(ctx, acquire(session, seq, "bystander", nil))
			if err == nil {
				_, err = c.Call(ctx, release(session, seq+1, "bystander", a.GetToken()))
			}
			b.mu.Lock()
			if err == nil {
				b.pairs++
				b.worst = max(b.worst, time.Since(began))
			} else if ctx.Err() == nil {
				b.err = err
			}
			b.mu.Unlock()
		}
	}()
	return b
}

// served fails the test if the bystander was not served all the while.
func (b *bystander) served(t *testing.T) {
	t.Helper()
	enough := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.pairs >= 3 || b.err != nil
	}
	for deadline := time.Now().Add(time.Minute); !enough() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	b.stop()
	<-b.done
	t.Logf("meanwhile somebody else locked and unlocked %d times, in at most %v", b.pairs, b.worst)
	if b.err != nil || b.pairs < 3 || b.worst > 20*time.Second {
		t.Errorf("somebody else was served %d times, in at most %v: %v", b.pairs, b.worst, b.err)
	}
}

// TestBadRequests sends one request of each bad kind. Each gets a reason that says what is allowed, at once.
func TestBadRequests(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	session := must(t, c, open("a", 0)).GetSession()
	held := must(t, c, acquire(session, 1, "held", nil)).GetToken()
	watch := startBystander(t, c)
	long := strings.Repeat("x", 300)
	seq := uint64(100)
	// in gives an operation a session and a fresh sequence.
	in := func(r *dlmv1.Request) *dlmv1.Request {
		seq++
		r.Session, r.Instance, r.Sequence, r.Watermark = session, 1, seq, seq
		return r
	}
	lock := func(a *dlmv1.Acquire) *dlmv1.Request {
		return in(&dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: a}})
	}
	write := func(file, lock string, token uint64, data []byte) *dlmv1.Request {
		return in(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: lock, Token: token, Data: data}}})
	}
	endless := ^uint64(0)
	for _, row := range []struct {
		kind string
		r    *dlmv1.Request
		code codes.Code
		says string
	}{
		{"empty name", lock(&dlmv1.Acquire{}), codes.InvalidArgument, "name cannot be empty"},
		{"name too long", lock(&dlmv1.Acquire{Lock: long}), codes.InvalidArgument, "300 bytes, at most 255"},
		{"control character", lock(&dlmv1.Acquire{Lock: "a\nb"}), codes.InvalidArgument, "control character U+000A"},
		{"dots between slashes", lock(&dlmv1.Acquire{Lock: "a/../b"}), codes.InvalidArgument, `holds ".."`},
		{"file name with dots", write("../etc", "held", held, []byte("x")), codes.InvalidArgument, `holds ".."`},
		{"no operation", &dlmv1.Request{Session: session, Instance: 1, Sequence: 50}, codes.InvalidArgument, "has no operation"},
		{"unknown mode", lock(&dlmv1.Acquire{Lock: "a", Mode: 77}), codes.Unimplemented, "mode 77 is not known"},
		{"endless wait", lock(&dlmv1.Acquire{Lock: "a", WaitNanos: &endless}), codes.InvalidArgument, "the wait timeout is more than 292 years, at most"},
		{"endless hold limit", lock(&dlmv1.Acquire{Lock: "a", HoldLimitNanos: endless}), codes.InvalidArgument, "the hold limit is"},
		{"endless lock-delay", lock(&dlmv1.Acquire{Lock: "a", LockDelayNanos: endless}), codes.InvalidArgument, "the lock-delay is"},
		{"TTL too short", open("b", time.Nanosecond), codes.InvalidArgument, "the TTL is 1ns, allowed are"},
		{"TTL too long", open("b", 1000*time.Hour), codes.InvalidArgument, "allowed are"},
		{"short key", &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: []byte("k")}}}, codes.InvalidArgument, "must have exactly 16"},
		{"large value", lock(&dlmv1.Acquire{Lock: "a", Value: make([]byte, 5000)}), codes.InvalidArgument, "at most 4096"},
		{"large append", write("f", "held", held, make([]byte, 1<<20+1)), codes.InvalidArgument, "at most 1048576"},
		{"message above every limit", write("f", "held", held, make([]byte, 5<<20)), codes.ResourceExhausted, "larger than max"},
		{"unknown session", acquire(1<<62, 1, "a", nil), codes.NotFound, "never was such a session"},
		{"session of a former cluster", acquire(999, 1, "a", nil), codes.NotFound, "ended long ago, or with the cluster that was here before"},
		{"unknown lock", in(release(0, 0, "nobody's", 5)), codes.FailedPrecondition, "not the session's current hold"},
		{"unknown file", in(&dlmv1.Request{Op: &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: "none", Lock: "held", Token: held}}}), codes.NotFound, ""},
		{"nothing to revoke", in(&dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "nobody's"}}}), codes.NotFound, "no hold of that lock"},
		{"stale token", write("f", "held", held-1, []byte("x")), codes.FailedPrecondition, "not the session's current hold"},
		{"sequence zero", acquire(session, 0, "a", nil), codes.InvalidArgument, "sequences start at 1"},
		{"sequence of the past", acquire(session, 2, "a", nil), codes.OutOfRange, "is forgotten"},
		{"sequence far ahead", acquire(session, 1<<40, "a", nil), codes.ResourceExhausted, "too far ahead"},
		{"watermark above the sequence", &dlmv1.Request{Session: session, Instance: 1, Sequence: seq + 1, Watermark: seq + 2, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}, codes.InvalidArgument, "is above the sequence"},
		{"wrong instance", &dlmv1.Request{Session: session, Instance: 0, Sequence: 60, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}, codes.FailedPrecondition, "another instance"},
		{"cancel of the future", in(&dlmv1.Request{Op: &dlmv1.Request_Cancel{Cancel: &dlmv1.Cancel{Sequence: 1 << 50}}}), codes.InvalidArgument, "can name sequences 1 to"},
		{"limits that contradict", in(&dlmv1.Request{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{Limits: &dlmv1.Limits{Window: 1 << 40}}}}), codes.InvalidArgument, "window is 1099511627776, allowed are 1 to 65536"},
		{"no limits", in(&dlmv1.Request{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{}}}), codes.InvalidArgument, "no limits were given"},
	} {
		began := time.Now()
		_, err := c.Call(timeout(t), row.r)
		st := status.Convert(err)
		t.Logf("%-28s %v: %s", row.kind, st.Code(), st.Message())
		if st.Code() != row.code || !strings.Contains(st.Message(), row.says) {
			t.Errorf("%s: %v, want %v and %q", row.kind, st, row.code, row.says)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: answered after %v", row.kind, took)
		}
	}
	// A sequence that is used again for something else. The first use is still awaited.
	first := acquire(session, seq+1, "reused", nil)
	first.Watermark = seq + 1
	must(t, c, first)
	again := acquire(session, seq+1, "another", nil)
	again.Watermark = seq + 1
	if st, a := refused(t, c, again); st.Code() != codes.InvalidArgument || a.GetReason() != dlmv1.Reason_REASON_SEQUENCE_REUSED {
		t.Errorf("a reused sequence: %v", st)
	}
	for kind, r := range map[string]*dlmv1.Read{
		"empty name":   getLock(""),
		"no operation": {},
		"huge offset":  {Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "none", Offset: endless, Bytes: endless}}},
	} {
		if a, err := c.Query(timeout(t), r); err == nil {
			t.Errorf("read, %s: %v", kind, a)
		}
	}
	watch.served(t)
}

// TestBadBytes sends what is no request at all: half a frame, garbage, text that is not UTF-8.
func TestBadBytes(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	watch := startBystander(t, c)
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, text := range map[string]string{
		"garbage":              strings.Repeat("\xde\xad\xbe\xef", 1000),
		"another protocol":     "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"half a preface":       preface[:9],
		"garbage after it":     preface + settings + strings.Repeat("\xff", 4000),
		"half a frame":         preface + settings + "\x00\x10\x00\x01\x04\x00\x00\x00\x01half",
		"a frame of 16 MB":     preface + settings + "\xff\xff\xff\x00\x00\x00\x00\x00\x01",
		"nothing, and silence": "",

		"half of our preface":                  wire.Preface[:2],
		"our preface, and silence":             wire.Preface,
		"half a header after our preface":      wire.Preface + "\x01\x00",
		"half a frame after our preface":       wire.Preface + "\x01\x00\x00\x01\x00half",
		"half a large frame, and silence":      wire.Preface + "\x01\x00\x40\x00\x00" + strings.Repeat("x", 1<<20),
		"a preface of ours of a later version": wire.Preface[:3] + "\x02" + wire.Preface[4:],
	} {
		conn := s.dialRaw() // it stays until the end
		if _, err := io.WriteString(conn, text); err != nil {
			t.Logf("%s: cut off while sending: %v", name, err)
		}
		if name == "garbage" || name == "garbage after it" {
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s: the connection stays open", name)
			}
		}
	}
	watch.served(t)
}

// TestBadMessages sends whole messages that are none, over both transports. Each is told why its stream ends.
func TestBadMessages(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	watch := startBystander(t, c)
	whole, err := proto.Marshal(&dlmv1.ClientFrame{Requests: []*dlmv1.Request{acquire(1, 1, "name", nil)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"not a message":  bytes.Repeat([]byte{0xff}, 100),
		"not UTF-8":      bytes.Replace(whole, []byte("name"), []byte("\xffame"), 1),
		"half a message": whole[:len(whole)-1],
	} {
		ends := map[string]error{"gRPC": endOverGRPC(t, cc, b)}
		if name != "not UTF-8" { // see TestBadText
			ends["bare"] = endOverBare(s, bareFrame(b))
		}
		for over, err := range ends {
			st := status.Convert(err)
			t.Logf("%-15s %s: %v", name, over, st)
			if st.Code() != codes.Internal || !strings.Contains(st.Message(), "unmarshal") {
				t.Errorf("%s over %s: %v", name, over, st)
			}
		}
	}
	for _, row := range []struct {
		kind string
		text string
		code codes.Code
		says string
	}{
		{"garbage", strings.Repeat("\xde\xad\xbe\xef", 100_000), codes.Internal, "a message of kind 222"},
		{"unknown kind", "\x07\x00\x00\x00\x00", codes.Internal, "a message of kind 7"},
		{"gRPC's preface after ours", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", codes.Internal, "a message of kind 80"},
		{"a frame of 16 MB", "\x01\x01\x00\x00\x00", codes.ResourceExhausted, "it has 16777216 bytes, at most 4259840 are allowed"},
		{"a frame of 4 GB", "\x01\xff\xff\xff\xff", codes.ResourceExhausted, "it has 4294967295 bytes"},
		{"a large frame that comes", bareFrame(make([]byte, 8<<20)), codes.ResourceExhausted, "it has 8388608 bytes"},
		{"a last word that is none", "\x02\x00\x00\x00\x01\xff", codes.Internal, "unmarshal"},
		{"a client's own last word", "\x02\x00\x00\x00\x07\x08\x0a\x12\x03why", codes.Aborted, "why"},
	} {
		st := status.Convert(endOverBare(s, row.text))
		t.Logf("%-28s %v: %s", row.kind, st.Code(), st.Message())
		if st.Code() != row.code || !strings.Contains(st.Message(), row.says) {
			t.Errorf("%s: %v, want %v and %q", row.kind, st, row.code, row.says)
		}
	}
	watch.served(t)
}

// TestBadText: over a bare connection a string that is not UTF-8 is a bad request like others, and has an answer; what shares the frame with
// it is not hurt. (gRPC's own codec makes an end of the stream.)
func TestBadText(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	session := must(t, c, open("a", 0)).GetSession()
	bare := overBare(s)
	bare.send(acquire(session, 1, "name\xff", nil), acquire(session, 2, "name", nil))
	answers := map[uint64]*dlmv1.Answer{}
	for len(answers) < 2 {
		for _, a := range bare.recv().GetAnswers() {
			answers[a.GetSequence()] = a
		}
	}
	if a := answers[1]; a.GetReason() != dlmv1.Reason_REASON_INVALID || !strings.Contains(a.GetDetail(), "is not valid UTF-8") {
		t.Errorf("what is not UTF-8: %v", a)
	}
	if a := answers[2]; a.GetReason() != dlmv1.Reason_REASON_OK {
		t.Errorf("what came with it: %v", a)
	}
}

// endOverGRPC sends bytes as a message, as they are, and returns what the stream ends with.
func endOverGRPC(t *testing.T, cc *grpc.ClientConn, b []byte) error {
	t.Helper()
	stream, err := cc.NewStream(timeout(t), &dlmv1grpc.Locks_ServiceDesc.Streams[0], dlmv1grpc.Locks_Stream_FullMethodName, rawCodec())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(b); err != nil {
		t.Fatal(err)
	}
	for err == nil { // after the hello
		var got []byte
		err = stream.RecvMsg(&got)
	}
	return err
}

// endOverBare sends bytes after the preface, reads meanwhile, and returns what the stream ends with.
func endOverBare(r *running, text string) error {
	r.t.Helper()
	b := r.bare()
	go func() { _, _ = io.WriteString(b.raw, text) }()
	return lastWord(b)
}

// bareFrame is a frame with these bytes as its message.
func bareFrame(b []byte) string {
	return string(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(b)))) + string(b)
}

// TestManyStreamsLeft opens more streams than there may be, and leaves them.
func TestManyStreamsLeft(t *testing.T) {
	const most = 1000
	s := start(t, Options{Dir: t.TempDir(), MaxStreams: most})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	watch := startBystander(t, c)
	refusals := 0
	var ccs []io.Closer
	for range 5 {
		c, cc := s.connect()
		ccs = append(ccs, cc)
		for range most / 4 {
			st, err := c.Stream(timeout(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := st.Recv(); status.Code(err) == codes.ResourceExhausted {
				refusals++
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if refusals != 5*most/4-most {
		t.Errorf("%d streams were refused, want %d", refusals, 5*most/4-most)
	}
	watch.served(t)
	for _, cc := range ccs {
		_ = cc.Close()
	}
	// They are gone: there is room again.
	deadline := time.Now().Add(time.Minute)
	for s.share.streams.Load() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d streams are still there", s.share.streams.Load())
		}
		time.Sleep(5 * time.Millisecond)
	}
	openStream(t, c)
	if !strings.Contains(fmt.Sprint(errManyStreams), "too many streams") {
		t.Error(errManyStreams)
	}
}
