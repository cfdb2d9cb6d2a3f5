package client

import (
	"context"
	"errors"
	"fmt"

	"dlm/client/engine"
)

// What a call or a lock can end with, for errors.Is. ErrLost holds for every loss, beside the reason.
var (
	// ErrLost: the session or the lock is gone. Comes with one of the five reasons below.
	ErrLost = engine.ErrLost
	// ErrExpired: the session was not renewed in time, by the cluster's clock or by ours.
	ErrExpired = engine.ErrExpired
	// ErrRevoked: an operator took the lock or the session away.
	ErrRevoked = engine.ErrRevoked
	// ErrHoldLimit: the hold's own limit passed.
	ErrHoldLimit = engine.ErrHoldLimit
	// ErrSessionClosed: the session was closed.
	ErrSessionClosed = engine.ErrSessionClosed
	// ErrFenced: another process has attached the session.
	ErrFenced = engine.ErrFenced

	// ErrNoSession: the cluster knows no such session.
	ErrNoSession = engine.ErrNoSession
	// ErrNotAcquired: TryLock found the lock taken or waited for.
	ErrNotAcquired = engine.ErrNotAcquired
	// ErrWaitTimeout: the time of Wait passed.
	ErrWaitTimeout = engine.ErrWaitTimeout
	// ErrCancelled: the acquire was cancelled.
	ErrCancelled = engine.ErrCancelled
	// ErrAlreadyHeld: the session holds the lock, or waits for it, already.
	ErrAlreadyHeld = engine.ErrAlreadyHeld
	// ErrStaleToken: (lock, token) is not the current hold.
	ErrStaleToken = engine.ErrStaleToken
	// ErrNotExclusive: the operation needs an exclusive hold.
	ErrNotExclusive = engine.ErrNotExclusive

	// ErrUnavailable: no server answered. Comes beside the ctx's error when a call ends while nothing is connected.
	ErrUnavailable = engine.ErrUnavailable
	// ErrDeadline: the deadline of ctx passed. Comes with context.DeadlineExceeded.
	ErrDeadline = engine.ErrDeadline
	// ErrInvalid: the request is malformed or past a limit of its own.
	ErrInvalid = engine.ErrInvalid
	// ErrUnsupported: the server does not know the operation.
	ErrUnsupported = engine.ErrUnsupported
	// ErrTooOld: the request was answered and the answer forgotten, or it was given up before it came. It takes no effect (again).
	ErrTooOld = engine.ErrTooOld
	// ErrWrongLock: the file is bound to another lock.
	ErrWrongLock = engine.ErrWrongLock
	// ErrNotFound: no such file or lock, or nothing to revoke.
	ErrNotFound = engine.ErrNotFound
	// ErrLimit: a table is full or a size limit is reached.
	ErrLimit = engine.ErrLimit
	// ErrDamaged: stored bytes failed their checksum and were not served.
	ErrDamaged = engine.ErrDamaged
	// ErrDiskFull: the server's disk is full.
	ErrDiskFull = engine.ErrDiskFull
	// ErrCluster: the servers belong to another cluster than before, or to a restored one.
	ErrCluster = engine.ErrCluster

	// ErrClosed: the Client was closed.
	ErrClosed = errors.New("client: the client is closed")
	// ErrReleased: the lock was released by Unlock. The cause of its Context from then on.
	ErrReleased = errors.New("client: the lock was released")
)

// Error is a server's refusal, with all that the server said. Use errors.As.
type Error = engine.Error

// callError puts into words how a call ended; the result wraps everything that a caller may ask for.
func (c *Client) callError(ctx context.Context, what fmt.Stringer, err error) error {
	switch {
	case errors.Is(err, engine.ErrAbandoned) && ctx.Err() != nil:
		cause := context.Cause(ctx)
		if refusal := (*Error)(nil); errors.As(err, &refusal) {
			cause = fmt.Errorf("%w; last refused: %w", cause, refusal)
		}
		err = cause
	case errors.Is(err, engine.ErrDeadline):
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	default:
		return fmt.Errorf("client: %s: %w", what, err)
	}
	if why := c.health.Load(); why != nil && !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("client: %s: %w (%w: %w)", what, err, ErrUnavailable, *why)
	}
	return fmt.Errorf("client: %s: %w", what, err)
}
