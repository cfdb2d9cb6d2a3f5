package replica_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica"
	"dlm/replica/backup"
	"dlm/sim/simdisk"
	"dlm/wal"
)

// lives is one server's machine through all that an operator can do to it: crashes and power cuts, a wiped directory, restores
// from backups of any age that may be broken off anywhere. The wall clock only moves on. It remembers what must outlive
// all of that. The simulator makes backups under more faults and restores them at the end of a run; here life goes on after.
type lives struct {
	*member
	t    *rapid.T
	wall uint64 // milliseconds

	tokens   uint64     // the greatest that was ever granted
	sessions uint64     // the greatest id that was ever given since the last wipe
	clusters [][16]byte // that there were; the last one is there now
	backups  []keptBackup

	// What clients were told of the present cluster.
	files   map[string][]byte
	conn    uint64
	session uint64
	seq     uint64
	token   uint64
	made    byte
	// What they had before: nothing of it may work.
	old []formerHold
}

type keptBackup struct {
	file  []byte
	files map[string][]byte
}

type formerHold struct{ session, token uint64 }

func copyFiles(files map[string][]byte) map[string][]byte {
	c := map[string][]byte{}
	for name, data := range files {
		c[name] = bytes.Clone(data)
	}
	return c
}

func newLives(t *rapid.T) *lives {
	l := &lives{t: t, wall: 1_000_000}
	l.member = &member{
		t: t, disk: simdisk.New(rand.NewPCG(rapid.Uint64().Draw(t, "disk"), 2)), got: map[uint64][]*dlmv1.ServerFrame{},
		cfg: replica.Config{MemberID: 7, SnapshotBytes: 4 << 10},
	}
	l.found()
	return l
}

// newID names a cluster as no other is named.
func (l *lives) newID() [16]byte {
	return [16]byte{byte(len(l.clusters) + 1), byte(len(l.clusters) >> 8)}
}

// found makes a new cluster in an empty directory, as the first start of a server does.
func (l *lives) found() {
	id := l.newID()
	snap, err := replica.InitialSnapshot(core.Config{ClusterID: id, FirstToken: core.FirstToken(l.wall)}, 7)
	l.ok(err)
	l.ok(wal.Create(l.disk.FS(), "data", wal.Identity{ClusterID: id, MemberID: 7}, snap))
	l.files, l.sessions = map[string][]byte{}, 0
	l.begin()
	l.old = nil // session ids begin anew: only tokens outlive a wiped directory
}

// begin starts on the directory of a new cluster.
func (l *lives) begin() {
	l.start()
	id := l.node.Core().ClusterID()
	if slices.Contains(l.clusters, id) {
		l.t.Fatalf("cluster %x was there before: clients would not learn that their sessions are gone", id)
	}
	l.clusters = append(l.clusters, id)
	l.leave()
	l.compare()
}

// leave forgets the session.
func (l *lives) leave() {
	if l.session != 0 {
		l.old = append(l.old, formerHold{l.session, l.token})
	}
	l.session, l.token, l.conn = 0, 0, l.conn+1
}

// ask is a request of the session.
func (l *lives) ask(r *dlmv1.Request) *dlmv1.Answer {
	l.seq++
	r.Session, r.Instance, r.Sequence, r.Watermark = l.session, 1, l.seq, l.seq
	return l.call(l.conn, r)
}

// acquire grants a lock to a new session, or once more to the same.
func (l *lives) acquire() {
	if l.session == 0 {
		l.made++
		l.seq = 0
		l.node.Connect(l.now, l.conn)
		ttl := uint64(24 * time.Hour) // it ends with its cluster, not by itself
		l.session = l.call(l.conn, &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: make16(l.made), TtlNanos: ttl}}}).GetSession()
		if l.session <= l.sessions {
			l.t.Fatalf("session %d is opened, and %d was there before", l.session, l.sessions)
		}
		l.sessions = l.session
	} else {
		l.ask(&dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: "l", Token: l.token}}})
	}
	a := l.ask(&dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l"}}})
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		l.t.Fatalf("nobody holds the lock, and an acquire is answered %v", a)
	}
	if a.GetToken() <= l.tokens {
		l.t.Fatalf("G3: token %d is granted after %d", a.GetToken(), l.tokens)
	}
	l.tokens, l.token = a.GetToken(), a.GetToken()
}

func (l *lives) append(file string, n int) {
	if l.session == 0 {
		l.acquire()
	}
	data := bytes.Repeat([]byte{byte(l.tokens), byte(n)}, n)
	a := l.ask(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: "l", Token: l.token, Data: data}}})
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		l.t.Fatalf("an append is answered %v", a)
	}
	l.files[file] = append(l.files[file], data...)
}

func (l *lives) remove(file string) {
	if l.session == 0 || l.files[file] == nil {
		return
	}
	a := l.ask(&dlmv1.Request{Op: &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: file, Lock: "l", Token: l.token}}})
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		l.t.Fatalf("a delete is answered %v", a)
	}
	delete(l.files, file)
}

// compare holds what the server has against what clients were told.
func (l *lives) compare() {
	l.t.Helper()
	c := l.node.Core()
	if err := c.Check(); err != nil {
		l.t.Fatal(err)
	}
	got := 0
	c.EachFile(func(r core.FileRecord) {
		got++
		data, err := l.st.ReadFile(r.ID, r.Length, r.TailCRC, 0, r.Length)
		if err != nil || !bytes.Equal(data, l.files[r.Name]) {
			l.t.Fatalf("G5: %q has %d bytes that are not the %d acknowledged ones: %v", r.Name, len(data), len(l.files[r.Name]), err)
		}
	})
	if got != len(l.files) {
		l.t.Fatalf("G5: %d files, %d were acknowledged", got, len(l.files))
	}
}

// backup makes one while operations go on, of the moment at which it begins.
func (l *lives) backup(between func()) {
	var files map[string][]byte
	file, end := l.backupOf(1, func() {
		if files == nil {
			files = copyFiles(l.files)
		}
		between()
	})
	if !end.Done {
		l.t.Fatalf("no backup: %+v", end)
	}
	l.backups = append(l.backups, keptBackup{file, files})
}

// restore makes a new cluster of a backup. budget: the process dies after so many changes to the disk; < 0: it does not.
func (l *lives) restore(b keptBackup, budget int, power bool) {
	l.wipe()
	id := l.newID()
	target := backup.Target{Rebirth: core.Rebirth{ClusterID: id, WallMillis: l.wall}, MemberID: 7}
	try := func() error {
		r, err := backup.NewReader(bytes.NewReader(b.file))
		l.ok(err)
		_, err = backup.Restore(l.disk.FS(), "data", r, target)
		return err
	}
	l.disk.StopAfter(budget)
	err := try()
	if power {
		l.disk.PowerCut()
	} else {
		l.disk.Crash()
	}
	if err != nil {
		if budget < 0 {
			l.t.Fatal(err)
		}
		if exists, e := wal.Exists(l.disk.FS(), "data"); e == nil && !exists {
			// As if it had not begun.
		} else if e != nil && !errors.Is(e, wal.ErrUnfinished) {
			l.t.Fatal(e)
		}
		l.wipe()
		l.ok(try())
	}
	l.files = copyFiles(b.files)
	l.begin()
	c := l.node.Core()
	st := c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).GetStatus()
	if st.GetSessions()+st.GetLocks()+st.GetWaiters() != 0 {
		l.t.Fatalf("something survived the restore: %v", st)
	}
}

// wipe takes everything off the disk.
func (l *lives) wipe() {
	for _, dir := range []string{"data/files", "data"} {
		for _, name := range l.disk.Names(dir) {
			l.ok(l.disk.FS().Remove(dir + "/" + name))
		}
	}
	if l.disk.Names("data") != nil {
		l.ok(l.disk.FS().SyncDir("data"))
	}
	if l.disk.Names("data/files") != nil {
		l.ok(l.disk.FS().SyncDir("data/files"))
	}
}

// stale tries what an old session once could, under its old token, and the old token under a new session.
func (l *lives) stale(which int) {
	if len(l.old) == 0 {
		return
	}
	h := l.old[which%len(l.old)]
	l.node.Connect(l.now, l.conn+1)
	l.settle()
	for _, r := range []*dlmv1.Request{
		appendTo(h.session, 900, "f0", "l", h.token, "stale"),
		{Session: h.session, Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: make16(0xee), Replaces: 1}}},
	} {
		a := l.call(l.conn+1, r)
		if a.GetReason() == dlmv1.Reason_REASON_OK {
			l.t.Fatalf("session %d ended with its cluster, and %v is answered %v", h.session, r, a)
		}
	}
	l.conn++
	if l.session == 0 {
		return
	}
	l.node.Connect(l.now, l.conn)
	l.settle()
	a := l.ask(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "f0", Lock: "l", Token: h.token, Data: []byte("stale")}}})
	if h.token != l.token && a.GetReason() != dlmv1.Reason_REASON_STALE_TOKEN {
		l.t.Fatalf("G3: an append under the old token %d is answered %v", h.token, a)
	}
}

// TestLives: over crashes, wiped directories and restores of old backups, tokens only grow (G3), what was acknowledged
// before a backup is there after its restore (G5), and nothing of a former cluster works in the next.
func TestLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLives(t)
		file := rapid.SampledFrom([]string{"f0", "f1", "f2", "f3"})
		size := rapid.SampledFrom([]int{0, 1, 100, 2047, 2048, 9000})
		step := func() {
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				l.acquire()
			case 1:
				l.remove(file.Draw(t, "file"))
			default:
				l.append(file.Draw(t, "file"), size.Draw(t, "size"))
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			l.wall += rapid.Uint64Range(1, 5000).Draw(t, "millis")
			switch rapid.SampledFrom([]string{"work", "work", "work", "backup", "backup", "restore", "restore", "crash", "wipe", "stale", "time"}).Draw(t, "step") {
			case "work":
				step()
			case "backup":
				l.backup(func() {
					if rapid.Bool().Draw(t, "meanwhile") {
						step()
					}
				})
			case "crash":
				l.restart(rapid.Bool().Draw(t, "power"))
				l.conn++
				l.node.Connect(l.now, l.conn)
				l.settle()
				l.compare()
			case "restore":
				if n := len(l.backups); n > 0 {
					l.restore(l.backups[rapid.IntRange(0, n-1).Draw(t, "backup")], rapid.IntRange(-1, 40).Draw(t, "budget"), rapid.Bool().Draw(t, "power"))
				}
			case "wipe":
				l.disk.Crash()
				l.wipe()
				l.found()
			case "stale":
				l.stale(rapid.IntRange(0, 9).Draw(t, "which"))
			case "time":
				l.advance(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
			}
		}
		l.compare()
	})
}
