package replica_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica"
	"dlm/replica/backup"
	"dlm/sim/simdisk"
	"dlm/wal"
)

// backupOf makes a backup; between is called before each further part is asked for.
func (m *member) backupOf(id uint64, between func()) ([]byte, *replica.BackupPart) {
	m.t.Helper()
	var enc backup.Encoder
	var file []byte
	m.node.StartBackup(m.now, id)
	for range 10_000 {
		part := m.part(id)
		switch {
		case part.Reason != dlmv1.Reason_REASON_OK:
			return nil, part
		case part.Done:
			return append(file, enc.End()...), part
		case part.Header != nil:
			file = append(file, enc.Begin(*part.Header, part.State)...)
		default:
			file = append(file, enc.Files(part.Data)...)
		}
		between()
		m.node.NextBackup(m.now, id)
	}
	m.t.Fatal("the backup does not end")
	return nil, nil
}

// part runs the node until it hands out a part.
func (m *member) part(id uint64) *replica.BackupPart {
	m.t.Helper()
	for range 1000 {
		e := m.node.Flush(m.now)
		m.ok(e.Err)
		for _, f := range e.Frames {
			m.got[f.Conn] = append(m.got[f.Conn], f.Frame)
		}
		if e.Log != nil {
			m.node.LogDone(m.now, e.Log.Run(m.st))
		}
		if e.File != nil {
			m.node.FileDone(m.now, e.File.Run(m.st))
		}
		for i := range e.Backup {
			if e.Backup[i].ID == id {
				return &e.Backup[i]
			}
		}
	}
	m.t.Fatal("no part comes")
	return nil
}

// filled gives the member a session that holds a lock, and files of these sizes.
func (m *member) filled(sizes ...int) (append_, remove func(file string, n int)) {
	m.node.Connect(m.now, 1)
	m.settle()
	seq := uint64(0)
	send := func(r *dlmv1.Request) *dlmv1.Answer {
		m.t.Helper()
		if r.GetOpen() == nil {
			seq++
			r.Session, r.Instance, r.Sequence, r.Watermark = 1, 1, seq, seq
		}
		a := m.call(1, r)
		if a.GetReason() != dlmv1.Reason_REASON_OK {
			m.t.Fatalf("%v is answered %v", r, a)
		}
		return a
	}
	send(&dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: make([]byte, 16)}}})
	token := send(&dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l"}}}).GetToken()
	count := byte(0)
	append_ = func(file string, n int) {
		count++
		data := bytes.Repeat([]byte{count}, n)
		send(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: file, Lock: "l", Token: token, Data: data}}})
	}
	remove = func(file string, _ int) {
		send(&dlmv1.Request{Op: &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: file, Lock: "l", Token: token}}})
	}
	for i, n := range sizes {
		append_(fmt.Sprintf("f%d", i), n)
	}
	return append_, remove
}

// contents reads every file of a backup, which it verifies.
func contents(t *testing.T, file []byte) map[string]string {
	t.Helper()
	r, err := backup.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range r.Files {
		got[f.Name] = ""
	}
	for {
		p, err := r.Next()
		if err != nil {
			if verify := r.Verify(); verify != nil {
				t.Fatal(err)
			}
			return got
		}
		got[p.File.Name] += string(p.Data)
	}
}

// TestBackupIsOneInstant: what is appended, deleted and snapshot while it is copied is not in it, and what was there is.
func TestBackupIsOneInstant(t *testing.T) {
	m := newMember(t, replica.Config{SnapshotBytes: 4 << 10})
	appendTo, remove := m.filled(5, 5000, 0, 300<<10, 4096, 300<<10)
	for i := range 40 {
		appendTo(fmt.Sprintf("small%d", i), i)
	}
	want := map[string]string{}
	m.node.Core().EachFile(func(r core.FileRecord) {
		data, err := m.st.ReadFile(r.ID, r.Length, r.TailCRC, 0, r.Length)
		m.ok(err)
		want[r.Name] = string(data)
	})
	rounds := 0
	file, _ := m.backupOf(1, func() {
		rounds++
		if rounds == 1 {
			remove("f5", 0)
			remove("small7", 0)
		}
		appendTo("f1", 3000)
		appendTo("f3", 900)
		appendTo(fmt.Sprintf("new%d", rounds), 9000) // snapshots follow
	})
	if rounds < 4 {
		t.Fatalf("only %d parts", rounds)
	}
	got := contents(t, file)
	if len(got) != len(want) {
		t.Fatalf("%d files, want %d", len(got), len(want))
	}
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s has %d bytes that are not the %d of the moment", name, len(got[name]), len(data))
		}
	}
	// When it is over the deleted file goes with a snapshot.
	before := len(m.disk.Names("data/files"))
	appendTo("more", 9000)
	appendTo("more", 9000)
	if after := len(m.disk.Names("data/files")); after >= before+2 {
		t.Fatalf("%d names in files/, before the end of the backup %d: what was deleted is still there", after, before)
	}
}

func TestBackupOneAtATime(t *testing.T) {
	m := newMember(t, replica.Config{})
	m.filled(10)
	m.node.StartBackup(m.now, 1)
	m.part(1)
	if _, p := m.backupOf(2, func() {}); p.Reason != dlmv1.Reason_REASON_OVERLOADED || p.Detail == "" {
		t.Fatalf("a second backup is answered %+v", p)
	}
	m.node.EndBackup(1)
	if file, p := m.backupOf(3, func() {}); !p.Done || len(contents(t, file)) != 1 {
		t.Fatalf("got %+v", p)
	}
	m.node.Stop()
	if _, p := m.backupOf(4, func() {}); p.Reason != dlmv1.Reason_REASON_UNAVAILABLE {
		t.Fatalf("while it stops: %+v", p)
	}
}

// TestBackupRefusesDamage: damaged bytes are named, never copied, and the server goes on.
func TestBackupRefusesDamage(t *testing.T) {
	m := newMember(t, replica.Config{})
	appendTo, _ := m.filled(5, 9000)
	m.ok(m.disk.Flip("data/files/0000000000000002", 5000*8))
	_, p := m.backupOf(1, func() {})
	if p.Reason != dlmv1.Reason_REASON_DAMAGED || !strings.Contains(p.Detail, "0000000000000002 is damaged at offset 4096") {
		t.Fatalf("got %+v", p)
	}
	appendTo("f0", 10)
}

// TestRestoreCrashedAnywhere stops a restore after each number of changes to the disk: what is left is refused or whole,
// and a server that starts on the whole one has every byte, no session, and tokens above all of before.
func TestRestoreCrashedAnywhere(t *testing.T) {
	m := newMember(t, replica.Config{})
	appendTo, _ := m.filled(5, 9000, 0, 4096)
	file, _ := m.backupOf(1, func() {})
	appendTo("f0", 7) // after the backup
	want := contents(t, file)
	target := backup.Target{Rebirth: core.Rebirth{ClusterID: [16]byte{2}, WallMillis: 1000}, MemberID: 8}
	refused, whole := 0, 0
	for n := 0; ; n++ {
		for _, power := range []bool{false, true} {
			disk := simdisk.New(rand.NewPCG(uint64(n), 3))
			disk.StopAfter(n)
			r, err := backup.NewReader(bytes.NewReader(file))
			m.ok(err)
			_, failed := backup.Restore(disk.FS(), "data", r, target)
			if power {
				disk.PowerCut()
			} else {
				disk.Crash()
			}
			exists, err := wal.Exists(disk.FS(), "data")
			if !exists || err != nil {
				if failed == nil {
					t.Fatalf("after %d changes and power cut %v: it was restored, and is not there: %v", n, power, err)
				}
				if _, _, openErr := wal.Open(disk.FS(), "data", wal.Options{}); openErr == nil {
					t.Fatalf("after %d changes: it opens", n)
				}
				if err == nil {
					// Nothing is there, as if the restore had not begun.
					if left := append(disk.Names("data"), disk.Names("data/files")...); len(left) > 0 {
						t.Fatalf("after %d changes and power cut %v: a server would take %v for an empty place", n, power, left)
					}
				} else if !errors.Is(err, wal.ErrUnfinished) {
					t.Fatalf("after %d changes: %v", n, err)
				}
				refused++
				continue
			}
			whole++
			checkRestored(t, disk, want)
			if failed == nil && !power {
				if refused < 20 {
					t.Fatalf("only %d restores were refused", refused)
				}
				return
			}
		}
	}
}

func checkRestored(t *testing.T, disk *simdisk.Disk, want map[string]string) {
	t.Helper()
	m := &member{t: t, disk: disk, cfg: replica.Config{MemberID: 8}, got: map[uint64][]*dlmv1.ServerFrame{}}
	m.start()
	c := m.node.Core()
	st := c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).GetStatus()
	if st.GetSessions() != 0 || st.GetLocks() != 0 || c.LastToken() < core.FirstToken(1000)-1 {
		t.Fatalf("got %v", st)
	}
	var names []string
	c.EachFile(func(r core.FileRecord) {
		names = append(names, r.Name)
		data, err := m.st.ReadFile(r.ID, r.Length, r.TailCRC, 0, r.Length)
		m.ok(err)
		if want[r.Name] != string(data) {
			t.Fatalf("%s has %d bytes that are not the %d of the backup", r.Name, len(data), len(want[r.Name]))
		}
	})
	if len(names) != len(want) || !slices.Contains(names, "f2") {
		t.Fatalf("the files are %v", names)
	}
}
