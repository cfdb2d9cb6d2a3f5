package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// Operators' requests go through the log as all others do, so they need a session: one that is opened for the request and
// closed after it.

// RevokeOption configures Revoke and RevokeSession.
type RevokeOption func(*revokeOptions)

type revokeOptions struct {
	token uint64
	now   bool
	why   string
	by    string
}

// RevokeToken revokes only the hold with this token. Default: every holder's.
func RevokeToken(token uint64) RevokeOption { return func(o *revokeOptions) { o.token = token } }

// RevokeNow gives the lock on without waiting for the holder to confirm or its lease to end: for that long two clients may
// both believe that they hold it.
func RevokeNow() RevokeOption { return func(o *revokeOptions) { o.now = true } }

// RevokeWhy is told to the holder.
func RevokeWhy(why string) RevokeOption { return func(o *revokeOptions) { o.why = why } }

// RevokeBy says who asks, such as user and host: the server's audit line names it. At most as long as a label may be.
func RevokeBy(who string) RevokeOption { return func(o *revokeOptions) { o.by = who } }

func newRevokeOptions(opts []RevokeOption) (o revokeOptions) {
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Revoke takes a lock away from its holders and tells which holds that were. Their tokens are invalid at once; the next
// holder waits until they have confirmed or their leases have ended. ErrNotFound if nobody holds it.
func (c *Client) Revoke(ctx context.Context, lock string, opts ...RevokeOption) ([]*dlmv1.Loss, error) {
	o := newRevokeOptions(opts)
	a, err := c.operate(ctx, fmt.Sprintf("revoke %q", lock), o.by,
		&dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: lock, Token: o.token, Now: o.now, Why: o.why}}})
	return a.GetLosses(), err
}

// RevokeSession ends another session, as Revoke ends a hold. RevokeToken has no effect.
func (c *Client) RevokeSession(ctx context.Context, session uint64, opts ...RevokeOption) error {
	o := newRevokeOptions(opts)
	_, err := c.operate(ctx, fmt.Sprintf("revoke session %d", session), o.by,
		&dlmv1.Request{Op: &dlmv1.Request_RevokeSession{RevokeSession: &dlmv1.RevokeSession{Session: session, Now: o.now, Why: o.why}}})
	return err
}

// SetLimits changes those limits of the cluster that are not 0.
func (c *Client) SetLimits(ctx context.Context, limits *dlmv1.Limits) error {
	_, err := c.operate(ctx, "set limits", "", &dlmv1.Request{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{Limits: limits}}})
	return err
}

// operatorTTL is how long an operator's session may be left behind when it could not be closed.
const operatorTTL = 5 * time.Second

// operate opens a session labelled with who asks; "" = with what is asked.
func (c *Client) operate(ctx context.Context, what, who string, r *dlmv1.Request) (*dlmv1.Answer, error) {
	// What is done to whom is in the request: a long name in the label would only run into the limit of labels.
	if who == "" {
		kind, _, _ := strings.Cut(what, " ")
		who = "operator: " + kind
	}
	s, err := c.OpenSession(ctx, WithTTL(operatorTTL), WithLabel(who))
	if err != nil {
		return nil, fmt.Errorf("client: %s: %w", what, err)
	}
	a, err := s.op(ctx, said(what), r)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(cancelled) // goes on in the background
	return a, err
}
