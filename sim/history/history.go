// Package history is what the clients of a run saw of locks and files: calls and answers, in true time, and nothing that the
// server knows. It is recorded by package sim and judged by package linear, which has goroutines and so cannot be a part
// of the simulated world.
package history

import "math"

// Kind says what an Op is.
type Kind string

// The kinds.
const (
	Grant    Kind = "grant"     // Token of Lock was granted to Session
	Release  Kind = "release"   // Token was given back
	Refused  Kind = "refused"   // something under Token was refused, because it is not the current hold
	Append   Kind = "append"    // Data was added to File at Offset under Token; unanswered: it may have been
	Delete   Kind = "delete"    // File was removed under Token; unanswered: it may have been
	View     Kind = "view"      // a read saw the Holders of Lock
	Current  Kind = "current"   // a read saw that Token is current
	ReadFile Kind = "read-file" // a read saw Data of File at Offset, of Length in all
	NoFile   Kind = "no-file"   // a read saw that there is no File
)

// Never is the return of a call that was not answered.
const Never = math.MaxInt64

// Op is one operation as its client saw it: it took place at one instant between Call and Return, in nanoseconds of true
// time. One that was not answered may have taken place, or not.
type Op struct {
	Kind         Kind
	Client       int
	Call, Return int64
	Session      uint64
	Lock         string
	Token        uint64
	Shared       bool
	Revoked      bool // of a Refused: because it was revoked
	File         string
	Offset       uint64
	Length       uint64
	Data         []byte
	Holders      []Holder
}

// Holder is one that a read saw.
type Holder struct {
	Session, Token  uint64
	Shared, Revoked bool
}

// Hold is what is known of a token besides the operations: the earliest instants at which the hold may have ended, or may
// have been revoked, by anything that the clients know of: a release or a close that was sent, a revoke, the hold limit,
// the end of the lease after its last renewal that was answered.
type Hold struct {
	Token, Session   uint64
	Lock             string
	Shared           bool
	Ends, RevokeFrom int64
}

// History is a whole run.
type History struct {
	Ops   []Op
	Holds []Hold
}
