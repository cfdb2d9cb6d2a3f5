package sim

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/netsim"
)

// scribe writes what happens in a world into a Recorder. A nil scribe writes nothing: all its methods may be called.
//
// What causes what is found in two ways. The simulation carries a number along (netsim.Sim.Cause): whatever is scheduled
// while an event is being dealt with runs as its consequence. And identities are joined: message numbers, (session,
// sequence) of requests, log positions, tokens.
type scribe struct {
	w   *World
	rec *Recorder

	messages map[uint64]uint64       // message -> its KindSend
	reads    map[readKey]*dlmv1.Read // as they were sent
	requests map[reqKey]uint64       // request -> the event that last sent it
	arrived  map[reqKey]uint64       // request -> the delivery that brought it to the server's process, this life of it
	batch    []uint64                // deliveries since the last disk task of the log
	answers  map[reqKey]uint64       // request -> what the lock table did about it
	taken    map[reqKey]uint64       // request -> the event in which a library took its answer in
	entries  map[uint64]logRecord    // by log position
	upEvent  uint64                  // the server's start, until it leads
	owners   map[uint64]int          // session -> the client that spoke for it last
	grants   map[uint64]uint64       // token -> its KindGrant
	locks    []lockRecord            // as the log has it
	calls    []openCall
	byCall   map[callKey]uint64
	beliefs  []*belief
	faults   map[*Fault]uint64
	diskHurt uint64 // the last fault of the disk
	names    []string
	tasks    map[bool]uint64 // the newest disk task, of the log or not
	written  uint64          // the end of the disk task that made the last batch durable
}

// reqKey names a request; requests without a sequence go by their key.
type reqKey struct {
	session, sequence uint64
	key               string
}

// readKey names a read. A client's next process may use the id again; then it is the newer one's.
type readKey struct {
	client int
	id     uint64
}

type logRecord struct{ hash, event uint64 }

func newScribe(w *World, rec *Recorder) *scribe {
	if rec == nil {
		return nil
	}
	return &scribe{
		w: w, rec: rec, messages: map[uint64]uint64{}, reads: map[readKey]*dlmv1.Read{}, requests: map[reqKey]uint64{}, arrived: map[reqKey]uint64{},
		answers: map[reqKey]uint64{}, taken: map[reqKey]uint64{}, entries: map[uint64]logRecord{}, owners: map[uint64]int{}, grants: map[uint64]uint64{},
		byCall: map[callKey]uint64{}, faults: map[*Fault]uint64{}, tasks: map[bool]uint64{},
	}
}

// add records an event; without a cause of its own it is a consequence of what is being dealt with.
func (s *scribe) add(e Event) uint64 {
	e.At = s.w.sim.Now()
	if e.Lane.Machine == Client {
		e.Client = e.Lane.Number
	}
	if !slices.ContainsFunc(e.Causes, func(id uint64) bool { return id != 0 }) {
		e.Causes = []uint64{s.w.sim.Cause}
	}
	return s.rec.Add(e)
}

// happened records an event whose consequences follow now.
func (s *scribe) happened(e Event) uint64 {
	id := s.add(e)
	s.w.sim.Cause = id
	return id
}

func (s *scribe) heal() {
	if s != nil {
		s.happened(Event{Kind: KindHeal, Client: -1, Text: "no more faults from here on"})
	}
}

func clientLane(n int) Lane { return Lane{Client, n} }

var (
	serverLane = Lane{Server, 0}
	diskLane   = Lane{Disk, 0}
)

func keyOf(r *dlmv1.Request) reqKey {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return reqKey{key: string(op.Open.GetKey())}
	case *dlmv1.Request_Attach:
		return reqKey{session: r.GetSession(), key: string(op.Attach.GetKey())}
	}
	return reqKey{session: r.GetSession(), sequence: r.GetSequence()}
}

// answerKey is keyOf the request that an answer answers.
func answerKey(a *dlmv1.Answer) []reqKey {
	if k := string(a.GetKey()); k != "" {
		return []reqKey{{key: k}, {session: a.GetSession(), key: k}}
	}
	return []reqKey{{session: a.GetSession(), sequence: a.GetSequence()}}
}

// passage is netsim.Network.Observe.
func (s *scribe) passage(p *netsim.Passage) {
	from, to := clientLane(p.Client), Lane{Server, p.Server}
	if p.Way == netsim.ToClient {
		from, to = to, from
	}
	e := Event{Lane: to, Client: p.Client, Message: p.Message, To: to, Copy: p.Copy, Causes: []uint64{s.messages[p.Message]}}
	switch p.Step {
	case netsim.StepSent:
		s.sent(p, from, to)
		return
	case netsim.StepDelivered:
		e.Kind = KindDeliver
		e.Text = fmt.Sprintf("message %d arrives%s", p.Message, copyText(p.Copy))
	default:
		e.Kind, e.Lane, e.Until = KindDrop, from, p.Due
		e.What = dropNames[p.Step]
		e.Text = fmt.Sprintf("message %d %s%s", p.Message, dropTexts[p.Step], copyText(p.Copy))
	}
	if first := s.rec.Event(s.messages[p.Message]); first != nil {
		e.Locks, e.Sessions, e.Tokens, e.What = first.Locks, first.Sessions, first.Tokens, e.What+whatIf(e.What == "", first.What)
		e.Text += ": " + first.Text[len(messageText(p.Message, to)):]
	}
	s.happened(e)
}

func whatIf(yes bool, what string) string {
	if yes {
		return what
	}
	return ""
}

func messageText(m uint64, to Lane) string { return fmt.Sprintf("message %d to %v: ", m, to) }

var dropNames = map[netsim.Step]string{
	netsim.StepDropped: "lost", netsim.StepCut: "cut", netsim.StepReset: "reset", netsim.StepGone: "gone",
}

var dropTexts = map[netsim.Step]string{
	netsim.StepDropped: "is lost on the way", netsim.StepCut: "meets a cut link",
	netsim.StepReset: "breaks its connection", netsim.StepGone: "finds nobody at the other end",
}

func copyText(c netsim.Copy) string {
	return [...]string{"", " (duplicate)", " (late copy)"}[c]
}

// sent records a message that leaves, with what is in it.
func (s *scribe) sent(p *netsim.Passage, from, to Lane) {
	e := Event{
		Lane: from, Client: p.Client, Kind: KindSend, Message: p.Message, To: to, Text: messageText(p.Message, to), Until: p.Due,
	}
	var again []reqKey
	if p.Way == netsim.ToServer {
		again = s.clientFrame(&e, p.Frame)
	} else {
		s.serverFrame(&e, p.Frame)
	}
	id := s.add(e)
	s.messages[p.Message] = id
	for _, k := range again {
		s.requests[k] = id
	}
}

// part adds something to the text of a message.
func (e *Event) part(what, text string) {
	if e.What == "" || e.What == opKeepAlive {
		e.What = what
	} else {
		e.Text += "; "
	}
	e.Text += text
}

func (s *scribe) clientFrame(e *Event, frame []byte) (requests []reqKey) {
	var f dlmv1.ClientFrame
	if proto.Unmarshal(frame, &f) != nil {
		return nil
	}
	for _, r := range f.GetRequests() {
		k := keyOf(r)
		requests = append(requests, k)
		e.about(r)
		if before := s.requests[k]; before != 0 {
			e.Causes = append(e.Causes, before)
			e.part(requestName(r), say(r)+", again")
		} else {
			e.Causes = append(e.Causes, s.callOf(e.Client, r))
			e.part(requestName(r), say(r))
		}
		if r.GetSession() != 0 {
			s.owners[r.GetSession()] = e.Client
		}
	}
	for _, r := range f.GetReads() {
		s.reads[readKey{e.Client, r.GetId()}] = r
		e.aboutRead(r)
		e.part("read", sayRead(r))
	}
	e.Causes = append(e.Causes, s.w.sim.Cause)
	return requests
}

func (s *scribe) serverFrame(e *Event, frame []byte) {
	var f dlmv1.ServerFrame
	if proto.Unmarshal(frame, &f) != nil {
		return
	}
	if f.GetHello() != nil {
		e.part("hello", "hello")
	}
	for _, a := range f.GetAnswers() {
		e.aboutAnswer(a)
		for _, k := range answerKey(a) {
			e.Causes = append(e.Causes, s.answers[k])
		}
		e.part("answer", sayAnswer(a))
	}
	for _, n := range f.GetNotices() {
		addTo(&e.Sessions, n.GetSession())
		addTo(&e.Locks, n.GetLock())
		addTo(&e.Tokens, n.GetToken())
		e.Causes = append(e.Causes, s.answers[reqKey{session: n.GetSession(), sequence: n.GetSequence()}])
		e.part("notice", sayNotice(n))
	}
	for _, a := range f.GetReads() {
		r := s.reads[readKey{e.Client, a.GetId()}]
		e.aboutRead(r)
		e.part("read", fmt.Sprintf("%s (%d): %s", sayRead(r), a.GetId(), readText(r, a)))
	}
	// A duplicate is answered from what is known: then the request that has just arrived is why it is answered now.
	if by := s.rec.Event(s.w.sim.Cause); by != nil && by.Kind == KindDeliver {
		e.Causes = append(e.Causes, by.ID)
	}
}

// received notes by which delivery the server's process got each request of a frame.
func (s *scribe) received(f *dlmv1.ClientFrame) {
	if s == nil {
		return
	}
	by := s.w.sim.Cause
	for _, r := range f.GetRequests() {
		if k := keyOf(r); s.arrived[k] == 0 {
			s.arrived[k] = by
		}
	}
	if len(f.GetRequests()) > 0 {
		s.batch = append(s.batch, by)
	}
}

// violation records the broken promise, with what it is about.
func (s *scribe) violation(f *Failure) {
	if s == nil {
		return
	}
	e := Event{Kind: KindViolation, What: f.Number, Client: -1, Text: f.Number + " broken: " + f.Text}
	e.aboutText(f.Text, s)
	e.Causes = append(e.Causes, s.w.sim.Cause)
	s.happened(e)
}

// connection records that a client has one, or has one no more.
func (s *scribe) connection(client int, conn uint64, stands bool) {
	if s == nil {
		return
	}
	what := "connected"
	if !stands {
		what = "disconnected"
	}
	s.happened(Event{Lane: clientLane(client), Kind: KindConnect, What: what, Text: fmt.Sprintf("connection %d: %s", conn, what)})
}

func ms(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
