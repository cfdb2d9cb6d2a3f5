package grpcserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/wire"
)

// Clients' streams come over gRPC or over bare connections (package wire), on one port: the first bytes tell which. gRPC's own reader
// and writer goroutines are two wake-ups a request, and a wake-up costs more than the request does.

const (
	// connectTimeout is how long a connection may take to say what it is, and gRPC's to shake hands.
	connectTimeout = 10 * time.Second
	// lastWordTimeout is how long the last word of a bare stream may take to be sent.
	lastWordTimeout = time.Second
)

// frontDoor looks at the first bytes of each connection. To gRPC it is transport credentials, which may take a connection for themselves.
type frontDoor struct {
	credentials.TransportCredentials // what gRPC's connections get
	serve                            func(net.Conn)
	bare                             sync.WaitGroup // bare connections that are being served

	mu     sync.Mutex
	conns  map[*doorConn]bool // all that are open; true: nothing has come from it
	closed bool
}

func newFrontDoor(serve func(net.Conn)) *frontDoor {
	return &frontDoor{TransportCredentials: insecure.NewCredentials(), serve: serve, conns: map[*doorConn]bool{}}
}

// Clone is asked for by the interface; a door is one.
func (d *frontDoor) Clone() credentials.TransportCredentials { return d }

// listener is l with everybody who comes through it known to the door.
func (d *frontDoor) listener(l net.Listener) net.Listener { return doorListener{l, d} }

type doorListener struct {
	net.Listener
	door *frontDoor
}

func (l doorListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &doorConn{Conn: raw, door: l.door}
	l.door.enter(c)
	return c, nil
}

// ServerHandshake is called by gRPC in a goroutine of the connection, with a deadline. After an error gRPC closes it.
func (d *frontDoor) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := raw.(*doorConn) // from our listener
	first := make([]byte, len(wire.Preface))
	if _, err := io.ReadFull(raw, first); err != nil {
		return nil, nil, err
	}
	bare := string(first) == wire.Preface
	if !d.known(c, bare) {
		return nil, nil, errStopping
	}
	if !bare {
		c.first = bytes.NewReader(first)
		if tcp := tcpOf(c); tcp != nil {
			boundUnacknowledged(tcp) // gRPC would, if it saw that it is one
		}
		return d.TransportCredentials.ServerHandshake(c)
	}
	go func() {
		defer d.bare.Done()
		defer c.Close()
		d.serve(c)
	}()
	return nil, nil, credentials.ErrConnDispatched
}

// enter takes note of a connection, of which nothing is known.
func (d *frontDoor) enter(c *doorConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = c.Conn.Close()
		return
	}
	d.conns[c] = true
}

// known takes note of what a connection is, unless the door is closed.
func (d *frontDoor) known(c *doorConn, bare bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.conns[c] = false
	if bare {
		d.bare.Add(1)
	}
	return true
}

func (d *frontDoor) leave(c *doorConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// close lets nobody in any more, and sends those away who have said nothing yet.
func (d *frontDoor) close() { d.cut(func(silent bool) bool { return silent }) }

// cutAll ends all connections at once, whatever they are.
func (d *frontDoor) cutAll() { d.cut(func(bool) bool { return true }) }

func (d *frontDoor) cut(which func(silent bool) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c, silent := range d.conns {
		if which(silent) {
			_ = c.Conn.Close()
		}
	}
}

// doorConn is a connection that has come through the door.
type doorConn struct {
	net.Conn
	door  *frontDoor
	first *bytes.Reader // what was read to know it; may be nil
}

func (c *doorConn) Read(b []byte) (int, error) {
	if c.first != nil && c.first.Len() > 0 {
		return c.first.Read(b)
	}
	return c.Conn.Read(b)
}

func (c *doorConn) Close() error {
	c.door.leave(c)
	return c.Conn.Close()
}

// bareStream is a stream over a bare connection.
type bareStream struct{ *wire.Conn }

func (b bareStream) Recv() (*dlmv1.ClientFrame, error) {
	f := &dlmv1.ClientFrame{}
	if err := b.Conn.Recv(f); err != nil {
		return nil, wireError(err)
	}
	return f, nil
}

func (b bareStream) Send(f *dlmv1.ServerFrame) error { return b.Conn.Send(f) }

// errGone: gRPC's clients can end their side alone and wait for what they asked, but of a connection nobody can tell one from the other,
// and a stream that waited for the answer to an acquire in a queue would outlive its client.
var errGone = status.Error(codes.Canceled, "the client has closed the connection")

// wireError gives how a connection ended the status that gRPC has for it.
func wireError(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return errGone
	case errors.Is(err, wire.ErrTooLarge):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, wire.ErrMalformed):
		return status.Error(codes.Internal, err.Error())
	}
	return err
}

// serveBare serves a bare connection; its caller closes it.
func (s *Server) serveBare(raw net.Conn) {
	if tcp := tcpOf(raw); tcp != nil {
		keepAlive(tcp)
		boundUnacknowledged(tcp)
	}
	conn := wire.New(raw, maxMessageBytes)
	err := service{Server: s}.stream(context.Background(), bareStream{conn})
	// The client may not be reading; then the writer is in the midst of a message.
	defer time.AfterFunc(lastWordTimeout, func() { _ = raw.Close() }).Stop()
	if conn.End(status.Convert(err)) != nil {
		return
	}
	// A connection that is closed with something unread is reset, and the last word with it may be lost.
	if tcp := tcpOf(raw); tcp != nil && tcp.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, raw)
	}
}

// tcpOf is the TCP connection below, nil if it is another one.
func tcpOf(c net.Conn) *net.TCPConn {
	if d, ok := c.(*doorConn); ok {
		c = d.Conn
	}
	tcp, _ := c.(*net.TCPConn)
	return tcp
}

// keepAlive turns the kernel's keep-alives on.
func keepAlive(tcp *net.TCPConn) {
	const probes = 5
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: pingAfter, Interval: pingTimeout / probes, Count: probes})
}
