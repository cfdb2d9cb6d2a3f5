package core

import (
	"fmt"
	"math"
)

// A backup is what outlives the sessions: limits, counters, and the records of files. A restore makes another cluster of it.
//
//	            kept                        ended                     new
//	backup      limits, files, counters     sessions, holds, queues
//	restore     limits, files, their locks  whatever is left of them  cluster id; tokens and session ids jump

// FirstToken is where the counter of tokens starts at a moment of the wall clock, in milliseconds since 1970: above every
// token of a cluster that was here before, as long as its grants averaged under two million a second (G3). Such tokens are
// exact in a float64 until 2109. It is never 0.
func FirstToken(wallMillis uint64) uint64 {
	return min(wallMillis, math.MaxUint64>>tokenShift)<<tokenShift | 1
}

const tokenShift = 11

// Rebirth says how a backup becomes a cluster.
type Rebirth struct {
	// ClusterID of the new cluster. It must differ from the one in the backup: that is how clients learn that their
	// sessions are gone.
	ClusterID [16]byte
	// WallMillis is the wall clock, in milliseconds since 1970.
	WallMillis uint64
	// TokenFloor: no token below it is granted. 0 = no floor.
	TokenFloor uint64
}

// Backup is what a restore needs of the state, as a snapshot: no session, no hold and no waiter is in it. Its time does not
// depend on how many of these there are.
func (c *Core) Backup() []byte {
	return c.estate().Snapshot()
}

// estate is the state without its sessions and all that ends with them. It shares the files.
func (c *Core) estate() *Core {
	e := newCore()
	e.limits, e.clusterID, e.index, e.now = c.limits, c.clusterID, c.index, c.now
	e.lastToken, e.lastWaiter, e.lastFile = c.lastToken, c.lastWaiter, c.lastFile
	e.sessions.last = c.sessions.last
	e.files = c.files
	return e
}

// Reborn is the lock table of a new cluster, made from the state in a backup. It stands at the log position after the backup's.
//
// Tokens go on above all that were granted before, also after the backup (G3): the first one is the greatest of the backup's
// last one + 1, FirstToken of the wall clock, and the floor. Session ids go on there too, so that a client which knows
// nothing but the id of a session of the former cluster never gets a stranger's.
func Reborn(backup []byte, r Rebirth) (*Core, error) {
	c, err := Restore(backup)
	if err != nil {
		return nil, err
	}
	if c.clusterID == r.ClusterID {
		return nil, fmt.Errorf("%w: a restored cluster needs an id of its own, and %x is the backup's", ErrConfig, r.ClusterID)
	}
	if c.lastToken >= math.MaxUint64-1 || c.sessions.last >= math.MaxUint64-1 {
		return nil, fmt.Errorf("%w: the backup's counters are at their end", ErrConfig)
	}
	e := c.estate()
	e.clusterID, e.index = r.ClusterID, c.index+1
	first := max(c.lastToken+1, FirstToken(r.WallMillis), r.TokenFloor)
	e.lastToken = first - 1
	e.sessions.last = max(c.sessions.last, e.lastToken)
	return e, nil
}

// Index is the log position of the last entry applied.
func (c *Core) Index() uint64 { return c.index }
