package grpcserver

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dlm/wal/osfs"
	"dlm/wal/vfs"
)

// countingFS counts what reaches the disk.
type countingFS struct {
	vfs.FS
	writes, syncs atomic.Int64
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f *countingFS) Create(name string) (vfs.File, error) {
	file, err := f.FS.Create(name)
	return countingFile{file, f}, err
}

func (f *countingFS) Open(name string) (vfs.File, error) {
	file, err := f.FS.Open(name)
	return countingFile{file, f}, err
}

func (f countingFile) WriteAt(p []byte, at int64) (int, error) {
	f.fs.writes.Add(1)
	return f.File.WriteAt(p, at)
}

func (f countingFile) WriteSynced(p []byte, at int64) error {
	f.fs.writes.Add(1)
	f.fs.syncs.Add(1)
	return f.File.WriteSynced(p, at)
}

func (f countingFile) Sync() error {
	f.fs.syncs.Add(1)
	return f.File.Sync()
}

// A server that nobody asks anything writes nothing and has no turns, however long that lasts: with what is held until its session
// ends, and with a client that is connected and has no session.
func TestIdleServerDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &countingFS{FS: osfs.New()}
		var turns atomic.Int64 // each reads the clock
		began := time.Now()
		s := startInMemory(t, Options{Dir: t.TempDir(), FS: disk, Clock: func() time.Duration {
			turns.Add(1)
			return time.Since(began)
		}})
		c, cc := s.connect()
		defer cc.Close()
		if _, err := c.Stream(t.Context()); err != nil {
			t.Fatal(err)
		}
		session := must(t, c, open("a", 10*time.Minute)).GetSession()
		must(t, c, acquire(session, 1, "held", nil))
		rest := func(what string, d time.Duration, most int64) {
			t.Helper()
			turns.Store(0)
			disk.writes.Store(0)
			disk.syncs.Store(0)
			time.Sleep(d)
			synctest.Wait()
			if n, w, f := turns.Load(), disk.writes.Load(), disk.syncs.Load(); w != 0 || f != 0 || n > most {
				t.Errorf("%s: %d writes, %d syncs, %d readings of the clock, of which %d may be", what, w, f, n, most)
			}
		}
		time.Sleep(10 * time.Second) // the mark after the last batch
		rest("while a lock is held", 9*time.Minute, 0)
		time.Sleep(time.Minute) // the session ends
		read, err := c.Query(timeout(t), getLock("held"))
		if err != nil || len(read.GetLock().GetHolders()) != 0 {
			t.Fatalf("the session has not ended: %v %v", read, err)
		}
		time.Sleep(10 * time.Second)
		rest("with nothing held", 2*time.Hour, 0)
		s.stop()
	})
}
