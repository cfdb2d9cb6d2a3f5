package replica_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica"
	"dlm/sim/simdisk"
	"dlm/wal"
)

// member is a node with its disk: every task runs at once unless the test holds it.
type member struct {
	t    rapid.TB
	disk *simdisk.Disk
	cfg  replica.Config
	st   *wal.Store
	node *replica.Node
	now  time.Duration
	got  map[uint64][]*dlmv1.ServerFrame
	logs int // log tasks that were run
}

func newMember(t *testing.T, cfg replica.Config) *member {
	t.Helper()
	m := &member{t: t, disk: simdisk.New(rand.NewPCG(1, 2)), cfg: cfg, got: map[uint64][]*dlmv1.ServerFrame{}}
	m.cfg.MemberID = 7
	m.cfg.Observe = func(index, _ uint64, requests []*dlmv1.Request, _ core.Output) {
		m.encodable(&dlmv1.Batch{Requests: requests})
	}
	snap, err := replica.InitialSnapshot(core.Config{Limits: core.DefaultLimits(), ClusterID: [16]byte{1}, FirstToken: 1}, 7)
	m.ok(err)
	m.ok(wal.Create(m.disk.FS(), "data", wal.Identity{ClusterID: [16]byte{1}, MemberID: 7}, snap))
	m.start()
	return m
}

// encodable requires what protobuf's own codec does, which our peers in other languages have: the generated one takes any string.
func (m *member) encodable(what proto.Message) {
	if _, err := proto.Marshal(what); err != nil {
		m.t.Fatalf("%v: %v", what, err)
	}
}

func (m *member) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) start() {
	m.t.Helper()
	st, rec, err := wal.Open(m.disk.FS(), "data", wal.Options{SegmentBytes: 16 << 10})
	m.ok(err)
	node, err := replica.Start(m.cfg, rec, m.now)
	m.ok(err)
	m.st, m.node = st, node
	m.settle()
	if !node.Leading() {
		m.t.Fatal("a lone voter does not lead after its start")
	}
}

// settle flushes and runs tasks until nothing is left to do at this instant.
func (m *member) settle() {
	m.t.Helper()
	for {
		e := m.node.Flush(m.now)
		m.ok(e.Err)
		for _, f := range e.Frames {
			m.encodable(f.Frame)
			m.got[f.Conn] = append(m.got[f.Conn], f.Frame)
		}
		if e.Log != nil {
			m.logs++
			m.node.LogDone(m.now, e.Log.Run(m.st))
		}
		if e.File != nil {
			m.node.FileDone(m.now, e.File.Run(m.st))
		}
		if e.Log == nil && e.File == nil {
			return
		}
	}
}

// advance lets time pass, stopping at the node's timers.
func (m *member) advance(d time.Duration) {
	m.t.Helper()
	end := m.now + d
	for {
		at, ok := m.node.NextTimer()
		if !ok || at > end {
			break
		}
		m.now = max(at, m.now)
		m.settle()
	}
	m.now = end
	m.settle()
}

func (m *member) restart(power bool) {
	m.t.Helper()
	if power {
		m.disk.PowerCut()
	} else {
		m.disk.Crash()
	}
	m.start()
}

func (m *member) send(conn uint64, rs ...*dlmv1.Request) {
	m.t.Helper()
	m.now += time.Millisecond
	m.node.Receive(m.now, conn, &dlmv1.ClientFrame{Requests: rs})
	m.settle()
}

func (m *member) answers(conn uint64) []*dlmv1.Answer {
	var out []*dlmv1.Answer
	for _, f := range m.got[conn] {
		out = append(out, f.GetAnswers()...)
	}
	return out
}

func (m *member) notices(conn uint64, kind dlmv1.Notice_Kind) (out []*dlmv1.Notice) {
	for _, f := range m.got[conn] {
		for _, n := range f.GetNotices() {
			if n.GetKind() == kind {
				out = append(out, n)
			}
		}
	}
	return out
}

// call sends a request on a connection and gives the one answer that it got.
func (m *member) call(conn uint64, r *dlmv1.Request) *dlmv1.Answer {
	m.t.Helper()
	before := len(m.answers(conn))
	m.send(conn, r)
	all := m.answers(conn)
	if len(all) != before+1 {
		m.t.Fatalf("%d answers to %v", len(all)-before, r)
	}
	return all[len(all)-1]
}

func (m *member) open(conn uint64, key byte) uint64 {
	m.t.Helper()
	m.node.Connect(m.now, conn)
	a := m.call(conn, &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: make16(key)}}})
	if a.GetReason() != 0 || a.GetSession() == 0 {
		m.t.Fatalf("open: %v", a)
	}
	return a.GetSession()
}

func make16(b byte) []byte { k := make([]byte, 16); k[0] = b; return k }

func acquire(session, seq uint64, lock string) *dlmv1.Request {
	return &dlmv1.Request{Session: session, Instance: 1, Sequence: seq, Watermark: seq, Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: lock}}}
}

func release(session, seq uint64, lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Session: session, Instance: 1, Sequence: seq, Watermark: seq, Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: lock, Token: token}}}
}

func appendTo(session, seq uint64, file, lock string, token uint64, data string) *dlmv1.Request {
	return &dlmv1.Request{Session: session, Instance: 1, Sequence: seq, Watermark: seq, Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: lock, Token: token, Data: []byte(data)}}}
}

func TestHandOff(t *testing.T) {
	m := newMember(t, replica.Config{})
	a, b := m.open(1, 1), m.open(2, 2)
	if m.got[1][0].GetHello() == nil || len(m.got[1][0].GetAnswers()) != 0 {
		t.Fatalf("the first frame is not just a hello: %v", m.got[1][0])
	}
	first := m.call(1, acquire(a, 1, "l"))
	m.send(2, acquire(b, 1, "l"))
	if len(m.notices(2, dlmv1.Notice_KIND_QUEUED)) != 1 || len(m.notices(1, dlmv1.Notice_KIND_CONTENDED)) != 1 {
		t.Fatalf("notices: %v %v", m.got[2], m.got[1])
	}
	logs := m.logs
	m.call(1, release(a, 2, "l", first.GetToken()))
	if m.logs != logs+1 {
		t.Errorf("a hand-off took %d log writes", m.logs-logs)
	}
	got := m.answers(2)
	if last := got[len(got)-1]; last.GetToken() <= first.GetToken() {
		t.Errorf("the waiter's answer is %v", last)
	}
}

func TestDuplicateIsAnsweredWithoutLog(t *testing.T) {
	m := newMember(t, replica.Config{})
	s := m.open(1, 1)
	first := m.call(1, acquire(s, 1, "l"))
	logs := m.logs
	if again := m.call(1, acquire(s, 1, "l")); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("got %v, then %v", first, again)
	}
	if m.logs != logs {
		t.Error("the duplicate was logged")
	}
}

// A duplicate is not judged by limits that were lowered since: it would tell the client that its acquire is refused, and
// the lock would be granted to nobody that knows of it.
func TestDuplicateOutlivesLoweredLimits(t *testing.T) {
	m := newMember(t, replica.Config{})
	a, b := m.open(1, 1), m.open(2, 2)
	first := m.call(1, acquire(a, 1, "lock"))
	m.send(2, acquire(b, 1, "lock"))
	m.call(1, &dlmv1.Request{Session: a, Instance: 1, Sequence: 2, Watermark: 1, Op: &dlmv1.Request_SetLimits{
		SetLimits: &dlmv1.SetLimits{Limits: &dlmv1.Limits{NameBytes: 2}},
	}})
	asked := len(m.answers(2))
	m.send(2, acquire(b, 1, "lock"))
	if got := m.answers(2)[asked:]; len(got) != 0 {
		t.Fatalf("a waiting acquire's duplicate is answered %v", got)
	}
	if again := m.call(1, acquire(a, 1, "lock")); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("a granted acquire's duplicate is answered %v, the first copy %v", again, first)
	}
	if other := m.call(2, acquire(b, 2, "long")); other.GetReason() != dlmv1.Reason_REASON_INVALID {
		t.Errorf("a name that is too long now is answered %v", other)
	}
}

func TestWaiterAsksAgainAfterRestart(t *testing.T) {
	for _, power := range []bool{false, true} {
		m := newMember(t, replica.Config{})
		a, b := m.open(1, 1), m.open(2, 2)
		first := m.call(1, acquire(a, 1, "l"))
		m.send(2, acquire(b, 1, "l"))
		m.restart(power)
		m.node.Connect(m.now, 11)
		m.node.Connect(m.now, 12)
		m.send(12, acquire(b, 1, "l"))
		if len(m.notices(12, dlmv1.Notice_KIND_QUEUED)) != 1 {
			t.Fatalf("the waiter lost its place: %v", m.got[12])
		}
		m.call(11, release(a, 2, "l", first.GetToken()))
		if got := m.answers(12); len(got) != 1 || got[0].GetToken() <= first.GetToken() {
			t.Errorf("the waiter got %v", got)
		}
	}
}

func TestSessionExpiresByTimer(t *testing.T) {
	m := newMember(t, replica.Config{})
	a, b := m.open(1, 1), m.open(2, 2)
	m.call(1, acquire(a, 1, "l"))
	m.send(2, acquire(b, 1, "l"))
	for i := uint64(2); i < 5; i++ {
		m.advance(10 * time.Second)
		m.send(2, &dlmv1.Request{Session: b, Instance: 1, Sequence: i, Watermark: i, Awaited: []uint64{1}, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}})
	}
	granted := false
	for _, x := range m.answers(2) {
		granted = granted || x.GetSequence() == 1 && x.GetToken() > 0
	}
	if !granted {
		t.Errorf("the lock of a dead session did not move on: %v", m.answers(2))
	}
	if len(m.notices(1, dlmv1.Notice_KIND_SESSION_LOST)) != 1 {
		t.Error("the dead session's connection was not told")
	}
}

// How long a lock has been held is told as of the read, also when nothing was logged since.
func TestReadsTellTheTime(t *testing.T) {
	m := newMember(t, replica.Config{})
	a := m.open(1, 1)
	m.call(1, acquire(a, 1, "l"))
	m.advance(20 * time.Second)
	m.now += time.Millisecond
	m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Reads: []*dlmv1.Read{{Id: 1, Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: "l"}}}}})
	m.settle()
	frames := m.got[1]
	reads := frames[len(frames)-1].GetReads()
	if len(reads) != 1 {
		t.Fatalf("got %v", frames[len(frames)-1])
	}
	if held := time.Duration(reads[0].GetStamp() - reads[0].GetLock().GetHolders()[0].GetGranted()); held < 20*time.Second || held > 21*time.Second {
		t.Errorf("held for %v, want 20s", held)
	}
}

func TestKeepAlivesWaitForCompany(t *testing.T) {
	m := newMember(t, replica.Config{})
	s := m.open(1, 1)
	logs := m.logs
	m.send(1, &dlmv1.Request{Session: s, Instance: 1, Sequence: 1, Watermark: 1, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}})
	if m.logs != logs {
		t.Error("a lone keep-alive was logged at once")
	}
	m.advance(100 * time.Millisecond)
	if m.logs != logs+1 {
		t.Errorf("%d log writes after the delay", m.logs-logs)
	}
	m.advance(10 * time.Second)
	if m.logs != logs+2 {
		t.Errorf("an idle node made %d log writes, not just the mark behind its last batch", m.logs-logs-1)
	}
}

func TestFilesSurviveSnapshotsAndPowerCuts(t *testing.T) {
	m := newMember(t, replica.Config{SnapshotBytes: 8 << 10})
	s := m.open(1, 1)
	token := m.call(1, acquire(s, 1, "l")).GetToken()
	want := ""
	seq := uint64(1)
	for round := range 6 {
		for i := range 20 {
			seq++
			data := fmt.Sprintf("round %d line %d %0200d\n", round, i, i)
			if a := m.call(1, appendTo(s, seq, "f", "l", token, data)); a.GetReason() != 0 || a.GetOffset() != uint64(len(want)) {
				t.Fatalf("append: %v", a)
			}
			want += data
		}
		m.advance(time.Second)
		for _, name := range m.disk.Names("data") {
			if strings.HasSuffix(name, ".tmp") && name != "next.tmp" {
				t.Errorf("round %d: %s is left of what a snapshot made superfluous", round, name)
			}
		}
		m.restart(round%2 == 0)
		m.node.Connect(m.now, 1)
	}
	got := ""
	for len(got) < len(want) {
		m.now++
		m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Reads: []*dlmv1.Read{{Id: 5, Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "f", Offset: uint64(len(got)), Bytes: 5000}}}}})
		m.settle()
		last := m.got[1][len(m.got[1])-1].GetReads()[0]
		if last.GetReason() != 0 || len(last.GetData()) == 0 {
			t.Fatalf("read at %d: %v", len(got), last)
		}
		got += string(last.GetData())
	}
	if got != want {
		t.Error("the file is not what was appended")
	}
}

func TestRefusals(t *testing.T) {
	m := newMember(t, replica.Config{MaxPending: 1})
	s := m.open(1, 1)
	m.now++
	m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Requests: []*dlmv1.Request{acquire(s, 1, "a"), acquire(s, 2, "b"), release(s, 1, "a", 1), acquire(s, 3, "")}})
	m.settle()
	reasons := map[dlmv1.Reason]int{}
	for _, a := range m.answers(1)[1:] {
		reasons[a.GetReason()]++
		if (a.GetIndex() == 0) != (a.GetReason() != 0) {
			t.Errorf("a refusal carries a log position, or a result none: %v", a)
		}
	}
	for _, want := range []dlmv1.Reason{dlmv1.Reason_REASON_OK, dlmv1.Reason_REASON_OVERLOADED, dlmv1.Reason_REASON_SEQUENCE_REUSED, dlmv1.Reason_REASON_INVALID} {
		if reasons[want] != 1 {
			t.Errorf("%d answers of %v", reasons[want], want)
		}
	}
	m.node.Stop()
	if a := m.call(1, acquire(s, 9, "c")); a.GetReason() != dlmv1.Reason_REASON_UNAVAILABLE {
		t.Errorf("a stopping node answers %v", a)
	}
	if !m.node.Idle() {
		t.Error("not idle")
	}
}

func TestUnknownEntryStopsTheStart(t *testing.T) {
	snap, err := replica.InitialSnapshot(core.Config{Limits: core.DefaultLimits()}, 7)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"version":       {0x08, 0x63},
		"unknown field": {0x08, 0x01, 0xf8, 0x07, 0x01},
		"garbage":       {0xff},
	} {
		rec := &wal.Recovered{Identity: wal.Identity{MemberID: 7}, Snapshot: snap, Entries: []*raftpb.Entry{{Index: new(uint64(2)), Term: new(uint64(1)), Data: data}}}
		if _, err := replica.Start(replica.Config{MemberID: 7}, rec, 0); !errors.Is(err, replica.ErrUnknownEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
