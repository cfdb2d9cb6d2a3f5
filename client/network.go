package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/wire"
)

// Windows of gRPC's flow control, in bytes. They are fixed because gRPC finds a size by sending a ping with every message that comes
// after a pause.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// maxMessageBytes is the largest message taken from a server.
const maxMessageBytes = 64 << 20

// network reaches the servers: their streams over bare connections where nothing else was asked for, everything else over gRPC.
type network struct {
	addrs []string
	grpc  []*grpc.ClientConn // of each server; each connects when it is first used
	bare  []*dialer          // of servers whose streams need no gRPC; nil for the others
}

// newNetwork takes HOST:PORT, and targets with a scheme, which are gRPC's to resolve. With options of the caller's all goes over gRPC:
// they may be about credentials, or the way there.
func newNetwork(addrs []string, opts []grpc.DialOption) (*network, error) {
	n := &network{addrs: addrs}
	own := len(opts) > 0
	opts = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// The engine decides when to try again; gRPC's own pauses would only hold it up.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, Jitter: 0.5, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
	}, opts...)
	for _, addr := range addrs {
		scheme := hasScheme(addr)
		var cc *grpc.ClientConn
		var err error
		if !scheme {
			err = checkAddress(addr)
		}
		if err == nil {
			cc, err = grpc.NewClient(addr, opts...)
		}
		if err != nil {
			n.close()
			return nil, fmt.Errorf("client: server address %q: %w: %w", addr, ErrInvalid, err)
		}
		n.grpc = append(n.grpc, cc)
		var bare *dialer
		if !own && !scheme {
			bare = &dialer{addr: addr}
		}
		n.bare = append(n.bare, bare)
	}
	return n, nil
}

// hasScheme tells gRPC's targets, such as unix:PATH, unix-abstract:NAME and dns:///HOST:PORT.
func hasScheme(addr string) bool {
	scheme, _, ok := strings.Cut(addr, ":")
	return ok && (scheme == "unix" || scheme == "unix-abstract" || strings.Contains(addr, "://"))
}

// checkAddress refuses an address without a port, for which gRPC would try 443.
func checkAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return errors.New("it must be HOST:PORT, such as 127.0.0.1:50051")
	}
	return nil
}

func (n *network) dial(ctx context.Context, server int) (stream, error) {
	var st stream
	var err error
	if bare := n.bare[server]; bare != nil {
		st, err = bare.dial(ctx)
	} else {
		n.grpc[server].ResetConnectBackoff()
		st, err = dlmv1grpc.NewLocksClient(n.grpc[server]).Stream(ctx)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return nil, cause
		}
		return nil, err
	}
	return st, nil
}

func (n *network) name(server int) string { return n.addrs[server] }

func (n *network) close() {
	for _, cc := range n.grpc {
		_ = cc.Close()
	}
}

// dialer makes bare connections to one server.
type dialer struct {
	addr   string
	failed atomic.Uint64 // dials
}

// dial connects. The connection ends with the context.
func (d *dialer) dial(ctx context.Context) (stream, error) {
	raw, err := d.connect(ctx)
	if err != nil {
		d.failed.Add(1)
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, err := wire.Begin(raw, maxMessageBytes)
	if err != nil {
		return nil, err
	}
	return bareStream{conn}, nil
}

// connect tries the addresses of a name in turn, after each failure from another one on: the context, which bounds an attempt, may end
// at an address that does not answer.
func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	host, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if host != "" { // else it is this machine
		if hosts, err = net.DefaultResolver.LookupHost(ctx, host); err != nil {
			return nil, err
		}
	}
	var refused error
	for i := range uint64(len(hosts)) {
		at := hosts[(d.failed.Load()+i)%uint64(len(hosts))]
		raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(at, port))
		if err == nil {
			return raw, nil
		}
		refused = cmp.Or(refused, err)
	}
	return nil, refused
}

// bareStream is a stream over a bare connection.
type bareStream struct{ *wire.Conn }

func (b bareStream) Send(f *dlmv1.ClientFrame) error { return b.Conn.Send(f) }

func (b bareStream) Recv() (*dlmv1.ServerFrame, error) {
	f := &dlmv1.ServerFrame{}
	switch err := b.Conn.Recv(f); {
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, wire.ErrTooLarge):
		return nil, fmt.Errorf("this is no lock server, or something between knows HTTP/2 only (then say dns:///HOST:PORT): %w", err)
	case errors.Is(err, io.EOF):
		return nil, errors.New("the server closed the connection")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the connection ended in the midst of a message")
	case err != nil:
		return nil, err
	}
	return f, nil
}
