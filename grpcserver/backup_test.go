package grpcserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/core"
	"dlm/replica/backup"
	"dlm/wal"
)

// caller makes unary calls for a session.
type caller struct {
	t       *testing.T
	locks   dlmv1grpc.LocksClient
	session uint64
	seq     uint64
}

func newCaller(t *testing.T, locks dlmv1grpc.LocksClient, key byte) *caller {
	t.Helper()
	a, err := locks.Call(t.Context(), &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: bytes.Repeat([]byte{key}, 16)}}})
	if err != nil {
		t.Fatal(err)
	}
	return &caller{t: t, locks: locks, session: a.GetSession()}
}

func (c *caller) do(r *dlmv1.Request) (*dlmv1.Answer, error) {
	c.seq++
	r.Session, r.Instance, r.Sequence, r.Watermark = c.session, 1, c.seq, c.seq
	return c.locks.Call(c.t.Context(), r)
}

func (c *caller) append(file string, token uint64, data []byte) {
	c.t.Helper()
	if _, err := c.do(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: "l", Token: token, Data: data}}}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) lock() uint64 {
	c.t.Helper()
	a, err := c.do(&dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l"}}})
	if err != nil {
		c.t.Fatal(err)
	}
	return a.GetToken()
}

// receiveAll reads a backup from the wire.
func receiveAll(ctx context.Context, admin dlmv1grpc.AdminClient) ([]byte, error) {
	stream, err := admin.Backup(ctx, &dlmv1.BackupRequest{})
	if err != nil {
		return nil, err
	}
	var all []byte
	for {
		p, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p.GetData()...)
	}
}

// TestBackupUnderLoad: appends go on while backups are made, and each backup is a prefix of every file.
func TestBackupUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: filepath.Join(dir, "data"), SnapshotBytes: 64 << 10})
	locks, cc := s.connect()
	admin := dlmv1grpc.NewAdminClient(cc)
	c := newCaller(t, locks, 1)
	token := c.lock()
	for range 8 {
		c.append("big", token, bytes.Repeat([]byte("b"), 1<<20))
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				c.append("small", token, bytes.Repeat([]byte{byte(i)}, 5000))
			}
		}
	})
	var last []byte
	for range 5 {
		file, err := receiveAll(t.Context(), admin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckBackup(bytes.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		last = file
	}
	close(stop)
	load.Wait()
	s.stop()

	target := filepath.Join(dir, "restored")
	r, err := Restore(target, bytes.NewReader(last), 0)
	if err != nil || r.From.Files != 2 || r.FirstToken <= token {
		t.Fatalf("%+v, %v", r, err)
	}
	again := start(t, Options{Dir: target})
	defer again.stop()
	locks, _ = again.connect()
	_, err = c.locks.Call(t.Context(), &dlmv1.Request{})
	if err == nil {
		t.Fatal("the old server answers")
	}
	c.locks = locks
	_, err = c.do(&dlmv1.Request{Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}})
	if status.Code(err) != codes.NotFound {
		t.Fatalf("an old session is answered %v", err)
	}
	d := newCaller(t, locks, 2)
	if got := d.lock(); got < r.FirstToken || d.session <= c.session {
		t.Fatalf("session %d gets token %d", d.session, got)
	}
	if _, err := d.do(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "big", Lock: "l", Token: token, Data: []byte("x")}}}); status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("an old token is answered %v", err)
	}
}

// TestBackupOfOneWhoDoesNotRead: others are served, and the next backup can be made when he has gone.
func TestBackupOfOneWhoDoesNotRead(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	locks, cc := s.connect()
	admin := dlmv1grpc.NewAdminClient(cc)
	c := newCaller(t, locks, 1)
	token := c.lock()
	for range 4 {
		c.append("big", token, make([]byte, 1<<20))
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := admin.Backup(ctx, &dlmv1.BackupRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	c.append("big", token, []byte("x"))
	if _, err := receiveAll(t.Context(), admin); status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("a second one beside it: %v", err)
	}
	cancel()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := receiveAll(t.Context(), admin); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestBackupStopsWithTheServer: a stop does not wait for a backup that nobody takes.
func TestBackupStopsWithTheServer(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	_, cc := s.connect()
	stream, err := dlmv1grpc.NewAdminClient(cc).Backup(t.Context(), &dlmv1.BackupRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	s.stop()
}

// TestRestoreChecksTheClock: a backup whose tokens lie ahead of the clock needs a floor.
func TestRestoreChecksTheClock(t *testing.T) {
	ahead := core.FirstToken(wallMillis(time.Now().Add(time.Hour)))
	c, err := core.New(core.Config{ClusterID: [16]byte{1}, FirstToken: ahead})
	if err != nil {
		t.Fatal(err)
	}
	var e backup.Encoder
	file := e.Begin(backup.Header{ClusterID: [16]byte{1}, LastToken: c.LastToken()}, c.Backup())
	file = append(file, e.End()...)
	dir := t.TempDir()
	if _, err := Restore(dir, bytes.NewReader(file), 0); !errors.Is(err, ErrClock) {
		t.Fatalf("got %v", err)
	}
	if _, err := Restore(dir, bytes.NewReader(file), MaxTokenFloor+1); !errors.Is(err, ErrOptions) {
		t.Fatalf("got %v", err)
	}
	r, err := Restore(dir, bytes.NewReader(file), ahead+7)
	if err != nil || r.FirstToken != ahead+7 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestUnfinishedRestoreIsRefused: a server neither starts on one nor makes a cluster in its place.
func TestUnfinishedRestoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "restore-unfinished"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, wal.ErrUnfinished) {
		t.Fatalf("got %v", err)
	}
}
