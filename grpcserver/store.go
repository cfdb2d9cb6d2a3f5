package grpcserver

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"dlm/core"
	"dlm/replica"
	"dlm/wal"
)

// storage is an open data directory.
type storage struct {
	store     *wal.Store
	recovered *wal.Recovered
	created   bool
	unlock    func() error
}

// openStorage takes the directory, makes a cluster in it if it holds none, and recovers what it holds.
func openStorage(o Options) (*storage, error) {
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("grpcserver: the data directory: %w", err)
	}
	unlock, err := o.Lock(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("grpcserver: the data directory: %w", err)
	}
	st := &storage{unlock: unlock}
	if err := st.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("grpcserver: the data directory %s: %w", o.Dir, err), unlock())
	}
	return st, nil
}

func (st *storage) open(o Options) error {
	exists, err := wal.Exists(o.FS, o.Dir)
	if err != nil {
		return err
	}
	if !exists {
		if err := create(o); err != nil {
			return err
		}
		st.created = true
	}
	st.store, st.recovered, err = wal.Open(o.FS, o.Dir, wal.Options{SegmentBytes: o.SegmentBytes})
	return err
}

// create makes a cluster of one member with ids that no other has.
func create(o Options) error {
	id, err := newIdentity()
	if err != nil {
		return err
	}
	snap, err := replica.InitialSnapshot(core.Config{
		Limits:     o.Limits,
		ClusterID:  id.ClusterID,
		FirstToken: core.FirstToken(wallMillis(time.Now())),
	}, id.MemberID)
	if err != nil {
		return err
	}
	return wal.Create(o.FS, o.Dir, id, snap)
}

func newIdentity() (wal.Identity, error) {
	var random [24]byte
	if _, err := rand.Read(random[:]); err != nil {
		return wal.Identity{}, err
	}
	return wal.Identity{
		ClusterID: [16]byte(random[:16]),
		MemberID:  max(binary.BigEndian.Uint64(random[16:]), 1), // 0 is nobody
	}, nil
}

// wallMillis is the one reading of a wall clock that anything is decided by: where the counter of tokens starts, at the
// creation of a cluster and after a restore (core.FirstToken).
func wallMillis(wall time.Time) uint64 { return uint64(max(wall.UnixMilli(), 0)) }

// close gives the directory back. The caller has made sure that no task runs.
func (st *storage) close() error {
	return errors.Join(st.store.Close(), st.unlock())
}
