// Package fencing shows how a resource of your own refuses a holder whose lock has moved on: the token of the grant travels
// with each operation, the resource remembers the highest that it has seen, and refuses lower ones.
//
//	holder A, token 33 ---- pause ---------------------------> write(33): refused
//	                        lock moves on to holder B, token 34 --> write(34): done, remembers 34
//
// The rule is the same everywhere; what differs is how comparing and remembering become one step with the write. In a
// database that is a transaction, in an object store a conditional write, in a file a lock of the operating system.
package fencing

import "fmt"

// StaleError is the refusal: somebody with a newer token was here.
type StaleError struct{ Token, Seen uint64 }

func (e *StaleError) Error() string {
	return fmt.Sprintf("fencing: token %d is stale: %d was seen", e.Token, e.Seen)
}
