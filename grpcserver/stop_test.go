package grpcserver

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/wal/osfs"
	"dlm/wire"
)

// What was taken when a stop begins is answered, then every stream is told. Nobody waits.
func TestStopAnswersWhatWasTaken(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		disk := &faultyFS{FS: osfs.New()}
		s := startInMemory(t, Options{Dir: t.TempDir(), FS: disk})
		st, idle := over(s), over(s)
		st.send(open("a", 0))
		session := st.answer().GetSession()
		held := disk.holdSyncs()
		st.send(acquire(session, 1, "x", nil)) // at the disk
		synctest.Wait()
		next := acquire(session, 2, "y", nil)
		next.Watermark = 1
		st.send(next) // waits for the disk
		synctest.Wait()
		began := time.Now()
		stopped := make(chan struct{})
		go func() { s.stop(); close(stopped) }()
		synctest.Wait()
		held()
		for want := uint64(1); want <= 2; {
			for _, a := range st.recv().GetAnswers() {
				if a.GetSequence() != want || a.GetToken() == 0 {
					t.Errorf("answered %v, want a token for sequence %d", a, want)
				}
				want++
			}
		}
		for _, st := range []stream{st, idle} {
			if f, err := st.Recv(); status.Code(err) != codes.Unavailable || status.Convert(err).Message() != status.Convert(errStopping).Message() {
				t.Errorf("ended with %v, %v", f, err)
			}
		}
		<-stopped
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop waited for %v", took)
		}
		s.left(0, 0)
	})
}

// Over TCP the last word arrives although the client goes on sending, and a client that closes is not waited for.
func TestStopTellsWhoeverIsSending(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	const clients = 4
	ended := make(chan error, clients)
	for range clients {
		st := overBare(s)
		go func() {
			for st.Send(&dlmv1.ClientFrame{Reads: []*dlmv1.Read{getLock("x")}}) == nil {
				time.Sleep(time.Millisecond)
			}
		}()
		st.recv() // the first answer
		go func() {
			err := lastWord(st)
			st.leave()
			ended <- err
		}()
	}
	s.stop()
	for range clients {
		if err := <-ended; status.Code(err) != codes.Unavailable {
			t.Errorf("a stream ended with %v", err)
		}
	}
	s.left(0, 0)
}

// Connections that have not said what they are do not hold a stop up, and none is let in after it has begun.
func TestStopEndsSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, Options{Dir: t.TempDir()})
		var silent []net.Conn
		for _, said := range []string{"", "PR", wire.Preface[:1], wire.Preface[:3]} {
			raw := s.dialRaw()
			if _, err := io.WriteString(raw, said); err != nil {
				t.Fatal(err)
			}
			silent = append(silent, raw)
		}
		synctest.Wait()
		began := time.Now()
		s.stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop waited for %v", took)
		}
		for i, raw := range silent {
			if _, err := raw.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("silent connection %d: %v", i, err)
			}
		}
		if _, err := s.dial(t.Context(), ""); err == nil {
			t.Error("somebody was let in")
		}
		s.left(0, 0)
	})
}

// sendDeaf asks for frames of some 20 kB, and reads none.
func sendDeaf(st stream, frames int) {
	many := &dlmv1.ClientFrame{}
	for range 100 {
		read := &dlmv1.Read{Op: &dlmv1.Read_CheckToken{CheckToken: &dlmv1.CheckToken{Lock: strings.Repeat("n", 200)}}}
		many.Reads = append(many.Reads, read)
	}
	go func() {
		for range frames {
			if st.Send(many) != nil {
				return
			}
		}
	}()
}

// Who has said that gRPC follows, and no more, or does not read, has until drainTimeout.
func TestStopDoesNotWaitForLong(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *running){
		"half of gRPC's preface": func(t *testing.T, s *running) {
			if _, err := io.WriteString(s.dialRaw(), "PRI * HTTP/2"); err != nil {
				t.Fatal(err)
			}
		},
		"a client that never reads": func(t *testing.T, s *running) {
			// The answers are more than the connection takes, in however many messages, and less than ends the stream.
			sendDeaf(overBare(s), 300)
			synctest.Wait()
			if n := s.share.streams.Load(); n != 1 {
				t.Fatalf("%d streams are open", n)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := startInMemory(t, Options{Dir: t.TempDir()})
				begin(t, s)
				synctest.Wait()
				began := time.Now()
				s.stop()
				if took := time.Since(began); took != drainTimeout {
					t.Errorf("the stop took %v", took)
				}
				s.left(0, 0)
			})
		})
	}
}

// Nor for one whose last word is on the way to it. Not in a bubble: that takes who waits for a mutex for somebody at work.
func TestStopWhileADeafClientIsSentAway(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir(), OutboxBytes: 64 << 10})
	deaf := overBare(s)
	sendDeaf(deaf, 10_000)
	for began := time.Now(); s.share.streams.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("it is not sent away")
		}
	}
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
	s.left(0, 0)
	deaf.leave()
}

// After a fatal error no stream is waited for, whatever its client does.
func TestFailedSyncEndsAllStreams(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		disk := &faultyFS{FS: osfs.New()}
		s := startInMemory(t, Options{Dir: t.TempDir(), FS: disk})
		st, idle, deaf := over(s), over(s), over(s)
		sendDeaf(deaf, 300)
		s.dialRaw()
		st.send(open("a", 0))
		session := st.answer().GetSession()
		disk.fail.Store(true)
		began := time.Now()
		st.send(acquire(session, 1, "x", nil))
		if err := <-s.served; !errors.Is(err, errDisk) {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		s.left(0, 0)
		for _, st := range []stream{st, idle} {
			if f, err := st.Recv(); !cutOrUnavailable(err) {
				t.Errorf("the stream ended with %v, %v", f, err)
			}
		}
		if err := lastWord(deaf); !cutOrUnavailable(err) && status.Code(err) != codes.ResourceExhausted {
			t.Errorf("the stream of the deaf ended with %v", err)
		}
	})
}
