package engine

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// Effects is what the caller is to do after a Flush, in this order, and before the next one, which uses the room of Done again.
type Effects struct {
	// Close: end these connections. The engine has forgotten them; no Disconnected is needed (it is ignored).
	Close []uint64
	// Dial: make these connections, and report each with Connected or Disconnected.
	Dial []Dial
	// Frames: send these, in order for each connection. Their messages share the caller's
	// operations: read them, do not change them.
	Frames []Outgoing
	// Done: calls that ended.
	Done []Completion
	// Events: in the order in which they took place.
	Events []Event
}

// Dial asks for a connection. Connection numbers are the engine's and never reused.
type Dial struct {
	Conn   uint64
	Server int
}

// Outgoing is a frame to send.
type Outgoing struct {
	Conn  uint64
	Frame *dlmv1.ClientFrame
}

// Completion is the end of a call; each call has exactly one.
type Completion struct {
	Call Call
	// Answer to a logged request; also set beside an Err that came as an answer. Not to be changed.
	Answer *dlmv1.Answer
	// Read is the answer to a Query.
	Read *dlmv1.ReadAnswer
	// Session that was opened or attached, or that the call belonged to.
	Session uint64
	// LeaseEnd of a lock that was acquired, as Engine.LeaseEnd would say; if it has been lost since, an Event beside says so.
	LeaseEnd time.Duration
	// Err is nil exactly if the call succeeded.
	Err error

	opened, locked bool // what Abandon has to undo while the completion has not left yet
}

// EventKind says what an Event is about.
type EventKind int

const (
	// EventSessionLost: the session is gone with every hold of it (each got its LockLost before). Err says why. Not after
	// CloseSession.
	EventSessionLost EventKind = iota + 1
	// EventLockLost: the hold (Lock, Token) is gone. Err says why. Once per hold.
	EventLockLost
	// EventContended: somebody waits for Lock, which is held under Token. A hint.
	EventContended
	// EventQueued: the acquire Call waits for Lock in the server's queue. A hint.
	EventQueued
	// EventConnected: server Server answers.
	EventConnected
	// EventDisconnected: the connection to Server is gone; Err says why if the engine ended it.
	EventDisconnected
)

// Event is something that the application may want to know and did not ask for.
type Event struct {
	Kind    EventKind
	Session uint64
	Lock    string
	Token   uint64
	Call    Call
	Server  int
	// Err is why something was lost.
	Err error
}
