package core_test

import (
	"slices"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// model is the lock table once more, written from the contract and deliberately dumb: flat slices, linear scans, nothing
// remembered that can be counted again. Where it and core differ one of them misreads the contract.
type model struct {
	now, index  uint64
	limits      *dlmv1.Limits
	lastSession uint64
	nextToken   uint64
	lastFile    uint64
	lastWait    uint64

	sessions []*mSession // living ones, by id
	ended    []mEnd
	holds    []*mHold // those that block, revoked ones too, by token
	waits    []*mWait // in the order of the log
	delays   []mDelay
	files    []*mFile // by id

	out core.Output
}

type mSession struct {
	id, instance  uint64
	key           string // of the current instance
	open          *dlmv1.Open
	opened        *dlmv1.Answer
	ttl, deadline uint64
	window        uint64 // the limit when it was opened
	highest       uint64
	slots         []mSlot  // awaited sequences, ascending
	lost          []mLoss  // the last 16
	atOnce        []*mHold // revoked at once and not confirmed, by token
	revoked       bool
	why           string
}

type mSlot struct {
	sequence uint64
	request  *dlmv1.Request // nil: a gap, or cancelled before it came
	answer   *dlmv1.Answer  // nil: a gap, or it waits
}

type mEnd struct {
	id     uint64
	reason dlmv1.Reason
}

type mLoss struct {
	lock   string
	token  uint64
	reason dlmv1.Reason
}

type mHold struct {
	session, token uint64
	ask            *dlmv1.Acquire
	granted        uint64
	deadline       uint64 // of the hold limit, 0 = none
	revoked        bool
	why            string
	block          uint64 // a revoked hold blocks until then
}

type mWait struct {
	session, sequence uint64
	number            uint64 // in the order of the log
	ask               *dlmv1.Acquire
	since             uint64
	deadline          uint64 // 0 = none
}

type mDelay struct {
	lock  string
	until uint64
	token uint64 // of the hold whose loss set the end
}

type mFile struct {
	id         uint64
	name, lock string
	data       []byte
}

func newModel(limits *dlmv1.Limits, firstToken uint64) *model {
	return &model{limits: limits, nextToken: firstToken, lastSession: firstToken - 1}
}

func (m *model) apply(index, stamp uint64, requests []*dlmv1.Request) core.Output {
	m.out = core.Output{}
	m.index, m.now = index, max(m.now, stamp)
	for due, ok := m.firstDue(); ok && due.at <= m.now; due, ok = m.firstDue() {
		due.happen()
	}
	for _, r := range requests {
		if a := m.request(proto.CloneOf(r)); a != nil {
			m.emit(a)
		}
	}
	return m.out
}

// mDue is something that will happen by itself.
type mDue struct {
	at     uint64
	kind   int
	id     uint64
	happen func()
}

func (d mDue) before(o mDue) bool {
	for _, c := range [][2]uint64{{d.at, o.at}, {uint64(d.kind), uint64(o.kind)}, {d.id, o.id}} {
		if c[0] != c[1] {
			return c[0] < c[1]
		}
	}
	return false
}

func (m *model) firstDue() (first mDue, ok bool) {
	see := func(d mDue) {
		if !ok || d.before(first) {
			first, ok = d, true
		}
	}
	for _, s := range m.sessions {
		see(mDue{at: s.deadline, kind: 1, id: s.id, happen: func() { m.sessionDue(s) }})
	}
	for _, h := range m.holds {
		switch {
		case h.revoked:
			see(mDue{at: h.block, kind: 5, id: h.token, happen: func() { m.drop(h, true) }})
		case h.deadline != 0:
			see(mDue{at: h.deadline, kind: 2, id: h.token, happen: func() { m.holdDue(h) }})
		}
	}
	for _, w := range m.waits {
		if w.deadline != 0 {
			see(mDue{at: w.deadline, kind: 3, id: w.number, happen: func() { m.endWait(w, dlmv1.Reason_REASON_WAIT_TIMEOUT) }})
		}
	}
	for _, d := range m.delays {
		see(mDue{at: d.until, kind: 4, id: d.token, happen: func() { m.delayDue(d) }})
	}
	return first, ok
}

func (m *model) sessionDue(s *mSession) {
	reason := dlmv1.Reason_REASON_SESSION_EXPIRED
	if s.revoked {
		reason = dlmv1.Reason_REASON_SESSION_REVOKED
	}
	m.endSession(s, reason)
}

func (m *model) holdDue(h *mHold) {
	m.lose(h, dlmv1.Reason_REASON_HOLD_LIMIT, "")
	m.drop(h, true)
}

func (m *model) delayDue(d mDelay) {
	m.delays = slices.DeleteFunc(m.delays, func(o mDelay) bool { return o == d })
	m.pump(d.lock)
}

// endSession takes everything of a session along.
func (m *model) endSession(s *mSession, reason dlmv1.Reason) {
	m.sessions = slices.DeleteFunc(m.sessions, func(o *mSession) bool { return o == s })
	m.ended = append(m.ended, mEnd{s.id, reason})
	m.endWaits(s, reason)
	for _, h := range slices.Clone(m.holds) {
		if h.session == s.id {
			m.drop(h, reason != dlmv1.Reason_REASON_SESSION_CLOSED)
		}
	}
	if reason != dlmv1.Reason_REASON_SESSION_CLOSED {
		m.notice(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_SESSION_LOST, Session: s.id, Reason: reason, Why: s.why})
	}
}

// endWaits answers everything that a session waits for, in the order of the log.
func (m *model) endWaits(s *mSession, reason dlmv1.Reason) {
	for _, w := range slices.Clone(m.waits) {
		if w.session == s.id {
			m.endWait(w, reason)
		}
	}
}

func (m *model) endWait(w *mWait, reason dlmv1.Reason) {
	m.waits = slices.DeleteFunc(m.waits, func(o *mWait) bool { return o == w })
	a := m.answer(w.session, w.sequence, reason)
	if reason == dlmv1.Reason_REASON_INSTANCE_FENCED {
		a.Instance = m.session(w.session).instance
	}
	m.settle(w.session, w.sequence, a)
	m.pump(w.ask.GetLock())
}

// settle records and emits the answer of an acquire that waited.
func (m *model) settle(session, sequence uint64, a *dlmv1.Answer) {
	if s := m.session(session); s != nil {
		s.slot(sequence).answer = a
	}
	m.emit(a)
}

// lose tells the holder of a loss and lets its session remember it.
func (m *model) lose(h *mHold, reason dlmv1.Reason, why string) {
	m.notice(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_LOCK_LOST, Session: h.session, Lock: h.ask.GetLock(), Token: h.token, Reason: reason, Why: why})
	s := m.session(h.session)
	s.lost = append(s.lost, mLoss{h.ask.GetLock(), h.token, reason})
	s.lost = s.lost[max(0, len(s.lost)-16):]
}

// drop ends a hold. A revoked one was lost involuntarily, however its block ends.
func (m *model) drop(h *mHold, involuntary bool) {
	m.holds = slices.DeleteFunc(m.holds, func(o *mHold) bool { return o == h })
	lock, delay := h.ask.GetLock(), h.ask.GetLockDelayNanos()
	if delay > 0 && (involuntary || h.revoked) {
		if until := m.now + delay; until > m.delayed(lock) {
			m.delays = slices.DeleteFunc(m.delays, func(d mDelay) bool { return d.lock == lock })
			m.delays = append(m.delays, mDelay{lock, until, h.token})
		}
	}
	m.pump(lock)
}

// pump grants a lock to the head of its queue, as often as it can.
func (m *model) pump(lock string) {
	before := m.nextToken
	defer func() {
		for _, h := range m.holds {
			if h.ask.GetLock() == lock && h.token >= before && len(m.queue(lock)) > 0 {
				m.notice(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_CONTENDED, Session: h.session, Lock: lock, Token: h.token})
			}
		}
	}()
	for {
		queue := m.queue(lock)
		if len(queue) == 0 || !m.free(queue[0].ask) {
			return
		}
		w := queue[0]
		if m.session(w.session).deadline <= m.now || (w.deadline != 0 && w.deadline <= m.now) {
			return // it ends in this very entry, and must not be granted anything after its end
		}
		m.waits = slices.DeleteFunc(m.waits, func(o *mWait) bool { return o == w })
		m.settle(w.session, w.sequence, m.grant(w.session, w.sequence, w.ask))
	}
}

func (m *model) grant(session, sequence uint64, ask *dlmv1.Acquire) *dlmv1.Answer {
	h := &mHold{session: session, token: m.nextToken, ask: ask, granted: m.now}
	if limit := ask.GetHoldLimitNanos(); limit != 0 {
		h.deadline = m.now + limit
	}
	m.nextToken++
	m.holds = append(m.holds, h)
	a := m.answer(session, sequence, dlmv1.Reason_REASON_OK)
	a.Token, a.HoldDeadline = h.token, h.deadline
	return a
}

// free says whether nothing but the queue keeps an acquire from its grant.
func (m *model) free(ask *dlmv1.Acquire) bool {
	if m.delayed(ask.GetLock()) != 0 {
		return false
	}
	for _, h := range m.holds {
		shared := h.ask.GetMode() == dlmv1.Mode_MODE_SHARED && ask.GetMode() == dlmv1.Mode_MODE_SHARED
		if h.ask.GetLock() == ask.GetLock() && !shared {
			return false
		}
	}
	return true
}

func (m *model) delayed(lock string) uint64 {
	for _, d := range m.delays {
		if d.lock == lock {
			return d.until
		}
	}
	return 0
}

func (m *model) queue(lock string) (queue []*mWait) {
	for _, w := range m.waits {
		if w.ask.GetLock() == lock {
			queue = append(queue, w)
		}
	}
	return queue
}

func (m *model) waitOf(session, sequence uint64) *mWait {
	for _, w := range m.waits {
		if w.session == session && w.sequence == sequence {
			return w
		}
	}
	return nil
}

func (m *model) session(id uint64) *mSession {
	for _, s := range m.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

// current is the token that answers of refused holders name.
func (m *model) current(lock string) uint64 {
	for _, h := range m.holds {
		if h.ask.GetLock() == lock && !h.revoked {
			return h.token
		}
	}
	return 0
}

// locks counts the locks of which there is anything to know.
func (m *model) locks() int {
	var names []string
	for _, h := range m.holds {
		names = append(names, h.ask.GetLock())
	}
	for _, w := range m.waits {
		names = append(names, w.ask.GetLock())
	}
	for _, d := range m.delays {
		names = append(names, d.lock)
	}
	slices.Sort(names)
	return len(slices.Compact(names))
}

func (m *model) answer(session, sequence uint64, reason dlmv1.Reason) *dlmv1.Answer {
	a := &dlmv1.Answer{Session: session, Sequence: sequence, Index: m.index, Stamp: m.now, Reason: reason}
	if s := m.session(session); s != nil {
		a.SessionDeadline = s.deadline
	}
	return a
}

func (m *model) emit(a *dlmv1.Answer) { m.out.Answers = append(m.out.Answers, a) }

func (m *model) notice(n *dlmv1.Notice) {
	n.Stamp = m.now
	m.out.Notices = append(m.out.Notices, n)
}

func (s *mSession) slot(sequence uint64) *mSlot {
	for i := range s.slots {
		if s.slots[i].sequence == sequence {
			return &s.slots[i]
		}
	}
	return nil
}
