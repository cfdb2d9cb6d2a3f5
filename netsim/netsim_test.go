package netsim

import (
	"testing"
	"time"
)

// ends records what the network delivers.
type ends struct {
	n                *Network
	accept           bool
	got              []string
	connected, ended int
	lastServerConn   uint64
}

func (e *ends) ClientConnected(int, uint64)             { e.connected++ }
func (e *ends) ClientDisconnected(int, uint64)          { e.ended++ }
func (e *ends) ClientReceive(_ int, _ uint64, f []byte) { e.got = append(e.got, "c:"+string(f)) }
func (e *ends) ServerAccept(_ int, conn uint64) bool    { e.lastServerConn = conn; return e.accept }
func (e *ends) ServerDisconnected(int, uint64)          {}
func (e *ends) ServerReceive(_ int, _ uint64, f []byte) { e.got = append(e.got, "s:"+string(f)) }

func run(s *Sim) {
	for s.Step() {
	}
}

func setup(f Faults) (*Sim, *ends) {
	s := NewSim()
	e := &ends{accept: true}
	e.n = NewNetwork(s, 1, f, e)
	e.n.Dial(0, 7, 0)
	run(s)
	return s, e
}

func TestEventsRunInOrder(t *testing.T) {
	s := NewSim()
	var got []int
	for i := range 100 {
		s.At(time.Duration(i*37%10), func() { got = append(got, i*37%10*1000+i) })
	}
	run(s)
	for i := 1; i < len(got); i++ {
		if got[i-1] >= got[i] {
			t.Fatalf("event %d ran before %d", got[i-1], got[i])
		}
	}
}

func TestPerfectNetworkDelivers(t *testing.T) {
	s, e := setup(Faults{DelayMin: 1, DelayMax: 9, InOrder: true})
	for _, m := range []string{"1", "2", "3"} {
		e.n.SendToServer(0, 7, []byte(m))
	}
	run(s)
	e.n.SendToClient(e.lastServerConn, []byte("4"))
	run(s)
	want := []string{"s:1", "s:2", "s:3", "c:4"}
	if len(e.got) != len(want) {
		t.Fatalf("got %v, want %v", e.got, want)
	}
	for i := range want {
		if e.got[i] != want[i] {
			t.Fatalf("got %v, want %v", e.got, want)
		}
	}
}

func TestRefusedDialIsHeard(t *testing.T) {
	s := NewSim()
	e := &ends{}
	e.n = NewNetwork(s, 1, Faults{}, e)
	e.n.Dial(0, 1, 0)
	run(s)
	if e.connected != 0 || e.ended != 1 {
		t.Fatalf("connected %d times, ended %d times; want 0 and 1", e.connected, e.ended)
	}
}

func TestEachFaultStrikes(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Faults
		hits func(Stats) uint64
	}{
		{"drop", Faults{DropPPM: 300_000}, func(s Stats) uint64 { return s.Dropped }},
		{"duplicate", Faults{DupPPM: 300_000}, func(s Stats) uint64 { return s.Duplicated }},
		{"late", Faults{LatePPM: 300_000, LateMax: 100}, func(s Stats) uint64 { return s.Late }},
		{"slow", Faults{SlowPPM: 300_000, SlowMax: 100}, func(s Stats) uint64 { return s.Slow }},
	} {
		s, e := setup(c.f)
		for range 1000 {
			e.n.SendToServer(0, 7, []byte("x"))
		}
		run(s)
		if got := c.hits(e.n.Stats); got < 200 || got > 400 {
			t.Errorf("%s: struck %d of 1000 messages, want about 300", c.name, got)
		}
		want := 1000 + int(e.n.Stats.Duplicated) + int(e.n.Stats.Late) - int(e.n.Stats.Dropped)
		if len(e.got) != want {
			t.Errorf("%s: %d deliveries, want %d", c.name, len(e.got), want)
		}
	}
}

// To switch one fault off leaves what the others do to each message as it was.
func TestFaultsDoNotReshuffleEachOther(t *testing.T) {
	fates := func(f Faults) map[string]int {
		s, e := setup(f)
		for i := range 200 {
			e.n.SendToServer(0, 7, []byte{byte(i)})
		}
		run(s)
		m := map[string]int{}
		for _, g := range e.got {
			m[g]++
		}
		return m
	}
	both := fates(Faults{DropPPM: 200_000, DupPPM: 200_000})
	dupOnly := fates(Faults{DupPPM: 200_000})
	for i := range 200 {
		k := "s:" + string([]byte{byte(i)})
		if lost := dupOnly[k] - both[k]; lost != 0 && lost != 1 {
			t.Fatalf("message %d came %d times with drops and %d times without", i, both[k], dupOnly[k])
		}
	}
}

// greeter sends a frame as soon as it has a connection, as a server that says hello does.
type greeter struct {
	ends
	before int // frames that came before the client was connected
}

func (g *greeter) ServerAccept(_ int, conn uint64) bool {
	g.n.SendToClient(conn, []byte("hello"))
	g.n.sim.After(0, func() { g.n.SendToClient(conn, []byte("hello")) })
	return true
}

func (g *greeter) ClientReceive(client int, conn uint64, f []byte) {
	if g.connected == 0 {
		g.before++
	}
	g.ends.ClientReceive(client, conn, f)
}

func TestNothingComesBeforeTheConnection(t *testing.T) {
	for seed := range uint64(50) {
		s := NewSim()
		g := &greeter{}
		g.n = NewNetwork(s, seed, Faults{DelayMax: time.Second}, g)
		g.n.Dial(0, 7, 0)
		run(s)
		if g.before != 0 || len(g.got) != 1 {
			t.Fatalf("seed %d: %d frames came before the connection, %d in all, want 0 and 1", seed, g.before, len(g.got))
		}
	}
}

func TestCutLinkEatsFrames(t *testing.T) {
	s, e := setup(Faults{})
	e.n.Cut(0, 0, ToServer, true)
	e.n.SendToServer(0, 7, []byte("a"))
	run(s)
	e.n.Cut(0, 0, ToServer, false)
	e.n.SendToServer(0, 7, []byte("b"))
	run(s)
	if len(e.got) != 1 || e.got[0] != "s:b" {
		t.Fatalf("got %v, want only s:b", e.got)
	}
}

func TestResetEndsBothSides(t *testing.T) {
	s, e := setup(Faults{})
	e.n.Reset(0, 7)
	run(s)
	e.n.SendToServer(0, 7, []byte("a"))
	e.n.SendToClient(e.lastServerConn, []byte("b"))
	run(s)
	if e.ended != 1 || len(e.got) != 0 {
		t.Fatalf("the client heard %d ends, frames %v; want 1 and none", e.ended, e.got)
	}
}
