package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"dlm/replica/backup"
	"dlm/wal"
	"dlm/wal/osfs"
)

// BackupHeader describes a backup.
type BackupHeader = backup.Header

// BackupDamage is the error about a backup that is not as it was written.
type BackupDamage = backup.DamageError

// ErrNoStore: the directory is no data directory of a server.
var ErrNoStore = wal.ErrNoStore

// CheckBackup reads a whole backup, verifies it, and tells what it is of.
func CheckBackup(from io.Reader) (BackupHeader, error) {
	r, err := backup.NewReader(from)
	if err != nil {
		return BackupHeader{}, err
	}
	return r.Header, r.Verify()
}

// BackupDir makes a backup of a data directory that no server has. It recovers the directory as a start of the server does,
// answers nobody, and seals it again. Errors: ErrNoStore, and those of Open and Server.Backup.
func BackupDir(ctx context.Context, dir string, write func([]byte) error) error {
	exists, err := wal.Exists(osfs.New(), dir)
	if err == nil && !exists {
		err = fmt.Errorf("%w: in %s", ErrNoStore, dir)
	}
	if err != nil {
		return err
	}
	s, err := Open(Options{Dir: dir, Listener: &deafListener{closed: make(chan struct{})}})
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	select {
	case <-s.loop.ready:
		err = s.Backup(ctx, write)
		s.Stop()
	case <-ctx.Done():
		err = context.Cause(ctx)
		s.Stop()
	case fatal := <-served:
		return fatal
	}
	return errors.Join(err, <-served)
}

// deafListener accepts nobody.
type deafListener struct {
	once   sync.Once
	closed chan struct{}
}

func (l *deafListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l *deafListener) Close() error              { l.once.Do(func() { close(l.closed) }); return nil }

func (l *deafListener) Addr() net.Addr { return &net.UnixAddr{Name: "nowhere", Net: "unix"} }
