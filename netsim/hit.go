package netsim

import (
	"fmt"
	"slices"
)

// HitKind is a fault of the network that strikes single messages.
type HitKind string

// The kinds: those that have a rate in Faults.
const (
	HitDrop      HitKind = "drop"
	HitDuplicate HitKind = "duplicate"
	HitLate      HitKind = "late"
	HitSlow      HitKind = "slow"
	HitReset     HitKind = "reset"
	HitRefuse    HitKind = "refuse" // of a connection
)

// HitKinds are all of them.
func HitKinds() []HitKind {
	return []HitKind{HitDrop, HitDuplicate, HitLate, HitSlow, HitReset, HitRefuse}
}

// Hit is one fault that struck one message.
type Hit struct {
	Kind           HitKind
	Client, Server int
	Way            Way
	// Number of the message on this way of its link, from 1; of the connection, if Kind is HitRefuse.
	Number uint64
}

func (h Hit) String() string {
	what, way := "message", "to"
	if h.Way == ToClient {
		way = "from"
	}
	if h.Kind == HitRefuse {
		what = "connection"
	}
	return fmt.Sprintf("%s of %s %d of client %d %s server %d", h.Kind, what, h.Number, h.Client, way, h.Server)
}

// struckMost bounds what Struck remembers.
const struckMost = 20_000

// Struck are the hits so far, in the order in which they struck; no more than a bound.
func (n *Network) Struck() []Hit { return n.struck }

// strikes decides by a message's hash whether a fault hits it.
func (n *Network) strikes(h uint64, salt uint64, ppm int, hit Hit) bool {
	if ppm <= 0 || int(Hash(h, salt)%1_000_000) >= ppm {
		return false
	}
	if n.faults.Only != nil && !slices.Contains(n.faults.Only, hit) {
		return false
	}
	if len(n.struck) < struckMost {
		n.struck = append(n.struck, hit)
	}
	return true
}
