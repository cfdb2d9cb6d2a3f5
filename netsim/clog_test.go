package netsim

import (
	"strings"
	"testing"
)

func TestCloggedFramesArriveAtOnceAndInOrder(t *testing.T) {
	s, e := setup(Faults{DelayMin: 1, DelayMax: 1})
	e.n.Clog(0, 0, ToServer, true)
	for _, m := range []string{"1", "2", "3"} {
		e.n.SendToServer(0, 7, []byte(m))
	}
	run(s)
	if len(e.got) != 0 {
		t.Fatalf("got %v through a clogged link", e.got)
	}
	e.n.SendToClient(e.lastServerConn, []byte("other way"))
	run(s)
	before := s.Now()
	e.n.Clog(0, 0, ToServer, false)
	run(s)
	if got := strings.Join(e.got, " "); got != "c:other way s:1 s:2 s:3" {
		t.Fatalf("got %q", got)
	}
	if s.Now() != before {
		t.Fatalf("released over %v, want at once", s.Now()-before)
	}
}

func TestBreakDeliversHalfAndEndsBothSides(t *testing.T) {
	s, e := setup(Faults{})
	e.n.Clog(0, 0, ToServer, true)
	e.n.Clog(0, 0, ToClient, true)
	for _, m := range []string{"1", "2", "3", "4"} {
		e.n.SendToServer(0, 7, []byte(m))
		e.n.SendToClient(e.lastServerConn, []byte(m))
	}
	run(s)
	e.n.Break(0, 0)
	run(s)
	if got := strings.Join(e.got, " "); got != "s:1 s:2 c:1 c:2" {
		t.Fatalf("got %q, want the first half of both ways", got)
	}
	e.n.SendToServer(0, 7, []byte("5"))
	e.n.SendToClient(e.lastServerConn, []byte("6"))
	run(s)
	if e.ended != 1 || len(e.got) != 4 {
		t.Fatalf("the client heard %d ends, frames %v; want 1 and none after the break", e.ended, e.got)
	}
}

// The end of a connection is not heard through a cut; when the link is mended it is.
func TestEndsWaitForACut(t *testing.T) {
	s, e := setup(Faults{})
	e.n.Cut(0, 0, ToClient, true)
	e.n.Reset(0, 7)
	run(s)
	if e.ended != 0 {
		t.Fatal("the end was heard through a cut")
	}
	e.n.Cut(0, 0, ToClient, false)
	run(s)
	if e.ended != 1 {
		t.Fatalf("the client heard %d ends after the link was mended, want 1", e.ended)
	}
}
