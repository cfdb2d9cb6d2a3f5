package sim

import (
	"time"

	"dlm/netsim"
)

// strike does what a fault says.
func (w *World) strike(f *Fault) {
	if w.healed {
		return
	}
	w.mark("fault: "+string(f.Kind), uint64(f.Client+1), uint64(f.For), b2u(f.Power))
	w.count("fault " + string(f.Kind))
	w.scribe.fault(f)
	s := w.server
	var c *client
	if f.Client >= 0 && f.Client < len(w.clients) {
		c = w.clients[f.Client]
	}
	switch f.Kind {
	case FaultServerCrash:
		s.crashWhen(f)
	case FaultCrashLoop:
		s.loop, s.loopFault = f.Times, f
		s.crash(f)
	case FaultDiskCrash:
		s.diskCrash = f
	case FaultServerStall:
		if s.up { // the next process knows nothing of it
			s.stalled = max(s.stalled, w.sim.Now()+f.For)
			s.stood = s.stalled
			w.scribe.freeze(serverLane, f.For, "stands still")
		}
	case FaultRate:
		w.setRate(f)
	case FaultBackup:
		w.backups.strike()
	default:
		w.disks.strike(f)
	}
	if c == nil {
		return
	}
	switch f.Kind {
	case FaultClientCrash:
		c.crash(f.For, time.Duration(b2u(f.For > time.Second))*f.For)
	case FaultClientStall:
		if f.Mid {
			c.freezeFor = f.For
		} else {
			c.stalled = max(c.stalled, w.sim.Now()+f.For)
			w.scribe.freeze(clientLane(c.id), f.For, "stands still")
		}
	case FaultCut, FaultIsolate:
		w.cut(f)
	case FaultClog:
		w.clog(f)
	case FaultReset:
		w.net.ResetClient(f.Client)
	}
}

func (w *World) setRate(f *Fault) {
	ppm := f.PPM % w.plan.Config.RateBound()
	if f.Client < 0 {
		w.server.clock.setRate(w.sim.Now(), ppm)
		if w.server.up {
			w.server.timer = 0
			w.server.arm()
		}
		return
	}
	if c := w.clients[f.Client%len(w.clients)]; c.up {
		c.clock.setRate(w.sim.Now(), ppm)
		c.timer = 0
		c.arm()
	}
}

func (w *World) cut(f *Fault) {
	first, last := f.Client, f.Client
	if f.Kind == FaultIsolate {
		first, last = 0, len(w.clients)-1
	}
	ways := f.ways()
	if f.Kind == FaultIsolate {
		ways = []netsim.Way{netsim.ToServer, netsim.ToClient}
	}
	set := func(cut bool) {
		for c := first; c <= last; c++ {
			for _, way := range ways {
				w.cutLink(c, way, cut)
			}
		}
	}
	set(true)
	w.sim.After(f.For, func() { set(false) })
}

// ways are the directions that a fault of one link is about.
func (f *Fault) ways() []netsim.Way {
	switch f.Way {
	case 0:
		return []netsim.Way{netsim.ToServer}
	case 1:
		return []netsim.Way{netsim.ToClient}
	}
	return []netsim.Way{netsim.ToServer, netsim.ToClient}
}

// clog stops a link; what piles up arrives at once in the end, or half of it does and the connection breaks.
func (w *World) clog(f *Fault) {
	for _, way := range f.ways() {
		w.net.Clog(f.Client, 0, way, true)
	}
	w.sim.After(f.For, func() {
		if f.Break && !w.healed {
			w.net.Break(f.Client, 0)
			return
		}
		for _, way := range f.ways() {
			w.net.Clog(f.Client, 0, way, false)
		}
	})
}

// cutLink cuts or mends one way of a client's link.
func (w *World) cutLink(client int, way netsim.Way, cut bool) {
	w.scribe.link(client, way, cut)
	w.net.Cut(client, 0, way, cut)
}

// heal ends all faults and requires that everything comes to rest: every call ends (L1), every lock comes free (G8), and
// what was acknowledged is there after one more power cut (G5).
func (w *World) heal() {
	if w.failure != nil {
		return
	}
	w.mark("heal", 0, 0, 0)
	w.scribe.heal()
	w.healed = true
	cfg := w.plan.Config.Net
	w.net.SetFaults(netsim.Faults{DelayMin: cfg.DelayMin, DelayMax: cfg.DelayMax, InOrder: true})
	for i, c := range w.clients {
		for _, way := range []netsim.Way{netsim.ToServer, netsim.ToClient} {
			w.cutLink(i, way, false)
			w.net.Clog(i, 0, way, false)
		}
		c.freezeFor = 0
		if c.stalled > w.sim.Now() {
			c.unstall()
		}
	}
	s := w.server
	w.disks.heal()
	if s.up {
		s.disk.StopAfter(-1)
	}
	s.diskCrash, s.crashAt, s.loop = nil, nil, 0
	if s.stalled > w.sim.Now() {
		s.unstall()
	}
	w.settle()
}
