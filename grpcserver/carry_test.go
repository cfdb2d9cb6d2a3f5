package grpcserver

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/wal/osfs"
)

// carried says whether a stream's reader is at the disk.
func carried() bool {
	stacks := make([]byte, 1<<20)
	for _, s := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(s, "service.carry") && strings.Contains(s, "faultyFile.Sync") {
			return true
		}
	}
	return false
}

// lonely is a client of one stream that has asked one thing at a time for long enough, and asks the next: it is at the held disk.
type lonely struct {
	*running
	t       *testing.T
	stream  stream
	session uint64
	next    uint64 // sequence
	token   uint64 // of lock "mine", which is being released
	held    func() // lets the disk go on
}

func newLonely(t *testing.T, over transport, o Options) *lonely {
	disk := &faultyFS{FS: osfs.New()}
	o.Dir, o.FS = t.TempDir(), disk
	l := &lonely{running: startInMemory(t, o), t: t, next: 1}
	l.stream = over(l.running)
	l.stream.send(open("l", 0))
	l.session = l.stream.answer().GetSession()
	for range aloneAfter {
		l.pair()
	}
	for !l.mayCarry() {
		l.pair()
	}
	l.acquire()
	l.held = disk.holdSyncs()
	l.stream.send(release(l.session, l.next, "mine", l.token))
	synctest.Wait()
	if !carried() {
		t.Error("the reader does not carry the request of a client that is alone")
	}
	return l
}

// mayCarry: the stream has had the open and all pairs; neither of the next two frames is the one that is not carried.
func (l *lonely) mayCarry() bool {
	frames := int(l.next)
	return (frames+1)%lookEvery != 0 && (frames+2)%lookEvery != 0
}

func (l *lonely) acquire() {
	l.stream.send(acquire(l.session, l.next, "mine", nil))
	l.token = l.stream.answer().GetToken()
	l.next++
	synctest.Wait()
}

func (l *lonely) pair() {
	l.acquire()
	l.stream.send(release(l.session, l.next, "mine", l.token))
	if a := l.stream.answer(); a.GetSequence() != l.next || a.GetReason() != dlmv1.Reason_REASON_OK {
		l.t.Fatalf("answered %v", a)
	}
	l.next++
	synctest.Wait()
}

// received starts to wait for a frame of the stream.
func (l *lonely) received() <-chan *dlmv1.ServerFrame {
	got := make(chan *dlmv1.ServerFrame, 1)
	go func() {
		if f, err := l.stream.Recv(); err == nil {
			got <- f
		}
		close(got)
	}()
	return got
}

// Nothing is answered before its sync, and while a reader waits for the disk everybody else is served.
func TestCarriedRequestHoldsNobodyUp(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		l := newLonely(t, over, Options{})
		answer := l.received()
		other := over(l.running)
		if err := other.Send(&dlmv1.ClientFrame{Reads: []*dlmv1.Read{{Id: 1, Op: getLock("mine").GetOp()}}}); err != nil {
			t.Fatal(err)
		}
		if f := other.recv(); len(f.GetReads()) != 1 || len(f.GetReads()[0].GetLock().GetHolders()) != 1 {
			t.Fatalf("a read beside a sync: %v", f)
		}
		other.send(open("o", 0)) // for the next batch
		synctest.Wait()
		select {
		case f := <-answer:
			t.Fatalf("answered before the sync: %v", f)
		default:
		}
		l.held()
		if f := <-answer; len(f.GetAnswers()) != 1 || f.GetAnswers()[0].GetSequence() != l.next {
			t.Fatalf("after the sync: %v", f)
		}
		if other.answer().GetSession() == 0 {
			t.Fatal("the other one's session was not opened")
		}
		l.stop()
	})
}

// What a client sends while its former request is at the disk is answered too, in order.
func TestMoreArrivesWhileOneIsCarried(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		l := newLonely(t, over, Options{})
		for n := range uint64(40) {
			r := acquire(l.session, l.next+1+n, fmt.Sprint(n), nil)
			r.Watermark = l.next
			l.stream.send(r)
		}
		synctest.Wait()
		l.held()
		for want := l.next; want <= l.next+40; {
			for _, a := range l.stream.recv().GetAnswers() {
				if a.GetSequence() != want || a.GetReason() != dlmv1.Reason_REASON_OK {
					t.Fatalf("answered %v, want sequence %d", a, want)
				}
				want++
			}
		}
		l.stop()
	})
}

// A stop lets a carried request finish.
func TestStopWhileOneIsCarried(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		l := newLonely(t, over, Options{})
		stopped := make(chan struct{})
		go func() { l.Stop(); close(stopped) }()
		synctest.Wait()
		select {
		case <-stopped:
			t.Fatal("stopped before the disk was done")
		default:
		}
		l.held()
		began := time.Now()
		if a := l.stream.answer(); a.GetSequence() != l.next {
			t.Errorf("answered %v", a)
		}
		if _, err := l.stream.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream ended with %v", err)
		}
		<-stopped
		if took := time.Since(began); took != 0 {
			t.Errorf("the node goroutine learned of it after %v", took)
		}
		if err := <-l.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// A disk that does not come back while a reader is at it delays a stop for StopTimeout and no longer.
func TestStopDoesNotWaitForAReaderAtADeadDisk(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		l := newLonely(t, over, Options{StopTimeout: 7 * time.Second})
		began := time.Now()
		l.Stop()
		if err := <-l.served; !errors.Is(err, ErrStopTimeout) {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if _, err := l.stream.Recv(); !cutOrUnavailable(err) {
			t.Errorf("the stream ended with %v", err)
		}
		l.held()
	})
}

// Two sessions of one client hand a lock to and fro: one of their acquires always waits, and asks for nothing.
func TestHandOffIsCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &faultyFS{FS: osfs.New()}
		s := startInMemory(t, Options{Dir: t.TempDir(), FS: disk})
		c, cc := s.connect()
		defer cc.Close()
		st := openStream(t, c)
		type side struct{ session, next, token uint64 }
		var sides [2]side
		for i := range sides {
			st.send(open(string(rune('a'+i)), 0))
			sides[i] = side{session: st.answer().GetSession(), next: 1}
		}
		st.send(acquire(sides[0].session, 1, "ball", nil))
		sides[0].token = st.answer().GetToken()
		st.send(acquire(sides[1].session, 1, "ball", nil))
		for len(st.recv().GetNotices()) == 0 {
		}
		// change has its holder give the lock back and queue again, which grants it to the other.
		change := func(holder *side) {
			holder.next += 2
			st.send(release(holder.session, holder.next-1, "ball", holder.token), acquire(holder.session, holder.next, "ball", nil))
		}
		granted := func(other *side) {
			for other.token = 0; other.token == 0; {
				for _, a := range st.recv().GetAnswers() {
					if a.GetSession() == other.session {
						other.token = a.GetToken()
					}
				}
			}
			synctest.Wait()
		}
		for n := range aloneAfter + 2 {
			change(&sides[n%2])
			granted(&sides[(n+1)%2])
		}
		held := disk.holdSyncs()
		change(&sides[0])
		synctest.Wait()
		if !carried() {
			t.Error("the reader does not carry a hand-off")
		}
		held()
		granted(&sides[1])
		s.stop()
	})
}

// A sync that fails in a reader stops the server as any other.
func TestFailedSyncOfACarriedRequest(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		l := newLonely(t, over, Options{})
		l.opts.FS.(*faultyFS).fail.Store(true)
		l.held()
		began := time.Now()
		if err := <-l.served; !errors.Is(err, errDisk) {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the node goroutine learned of it after %v", took)
		}
		if _, err := l.stream.Recv(); !cutOrUnavailable(err) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

// A client that says that it sends nothing more, as it can over gRPC, gets the answer to what is being carried.
func TestHalfClosedWhileOneIsCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLonely(t, overGRPC, Options{})
		if err := l.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.held()
		if a := l.stream.answer(); a.GetSequence() != l.next {
			t.Errorf("answered %v", a)
		}
		if _, err := l.stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		l.stop()
	})
}

// With a slow disk the reader leaves the waiting to the log goroutine, so that it can take reads.
func TestNobodyCarriesToASlowDisk(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		l := newLonely(t, over, Options{})
		time.Sleep(2 * quickSync)
		l.held()
		if a := l.stream.answer(); a.GetSequence() != l.next {
			t.Errorf("answered %v", a)
		}
		l.next++
		synctest.Wait()
		held := l.opts.FS.(*faultyFS).holdSyncs()
		l.stream.send(acquire(l.session, l.next, "mine", nil))
		synctest.Wait()
		if carried() {
			t.Error("the reader waits for a slow disk")
		}
		if err := l.stream.Send(&dlmv1.ClientFrame{Reads: []*dlmv1.Read{{Id: 1, Op: getLock("mine").GetOp()}}}); err != nil {
			t.Fatal(err)
		}
		if f := l.stream.recv(); len(f.GetReads()) != 1 {
			t.Errorf("a read of the same client: %v", f)
		}
		held()
		l.stop()
	})
}

// Streams of one and of several callers at once, over a real network.
func TestCarriersRace(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	var all sync.WaitGroup
	for client := range 4 {
		st := transports[client%2].over(s)
		st.send(open(string(rune('a'+client)), 0))
		session := st.answer().GetSession()
		all.Go(func() {
			atOnce := uint64(1 + client/2*5) // acquires, which are answered in their order
			for next := uint64(1); next < 200; next += atOnce {
				for n := range atOnce {
					r := acquire(session, next+n, fmt.Sprintf("%d/%d", client, next+n), nil)
					r.Watermark = next
					if err := st.Send(&dlmv1.ClientFrame{Requests: []*dlmv1.Request{r}}); err != nil {
						t.Error(err)
						return
					}
				}
				for want := next; want < next+atOnce; {
					f, err := st.Recv()
					if err != nil {
						t.Error(err)
						return
					}
					for _, a := range f.GetAnswers() {
						if a.GetSequence() != want || a.GetReason() != dlmv1.Reason_REASON_OK {
							t.Errorf("client %d: answered %v, want sequence %d", client, a, want)
							return
						}
						want++
					}
				}
			}
		})
	}
	all.Wait()
	s.stop()
}

func TestSolitude(t *testing.T) {
	var a solitude
	for n := 1; n <= 100; n++ {
		if got, want := a.frame(1, 1), n > aloneAfter && n%lookEvery != 0; got != want {
			t.Fatalf("frame %d alone: %v", n, got)
		}
	}
	for _, others := range []func() bool{
		func() bool { return a.frame(1, 2) },
		func() bool { return a.frame(2, 3) },
		func() bool { return a.frame(carryMost+1, carryMost+1) },
	} {
		a.frames = aloneAfter
		if others() {
			t.Error("a frame beside others may be carried")
		}
		if a.frame(1, 1) {
			t.Error("the next one may be carried at once")
		}
	}
}
