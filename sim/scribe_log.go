package sim

import (
	"fmt"
	"slices"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// lockRecord is a lock as the lock table shows it after an entry.
type lockRecord struct {
	name  string
	holds []holdRecord
	waits []waitRecord
}

type holdRecord struct {
	session, token  uint64
	shared, revoked bool
	deadline        uint64
	event           uint64 // its grant, or its revoke
}

type waitRecord struct {
	session, sequence uint64
	shared            bool
	event             uint64
}

// entry records a log entry that the lock table has applied. One that is applied again after a restart is recorded only if
// it is not the same.
func (s *scribe) entry(index, stamp uint64, reqs []*dlmv1.Request, out core.Output) {
	if s == nil {
		return
	}
	hash := hashEntry(stamp, reqs, out)
	old, known := s.entries[index]
	if known && old.hash == hash {
		return
	}
	e := Event{Lane: serverLane, Client: -1, Kind: KindEntry, Index: index, Text: fmt.Sprintf("log position %d takes effect, %s", index, stampText(stamp))}
	for _, r := range reqs {
		e.Causes = append(e.Causes, s.came(keyOf(r)))
		e.about(r)
		e.Text += fmt.Sprintf("%s%s", [2]string{": ", "; "}[min(len(e.What), 1)], say(r))
		e.What = "batch"
	}
	e.Causes = append(e.Causes, s.written)
	if known {
		e.What, e.Text = "changed", e.Text+", and is not what it was before the restart"
	}
	id := s.add(e)
	s.entries[index] = logRecord{hash, id}
	answers := out.Answers
	for _, r := range reqs {
		if n := ownAnswer(answers, r); n >= 0 && !isQueued(out.Notices, r) {
			s.applied(id, index, r, answers[n])
		} else {
			s.applied(id, index, r, nil)
		}
	}
	for _, a := range answers {
		for _, k := range answerKey(a) {
			if s.answers[k] == 0 || s.waited(k) {
				s.answers[k] = id
			}
		}
	}
	s.table(id, index, reqs, answers)
	for _, n := range out.Notices {
		if n.GetKind() == dlmv1.Notice_KIND_SESSION_LOST {
			s.add(Event{
				Lane: serverLane, Client: s.owner(n.GetSession()), Kind: KindSession, What: reasonText(n.GetReason()), Index: index,
				Sessions: []uint64{n.GetSession()}, Causes: []uint64{id}, Text: sayNotice(n),
			})
		}
	}
}

// came is the arrival of a request. One that was logged by a process which is gone arrived there: then its sending has to do.
func (s *scribe) came(k reqKey) uint64 {
	if id := s.arrived[k]; id != 0 {
		return id
	}
	return s.requests[k]
}

// restored compares the lock table of a restarted server that leads again with what it was before.
func (s *scribe) restored(applied uint64) {
	if s == nil || s.upEvent == 0 {
		return
	}
	for i := applied + 1; s.entries[i].event != 0; i++ {
		delete(s.entries, i)
	}
	s.table(s.upEvent, applied, nil, nil)
	s.upEvent = 0
}

// applied records what an entry did about a request.
func (s *scribe) applied(entry, index uint64, r *dlmv1.Request, a *dlmv1.Answer) {
	k := keyOf(r)
	if _, keep := r.GetOp().(*dlmv1.Request_KeepAlive); keep && a.GetReason() == dlmv1.Reason_REASON_OK {
		s.answers[k] = entry
		return
	}
	e := Event{
		Lane: serverLane, Client: s.owner(r.GetSession()), Kind: KindApply, What: requestName(r), Index: index, Sequence: r.GetSequence(),
		Causes: []uint64{s.came(k), entry, s.answers[k]}, Text: say(r),
	}
	e.about(r)
	if a == nil {
		e.Text += ": waits"
	} else {
		e.Text += ": " + resultText(a)
		e.Refused = a.GetReason() != dlmv1.Reason_REASON_OK
		e.aboutAnswer(a)
		if by := s.rec.Event(e.Causes[0]); e.Client < 0 && by != nil {
			e.Client = by.Client
		}
	}
	id := s.add(e)
	for _, k := range append(answerKey(a), k) {
		s.answers[k] = id
	}
}

func (s *scribe) owner(session uint64) int {
	if c, ok := s.owners[session]; ok {
		return c
	}
	return -1
}

func (s *scribe) waited(k reqKey) bool {
	for i := range s.locks {
		for _, w := range s.locks[i].waits {
			if w.session == k.session && w.sequence == k.sequence {
				return true
			}
		}
	}
	return false
}

// table compares the lock table with what it was, and records what has changed: the truth by the log, whatever any checker
// makes of it.
func (s *scribe) table(entry, index uint64, reqs []*dlmv1.Request, answers []*dlmv1.Answer) {
	now := s.readTable()
	if reqs == nil && entry != s.upEvent {
		reqs = []*dlmv1.Request{}
	}
	for i := range s.locks {
		before := &s.locks[i]
		after := lockRecord{name: before.name}
		if n := slices.IndexFunc(now, func(k lockRecord) bool { return k.name == before.name }); n >= 0 {
			after = now[n]
		}
		s.ended(entry, index, before, &after, reqs)
	}
	for i := range now {
		before := lockRecord{name: now[i].name}
		if n := slices.IndexFunc(s.locks, func(k lockRecord) bool { return k.name == now[i].name }); n >= 0 {
			before = s.locks[n]
		}
		s.began(entry, index, &before, &now[i], answers)
	}
	s.locks = now
}

func (s *scribe) readTable() (all []lockRecord) {
	after := ""
	for {
		page := s.w.server.node.Core().Read(&dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{After: after}}})
		for _, k := range page.GetLocks() {
			l := lockRecord{name: k.GetLock()}
			for _, h := range k.GetHolders() {
				l.holds = append(l.holds, holdRecord{
					session: h.GetSession(), token: h.GetToken(), shared: h.GetMode() == dlmv1.Mode_MODE_SHARED, revoked: h.GetRevoked(),
					deadline: h.GetHoldDeadline(),
				})
			}
			for _, w := range k.GetWaiters() {
				l.waits = append(l.waits, waitRecord{session: w.GetSession(), sequence: w.GetSequence(), shared: w.GetMode() == dlmv1.Mode_MODE_SHARED})
			}
			all, after = append(all, l), l.name
		}
		if !page.GetMore() {
			return all
		}
	}
}

func (l *lockRecord) hold(token uint64) *holdRecord {
	if i := slices.IndexFunc(l.holds, func(h holdRecord) bool { return h.token == token }); i >= 0 {
		return &l.holds[i]
	}
	return nil
}

func (l *lockRecord) wait(session, sequence uint64) *waitRecord {
	if i := slices.IndexFunc(l.waits, func(w waitRecord) bool { return w.session == session && w.sequence == sequence }); i >= 0 {
		return &l.waits[i]
	}
	return nil
}

// ended records the holds and waits that are over, and the holds that were revoked.
func (s *scribe) ended(entry, index uint64, before, after *lockRecord, reqs []*dlmv1.Request) {
	for _, h := range before.holds {
		e := Event{
			Lane: serverLane, Client: s.owner(h.session), Index: index, Shared: h.shared, Locks: []string{before.name},
			Sessions: []uint64{h.session}, Tokens: []uint64{h.token},
		}
		by, why := s.endedBy(entry, before.name, h, reqs)
		if still := after.hold(h.token); still == nil {
			e.Kind, e.What, e.Causes = KindEnd, why, []uint64{by, h.event}
			e.Text = fmt.Sprintf("%s, token %d of session %d ends: %s", before.name, h.token, h.session, why)
			s.add(e)
		} else if still.event = h.event; still.revoked && !h.revoked {
			e.Kind, e.Causes = KindRevoke, []uint64{by, h.event}
			e.Text = fmt.Sprintf("%s, token %d of session %d is revoked; it blocks the lock until confirmed or over%s",
				before.name, h.token, h.session, untilText(still.deadline))
			still.event = s.add(e)
		}
	}
	for _, w := range before.waits {
		if still := after.wait(w.session, w.sequence); still != nil {
			still.event = w.event
			continue
		}
		s.add(Event{
			Lane: serverLane, Client: s.owner(w.session), Kind: KindUnwait, Index: index, Shared: w.shared, Sequence: w.sequence,
			Locks: []string{before.name}, Sessions: []uint64{w.session}, Causes: []uint64{entry, w.event},
			Text: who(w.session, w.sequence) + " waits no longer for " + before.name,
		})
	}
}

// endedBy finds the request of an entry that ended a hold; otherwise its time did.
func (s *scribe) endedBy(entry uint64, lock string, h holdRecord, reqs []*dlmv1.Request) (uint64, string) {
	for _, r := range reqs {
		by := s.answers[keyOf(r)]
		switch op := r.GetOp().(type) {
		case *dlmv1.Request_Release:
			if op.Release.GetLock() == lock && (op.Release.GetToken() == h.token || r.GetSession() == h.session) {
				return by, fmt.Sprintf("released (%s, under token %d)", who(r.GetSession(), r.GetSequence()), op.Release.GetToken())
			}
		case *dlmv1.Request_Close:
			if r.GetSession() == h.session {
				return by, "session closed"
			}
		case *dlmv1.Request_Revoke:
			if op.Revoke.GetLock() == lock {
				return by, "revoked" + atOnce(op.Revoke.GetNow())
			}
		case *dlmv1.Request_RevokeSession:
			if op.RevokeSession.GetSession() == h.session {
				return by, "session revoked" + atOnce(op.RevokeSession.GetNow())
			}
		}
	}
	if reqs == nil {
		return entry, "lost: the log of the restarted server does not hold it"
	}
	return entry, "its time is over"
}

// began records new holds and new waits.
func (s *scribe) began(entry, index uint64, before, after *lockRecord, answers []*dlmv1.Answer) {
	for i := range after.holds {
		h := &after.holds[i]
		if h.event != 0 {
			continue
		}
		e := Event{
			Lane: serverLane, Client: s.owner(h.session), Kind: KindGrant, Index: index, Shared: h.shared, Locks: []string{after.name},
			Sessions: []uint64{h.session}, Tokens: []uint64{h.token},
			Text: fmt.Sprintf("%s is granted to session %d: %s, token %d%s", after.name, h.session, modeText(h.shared), h.token, untilText(h.deadline)),
		}
		if before.hold(h.token) == nil {
			e.Causes = s.grantedBy(entry, before, h, answers)
		}
		h.event = s.add(e)
		s.grants[h.token] = h.event
		for _, a := range answers {
			if a.GetToken() == h.token && a.GetReason() == dlmv1.Reason_REASON_OK {
				for _, k := range answerKey(a) {
					s.answers[k] = h.event
				}
			}
		}
	}
	for i := range after.waits {
		w := &after.waits[i]
		if w.event != 0 {
			continue
		}
		w.event = s.add(Event{
			Lane: serverLane, Client: s.owner(w.session), Kind: KindWait, Index: index, Shared: w.shared, Sequence: w.sequence,
			Locks: []string{after.name}, Sessions: []uint64{w.session},
			Causes: []uint64{s.answers[reqKey{session: w.session, sequence: w.sequence}], entry},
			Text:   fmt.Sprintf("%s waits for %s (%s), place %d", who(w.session, w.sequence), after.name, modeText(w.shared), i+1),
		})
	}
}

// grantedBy: the acquire, the end of the hold that stood in the way, and the entry.
func (s *scribe) grantedBy(entry uint64, before *lockRecord, h *holdRecord, answers []*dlmv1.Answer) (causes []uint64) {
	for _, a := range answers {
		if a.GetToken() != h.token || a.GetReason() != dlmv1.Reason_REASON_OK {
			continue
		}
		if w := before.wait(a.GetSession(), a.GetSequence()); w != nil {
			causes = append(causes, w.event)
		}
		causes = append(causes, s.answers[reqKey{session: a.GetSession(), sequence: a.GetSequence()}])
	}
	for i := len(s.rec.events) - 1; i >= 0 && s.rec.events[i].ID > entry; i-- {
		if e := &s.rec.events[i]; e.Kind == KindEnd && e.Locks[0] == before.name {
			causes = append(causes, e.ID)
		}
	}
	return append(causes, entry)
}
