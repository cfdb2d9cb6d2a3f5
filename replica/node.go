package replica

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/wal"
)

// ErrUnknownEntry is wrapped by Start and by Effects.Err when the log holds something that this version does not
// understand. Nothing of that entry was applied.
var ErrUnknownEntry = errors.New("replica: log entry of an unknown version")

// Config tunes a node. The zero value of a field means its default. None of it decides what Apply does: that is
// replicated state.
type Config struct {
	// MemberID is this member's raft id. Required, the same as in the data directory.
	MemberID uint64
	// Version is shown to clients and operators.
	Version string
	// SnapshotBytes is how much log is written between two snapshots. Default 64 MiB; simulation 4 KiB to 64 KiB.
	SnapshotBytes uint64
	// SnapshotSlice is how many records of a snapshot are encoded at once: requests wait for no more. Default 512; simulation 1 to 64.
	SnapshotSlice int
	// EntryBytes limits the requests of one log entry; at least one request is always taken. Default 1 MiB.
	EntryBytes uint64
	// MaxPending limits the requests and reads that wait inside the node, those in queues of locks aside. What renews or gives
	// back may be twice as many. Default 65536; simulation 8 to the default.
	MaxPending int
	// MaxWait is how long a request may wait for a batch before others that neither renew nor give back are refused as
	// overloaded, if more than a 64th of MaxPending wait. Default 300 ms; simulation 20 ms to 300 ms.
	MaxWait time.Duration
	// MaxFileBytes limits the bytes of appends that are applied and not yet written to their files; above it appends are refused
	// as overloaded. Default 64 MiB.
	MaxFileBytes int
	// ReserveBytes is the free room on the disk, in bytes, that appends have to leave, besides that for snapshots; below it they are
	// refused with REASON_DISK_FULL. It has to hold at least a segment of the log. Default 128 MiB; simulation 8 KiB to 64 KiB.
	ReserveBytes uint64
	// LogReserveBytes is what must be left of the log's last segment, in bytes, for anything but renewals and what gives back,
	// when no further one can be made. Default 16 MiB; simulation a quarter of a segment.
	LogReserveBytes uint64
	// SpaceRetry is how often a disk without enough room is looked at again. Default 1 s.
	SpaceRetry time.Duration
	// KeepAliveDelay is how long keep-alives may wait for company. Default 100 ms.
	KeepAliveDelay time.Duration
	// MarkDelay is how long the log rests before the last batch is marked as not torn. Default 1 s.
	MarkDelay time.Duration
	// Observe is told of every applied batch; for checkers and metrics. It must not keep or change what it is given.
	Observe func(index, stamp uint64, requests []*dlmv1.Request, out core.Output)
}

func (c Config) withDefaults() Config {
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 64 << 20
	}
	if c.SnapshotSlice == 0 {
		c.SnapshotSlice = 512
	}
	if c.EntryBytes == 0 {
		c.EntryBytes = 1 << 20
	}
	if c.MaxPending == 0 {
		c.MaxPending = 1 << 16
	}
	if c.MaxWait == 0 {
		c.MaxWait = 300 * time.Millisecond
	}
	if c.MaxFileBytes == 0 {
		c.MaxFileBytes = 64 << 20
	}
	if c.ReserveBytes == 0 {
		c.ReserveBytes = 128 << 20
	}
	if c.LogReserveBytes == 0 {
		c.LogReserveBytes = 16 << 20
	}
	if c.SpaceRetry == 0 {
		c.SpaceRetry = time.Second
	}
	if c.KeepAliveDelay == 0 {
		c.KeepAliveDelay = 100 * time.Millisecond
	}
	if c.MarkDelay == 0 {
		c.MarkDelay = time.Second
	}
	return c
}

// Node is one member. It is not safe for concurrent use.
type Node struct {
	cfg     Config
	core    *core.Core
	rn      *raft.RawNode
	storage *raft.MemoryStorage
	err     error // the first fatal one
	stopped bool

	now      time.Duration // the latest clock reading
	applied  uint64        // index
	term     uint64        // of the last applied entry
	leading  bool          // leader, and the empty entry of its term is applied
	lead     clock         // cluster time while leading
	proposed proposal      // the batch on its way, so that it need not be decoded again

	forgotten uint64           // index up to which raft has forgotten the entries
	recovered []recoveredEntry // those of the start that are not applied yet, so that they need not be decoded again

	requests requestTable
	queued   queuedTable
	conns    connTable
	reads    readQueue
	log      logSide
	files    fileSide
	snap     snapshotSide
	space    spaceSide
	backups  backupSide

	backupParts []BackupPart // for the next Flush
}

// InitialSnapshot is the state that a new cluster begins with: log position 1, term 1, one voter.
func InitialSnapshot(cfg core.Config, voter uint64) (wal.Snapshot, error) {
	c, err := core.New(cfg)
	if err != nil {
		return wal.Snapshot{}, err
	}
	return wal.Snapshot{Index: 1, Term: 1, Voters: []uint64{voter}, Data: c.Snapshot()}, nil
}

// Start makes a node from what the data directory held. It refuses a log that it does not understand before anything
// is applied.
func Start(cfg Config, rec *wal.Recovered, now time.Duration) (*Node, error) {
	cfg = cfg.withDefaults()
	if cfg.MemberID != rec.Identity.MemberID {
		return nil, fmt.Errorf("replica: the data directory belongs to member %d, not %d", rec.Identity.MemberID, cfg.MemberID)
	}
	recovered := make([]recoveredEntry, 0, len(rec.Entries))
	for _, e := range rec.Entries {
		b, err := decodeEntry(e)
		if err != nil {
			return nil, err
		}
		recovered = append(recovered, recoveredEntry{e, b})
	}
	c, err := core.Restore(rec.Snapshot.Data)
	if err != nil {
		return nil, fmt.Errorf("replica: the snapshot at log position %d: %w", rec.Snapshot.Index, err)
	}
	if c.ClusterID() != rec.Identity.ClusterID {
		return nil, fmt.Errorf("replica: the snapshot is of cluster %x, the data directory of %x", c.ClusterID(), rec.Identity.ClusterID)
	}
	storage, err := loadStorage(rec)
	if err != nil {
		return nil, err
	}
	rn, err := raft.NewRawNode(&raft.Config{
		ID:                        cfg.MemberID,
		ElectionTick:              10,
		HeartbeatTick:             1,
		Storage:                   storage,
		Applied:                   rec.Snapshot.Index,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  64 << 20,
		MaxInflightMsgs:           256,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		Logger:                    quietLogger{},
	})
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	n := &Node{
		cfg: cfg, core: c, rn: rn, storage: storage, now: now,
		applied: rec.Snapshot.Index, term: rec.Snapshot.Term,
		forgotten: rec.Snapshot.Index, recovered: recovered,
	}
	n.requests.init()
	n.queued.init()
	n.conns.init()
	n.log.hard, n.log.written = rec.HardState, rec.HardState
	n.snap.index, n.snap.size = rec.Snapshot.Index, uint64(len(rec.Snapshot.Data))
	n.files.recover(c)
	if len(rec.Snapshot.Voters) == 1 && rec.Snapshot.Voters[0] == cfg.MemberID {
		// Nobody else could be leading: no need to wait for an election timeout.
		if err := rn.Campaign(); err != nil {
			return nil, fmt.Errorf("replica: %w", err)
		}
	}
	return n, nil
}

func loadStorage(rec *wal.Recovered) (*raft.MemoryStorage, error) {
	storage := raft.NewMemoryStorage()
	snap := &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index:     new(rec.Snapshot.Index),
		Term:      new(rec.Snapshot.Term),
		ConfState: &raftpb.ConfState{Voters: rec.Snapshot.Voters},
	}}
	if err := storage.ApplySnapshot(snap); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	if rec.HardState != nil {
		if err := storage.SetHardState(rec.HardState); err != nil {
			return nil, fmt.Errorf("replica: %w", err)
		}
	}
	if err := storage.Append(rec.Entries); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	return storage, nil
}

// Core is the lock table, for reading by tests, checkers and metrics.
func (n *Node) Core() *core.Core { return n.core }

// Leading says whether the node serves: it leads, and has applied the empty entry of its term.
func (n *Node) Leading() bool { return n.leading }

// Applied is the log position up to which the lock table has applied the log.
func (n *Node) Applied() uint64 { return n.applied }

// Term is that of the last applied entry: of a node that leads, its own.
func (n *Node) Term() uint64 { return n.term }

// Stop refuses every new request with REASON_UNAVAILABLE. Call Flush and run its effects until Idle.
func (n *Node) Stop() {
	n.stopped = true
	n.snap.stop()
}

// Idle says that no task is on its way and nothing waits to be logged, read or written. A node that was told to stop does not
// wait for room on the disk: what did not fit into the log was not acknowledged, and what did not fit into files is in the log.
func (n *Node) Idle() bool {
	if len(n.backupParts) > 0 {
		return false
	}
	if n.stopped && !n.log.busy && !n.files.busy && (n.log.stuck || n.files.stuck && n.requests.unlogged() == 0) {
		return true
	}
	return !n.log.busy && !n.files.busy && !n.log.wants() && len(n.files.queue)+len(n.files.aside) == 0 &&
		n.requests.unlogged() == 0 && n.reads.empty() && !n.snap.taking()
}

// Effects are what a Flush wants done; see the package's documentation for the duties.
type Effects struct {
	Frames []Outgoing
	Log    *LogTask
	File   *FileTask
	// Backup holds parts for those who make backups: at most one for each StartBackup and NextBackup.
	Backup []BackupPart
	// Err is fatal: the process must stop.
	Err error
}

// Outgoing is a frame for one connection.
type Outgoing struct {
	Conn  uint64
	Frame *dlmv1.ServerFrame
	Bytes int // that it takes
}

// Flush lets everything that has arrived take effect and says what is to be done outside.
func (n *Node) Flush(now time.Duration) Effects {
	n.observeClock(now)
	if n.err == nil {
		n.pump()
		n.propose()
		n.pump()
		n.serveReads()
		n.pump()
	}
	if n.err != nil {
		return Effects{Err: n.err}
	}
	due := n.space.due(n.now)
	n.takeSnapshot(due)
	n.watchSpace(due)
	parts := n.backupParts
	n.backupParts = nil
	log := n.log.start(n.now, n.cfg.MarkDelay, due)
	if log != nil && log.full {
		// What gives room need not wait for the file goroutine.
		log.aside, n.files.aside = n.files.aside, nil
	}
	return Effects{Log: log, File: n.files.start(due), Frames: n.conns.drain(), Backup: parts}
}

// NextTimer is the clock reading at which Flush is to be called even if nothing happens until then.
func (n *Node) NextTimer() (at time.Duration, ok bool) {
	if n.log.busy || n.err != nil {
		return 0, false // LogDone comes first
	}
	if n.space.level != DiskOK {
		at, ok = n.space.checkAt, true
	}
	if !n.leading || n.log.stuck {
		return at, ok
	}
	if stamp, due := n.core.NextDeadline(); due {
		if when := n.lead.when(stamp); !ok || when < at {
			at, ok = when, true
		}
	}
	if since, lazy := n.requests.lazySince(); lazy && (!ok || since+n.cfg.KeepAliveDelay < at) {
		at, ok = since+n.cfg.KeepAliveDelay, true
	}
	if mark := n.log.doneAt + n.cfg.MarkDelay; n.log.unmarked && (!ok || mark < at) {
		at, ok = mark, true
	}
	return at, ok
}

func (n *Node) observeClock(now time.Duration) {
	if now < n.now {
		n.fail(fmt.Errorf("replica: the clock went back from %v to %v", n.now, now))
		return
	}
	n.now = now
}

func (n *Node) fail(err error) {
	if n.err == nil && err != nil {
		n.err = err
	}
}
