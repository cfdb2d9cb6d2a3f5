package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// prober finds out which probes a run meets. What it knows of sessions, locks and files it has from the log, and only as
// exactly as the probes need.
type prober struct {
	w   *World
	met [numProbes]int

	life  uint64 // of the server's process
	fresh bool   // no entry was applied in this life
	index uint64
	stamp uint64

	requests map[[2]uint64]*seenRequest
	sessions map[uint64]*seenSession
	opens    map[string]*seenSession // by key
	locks    map[string]*seenLock
	holds    map[uint64]*seenHold // live ones by token
	files    map[string]bool      // was deleted
	claimed  map[uint64]bool      // tokens that an application was told of
	told     map[uint64]bool      // tokens of which a notice of loss arrived
	overlaps map[uint64]bool      // tokens that were counted by overlap
	live     uint64               // sessions
	fileN    uint64

	// Of the entry at hand.
	due      int
	freed    []*seenLock
	timedOut []*seenLock
}

type seenRequest struct {
	r        *dlmv1.Request
	arrivals int
	life     uint64 // in which it arrived first
	index    uint64 // of its entry
	waiting  bool
	waitEnd  uint64 // stamp, 0 = none
	queuedIn uint64 // life
	answer   *dlmv1.Answer
	answered time.Duration
	sent     time.Duration // last
	sends    int
	released bool // the token that it got
	unseen   bool // it was cancelled before it came
	got      bool // its grant has reached the client
}

type seenSession struct {
	id, instance, ttl, highest uint64
	client                     int
	renewed                    time.Duration // true time at which it was last logged
	holds                      []*seenHold
	waits                      int
	ended                      bool
	lapsed                     bool // by its client's clock
}

type seenHold struct {
	token   uint64
	session *seenSession
	lock    *seenLock
	by      *seenRequest
	shared  bool
	revoked bool
	delay   bool

	revokedIn uint64 // entry
	deadline  uint64 // as its session was told last
}

// revoke notes that it is revoked, if it was not before.
func (h *seenHold) revoke(index uint64) {
	if !h.revoked {
		h.revoked, h.revokedIn = true, index
	}
}

type seenLock struct {
	name      string
	holds     []*seenHold
	queue     int
	freedIn   uint64 // entry in which a hold was lost or released
	cause     lossCause
	delay     bool // that hold had a lock-delay
	grantedIn uint64
	grants    int // in that entry
}

// lossCause is how a hold ended.
type lossCause int

const (
	byRelease lossCause = iota
	byExpiry
	byCutOff // expiry of a client that is cut off
	byLimit
	byRevoke
)

func newProber(w *World) *prober {
	return &prober{
		w: w, requests: map[[2]uint64]*seenRequest{}, sessions: map[uint64]*seenSession{}, opens: map[string]*seenSession{},
		locks: map[string]*seenLock{}, holds: map[uint64]*seenHold{}, files: map[string]bool{},
		claimed: map[uint64]bool{}, told: map[uint64]bool{}, overlaps: map[uint64]bool{},
	}
}

func (p *prober) meet(x probe) { p.met[x]++ }

// meetIf counts a probe on a condition.
func (p *prober) meetIf(x probe, is bool) {
	if is {
		p.met[x]++
	}
}

// request is what is known of a request; a new instance's is another one than the former's of the same sequence.
func (p *prober) request(r *dlmv1.Request) *seenRequest {
	id := [2]uint64{r.GetSession(), r.GetSequence()}
	q := p.requests[id]
	if q == nil || q.r != nil && q.r.GetInstance() < r.GetInstance() {
		q = &seenRequest{}
		p.requests[id] = q
	}
	if q.r == nil {
		q.r = r
	}
	return q
}

func (p *prober) lock(name string) *seenLock {
	l := p.locks[name]
	if l == nil {
		l = &seenLock{name: name}
		p.locks[name] = l
	}
	return l
}

// drop ends a hold.
func (p *prober) drop(h *seenHold, cause lossCause) {
	if h == nil || p.holds[h.token] != h {
		return
	}
	delete(p.holds, h.token)
	l := h.lock
	l.holds = without(l.holds, h)
	h.session.holds = without(h.session.holds, h)
	h.by.released = true
	if l.freedIn != p.index || cause != byRelease {
		l.freedIn, l.cause, l.delay = p.index, cause, h.delay
	}
	p.freed = append(p.freed, l)
}

func without[T comparable](list []T, x T) []T {
	for i, y := range list {
		if y == x {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

func (p *prober) end(s *seenSession, cause lossCause) {
	if s == nil || s.ended {
		return
	}
	s.ended = true
	p.live--
	p.meetIf(endsWithAll, len(s.holds) > 0 && s.waits > 0)
	p.meetIf(expiresAtRestart, cause == byExpiry && p.fresh)
	p.meetIf(defaultTTL, cause == byExpiry && s.ttl >= uint64(30*time.Second))
	if cause == byExpiry && p.w.net.IsCut(s.client, 0) {
		cause = byCutOff
	}
	for len(s.holds) > 0 {
		p.drop(s.holds[0], cause)
	}
}

// counts adds the probes that were met to the counts of a run, with those that others have counted.
func (p *prober) counts(counts map[string]int) {
	met := p.met
	n := &p.w.net.Stats
	met[laterConnection] = int(n.Elsewhere)
	met[overtaken] = int(n.Overtaken)
	met[halfReset] = int(n.HalfResets)
	met[halfOpen] = int(n.Unknown)
	met[burst] = int(n.Bursts)
	met[diesInRecovery] = counts["crash in recovery"]
	met[failedSync] = counts["fault "+string(FaultSync)]
	for _, from := range []string{diskStopped, diskStoppedInRecovery} {
		met[renamedSnapshot] += counts[from+"after rename of snapshot, before syncdir of directory"]
		met[unsyncedBatch] += counts[from+"after write of segment, before sync of segment"]
		for _, segment := range []string{"segment", "next segment"} {
			met[halfSegment] += counts[from+"after create of unfinished "+segment+", before write of unfinished "+segment] +
				counts[from+"after write of unfinished "+segment+", before sync of unfinished "+segment] +
				counts[from+"after sync of unfinished "+segment+", before rename of segment"]
		}
	}
	for _, place := range []string{"segment", "snapshot", "data file", "sidecar"} {
		met[rotRefused] += counts["damage refused: "+place]
	}
	counts["net dropped"], counts["net eaten by a cut"] = int(n.Dropped), int(n.Cut)
	counts["net duplicated"], counts["net late copies"] = int(n.Duplicated), int(n.Late)
	counts["net slow"], counts["net resets"] = int(n.Slow), int(n.Resets)
	for i, n := range met {
		if n > 0 {
			counts[ProbePrefix+probes[i].Name] = n
		}
	}
}

// entry takes one applied entry.
func (p *prober) entry(index, stamp uint64, reqs []*dlmv1.Request, out core.Output) {
	if index <= p.index {
		return // again, after a restart
	}
	p.index, p.stamp = index, stamp
	p.due, p.freed, p.timedOut = 0, p.freed[:0], p.timedOut[:0]
	for _, r := range reqs {
		p.logged(r)
	}
	for _, n := range out.Notices {
		p.lost(n)
	}
	for _, a := range out.Answers {
		p.answered(a)
	}
	for _, n := range out.Notices {
		p.lost(n) // of what was granted in this entry
		p.queued(n)
	}
	p.settled()
	p.fresh = false
}
