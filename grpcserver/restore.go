package grpcserver

import (
	"errors"
	"fmt"
	"io"
	"time"

	"dlm/core"
	"dlm/replica/backup"
	"dlm/wal/osfs"
)

// ErrClock: this machine's wall clock does not lie beyond the tokens of the backup, so the tokens that were granted after the
// backup are not known to be below what it gives.
var ErrClock = errors.New("the wall clock of this machine is behind the tokens in the backup")

// MaxTokenFloor keeps tokens exact in a float64.
const MaxTokenFloor = 1 << 53

// Restored is what a restore has made.
type Restored struct {
	ClusterID [16]byte
	// FirstToken is the least token that the cluster will grant.
	FirstToken uint64
	From       BackupHeader
}

// Restore makes a data directory out of a backup; dir is missing or empty. No token below floor will be granted; without a
// floor (0) the wall clock has to be right, as far as that can be seen (ErrClock). Whatever goes wrong, dir is not one
// that a server would start on.
func Restore(dir string, from io.Reader, floor uint64) (_ Restored, err error) {
	if floor > MaxTokenFloor {
		return Restored{}, fmt.Errorf("%w: a token floor of %d is above %d: tokens would no longer be exact in a float64", ErrOptions, floor, uint64(MaxTokenFloor))
	}
	r, err := backup.NewReader(from)
	if err != nil {
		return Restored{}, err
	}
	now := time.Now()
	if least := core.FirstToken(wallMillis(now)); floor == 0 && least <= r.Header.LastToken {
		return Restored{}, fmt.Errorf("%w: it says %s, and token %d was granted by then; set the clock, or give a floor above every token that was granted",
			ErrClock, now.UTC().Format(time.DateTime), r.Header.LastToken)
	}
	id, err := newIdentity()
	if err != nil {
		return Restored{}, err
	}
	fsys := osfs.New()
	if err := fsys.MkdirAll(dir); err != nil {
		return Restored{}, err
	}
	unlock, err := osfs.Lock(dir)
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	c, err := backup.Restore(fsys, dir, r, backup.Target{
		Rebirth:  core.Rebirth{ClusterID: id.ClusterID, WallMillis: wallMillis(now), TokenFloor: floor},
		MemberID: id.MemberID,
	}, osfs.LockName)
	if err != nil {
		return Restored{}, err
	}
	return Restored{ClusterID: id.ClusterID, FirstToken: c.LastToken() + 1, From: r.Header}, nil
}
