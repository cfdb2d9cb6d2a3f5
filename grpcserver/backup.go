package grpcserver

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/replica"
	"dlm/replica/backup"
)

// backupPatience is how long one part of a backup may take to be taken. Its files cannot be let go while it lasts.
const backupPatience = time.Minute

// backupMessage is how many bytes of a backup travel in one message.
const backupMessage = 512 << 10

// Backup passes the bytes of a backup to write, in order, as the server is at one log position. write may block: nobody else
// waits for it. Errors are gRPC statuses, or write's.
func (s *Server) Backup(ctx context.Context, write func([]byte) error) error {
	id := s.lastConn.Add(1)
	parts := make(chan replica.BackupPart, 4)
	began := time.Now()
	if !s.inbox.put(event{kind: eventBackup, conn: id, parts: parts}) {
		return errStopping
	}
	defer s.inbox.put(event{kind: eventBackupEnd, conn: id})
	var enc backup.Encoder
	var header *backup.Header
	total := 0
	for {
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case p, ok := <-parts:
			if !ok {
				return errStopping
			}
			if p.Reason != dlmv1.Reason_REASON_OK {
				s.opts.Logger.Warn("no backup", "reason", p.Reason.String(), "detail", p.Detail)
				return status.Error(Code(p.Reason), p.Detail)
			}
			if !p.Done && !s.inbox.put(event{kind: eventBackupNext, conn: id}) { // read while these bytes are being sent
				return errStopping
			}
			var bytes []byte
			switch {
			case p.Header != nil:
				header = p.Header
				bytes = enc.Begin(*p.Header, p.State)
			case p.Done:
				bytes = enc.End()
			default:
				bytes = enc.Files(p.Data)
			}
			total += len(bytes)
			if err := write(bytes); err != nil {
				return err
			}
			if p.Done {
				s.opts.Logger.Info("backup made", "index", header.Index, "files", header.Files, "bytes", total,
					"took", inWords(time.Since(began)))
				return nil
			}
		}
	}
}

// adminService is what gRPC sees of a Server's operation.
type adminService struct {
	dlmv1grpc.UnimplementedAdminServer
	*Server
}

// Backup implements the rpc. A client that takes nothing for backupPatience is given up.
func (s adminService) Backup(_ *dlmv1.BackupRequest, stream grpc.ServerStreamingServer[dlmv1.BackupPart]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	slow := status.Error(codes.DeadlineExceeded, fmt.Sprintf("the backup's bytes were not taken for %v", backupPatience))
	done := make(chan error, 1)
	patience := time.AfterFunc(backupPatience, func() { cancel(slow) })
	defer patience.Stop()
	s.running.Go(func() {
		done <- s.Server.Backup(ctx, func(b []byte) error {
			for len(b) > 0 {
				part := b[:min(len(b), backupMessage)]
				b = b[len(part):]
				if err := stream.Send(&dlmv1.BackupPart{Data: part}); err != nil {
					return err
				}
				patience.Reset(backupPatience)
			}
			return nil
		})
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		// Returning ends the stream, and with it a Send that hangs.
		if cause := context.Cause(ctx); cause == slow {
			return slow
		}
		return status.FromContextError(ctx.Err()).Err()
	}
}
