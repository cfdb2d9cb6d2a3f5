package sim

import "time"

// FaultKind says what a Fault does.
type FaultKind string

// The kinds.
const (
	FaultServerCrash FaultKind = "server-crash"  // the process dies at its Point; Power: the machine too
	FaultCrashLoop   FaultKind = "crash-loop"    // the same Times over, each time soon after it is up again
	FaultDiskCrash   FaultKind = "disk-crash"    // the same in the middle of the next disk task; Way 1: of the next file task; Way 2: of the next one that ends a snapshot and lets files go
	FaultServerStall FaultKind = "server-stall"  // the process stands still while its clock runs on
	FaultSync        FaultKind = "fail-sync"     // a sync fails
	FaultWrite       FaultKind = "fail-write"    // a write fails
	FaultClientCrash FaultKind = "client-crash"  // the process dies without a word and comes back after For
	FaultClientStall FaultKind = "client-freeze" // the process stands still for For while its clock runs on
	FaultCut         FaultKind = "cut"           // one link, Way 0 to the server, 1 to the client, 2 both
	FaultIsolate     FaultKind = "isolate"       // all links, both ways
	FaultClog        FaultKind = "clog"          // one link, as for cut: what is sent piles up, and arrives at once in the end
	FaultReset       FaultKind = "reset"         // a client's connection breaks
	FaultRate        FaultKind = "clock-rate"    // a process's clock goes at another rate (Client -1 = the server)
	FaultBackup      FaultKind = "backup"        // an operator makes a backup; it is no fault, and must not be one
)

// CrashPoint is where in its work the server dies. The zero value is wherever it happens to be.
type CrashPoint string

// The points.
const (
	PointArrival CrashPoint = "arrival" // something has arrived and was not looked at
	PointDecided CrashPoint = "decided" // nothing of what was decided has been sent or written
	PointSent    CrashPoint = "sent"    // the answers were sent, the next batch was not begun
	PointSynced  CrashPoint = "synced"  // a batch was synced, and the node does not know it
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
	Budget int        `json:",omitempty"`
	Again  bool       `json:",omitempty"`
	Point  CrashPoint `json:",omitempty"`
	Times  int        `json:",omitempty"`
	// Mid freezes a client between the moment it decided to send and the sending.
	Mid bool `json:",omitempty"`
	// Break ends a clog by a reset: half of what piled up arrives.
	Break bool   `json:",omitempty"`
	PPM   uint64 `json:",omitempty"`
	// Which draws the place of damage.
	Which uint64 `json:",omitempty"`
}
