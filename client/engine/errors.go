package engine

import (
	"errors"
	"fmt"

	dlmv1 "dlm/api/dlm/v1"
)

// What a call or a hold can end with. Test for them with errors.Is: what the engine returns is mostly an *Error, or
// wraps the sentinel together with what was got.
var (
	// ErrLost is what every loss of a session or of a hold is, besides its own reason below.
	ErrLost = errors.New("engine: lost")
	// ErrExpired: the session's lease ran out, by the cluster's clock or by ours.
	ErrExpired = errors.New("engine: the session expired")
	// ErrRevoked: an operator took the lock or the session away.
	ErrRevoked = errors.New("engine: revoked by an operator")
	// ErrHoldLimit: the hold's own limit passed.
	ErrHoldLimit = errors.New("engine: the hold limit passed")
	// ErrSessionClosed: the session was closed.
	ErrSessionClosed = errors.New("engine: the session was closed")
	// ErrFenced: another instance has attached the session.
	ErrFenced = errors.New("engine: another instance has taken over the session")
	// ErrNoSession: this engine or this cluster knows no such session.
	ErrNoSession = errors.New("engine: no such session")

	// ErrNotAcquired: a try found the lock taken or waited for.
	ErrNotAcquired = errors.New("engine: the lock was not free")
	// ErrWaitTimeout: the wait timeout passed before the lock came free.
	ErrWaitTimeout = errors.New("engine: the wait timeout passed")
	// ErrCancelled: the acquire was cancelled.
	ErrCancelled = errors.New("engine: the acquire was cancelled")
	// ErrAlreadyHeld: the session holds this lock, or waits for it, already.
	ErrAlreadyHeld = errors.New("engine: the session has or awaits this lock already")
	// ErrStaleToken: (lock, token) is not the current hold.
	ErrStaleToken = errors.New("engine: the token is not the current hold")
	// ErrNotExclusive: the operation needs an exclusive hold.
	ErrNotExclusive = errors.New("engine: the hold is not exclusive")

	// ErrUnavailable: no server took the request, or the answer cannot be had.
	ErrUnavailable = errors.New("engine: unavailable")
	// ErrDeadline: the call's deadline passed. Whether a request took effect is not known.
	ErrDeadline = errors.New("engine: deadline exceeded")
	// ErrAbandoned: the caller gave up.
	ErrAbandoned = errors.New("engine: abandoned by the caller")
	// ErrInvalid: the request is malformed or past a limit of its own.
	ErrInvalid = errors.New("engine: invalid request")
	// ErrUnsupported: the server does not know the operation.
	ErrUnsupported = errors.New("engine: not supported by the server")
	// ErrTooOld: answered and forgotten since, or given up before it came; not executed (again).
	ErrTooOld = errors.New("engine: the answer was forgotten")
	// ErrWrongLock: the file is bound to another lock.
	ErrWrongLock = errors.New("engine: the file is bound to another lock")
	// ErrNotFound: no such file or lock, or nothing to revoke.
	ErrNotFound = errors.New("engine: not found")
	// ErrLimit: a table is full or a size limit is reached.
	ErrLimit = errors.New("engine: a limit is reached")
	// ErrDamaged: stored bytes failed their checksum and were not served.
	ErrDamaged = errors.New("engine: stored bytes are damaged")
	// ErrDiskFull: the server's disk is full.
	ErrDiskFull = errors.New("engine: the disk is full")
	// ErrCluster: the servers that answer belong to another cluster than before (or to a restored one).
	ErrCluster = errors.New("engine: another cluster answers")
)

// Error is an answer other than OK.
type Error struct {
	Reason dlmv1.Reason
	Detail string
	// Answer is the whole answer, nil if the verdict did not come as one (a notice, a read). Do not change it.
	Answer *dlmv1.Answer
}

func (e *Error) Error() string {
	s := sentinelOf(e.Reason)
	text := fmt.Sprintf("engine: unknown reason %d", int32(e.Reason))
	if s != nil {
		text = s.Error()
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Is maps the reason to the sentinels of this package.
func (e *Error) Is(target error) bool {
	if target == ErrLost {
		return isLossReason(e.Reason)
	}
	return target != nil && sentinelOf(e.Reason) == target
}

// sentinelOf is the one place where reasons become errors.
func sentinelOf(r dlmv1.Reason) error {
	switch r {
	case dlmv1.Reason_REASON_INVALID:
		return ErrInvalid
	case dlmv1.Reason_REASON_UNSUPPORTED:
		return ErrUnsupported
	case dlmv1.Reason_REASON_NOT_LEADER, dlmv1.Reason_REASON_OVERLOADED, dlmv1.Reason_REASON_UNAVAILABLE,
		dlmv1.Reason_REASON_WINDOW_FULL:
		return ErrUnavailable
	case dlmv1.Reason_REASON_TOO_OLD, dlmv1.Reason_REASON_SEQUENCE_REUSED:
		return ErrTooOld
	case dlmv1.Reason_REASON_NO_SESSION, dlmv1.Reason_REASON_SESSION_ENDED:
		return ErrNoSession
	case dlmv1.Reason_REASON_SESSION_EXPIRED:
		return ErrExpired
	case dlmv1.Reason_REASON_SESSION_CLOSED:
		return ErrSessionClosed
	case dlmv1.Reason_REASON_SESSION_REVOKED, dlmv1.Reason_REASON_LOCK_REVOKED:
		return ErrRevoked
	case dlmv1.Reason_REASON_INSTANCE_FENCED:
		return ErrFenced
	case dlmv1.Reason_REASON_NOT_ACQUIRED:
		return ErrNotAcquired
	case dlmv1.Reason_REASON_WAIT_TIMEOUT:
		return ErrWaitTimeout
	case dlmv1.Reason_REASON_CANCELLED:
		return ErrCancelled
	case dlmv1.Reason_REASON_ALREADY_HELD, dlmv1.Reason_REASON_ALREADY_WAITING:
		return ErrAlreadyHeld
	case dlmv1.Reason_REASON_STALE_TOKEN:
		return ErrStaleToken
	case dlmv1.Reason_REASON_HOLD_LIMIT:
		return ErrHoldLimit
	case dlmv1.Reason_REASON_NOT_EXCLUSIVE:
		return ErrNotExclusive
	case dlmv1.Reason_REASON_WRONG_LOCK:
		return ErrWrongLock
	case dlmv1.Reason_REASON_NOT_FOUND:
		return ErrNotFound
	case dlmv1.Reason_REASON_LIMIT:
		return ErrLimit
	case dlmv1.Reason_REASON_DAMAGED:
		return ErrDamaged
	case dlmv1.Reason_REASON_DISK_FULL:
		return ErrDiskFull
	}
	return nil
}

// isLossReason: does the reason say that a session or a hold is gone?
func isLossReason(r dlmv1.Reason) bool {
	switch r {
	case dlmv1.Reason_REASON_NO_SESSION, dlmv1.Reason_REASON_SESSION_ENDED, dlmv1.Reason_REASON_SESSION_EXPIRED,
		dlmv1.Reason_REASON_SESSION_CLOSED, dlmv1.Reason_REASON_SESSION_REVOKED, dlmv1.Reason_REASON_INSTANCE_FENCED,
		dlmv1.Reason_REASON_STALE_TOKEN, dlmv1.Reason_REASON_LOCK_REVOKED, dlmv1.Reason_REASON_HOLD_LIMIT:
		return true
	}
	return false
}

// answerError is nil for OK.
func answerError(a *dlmv1.Answer) error {
	if a.GetReason() == dlmv1.Reason_REASON_OK {
		return nil
	}
	return &Error{Reason: a.GetReason(), Detail: a.GetDetail(), Answer: a}
}

// lossError joins ErrLost, so that errors.Is(err, ErrLost) holds for every way of losing, with its reason.
func lossError(why error, detail string) error {
	if errors.Is(why, ErrLost) {
		return why
	}
	if detail == "" {
		return fmt.Errorf("%w: %w", ErrLost, why)
	}
	return fmt.Errorf("%w: %w: %s", ErrLost, why, detail)
}
