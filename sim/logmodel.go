package sim

import (
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// What the log says, recomputed from requests and answers alone. Locks, sessions and files are few in a run: they lie in
// slices and are looked for.

type logSession struct {
	id, ttl, deadline, instance uint64
	highest                     uint64
	ended, revoked              bool
	why                         dlmv1.Reason // that it ended for
	slots                       []*logSlot   // by sequence
	kept                        int          // all slots before it are forgettable
	gaps                        []uint64     // not seen yet, below highest, and still awaited; ascending
	lastSent                    time.Duration
	losses                      []logLoss // the last lossesKept
	unblocked                   []unblocked
	born, died                  uint64 // log positions; died 0 = lives
	// takeovers: when each instance but the first began.
	takeovers []takeover
}

// takeover is the beginning of an instance. The former one may say "held" until its lease is over.
type takeover struct{ instance, index, formerLease uint64 }

// logSlot is a sequence that the log has seen, or that a cancel has named.
type logSlot struct {
	sequence    uint64
	digest      uint64
	answer      *dlmv1.Answer // nil: it waits, or was cancelled unseen
	cancelledAt uint64        // position of the cancel that came before it; 0 = none
	forgettable bool          // the client said that it awaits it no longer
}

func (s *logSlot) waits() bool { return s.answer == nil && s.cancelledAt == 0 }

// lossesKept is how many losses the log promises to remember for each session.
const lossesKept = 16

type logLoss struct {
	lock   string
	token  uint64
	reason dlmv1.Reason
}

// unblocked is a hold that was revoked at once and not confirmed. Its holder may say "held" until its lease as of the revoke
// has ended, or until an answer that was made after the revoke prolongs that lease: such an answer names the hold.
type unblocked struct {
	lock               string
	token, until, from uint64 // from: log position of the revoke
}

type logHold struct {
	session, token, deadline, limit, delay uint64
	shared, revoked                        bool
}

type logWait struct {
	session, sequence, deadline, limit, delay uint64
	shared                                    bool
	gone                                      bool // its session or instance is: it will be answered in this entry
	bound                                     time.Duration
}

type logLock struct {
	name    string
	holds   []*logHold
	queue   []*logWait
	delayed uint64 // end of the lock-delay
	// The loss that began it: when, and of a shared hold?
	delayBegan  uint64
	delayShared bool
	changed     bool // since the last version
	history     []lockVersion
}

// lockVersion is the lock from a log position on.
type lockVersion struct {
	index   uint64
	holds   []logHold
	waits   []logWait
	delayed uint64
}

// logFile is one life of a file.
type logFile struct {
	name, lock string
	id         uint64
	data       []byte
	lengths    []fileLength
	born, died uint64 // log positions; died 0 = lives
}

// fileLength is the file's length from a log position on.
type fileLength struct{ index, length uint64 }

func (l *logChecker) session(id uint64) *logSession {
	for i := len(l.sessions) - 1; i >= 0; i-- {
		if l.sessions[i].id == id {
			return l.sessions[i]
		}
	}
	return nil
}

func (s *logSession) slot(sequence uint64) *logSlot {
	if i, ok := s.find(sequence); ok {
		return s.slots[i]
	}
	return nil
}

func (s *logSession) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(s.slots, sequence, func(a *logSlot, b uint64) int {
		switch {
		case a.sequence < b:
			return -1
		case a.sequence > b:
			return 1
		}
		return 0
	})
}

func (s *logSession) add(slot *logSlot) {
	i, _ := s.find(slot.sequence)
	s.slots = slices.Insert(s.slots, i, slot)
	s.kept = min(s.kept, i)
}

// take gives a request its place: what it passes over stays open only if its client says that it still awaits it.
func (s *logSession) take(r *dlmv1.Request, slot *logSlot) {
	for n := s.highest + 1; n < slot.sequence; n++ {
		s.gaps = append(s.gaps, n)
	}
	s.highest = max(s.highest, slot.sequence)
	s.add(slot)
	s.forget(r)
}

// passedOver says whether a sequence that the log has not seen can take effect no more: a later one has come, and the
// client has said that it awaits this one no longer.
func (s *logSession) passedOver(sequence uint64) bool {
	_, open := slices.BinarySearch(s.gaps, sequence)
	return sequence <= s.highest && !open
}

// forget marks what the client awaits no longer.
func (s *logSession) forget(r *dlmv1.Request) {
	s.gaps = slices.DeleteFunc(s.gaps, func(n uint64) bool { return n < r.GetWatermark() && !slices.Contains(r.GetAwaited(), n) })
	whole := true
	for i := s.kept; i < len(s.slots) && s.slots[i].sequence < r.GetWatermark(); i++ {
		if !slices.Contains(r.GetAwaited(), s.slots[i].sequence) {
			s.slots[i].forgettable = true
		}
		if whole = whole && s.slots[i].forgettable; whole {
			s.kept = i + 1
		}
	}
}

// lose remembers an involuntary loss.
func (s *logSession) lose(lock string, token uint64, reason dlmv1.Reason) {
	if len(s.losses) == lossesKept {
		s.losses = s.losses[1:]
	}
	s.losses = append(s.losses, logLoss{lock, token, reason})
}

func (l *logChecker) lock(name string) *logLock {
	for _, k := range l.locks {
		if k.name == name {
			return k
		}
	}
	k := &logLock{name: name}
	l.locks = append(l.locks, k)
	return k
}

// used says whether the lock is held, waited for, or in lock-delay.
func (k *logLock) used() bool { return len(k.holds)+len(k.queue) > 0 || k.delayed > 0 }

func (l *logChecker) file(name string) *logFile {
	for i := len(l.files) - 1; i >= 0; i-- {
		if f := l.files[i]; f.name == name && f.died == 0 {
			return f
		}
	}
	return nil
}

func (k *logLock) hold(token uint64) *logHold {
	for _, h := range k.holds {
		if h.token == token {
			return h
		}
	}
	return nil
}

// drop ends a hold.
func (k *logLock) drop(h *logHold, now uint64, involuntary bool) {
	k.changed = true
	for i, x := range k.holds {
		if x == h {
			k.holds = append(k.holds[:i:i], k.holds[i+1:]...)
			break
		}
	}
	if involuntary && h.delay > 0 && now+h.delay > k.delayed {
		k.delayed, k.delayBegan, k.delayShared = now+h.delay, now, h.shared
	}
}

// barred says whether a lock-delay forbids a grant. One that began in the very entry does not forbid a shared hold beside
// the shared one whose loss began it: of several things due at the stamp the grant may have come before the loss.
func (k *logLock) barred(now uint64, shared bool) bool {
	return k.delayed > now && !(k.delayBegan == now && k.delayShared && shared)
}

func (k *logLock) unqueue(w *logWait) {
	k.changed = true
	for i, x := range k.queue {
		if x == w {
			k.queue = append(k.queue[:i:i], k.queue[i+1:]...)
			return
		}
	}
}

// endSession takes the session's holds along. Its places in queues stay until the log answers them (G8 says that it does
// so in the same entry).
func (l *logChecker) endSession(s *logSession, why dlmv1.Reason) {
	s.ended, s.why, s.died = true, why, l.index
	l.endWaits(s)
	for _, k := range l.locks {
		for _, h := range append([]*logHold(nil), k.holds...) {
			if h.session == s.id {
				k.drop(h, l.now, why != dlmv1.Reason_REASON_SESSION_CLOSED || h.revoked)
			}
		}
	}
}

// endWaits: the session's places in queues mean nothing any more.
func (l *logChecker) endWaits(s *logSession) {
	for _, k := range l.locks {
		for _, w := range k.queue {
			w.gone = w.gone || w.session == s.id
		}
	}
}

// revoke invalidates a hold; it blocks until its lease as of now has ended.
func (l *logChecker) revoke(k *logLock, h *logHold, atOnce bool) {
	k.changed = true
	if !h.revoked {
		h.revoked = true
		if s := l.session(h.session); s != nil {
			s.lose(k.name, h.token, dlmv1.Reason_REASON_LOCK_REVOKED)
			if h.deadline == 0 || s.deadline < h.deadline {
				h.deadline = s.deadline
			}
		}
	}
	if atOnce {
		if s := l.session(h.session); s != nil {
			u := unblocked{k.name, h.token, h.deadline, l.index}
			s.unblocked = append(s.unblocked, u)
			l.revokedNow[h.token] = u
		}
		k.drop(h, l.now, true)
	}
}

// unconfirmed are the session's holds that were revoked at once and that its client may believe in.
func (l *logChecker) unconfirmed(s *logSession) []unblocked {
	s.unblocked = slices.DeleteFunc(s.unblocked, func(u unblocked) bool { return u.until <= l.now })
	return s.unblocked
}

func (l *logChecker) atOnce(s *logSession, lock string, token uint64) bool {
	return slices.ContainsFunc(l.unconfirmed(s), func(u unblocked) bool { return u.lock == lock && u.token == token })
}

// due lets everything happen that the stamp has reached.
func (l *logChecker) due(trueNow time.Duration) {
	for _, s := range l.sessions {
		if s.ended || s.deadline > l.now {
			continue
		}
		l.w.checked("G9")
		if early := s.lastSent + time.Duration(float64(s.ttl)/(1+float64(l.rates)/1e6)) - trueNow; early > time.Microsecond {
			l.w.fail("G9", "session %d expires %v before TTL/rho has passed since its last renewal was sent", s.id, early)
		}
		why := dlmv1.Reason_REASON_SESSION_EXPIRED
		if s.revoked {
			why = dlmv1.Reason_REASON_SESSION_REVOKED
		} else {
			l.expired = append(l.expired, s.id)
		}
		for _, k := range l.locks {
			for _, h := range k.holds {
				l.ranOut[h.token] = l.ranOut[h.token] || h.session == s.id
			}
		}
		l.endSession(s, why)
	}
	for _, k := range l.locks {
		for _, h := range append([]*logHold(nil), k.holds...) {
			if h.deadline > 0 && h.deadline <= l.now {
				l.ranOut[h.token] = true
				if s := l.session(h.session); s != nil && !h.revoked {
					s.lose(k.name, h.token, dlmv1.Reason_REASON_HOLD_LIMIT)
				}
				k.drop(h, l.now, true)
			}
		}
		if k.delayed > 0 && k.delayed <= l.now {
			k.delayed, k.changed = 0, true
		}
	}
}
