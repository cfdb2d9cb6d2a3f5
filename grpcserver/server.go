package grpcserver

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/core"
	"dlm/replica"
)

// ErrStopTimeout says that a graceful stop took too long and was cut short.
var ErrStopTimeout = errors.New("grpcserver: the stop took too long")

// Keepalive: a peer that is gone without a word is noticed after about half a minute, and its streams end. Sessions do not hang on
// that: they end by their own deadlines.
const (
	pingAfter   = 20 * time.Second
	pingTimeout = 10 * time.Second
	// How often a client may ping. gRPC's default of 5 minutes would be of no use to leases.
	minPing = 5 * time.Second
)

// Windows of flow control, in bytes. That they are fixed matters more than their size: to find a size by itself gRPC sends a ping with
// every message that comes after a pause, and the peer answers it: for a client with one request at a time, half of all packets.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// Server is one running member. Its methods may be called by any goroutine.
type Server struct {
	opts     Options
	opened   time.Duration // clock reading when Open began
	storage  *storage
	loop     *nodeLoop
	inbox    *inbox
	grpc     *grpc.Server
	door     *frontDoor
	share    outboxes
	calls    atomic.Int64
	lastConn atomic.Uint64
	running  sync.WaitGroup // goroutines of streams, and of the disk

	stop     chan struct{} // closed by Stop
	stopOnce sync.Once
	started  atomic.Bool
	metrics  *metrics
	story    story
	recovery atomic.Int64  // nanoseconds from Open until it served; 0 = not yet
	lastSync atomic.Int64  // nanoseconds that the log's last task took
	done     chan struct{} // closed when Serve has returned, or Stop has closed a server that never served
}

// Open recovers the data directory, or creates it, and prepares to serve. Errors are ErrOptions, osfs.ErrLocked,
// *wal.DamageError, replica.ErrUnknownEntry, or the file system's.
func Open(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	opened := o.Clock()
	st, err := openStorage(o)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, opened: opened, storage: st, stop: make(chan struct{}), done: make(chan struct{})}
	s.metrics, s.story = newMetrics(s), story{o.Logger}
	node, err := replica.Start(replica.Config{
		MemberID:      st.recovered.Identity.MemberID,
		Version:       o.Version,
		SnapshotBytes: o.SnapshotBytes,
		ReserveBytes:  o.ReserveBytes, LogReserveBytes: uint64(o.SegmentBytes) / 4,
		Observe: s.observe,
	}, st.recovered, o.Clock())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("grpcserver: the data directory %s: %w", o.Dir, err), st.close())
	}
	s.share.perStream, s.share.total = o.OutboxBytes, o.OutboxesBytes
	s.inbox = newInbox(o.InboxBytes)
	s.loop = &nodeLoop{
		node: node, clock: o.Clock, inbox: s.inbox, health: health.NewServer(), ready: make(chan struct{}),
		logs: make(chan *replica.LogTask, 1), files: make(chan *replica.FileTask, 1), peers: map[uint64]peer{},
		backups:  map[uint64]chan<- replica.BackupPart{},
		tellDisk: s.tellDisk,
	}
	s.door = newFrontDoor(s.serveBare)
	s.grpc = newGRPC(s)
	s.warnIgnored(node)
	return s, nil
}

func newGRPC(s *Server) *grpc.Server {
	g := grpc.NewServer(
		grpc.Creds(s.door),
		grpc.ConnectionTimeout(connectTimeout),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	dlmv1grpc.RegisterLocksServer(g, service{Server: s})
	dlmv1grpc.RegisterAdminServer(g, adminService{Server: s})
	healthpb.RegisterHealthServer(g, s.loop.health)
	setHealth(s.loop.health, false)
	reflection.Register(g)
	return g
}

// observe is told of every applied entry, on the node goroutine. What is applied before the node leads was told before.
func (s *Server) observe(_, stamp uint64, requests []*dlmv1.Request, out core.Output) {
	if s.loop.isReady {
		s.metrics.entry(stamp, requests, out.Events)
		s.story.entry(out.Events)
	}
}

// Metrics is what an operator watches, for a prometheus.Registry.
func (s *Server) Metrics() prometheus.Collector { return s.metrics }

// Ready says whether the server serves: not while it recovers or stops, nor without a leader.
func (s *Server) Ready() bool { return s.loop.leads.Load() }

// stats asks the node; false when it has ended or not begun.
func (s *Server) stats() (replica.Stats, bool) {
	if !s.started.Load() {
		return replica.Stats{}, false
	}
	answer := make(chan replica.Stats, 1)
	if !s.inbox.put(event{kind: eventStats, stats: answer}) {
		return replica.Stats{}, false
	}
	select {
	case st := <-answer:
		return st, true
	case <-s.done:
		return replica.Stats{}, false
	}
}

// warnIgnored says which of the limits that were asked for are not the cluster's.
func (s *Server) warnIgnored(node *replica.Node) {
	asked, have := s.opts.Limits.GetDefaultTtlNanos(), node.Core().Limits().GetDefaultTtlNanos()
	if !s.storage.created && asked != 0 && asked != have {
		s.opts.Logger.Warn("the lock timeout is ignored: the data directory holds a cluster that has its own",
			"ignored", time.Duration(asked).String(), "in_force", time.Duration(have).String(), "dir", s.opts.Dir)
	}
}

// Serve runs until Stop, and returns nil then, or until a fatal error. It may be called once.
func (s *Server) Serve() error {
	if s.opts.Listener == nil {
		return fmt.Errorf("%w: a listener is needed", ErrOptions)
	}
	if !s.started.CompareAndSwap(false, true) {
		select {
		case <-s.stop:
			return nil // Stop was faster
		default:
			return errors.New("grpcserver: Serve was called before")
		}
	}
	defer close(s.done)

	s.running.Go(func() { s.runLogs() })
	s.running.Go(func() { s.runFiles() })
	node := make(chan error, 1)
	go func() { node <- s.loop.run() }()

	select {
	case <-s.loop.ready:
		s.sayServing()
	case <-s.stop:
	case err := <-node:
		return s.fail(err)
	}
	accept := make(chan error, 1)
	go func() { accept <- s.grpc.Serve(s.door.listener(s.opts.Listener)) }()

	select {
	case <-s.stop:
		return s.shutdown(node)
	case err := <-node:
		return s.fail(err)
	case err := <-accept:
		return errors.Join(fmt.Errorf("grpcserver: the listener: %w", err), s.shutdown(node))
	}
}

// sayServing is the line that tells what was found at the start.
func (s *Server) sayServing() {
	r := s.storage.recovered
	took := max(s.opts.Clock()-s.opened, 1)
	s.recovery.Store(int64(took))
	s.opts.Logger.Info("serving",
		"address", s.opts.Listener.Addr().String(),
		"dir", s.opts.Dir,
		"created", s.storage.created,
		"cluster", fmt.Sprintf("%x", r.Identity.ClusterID),
		"member", fmt.Sprintf("%x", r.Identity.MemberID),
		"snapshot_index", r.Snapshot.Index,
		"snapshot_bytes", len(r.Snapshot.Data),
		"entries", r.Report.Entries,
		"segments", r.Report.Segments,
		"torn_bytes", r.Report.TornBytes,
		"clean", s.storage.created || r.Report.Sealed,
		"version", s.opts.Version,
		"took", inWords(took))
	s.storage.recovered = nil // large, and the node has it
}

// Stop ends a running Serve gracefully and waits for it. It may be called more than once, and without a Serve.
func (s *Server) Stop() {
	s.stopOnce.Do(func() {
		close(s.stop)
		if s.started.CompareAndSwap(false, true) {
			s.stopNow()
			if s.opts.Listener != nil {
				s.warnIf(s.opts.Listener.Close(), "closing the listener")
			}
			s.warnIf(s.storage.close(), "closing the data directory")
			close(s.done)
		}
	})
	<-s.done
}

func (s *Server) warnIf(err error, doing string) {
	if err != nil {
		s.opts.Logger.Warn(doing, "error", err)
	}
}

// inWords is a duration for log lines: JSON would show it as a bare number.
func inWords(d time.Duration) string { return d.Round(time.Microsecond).String() }
