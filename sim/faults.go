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
	w.note("fault: "+string(f.Kind), uint64(f.Client+1), uint64(f.For), b2u(f.Power))
	w.count("fault " + string(f.Kind))
	s := w.server
	var c *client
	if f.Client >= 0 && f.Client < len(w.clients) {
		c = w.clients[f.Client]
	}
	switch f.Kind {
	case FaultServerCrash:
		s.crash(f)
	case FaultDiskCrash:
		s.diskCrash = f
	case FaultServerStall:
		s.stalled = max(s.stalled, w.sim.Now()+f.For)
	case FaultRate:
		w.setRate(f)
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
		c.stalled = max(c.stalled, w.sim.Now()+f.For)
	case FaultCut, FaultIsolate:
		w.cut(f)
	case FaultReset:
		w.net.ResetClient(f.Client)
	}
}

func (w *World) setRate(f *Fault) {
	ppm := f.PPM % w.plan.Config.DriftPPM
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
	set := func(cut bool) {
		for c := first; c <= last; c++ {
			if f.Way != 1 || f.Kind == FaultIsolate {
				w.net.Cut(c, 0, netsim.ToServer, cut)
			}
			if f.Way != 0 || f.Kind == FaultIsolate {
				w.net.Cut(c, 0, netsim.ToClient, cut)
			}
		}
	}
	set(true)
	w.sim.After(f.For, func() { set(false) })
}

// heal ends all faults and requires that everything comes to rest: every call ends (L1), every lock comes free (G8), and
// what was acknowledged is there after one more power cut (G5).
func (w *World) heal() {
	if w.failure != nil {
		return
	}
	w.note("heal", 0, 0, 0)
	w.healed = true
	cfg := w.plan.Config.Net
	w.net.SetFaults(netsim.Faults{DelayMin: cfg.DelayMin, DelayMax: cfg.DelayMax, InOrder: true})
	for i, c := range w.clients {
		w.net.Cut(i, 0, netsim.ToServer, false)
		w.net.Cut(i, 0, netsim.ToClient, false)
		if c.stalled > w.sim.Now() {
			c.unstall()
		}
	}
	s := w.server
	w.disks.heal()
	if s.up {
		s.disk.StopAfter(-1)
	}
	s.diskCrash = nil
	if s.stalled > w.sim.Now() {
		s.unstall()
	}
	w.runUntil(w.sim.Now()+4*time.Second, nil)
	for _, c := range w.clients {
		for _, a := range c.actors {
			a.closed = true
		}
	}
	w.runUntil(w.sim.Now()+2*time.Second, nil)
	w.noOrphans()
	w.closeAll()
	if !w.runUntil(w.sim.Now()+60*time.Second, w.quiet) {
		w.fail("L1", "%s, 60 s after all was healed", w.unfinished())
		return
	}
	w.lastCheck()
}
