package costs

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica"
	"dlm/wal"
	"dlm/wal/osfs"
	"dlm/wal/vfs"
)

// withoutSync is a file system that does not wait for the disk: the page cache is all that is written to.
type withoutSync struct{ vfs.FS }

type fileWithoutSync struct{ vfs.File }

func (fileWithoutSync) Sync() error { return nil }
func (f fileWithoutSync) WriteSynced(p []byte, off int64) error {
	_, err := f.WriteAt(p, off)
	return err
}

func (withoutSync) SyncDir(string) error                   { return nil }
func (f withoutSync) Create(name string) (vfs.File, error) { return lazily(f.FS.Create(name)) }
func (f withoutSync) Open(name string) (vfs.File, error)   { return lazily(f.FS.Open(name)) }

func lazily(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return fileWithoutSync{f}, nil
}

const member = 1

func openStore(tb testing.TB) (*wal.Store, *wal.Recovered) {
	cluster := [16]byte{1}
	snap, err := replica.InitialSnapshot(core.Config{ClusterID: cluster}, member)
	if err != nil {
		tb.Fatal(err)
	}
	fs, dir := withoutSync{osfs.New()}, tb.TempDir()
	if err := wal.Create(fs, dir, wal.Identity{ClusterID: cluster, MemberID: member}, snap); err != nil {
		tb.Fatal(err)
	}
	store, rec, err := wal.Open(fs, dir, wal.Options{SegmentBytes: 16 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store, rec
}

// logWrites appends entries of n acquires.
func logWrites(tb testing.TB, n int) step {
	store, rec := openStore(tb)
	index, e := rec.Snapshot.Index, raftEntry(tb, n)
	term := max(rec.HardState.GetTerm(), 1)
	e.Term = &term
	hard := &raftpb.HardState{Term: &term, Vote: new(uint64(member)), Commit: new(index)}
	b := wal.Batch{HardState: hard, Entries: []*raftpb.Entry{e}}
	return func() {
		index++
		e.Index, hard.Commit = &index, &index
		if err := store.Append(b); err != nil {
			tb.Fatal(err)
		}
	}
}

// server is a node with its store, driven as the shell drives it, on one goroutine.
type server struct {
	tb      testing.TB
	store   *wal.Store
	node    *replica.Node
	now     time.Duration
	answers []*dlmv1.Answer // of the last settle
}

func newServer(tb testing.TB) *server {
	store, rec := openStore(tb)
	node, err := replica.Start(replica.Config{MemberID: member}, rec, 0)
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{tb: tb, store: store, node: node}
	s.settle()
	node.Connect(s.now, 1)
	s.settle()
	return s
}

func (s *server) settle() {
	s.answers = s.answers[:0]
	for {
		e := s.node.Flush(s.now)
		if e.Err != nil {
			s.tb.Fatal(e.Err)
		}
		for _, f := range e.Frames {
			s.answers = append(s.answers, f.Frame.GetAnswers()...)
		}
		if e.Log != nil {
			s.node.LogDone(s.now, e.Log.Run(s.store))
		}
		if e.File != nil {
			s.node.FileDone(s.now, e.File.Run(s.store))
		}
		if e.Log == nil && e.File == nil {
			return
		}
	}
}

// send delivers a frame a microsecond a request later, and gives the answers, all of them OK, in the requests' order.
func (s *server) send(rs []*dlmv1.Request) []*dlmv1.Answer {
	s.now += time.Duration(len(rs)) * time.Microsecond
	s.node.Receive(s.now, 1, &dlmv1.ClientFrame{Requests: rs})
	s.settle()
	if len(s.answers) != len(rs) {
		s.tb.Fatalf("%d requests have %d answers", len(rs), len(s.answers))
	}
	for _, a := range s.answers {
		if a.Reason != dlmv1.Reason_REASON_OK {
			s.tb.Fatal(a)
		}
	}
	return s.answers
}

// replicaPairs acquires n locks in one frame and releases them in the next. The requests are new ones each time, and are
// counted, as a server decodes them from the wire.
func replicaPairs(tb testing.TB, n int) step {
	s := newServer(tb)
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = s.send([]*dlmv1.Request{open(i)})[0].Session
	}
	seq := uint64(0)
	tokens := make([]uint64, n)
	names := make([]string, n)
	for i := range names {
		names[i] = lockName(i)
	}
	return func() {
		acquires, releases := make([]*dlmv1.Request, n), make([]*dlmv1.Request, n)
		seq++
		for i := range acquires {
			acquires[i] = &dlmv1.Request{
				Session: ids[i], Instance: 1, Sequence: seq, Watermark: seq,
				Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: names[i]}},
			}
		}
		for i, a := range s.send(acquires) {
			tokens[i] = a.Token
		}
		seq++
		for i := range releases {
			releases[i] = &dlmv1.Request{
				Session: ids[i], Instance: 1, Sequence: seq, Watermark: seq,
				Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: names[i], Token: tokens[i]}},
			}
		}
		s.send(releases)
	}
}
