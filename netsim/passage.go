package netsim

import "time"

// Passage is a step in the life of a message, for whoever watches the network (Network.Observe).
type Passage struct {
	// Message is its number, from 1, over all links. All copies of a message share it.
	Message        uint64
	Step           Step
	Copy           Copy
	Client, Server int
	Way            Way
	// Frame must be neither kept nor changed.
	Frame []byte
	// Due is when the copy would have arrived; of StepSent and StepDropped only.
	Due time.Duration
}

// Step says what happened to a message.
type Step int

// The steps. The first is always StepSent; each copy then has one more, unless a Break or the end of the run comes before.
const (
	StepSent      Step = iota
	StepDelivered      // to a process
	StepDropped        // on the way
	StepCut            // it met a link that was cut
	StepReset          // it broke its connection instead of arriving
	StepGone           // nobody was at the other end: the connection had ended
)

// Copy says which copy of a message it is.
type Copy int

// The copies.
const (
	CopyFirst  Copy = iota
	CopySecond      // the duplicate that follows soon (Faults.DupPPM)
	CopyLate        // the one that comes much later (Faults.LatePPM)
)

// passing tells the observer, if there is one.
func (n *Network) passing(m *message, step Step, due time.Duration) {
	if n.Observe != nil {
		n.Observe(&Passage{
			Message: m.id, Step: step, Copy: m.which, Client: m.c.client, Server: m.c.server, Way: m.way, Frame: m.frame, Due: due,
		})
	}
}
