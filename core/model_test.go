package core_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// TestCoreAgainstModel feeds random entries to core, to a second core that is now and then replaced by what a snapshot
// of the first one restores to, and to the model, and wants the same from all three.
func TestCoreAgainstModel(t *testing.T) {
	for _, limits := range []struct {
		name string
		set  *dlmv1.Limits
	}{{"roomy", modelLimits()}, {"tight", tightLimits()}, {"roomy again", modelLimits()}} {
		t.Run(limits.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				atLeast := rapid.SampledFrom([]int{1, 30, 60}).Draw(t, "at least") // rapid alone draws hardly more than the least
				plan := rapid.SliceOfN(rapid.Custom(drawStep), atLeast, 100).Draw(t, "plan")
				run := newRun(t, limits.set)
				for i, step := range plan {
					run.step(i, step)
				}
			})
		})
	}
}

// modelLimits are so low that random requests meet them.
func modelLimits() *dlmv1.Limits {
	l := core.DefaultLimits()
	l.Window = 8
	l.MinTtlNanos, l.DefaultTtlNanos, l.MaxTtlNanos = 1, 12, 1000
	return l
}

func tightLimits() *dlmv1.Limits {
	l := modelLimits()
	l.Sessions, l.Locks, l.HoldsPerSession, l.WaitersPerLock = 3, 2, 2, 2
	l.Window, l.Files, l.FileBytes = 4, 1, 5
	return l
}

// run is three lock tables side by side.
type run struct {
	t      *rapid.T
	driver *driver
	model  *model
	core   *core.Core
	twin   *core.Core
	watch  *observer
	story  *story
	taken  imageRun
}

func newRun(t *rapid.T, limits *dlmv1.Limits) *run {
	const firstToken = 7
	r := &run{t: t, driver: &driver{}, model: newModel(limits, firstToken), watch: newObserver(), story: newStory()}
	for _, c := range []**core.Core{&r.core, &r.twin} {
		made, err := core.New(core.Config{Limits: proto.CloneOf(limits), ClusterID: [16]byte{1}, FirstToken: firstToken})
		if err != nil {
			t.Fatalf("New: %v", err)
		}
		*c = made
	}
	return r
}

func (r *run) step(i int, s step) {
	index, stamp := uint64(i+2), r.driver.stamp(s)
	requests := r.driver.requests(s)
	r.t.Logf("entry %d at %d", index, stamp)
	for _, q := range requests {
		r.t.Logf("  %v", q)
	}
	sent := clones(requests)
	want := r.model.apply(index, stamp, requests)
	got := r.core.Apply(index, stamp, requests)
	r.same("core", got, "model", want, true)
	for k, q := range requests {
		if !proto.Equal(q, sent[k]) {
			r.t.Fatalf("Apply changed a request:\n got %v\nwant %v", q, sent[k])
		}
	}
	r.same("twin", r.twin.Apply(index, stamp, sent), "core", got, false)
	if err := r.watch.entry(stamp, sent, got); err != nil {
		r.t.Fatal(err)
	}
	if err := r.story.entry(r.core, got); err != nil {
		r.t.Fatal(err)
	}
	r.driver.learn(got)
	r.checkState(sent)
	if s.Restore {
		r.restore()
	}
	r.image(s.Image)
	if a, b := r.core.Hash(), r.twin.Hash(); a != b {
		r.t.Fatalf("hash %x of core, %x of its twin (restored just now: %v)", a, b, s.Restore)
	}
}

func clones(requests []*dlmv1.Request) (out []*dlmv1.Request) {
	for _, q := range requests {
		out = append(out, proto.CloneOf(q))
	}
	return out
}

// same compares outputs: the answers and notices in any order, but each of them in full; details only between cores.
func (r *run) same(a string, got core.Output, b string, want core.Output, sorted bool) {
	r.t.Helper()
	g, w := outputLines(got, !sorted), outputLines(want, !sorted)
	if sorted {
		slices.Sort(g)
		slices.Sort(w)
	}
	if !slices.Equal(g, w) {
		r.t.Fatalf("%s:\n  %s\n%s:\n  %s", a, strings.Join(g, "\n  "), b, strings.Join(w, "\n  "))
	}
}

func outputLines(o core.Output, detail bool) (lines []string) {
	for _, a := range o.Answers {
		lines = append(lines, answerLine(a, detail))
	}
	for _, n := range o.Notices {
		lines = append(lines, noticeLine(n))
	}
	for _, f := range o.Files {
		lines = append(lines, fmt.Sprintf("file op %d id=%d offset=%d %q", f.Kind, f.ID, f.Offset, f.Data))
	}
	return lines
}

func answerLine(a *dlmv1.Answer, detail bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "answer %d/%d %s index=%d stamp=%d deadline=%d", a.GetSession(), a.GetSequence(), short(a.GetReason()),
		a.GetIndex(), a.GetStamp(), a.GetSessionDeadline())
	for _, f := range []struct {
		name  string
		value uint64
	}{
		{"token", a.GetToken()},
		{"hold_deadline", a.GetHoldDeadline()},
		{"offset", a.GetOffset()},
		{"length", a.GetLength()},
		{"instance", a.GetInstance()},
		{"ttl", a.GetTtlNanos()},
		{"next", a.GetNextSequence()},
	} {
		if f.value != 0 {
			fmt.Fprintf(&b, " %s=%d", f.name, f.value)
		}
	}
	if a.GetLimit() != 0 && a.GetReason() != dlmv1.Reason_REASON_INVALID { // which limit an invalid request broke is for the eye
		fmt.Fprintf(&b, " limit=%d", a.GetLimit())
	}
	if a.GetCancelled() != 0 {
		fmt.Fprintf(&b, " cancelled=%s", short(a.GetCancelled()))
	}
	if len(a.GetKey()) > 0 {
		fmt.Fprintf(&b, " key=%x", a.GetKey())
	}
	for _, h := range a.GetHolds() {
		fmt.Fprintf(&b, " hold(%s %s %d %d)", h.GetLock(), h.GetMode(), h.GetToken(), h.GetHoldDeadline())
	}
	for _, l := range a.GetLosses() {
		fmt.Fprintf(&b, " loss(%s %d %s %q)", l.GetLock(), l.GetToken(), short(l.GetReason()), l.GetWhy())
	}
	if detail {
		fmt.Fprintf(&b, " %q", a.GetDetail())
	}
	return b.String()
}

func noticeLine(n *dlmv1.Notice) string {
	return fmt.Sprintf("notice %s %d/%d stamp=%d lock=%q token=%d %s %q", n.GetKind(), n.GetSession(), n.GetSequence(), n.GetStamp(),
		n.GetLock(), n.GetToken(), short(n.GetReason()), n.GetWhy())
}

func short(r dlmv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }

// checkState compares what can be read of core with the model.
func (r *run) checkState(sent []*dlmv1.Request) {
	if err := r.core.Check(); err != nil {
		r.t.Fatalf("Check: %v", err)
	}
	if got, want := r.core.Now(), r.model.now; got != want {
		r.t.Fatalf("Now is %d, want %d", got, want)
	}
	if got, want := r.core.LastToken(), r.model.nextToken-1; got != want {
		r.t.Fatalf("LastToken is %d, want %d", got, want)
	}
	due, ok := r.model.firstDue()
	if at, some := r.core.NextDeadline(); some != ok || (ok && at != due.at) {
		r.t.Fatalf("NextDeadline is (%d, %v), want (%d, %v)", at, some, due.at, ok)
	}
	for _, lock := range lockNames {
		got := r.core.Read(&dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: lock}}}).GetLock()
		if want := r.model.info(lock); !proto.Equal(got, want) {
			r.t.Fatalf("GetLock(%q):\n got %v\nwant %v", lock, got, want)
		}
	}
	for _, name := range fileNames {
		got, ok := r.core.File(name)
		want := r.model.file(name)
		if ok != (want != nil) || (ok && (got.ID != want.id || got.Lock != want.lock || got.Length != uint64(len(want.data)))) {
			r.t.Fatalf("File(%q) is %+v (%v), want %+v", name, got, ok, want)
		}
	}
	for _, q := range sent {
		r.checkLookup(q)
	}
}

// checkLookup asks for the answers of requests that were just applied.
func (r *run) checkLookup(q *dlmv1.Request) {
	before := r.core.Hash()
	answer, queued := r.core.Lookup(q)
	if r.core.Hash() != before {
		r.t.Fatalf("Lookup(%v) changed the state", q)
	}
	wantAnswer, wantQueued := r.model.lookup(q)
	if (answer == nil) != (wantAnswer == nil) || (answer != nil && answerLine(answer, false) != answerLine(wantAnswer, false)) {
		r.t.Fatalf("Lookup(%v) answers %v, want %v", q, answer, wantAnswer)
	}
	if (queued != nil) != wantQueued {
		r.t.Fatalf("Lookup(%v): queued is %v, want %v", q, queued, wantQueued)
	}
}

// restore replaces the twin.
func (r *run) restore() {
	data := r.core.Snapshot()
	restored, err := core.Restore(data)
	if err != nil {
		r.t.Fatalf("Restore(Snapshot()): %v", err)
	}
	if err := restored.Check(); err != nil {
		r.t.Fatalf("Check after Restore: %v", err)
	}
	if !slices.Equal(restored.Snapshot(), data) {
		r.t.Fatalf("Snapshot of a restored core is another one")
	}
	r.twin = restored
}

// info is what GetLock should answer.
func (m *model) info(lock string) *dlmv1.LockInfo {
	info := &dlmv1.LockInfo{Lock: lock, DelayedUntil: m.delayed(lock)}
	for _, h := range m.holds {
		if h.ask.GetLock() != lock {
			continue
		}
		s := m.session(h.session)
		holder := &dlmv1.Holder{
			Session: s.id, Label: s.open.GetLabel(), Mode: h.ask.GetMode(), Token: h.token, Value: h.ask.GetValue(),
			Granted: h.granted, HoldDeadline: h.deadline, SessionDeadline: s.deadline, Revoked: h.revoked,
		}
		if h.revoked {
			holder.HoldDeadline = h.block
		}
		info.Holders = append(info.Holders, holder)
	}
	for _, w := range m.queue(lock) {
		info.Waiters = append(info.Waiters, &dlmv1.Waiter{
			Session: w.session, Label: m.session(w.session).open.GetLabel(), Mode: w.ask.GetMode(), Sequence: w.sequence,
			Since: w.since, WaitDeadline: w.deadline,
		})
	}
	return info
}

// lookup is what a duplicate is told without the log.
func (m *model) lookup(q *dlmv1.Request) (answer *dlmv1.Answer, queued bool) {
	if q.GetOpen() != nil {
		for _, s := range m.sessions {
			if proto.Equal(s.open, q.GetOpen()) {
				return s.opened, false
			}
		}
		return nil, false
	}
	s := m.session(q.GetSession())
	if s == nil || q.GetAttach() != nil || q.GetInstance() != s.instance {
		return nil, false
	}
	at := s.slot(q.GetSequence())
	if at == nil || (at.request != nil && !sameOp(at.request, q)) {
		return nil, false
	}
	return at.answer, m.waitOf(s.id, q.GetSequence()) != nil
}

func sortedBy[T any, K cmp.Ordered](list []T, by func(T) K) []T {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(by(a), by(b)) })
	return list
}
