package rig

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
)

// Raw asks the service without the library, so without its caution: it repeats any request, under any token.
type Raw struct {
	cc  *grpc.ClientConn
	rpc dlmv1grpc.LocksClient
}

// NewRaw connects when it is first used.
func NewRaw(addr string) (*Raw, error) {
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &Raw{cc: cc, rpc: dlmv1grpc.NewLocksClient(cc)}, nil
}

// Close ends the connection.
func (r *Raw) Close() { _ = r.cc.Close() }

// Call makes a request and returns its answer, refusals too; the error is about having got none.
func (r *Raw) Call(ctx context.Context, q *dlmv1.Request) (*dlmv1.Answer, error) {
	a, err := r.rpc.Call(ctx, q, grpc.WaitForReady(true))
	if err == nil {
		return a, nil
	}
	for _, d := range status.Convert(err).Details() {
		if a, ok := d.(*dlmv1.Answer); ok {
			return a, nil
		}
	}
	return nil, fmt.Errorf("no answer: %w", err)
}

// RawSession is a session that takes no care of itself: it is not renewed but by its requests.
type RawSession struct {
	raw      *Raw
	ID       uint64
	sequence uint64
}

// Open begins a session that lives for ttl after its last request.
func (r *Raw) Open(ctx context.Context, ttl time.Duration) (*RawSession, error) {
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	a, err := r.Call(ctx, &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key, TtlNanos: uint64(ttl), Label: "raw"}}})
	if err != nil {
		return nil, err
	}
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return nil, fmt.Errorf("open a session: %v: %s", a.GetReason(), a.GetDetail())
	}
	return &RawSession{raw: r, ID: a.GetSession()}, nil
}

// Call makes an operation of the session; only its op is set.
func (s *RawSession) Call(ctx context.Context, op *dlmv1.Request) (*dlmv1.Answer, error) {
	s.sequence++
	return s.raw.Call(ctx, &dlmv1.Request{Session: s.ID, Instance: 1, Sequence: s.sequence, Watermark: s.sequence, Op: op.GetOp()})
}

// FencedOp is an operation that needs a token.
type FencedOp struct {
	Name    string
	Request *dlmv1.Request
}

// Fenced are these operations with a token, for a former holder to try.
func Fenced(lock, file string, token uint64, data []byte) []FencedOp {
	return []FencedOp{
		{"append", &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: lock, Token: token, Data: data}}}},
		{"renew", &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: lock, Token: token}}}},
		{"release", &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: lock, Token: token}}}},
	}
}
