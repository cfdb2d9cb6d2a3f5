package grpcserver

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/replica"
)

// nodeLoop is the node goroutine: the one owner of the Node and of the connections' peers.
type nodeLoop struct {
	node   *replica.Node
	clock  func() time.Duration
	inbox  *inbox
	logs   chan *replica.LogTask  // holds one: one is on its way at a time
	files  chan *replica.FileTask // the same
	health *health.Server
	ready  chan struct{} // closed when the node can serve

	peers    map[uint64]peer
	backups  map[uint64]chan<- replica.BackupPart
	serving  bool        // what health says
	leads    atomic.Bool // the same, for others
	isReady  bool
	stopping bool

	disk     replica.DiskLevel // as it was told
	tellDisk func(replica.Disk)
}

// run returns nil once the node was stopped and is idle, or else what was fatal. Every peer is ended by then.
func (l *nodeLoop) run() error {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	var events []event
	for {
		// The order matters: a stamp must not be earlier than the arrival of any request in its entry (G2). Whatever comes after take
		// is for the next round.
		events = l.inbox.take(events)
		now := l.clock()
		for i := range events {
			if err := l.handle(now, &events[i]); err != nil {
				return l.end(err)
			}
		}
		effects := l.node.Flush(now)
		if effects.Err != nil {
			return l.end(effects.Err)
		}
		l.perform(effects)
		l.announce()
		if l.stopping && l.node.Idle() {
			return l.end(nil)
		}
		l.wait(timer)
	}
}

// wait returns when there is something to do.
func (l *nodeLoop) wait(timer *time.Timer) {
	at, ok := l.node.NextTimer()
	if !ok {
		<-l.inbox.wake
		return
	}
	timer.Reset(max(at-l.clock(), 0))
	select {
	case <-l.inbox.wake:
		timer.Stop()
	case <-timer.C:
	}
}

func (l *nodeLoop) handle(now time.Duration, e *event) error {
	switch e.kind {
	case eventStream:
		l.peers[e.conn] = e.peer
		l.node.Connect(now, e.conn)
	case eventCall:
		l.peers[e.conn] = e.peer
		l.node.ConnectUnary(e.conn)
		l.node.Receive(now, e.conn, e.frame)
	case eventFrame:
		if l.peers[e.conn] != nil {
			l.node.Receive(now, e.conn, e.frame)
		}
	case eventDisconnect:
		l.disconnect(e.conn)
	case eventLogDone:
		l.node.LogDone(now, e.log)
	case eventFileDone:
		l.node.FileDone(now, e.file)
	case eventStats:
		e.stats <- l.node.Stats()
	case eventBackup:
		l.backups[e.conn] = e.parts
		l.node.StartBackup(now, e.conn)
	case eventBackupNext:
		l.node.NextBackup(now, e.conn)
	case eventBackupEnd:
		delete(l.backups, e.conn)
		l.node.EndBackup(e.conn)
	case eventStop:
		l.stopping = true
		l.node.Stop()
	case eventAbort:
		return e.err
	}
	return nil
}

func (l *nodeLoop) disconnect(id uint64) {
	if l.peers[id] != nil {
		delete(l.peers, id)
		l.node.Disconnect(id)
	}
}

// perform hands effects out. The disk goes first: it is what everybody waits for.
func (l *nodeLoop) perform(e replica.Effects) {
	if e.Log != nil {
		l.logs <- e.Log
	}
	if e.File != nil {
		l.files <- e.File
	}
	for _, o := range e.Frames {
		if p := l.peers[o.Conn]; p != nil && !p.deliver(o.Frame) {
			l.disconnect(o.Conn)
		}
	}
	for _, p := range e.Backup {
		if parts := l.backups[p.ID]; parts != nil {
			parts <- p // it has room for as many as were asked for
		}
	}
}

// announce tells health whether the node leads, and Serve when it can begin: a lone voter leads before it is idle, a follower is idle
// without leading.
func (l *nodeLoop) announce() {
	if leads := l.node.Leading() && !l.stopping; leads != l.serving {
		l.serving = leads
		l.leads.Store(leads)
		setHealth(l.health, leads)
	}
	if d := l.node.Disk(); d.Level != l.disk {
		l.disk = d.Level
		l.tellDisk(d)
	}
	if !l.isReady && (l.node.Leading() || l.node.Idle()) {
		l.isReady = true
		close(l.ready)
	}
}

func setHealth(h *health.Server, serving bool) {
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if serving {
		st = healthpb.HealthCheckResponse_SERVING
	}
	h.SetServingStatus("", st)
	h.SetServingStatus(dlmv1grpc.Locks_ServiceDesc.ServiceName, st)
}

// end ends every connection: with what was answered sent if all is well, at once after a fatal error.
func (l *nodeLoop) end(err error) error {
	setHealth(l.health, false)
	l.leads.Store(false)
	late := l.inbox.close()
	for _, parts := range l.backups {
		close(parts)
	}
	for _, e := range late {
		if e.parts != nil {
			close(e.parts)
		}
		if e.peer != nil {
			l.peers[e.conn] = e.peer
		}
	}
	for _, p := range l.peers {
		if err == nil {
			p.finish(errStopping)
		} else {
			p.abort(errFailed)
		}
	}
	return err
}

// runLogs is the log goroutine.
func (s *Server) runLogs() {
	for t := range s.loop.logs {
		began := time.Now()
		res := t.Run(s.storage.store)
		s.metrics.syncs.Observe(time.Since(began).Seconds())
		s.inbox.put(event{kind: eventLogDone, log: res})
	}
}

// runFiles is the file goroutine.
func (s *Server) runFiles() {
	for t := range s.loop.files {
		s.inbox.put(event{kind: eventFileDone, file: t.Run(s.storage.store)})
	}
}
