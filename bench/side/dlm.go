package side

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/client"
)

// DLM is our server; bin is the directory of its program.
func DLM(bin string) *Service {
	server := filepath.Join(bin, "server")
	return &Service{
		Name:    "dlm",
		Setup:   "as it comes: `server --data DIR`; synced before it answers, keep-alives, duplicate detection and checksums on",
		Find:    func() error { _, err := os.Stat(server); return err },
		Version: func() (string, error) { return Output(server, "--version") },
		Ports:   2,
		Start: func(dir string, ports []int) Command {
			return Command{Path: server, Args: []string{
				"--data", filepath.Join(dir, "data"), "--listen", local(ports[0]), "--admin", local(ports[1]), "--log-level", "warn",
			}}
		},
	}
}

// Library is our server through our client library.
func Library(s *Service) Peer {
	return Peer{
		Name: "dlm", Title: "dlm", How: "package client: one connection, one session; hand-off: a session for each worker",
		Service: s, Dial: dialLibrary,
	}
}

type library struct {
	client   *client.Client
	sessions []*client.Session
}

func dialLibrary(ctx context.Context, addr string, use Use) (Client, error) {
	c, err := client.Dial(addr)
	if err != nil {
		return nil, err
	}
	l := &library{client: c}
	for range sessionsOf(use, 1) {
		s, err := c.OpenSession(ctx)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		l.sessions = append(l.sessions, s)
	}
	return l, nil
}

// sessionsOf is how many sessions a use asks for where workers share connections.
func sessionsOf(use Use, connections int) int {
	switch {
	case use.One:
		return 1
	case use.Apart:
		return use.Workers
	}
	return min(use.Workers, connections)
}

func (l *library) Lock(ctx context.Context, worker int, name string) (Held, error) {
	return l.sessions[worker%len(l.sessions)].Lock(ctx, name)
}

func (l *library) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, s := range l.sessions {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(append(errs, l.client.Close())...)
}

// Unary is our server as other languages use it: a gRPC call for each request.
func Unary(s *Service) Peer {
	return Peer{
		Name: "dlm-unary", Title: "dlm, unary calls", How: "the gRPC service Call: 4 connections, a session for each worker",
		Service: s, Only: []string{"pairs-64"}, Dial: dialUnary,
	}
}

type unary struct {
	conns   []*grpc.ClientConn
	callers []*caller
}

// caller is one worker with a session of its own. Its requests follow each other, so it awaits nothing but the last one.
type caller struct {
	rpc               dlmv1grpc.LocksClient
	session, instance uint64
	sequence          uint64
}

func dialUnary(ctx context.Context, addr string, use Use) (Client, error) {
	u := &unary{}
	for range min(use.Workers, 4) {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, errors.Join(err, u.Close())
		}
		u.conns = append(u.conns, conn)
	}
	for i := range use.Workers {
		c := &caller{rpc: dlmv1grpc.NewLocksClient(u.conns[i%len(u.conns)])}
		key := make([]byte, 16)
		_, _ = rand.Read(key) // it never fails
		a, err := c.rpc.Call(ctx, &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key}}})
		if err != nil {
			return nil, errors.Join(err, u.Close())
		}
		c.session, c.instance = a.GetSession(), a.GetInstance()
		u.callers = append(u.callers, c)
	}
	return u, nil
}

func (c *caller) request() *dlmv1.Request {
	c.sequence++
	return &dlmv1.Request{Session: c.session, Instance: c.instance, Sequence: c.sequence, Watermark: c.sequence}
}

func (u *unary) Lock(ctx context.Context, worker int, name string) (Held, error) {
	c := u.callers[worker]
	r := c.request()
	r.Op = &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: name}}
	a, err := c.rpc.Call(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	return &unaryHeld{c, name, a.GetToken()}, nil
}

type unaryHeld struct {
	c     *caller
	name  string
	token uint64
}

func (h *unaryHeld) Unlock(ctx context.Context) error {
	r := h.c.request()
	r.Op = &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: h.name, Token: h.token}}
	_, err := h.c.rpc.Call(ctx, r)
	return err
}

func (u *unary) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, c := range u.callers {
		r := c.request()
		r.Op = &dlmv1.Request_Close{Close: &dlmv1.Close{}}
		_, err := c.rpc.Call(ctx, r)
		errs = append(errs, err)
	}
	for _, c := range u.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
