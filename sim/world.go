package sim

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
	"dlm/core"
	"dlm/netsim"
)

// Failure is a broken promise.
type Failure struct {
	// Number of it in the design: G1 ... G9, L1 ...; "sim" if the simulator itself is at fault.
	Number string
	Text   string
	At     time.Duration
	// Invariant: the lock table's own check of itself found it. It is nearer to the cause than what comes of it later.
	Invariant bool `json:",omitempty"`
}

func (f *Failure) Error() string { return fmt.Sprintf("%s broken at %v: %s", f.Number, f.At, f.Text) }

// World is one run.
type World struct {
	plan    Plan
	sim     *netsim.Sim
	net     *netsim.Network
	server  *server
	clients []*client
	raft    *netsim.RNG
	disks   *diskFaults
	backups *backups

	logCheck *logChecker
	twins    *twinChecker
	images   imageChecker
	replies  *replyChecker
	leases   *leaseWatch
	terms    termChecker
	data     uint64 // how often bytes to append were made
	probes   *prober
	acked    ackedAppends
	past     *past
	guarded  sessionGuard

	healed   bool
	healedAt uint64 // the first log position after it
	// healedFrom is when it was, or when the server came up last if that is later; outage is when it went down last.
	healedFrom, outage time.Duration
	failure            *Failure
	hash               digest
	scribe             *scribe
	counts             map[string]int
	checks             map[string]int
	sessions           []uint64 // that an actor has opened
	tokens             []uint64 // that an actor was told
	holders            []uint64 // the session of each
}

// New makes the world of a plan. rec may be nil; otherwise it gets what happens.
func New(p Plan, rec *Recorder) *World {
	w := &World{
		plan: p, sim: netsim.NewSim(), raft: netsim.NewRNG(p.Seed, streamRaft), hash: newDigest(),
		counts: map[string]int{}, checks: map[string]int{},
	}
	w.net = netsim.NewNetwork(w.sim, netsim.Hash(p.Seed, streamNet), p.Config.Net, w)
	if w.scribe = newScribe(w, rec); w.scribe != nil {
		w.net.Observe = w.scribe.passage
	}
	w.terms.w = w
	w.probes = newProber(w)
	w.server = newServer(w)
	if w.scribe != nil {
		w.server.disk.Watch = w.scribe.named
	}
	w.disks = newDiskFaults(w)
	w.backups = newBackups(w)
	w.replies = newReplyChecker(w)
	w.logCheck = newLogChecker(w, w.replies, merged(core.DefaultLimits(), w.server.founding().Limits), p.Config.RateBound())
	w.logCheck.lastSession = firstToken - 1 // an older cluster may have given those
	w.replies.log = w.logCheck
	w.leases = newLeaseWatch(w)
	w.guarded.world = w
	w.past = newPast(w)
	for i := range p.Config.Clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	for i := range p.Actors {
		a := &p.Actors[i]
		if a.Client < len(w.clients) {
			c := w.clients[a.Client]
			c.actors = append(c.actors, &actor{c: c, plan: a})
		}
	}
	return w
}

// Entropy is what crypto/rand.Reader has to be while the world runs.
func (w *World) Entropy() io.Reader { return w.raft }

// Hash covers every event of the run so far.
func (w *World) Hash() uint64 { return uint64(w.hash) }

// Counts are how often what happened, Checks how often which promise was checked.
func (w *World) Counts() map[string]int {
	w.probes.counts(w.counts)
	return w.counts
}

// Checks are how often which promise was checked.
func (w *World) Checks() map[string]int { return w.checks }

// Steps is the number of events; Now how much virtual time has passed.
func (w *World) Steps() uint64 { return w.sim.Steps() }

// Now is the virtual time.
func (w *World) Now() time.Duration { return w.sim.Now() }

// Struck are the messages that the network's faults hit.
func (w *World) Struck() []netsim.Hit { return w.net.Struck() }

// Run runs the plan to its end, or to the first broken promise (a *Failure).
func (w *World) Run() error {
	if err := w.server.create(); err != nil {
		return err
	}
	var err error
	w.images.w = w
	if w.twins, err = newTwinChecker(w, w.server.founding()); err != nil {
		return err
	}
	defer w.server.tasks.drop()
	w.sim.At(0, func() { w.server.start(nil) })
	for _, c := range w.clients {
		w.sim.At(time.Millisecond, c.start)
	}
	for i := range w.plan.Faults {
		f := &w.plan.Faults[i]
		w.sim.At(f.At, func() { w.strike(f) })
	}
	w.runUntil(w.plan.Config.Faulty, nil)
	w.heal()
	if w.failure != nil {
		return w.failure
	}
	return nil
}

// runUntil steps until the time has come, or until done says so.
func (w *World) runUntil(end time.Duration, done func() bool) bool {
	const most = 2_000_000
	for w.failure == nil {
		if done != nil && done() {
			return true
		}
		at, ok := w.sim.NextAt()
		if !ok || at > end {
			return false
		}
		if w.sim.Steps() > most {
			w.fail("L1", "more than %d events: the run does not come to rest", most)
			return false
		}
		w.sim.Step()
		w.scribe.look()
		w.leases.check()
		w.guarded.step()
	}
	return false
}

func (w *World) fail(number, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{Number: number, Text: fmt.Sprintf(format, args...), At: w.sim.Now()}
		w.scribe.violation(w.failure)
	}
}

func (w *World) checked(number string) { w.checks[number]++ }
func (w *World) count(what string)     { w.counts[what]++ }

// mark adds to the hash of the run what a Recorder gets an event of its own for.
func (w *World) mark(what string, a, b, c uint64) {
	w.hash.num(uint64(w.sim.Now()), a, b, c)
	w.hash.text(what)
}

// note is mark for what has no event of its own.
func (w *World) note(what string, a, b, c uint64) {
	w.mark(what, a, b, c)
	w.logf("%s %d %d %d", what, a, b, c)
}

// logf records something that has no kind of its own and that the hash need not cover.
func (w *World) logf(format string, args ...any) {
	if w.scribe != nil {
		w.scribe.add(Event{Kind: KindNote, Client: -1, Text: fmt.Sprintf(format, args...)})
	}
}

func (w *World) gap() time.Duration {
	if w.healed {
		return min(w.plan.Config.GapMax, time.Millisecond)
	}
	return w.plan.Config.GapMax
}

// observe is replica.Config.Observe.
func (w *World) observe(index, stamp uint64, reqs []*dlmv1.Request, out core.Output) {
	hash := hashEntry(stamp, reqs, out)
	w.mark("entry", index, stamp, hash)
	w.scribe.entry(index, stamp, reqs, out)
	w.logCheck.entry(w.sim.Now(), index, stamp, hash, reqs, out)
	w.twins.entry(index, stamp, hash, reqs, w.server.node.Core())
	w.probes.entry(index, stamp, reqs, out)
	w.probes.image(w.server.node, out)
	w.guarded.entry()
}

// afterServerStep lets the lock table check itself when it has changed.
func (w *World) afterServerStep() {
	n := w.server.node
	applied := n.Applied()
	if n.Leading() {
		w.scribe.restored(applied)
		w.terms.leads(w.server.life, n.Term())
	}
	if applied == w.server.lastApplied {
		return
	}
	w.server.lastApplied = applied
	w.disks.term = max(w.disks.term, n.Term())
	if err := n.Core().Check(); err != nil && w.failure == nil {
		w.fail("G1", "the state at position %d breaks an invariant: %v", applied, err)
		w.failure.Invariant = true
	}
}

// sent sees every frame that a client sends, delivered every one that a client looks at.
func (w *World) sent(c *client, f *dlmv1.ClientFrame) {
	w.mark("client sends", uint64(c.id), uint64(len(f.GetRequests())), hashClientFrame(f))
	for _, r := range f.GetRequests() {
		w.replies.request(w.sim.Now(), r)
		w.disks.sent(r)
	}
	w.probes.sent(c, f)
}

func (w *World) delivered(c *client, f *dlmv1.ServerFrame) {
	w.mark("client gets", uint64(c.id), uint64(len(f.GetAnswers())), hashServerFrame(f))
	w.scribe.took(c, f)
	for _, a := range f.GetAnswers() {
		w.replies.answer(a)
		w.guarded.answer(c, a)
		w.past.answered(c, a)
	}
	w.probes.delivered(f)
}

// completed sees the end of every call: L1, by its deadline.
func (w *World) completed(c *client, k *call, d engine.Completion) {
	w.checked("L1")
	w.mark("call ends", uint64(c.id), uint64(d.Call), b2u(d.Err == nil))
	w.scribe.returned(c, k.asked.read, d)
	late := c.read() - k.deadline
	if k.deadline > 0 && late > 2*w.plan.Config.GapMax+time.Millisecond && w.sim.Now() > c.stalled+time.Second {
		w.fail("L1", "client %d: a call ends %v after its deadline", c.id, late)
	}
	w.past.ended(k, d)
	w.guarded.opened(c, k, d)
	if d.Answer != nil {
		w.replies.ended(k, d.Answer)
		w.acked.ended(k, d.Answer)
	}
	if d.Read != nil {
		w.logCheck.read(k.asked.read, d.Read, k.acked)
		w.probes.read(k.asked.read, d.Read)
		if d.Read.GetReason() == dlmv1.Reason_REASON_DAMAGED {
			w.disks.damagedRead(d.Read)
		}
		w.replies.acked = max(w.replies.acked, d.Read.GetIndex())
	}
	if d.Err != nil && errors.Is(d.Err, engine.ErrTooOld) {
		w.count("too old")
	}
}

func (w *World) sessionKnown(a *actor, d engine.Completion) {
	w.sessions = append(w.sessions, d.Session)
	for _, h := range d.Answer.GetHolds() {
		w.leases.claim(a.c, d.Session, h.GetLock(), h.GetToken(), h.GetMode() == dlmv1.Mode_MODE_SHARED)
	}
}

func (w *World) oldSession(which uint64) uint64 {
	if len(w.sessions) == 0 {
		return 1
	}
	return w.sessions[which%uint64(len(w.sessions))]
}

// recentSession is one of the last ones, which probably lives. 0 = there is none.
func (w *World) recentSession(which uint64) uint64 {
	n := uint64(len(w.sessions))
	if n == 0 {
		return 0
	}
	return w.sessions[n-1-which%min(n, 6)]
}

func (w *World) oldToken(which uint64) uint64 {
	if n := uint64(len(w.tokens)); n > 0 {
		return w.tokens[which%n]
	}
	return 1
}

// recentHolder is the session of one of the last grants. 0 = there is none.
func (w *World) recentHolder(which uint64) uint64 {
	if n := uint64(len(w.holders)); n > 0 {
		return w.holders[n-1-which%min(n, 3)]
	}
	return 0
}

// recentToken is one of the last that an actor was told; 1 if there is none.
func (w *World) recentToken(which uint64) uint64 {
	if n := uint64(len(w.tokens)); n > 0 {
		return w.tokens[n-1-which%min(n, 3)]
	}
	return 1
}

// tokenOf is one of the last of a lock that an actor was told; 1 if there is none.
func (w *World) tokenOf(lock string, which uint64) uint64 {
	var last []uint64
	for i := len(w.leases.told) - 1; i >= 0 && len(last) < 4; i-- {
		if k := w.leases.told[i]; k.lock == lock && !slices.Contains(last, k.token) {
			last = append(last, k.token)
		}
	}
	if len(last) == 0 {
		return 1
	}
	return last[which%uint64(len(last))]
}

// staleRequest uses a token that somebody was granted at some time.
func (w *World) staleRequest(op *Op) *dlmv1.Request {
	token := w.oldToken(op.Which)
	switch op.Which / 7 % 3 {
	case 0:
		return &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{
			File: op.File, Lock: op.Lock, Token: token, Data: w.someData(op.Bytes),
		}}}
	case 1:
		return &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: op.Lock, Token: token}}}
	}
	return &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: op.Lock, Token: token}}}
}

// someData is other bytes each time, so that those of one call can be told from those of another.
func (w *World) someData(size int) []byte {
	w.data++
	b := make([]byte, size)
	_, _ = netsim.NewRNG(w.plan.Seed, streamData, w.data).Read(b)
	return b
}
