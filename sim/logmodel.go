package sim

import (
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// What the log says, recomputed from requests and answers alone. Locks, sessions and files are few in a run: they lie in
// slices and are looked for.

type logSession struct {
	id, ttl, deadline, instance uint64
	highest                     uint64
	ended, revoked              bool
	slots                       map[uint64]*logSlot
	lastSent                    time.Duration // true time at which the last renewing request was first sent
}

// logSlot is a sequence that the log has seen.
type logSlot struct {
	digest      uint64
	answer      *dlmv1.Answer // nil: it waits
	forgettable bool          // the client said that it awaits it no longer
}

type logHold struct {
	session, token, deadline, limit, delay uint64
	shared, revoked                        bool
}

type logWait struct {
	session, sequence, deadline, limit, delay uint64
	shared                                    bool
	gone                                      bool // its session or instance is: it will be answered in this entry
}

type logLock struct {
	name    string
	holds   []*logHold
	queue   []*logWait
	delayed uint64 // end of the lock-delay
	// The loss that began it: when, and of a shared hold?
	delayBegan  uint64
	delayShared bool
	history     []lockVersion
}

// lockVersion is who held the lock from a log position on.
type lockVersion struct {
	index  uint64
	tokens []uint64
}

// logFile is one life of a file.
type logFile struct {
	name, lock string
	data       []byte
	born, died uint64 // log positions; died 0 = lives
}

func (l *logChecker) session(id uint64) *logSession {
	for _, s := range l.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
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

func (l *logChecker) file(name string) *logFile {
	for _, f := range l.files {
		if f.name == name && f.died == 0 {
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
	for i, x := range k.queue {
		if x == w {
			k.queue = append(k.queue[:i:i], k.queue[i+1:]...)
			return
		}
	}
}

// endSession takes the session's holds along. Its places in queues stay until the log answers them (G8 says that it does
// so in the same entry).
func (l *logChecker) endSession(s *logSession, involuntary bool) {
	s.ended = true
	l.endWaits(s)
	for _, k := range l.locks {
		for _, h := range append([]*logHold(nil), k.holds...) {
			if h.session == s.id {
				k.drop(h, l.now, involuntary || h.revoked)
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
	if !h.revoked {
		h.revoked = true
		if s := l.session(h.session); s != nil && (h.deadline == 0 || s.deadline < h.deadline) {
			h.deadline = s.deadline
		}
	}
	if atOnce {
		l.revokedNow[h.token] = true
		k.drop(h, l.now, true)
	}
}

// due lets everything happen that the stamp has reached.
func (l *logChecker) due(trueNow time.Duration) {
	for _, s := range l.sessions {
		if s.ended || s.deadline > l.now {
			continue
		}
		l.w.checked("G9")
		if early := s.lastSent + time.Duration(float64(s.ttl)/(1+float64(l.drift)/1e6)) - trueNow; early > time.Microsecond {
			l.w.fail("G9", "session %d expires %v before TTL/rho has passed since its last renewal", s.id, early)
		}
		l.endSession(s, true)
	}
	for _, k := range l.locks {
		for _, h := range append([]*logHold(nil), k.holds...) {
			if h.deadline > 0 && h.deadline <= l.now {
				k.drop(h, l.now, true)
			}
		}
		if k.delayed <= l.now {
			k.delayed = 0
		}
	}
}
