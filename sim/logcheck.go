package sim

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// watcher is whom the checkers report to: the World, or a test of theirs.
type watcher interface {
	fail(number, format string, args ...any)
	checked(number string)
}

// wire knows what clients have sent.
type wire interface {
	// sent says when the request was first sent, and the digest of its operation then.
	sent(r *dlmv1.Request) (at time.Duration, op uint64, ok bool)
}

// logChecker is a lock table of its own: it recomputes from the entries of the log what each request must have been
// answered, and holds G1, G3, G4, G5, G7, G8, G9, G10 and L3 against that, entry by entry. Nothing of it comes from core
// but the answers that it judges.
type logChecker struct {
	w     watcher
	wire  wire
	rates uint64 // by how much the rates of two clocks differ at most, in millionths

	index       uint64 // of the newest entry
	now         uint64
	trueNow     time.Duration
	lastToken   uint64
	lastSession uint64
	limits      *dlmv1.Limits
	sessions    []*logSession
	locks       []*logLock
	files       []*logFile
	revokedNow  map[uint64]unblocked // by token
	ranOut      map[uint64]bool      // tokens whose hold time alone has ended
	expired     []uint64             // sessions, in order
	opens       map[string]*dlmv1.Answer
	openOps     map[string]uint64 // digest of the open
	entries     map[uint64]uint64 // hash of each entry and its outputs
	answers     map[uint64][]*dlmv1.Answer
	waitsEnded  []*dlmv1.Answer // by other than a grant, in the present entry
	drain       drainWatch
	written     map[string]uint64 // where bytes were appended, by how they begin
}

// newLogChecker makes one for a cluster that begins with these limits. rates says by how much the rates of any two clocks
// really differ at most, in millionths, whatever the limits tell the cluster.
func newLogChecker(w watcher, wire wire, limits *dlmv1.Limits, rates uint64) *logChecker {
	return &logChecker{
		w: w, wire: wire, rates: rates, limits: limits, revokedNow: map[uint64]unblocked{}, ranOut: map[uint64]bool{},
		opens: map[string]*dlmv1.Answer{}, openOps: map[string]uint64{},
		entries: map[uint64]uint64{}, answers: map[uint64][]*dlmv1.Answer{},
	}
}

// entry takes one applied entry, whose hash covers its outputs.
func (l *logChecker) entry(trueNow time.Duration, index, stamp, hash uint64, reqs []*dlmv1.Request, out core.Output) {
	if index <= l.index {
		l.w.checked("G5")
		if l.entries[index] != hash {
			l.w.fail("G5", "log position %d was applied again and brought about something else", index)
		}
		return
	}
	l.index, l.trueNow = index, trueNow
	l.entries[index] = hash
	l.answers[index] = out.Answers
	if stamp < l.now {
		l.w.fail("G9", "position %d is stamped %d, after %d: cluster time went back", index, stamp, l.now)
	}
	l.now = max(l.now, stamp)
	l.due(trueNow)

	answers := l.dueAnswers(out.Answers)
	for _, r := range reqs {
		n := l.placeOfAnswer(answers, out.Notices, r)
		if n < 0 {
			l.request(r, nil)
			continue
		}
		// What a request brings about for others is answered before it is.
		applied := false
		for _, a := range answers[:n] {
			if !applied && !l.possible(a) {
				applied = true
				l.request(r, answers[n])
			}
			l.other(a)
		}
		if !applied {
			l.request(r, answers[n])
		}
		answers = answers[n+1:]
	}
	for _, a := range answers {
		l.other(a)
	}
	for _, n := range out.Notices {
		l.notice(n)
	}
	for _, a := range l.waitsEnded {
		l.rightlyEnded(a, reqs)
	}
	l.waitsEnded = l.waitsEnded[:0]
	l.settled()
}

// dueAnswers takes the answers of what time alone has brought about, before the first request, and returns the others. A
// grant among them was possible at once; one that only a request makes possible was not.
func (l *logChecker) dueAnswers(answers []*dlmv1.Answer) []*dlmv1.Answer {
	for i, a := range answers {
		_, w, _ := l.waiting(a)
		if w == nil {
			return answers[i:]
		}
		due := w.gone
		switch a.GetReason() {
		case dlmv1.Reason_REASON_OK:
			due = l.possible(a)
		case dlmv1.Reason_REASON_WAIT_TIMEOUT, dlmv1.Reason_REASON_SESSION_EXPIRED:
			due = true
		}
		if !due {
			return answers[i:]
		}
		l.other(a)
	}
	return nil
}

// placeOfAnswer is the place of the request's own answer among those that follow; -1: it waits.
func (l *logChecker) placeOfAnswer(answers []*dlmv1.Answer, notices []*dlmv1.Notice, r *dlmv1.Request) int {
	n := ownAnswer(answers, r)
	if n < 0 || isQueued(notices, r) {
		return -1
	}
	if s := l.session(r.GetSession()); s != nil {
		if slot := s.slot(r.GetSequence()); slot != nil && slot.waits() {
			switch answers[n].GetReason() {
			case dlmv1.Reason_REASON_OK, dlmv1.Reason_REASON_INSTANCE_FENCED, dlmv1.Reason_REASON_SEQUENCE_REUSED:
			default:
				return -1 // a later request of the entry ends the wait: not this copy's own answer
			}
		}
	}
	return n
}

// ownAnswer finds the first answer that names the request.
func ownAnswer(answers []*dlmv1.Answer, r *dlmv1.Request) int {
	key := idempotencyKey(r)
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

// idempotencyKey is what identifies an open or an attach.
func idempotencyKey(r *dlmv1.Request) []byte {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return op.Open.GetKey()
	case *dlmv1.Request_Attach:
		return op.Attach.GetKey()
	}
	return nil
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
func (l *logChecker) request(r *dlmv1.Request, a *dlmv1.Answer) {
	at, op, ok := l.wire.sent(r)
	l.w.checked("G4 sent")
	if !ok || op != hashOp(r) {
		l.w.fail("G4", "position %d: request (%d, %d) is in the log, and nobody has sent it: %v", l.index, r.GetSession(), r.GetSequence(), r)
	}
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		l.open(r, op.Open, a, at)
		return
	case *dlmv1.Request_Attach:
		l.attach(r, op.Attach, a, at)
		return
	}
	s := l.session(r.GetSession())
	if s == nil || s.ended || r.GetInstance() != s.instance {
		l.gone(s, r, a)
		return
	}
	if slot := s.slot(r.GetSequence()); slot != nil {
		l.duplicate(r, a, slot)
		return
	}
	if !l.fresh(s, r, a) {
		return
	}
	slot := &logSlot{sequence: r.GetSequence(), digest: hashOp(r), answer: a}
	s.take(r, slot)
	if !s.revoked {
		s.deadline, s.lastSent = max(s.deadline, l.now+s.ttl), at
	}
	want := l.expect(s, r)
	if a == nil {
		if want != mustWait {
			number := "G6"
			if want == dlmv1.Reason_REASON_LIMIT || want == dlmv1.Reason_REASON_INVALID {
				number = "G10"
			}
			l.w.fail(number, "position %d: (%d, %d) waits, by the log before it the answer is %v", l.index, s.id, r.GetSequence(), want)
		}
		l.enqueue(s, r)
		return
	}
	l.effect(s, r, a)
	l.judge(s, r, a, want)
}

// fresh says whether a request whose sequence the log has not seen takes its place in it; otherwise its refusal is judged.
func (l *logChecker) fresh(s *logSession, r *dlmv1.Request, a *dlmv1.Answer) bool {
	_, closes := r.GetOp().(*dlmv1.Request_Close)
	_, cancels := r.GetOp().(*dlmv1.Request_Cancel)
	old := a.GetReason() == dlmv1.Reason_REASON_TOO_OLD
	switch {
	case s.passedOver(r.GetSequence()):
		l.w.checked("G4 passed over")
		if !old {
			l.w.fail("G4", "position %d: (%d, %d) is awaited no longer and is not refused as too old: %v", l.index, s.id, r.GetSequence(), a)
		}
		return false
	case s.revoked && !closes:
		if a == nil || a.GetReason() != dlmv1.Reason_REASON_SESSION_REVOKED {
			l.w.fail("G8", "position %d: request (%d, %d) of a revoked session got through: %v", l.index, s.id, r.GetSequence(), a)
		}
		return false
	case a == nil || !refusal(a):
		return true
	case old && cancels:
		return true // its result: the acquire is too old
	case a.GetReason() == dlmv1.Reason_REASON_WINDOW_FULL:
		return false
	case s.revoked && a.GetReason() == dlmv1.Reason_REASON_SESSION_REVOKED:
		return false
	}
	number := "G6"
	if a.GetReason() == dlmv1.Reason_REASON_SESSION_EXPIRED {
		number = "G9"
	}
	l.w.fail(number, "position %d: request (%d, %d) is refused with %v; its session lives and its sequence is new", l.index, s.id, r.GetSequence(), a.GetReason())
	return false
}

// gone judges the answer to a session or an instance that is no more.
func (l *logChecker) gone(s *logSession, r *dlmv1.Request, a *dlmv1.Answer) {
	l.w.checked("G8")
	want := dlmv1.Reason_REASON_INSTANCE_FENCED
	switch {
	case s == nil:
		want = dlmv1.Reason_REASON_NO_SESSION
	case s.ended:
		want = s.why
	}
	switch {
	case a == nil || !refusal(a):
		l.w.fail("G8", "position %d: request (%d, %d) of a session or instance that is no more got through", l.index, r.GetSession(), r.GetSequence())
	case a.GetReason() != want:
		number := "G8"
		if a.GetReason() == dlmv1.Reason_REASON_SESSION_EXPIRED {
			number = "G9"
		}
		l.w.fail(number, "position %d: request (%d, %d) is told %v, and the truth is %v", l.index, r.GetSession(), r.GetSequence(), a.GetReason(), want)
	}
}

func (l *logChecker) duplicate(r *dlmv1.Request, a *dlmv1.Answer, slot *logSlot) {
	l.w.checked("G4")
	reason := a.GetReason()
	switch {
	case a == nil:
		if !slot.waits() {
			l.w.fail("G4", "position %d: (%d, %d) has an answer and now waits", l.index, r.GetSession(), r.GetSequence())
		}
	case reason == dlmv1.Reason_REASON_TOO_OLD && !proto.Equal(a, slot.answer): // not its own result: a cancel's may be that
		if !slot.forgettable || slot.waits() {
			l.w.fail("G4", "position %d: (%d, %d) is awaited and was forgotten", l.index, r.GetSession(), r.GetSequence())
		}
	case reason == dlmv1.Reason_REASON_SEQUENCE_REUSED:
		if slot.digest == hashOp(r) {
			l.w.fail("G4", "position %d: (%d, %d) is the same request and said to be another", l.index, r.GetSession(), r.GetSequence())
		}
	case slot.cancelledAt != 0 && slot.answer == nil:
		// The first copy that comes after its cancel: it takes no effect and renews nothing.
		l.w.checked("G8 cancel")
		if reason != dlmv1.Reason_REASON_CANCELLED || a.GetIndex() != slot.cancelledAt {
			l.w.fail("G8", "position %d: (%d, %d) was cancelled before it came, and is answered %v", l.index, r.GetSession(), r.GetSequence(), a)
		}
		slot.answer, slot.digest = a, hashOp(r)
	case slot.answer == nil || !proto.Equal(a, slot.answer):
		l.w.fail("G4", "position %d: a duplicate of (%d, %d) got another answer: %v, first %v", l.index, r.GetSession(), r.GetSequence(), a, slot.answer)
	}
}

func (l *logChecker) open(r *dlmv1.Request, op *dlmv1.Open, a *dlmv1.Answer, at time.Duration) {
	key := string(op.GetKey())
	if first := l.opens[key]; first != nil && !l.session(first.GetSession()).ended && l.wellFormed(r) {
		l.w.checked("G4")
		switch {
		case a.GetReason() == dlmv1.Reason_REASON_SEQUENCE_REUSED && l.openOps[key] != hashOp(r):
		case !proto.Equal(first, a):
			l.w.fail("G4", "position %d: a duplicate of an open got another answer", l.index)
		}
		return
	}
	alive := uint64(0)
	for _, s := range l.sessions {
		alive += b2u(!s.ended)
	}
	want := dlmv1.Reason_REASON_OK
	if !l.wellFormed(r) {
		want = dlmv1.Reason_REASON_INVALID
	} else if alive >= l.limits.GetSessions() {
		want = dlmv1.Reason_REASON_LIMIT
	}
	l.judge(nil, r, a, want)
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return
	}
	if a.GetSession() <= l.lastSession {
		l.w.fail("G3", "position %d: session id %d is given after %d: it may have been used", l.index, a.GetSession(), l.lastSession)
		return
	}
	l.lastSession = a.GetSession()
	ttl := op.GetTtlNanos()
	if ttl == 0 {
		ttl = l.limits.GetDefaultTtlNanos()
	}
	s := &logSession{id: a.GetSession(), ttl: ttl, deadline: l.now + ttl, instance: 1, lastSent: at, born: l.index}
	l.w.checked("G9")
	if a.GetTtlNanos() != ttl || a.GetSessionDeadline() != s.deadline || a.GetInstance() != 1 {
		l.w.fail("G9", "position %d: session %d with a TTL of %d opens at %d and is told: %v", l.index, s.id, ttl, l.now, a)
	}
	l.opens[key], l.openOps[key] = a, hashOp(r)
	l.sessions = append(l.sessions, s)
}

func (l *logChecker) attach(r *dlmv1.Request, op *dlmv1.Attach, a *dlmv1.Answer, at time.Duration) {
	s := l.session(r.GetSession())
	if s == nil || s.ended || s.revoked {
		if s != nil && !s.ended && a.GetReason() == dlmv1.Reason_REASON_SESSION_REVOKED {
			return
		}
		l.gone(s, r, a)
		return
	}
	l.w.checked("G8")
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		if op.GetReplaces() == s.instance && l.wellFormed(r) {
			l.w.fail("G8", "position %d: session %d lives, instance %d is to be replaced, and the attach is refused with %v", l.index, s.id, s.instance, a.GetReason())
		}
		return
	}
	if a.GetInstance() != s.instance {
		if a.GetInstance() != s.instance+1 || op.GetReplaces() != s.instance {
			l.w.fail("G4", "position %d: an attach that replaces instance %d makes instance %d; the current one is %d",
				l.index, op.GetReplaces(), a.GetInstance(), s.instance)
		}
		s.takeovers = append(s.takeovers, takeover{a.GetInstance(), l.index, s.deadline})
		s.instance = a.GetInstance()
		s.deadline, s.lastSent = max(s.deadline, l.now+s.ttl), at
		s.slots, s.kept, s.gaps = nil, 0, nil
		l.endWaits(s)
	}
	var have, got [][2]uint64
	for _, k := range l.locks {
		for _, h := range k.holds {
			if h.session == s.id && !h.revoked {
				have = append(have, [2]uint64{h.token, h.deadline})
			}
		}
	}
	for _, h := range a.GetHolds() {
		got = append(got, [2]uint64{h.GetToken(), h.GetHoldDeadline()})
	}
	slices.SortFunc(have, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	if !slices.Equal(have, got) {
		l.w.fail("G8", "position %d: attach to session %d answers the tokens and deadlines %v, it has %v", l.index, s.id, got, have)
	}
	l.lossesTold(s, a)
	if a.GetSessionDeadline() != s.deadline {
		l.w.fail("G9", "position %d: session %d is told the deadline %d, by its renewals it is %d", l.index, s.id, a.GetSessionDeadline(), s.deadline)
	}
}
