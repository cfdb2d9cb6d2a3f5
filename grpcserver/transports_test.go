package grpcserver

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/wire"
)

// A client's stream comes over gRPC or over a bare connection, and what is promised of it is the same.

// transport opens a stream over a connection of its own and returns after the hello.
type transport func(*running) stream

func overGRPC(r *running) stream {
	r.t.Helper()
	c, cc := r.connect()
	r.t.Cleanup(func() { _ = cc.Close() })
	st := openStream(r.t, c)
	st.leave = func() { _ = cc.Close() }
	return st
}

func overBare(r *running) stream {
	r.t.Helper()
	b := r.bare()
	st := greeted(r.t, b)
	st.leave = func() { _ = b.raw.Close() }
	return st
}

var transports = []struct {
	name string
	over transport
}{{"gRPC", overGRPC}, {"bare", overBare}}

// overBoth runs a test for each transport.
func overBoth(t *testing.T, test func(t *testing.T, over transport)) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) { test(t, tr.over) })
	}
}

// overBothInBubbles is overBoth with virtual time.
func overBothInBubbles(t *testing.T, test func(t *testing.T, over transport)) {
	overBoth(t, func(t *testing.T, over transport) {
		synctest.Test(t, func(t *testing.T) { test(t, over) })
	})
}

// bareClient is the client's end of a bare connection.
type bareClient struct {
	*wire.Conn
	raw net.Conn
}

// dialRaw connects and says nothing.
func (r *running) dialRaw() net.Conn {
	r.t.Helper()
	raw, err := r.dial(timeout(r.t), "")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		r.t.Fatal(err)
	}
	return raw
}

func (r *running) bare() bareClient {
	r.t.Helper()
	raw := r.dialRaw()
	conn, err := wire.Begin(raw, 64<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	return bareClient{conn, raw}
}

func (b bareClient) Send(f *dlmv1.ClientFrame) error { return b.Conn.Send(f) }

func (b bareClient) Recv() (*dlmv1.ServerFrame, error) {
	f := &dlmv1.ServerFrame{}
	if err := b.Conn.Recv(f); err != nil {
		return nil, err
	}
	return f, nil
}

// CloseSend closes half of the connection. One in memory has no halves: there a last word says the same.
func (b bareClient) CloseSend() error {
	if tcp, ok := b.raw.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return b.End(nil)
}

// lastWord is what the stream ends with. What comes before it is dropped.
func lastWord(s clientStream) error {
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

// cut says whether a bare connection ended without a last word, as it does when the server cannot wait until that has been read.
// gRPC makes a status of it.
func cut(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.As(err, &network) && !network.Timeout()
}

func cutOrUnavailable(err error) bool { return cut(err) || status.Code(err) == codes.Unavailable }

// left waits until the door knows so many connections, and so many streams are open.
func (r *running) left(connections int, streams int64) {
	r.t.Helper()
	count := func() int {
		r.door.mu.Lock()
		defer r.door.mu.Unlock()
		return len(r.door.conns)
	}
	for began := time.Now(); count() != connections || r.share.streams.Load() != streams; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			r.t.Fatalf("the door knows %d connections, want %d; %d streams are open, want %d", count(), connections, r.share.streams.Load(), streams)
		}
	}
}
