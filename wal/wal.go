// Package wal keeps a replica's log, snapshots and data files.
package wal

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/wal/vfs"
)

// ErrBroken is what every call returns after a write or a sync has failed.
var ErrBroken = errors.New("wal: the store is broken")

type Identity struct {
	ClusterID [16]byte
	MemberID  uint64
}

type Snapshot struct {
	Index, Term uint64
	Voters      []uint64
	Data        []byte
}

type Options struct{ SegmentBytes int64 }

type DamageError struct {
	File   string
	Offset int64
	Why    string
	Advice string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("wal: damage in %s at offset %d: %s; %s", e.File, e.Offset, e.Why, e.Advice)
}

type Report struct {
	Segments, Frames, Entries int
	TornBytes                 int64
}

type Recovered struct {
	Identity  Identity
	Snapshot  Snapshot
	HardState *raftpb.HardState
	Entries   []*raftpb.Entry
	Report    Report
}

type Batch struct {
	HardState *raftpb.HardState
	Entries   []*raftpb.Entry
}

type Store struct{}

var errTODO = errors.New("wal: not yet")

func Create(fs vfs.FS, dir string, id Identity, snap Snapshot) error { return errTODO }
func Exists(fs vfs.FS, dir string) (bool, error)                     { return false, errTODO }
func Open(fs vfs.FS, dir string, opt Options) (*Store, *Recovered, error) {
	return nil, nil, errTODO
}
func (s *Store) Append(b Batch) error                                { return errTODO }
func (s *Store) Cut(index uint64) error                              { return errTODO }
func (s *Store) Seal() error                                         { return errTODO }
func (s *Store) SaveSnapshot(sn Snapshot) error                      { return errTODO }
func (s *Store) WriteFile(id, offset uint64, data []byte) error      { return errTODO }
func (s *Store) SyncFiles() error                                    { return errTODO }
func (s *Store) RecoverFile(id, length uint64, tailCRC uint32) error { return errTODO }
func (s *Store) Close() error                                        { return errTODO }
func (s *Store) ReadFile(id, length uint64, tailCRC uint32, offset, n uint64) ([]byte, error) {
	return nil, errTODO
}
func (s *Store) CollectFiles(below uint64, live func(id uint64) bool) error { return errTODO }
