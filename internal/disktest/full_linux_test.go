package disktest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := syscall.Mount("disktest", dir, "tmpfs", 0, "size=256m,mode=0700"); err != nil {
		t.Skipf("SKIPPED: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// fill leaves so many bytes free.
func fill(t *testing.T, disk string, leave int64) (free func()) {
	t.Helper()
	var st syscall.Statfs_t
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for { // the server may take some at the same time
		if err := syscall.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		size := int64(st.Bavail)*st.Bsize - leave
		if size <= 0 {
			break
		}
		had, err := f.Seek(0, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Fallocate(int(f.Fd()), 0, had, size); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

// prepared returns when the log's next segment is made.
func prepared(t *testing.T, s *rig.Server, dir string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(filepath.Join(dir, "next.tmp")); err == nil && info.Size() == 64<<20 {
			return
		}
		if time.Now().After(end) || s.Ended() {
			t.Fatalf("the next segment is not made:\n%s", s.Log())
		}
	}
}

// waitFor returns when the server's log says so.
func waitFor(t *testing.T, s *rig.Server, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if strings.Contains(s.Log(), text) {
			return
		}
		if time.Now().After(end) || s.Ended() {
			t.Fatalf("the server does not say %q:\n%s", text, s.Log())
		}
	}
}

// The disk fills up under a running server: appends are refused and say why; locks, renewals and releases go on, over a kill
// and a restart on the full disk too; when there is room again, appends succeed without anybody's help.
func TestDiskFillsUp(t *testing.T) {
	const ttl = 6 * time.Second
	disk := smallDisk(t)
	dir, ledger := filepath.Join(disk, "data"), rig.NewLedger()
	flags := []string{"--disk-reserve", "64MiB"}
	s, address := start(t, serverPath, dir, flags...)
	w := newWriter(t, ledger, address)
	defer func() { w.c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := w.work(ctx, 20, 1000); err != nil {
		t.Fatal(err)
	}

	prepared(t, s, dir)
	free := fill(t, disk, 16<<20)
	session, err := w.c.OpenSession(ctx, client.WithTTL(ttl))
	if err != nil {
		t.Fatal(err)
	}
	floor := ledger.Floor()
	l, err := session.Lock(ctx, "disk")
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.Granted("disk", l.Token(), floor); err != nil {
		t.Fatal(err)
	}
	refused := func() error {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return w.append(short, l, 1000)
	}
	// The first one may be let through: that has the disk looked at.
	for range 10 {
		if err = refused(); err != nil {
			break
		}
		time.Sleep(1100 * time.Millisecond)
	}
	if !errors.Is(err, client.ErrDiskFull) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an append to a disk that is nearly full: %v", err)
	}
	t.Logf("an append: %v", err)
	waitFor(t, s, "the disk is nearly full: appends are refused until there is room")
	other, err := session.Lock(ctx, "other")
	if err == nil {
		err = other.Unlock(ctx)
	}
	if err != nil {
		t.Fatalf("locking on a disk that is nearly full: %v", err)
	}

	// Not one byte is left, and the server is killed. What was made ahead for the log is room enough to start.
	prepared(t, s, dir)
	free()
	free = fill(t, disk, 0)
	if !s.Kill() {
		t.Fatalf("the server ended by itself:\n%s", s.Log())
	}
	w.c.Close()
	s, address = start(t, serverPath, dir, flags...)
	w = newWriter(t, ledger, address)
	session, err = w.c.OpenSession(ctx, client.WithTTL(ttl))
	if err != nil {
		t.Fatal(err)
	}
	floor = ledger.Floor()
	if l, err = session.Lock(ctx, "disk"); err != nil { // when the lease of the client that is gone has ended
		t.Fatal(err)
	}
	if err := ledger.Granted("disk", l.Token(), floor); err != nil {
		t.Fatal(err)
	}
	if err := refused(); !errors.Is(err, client.ErrDiskFull) {
		t.Fatalf("an append to a full disk: %v", err)
	}
	time.Sleep(ttl + time.Second) // renewals go on
	if err := l.Context().Err(); err != nil {
		t.Fatalf("the lock was lost on the full disk: %v", context.Cause(l.Context()))
	}

	// An append that waits goes through when there is room.
	done := make(chan error, 1)
	go func() { done <- w.append(ctx, l, 1000) }()
	time.Sleep(200 * time.Millisecond)
	free()
	if err := <-done; err != nil {
		t.Fatalf("an append when there is room again: %v", err)
	}
	waitFor(t, s, "the disk has room again: nothing is refused")
	if err := l.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	tally := check(t, dir, ledger, flags...)
	t.Logf("%d appends acknowledged, %d refused, of these %d kept", tally.Acked, tally.Unacked, tally.Kept)
}

// Without room for the log the server does not serve, and says why; when there is room it begins by itself.
func TestNoRoomToBegin(t *testing.T) {
	disk := smallDisk(t)
	free := fill(t, disk, 1<<20)
	s, err := rig.StartServer(serverPath, filepath.Join(disk, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	waitFor(t, s, "the disk is full and the log has no room left: everything is refused until there is room")
	if s.Served() {
		t.Error("it serves")
	}
	free()
	if _, err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
