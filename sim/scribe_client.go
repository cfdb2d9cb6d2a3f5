package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// openCall is a call of an application whose request has not been seen yet.
type openCall struct {
	client int
	op     string
	event  uint64
}

type callKey struct {
	client int
	life   uint64
	id     engine.Call
}

// opKey is equal for a call and for the request that it makes the engine send.
func opKey(r *dlmv1.Request) string {
	k := requestName(r) + " "
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return k
	case *dlmv1.Request_Acquire:
		k += op.Acquire.GetLock()
	case *dlmv1.Request_Release:
		k += op.Release.GetLock() + " " + strconv.FormatUint(op.Release.GetToken(), 10)
	case *dlmv1.Request_KeepAlive, *dlmv1.Request_Cancel:
		return ""
	case *dlmv1.Request_Close:
	default:
		k += strconv.FormatUint(hashOp(r), 16)
	}
	return strconv.FormatUint(r.GetSession(), 10) + " " + k
}

// calling records a call of the application.
func (s *scribe) calling(c *client, id engine.Call, session uint64, r *dlmv1.Request) {
	if s == nil {
		return
	}
	r = &dlmv1.Request{Session: session, Op: r.GetOp()}
	e := Event{Lane: clientLane(c.id), Kind: KindCall, What: requestName(r), Text: "calls " + say(r)}
	if session != 0 {
		e.Text += ", session " + strconv.FormatUint(session, 10)
	}
	e.about(r)
	event := s.happened(e)
	s.byCall[callKey{c.id, c.life, id}] = event
	s.calls = append(s.calls, openCall{client: c.id, op: opKey(r), event: event})
}

// asking records a call that reads.
func (s *scribe) asking(c *client, id engine.Call, r *dlmv1.Read) {
	if s == nil {
		return
	}
	e := Event{Lane: clientLane(c.id), Kind: KindCall, What: "read", Text: "calls " + sayRead(r)}
	e.aboutRead(r)
	s.byCall[callKey{c.id, c.life, id}] = s.happened(e)
}

// callOf takes the call that a request which is sent for the first time comes from; 0 = the engine sends it by itself.
func (s *scribe) callOf(client int, r *dlmv1.Request) uint64 {
	key := opKey(r)
	for i, c := range s.calls {
		if key != "" && c.client == client && c.op == key {
			s.calls = slices.Delete(s.calls, i, i+1)
			return c.event
		}
	}
	return 0
}

// took records that the library takes a frame in: an event for each thing in it.
func (s *scribe) took(c *client, f *dlmv1.ServerFrame) {
	if s == nil {
		return
	}
	by := s.w.sim.Cause
	for _, a := range f.GetAnswers() {
		e := Event{
			Lane: clientLane(c.id), Kind: KindAnswer, Text: "takes in " + sayAnswer(a), Sequence: a.GetSequence(),
			Refused: a.GetReason() != dlmv1.Reason_REASON_OK, Index: a.GetIndex(), Causes: []uint64{by},
		}
		e.aboutAnswer(a)
		for _, k := range answerKey(a) {
			sent := s.requests[k]
			e.Causes = append(e.Causes, sent)
			if r := s.rec.Event(sent); r != nil {
				e.What = r.What
				if len(e.Locks) == 0 && len(r.Locks) == 1 {
					e.Locks = r.Locks
				}
			}
		}
		if len(a.GetKey()) > 0 && a.GetSession() != 0 {
			s.owners[a.GetSession()] = c.id
		}
		s.happened(e)
		for _, k := range answerKey(a) {
			s.taken[k] = s.w.sim.Cause
		}
	}
	for _, n := range f.GetNotices() {
		e := Event{Lane: clientLane(c.id), Kind: KindNotice, Text: "takes in " + sayNotice(n), Causes: []uint64{by}}
		addTo(&e.Sessions, n.GetSession())
		addTo(&e.Locks, n.GetLock())
		addTo(&e.Tokens, n.GetToken())
		s.happened(e)
	}
}

var eventNames = map[engine.EventKind]string{
	engine.EventSessionLost: "session lost", engine.EventLockLost: "lock lost", engine.EventContended: "contended",
	engine.EventQueued: "queued", engine.EventConnected: "connected", engine.EventDisconnected: "disconnected",
}

// told records what the library tells its application unasked.
func (s *scribe) told(c *client, ev *engine.Event) {
	if s == nil || ev.Kind == engine.EventConnected || ev.Kind == engine.EventDisconnected {
		return
	}
	e := Event{
		Lane: clientLane(c.id), Kind: KindNotice, What: eventNames[ev.Kind],
		Text: "tells the application: " + eventNames[ev.Kind],
	}
	if ev.Lock != "" {
		e.Text += " " + ev.Lock
	}
	if ev.Token != 0 {
		e.Text += fmt.Sprintf(", token %d", ev.Token)
	}
	if ev.Err != nil {
		e.Text += ": " + ev.Err.Error()
	}
	addTo(&e.Sessions, ev.Session)
	addTo(&e.Locks, ev.Lock)
	addTo(&e.Tokens, ev.Token)
	s.add(e)
}

// returned records the end of a call; read is what it asked, if it reads.
func (s *scribe) returned(c *client, read *dlmv1.Read, d engine.Completion) {
	if s == nil {
		return
	}
	e := Event{Lane: clientLane(c.id), Kind: KindReturn, Refused: d.Err != nil, Text: "returns "}
	call := s.byCall[callKey{c.id, c.life, d.Call}]
	delete(s.byCall, callKey{c.id, c.life, d.Call})
	if made := s.rec.Event(call); made != nil {
		e.What, e.Locks, e.Sessions, e.Tokens = made.What, made.Locks, slices.Clone(made.Sessions), slices.Clone(made.Tokens)
		e.Text += "from " + made.Text[len("calls "):] + ": "
	}
	switch {
	case d.Err != nil:
		e.Text += d.Err.Error()
	case d.Answer != nil:
		e.Text += resultText(d.Answer)
		addTo(&e.Tokens, d.Answer.GetToken())
	case d.Read != nil:
		e.Text += readText(read, d.Read)
	default:
		e.Text += "OK"
	}
	s.calls = slices.DeleteFunc(s.calls, func(o openCall) bool { return call != 0 && o.event == call })
	by := s.w.sim.Cause
	if d.Answer != nil {
		for _, k := range answerKey(d.Answer) {
			if id := s.taken[k]; id != 0 {
				by = id
			}
		}
	}
	e.Causes = []uint64{by, call}
	s.happened(e)
}

// belief is a hold that a library has spoken of.
type belief struct {
	client        int
	life, session uint64
	lock          string
	token         uint64
	shared        bool
	held          bool
	end           time.Duration // local
	event         uint64        // that began it, or moved its end last
}

// claims begins to watch a hold that a library has told its application of.
func (s *scribe) claims(c *client, session uint64, lock string, token uint64, shared bool) {
	if s != nil {
		s.beliefs = append(s.beliefs, &belief{client: c.id, life: c.life, session: session, lock: lock, token: token, shared: shared, event: s.w.sim.Cause})
	}
}

// look asks the libraries what they say now.
func (s *scribe) look() {
	if s == nil {
		return
	}
	s.beliefs = slices.DeleteFunc(s.beliefs, func(b *belief) bool { return s.changed(b) })
}

// changed records what has changed about a belief, and says whether it is over.
func (s *scribe) changed(b *belief) (over bool) {
	c := s.w.clients[b.client]
	e := Event{
		Lane: clientLane(b.client), Shared: b.shared, Locks: []string{b.lock}, Sessions: []uint64{b.session}, Tokens: []uint64{b.token},
		Causes: []uint64{b.event},
	}
	if by := s.rec.Event(s.w.sim.Cause); b.held && by != nil && by.Lane == e.Lane {
		e.Causes = []uint64{by.ID, b.event}
	}
	end, known := time.Duration(0), false
	if c.up && c.life == b.life {
		end, known = c.engine.LeaseEnd(b.session, b.lock, b.token)
	}
	held := known && c.read() < end
	hold := fmt.Sprintf("%s, token %d", b.lock, b.token)
	switch {
	case held && !b.held:
		e.Kind, e.Until, e.Causes = KindHeld, c.clock.when(end), []uint64{b.event, s.grants[b.token]}
		e.Text = fmt.Sprintf("says that it holds %s (%s), at the longest until %.6f", hold, modeText(b.shared), e.Until.Seconds())
	case held && end != b.end:
		e.Kind, e.Until = KindLease, c.clock.when(end)
		e.Text = fmt.Sprintf("says that it holds %s until %.6f", hold, e.Until.Seconds())
	case !held:
		if b.held {
			e.Kind, e.Text = KindUnheld, "says no longer that it holds "+hold
			switch {
			case !c.up || c.life != b.life:
				e.What = "crash"
			case known:
				e.What, e.Causes = "lapsed", []uint64{b.event}
				e.Text += ": its lease is over by its own clock"
			}
			s.add(e)
		}
		return true
	default:
		return false
	}
	b.held, b.end = true, end
	b.event = s.add(e)
	return false
}

// sayRead is a read in words.
func sayRead(r *dlmv1.Read) string {
	switch op := r.GetOp().(type) {
	case *dlmv1.Read_GetLock:
		return "read lock " + op.GetLock.GetLock()
	case *dlmv1.Read_CheckToken:
		return fmt.Sprintf("check %s, token %d", op.CheckToken.GetLock(), op.CheckToken.GetToken())
	case *dlmv1.Read_ReadFile:
		return "read " + op.ReadFile.GetFile()
	case *dlmv1.Read_ListLocks:
		return "list locks"
	case *dlmv1.Read_ListSessions:
		return "list sessions"
	case *dlmv1.Read_ListFiles:
		return "list files"
	}
	return "read"
}
