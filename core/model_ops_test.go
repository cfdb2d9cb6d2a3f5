package core_test

import (
	"slices"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// request carries out one request. nil: it waits.
func (m *model) request(r *dlmv1.Request) *dlmv1.Answer {
	if r.GetOpen() != nil {
		return m.open(r.GetOpen())
	}
	s := m.session(r.GetSession())
	no := func(reason dlmv1.Reason) *dlmv1.Answer {
		a := m.answer(r.GetSession(), r.GetSequence(), reason)
		if r.GetAttach() != nil {
			a.Sequence, a.Key = 0, r.GetAttach().GetKey()
		}
		return a
	}
	if s == nil {
		return no(m.gone(r.GetSession()))
	}
	if r.GetAttach() != nil {
		return m.attach(s, r.GetAttach(), no)
	}
	if r.GetInstance() != s.instance {
		a := no(dlmv1.Reason_REASON_INSTANCE_FENCED)
		a.Instance = s.instance
		return a
	}
	if r.GetSequence() == 0 {
		return no(dlmv1.Reason_REASON_INVALID)
	}
	known := s.slot(r.GetSequence())
	switch {
	case known != nil && (known.request != nil || known.answer != nil):
		if known.request != nil && !sameOp(known.request, r) {
			return no(dlmv1.Reason_REASON_SEQUENCE_REUSED)
		}
		if known.answer != nil {
			return known.answer
		}
		m.queued(m.waitOf(s.id, r.GetSequence()))
		return nil
	case known == nil && r.GetSequence() <= s.highest:
		return no(dlmv1.Reason_REASON_TOO_OLD)
	case s.revoked && r.GetClose() == nil:
		return no(dlmv1.Reason_REASON_SESSION_REVOKED)
	}
	if !m.admit(s, r) {
		return &dlmv1.Answer{Session: s.id, Sequence: r.GetSequence(), Reason: dlmv1.Reason_REASON_WINDOW_FULL, Limit: s.window}
	}
	if !s.revoked {
		s.deadline = m.now + s.ttl
	}
	s.slot(r.GetSequence()).request = r
	a := m.op(s, r)
	if a != nil && m.session(s.id) != nil {
		s.slot(r.GetSequence()).answer = a
	}
	return a
}

// sameOp compares the operations of two requests and nothing else of them.
func sameOp(a, b *dlmv1.Request) bool {
	return proto.Equal(&dlmv1.Request{Op: a.GetOp()}, &dlmv1.Request{Op: b.GetOp()})
}

// admit gives a new sequence its slot, or changes nothing.
func (m *model) admit(s *mSession, r *dlmv1.Request) bool {
	n, watermark := r.GetSequence(), r.GetWatermark()
	if !wellFormed(r) {
		watermark = 0 // forget nothing
	}
	slots := slices.Clone(s.slots)
	for q := s.highest + 1; q <= n; q++ {
		slots = append(slots, mSlot{sequence: q})
	}
	slots = slices.DeleteFunc(slots, func(o mSlot) bool {
		return o.sequence < watermark && !slices.Contains(r.GetAwaited(), o.sequence) &&
			m.waitOf(s.id, o.sequence) == nil && o.sequence != n
	})
	if n > s.highest && (n > s.highest+s.window || uint64(len(slots)) > s.window) {
		return false
	}
	s.slots, s.highest = slots, max(s.highest, n)
	return true
}

func wellFormed(r *dlmv1.Request) bool {
	last := uint64(0)
	for _, a := range r.GetAwaited() {
		if a <= last || a >= r.GetWatermark() {
			return false
		}
		last = a
	}
	return r.GetWatermark() <= r.GetSequence()
}

// gone says why a session does not live.
func (m *model) gone(id uint64) dlmv1.Reason {
	for i := len(m.ended) - 1; i >= 0 && i >= len(m.ended)-4096; i-- {
		if m.ended[i].id == id {
			return m.ended[i].reason
		}
	}
	if id != 0 && id <= m.lastSession {
		return dlmv1.Reason_REASON_SESSION_ENDED
	}
	return dlmv1.Reason_REASON_NO_SESSION
}

func (m *model) open(o *dlmv1.Open) *dlmv1.Answer {
	no := func(reason dlmv1.Reason) *dlmv1.Answer {
		return &dlmv1.Answer{Index: m.index, Stamp: m.now, Reason: reason, Key: o.GetKey()}
	}
	for _, s := range m.sessions {
		switch {
		case !slices.Equal(s.open.GetKey(), o.GetKey()):
		case proto.Equal(s.open, o):
			return s.opened
		default:
			return no(dlmv1.Reason_REASON_SEQUENCE_REUSED)
		}
	}
	ttl := o.GetTtlNanos()
	if ttl == 0 {
		ttl = m.limits.GetDefaultTtlNanos()
	}
	if len(o.GetKey()) != 16 || ttl < m.limits.GetMinTtlNanos() || ttl > m.limits.GetMaxTtlNanos() {
		return no(dlmv1.Reason_REASON_INVALID)
	}
	if uint64(len(m.sessions)) >= m.limits.GetSessions() {
		a := no(dlmv1.Reason_REASON_LIMIT)
		a.Limit = m.limits.GetSessions()
		return a
	}
	m.lastSession++
	s := &mSession{id: m.lastSession, instance: 1, key: string(o.GetKey()), open: o, ttl: ttl, deadline: m.now + ttl, window: m.limits.GetWindow()}
	m.sessions = append(m.sessions, s)
	s.opened = m.answer(s.id, 0, dlmv1.Reason_REASON_OK)
	s.opened.Instance, s.opened.TtlNanos, s.opened.NextSequence, s.opened.Key = 1, ttl, 1, o.GetKey()
	s.opened.Limit = s.window
	return s.opened
}

func (m *model) attach(s *mSession, at *dlmv1.Attach, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	switch {
	case s.revoked:
		return no(dlmv1.Reason_REASON_SESSION_REVOKED)
	case len(at.GetKey()) != 16:
		return no(dlmv1.Reason_REASON_INVALID)
	case string(at.GetKey()) == s.key:
	case at.GetReplaces() != s.instance:
		a := no(dlmv1.Reason_REASON_INSTANCE_FENCED)
		a.Instance = s.instance
		return a
	default:
		s.deadline = m.now + s.ttl
		s.instance++
		s.key = string(at.GetKey())
		m.endWaits(s, dlmv1.Reason_REASON_INSTANCE_FENCED)
		s.slots = nil
	}
	a := no(dlmv1.Reason_REASON_OK)
	a.Instance, a.TtlNanos, a.NextSequence, a.Limit = s.instance, s.ttl, s.highest+1, s.window
	for _, h := range m.holds {
		if h.session == s.id && !h.revoked {
			a.Holds = append(a.Holds, &dlmv1.Hold{Lock: h.ask.GetLock(), Mode: h.ask.GetMode(), Token: h.token, HoldDeadline: h.deadline})
		}
	}
	a.Losses = m.unconfirmed(s)
	return a
}

// unconfirmed are the session's revoked holds that its client may still believe in.
func (m *model) unconfirmed(s *mSession) (losses []*dlmv1.Loss) {
	for _, h := range m.holds {
		if h.session == s.id && h.revoked {
			losses = append(losses, loss(h))
		}
	}
	for _, h := range m.atOnce(s) {
		losses = append(losses, loss(h))
	}
	return sortedBy(losses, (*dlmv1.Loss).GetToken)
}

// atOnce are those of them whose locks have moved on. The client believes in none longer than until its lease ended.
func (m *model) atOnce(s *mSession) []*mHold {
	s.atOnce = slices.DeleteFunc(s.atOnce, func(h *mHold) bool { return h.block <= m.now })
	return s.atOnce
}

func loss(h *mHold) *dlmv1.Loss {
	return &dlmv1.Loss{Lock: h.ask.GetLock(), Token: h.token, Reason: dlmv1.Reason_REASON_LOCK_REVOKED, Why: h.why}
}

// op carries out a request that is logged for the first time.
func (m *model) op(s *mSession, r *dlmv1.Request) *dlmv1.Answer {
	no := func(reason dlmv1.Reason) *dlmv1.Answer { return m.answer(s.id, r.GetSequence(), reason) }
	if !wellFormed(r) {
		return no(dlmv1.Reason_REASON_INVALID)
	}
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_KeepAlive:
		a := no(dlmv1.Reason_REASON_OK)
		a.Losses = m.unconfirmed(s)
		return a
	case *dlmv1.Request_Close:
		m.endSession(s, dlmv1.Reason_REASON_SESSION_CLOSED)
		return no(dlmv1.Reason_REASON_OK)
	case *dlmv1.Request_Acquire:
		return m.acquire(s, r.GetSequence(), op.Acquire, no)
	case *dlmv1.Request_Cancel:
		return m.cancel(s, r.GetSequence(), op.Cancel.GetSequence(), no)
	case *dlmv1.Request_Release:
		h, a := m.hold(s, op.Release.GetLock(), op.Release.GetToken(), no)
		if h != nil {
			m.drop(h, false)
			a = no(dlmv1.Reason_REASON_OK)
		} else if h = m.byToken(s, op.Release.GetLock(), op.Release.GetToken()); h != nil {
			m.drop(h, true)
			a = no(dlmv1.Reason_REASON_LOCK_REVOKED)
			a.Token = m.current(op.Release.GetLock())
		}
		s.atOnce = slices.DeleteFunc(s.atOnce, func(h *mHold) bool {
			return h.token == op.Release.GetToken() && h.ask.GetLock() == op.Release.GetLock()
		})
		return a
	case *dlmv1.Request_Renew:
		return m.renew(s, op.Renew, no)
	case *dlmv1.Request_Revoke:
		return m.revoke(op.Revoke, no)
	case *dlmv1.Request_RevokeSession:
		return m.revokeSession(op.RevokeSession, no)
	case *dlmv1.Request_Append:
		return m.append(s, op.Append, no)
	case *dlmv1.Request_Delete:
		return m.delete(s, op.Delete, no)
	}
	return no(dlmv1.Reason_REASON_INVALID)
}

func (m *model) acquire(s *mSession, sequence uint64, ask *dlmv1.Acquire, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	limit := func(limit uint64) *dlmv1.Answer {
		a := no(dlmv1.Reason_REASON_LIMIT)
		a.Limit = limit
		return a
	}
	queue := m.queue(ask.GetLock())
	var holders []*mHold
	for _, h := range m.holds {
		if h.ask.GetLock() != ask.GetLock() || h.revoked {
			continue
		}
		holders = append(holders, h)
		if h.session == s.id {
			a := no(dlmv1.Reason_REASON_ALREADY_HELD)
			a.Token = h.token
			return a
		}
	}
	for _, w := range queue {
		if w.session == s.id {
			return no(dlmv1.Reason_REASON_ALREADY_WAITING)
		}
	}
	if m.places(s) >= m.limits.GetHoldsPerSession() {
		return limit(m.limits.GetHoldsPerSession())
	}
	if len(queue) == 0 && m.free(ask) {
		if n := m.locks(); m.unknown(ask.GetLock()) && uint64(n) >= m.limits.GetLocks() {
			return limit(m.limits.GetLocks())
		}
		return m.grant(s.id, sequence, ask)
	}
	if ask.WaitNanos != nil && ask.GetWaitNanos() == 0 {
		return no(dlmv1.Reason_REASON_NOT_ACQUIRED)
	}
	if uint64(len(queue)) >= m.limits.GetWaitersPerLock() {
		return limit(m.limits.GetWaitersPerLock())
	}
	m.lastWait++
	w := &mWait{session: s.id, sequence: sequence, number: m.lastWait, ask: ask, since: m.now}
	if ask.WaitNanos != nil {
		w.deadline = m.now + ask.GetWaitNanos()
	}
	m.waits = append(m.waits, w)
	m.queued(w)
	if len(queue) == 0 {
		for _, h := range holders {
			m.notice(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_CONTENDED, Session: h.session, Lock: ask.GetLock(), Token: h.token})
		}
	}
	return nil
}

// places counts what a session holds (revoked too, until they are confirmed) and waits for.
func (m *model) places(s *mSession) (n uint64) {
	n = uint64(len(m.atOnce(s)))
	for _, h := range m.holds {
		if h.session == s.id {
			n++
		}
	}
	for _, w := range m.waits {
		if w.session == s.id {
			n++
		}
	}
	return n
}

// unknown says that there is nothing to know of a lock.
func (m *model) unknown(lock string) bool {
	for _, h := range m.holds {
		if h.ask.GetLock() == lock {
			return false
		}
	}
	return len(m.queue(lock)) == 0 && m.delayed(lock) == 0
}

func (m *model) queued(w *mWait) {
	m.notice(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_QUEUED, Session: w.session, Sequence: w.sequence, Lock: w.ask.GetLock()})
}

func (m *model) cancel(s *mSession, own, sequence uint64, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	if sequence == 0 || sequence >= own {
		return no(dlmv1.Reason_REASON_INVALID)
	}
	at := s.slot(sequence)
	if at == nil {
		return no(dlmv1.Reason_REASON_TOO_OLD)
	}
	a := no(dlmv1.Reason_REASON_OK)
	a.Cancelled = dlmv1.Reason_REASON_CANCELLED
	switch w := m.waitOf(s.id, sequence); {
	case w != nil:
		m.endWait(w, dlmv1.Reason_REASON_CANCELLED)
	case at.answer == nil:
		at.answer = m.answer(s.id, sequence, dlmv1.Reason_REASON_CANCELLED)
	default:
		a.Cancelled = at.answer.GetReason()
		if a.GetCancelled() == dlmv1.Reason_REASON_OK {
			a.Token = at.answer.GetToken()
		}
	}
	return a
}

func (m *model) byToken(s *mSession, lock string, token uint64) *mHold {
	for _, h := range m.holds {
		if h.session == s.id && h.ask.GetLock() == lock && h.token == token {
			return h
		}
	}
	return nil
}

// hold finds the current hold (lock, token) of a session, or says why there is none.
func (m *model) hold(s *mSession, lock string, token uint64, no func(dlmv1.Reason) *dlmv1.Answer) (*mHold, *dlmv1.Answer) {
	reason := dlmv1.Reason_REASON_STALE_TOKEN
	switch h := m.byToken(s, lock, token); {
	case h == nil:
	case !h.revoked:
		return h, nil
	default:
		reason = dlmv1.Reason_REASON_LOCK_REVOKED
	}
	for _, l := range s.lost {
		if l.lock == lock && l.token == token {
			reason = l.reason
		}
	}
	for _, h := range m.atOnce(s) {
		if h.ask.GetLock() == lock && h.token == token {
			reason = dlmv1.Reason_REASON_LOCK_REVOKED
		}
	}
	a := no(reason)
	a.Token = m.current(lock)
	return nil, a
}

func (m *model) renew(s *mSession, r *dlmv1.Renew, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	h, a := m.hold(s, r.GetLock(), r.GetToken(), no)
	if h == nil {
		return a
	}
	limit := r.GetHoldLimitNanos()
	if limit == 0 {
		limit = h.ask.GetHoldLimitNanos()
	}
	h.deadline = 0
	if limit != 0 {
		h.deadline = m.now + limit
	}
	a = no(dlmv1.Reason_REASON_OK)
	a.Token, a.HoldDeadline = h.token, h.deadline
	return a
}

func (m *model) revoke(r *dlmv1.Revoke, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	var found []*mHold
	for _, h := range m.holds {
		if h.ask.GetLock() == r.GetLock() && (r.GetToken() == 0 || h.token == r.GetToken()) && (!h.revoked || r.GetNow()) {
			found = append(found, h)
		}
	}
	if len(found) == 0 {
		a := no(dlmv1.Reason_REASON_NOT_FOUND)
		a.Token = m.current(r.GetLock())
		return a
	}
	a := no(dlmv1.Reason_REASON_OK)
	a.Losses = m.takeAway(found, r.GetNow(), r.GetWhy())
	return a
}

// takeAway revokes holds.
func (m *model) takeAway(found []*mHold, now bool, why string) (losses []*dlmv1.Loss) {
	for _, h := range found {
		if !h.revoked {
			h.revoked, h.why, h.block = true, why, m.session(h.session).deadline
			if h.deadline != 0 {
				h.block = min(h.block, h.deadline)
			}
			m.lose(h, dlmv1.Reason_REASON_LOCK_REVOKED, why)
		}
		losses = append(losses, loss(h))
	}
	if now {
		for _, h := range found {
			s := m.session(h.session)
			s.atOnce = append(s.atOnce, h)
			m.drop(h, true)
		}
	}
	return losses
}

func (m *model) revokeSession(r *dlmv1.RevokeSession, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	s := m.session(r.GetSession())
	if s == nil || (s.revoked && !r.GetNow()) {
		return no(dlmv1.Reason_REASON_NOT_FOUND)
	}
	if !s.revoked {
		s.revoked, s.why = true, r.GetWhy()
	}
	if !r.GetNow() { // or else the end tells it
		m.notice(&dlmv1.Notice{Kind: dlmv1.Notice_KIND_SESSION_LOST, Session: s.id, Reason: dlmv1.Reason_REASON_SESSION_REVOKED, Why: r.GetWhy()})
	}
	m.endWaits(s, dlmv1.Reason_REASON_SESSION_REVOKED)
	var found []*mHold
	for _, h := range m.holds {
		if h.session == s.id && !h.revoked {
			found = append(found, h)
		}
	}
	m.takeAway(found, false, r.GetWhy())
	if r.GetNow() {
		m.endSession(s, dlmv1.Reason_REASON_SESSION_REVOKED)
	}
	return no(dlmv1.Reason_REASON_OK)
}

func (m *model) file(name string) *mFile {
	for _, f := range m.files {
		if f.name == name {
			return f
		}
	}
	return nil
}

// guard checks what a change of a file needs.
func (m *model) guard(s *mSession, f *mFile, lock string, token uint64, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	if f != nil && f.lock != lock {
		return no(dlmv1.Reason_REASON_WRONG_LOCK)
	}
	h, a := m.hold(s, lock, token, no)
	if h != nil && h.ask.GetMode() != dlmv1.Mode_MODE_EXCLUSIVE {
		a = no(dlmv1.Reason_REASON_NOT_EXCLUSIVE)
		a.Token = m.current(lock)
	}
	return a
}

func (m *model) append(s *mSession, r *dlmv1.Append, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	f := m.file(r.GetFile())
	if a := m.guard(s, f, r.GetLock(), r.GetToken(), no); a != nil {
		return a
	}
	limit := func(limit uint64) *dlmv1.Answer {
		a := no(dlmv1.Reason_REASON_LIMIT)
		a.Limit = limit
		return a
	}
	if f == nil && uint64(len(m.files)) >= m.limits.GetFiles() {
		return limit(m.limits.GetFiles())
	}
	offset := uint64(0)
	if f != nil {
		offset = uint64(len(f.data))
	}
	if offset+uint64(len(r.GetData())) > m.limits.GetFileBytes() {
		return limit(m.limits.GetFileBytes())
	}
	if f == nil {
		m.lastFile++
		f = &mFile{id: m.lastFile, name: r.GetFile(), lock: r.GetLock()}
		m.files = append(m.files, f)
	}
	f.data = append(f.data, r.GetData()...)
	m.out.Files = append(m.out.Files, core.FileOp{Kind: core.FileWrite, ID: f.id, Offset: offset, Data: r.GetData()})
	a := no(dlmv1.Reason_REASON_OK)
	a.Offset, a.Length = offset, uint64(len(f.data))
	return a
}

func (m *model) delete(s *mSession, r *dlmv1.Delete, no func(dlmv1.Reason) *dlmv1.Answer) *dlmv1.Answer {
	f := m.file(r.GetFile())
	if f == nil {
		return no(dlmv1.Reason_REASON_NOT_FOUND)
	}
	if a := m.guard(s, f, r.GetLock(), r.GetToken(), no); a != nil {
		return a
	}
	m.files = slices.DeleteFunc(m.files, func(o *mFile) bool { return o == f })
	m.out.Files = append(m.out.Files, core.FileOp{Kind: core.FileDelete, ID: f.id})
	return no(dlmv1.Reason_REASON_OK)
}
