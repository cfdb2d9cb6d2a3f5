package core_test

import (
	"fmt"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// observer checks the promises of the contract from what goes in and comes out alone. It knows less than the model and
// shares no reading of the contract with it.
type observer struct {
	index, lastToken uint64
	asked            map[identity][]*dlmv1.Request
	results          map[identity]string
	granted          map[identity]uint64
	promised         map[uint64]uint64 // session: latest deadline that it was told
	limits           map[uint64]uint64 // token: hold deadline told last
	promising        map[identity]bool // what told one
	instances        map[uint64]uint64
	held             map[uint64]held // by token
	waiting          map[string][]identity
	lengths          map[uint64]uint64 // by file id
}

type identity struct{ session, sequence uint64 }

type held struct {
	session uint64
	lock    string
	mode    dlmv1.Mode
}

func newObserver() *observer {
	return &observer{
		asked: map[identity][]*dlmv1.Request{}, results: map[identity]string{}, granted: map[identity]uint64{}, promised: map[uint64]uint64{},
		limits: map[uint64]uint64{}, promising: map[identity]bool{}, instances: map[uint64]uint64{}, held: map[uint64]held{},
		waiting: map[string][]identity{}, lengths: map[uint64]uint64{},
	}
}

// entry takes in one entry and says which promise it broke.
func (o *observer) entry(stamp uint64, requests []*dlmv1.Request, out core.Output) error {
	o.index++
	for _, q := range requests {
		id := identity{q.GetSession(), q.GetSequence()}
		o.asked[id] = append(o.asked[id], q)
	}
	for _, check := range []func(core.Output) error{o.early, o.once, o.fifo, o.tokens, o.exclusion, o.files} {
		if err := check(out); err != nil {
			return fmt.Errorf("entry at %d: %w", stamp, err)
		}
	}
	return nil
}

// fresh says whether an answer was made by this entry; duplicates get old ones. Indexes begin at 2.
func (o *observer) fresh(a *dlmv1.Answer) bool { return a.GetIndex() == o.index+1 }

// acquire is the acquire of an identity, nil if it may be something else or several.
func (o *observer) acquire(id identity) (found *dlmv1.Acquire) {
	for _, q := range o.asked[id] {
		a := q.GetAcquire()
		if a == nil || (found != nil && (a.GetLock() != found.GetLock() || a.GetMode() != found.GetMode())) {
			return nil
		}
		found = a
	}
	return found
}

// early checks G9: nothing ends by time before the deadline that its client was told.
func (o *observer) early(out core.Output) error {
	for _, n := range out.Notices {
		switch {
		case n.GetReason() == dlmv1.Reason_REASON_SESSION_EXPIRED && n.GetStamp() < o.promised[n.GetSession()]:
			return fmt.Errorf("G9: session %d ended at %d, it was promised %d", n.GetSession(), n.GetStamp(), o.promised[n.GetSession()])
		case n.GetReason() == dlmv1.Reason_REASON_HOLD_LIMIT && n.GetStamp() < o.limits[n.GetToken()]:
			return fmt.Errorf("G9: token %d ended at %d, it was promised %d", n.GetToken(), n.GetStamp(), o.limits[n.GetToken()])
		}
	}
	for _, a := range out.Answers {
		o.promised[a.GetSession()] = max(o.promised[a.GetSession()], a.GetSessionDeadline())
		id := identity{a.GetSession(), a.GetSequence()}
		if o.fresh(a) && a.GetHoldDeadline() != 0 && !o.promising[id] { // a duplicate's copy promises nothing anew
			o.limits[a.GetToken()], o.promising[id] = a.GetHoldDeadline(), true
		}
	}
	return nil
}

// refusal says that an answer need not be the result of its request: it speaks of the session or of the identity.
func refusal(a *dlmv1.Answer) bool {
	switch a.GetReason() {
	case dlmv1.Reason_REASON_WINDOW_FULL, dlmv1.Reason_REASON_TOO_OLD, dlmv1.Reason_REASON_SEQUENCE_REUSED,
		dlmv1.Reason_REASON_NO_SESSION, dlmv1.Reason_REASON_SESSION_ENDED, dlmv1.Reason_REASON_SESSION_EXPIRED,
		dlmv1.Reason_REASON_SESSION_CLOSED, dlmv1.Reason_REASON_SESSION_REVOKED, dlmv1.Reason_REASON_INSTANCE_FENCED:
		return true
	}
	return a.GetSequence() == 0
}

// once checks G4: one result for each identity.
func (o *observer) once(out core.Output) error {
	for _, a := range out.Answers {
		id := identity{a.GetSession(), a.GetSequence()}
		if refusal(a) {
			continue
		}
		line := answerLine(a, true)
		if was, ok := o.results[id]; ok && was != line {
			return fmt.Errorf("G4: two results for one request:\n  %s\n  %s", was, line)
		}
		o.results[id] = line
	}
	return nil
}

// fifo checks G7: nobody is granted a lock before those who queued for it earlier.
func (o *observer) fifo(out core.Output) error {
	answered := o.answeredWaits(out)
	direct := map[string]identity{}
	for id, a := range answered {
		ask := o.acquire(id)
		if ask == nil || a.GetReason() != dlmv1.Reason_REASON_OK {
			continue
		}
		queue, queued := o.waiting[ask.GetLock()], false
		for i, w := range queue {
			if w != id {
				continue
			}
			queued = true
			for _, before := range queue[:i] {
				b := answered[before]
				if b == nil || (b.GetReason() == dlmv1.Reason_REASON_OK && b.GetToken() > a.GetToken()) {
					return fmt.Errorf("G7: %v was granted %q before %v, who queued earlier", id, ask.GetLock(), before)
				}
			}
		}
		if !queued {
			direct[ask.GetLock()] = id
		}
	}
	for lock, queue := range o.waiting {
		var rest []identity
		for _, id := range queue {
			if answered[id] == nil {
				rest = append(rest, id)
			}
		}
		if id, ok := direct[lock]; ok && len(rest) > 0 && !o.justQueued(id, out) {
			return fmt.Errorf("G7: %v was granted %q past %v, who wait", id, lock, rest)
		}
		o.waiting[lock] = rest
	}
	for _, n := range out.Notices {
		id := identity{n.GetSession(), n.GetSequence()}
		if n.GetKind() == dlmv1.Notice_KIND_QUEUED && answered[id] == nil && !o.waits(n.GetLock(), id) {
			o.waiting[n.GetLock()] = append(o.waiting[n.GetLock()], id)
		}
	}
	return nil
}

// answeredWaits are the answers of this entry that end a wait, or never let one begin.
func (o *observer) answeredWaits(out core.Output) map[identity]*dlmv1.Answer {
	takenOver := map[uint64]bool{}
	for _, a := range out.Answers {
		if a.GetReason() == dlmv1.Reason_REASON_OK && len(a.GetKey()) > 0 && a.GetInstance() > o.instances[a.GetSession()] {
			takenOver[a.GetSession()] = o.instances[a.GetSession()] != 0
			o.instances[a.GetSession()] = a.GetInstance()
		}
	}
	answered := map[identity]*dlmv1.Answer{}
	for _, a := range out.Answers {
		fenced := a.GetReason() == dlmv1.Reason_REASON_INSTANCE_FENCED
		reused := a.GetReason() == dlmv1.Reason_REASON_SEQUENCE_REUSED
		if o.fresh(a) && !reused && (!fenced || takenOver[a.GetSession()]) {
			answered[identity{a.GetSession(), a.GetSequence()}] = a
		}
	}
	return answered
}

func (o *observer) justQueued(id identity, out core.Output) bool {
	for _, n := range out.Notices {
		if n.GetKind() == dlmv1.Notice_KIND_QUEUED && (identity{n.GetSession(), n.GetSequence()}) == id {
			return true
		}
	}
	return false
}

func (o *observer) waits(lock string, id identity) bool {
	for _, w := range o.waiting[lock] {
		if w == id {
			return true
		}
	}
	return false
}

// tokens checks G3: each grant has a token above all before it.
func (o *observer) tokens(out core.Output) error {
	for _, a := range out.Answers {
		id := identity{a.GetSession(), a.GetSequence()}
		if a.GetReason() != dlmv1.Reason_REASON_OK || o.acquire(id) == nil || o.granted[id] == a.GetToken() {
			continue // no grant, or a duplicate's copy of it
		}
		if a.GetToken() <= o.lastToken {
			return fmt.Errorf("G3: token %d was granted after %d", a.GetToken(), o.lastToken)
		}
		o.lastToken, o.granted[id] = a.GetToken(), a.GetToken()
	}
	return nil
}

// exclusion checks G1 after the entry.
func (o *observer) exclusion(out core.Output) error {
	for _, a := range out.Answers {
		id := identity{a.GetSession(), a.GetSequence()}
		ask := o.acquire(id)
		if ask != nil && o.fresh(a) && a.GetReason() == dlmv1.Reason_REASON_OK {
			o.held[a.GetToken()] = held{a.GetSession(), ask.GetLock(), ask.GetMode()}
		}
	}
	for _, a := range out.Answers {
		if !o.fresh(a) || a.GetReason() != dlmv1.Reason_REASON_OK {
			continue
		}
		for _, q := range o.asked[identity{a.GetSession(), a.GetSequence()}] {
			delete(o.held, q.GetRelease().GetToken())
			if q.GetClose() != nil {
				o.dropSession(q.GetSession())
			}
		}
	}
	for _, n := range out.Notices {
		switch n.GetKind() {
		case dlmv1.Notice_KIND_LOCK_LOST:
			delete(o.held, n.GetToken())
		case dlmv1.Notice_KIND_SESSION_LOST:
			o.dropSession(n.GetSession())
		}
	}
	for token, h := range o.held {
		for other, g := range o.held {
			if token < other && h.lock == g.lock && (h.mode == dlmv1.Mode_MODE_EXCLUSIVE || g.mode == dlmv1.Mode_MODE_EXCLUSIVE) {
				return fmt.Errorf("G1: %q is held under the tokens %d and %d: %+v %+v", h.lock, token, other, h, g)
			}
		}
	}
	return nil
}

func (o *observer) dropSession(session uint64) {
	for token, h := range o.held {
		if h.session == session {
			delete(o.held, token)
		}
	}
}

// files checks that every byte that was appended lies right behind the one before it.
func (o *observer) files(out core.Output) error {
	for _, f := range out.Files {
		if f.Kind == core.FileWrite && f.Offset != o.lengths[f.ID] {
			return fmt.Errorf("G4: file %d has %d bytes, an append went to offset %d", f.ID, o.lengths[f.ID], f.Offset)
		}
		o.lengths[f.ID] += uint64(len(f.Data))
	}
	return nil
}
