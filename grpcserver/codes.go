package grpcserver

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	dlmv1 "dlm/api/dlm/v1"
)

// codeOf maps every reason to the code that unary calls end with. The codes follow gRPC's own rules: Unavailable, and only
// it, may be repeated as it is; Aborted wants a step back; FailedPrecondition will not change by repeating.
var codeOf = map[dlmv1.Reason]codes.Code{
	dlmv1.Reason_REASON_OK:              codes.OK,
	dlmv1.Reason_REASON_INVALID:         codes.InvalidArgument,
	dlmv1.Reason_REASON_NOT_LEADER:      codes.Unavailable,
	dlmv1.Reason_REASON_OVERLOADED:      codes.ResourceExhausted,
	dlmv1.Reason_REASON_UNAVAILABLE:     codes.Unavailable,
	dlmv1.Reason_REASON_WINDOW_FULL:     codes.ResourceExhausted,
	dlmv1.Reason_REASON_TOO_OLD:         codes.OutOfRange,
	dlmv1.Reason_REASON_SEQUENCE_REUSED: codes.InvalidArgument,
	dlmv1.Reason_REASON_NO_SESSION:      codes.NotFound,
	dlmv1.Reason_REASON_SESSION_ENDED:   codes.NotFound,
	dlmv1.Reason_REASON_SESSION_EXPIRED: codes.FailedPrecondition,
	dlmv1.Reason_REASON_SESSION_CLOSED:  codes.FailedPrecondition,
	dlmv1.Reason_REASON_SESSION_REVOKED: codes.FailedPrecondition,
	dlmv1.Reason_REASON_INSTANCE_FENCED: codes.FailedPrecondition,
	dlmv1.Reason_REASON_NOT_ACQUIRED:    codes.Aborted,
	dlmv1.Reason_REASON_WAIT_TIMEOUT:    codes.DeadlineExceeded,
	dlmv1.Reason_REASON_CANCELLED:       codes.Canceled,
	dlmv1.Reason_REASON_ALREADY_HELD:    codes.AlreadyExists,
	dlmv1.Reason_REASON_ALREADY_WAITING: codes.AlreadyExists,
	dlmv1.Reason_REASON_STALE_TOKEN:     codes.FailedPrecondition,
	dlmv1.Reason_REASON_LOCK_REVOKED:    codes.FailedPrecondition,
	dlmv1.Reason_REASON_HOLD_LIMIT:      codes.FailedPrecondition,
	dlmv1.Reason_REASON_NOT_EXCLUSIVE:   codes.FailedPrecondition,
	dlmv1.Reason_REASON_WRONG_LOCK:      codes.FailedPrecondition,
	dlmv1.Reason_REASON_NOT_FOUND:       codes.NotFound,
	dlmv1.Reason_REASON_LIMIT:           codes.ResourceExhausted,
	dlmv1.Reason_REASON_DAMAGED:         codes.DataLoss,
	dlmv1.Reason_REASON_DISK_FULL:       codes.ResourceExhausted,
	dlmv1.Reason_REASON_UNSUPPORTED:     codes.Unimplemented,
}

// Code is the gRPC code that a reason becomes in a unary call. A reason that this version does not know is
// codes.Unknown.
func Code(r dlmv1.Reason) codes.Code {
	if c, ok := codeOf[r]; ok {
		return c
	}
	return codes.Unknown
}

// reasonError is the status of an answer that is not OK; the answer travels along for programs to read.
func reasonError(r dlmv1.Reason, detail string, answer protoadapt.MessageV1) error {
	text := r.String()
	if detail != "" {
		text += ": " + detail
	}
	st := status.New(Code(r), text)
	if with, err := st.WithDetails(answer); err == nil {
		st = with
	}
	return st.Err()
}
