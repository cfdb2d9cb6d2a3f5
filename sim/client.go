package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
	"dlm/netsim"
)

// client is one client machine: its process holds the real engine and the actors that use it.
type client struct {
	w     *World
	id    int
	rng   *netsim.RNG
	clock clock

	engine *engine.Engine
	up     bool
	life   uint64

	inbox   []clientEvent
	waking  bool
	wakes   uint64 // counts them, so that one that was superseded does nothing
	stalled time.Duration
	// freezeFor: the process stands still for so long when it next has something to send; frozen is what it had decided.
	freezeFor time.Duration
	frozen    *engine.Effects
	timer     time.Duration
	actors    []*actor
	// instances are those of the process's sessions, as it was told.
	instances map[uint64]uint64
	calls     []*call // open, in the order in which they were made
}

type clientEvent struct {
	conn         uint64
	frame        []byte
	connected    bool
	disconnected bool
	run          func()
	cause        uint64
}

// call is one open call of an actor.
type call struct {
	id       engine.Call
	made     time.Duration // true time
	deadline time.Duration // local, 0 = none
	acked    uint64        // highest log position that anybody had an answer from when the call was made
	asked    asked
	past     *pastCall
	done     func(engine.Completion)
}

// asked is what a call was made for.
type asked struct {
	session uint64         // 0: none, or one that is only now opened
	op      *dlmv1.Request // of which only the op is set
	read    *dlmv1.Read
}

func newClient(w *World, id int) *client {
	c := &client{w: w, id: id, rng: netsim.NewRNG(w.plan.Seed, streamClient, uint64(id))}
	c.clock = clock{localAt: c.rng.Between(time.Hour, 1000*time.Hour), ppm: c.rng.Uint64() % w.plan.Config.RateBound()}
	return c
}

func (c *client) read() time.Duration { return c.clock.read(c.w.sim.Now()) }

func (c *client) start() {
	cfg := c.w.plan.Config
	c.life++
	// A process draws its session keys from a source of its own.
	rng := netsim.NewRNG(c.w.plan.Seed, streamClient, uint64(c.id), c.life)
	c.engine = engine.New(engine.Config{
		Servers: 1, AttemptTimeout: cfg.AttemptTimeout, BackoffMin: cfg.BackoffMin, BackoffMax: cfg.BackoffMax,
		QueuedRetry: cfg.QueuedRetry, FrameBytes: cfg.FrameBytes, LargeBytes: cfg.LargeBytes, LargeOutBytes: cfg.LargeOutBytes,
		UnderWay: cfg.UnderWay,
	}, rng)
	c.up, c.instances = true, map[uint64]uint64{}
	c.w.mark("client up", uint64(c.id), c.life, 0)
	c.w.scribe.up(clientLane(c.id), "the client's process starts")
	for _, a := range c.actors {
		a.begin()
	}
	c.flush()
}

// crash ends the process without a word.
func (c *client) crash(back time.Duration, silent time.Duration) {
	if !c.up {
		return
	}
	c.w.mark("client down", uint64(c.id), c.life, 0)
	c.w.scribe.down(clientLane(c.id), "crash", nil, "the client's process dies without a word")
	c.w.count("client crash")
	c.up, c.engine, c.inbox, c.calls, c.timer, c.waking, c.stalled = false, nil, nil, nil, 0, false, 0
	c.freezeFor, c.frozen = 0, nil
	c.life++
	c.w.leases.clientDied(c.id)
	c.w.net.CloseClient(c.id, silent)
	c.w.sim.After(back, func() {
		if !c.up {
			c.start()
		}
	})
}

func (c *client) deliver(e clientEvent) {
	if !c.up {
		return
	}
	e.cause = c.w.sim.Cause
	c.inbox = append(c.inbox, e)
	c.wake(c.rng.Between(0, c.w.gap()))
}

func (c *client) wake(d time.Duration) {
	if c.waking {
		return
	}
	c.waking = true
	c.wakes++
	life, n := c.life, c.wakes
	c.w.sim.At(max(c.w.sim.Now()+d, c.stalled), func() {
		if c.life != life || c.wakes != n {
			return
		}
		c.waking = false
		if c.stalled > c.w.sim.Now() {
			c.wake(0)
			return
		}
		c.work()
	})
}

// later runs f in the process after d, unless the process dies before.
func (c *client) later(d time.Duration, f func()) {
	life := c.life
	c.w.sim.After(d, func() {
		if c.life == life {
			c.deliver(clientEvent{run: f})
		}
	})
}

func (c *client) work() {
	if c.frozen != nil {
		c.thaw()
	}
	inbox := c.inbox
	c.inbox = nil
	for _, e := range inbox {
		now := c.read()
		c.w.sim.Cause = e.cause
		switch {
		case e.connected:
			c.engine.Connected(now, e.conn)
		case e.disconnected:
			c.engine.Disconnected(now, e.conn)
		case e.run != nil:
			e.run()
		default:
			var f dlmv1.ServerFrame
			if err := f.UnmarshalVT(e.frame); err != nil {
				c.w.fail("sim", "a frame does not decode: %v", err)
				return
			}
			c.w.delivered(c, &f)
			c.engine.Receive(now, e.conn, &f)
		}
	}
	c.flush()
}

// flush lets the engine act until it wants nothing more now: the end of a call may make an actor begin the next.
func (c *client) flush() {
	for rounds := 0; ; rounds++ {
		eff := c.engine.Flush(c.read())
		if c.freezeFor > 0 && len(eff.Frames) > 0 {
			c.freeze(eff)
			return
		}
		if !c.perform(eff) {
			break
		}
		if rounds > 1000 {
			c.w.fail("L1", "client %d makes no progress: calls end and begin without time passing", c.id)
			return
		}
	}
	c.arm()
}

// perform does what the engine wants done. It says whether calls ended, so that there may be more to do.
func (c *client) perform(eff engine.Effects) bool {
	for _, conn := range eff.Close {
		c.w.net.Close(c.id, conn)
	}
	for _, d := range eff.Dial {
		c.w.net.Dial(c.id, d.Conn, d.Server)
	}
	for _, o := range eff.Frames {
		c.w.sent(c, o.Frame)
		b, err := o.Frame.MarshalVT()
		if err != nil {
			c.w.fail("sim", "a frame does not encode: %v", err)
			return false
		}
		c.w.net.SendToServer(c.id, o.Conn, b)
	}
	for _, e := range eff.Events {
		c.w.mark("event", uint64(c.id), uint64(e.Kind), e.Token)
		c.w.scribe.told(c, &e)
		c.w.probes.event(c, &e)
		c.w.guarded.event(c, e)
		c.w.past.event(e)
	}
	for _, d := range eff.Done {
		c.complete(d)
	}
	return len(eff.Done) > 0
}

// freeze lets the process stand still when it has decided what to send and before it sends: what it believed by then may
// be long over when its frames leave.
func (c *client) freeze(eff engine.Effects) {
	c.w.mark("frozen before sending", uint64(c.id), uint64(c.freezeFor), 0)
	c.w.scribe.freeze(clientLane(c.id), c.freezeFor, "stands still, between its decision to send and the sending")
	c.stalled = max(c.stalled, c.w.sim.Now()+c.freezeFor)
	c.freezeFor, c.frozen = 0, &eff
	c.wake(0)
}

func (c *client) thaw() {
	eff := c.frozen
	c.frozen = nil
	c.w.probes.thaws(eff)
	c.perform(*eff)
}

func (c *client) complete(d engine.Completion) {
	for i, k := range c.calls {
		if k.id == d.Call {
			c.calls = append(c.calls[:i], c.calls[i+1:]...)
			c.w.completed(c, k, d)
			k.done(d)
			return
		}
	}
	c.w.fail("L1", "client %d: call %d ends twice or was never made", c.id, d.Call)
}

// made registers a call; done hears of its end.
func (c *client) made(id engine.Call, deadline time.Duration, asked asked, done func(engine.Completion)) {
	if asked.read != nil {
		c.w.scribe.asking(c, id, asked.read)
	} else {
		c.w.scribe.calling(c, id, asked.session, asked.op)
	}
	for _, o := range c.calls {
		if o.id.Place() == id.Place() {
			c.w.fail("sim", "client %d: calls %d and %d have one place", c.id, o.id, id)
		}
	}
	k := &call{id: id, made: c.w.sim.Now(), deadline: deadline, acked: c.w.replies.acked, asked: asked, done: done}
	c.w.past.made(c, k)
	c.calls = append(c.calls, k)
}

func (c *client) arm() {
	at, ok := c.engine.NextTimer()
	if !ok || at == c.timer {
		return
	}
	c.timer = at
	life := c.life
	c.w.sim.At(max(c.clock.when(at), c.stalled), func() {
		if c.life != life || c.timer != at {
			return
		}
		c.timer = 0
		c.wake(0)
	})
}

// unstall lets a process that stands still go on at once.
func (c *client) unstall() {
	if c.up {
		c.stalled, c.waking, c.timer = c.w.sim.Now(), false, 0
		c.wake(0)
	}
}
