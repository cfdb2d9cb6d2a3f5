package rig

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
)

// Fate is what a Tap makes of one request or answer.
type Fate struct {
	// Copies pass at once: 0 and no Late means that it is lost.
	Copies int
	// Late are further copies, after so long each.
	Late []time.Duration
}

// Once lets it pass, as a sound network does.
var Once = Fate{Copies: 1}

// Tap lies between the client library and gRPC, in every stream of one client. It sees each request before gRPC does
// and each answer after gRPC, decides what becomes of it, and keeps a record. Set the hooks before the first use, or with Set.
type Tap struct {
	mu sync.Mutex
	// up and down decide about each request and each answer; nil = Once. They are called under the tap's lock.
	up   func(*dlmv1.Request) Fate
	down func(*dlmv1.Answer) Fate
	// reads decides about reads (on the way up) and notices (on the way down): false = lost.
	hints func() bool

	began   time.Time
	streams int
	sent    map[string]*Record
	// attached are the keys that an attach was sent with. Its answers are about the present and name the same key as the
	// open's, so from then on no answer can be told to be the open's.
	attached map[string]bool
	order    []*Record
	stats    TapStats
}

// TapStats counts what a tap did.
type TapStats struct {
	Requests, Answers                           int // that came to the tap
	LostRequests, LostAnswers, LostHints        int
	RepeatedRequests, RepeatedAnswers, LateOnes int
	Retries                                     int // requests that the library itself sent again
}

// Record is all that is known of one request.
type Record struct {
	ID      string
	Request *dlmv1.Request // as it was sent first
	// Sendings are the library's attempts: when, since the tap was made, and on which stream.
	Sendings []Sending
	Answers  []*dlmv1.Answer
}

// Sending is one attempt of the library.
type Sending struct {
	At     time.Duration
	Stream int
}

// NewTap makes a tap that lets everything pass.
func NewTap() *Tap {
	return &Tap{began: time.Now(), sent: map[string]*Record{}, attached: map[string]bool{}}
}

// Set replaces the hooks; nil ones let pass.
func (t *Tap) Set(up func(*dlmv1.Request) Fate, down func(*dlmv1.Answer) Fate, hints func() bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up, t.down, t.hints = up, down, hints
}

// Option puts the tap into a client.
func (t *Tap) Option() client.Option {
	return client.WithDialOptions(grpc.WithStreamInterceptor(t.intercept))
}

// Stats are the counts so far.
func (t *Tap) Stats() TapStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// Now is the tap's clock, which records use.
func (t *Tap) Now() time.Duration { return time.Since(t.began) }

// Began is when that clock showed 0.
func (t *Tap) Began() time.Time { return t.began }

// Records are all requests that were seen, in the order of their first sending. They are copies but for the messages.
func (t *Tap) Records() []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Record, len(t.order))
	for i, r := range t.order {
		out[i] = Record{ID: r.ID, Request: r.Request, Sendings: append([]Sending(nil), r.Sendings...), Answers: append([]*dlmv1.Answer(nil), r.Answers...)}
	}
	return out
}

// Identity tells requests apart as the service does. An attach that names another instance to replace is another request.
func Identity(r *dlmv1.Request) string {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		return fmt.Sprintf("open %x", op.Open.GetKey())
	case *dlmv1.Request_Attach:
		return fmt.Sprintf("attach %d %x %d", r.GetSession(), op.Attach.GetKey(), op.Attach.GetReplaces())
	}
	return fmt.Sprintf("%d/%d", r.GetSession(), r.GetSequence())
}

func (t *Tap) intercept(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	st, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams++
	return &tapped{ClientStream: st, ctx: ctx, t: t, number: t.streams, in: make(chan received)}, nil
}

// tapped is one stream.
type tapped struct {
	grpc.ClientStream
	ctx    context.Context // the library ends it with the connection
	t      *Tap
	number int

	sendMu sync.Mutex // gRPC wants one sender at a time, and late copies have goroutines of their own
	once   sync.Once
	in     chan received
}

type received struct {
	frame *dlmv1.ServerFrame
	err   error
}

// SendMsg passes on what is not lost, in one frame as it was, and repeats in frames of their own.
func (s *tapped) SendMsg(m any) error {
	f, ok := m.(*dlmv1.ClientFrame)
	if !ok {
		return s.ClientStream.SendMsg(m)
	}
	frames := s.t.outgoing(s, f)
	for _, out := range frames {
		if err := s.send(out); err != nil {
			return err
		}
	}
	return nil
}

func (s *tapped) send(f *dlmv1.ClientFrame) error {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	return s.ClientStream.SendMsg(f)
}

// outgoing decides about everything in a frame; the n-th frame of the result has the n-th copies.
func (t *Tap) outgoing(s *tapped, f *dlmv1.ClientFrame) []*dlmv1.ClientFrame {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*dlmv1.ClientFrame
	frame := func(n int) *dlmv1.ClientFrame {
		for len(out) <= n {
			out = append(out, &dlmv1.ClientFrame{})
		}
		return out[n]
	}
	for _, r := range f.GetRequests() {
		fate := t.departs(s, r)
		for n := range fate.Copies {
			frame(n).Requests = append(frame(n).Requests, r)
		}
		for _, after := range fate.Late {
			time.AfterFunc(after, func() { _ = s.send(&dlmv1.ClientFrame{Requests: []*dlmv1.Request{r}}) })
		}
	}
	for _, r := range f.GetReads() {
		if t.hints != nil && !t.hints() {
			t.stats.LostHints++
			continue
		}
		frame(0).Reads = append(frame(0).Reads, r)
	}
	return out
}

func (t *Tap) departs(s *tapped, r *dlmv1.Request) Fate {
	id := Identity(r)
	rec := t.sent[id]
	if rec == nil {
		rec = &Record{ID: id, Request: r}
		t.sent[id] = rec
		t.order = append(t.order, rec)
	} else {
		t.stats.Retries++
	}
	if a := r.GetAttach(); a != nil {
		t.attached[string(a.GetKey())] = true
	}
	rec.Sendings = append(rec.Sendings, Sending{At: time.Since(t.began), Stream: s.number})
	t.stats.Requests++
	fate := Once
	if t.up != nil {
		fate = t.up(r)
	}
	t.stats.LateOnes += len(fate.Late)
	switch {
	case fate.Copies == 0 && len(fate.Late) == 0:
		t.stats.LostRequests++
	case fate.Copies+len(fate.Late) > 1:
		t.stats.RepeatedRequests += fate.Copies + len(fate.Late) - 1
	}
	return fate
}

// RecvMsg returns the next frame of which something is left. The library ends a stream after the first error.
func (s *tapped) RecvMsg(m any) error {
	f, ok := m.(*dlmv1.ServerFrame)
	if !ok {
		return s.ClientStream.RecvMsg(m)
	}
	s.once.Do(func() { go s.read() })
	select {
	case got := <-s.in:
		if got.err != nil {
			return got.err
		}
		proto.Reset(f)
		proto.Merge(f, got.frame)
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// read brings frames from gRPC; late copies come into the same channel by goroutines of their own.
func (s *tapped) read() {
	for {
		f := new(dlmv1.ServerFrame)
		err := s.ClientStream.RecvMsg(f)
		if err != nil {
			s.hand(received{err: err})
			return
		}
		for _, out := range s.t.incoming(s, f) {
			s.hand(received{frame: out})
		}
	}
}

func (s *tapped) hand(r received) {
	select {
	case s.in <- r:
	case <-s.ctx.Done():
	}
}

func (t *Tap) incoming(s *tapped, f *dlmv1.ServerFrame) []*dlmv1.ServerFrame {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.GetHello() != nil {
		return []*dlmv1.ServerFrame{f}
	}
	var out []*dlmv1.ServerFrame
	frame := func(n int) *dlmv1.ServerFrame {
		for len(out) <= n {
			out = append(out, &dlmv1.ServerFrame{})
		}
		return out[n]
	}
	if len(f.GetReads()) > 0 {
		frame(0).Reads = f.GetReads()
	}
	for _, a := range f.GetAnswers() {
		fate := t.arrives(a)
		for n := range fate.Copies {
			frame(n).Answers = append(frame(n).Answers, a)
		}
		for _, after := range fate.Late {
			time.AfterFunc(after, func() { s.hand(received{frame: &dlmv1.ServerFrame{Answers: []*dlmv1.Answer{a}}}) })
		}
	}
	for _, n := range f.GetNotices() {
		if t.hints != nil && !t.hints() {
			t.stats.LostHints++
			continue
		}
		frame(0).Notices = append(frame(0).Notices, n)
	}
	return out
}

// arrives records an answer under its request.
func (t *Tap) arrives(a *dlmv1.Answer) Fate {
	t.stats.Answers++
	if rec := t.recordOf(a); rec != nil {
		rec.Answers = append(rec.Answers, a)
	}
	fate := Once
	if t.down != nil {
		fate = t.down(a)
	}
	switch {
	case fate.Copies == 0 && len(fate.Late) == 0:
		t.stats.LostAnswers++
	case fate.Copies+len(fate.Late) > 1:
		t.stats.RepeatedAnswers += fate.Copies + len(fate.Late) - 1
	}
	return fate
}

func (t *Tap) recordOf(a *dlmv1.Answer) *Record {
	switch key := a.GetKey(); {
	case len(key) == 0:
		return t.sent[fmt.Sprintf("%d/%d", a.GetSession(), a.GetSequence())]
	case !t.attached[string(key)]:
		return t.sent[fmt.Sprintf("open %x", key)]
	}
	return nil
}
