package grpcserver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dlm/wal/osfs"
	"dlm/wal/vfs"
)

// faultyFS fails or holds syncs of files when it is told to.
type faultyFS struct {
	vfs.FS
	fail atomic.Bool
	hold atomic.Pointer[chan struct{}]
}

type faultyFile struct {
	vfs.File
	fs *faultyFS
}

var errDisk = errors.New("the disk is on fire")

// holdSyncs has every sync wait until the returned function is called.
func (f *faultyFS) holdSyncs() (release func()) {
	hold := make(chan struct{})
	f.hold.Store(&hold)
	return func() { f.hold.Store(nil); close(hold) }
}

func (f *faultyFS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return faultyFile{file, f}, nil
}

func (f *faultyFS) Create(name string) (vfs.File, error) { return f.wrap(f.FS.Create(name)) }
func (f *faultyFS) Open(name string) (vfs.File, error)   { return f.wrap(f.FS.Open(name)) }

func (f faultyFile) WriteSynced(p []byte, off int64) error {
	_, err := f.WriteAt(p, off)
	return errors.Join(err, f.Sync())
}

func (f faultyFile) Sync() error {
	if hold := f.fs.hold.Load(); hold != nil {
		<-*hold
	}
	if f.fs.fail.Load() {
		return errDisk
	}
	return f.File.Sync()
}

// After a failed sync nothing is answered, and Serve says why.
func TestFailedSyncStopsTheServer(t *testing.T) {
	checkLeaks(t)
	disk := &faultyFS{FS: osfs.New()}
	o := Options{Dir: t.TempDir(), FS: disk, Lock: osfs.Lock}
	s := start(t, o)
	c, cc := s.connect()
	defer cc.Close()
	session := must(t, c, open("a", 0)).GetSession()
	idle := openStream(t, c)
	disk.fail.Store(true)
	if a, err := c.Call(timeout(t), acquire(session, 1, "x", nil)); status.Code(err) != codes.Unavailable {
		t.Errorf("the call was answered %v, %v", a, err)
	}
	if err := <-s.served; !errors.Is(err, errDisk) {
		t.Errorf("Serve: %v", err)
	}
	if _, err := idle.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	s.Stop() // says nothing more
	disk.fail.Store(false)
	start(t, o).stop()
}

// A disk that does not come back delays a stop for StopTimeout and no longer.
func TestStopDoesNotWaitForADeadDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &faultyFS{FS: osfs.New()}
		s := startInMemory(t, Options{Dir: t.TempDir(), FS: disk, StopTimeout: 7 * time.Second})
		c, cc := s.connect()
		defer cc.Close()
		session := must(t, c, open("a", 0)).GetSession()
		release := disk.holdSyncs()
		result := make(chan error, 1)
		go func() {
			_, err := c.Call(timeout(t), acquire(session, 1, "x", nil))
			result <- err
		}()
		synctest.Wait() // the request has reached the disk
		began := time.Now()
		s.Stop()
		if err := <-s.served; !errors.Is(err, ErrStopTimeout) {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if err := <-result; status.Code(err) != codes.Unavailable {
			t.Errorf("the call ended with %v", err)
		}
		release()
	})
}

// A call whose caller goes away frees its place, and its request takes effect all the same.
func TestCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &faultyFS{FS: osfs.New()}
		s := startInMemory(t, Options{Dir: t.TempDir(), FS: disk})
		c, cc := s.connect()
		defer cc.Close()
		session := must(t, c, open("a", 0)).GetSession()
		release := disk.holdSyncs()
		ctx, cancel := context.WithTimeout(timeout(t), time.Second) // the request reaches the disk within it: its time stands still until then
		defer cancel()
		if _, err := c.Call(ctx, acquire(session, 1, "x", nil)); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the call ended with %v", err)
		}
		synctest.Wait()
		if n := s.calls.Load(); n != 0 {
			t.Errorf("%d calls take up places", n)
		}
		release()
		synctest.Wait()
		read, err := c.Query(timeout(t), getLock("x"))
		if err != nil || len(read.GetLock().GetHolders()) != 1 {
			t.Fatalf("the request has not taken effect: %v %v", read, err)
		}
		if again := must(t, c, acquire(session, 1, "x", nil)); again.GetToken() != read.GetLock().GetHolders()[0].GetToken() {
			t.Errorf("answered %v, the holder is %v", again, read)
		}
		s.stop()
	})
}
