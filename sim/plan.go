package sim

import (
	"time"

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
	// DriftPPM is rho - 1 in millionths. All clocks stay within it. Simulated 100 .. 100,000.
	DriftPPM uint64
	// Faulty is how long faults strike; then the world heals.
	Faulty time.Duration
	// Net is in force until then.
	Net netsim.Faults
	// DiskMin and DiskMax bound how long a task takes on the disk (a tail reaches DiskSlow).
	DiskMin, DiskMax, DiskSlow time.Duration
	// GapMax bounds the time between the arrival of a frame and the reading of the clock for it, in server and client.
	GapMax time.Duration
	// SegmentBytes, SnapshotBytes and EntryBytes keep the server's files small, so that it cuts them often.
	SegmentBytes              int64
	SnapshotBytes, EntryBytes uint64
	// MaxPending is the server's. 0 = its default.
	MaxPending int
	// Window is the limit of awaited sequences. 0 = its default.
	Window uint64
	// AttemptTimeout, BackoffMin and BackoffMax are the engines'.
	AttemptTimeout, BackoffMin, BackoffMax time.Duration
}

// Actor is a thread of an application: one session at a time, and its operations one after the other.
type Actor struct {
	Client int
	Start  time.Duration
	TTL    time.Duration
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
	// Delete the file before the release.
	Delete bool `json:",omitempty"`
	// Forget: never release; the end of the session does.
	Forget bool `json:",omitempty"`
	// Now revokes without waiting for the holder.
	Now bool `json:",omitempty"`
	// Which picks among the variants of OpRead and OpStale, and among old tokens and sessions.
	Which uint64 `json:",omitempty"`
	Bytes int    `json:",omitempty"`
}

// FaultKind says what a Fault does.
type FaultKind string

// The kinds.
const (
	FaultServerCrash FaultKind = "server-crash"  // the process dies; Power: the machine too
	FaultDiskCrash   FaultKind = "disk-crash"    // the same in the middle of the next disk task; Way 1: of the next file task
	FaultServerStall FaultKind = "server-stall"  // the process stands still while its clock runs on
	FaultSync        FaultKind = "fail-sync"     // a sync fails
	FaultWrite       FaultKind = "fail-write"    // a write fails
	FaultClientCrash FaultKind = "client-crash"  // the process dies without a word and comes back after For
	FaultClientStall FaultKind = "client-freeze" // the process stands still for For while its clock runs on
	FaultCut         FaultKind = "cut"           // one link, Way 0 to the server, 1 to the client, 2 both
	FaultIsolate     FaultKind = "isolate"       // all links, both ways
	FaultReset       FaultKind = "reset"         // a client's connection breaks
	FaultRate        FaultKind = "clock-rate"    // a process's clock goes at another rate (Client -1 = the server)
)

// Fault is something bad that happens once.
type Fault struct {
	At     time.Duration
	Kind   FaultKind
	Client int           `json:",omitempty"`
	For    time.Duration `json:",omitempty"`
	Power  bool          `json:",omitempty"`
	Way    int           `json:",omitempty"`
	// Budget is how many disk operations still take place in the task that a crash interrupts, and at the restart after
	// it when Again is set (the process dies in recovery).
	Budget int    `json:",omitempty"`
	Again  bool   `json:",omitempty"`
	PPM    uint64 `json:",omitempty"`
	// Which draws the place of damage.
	Which uint64 `json:",omitempty"`
}
