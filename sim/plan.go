package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/netsim"
)

// Plan is everything that a run depends on. It can be saved as JSON, and any part of its workload or faults left out.
type Plan struct {
	Seed   uint64
	Config Config
	Actors []Actor
	Faults []Fault
}

// Config is the world that a plan runs in.
type Config struct {
	// Clients are processes, each with one engine. Simulated 2 .. 6.
	Clients int
	// DriftPPM is rho - 1 in millionths, as the cluster is told. Simulated 100 .. 100,000.
	DriftPPM uint64
	// ClocksBeyondRho: clock rates leave that bound (see RateBound). Then leases may overlap, and fencing alone protects what
	// is written: G2 is not promised, all else is.
	ClocksBeyondRho bool `json:",omitempty"`
	// Faulty is how long faults strike; then the world heals.
	Faulty time.Duration
	// Net is in force until then.
	Net netsim.Faults
	// CalmResets: each client's connection still breaks about so often for some time after all is healed, and nothing else is
	// wrong. 0 = never; at least calmResetsLeast.
	CalmResets time.Duration `json:",omitempty"`
	// DiskMin and DiskMax bound how long a task takes on the disk (a tail reaches DiskSlow).
	DiskMin, DiskMax, DiskSlow time.Duration
	// Interleave: the tasks of the log and of the files take turns at each operation on the disk. Otherwise each is done at
	// one instant, and half done only if the process dies in it.
	Interleave bool `json:",omitempty"`
	// GapMax bounds the time between the arrival of a frame and the reading of the clock for it, in server and client.
	GapMax time.Duration
	// SegmentBytes, SnapshotBytes and EntryBytes keep the server's files small, so that it cuts them often.
	SegmentBytes              int64
	SnapshotBytes, EntryBytes uint64
	// OpenFiles is how many data files the server has open at once. 0 = its default.
	OpenFiles int `json:",omitempty"`
	// SnapshotSlice is how many records of a snapshot are encoded between two steps. 0 = the server's default, which is all of them.
	SnapshotSlice int `json:",omitempty"`
	// ReserveBytes of the disk are not for appends. At least a segment.
	ReserveBytes uint64
	// MaxPending is the server's. 0 = its default.
	MaxPending int
	// MaxWait is the server's. 0 = its default.
	MaxWait time.Duration `json:",omitempty"`
	// MaxFileBytes is the server's. 0 = its default.
	MaxFileBytes int `json:",omitempty"`
	// Window is the limit of awaited sequences. 0 = its default.
	Window uint64
	// Limits are the other limits that the cluster begins with.
	Limits Limits
	// AttemptTimeout, BackoffMin and BackoffMax are the engines'.
	AttemptTimeout, BackoffMin, BackoffMax time.Duration
	// QueuedRetry, FrameBytes, LargeBytes and LargeOutBytes are the engines'. 0 = their defaults.
	QueuedRetry                           time.Duration `json:",omitempty"`
	FrameBytes, LargeBytes, LargeOutBytes int           `json:",omitempty"`
	// UnderWay is the engines'. 0 = its default, which no simulated client reaches.
	UnderWay int `json:",omitempty"`
}

// rateBeyond is how fast clocks may go when they leave rho: up to twice as fast as others.
const rateBeyond = 1_000_000

// RateBound says by how much the rates of any two clocks of the run differ at most, in millionths: what the clocks really
// do, whatever the cluster was told.
func (c *Config) RateBound() uint64 {
	if c.ClocksBeyondRho {
		return rateBeyond
	}
	return c.DriftPPM
}

// Limits are those of the cluster's limits that a plan may make small. 0 = the default, or as before in a change.
type Limits struct {
	Sessions, Locks, HoldsPerSession, WaitersPerLock uint64 `json:",omitempty"`
	Window                                           uint64 `json:",omitempty"`
	ValueBytes, AppendBytes, Files, FileBytes        uint64 `json:",omitempty"`
	MaxHoldLimit                                     uint64 `json:",omitempty"` // nanoseconds
}

func (l *Limits) message() *dlmv1.Limits {
	return &dlmv1.Limits{
		Sessions: l.Sessions, Locks: l.Locks, HoldsPerSession: l.HoldsPerSession, WaitersPerLock: l.WaitersPerLock,
		Window: l.Window, ValueBytes: l.ValueBytes, AppendBytes: l.AppendBytes, Files: l.Files, FileBytes: l.FileBytes,
		MaxHoldLimitNanos: l.MaxHoldLimit,
	}
}

// Actor is a thread of an application: one session at a time, and its operations one after the other.
type Actor struct {
	Client int
	Start  time.Duration
	// TTL of its sessions. 0 = the cluster's default, 30 s.
	TTL time.Duration
	// Attach: after a crash of the client's process, take over the old session instead of opening another.
	Attach bool
	// ByHand: the session confirms revokes by its unlocks (engine.SessionOptions.ConfirmByHand).
	ByHand bool `json:",omitempty"`
	Ops    []Op
}

// OpKind says what an Op does.
type OpKind string

// The kinds.
const (
	OpLock       OpKind = "lock"        // acquire, hold, append, renew, release
	OpStale      OpKind = "stale"       // append, release or renew with a token that somebody once had
	OpRead       OpKind = "read"        // one of the reads
	OpRevoke     OpKind = "revoke"      // revoke a lock
	OpRevokeSess OpKind = "revoke-sess" // revoke a session
	OpClose      OpKind = "close"       // close the session; the next operation opens another
	OpTakeOver   OpKind = "take-over"   // go on as the new instance of somebody's session, who may still run
	OpSetLimits  OpKind = "set-limits"  // change the cluster's limits
)

// Op is one operation of an actor.
type Op struct {
	Kind OpKind
	// Think is the pause before it.
	Think time.Duration
	// Async: the actor does not wait for its end before the next one.
	Async bool   `json:",omitempty"`
	Lock  string `json:",omitempty"`
	// File that is appended to under Lock.
	File   string `json:",omitempty"`
	Shared bool   `json:",omitempty"`
	// Wait is the wait timeout: < 0 none, 0 try.
	Wait      time.Duration `json:",omitempty"`
	HoldLimit time.Duration `json:",omitempty"`
	LockDelay time.Duration `json:",omitempty"`
	// Deadline of each call. 0 = none.
	Deadline time.Duration `json:",omitempty"`
	// AbandonAfter: give the acquire up after so long. 0 = do not.
	AbandonAfter time.Duration `json:",omitempty"`
	// Hold the lock so long, with so many steps (appends, renewals) in between.
	Hold  time.Duration `json:",omitempty"`
	Steps int           `json:",omitempty"`
	// AtOnce: no step waits for the one before it.
	AtOnce bool `json:",omitempty"`
	// Overlap: each step begins when its time has come, whether the one before has ended or not.
	Overlap bool `json:",omitempty"`
	// NewLimit is the hold limit that renewals ask for. 0 = the one before.
	NewLimit time.Duration `json:",omitempty"`
	// Back: each renewal that asks for more is followed by one that sets the acquire's own limit again.
	Back bool `json:",omitempty"`
	// Delete the file before the release.
	Delete bool `json:",omitempty"`
	// Forget: never release; the end of the session does.
	Forget bool `json:",omitempty"`
	// Zombie: when the session is lost, go on with the old token under the next session.
	Zombie bool `json:",omitempty"`
	// Now revokes without waiting for the holder.
	Now bool `json:",omitempty"`
	// Again revokes the same once more so long after, not waiting for the first answer; AgainNow without waiting for the
	// holder. 0 = once.
	Again    time.Duration `json:",omitempty"`
	AgainNow bool          `json:",omitempty"`
	// Recent: a token that is revoked or checked is one of the last of Lock that an actor was told of.
	Recent bool `json:",omitempty"`
	// Which picks among the variants of OpRead and OpStale, and among old tokens and sessions.
	Which uint64 `json:",omitempty"`
	// Bytes of each append, Value those of the acquire's value (0 = 1).
	Bytes int `json:",omitempty"`
	Value int `json:",omitempty"`
	// Limits of OpSetLimits.
	Limits *Limits `json:",omitempty"`
}
