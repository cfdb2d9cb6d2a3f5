package sim

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica"
)

// watcher is whom the checkers report to: the World, or a test of theirs.
type watcher interface {
	fail(number, format string, args ...any)
	checked(number string)
}

// logChecker watches the log: G1, G3, G4, G5, G7, G8, G9 and L3, entry by entry, and that an entry which is applied again
// after a restart brings about the same.
type logChecker struct {
	w     watcher
	drift uint64

	index      uint64 // of the newest entry
	now        uint64
	lastToken  uint64
	sessions   []*logSession
	locks      []*logLock
	files      []*logFile
	revokedNow map[uint64]bool
	opens      map[string]*dlmv1.Answer
	entries    map[uint64]uint64 // hash of each entry and its outputs
	answers    map[uint64][]*dlmv1.Answer
	states     map[uint64]uint64 // core.Hash by log position
}

func newLogChecker(w watcher, drift uint64) *logChecker {
	return &logChecker{
		w: w, drift: drift, revokedNow: map[uint64]bool{}, opens: map[string]*dlmv1.Answer{},
		entries: map[uint64]uint64{}, answers: map[uint64][]*dlmv1.Answer{}, states: map[uint64]uint64{},
	}
}

// entry takes one applied entry. sent says when a request was first sent.
func (l *logChecker) entry(trueNow time.Duration, index, stamp uint64, reqs []*dlmv1.Request, out core.Output, sent func(session, sequence uint64) time.Duration) {
	h := hashEntry(stamp, reqs, out)
	if index <= l.index {
		l.w.checked("G5")
		if l.entries[index] != h {
			l.w.fail("G5", "log position %d was applied again and brought about something else", index)
		}
		return
	}
	l.index = index
	l.entries[index] = h
	l.answers[index] = out.Answers
	l.now = max(l.now, stamp)
	l.due(trueNow)

	answers := out.Answers
	for _, r := range reqs {
		n := ownAnswer(answers, r)
		if n >= 0 && l.waits(r) && answers[n].GetReason() != dlmv1.Reason_REASON_OK &&
			answers[n].GetReason() != dlmv1.Reason_REASON_INSTANCE_FENCED && answers[n].GetReason() != dlmv1.Reason_REASON_SEQUENCE_REUSED {
			n = -1 // a later request of the entry ends the wait: not this copy's own answer
		}
		if n >= 0 && isQueued(out.Notices, r) {
			n = -1
		}
		if n < 0 {
			l.request(r, nil, sent)
			continue
		}
		// What a request brings about for others is answered before it is; what was due before it, earlier still.
		applied := false
		for _, a := range answers[:n] {
			if !applied && !l.possible(a) {
				applied = true
				l.request(r, answers[n], sent)
			}
			l.other(a)
		}
		if !applied {
			l.request(r, answers[n], sent)
		}
		answers = answers[n+1:]
	}
	for _, a := range answers {
		l.other(a)
	}
	for _, n := range out.Notices {
		l.notice(n)
	}
	l.settled()
}

func (l *logChecker) waits(r *dlmv1.Request) bool {
	s := l.session(r.GetSession())
	return s != nil && s.slots[r.GetSequence()] != nil && s.slots[r.GetSequence()].answer == nil
}

// ownAnswer finds the answer of a request among those that follow.
func ownAnswer(answers []*dlmv1.Answer, r *dlmv1.Request) int {
	var key []byte
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		key = op.Open.GetKey()
	case *dlmv1.Request_Attach:
		key = op.Attach.GetKey()
	}
	for i, a := range answers {
		if key != nil {
			if bytes.Equal(key, a.GetKey()) {
				return i
			}
		} else if a.GetSession() == r.GetSession() && a.GetSequence() == r.GetSequence() && len(a.GetKey()) == 0 {
			return i
		}
	}
	return -1
}

func isQueued(notices []*dlmv1.Notice, r *dlmv1.Request) bool {
	for _, n := range notices {
		if n.GetKind() == dlmv1.Notice_KIND_QUEUED && n.GetSession() == r.GetSession() && n.GetSequence() == r.GetSequence() {
			return true
		}
	}
	return false
}

// refusals are answers that are not the result of their request: it has no effect, and they need not be equal.
func refusal(a *dlmv1.Answer) bool {
	switch a.GetReason() {
	case dlmv1.Reason_REASON_TOO_OLD, dlmv1.Reason_REASON_SEQUENCE_REUSED, dlmv1.Reason_REASON_NO_SESSION,
		dlmv1.Reason_REASON_SESSION_ENDED, dlmv1.Reason_REASON_SESSION_EXPIRED, dlmv1.Reason_REASON_SESSION_CLOSED,
		dlmv1.Reason_REASON_SESSION_REVOKED, dlmv1.Reason_REASON_INSTANCE_FENCED:
		return true
	}
	return a.GetIndex() == 0
}

// request takes a request and its own answer; nil = it waits.
func (l *logChecker) request(r *dlmv1.Request, a *dlmv1.Answer, sent func(uint64, uint64) time.Duration) {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		l.open(op.Open, a, sent)
		return
	case *dlmv1.Request_Attach:
		l.attach(r, a, sent)
		return
	}
	s := l.session(r.GetSession())
	ok := a != nil && a.GetReason() == dlmv1.Reason_REASON_OK
	if s == nil || s.ended || r.GetInstance() != s.instance {
		l.w.checked("G8")
		if a == nil || !refusal(a) {
			l.w.fail("G8", "position %d: request (%d, %d) of a session or instance that is no more got through", l.index, r.GetSession(), r.GetSequence())
		}
		return
	}
	if a != nil && a.GetReason() == dlmv1.Reason_REASON_SESSION_EXPIRED {
		l.w.fail("G9", "position %d: session %d is said to be expired at %d, its deadline is %d", l.index, s.id, l.now, s.deadline)
	}
	slot := s.slots[r.GetSequence()]
	if slot != nil {
		l.duplicate(r, a, slot)
		return
	}
	if a != nil && refusal(a) {
		_, cancel := r.GetOp().(*dlmv1.Request_Cancel)
		if a.GetReason() != dlmv1.Reason_REASON_TOO_OLD || !cancel || r.GetSequence() <= s.highest {
			return
		}
	}
	slot = &logSlot{digest: hashOp(r), answer: a}
	s.slots[r.GetSequence()] = slot
	s.highest = max(s.highest, r.GetSequence())
	for seq := range r.GetWatermark() {
		if old := s.slots[seq]; old != nil && !contains(r.GetAwaited(), seq) {
			old.forgettable = true
		}
	}
	if a.GetReason() == dlmv1.Reason_REASON_CANCELLED && a.GetIndex() < l.index {
		return // overtaken by its own cancel: a duplicate of that entry's result, which renews nothing
	}
	if !s.revoked {
		s.deadline = max(s.deadline, l.now+s.ttl)
		s.lastSent = sent(s.id, r.GetSequence())
	}
	if a == nil {
		l.enqueue(s, r)
		return
	}
	if ok || a.GetReason() == dlmv1.Reason_REASON_LOCK_REVOKED {
		l.effect(s, r, a)
	}
	l.w.checked("G9")
	if !s.ended && a.GetSessionDeadline() != s.deadline {
		l.w.fail("G9", "position %d: session %d is told the deadline %d, by its renewals it is %d", l.index, s.id, a.GetSessionDeadline(), s.deadline)
	}
}

func contains(list []uint64, v uint64) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

func (l *logChecker) duplicate(r *dlmv1.Request, a *dlmv1.Answer, slot *logSlot) {
	l.w.checked("G4")
	switch {
	case a == nil:
		if slot.answer != nil {
			l.w.fail("G4", "position %d: (%d, %d) has an answer and now waits", l.index, r.GetSession(), r.GetSequence())
		}
	case a.GetReason() == dlmv1.Reason_REASON_TOO_OLD && slot.answer.GetReason() != dlmv1.Reason_REASON_TOO_OLD:
		if !slot.forgettable {
			l.w.fail("G4", "position %d: (%d, %d) is awaited and was forgotten", l.index, r.GetSession(), r.GetSequence())
		}
	case a.GetReason() == dlmv1.Reason_REASON_SEQUENCE_REUSED:
		if slot.digest == hashOp(r) {
			l.w.fail("G4", "position %d: (%d, %d) is the same request and said to be another", l.index, r.GetSession(), r.GetSequence())
		}
	case refusal(a):
	case slot.answer == nil || !proto.Equal(a, slot.answer):
		l.w.fail("G4", "position %d: a duplicate of (%d, %d) got another answer: %v, first %v", l.index, r.GetSession(), r.GetSequence(), a, slot.answer)
	}
}

func (l *logChecker) open(op *dlmv1.Open, a *dlmv1.Answer, sent func(uint64, uint64) time.Duration) {
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return
	}
	if first := l.opens[string(op.GetKey())]; first != nil {
		if s := l.session(first.GetSession()); !s.ended {
			l.w.checked("G4")
			if !proto.Equal(first, a) {
				l.w.fail("G4", "position %d: a duplicate of an open got another answer", l.index)
			}
			return
		}
	}
	if l.session(a.GetSession()) != nil {
		l.w.fail("G3", "position %d: session id %d is used twice", l.index, a.GetSession())
		return
	}
	l.opens[string(op.GetKey())] = a
	l.sessions = append(l.sessions, &logSession{
		id: a.GetSession(), ttl: a.GetTtlNanos(), deadline: l.now + a.GetTtlNanos(), instance: a.GetInstance(),
		slots: map[uint64]*logSlot{}, lastSent: sent(0, 0),
	})
}

func (l *logChecker) attach(r *dlmv1.Request, a *dlmv1.Answer, sent func(uint64, uint64) time.Duration) {
	s := l.session(r.GetSession())
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return
	}
	l.w.checked("G8")
	if s == nil || s.ended {
		l.w.fail("G8", "position %d: session %d is no more and was attached", l.index, r.GetSession())
		return
	}
	if a.GetInstance() != s.instance {
		if a.GetInstance() != s.instance+1 || r.GetAttach().GetReplaces() != s.instance {
			l.w.fail("G4", "position %d: an attach that replaces instance %d makes instance %d; the current one is %d",
				l.index, r.GetAttach().GetReplaces(), a.GetInstance(), s.instance)
		}
		s.instance = a.GetInstance()
		s.deadline, s.lastSent = max(s.deadline, l.now+s.ttl), sent(0, 0)
		s.slots = map[uint64]*logSlot{}
		l.endWaits(s)
	}
	var have int
	for _, k := range l.locks {
		for _, h := range k.holds {
			if h.session == s.id && !h.revoked {
				have++
			}
		}
	}
	if have != len(a.GetHolds()) {
		l.w.fail("G8", "position %d: attach to session %d answers %d holds, it has %d", l.index, s.id, len(a.GetHolds()), have)
	}
}

// read checks an answer to a read against the log.
func (l *logChecker) read(w watcher, r *dlmv1.Read, a *dlmv1.ReadAnswer, acked uint64) {
	if a.GetIndex() == 0 {
		return
	}
	w.checked("G6")
	if a.GetIndex() < acked {
		w.fail("G6", "a read saw position %d, though position %d had been answered before it began", a.GetIndex(), acked)
	}
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return
	}
	switch op := r.GetOp().(type) {
	case *dlmv1.Read_GetLock:
		var want, got []uint64
		for _, v := range l.lock(op.GetLock.GetLock()).history {
			if v.index <= a.GetIndex() {
				want = v.tokens
			}
		}
		for _, h := range a.GetLock().GetHolders() {
			got = append(got, h.GetToken())
		}
		if !equalTokens(want, got) {
			w.fail("G6", "a read at position %d saw holders %v of %q, the log says %v", a.GetIndex(), got, op.GetLock.GetLock(), want)
		}
	case *dlmv1.Read_ReadFile:
		for _, f := range l.files {
			if f.name != op.ReadFile.GetFile() || f.born > a.GetIndex() || f.died != 0 && f.died <= a.GetIndex() {
				continue
			}
			from := min(op.ReadFile.GetOffset(), uint64(len(f.data)))
			if !bytes.HasPrefix(f.data[from:], a.GetData()) {
				w.fail("G5", "a read of %q at %d got bytes that nobody appended", f.name, from)
			}
		}
	}
}

// remember keeps the hash of a node's state, state compares it later.
func (l *logChecker) remember(n *replica.Node) { l.states[n.Applied()] = n.Core().Hash() }

func (l *logChecker) state(n *replica.Node) {
	if h, ok := l.states[n.Applied()]; ok {
		l.w.checked("G5 state")
		if h != n.Core().Hash() {
			l.w.fail("G5", "the state at position %d is another one after a restart", n.Applied())
		}
	}
}

func equalTokens(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
