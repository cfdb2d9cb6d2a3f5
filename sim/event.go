package sim

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"dlm/netsim"
)

// Event is one thing that happened in a run, and what brought it about.
type Event struct {
	// ID counts from 1 in the order in which things happened.
	ID uint64
	// At is virtual time. Until ends what is known to last, such as a freeze; otherwise it is 0.
	At, Until time.Duration
	Lane      Lane
	Kind      Kind
	// What is the kind's variety: an operation, a fault, a way to go down.
	What string
	// Causes are the events without which this one would not have happened, the nearest first.
	Causes []uint64
	// Text says it in words.
	Text string

	// Client that it is about; -1 = none, or not known.
	Client int
	// Message of the network, To where it goes and which Copy it is.
	Message uint64
	To      Lane
	Copy    netsim.Copy
	// Way of a link that is cut or mended.
	Way netsim.Way
	// Index is a log position, Sequence a request's within its session.
	Index, Sequence uint64
	// Refused: the answer was not OK.
	Refused bool
	Shared  bool

	Locks    []string
	Sessions []uint64
	Tokens   []uint64
}

// Kind says what an Event is.
type Kind string

// The kinds, by the lane that they lie in.
const (
	// The world: no lane.
	KindViolation Kind = "violation" // a promise is broken; What is its number
	KindHeal      Kind = "heal"      // no more faults
	KindFault     Kind = "fault"     // of the plan; lies in the lane that it strikes
	KindNote      Kind = "note"      // anything else

	// Any machine.
	KindUp      Kind = "up"      // a process starts
	KindDown    Kind = "down"    // it is gone: crash, power cut, or it stopped
	KindFreeze  Kind = "freeze"  // it stands still while its clock runs on, until Until
	KindSend    Kind = "send"    // a message leaves
	KindDeliver Kind = "deliver" // a copy of it arrives (Lane is the receiver)
	KindDrop    Kind = "drop"    // it will not arrive: lost, met a cut link, broke its connection, nobody there (What)

	// A client.
	KindCall    Kind = "call"    // an application calls the library
	KindReturn  Kind = "return"  // the call ends
	KindAnswer  Kind = "answer"  // the library takes an answer in
	KindNotice  Kind = "notice"  // the library takes a notice in, or tells the application of something
	KindConnect Kind = "connect" // a connection stands, or is gone (What)
	KindHeld    Kind = "held"    // the library begins to say "held"
	KindLease   Kind = "lease"   // it says so until another time than before (Until)
	KindUnheld  Kind = "unheld"  // it stops saying so
	KindCut     Kind = "cut"     // one way of the link is cut
	KindMend    Kind = "mend"    // and mended

	// A server: what its lock table did.
	KindEntry   Kind = "entry"   // a log entry takes effect
	KindApply   Kind = "apply"   // one of its requests did, or was refused
	KindGrant   Kind = "grant"   // a hold begins
	KindRevoke  Kind = "revoke"  // its token is invalid; it still blocks
	KindEnd     Kind = "end"     // a hold is over: What says how
	KindWait    Kind = "wait"    // an acquire queues
	KindUnwait  Kind = "unwait"  // it queues no longer
	KindSession Kind = "session" // a session begins or ends (What)

	// A disk.
	KindDisk     Kind = "disk"     // a task begins: What is log or files; Until is when it ends if nothing intervenes
	KindDiskDone Kind = "done"     // it has ended
	KindSegment  Kind = "segment"  // a segment of the log appears or goes
	KindSnapshot Kind = "snapshot" // a snapshot does
	KindFile     Kind = "file"     // a data file or its sidecar does; What says how
	KindSyncDir  Kind = "syncdir"  // the names of a directory are synced
)

// Lane is a machine. Its zero value is the world.
type Lane struct {
	Machine Machine
	Number  int
}

// Machine is a sort of machine.
type Machine string

// The machines.
const (
	Client Machine = "client"
	Server Machine = "server"
	Disk   Machine = "disk"
)

func (l Lane) String() string {
	if l == (Lane{}) {
		return "world"
	}
	return string(l.Machine) + " " + strconv.Itoa(l.Number)
}

// String is the event as a line of the readable trace.
func (e *Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%12.6f %6s  %-9s %-9s %s", e.At.Seconds(), "#"+strconv.FormatUint(e.ID, 10), e.Lane, e.Kind, e.Text)
	for i, c := range e.Causes {
		fmt.Fprintf(&b, "%s#%d", [2]string{"  <- ", ", "}[min(i, 1)], c)
	}
	return b.String()
}

// WriteText writes events as the readable trace, a line each: time in seconds, number, machine, kind, what happened, and
// after an arrow the numbers of the events that brought it about.
func WriteText(w io.Writer, events []Event) error {
	for i := range events {
		if _, err := fmt.Fprintln(w, events[i].String()); err != nil {
			return err
		}
	}
	return nil
}
