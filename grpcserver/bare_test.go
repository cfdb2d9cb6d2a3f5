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
	"google.golang.org/grpc/test/bufconn"

	"dlm/wire"
)

// Who is silent for too long is sent away, wherever in the first bytes; a stream may be silent for as long as it likes.
func TestSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, Options{Dir: t.TempDir()})
		var silent []net.Conn
		for _, said := range []string{"", wire.Preface[:1], wire.Preface[:3], "PR", "PRI ", "PRI * HTTP/2.0"} {
			raw := s.dialRaw()
			if _, err := io.WriteString(raw, said); err != nil {
				t.Fatal(err)
			}
			silent = append(silent, raw)
		}
		st := overBare(s)
		began := time.Now()
		for i, raw := range silent {
			if _, err := io.Copy(io.Discard, raw); err != nil {
				t.Errorf("silent connection %d: %v", i, err)
			}
		}
		if took := time.Since(began); took != connectTimeout {
			t.Errorf("they were sent away after %v", took)
		}
		s.left(1, 1)
		time.Sleep(40 * time.Second)
		st.send(open("a", 0))
		st.answer()
		s.stop()
		s.left(0, 0)
	})
}

// The door forgets every connection that has gone, however far it had come.
func TestDoorForgetsWhoHasGone(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	for _, said := range []string{
		"", "D", "PR", wire.Preface, wire.Preface + "\x01\x00", wire.Preface + "\x09\x00\x00\x00\x00", "PRI ", "GET / HTTP/1.1\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff",
	} {
		for _, wait := range []bool{false, true} { // for it to be known
			raw := s.dialRaw()
			if _, err := io.WriteString(raw, said); err != nil {
				t.Fatal(err)
			}
			if wait {
				time.Sleep(5 * time.Millisecond)
			}
			_ = raw.Close()
		}
	}
	for _, tr := range transports {
		st := tr.over(s)
		st.send(open("a", 0))
		st.answer()
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		// Over gRPC the client may have more to hear.
		if err := lastWord(st); !errors.Is(err, io.EOF) && status.Code(err) != codes.Canceled {
			t.Errorf("%s: ended with %v", tr.name, err)
		}
	}
	s.left(1, 0) // gRPC's connection outlives its stream
	s.stop()
	s.left(0, 0)
}

// More streams than there may be are refused and told so, and there is room again when others have gone.
func TestManyBareStreams(t *testing.T) {
	checkLeaks(t)
	const most, more = 50, 10
	s := start(t, Options{Dir: t.TempDir(), MaxStreams: most})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	watch := startBystander(t, c)
	var clients []bareClient
	refusals := 0
	for range most + more {
		b := s.bare()
		clients = append(clients, b)
		if _, err := b.Recv(); err != nil {
			if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "too many streams") {
				t.Fatal(err)
			}
			refusals++
		}
	}
	if refusals != more {
		t.Errorf("%d streams were refused, want %d", refusals, more)
	}
	watch.served(t)
	for _, b := range clients {
		_ = b.raw.Close()
	}
	s.left(1, 0)
	overBare(s)
}

// The last word is not lost with what the server has not read: that would reset the connection.
func TestLastWordBeforeTheEnd(t *testing.T) {
	checkLeaks(t)
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	b := s.bare()
	if _, err := io.WriteString(b.raw, strings.Repeat("\xff", 60_000)); err != nil {
		t.Fatal(err)
	}
	if err := lastWord(b); status.Code(err) != codes.Internal {
		t.Errorf("ended with %v", err)
	}
	if _, err := b.raw.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after it: %v", err)
	}
	_ = b.raw.Close()
	s.left(0, 0)
}

// Whoever comes while the door is being closed is not let in, however far it has come.
func TestClosedDoor(t *testing.T) {
	d := newFrontDoor(func(net.Conn) { t.Error("a connection was served") })
	l := bufconn.Listen(1 << 10)
	defer l.Close()
	comes := func() (outside, inside net.Conn) {
		dialed := make(chan net.Conn)
		go func() {
			c, _ := l.Dial()
			dialed <- c
		}()
		inside, err := d.listener(l).Accept()
		if err != nil {
			t.Fatal(err)
		}
		return <-dialed, inside
	}
	early, inside := comes()
	d.closed = true // and it is not cut off yet
	if _, err := io.WriteString(early, wire.Preface); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.ServerHandshake(inside); !errors.Is(err, errStopping) {
		t.Errorf("the handshake of one that had come before: %v", err)
	}
	_ = inside.Close()
	late, _ := comes()
	_ = late.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := late.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one that comes now: %v", err)
	}
	if len(d.conns) != 0 {
		t.Errorf("%d connections are known", len(d.conns))
	}
}
