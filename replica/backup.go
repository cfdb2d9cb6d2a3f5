package replica

import (
	"errors"
	"slices"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica/backup"
	"dlm/wal"
)

// A backup is a copy of the state at one log position and of the bytes of all files up to their lengths there. The state is
// copied at once; it holds no sessions, so that takes as long as there are files. The bytes follow piece by piece, each
// when the one before was taken, among the other jobs of the file goroutine.
//
//	StartBackup --> read index --> Begin, state ... NextBackup --> pieces ... NextBackup --> pieces ... NextBackup --> Done
//
// A file may grow meanwhile: of what is behind its length nothing is read, and what is before it does not change. It may
// be deleted: its bytes stay until the backup has ended, since no snapshot lets them go before (backupSide.keep).
type backupSide struct{ running *runningBackup }

type runningBackup struct {
	id      uint64
	files   []core.FileRecord // whose bytes are still to come, the first from offset on
	all     []core.FileRecord
	offset  uint64
	begun   bool
	reading bool
}

// BackupPart is what a backup's caller gets: one for StartBackup, and one for each NextBackup. After Done, or a Reason
// other than OK, the backup has ended.
type BackupPart struct {
	ID     uint64
	Header *backup.Header // of the first part; with State
	State  []byte
	Data   []byte // the next bytes of the files
	Done   bool   // there are no more
	Reason dlmv1.Reason
	Detail string
}

// What one job of the file goroutine reads: so much that a disk is kept busy, so little that nobody waits long behind it.
const (
	backupJobBytes = 256 << 10
	backupJobFiles = 32
)

// backupRead reads some pieces of files, in order.
type backupRead struct {
	id     uint64
	pieces []backupPiece
	data   []byte
	damage error
}

type backupPiece struct {
	record        core.FileRecord
	offset, bytes uint64
}

// StartBackup begins a backup under an id of the caller's. One runs at a time.
func (n *Node) StartBackup(now time.Duration, id uint64) {
	n.observeClock(now)
	reason, detail := n.closedFor()
	if reason == dlmv1.Reason_REASON_OK && n.backups.running != nil {
		reason, detail = dlmv1.Reason_REASON_OVERLOADED, "another backup is being made"
	}
	if reason != dlmv1.Reason_REASON_OK {
		n.backupParts = append(n.backupParts, BackupPart{ID: id, Reason: reason, Detail: detail})
		return
	}
	n.backups.running = &runningBackup{id: id}
	n.reads.fresh = append(n.reads.fresh, readRequest{conn: id, backup: true})
	n.reads.count++
}

// NextBackup asks for the part after the one that the caller has got.
func (n *Node) NextBackup(now time.Duration, id uint64) {
	n.observeClock(now)
	b := n.backups.running
	if b == nil || b.id != id || !b.begun || b.reading {
		return
	}
	switch {
	case n.stopped:
		n.endBackup(dlmv1.Reason_REASON_UNAVAILABLE, "the server is stopping")
	case n.files.stuck:
		n.endBackup(dlmv1.Reason_REASON_DISK_FULL, stuckDetail)
	case len(b.files) == 0:
		n.backups.running = nil
		n.backupParts = append(n.backupParts, BackupPart{ID: id, Done: true})
	default:
		b.reading = true
		n.files.queue = append(n.files.queue, fileJob{backup: b.next()})
	}
}

// EndBackup forgets a backup whose caller has gone.
func (n *Node) EndBackup(id uint64) {
	if b := n.backups.running; b != nil && b.id == id {
		n.backups.running = nil
	}
}

// endBackup ends the one that runs with a refusal.
func (n *Node) endBackup(reason dlmv1.Reason, detail string) {
	if b := n.backups.running; b != nil {
		n.backups.running = nil
		n.backupParts = append(n.backupParts, BackupPart{ID: b.id, Reason: reason, Detail: detail})
	}
}

// beginBackup takes the state. It is called when a read would be served.
func (n *Node) beginBackup(id uint64) {
	b := n.backups.running
	if b == nil || b.id != id {
		return // its caller has gone
	}
	h := &backup.Header{
		ClusterID: n.core.ClusterID(), MemberID: n.cfg.MemberID, Index: n.core.Index(), Term: n.term, Stamp: n.core.Now(),
		LastToken: n.core.LastToken(),
	}
	st := n.core.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).GetStatus()
	h.Sessions, h.Locks, h.Files = st.GetSessions(), st.GetLocks(), st.GetFiles()
	n.core.EachFile(func(r core.FileRecord) {
		h.FileBytes += r.Length
		if r.Length > 0 {
			b.all = append(b.all, r)
		}
	})
	b.files, b.begun = b.all, true
	n.backupParts = append(n.backupParts, BackupPart{ID: id, Header: h, State: n.core.Backup()})
}

// next is what is to be read now.
func (b *runningBackup) next() *backupRead {
	r := &backupRead{id: b.id}
	for room := uint64(backupJobBytes); room > 0 && len(b.files) > 0 && len(r.pieces) < backupJobFiles; {
		f := b.files[0]
		bytes := min(room, f.Length-b.offset)
		r.pieces = append(r.pieces, backupPiece{f, b.offset, bytes})
		room -= bytes
		if b.offset += bytes; b.offset == f.Length {
			b.files, b.offset = b.files[1:], 0
		}
	}
	return r
}

// run reads; damage ends the backup and nothing else.
func (r *backupRead) run(s *wal.Store, res *FileResult) error {
	res.backup = r
	for _, p := range r.pieces {
		data, err := s.ReadFile(p.record.ID, p.record.Length, p.record.TailCRC, p.offset, p.bytes)
		if damage := (*wal.DamageError)(nil); errors.As(err, &damage) {
			r.damage = err
			return nil
		}
		if err != nil {
			return err
		}
		r.data = append(r.data, data...)
	}
	return nil
}

// backupDone hands the bytes that were read on.
func (n *Node) backupDone(r *backupRead) {
	b := n.backups.running
	if b == nil || b.id != r.id {
		return
	}
	b.reading = false
	if r.damage != nil {
		n.endBackup(dlmv1.Reason_REASON_DAMAGED, r.damage.Error())
		return
	}
	n.backupParts = append(n.backupParts, BackupPart{ID: b.id, Data: r.data})
}

// keep adds the files whose bytes a backup still needs to those that a snapshot must not let go.
func (s *backupSide) keep(live map[uint64]bool) {
	if s.running != nil {
		for _, f := range s.running.all {
			live[f.ID] = true
		}
	}
}

// dropBackupReads takes the backup's jobs out of a queue that does not move, and ends it.
func (n *Node) dropBackupReads() {
	n.files.queue = slices.DeleteFunc(n.files.queue, func(j fileJob) bool { return j.backup != nil })
	if b := n.backups.running; b != nil && b.reading {
		n.endBackup(dlmv1.Reason_REASON_DISK_FULL, stuckDetail)
	}
}
