package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
)

// Backup writes a backup of a server to w: its state and the bytes of all files as they are at one log position, while it
// serves on. The bytes are whole only if the error is nil. patience is how long to wait for the first of them from each server;
// 0 = for ever.
//
// Errors: ErrUnavailable, ErrDamaged (it names file and place), those of w and ctx; another backup is being made.
func (c *Client) Backup(ctx context.Context, w io.Writer, patience time.Duration) error {
	n, ok := c.net.(*network)
	if !ok {
		return fmt.Errorf("client: backup: %w", ErrUnsupported)
	}
	var err error
	for _, cc := range n.grpc {
		var began bool
		if began, err = backupFrom(ctx, cc, w, patience); err == nil {
			return nil
		}
		if began || !errors.Is(err, ErrUnavailable) {
			break
		}
	}
	return fmt.Errorf("client: backup: %w", err)
}

// backupFrom says whether anything was written.
func backupFrom(ctx context.Context, cc *grpc.ClientConn, w io.Writer, patience time.Duration) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if patience == 0 {
		return copyBackup(ctx, cc, w, func() {})
	}
	timer := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%w: nothing came within %v", ErrUnavailable, patience)) })
	defer timer.Stop()
	return copyBackup(ctx, cc, w, func() { timer.Stop() })
}

// copyBackup calls first when the first bytes have come.
func copyBackup(ctx context.Context, cc *grpc.ClientConn, w io.Writer, first func()) (began bool, err error) {
	stream, err := dlmv1grpc.NewAdminClient(cc).Backup(ctx, &dlmv1.BackupRequest{}, grpc.WaitForReady(true))
	for err == nil {
		var p *dlmv1.BackupPart
		if p, err = stream.Recv(); err != nil {
			break
		}
		first()
		began = true
		if _, err := w.Write(p.GetData()); err != nil {
			return began, err
		}
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(err, io.EOF):
		return began, nil
	case cause != nil:
		return began, cause
	}
	return began, backupError(err)
}

func backupError(err error) error {
	st := status.Convert(err)
	switch st.Code() {
	case codes.DataLoss:
		return fmt.Errorf("%w: %s", ErrDamaged, st.Message())
	case codes.Unavailable:
		return fmt.Errorf("%w: %s", ErrUnavailable, st.Message())
	case codes.Unimplemented:
		return fmt.Errorf("%w: %s", ErrUnsupported, st.Message())
	}
	return errors.New(st.Message())
}
