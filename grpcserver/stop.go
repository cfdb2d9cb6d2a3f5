package grpcserver

import (
	"errors"
	"fmt"
	"net"
	"time"

	"dlm/wal"
)

// drainTimeout is how long a stop waits for clients to take their last frames, once nothing is left to be decided.
const drainTimeout = 2 * time.Second

// shutdown stops gracefully: nothing new, finish what was taken, send it, mark the log, close.
func (s *Server) shutdown(node <-chan error) error {
	s.opts.Logger.Info("stopping")
	began := time.Now()
	timeout := time.NewTimer(s.opts.StopTimeout)
	defer timeout.Stop()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.door.close()
		s.grpc.GracefulStop() // closes the listener, and tells clients to go elsewhere
		s.door.bare.Wait()
	}()
	s.inbox.put(event{kind: eventStop})
	select {
	case err := <-node:
		if err != nil {
			return s.fail(err)
		}
	case <-timeout.C:
		// The disk does not answer, so nothing may touch the store.
		s.inbox.put(event{kind: eventAbort, err: ErrStopTimeout})
		<-node
		s.stopNow()
		s.endDisk()
		return fmt.Errorf("%w: the disk has not finished within %v", ErrStopTimeout, s.opts.StopTimeout)
	}
	select {
	case <-drained:
	case <-time.After(min(drainTimeout, s.opts.StopTimeout)):
		s.stopNow() // somebody does not read, or watches health
		<-drained
	}
	s.endDisk()
	s.running.Wait()
	sealed := s.storage.store.Seal()
	if errors.Is(sealed, wal.ErrFull) {
		// Nothing is lost without it: it only tells the next start that the last batch is whole.
		s.opts.Logger.Warn("stopping without the log's last mark", "error", sealed)
		sealed = nil
	}
	if err := errors.Join(sealed, s.storage.close()); err != nil {
		return fmt.Errorf("grpcserver: closing the data directory: %w", err)
	}
	s.opts.Logger.Info("stopped", "took", inWords(time.Since(began)))
	return nil
}

// fail stops at once, after the node goroutine has ended with a fatal error. The log gets no mark: what the disk holds is for
// the next start to find out.
func (s *Server) fail(fatal error) error {
	err := fmt.Errorf("grpcserver: fatal: %w", fatal)
	s.opts.Logger.Error("stopping at once", "error", fatal)
	if e := s.opts.Listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	s.stopNow()
	s.endDisk()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.running.Wait()
	}()
	select {
	case <-ended:
		return errors.Join(err, s.storage.close())
	case <-time.After(s.opts.StopTimeout):
		return err // a task hangs in the disk, and the process ends
	}
}

// stopNow ends all connections, whatever they are doing, and waits for what serves them.
func (s *Server) stopNow() {
	s.door.cutAll()
	s.grpc.Stop()
	s.door.bare.Wait()
}

// endDisk lets the log and the file goroutine end. The node goroutine, which feeds them, has ended.
func (s *Server) endDisk() {
	close(s.loop.logs)
	close(s.loop.files)
}
