package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// fakeCluster is a core behind channels instead of a network, in the time of a synctest bubble.
type fakeCluster struct {
	t     *testing.T
	mu    sync.Mutex
	core  *core.Core
	start time.Time
	index uint64
	timer *time.Timer
	down  bool
	mute  bool // connections stand, nothing passes
	conns map[*fakeStream]bool
	route map[uint64]*fakeStream // by session
}

func newFakeCluster(t *testing.T) *fakeCluster {
	c, err := core.New(core.Config{Limits: core.DefaultLimits(), ClusterID: [16]byte{1}, FirstToken: 100})
	if err != nil {
		t.Fatal(err)
	}
	return &fakeCluster{t: t, core: c, start: time.Now().Add(-time.Second), conns: map[*fakeStream]bool{}, route: map[uint64]*fakeStream{}}
}

// client makes a client of the fake, closed at the end of the test.
func (f *fakeCluster) client(opts ...Option) *Client {
	opts = append([]Option{
		WithClock(func() time.Duration { return time.Since(f.start) + time.Hour }),
		WithLogger(slog.New(slog.DiscardHandler)),
		func(o *options) { o.transport = f },
	}, opts...)
	c, err := Dial("fake", opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// fakeStream is one connection.
type fakeStream struct {
	f   *fakeCluster
	ctx context.Context
	in  chan *dlmv1.ServerFrame
}

var errDown = errors.New("fake: connection refused")

func (f *fakeCluster) name(int) string { return "fake" }
func (f *fakeCluster) close()          {}

func (f *fakeCluster) dial(ctx context.Context, _ int) (stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errDown
	}
	st := &fakeStream{f: f, ctx: ctx, in: make(chan *dlmv1.ServerFrame, 1<<12)}
	f.conns[st] = true
	id := f.core.ClusterID()
	st.in <- &dlmv1.ServerFrame{Hello: &dlmv1.Hello{
		ClusterId: id[:], MemberId: 1, DriftPpm: f.core.Limits().GetDriftPpm(), Window: f.core.Limits().GetWindow(),
	}}
	return st, nil
}

func (st *fakeStream) Recv() (*dlmv1.ServerFrame, error) {
	select {
	case fr, ok := <-st.in:
		if !ok {
			return nil, io.EOF
		}
		return fr, nil
	case <-st.ctx.Done():
		return nil, context.Cause(st.ctx)
	}
}

func (st *fakeStream) Send(fr *dlmv1.ClientFrame) error {
	f := st.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.conns[st] {
		return io.EOF
	}
	if f.mute {
		return nil
	}
	fr = proto.Clone(fr).(*dlmv1.ClientFrame)
	if len(fr.GetRequests()) > 0 {
		f.apply(fr.GetRequests(), st)
	}
	for _, r := range fr.GetReads() {
		a := f.core.Read(r)
		a.Id = r.GetId()
		f.send(st, &dlmv1.ServerFrame{Reads: []*dlmv1.ReadAnswer{a}})
	}
	return nil
}

// apply is one log entry; from may be nil.
func (f *fakeCluster) apply(requests []*dlmv1.Request, from *fakeStream) {
	f.index++
	out := f.core.Apply(f.index, uint64(time.Since(f.start)), requests)
	for _, a := range out.Answers {
		to := f.route[a.GetSession()]
		if len(a.GetKey()) > 0 && from != nil {
			to = from
			f.route[a.GetSession()] = from
		}
		f.send(to, &dlmv1.ServerFrame{Answers: []*dlmv1.Answer{a}})
	}
	for _, n := range out.Notices {
		f.send(f.route[n.GetSession()], &dlmv1.ServerFrame{Notices: []*dlmv1.Notice{n}})
	}
	if err := f.core.Check(); err != nil {
		f.t.Errorf("core: %v", err)
	}
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	if due, ok := f.core.NextDeadline(); ok {
		f.timer = time.AfterFunc(time.Duration(due)-time.Since(f.start), func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.apply(nil, nil)
		})
	}
}

func (f *fakeCluster) send(to *fakeStream, fr *dlmv1.ServerFrame) {
	if to == nil || !f.conns[to] || f.mute {
		return
	}
	select {
	case to.in <- proto.Clone(fr).(*dlmv1.ServerFrame):
	default:
		f.t.Error("fake: a stream is full")
	}
}

// cut ends all connections; up says whether new ones may be made.
func (f *fakeCluster) cut(up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = !up
	for st := range f.conns {
		close(st.in)
	}
	clear(f.conns)
}

func (f *fakeCluster) setMute(mute bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mute = mute
}

// lock is the cluster's own view.
func (f *fakeCluster) lock(name string) *dlmv1.LockInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.core.Read(&dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: name}}}).GetLock()
}
