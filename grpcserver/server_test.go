package grpcserver

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/wal/osfs"
)

func TestUnaryCalls(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()

	opened := must(t, c, open("a", 0))
	got := must(t, c, acquire(opened.GetSession(), 1, "x", nil))
	if got.GetToken() == 0 || got.GetIndex() == 0 || got.GetSessionDeadline() <= got.GetStamp() {
		t.Fatalf("acquire: %v", got)
	}
	other := must(t, c, open("b", 0))
	try := uint64(0)
	st, a := refused(t, c, acquire(other.GetSession(), 1, "x", &try))
	if st.Code() != codes.Aborted || a.GetReason() != dlmv1.Reason_REASON_NOT_ACQUIRED || a.GetIndex() == 0 {
		t.Errorf("try: %v %v", st, a)
	}
	read, err := c.Query(timeout(t), getLock("x"))
	if err != nil || len(read.GetLock().GetHolders()) != 1 || read.GetLock().GetHolders()[0].GetToken() != got.GetToken() {
		t.Errorf("read: %v %v", read, err)
	}
	must(t, c, release(opened.GetSession(), 2, "x", got.GetToken()))
	if st, _ = refused(t, c, release(opened.GetSession(), 3, "x", got.GetToken())); st.Code() != codes.FailedPrecondition {
		t.Errorf("second release: %v", st)
	}
	if st, a = refused(t, c, &dlmv1.Request{Session: 1}); st.Code() != codes.InvalidArgument || a.GetIndex() != 0 {
		t.Errorf("a request without an operation: %v %v", st, a)
	}
	_, err = c.Query(timeout(t), &dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "none"}}})
	if st = status.Convert(err); st.Code() != codes.NotFound || len(st.Details()) != 1 {
		t.Errorf("reading a missing file: %v", err)
	}
}

func TestStreamPushesGrants(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()

	one, two := openStream(t, c), openStream(t, c)
	one.send(open("a", 0))
	two.send(open("b", 0))
	first, second := one.answer().GetSession(), two.answer().GetSession()
	one.send(acquire(first, 1, "x", nil))
	held := one.answer()
	two.send(acquire(second, 1, "x", nil))
	if f := two.recv(); len(f.GetNotices()) != 1 || f.GetNotices()[0].GetKind() != dlmv1.Notice_KIND_QUEUED {
		t.Fatalf("got %v, want the notice that it waits", f)
	}
	if f := one.recv(); len(f.GetNotices()) != 1 || f.GetNotices()[0].GetKind() != dlmv1.Notice_KIND_CONTENDED {
		t.Fatalf("got %v, want the notice that somebody waits", f)
	}
	one.send(release(first, 2, "x", held.GetToken()))
	granted := two.answer()
	if released := one.answer(); granted.GetToken() <= held.GetToken() || granted.GetIndex() != released.GetIndex() {
		t.Errorf("released by %v, granted by %v: want one log entry", released, granted)
	}
	// Half closed, and with an answer to come: the stream ends by itself after it.
	two.send(release(second, 2, "x", granted.GetToken()))
	if err := two.CloseSend(); err != nil {
		t.Fatal(err)
	}
	two.answer()
	if f, err := two.Recv(); f != nil || err == nil || err.Error() != "EOF" {
		t.Errorf("after the last answer: %v %v", f, err)
	}
}

// Requests that arrive while the disk works on one share the next log entry.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &faultyFS{FS: osfs.New()}
		s := startInMemory(t, Options{Dir: t.TempDir(), FS: disk})
		c, cc := s.connect()
		defer cc.Close()
		session := must(t, c, open("a", 0)).GetSession()
		synced := disk.holdSyncs()
		const requests = 32
		entries := make(chan uint64, requests)
		for i := range uint64(requests) {
			go func() { entries <- must(t, c, acquire(session, i+1, fmt.Sprintf("lock-%d", i), nil)).GetIndex() }()
			synctest.Wait() // it has come as far as it can: the first one to the disk
		}
		synced()
		count := map[uint64]int{}
		for range requests {
			count[<-entries]++
		}
		if len(count) != 2 {
			t.Errorf("%d requests, of which one was on its way to the disk, took %d log entries, want 2: %v", requests, len(count), count)
		}
		s.stop()
	})
}

// Of many requests in flight none is lost or mixed up.
func TestManyInFlight(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()

	const workers, rounds = 32, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			st := openStream(t, c)
			name := fmt.Sprintf("lock-%d", w)
			st.send(open(string(rune('A'+w)), 0))
			session := st.answer().GetSession()
			for i := range uint64(rounds) {
				st.send(acquire(session, 2*i+1, name, nil))
				got := st.answer()
				if got.GetReason() != dlmv1.Reason_REASON_OK || got.GetSequence() != 2*i+1 || got.GetSession() != session {
					t.Errorf("acquire: %v", got)
					return
				}
				st.send(release(session, 2*i+2, name, got.GetToken()))
				if got := st.answer(); got.GetReason() != dlmv1.Reason_REASON_OK || got.GetSequence() != 2*i+2 || got.GetSession() != session {
					t.Errorf("release: %v", got)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestStateSurvives(t *testing.T) {
	for _, how := range []struct {
		name string
		end  func(*running)
	}{{"a stop", (*running).stop}, {"a kill", (*running).kill}} {
		t.Run(how.name, func(t *testing.T) {
			checkLeaks(t)
			o := Options{Dir: t.TempDir(), SnapshotBytes: 8 << 10}
			s := start(t, o)
			c, cc := s.connect()
			session := must(t, c, open("a", time.Hour)).GetSession()
			var last *dlmv1.Answer
			for i := range uint64(40) { // some snapshots long
				last = must(t, c, acquire(session, i+1, fmt.Sprintf("lock-%d", i), nil))
			}
			hello := openStream(t, c)
			how.end(s)
			if _, err := hello.Recv(); status.Code(err) != codes.Unavailable {
				t.Errorf("an open stream ended with %v, want Unavailable", err)
			}
			cc.Close()

			s = start(t, o)
			defer s.stop()
			c, cc = s.connect()
			defer cc.Close()
			again := must(t, c, acquire(session, 40, "lock-39", nil))
			if again.GetToken() != last.GetToken() || again.GetIndex() != last.GetIndex() {
				t.Errorf("the same request was answered %v before and %v after", last, again)
			}
			next := must(t, c, acquire(session, 41, "another", nil))
			if next.GetToken() <= last.GetToken() || next.GetStamp() < last.GetStamp() {
				t.Errorf("%v before and %v after: tokens and stamps only grow", last, next)
			}
		})
	}
}

func TestDirectoryIsForOneServer(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, osfs.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second server: %v", err)
	}
	s.stop()
	again, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatalf("after the first has stopped: %v", err)
	}
	again.Stop() // without a Serve it gives the directory back all the same
	start(t, Options{Dir: dir}).stop()
}

func TestHealthAndReflection(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	_, cc := s.connect()
	defer cc.Close()
	for _, name := range []string{"", "dlm.v1.Locks"} {
		got, err := healthpb.NewHealthClient(cc).Check(timeout(t), &healthpb.HealthCheckRequest{Service: name}, grpc.WaitForReady(true))
		if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v %v", name, got, err)
		}
	}
	r, err := grpc_reflection_v1.NewServerReflectionClient(cc).ServerReflectionInfo(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "dlm.v1.Locks"},
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Recv(); err != nil || len(got.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection: %v %v", got, err)
	}
	if err := r.CloseSend(); err != nil {
		t.Error(err)
	}
	s.stop()
}

// A client that sends and never reads is disconnected, costs little until then, and nobody else waits for it.
func TestClientThatDoesNotRead(t *testing.T) {
	overBoth(t, testClientThatDoesNotRead)
}

func testClientThatDoesNotRead(t *testing.T, over transport) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir(), OutboxBytes: 64 << 10})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	session := must(t, c, open("a", 0)).GetSession()

	deaf := over(s)
	name := strings.Repeat("n", 200)
	var frame dlmv1.ClientFrame
	for range 100 {
		frame.Reads = append(frame.Reads, &dlmv1.Read{Op: &dlmv1.Read_CheckToken{CheckToken: &dlmv1.CheckToken{Lock: name}}})
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for deaf.Send(&frame) == nil { // blocks once the server has ended the stream, and fails once we know
		}
	}()
	for i := uint64(1); s.share.streams.Load() > 0; i++ {
		must(t, c, acquire(session, i, fmt.Sprint("lock", i), nil)) // others are served
		if waits := s.share.bytes.Load(); waits > s.opts.OutboxBytes+sendBytes {
			t.Errorf("%d bytes wait to be sent", waits)
		}
	}
	// A bare connection is cut if it does not take the last word within a time.
	if err := lastWord(deaf); status.Code(err) != codes.ResourceExhausted && !cut(err) {
		t.Errorf("the stream ended with %v", err)
	}
	<-sent
	deaf.leave()
	s.left(1, 0)
	if waits := s.share.bytes.Load(); waits != 0 {
		t.Errorf("%d bytes wait for nobody", waits)
	}
}

func TestLimitsOfTheProcess(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir(), MaxStreams: 1, MaxCalls: 1})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()

	first := openStream(t, c)
	st, err := c.Stream(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the second stream: %v", err)
	}
	first.send(open("a", 0))
	session := first.answer().GetSession()
	data := make([]byte, maxMessageBytes)
	big := &dlmv1.Request{Session: session, Op: &dlmv1.Request_Append{Append: &dlmv1.Append{Data: data}}}
	if _, err := c.Call(timeout(t), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message that is too large: %v", err)
	}
}

// What waits in a lock's queue when the server stops is told so at once.
func TestStopEndsWhoeverWaits(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		s := startInMemory(t, Options{Dir: t.TempDir()})
		c, cc := s.connect()
		defer cc.Close()
		a, b := must(t, c, open("a", 0)).GetSession(), must(t, c, open("b", 0)).GetSession()
		must(t, c, acquire(a, 1, "x", nil))
		waits := over(s)
		waits.send(acquire(b, 1, "x", nil))
		waits.recv() // queued
		result := make(chan error, 1)
		go func() {
			_, err := c.Call(timeout(t), acquire(b, 1, "x", nil))
			result <- err
		}()
		synctest.Wait() // it waits as well
		began := time.Now()
		s.stop()
		if err := <-result; status.Code(err) != codes.Unavailable {
			t.Errorf("the call ended with %v", err)
		}
		if _, err := waits.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream ended with %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop waited for %v", took)
		}
	})
}
