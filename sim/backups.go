package sim

import (
	"bytes"
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/netsim"
	"dlm/replica"
	"dlm/replica/backup"
	"dlm/sim/simdisk"
	"dlm/wal"
)

// backups are those that an operator makes of the running server, and keeps on a machine of his own. Each is compared with
// the log when it is whole. When the run is over some are restored to another disk, where a server must start from them.
type backups struct {
	w       *World
	rng     *netsim.RNG
	last    uint64 // id
	running *makingBackup
	kept    [][]byte
}

type makingBackup struct {
	id, life uint64
	enc      backup.Encoder
	file     []byte
}

func newBackups(w *World) *backups {
	return &backups{w: w, rng: netsim.NewRNG(w.plan.Seed, streamBackups)}
}

// strike begins one, if the server runs.
func (b *backups) strike() {
	s := b.w.server
	if !s.up || b.making() != nil {
		return
	}
	b.last++
	b.running = &makingBackup{id: b.last, life: s.life}
	s.deliver(serverEvent{backup: b.last})
}

// making is the one that runs; the end of the server's process ends it.
func (b *backups) making() *makingBackup {
	if b.running != nil && b.running.life != b.w.server.life {
		b.w.count("backup cut off by the end of the server")
		b.running = nil
	}
	return b.running
}

// event hands the operator's wish to the node.
func (b *backups) event(now time.Duration, e serverEvent) {
	m := b.making()
	if m == nil || m.id != e.backup {
		return
	}
	if len(m.file) == 0 {
		b.w.server.node.StartBackup(now, m.id)
	} else {
		b.w.server.node.NextBackup(now, m.id)
	}
}

// part takes what the node has given out.
func (b *backups) part(p *replica.BackupPart) {
	m := b.making()
	if m == nil || m.id != p.ID {
		return
	}
	switch {
	case p.Reason != dlmv1.Reason_REASON_OK:
		b.refused(p)
		b.running = nil
		return
	case p.Done:
		m.file = append(m.file, m.enc.End()...)
		b.running = nil
		b.made(m.file)
		return
	case p.Header != nil:
		m.file = append(m.file, m.enc.Begin(*p.Header, p.State)...)
	default:
		m.file = append(m.file, m.enc.Files(p.Data)...)
	}
	s, life := b.w.server, m.life
	b.w.sim.After(b.rng.Tail(time.Millisecond, 2*time.Second), func() {
		if s.life == life && s.up {
			s.deliver(serverEvent{backup: m.id})
		}
	})
}

func (b *backups) refused(p *replica.BackupPart) {
	b.w.count("backup refused: " + p.Reason.String())
	switch p.Reason {
	case dlmv1.Reason_REASON_DAMAGED:
		b.w.disks.damagedRead(&dlmv1.ReadAnswer{Reason: p.Reason, Detail: p.Detail})
	case dlmv1.Reason_REASON_NOT_LEADER, dlmv1.Reason_REASON_UNAVAILABLE, dlmv1.Reason_REASON_DISK_FULL:
	default:
		b.w.fail("G5", "a backup is refused with %v: %s", p.Reason, p.Detail)
	}
}

// made verifies a backup, and compares it with the log.
func (b *backups) made(file []byte) {
	b.w.checked("G5 backup")
	b.w.count("backup made")
	r, err := backup.NewReader(bytes.NewReader(file))
	if err != nil {
		b.w.fail("G5", "a backup that was just made is refused: %v", err)
		return
	}
	b.w.mark("backup", r.Header.Index, r.Header.Files, r.Header.FileBytes)
	got := map[string][]byte{}
	for {
		p, err := r.Next()
		if err != nil {
			if err := r.Verify(); err != nil {
				b.w.fail("G5", "a backup that was just made is refused: %v", err)
				return
			}
			break
		}
		got[p.File.Name] = append(got[p.File.Name], p.Data...)
	}
	if b.compare("a backup", r.Header.Index, r.Files, got) {
		b.kept = append(b.kept, file)
	}
}

// compare says whether files are those of the log at a position.
func (b *backups) compare(what string, index uint64, records []core.FileRecord, got map[string][]byte) bool {
	want := 0
	for _, f := range b.w.logCheck.files {
		if !f.lives(index) {
			continue
		}
		want++
		data := f.data[:f.at(index)]
		there := slices.ContainsFunc(records, func(r core.FileRecord) bool { return r.Name == f.name && r.Lock == f.lock })
		if !there || !bytes.Equal(got[f.name], data) {
			b.w.fail("G5", "%s of position %d has %d bytes of %q (lock %q) that are not the %d of the log", what, index, len(got[f.name]), f.name, f.lock, len(data))
			return false
		}
	}
	if want != len(records) {
		b.w.fail("G5", "%s of position %d has %d files, the log %d", what, index, len(records), want)
		return false
	}
	return true
}

// restore makes clusters of the oldest and the newest backup, in the run's last moment.
func (b *backups) restore() {
	for i, file := range b.kept {
		if i == 0 || i == len(b.kept)-1 {
			b.restoreOne(file)
		}
	}
}

// restoreOne breaks a restore off somewhere, does it again on another disk, and starts a server there.
func (b *backups) restoreOne(file []byte) {
	wall := uint64(b.w.sim.Now() / time.Millisecond) // it began with the run, and only moves on
	target := backup.Target{Rebirth: core.Rebirth{ClusterID: [16]byte{'n', 'e', 'w'}, WallMillis: wall}, MemberID: memberID}
	try := func(budget int) (*simdisk.Disk, *backup.Reader, error) {
		d := simdisk.New(b.rng)
		r, err := backup.NewReader(bytes.NewReader(file))
		if err == nil {
			d.StopAfter(budget)
			_, err = backup.Restore(d.FS(), dataDir, r, target)
			d.PowerCut()
		}
		return d, r, err
	}
	d, r, err := try(b.rng.IntN(30))
	if err != nil {
		b.w.checked("G5 unfinished restore")
		exists, refused := wal.Exists(d.FS(), dataDir)
		left := append(d.Names(dataDir), d.Names(filesDir)...)
		switch {
		case refused != nil:
		case exists:
			b.start(d, r) // its last step alone was not finished
		case len(left) > 0:
			b.w.fail("G5", "a restore was broken off, and a server would take what it left for an empty place: %v", left)
		}
	}
	if d, r, err = try(-1); err != nil {
		b.w.fail("G5", "a backup cannot be restored: %v", err)
		return
	}
	b.start(d, r)
}

// start is that of a server on a restored directory.
func (b *backups) start(d *simdisk.Disk, r *backup.Reader) {
	store, rec, err := wal.Open(d.FS(), dataDir, wal.Options{SegmentBytes: b.w.plan.Config.SegmentBytes, OpenFiles: b.w.plan.Config.OpenFiles})
	if err != nil {
		b.w.fail("G5", "a restored directory does not open: %v", err)
		return
	}
	node, err := replica.Start(replica.Config{MemberID: memberID}, rec, 0)
	if err != nil {
		b.w.fail("G5", "a server does not start on a restored directory: %v", err)
		return
	}
	if !b.run(node, store) {
		return
	}
	b.judge(node.Core(), store, r)
}

// run lets the node come to rest.
func (b *backups) run(node *replica.Node, store *wal.Store) bool {
	for range 1000 {
		e := node.Flush(0)
		if e.Err != nil {
			b.w.fail("G5", "a server on a restored directory stops: %v", e.Err)
			return false
		}
		if e.Log != nil {
			node.LogDone(0, e.Log.Run(store))
		}
		if e.File != nil {
			node.FileDone(0, e.File.Run(store))
		}
		if e.Log == nil && e.File == nil && node.Leading() {
			return true
		}
	}
	b.w.fail("L5", "nobody leads on a restored directory")
	return false
}

// judge holds the restored cluster against the whole run before it.
func (b *backups) judge(c *core.Core, store *wal.Store, r *backup.Reader) {
	b.w.checked("G3 restore")
	if c.ClusterID() == r.Header.ClusterID {
		b.w.fail("G8", "a restored cluster has the id of the one before: its clients do not learn that their sessions are gone")
	}
	st := c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).GetStatus()
	if st.GetSessions()+st.GetLocks()+st.GetWaiters() != 0 {
		b.w.fail("G8", "sessions, locks or waiters survive a restore: %v", st)
		return
	}
	l := b.w.logCheck
	open := &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: make([]byte, 16)}}}
	session := c.Apply(c.Index()+1, c.Now(), []*dlmv1.Request{open}).Answers[0].GetSession()
	ask := func(sequence uint64, r *dlmv1.Request) *dlmv1.Answer {
		r.Session, r.Instance, r.Sequence, r.Watermark = session, 1, sequence, sequence
		return c.Apply(c.Index()+1, c.Now(), []*dlmv1.Request{r}).Answers[0]
	}
	if session <= l.lastSession {
		b.w.fail("G8", "session %d is given after a restore, and %d was given before it", session, l.lastSession)
	}
	token := ask(1, &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "lock-0"}}}).GetToken()
	if token <= l.lastToken {
		b.w.fail("G3", "token %d is granted after a restore, and %d was granted before it", token, l.lastToken)
	}
	got := map[string][]byte{}
	for _, f := range r.Files {
		data, err := readAll(store, f)
		if err != nil {
			b.w.fail("G5", "file %q of a restored directory: %v", f.Name, err)
			return
		}
		got[f.Name] = data
	}
	b.compare("a restore", r.Header.Index, r.Files, got)
}
