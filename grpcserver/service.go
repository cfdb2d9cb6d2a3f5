package grpcserver

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
)

// What a stream or a call ends with when it is the server that ends it.
var (
	errNotReading  = status.Error(codes.ResourceExhausted, "the client does not read its answers: too many bytes wait to be sent")
	errStopping    = status.Error(codes.Unavailable, "the server is stopping")
	errFailed      = status.Error(codes.Unavailable, "the server failed and stops")
	errManyStreams = status.Error(codes.ResourceExhausted, "too many streams are open")
	errManyCalls   = status.Error(codes.ResourceExhausted, "too many calls are under way")
)

// service is what gRPC sees of a Server.
type service struct {
	dlmv1grpc.UnimplementedLocksServer
	*Server
}

// frames is a client's stream, over gRPC or over a bare connection. Send and Recv may be called by two goroutines at once.
type frames interface {
	Send(*dlmv1.ServerFrame) error
	Recv() (*dlmv1.ClientFrame, error)
}

// Stream serves one client over gRPC.
func (s service) Stream(st grpc.BidiStreamingServer[dlmv1.ClientFrame, dlmv1.ServerFrame]) error {
	return s.stream(st.Context(), st)
}

// stream serves one client. It only waits: reader and writer are goroutines of their own. They end, wherever they are blocked, when what
// carries the stream does, and its owner ends that when stream has returned.
func (s service) stream(ctx context.Context, stream frames) error {
	defer s.share.streams.Add(-1)
	if s.share.streams.Add(1) > s.opts.MaxStreams {
		return errManyStreams
	}
	out := newOutbox(&s.share)
	id := s.lastConn.Add(1)
	if !s.inbox.put(event{kind: eventStream, conn: id, peer: out}) {
		return errStopping
	}
	defer s.inbox.put(event{kind: eventDisconnect, conn: id})
	s.running.Go(func() { s.read(stream, id, out) })
	s.running.Go(func() { write(stream, out) })
	select {
	case <-out.done:
	case <-ctx.Done():
		out.abort(ctx.Err())
	}
	return out.err()
}

// read brings what the client sends to the node, one frame at a time.
func (s service) read(stream frames, id uint64, out *outbox) {
	var alone solitude
	for {
		f, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			// The client has said everything and may still want its answers.
			out.halfClose()
			return
		}
		if err != nil {
			out.abort(err)
			return
		}
		n := len(f.GetRequests()) + len(f.GetReads())
		e := event{kind: eventFrame, conn: id, frame: f}
		if alone.frame(n, out.took(n)) && s.carry(e, stream, out) {
			continue
		}
		if !s.inbox.put(e) {
			return // the node goroutine ends the stream
		}
	}
}

// write is the stream's writer.
func write(stream frames, out *outbox) {
	for send(stream, out, false) {
		select {
		case <-out.wake:
		case <-out.done:
			return
		}
	}
}

// send sends whatever is ready in as few messages as it can. It says false if the stream has failed.
func send(stream frames, out *outbox, claimer bool) bool {
	for f := out.next(claimer); f != nil; f = out.next(claimer) {
		answers, waits := counts(f)
		if err := stream.Send(f); err != nil {
			out.abort(err)
			return false
		}
		out.answered(answers, waits)
	}
	return true
}

// counts are the answers in a frame, and its notices that an acquire waits.
func counts(f *dlmv1.ServerFrame) (answers, waits int) {
	for _, m := range f.GetNotices() {
		if m.GetKind() == dlmv1.Notice_KIND_QUEUED {
			waits++
		}
	}
	return len(f.GetAnswers()) + len(f.GetReads()), waits
}

// Call makes one request.
func (s service) Call(ctx context.Context, r *dlmv1.Request) (*dlmv1.Answer, error) {
	f, err := s.unary(ctx, &dlmv1.ClientFrame{Requests: []*dlmv1.Request{r}})
	if err != nil {
		return nil, err
	}
	if len(f.GetAnswers()) != 1 {
		return nil, status.Errorf(codes.Internal, "%d answers to one request", len(f.GetAnswers()))
	}
	a := f.GetAnswers()[0]
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return nil, reasonError(a.GetReason(), a.GetDetail(), a)
	}
	return a, nil
}

// Query makes one read.
func (s service) Query(ctx context.Context, r *dlmv1.Read) (*dlmv1.ReadAnswer, error) {
	f, err := s.unary(ctx, &dlmv1.ClientFrame{Reads: []*dlmv1.Read{r}})
	if err != nil {
		return nil, err
	}
	if len(f.GetReads()) != 1 {
		return nil, status.Errorf(codes.Internal, "%d answers to one read", len(f.GetReads()))
	}
	a := f.GetReads()[0]
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return nil, reasonError(a.GetReason(), a.GetDetail(), a)
	}
	return a, nil
}

// unary sends a frame on a connection of its own and waits for the only frame that comes back. A caller that goes away
// leaves its request to take effect all the same: asking again with the same sequence finds out.
func (s service) unary(ctx context.Context, f *dlmv1.ClientFrame) (*dlmv1.ServerFrame, error) {
	defer s.calls.Add(-1)
	if s.calls.Add(1) > s.opts.MaxCalls {
		return nil, errManyCalls
	}
	r := newReply()
	id := s.lastConn.Add(1)
	if !s.inbox.put(event{kind: eventCall, conn: id, peer: r, frame: f}) {
		return nil, errStopping
	}
	select {
	case got := <-r.frame:
		return got, nil
	case err := <-r.err:
		return nil, err
	case <-ctx.Done():
		s.inbox.put(event{kind: eventDisconnect, conn: id})
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}
