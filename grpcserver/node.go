package grpcserver

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"dlm/api/dlm/v1/dlmv1grpc"
	"dlm/replica"
)

// nodeLoop owns the Node and the connections' peers. What has arrived is taken in turns, one at a time: by the node goroutine, or by
// a stream's reader that has the only request (carry).
type nodeLoop struct {
	clock  func() time.Duration
	inbox  *inbox
	logs   chan *replica.LogTask  // holds one: one is on its way at a time
	files  chan *replica.FileTask // the same
	health *health.Server
	ready  chan struct{} // closed when the node can serve
	leads  atomic.Bool   // what health says, for others

	mu       sync.Mutex // a turn is on its way; guards all below
	node     *replica.Node
	events   []event // what the last turn took, for its room
	peers    map[uint64]peer
	backups  map[uint64]chan<- replica.BackupPart
	serving  bool // what health says
	isReady  bool
	stopping bool
	ended    bool  // there are no more turns
	fatal    error // ends the node goroutine
	timer    *time.Timer
	timed    bool          // timer is set
	timerAt  time.Duration // for when, at the latest

	disk     replica.DiskLevel // as it was told
	tellDisk func(replica.Disk)
}

// run is the node goroutine. It returns nil once the node was stopped and is idle, or else what was fatal. Every peer is ended by then.
func (l *nodeLoop) run() error {
	l.timer = time.NewTimer(time.Hour)
	l.timer.Stop()
	defer l.timer.Stop()
	for {
		if ended, err := l.ownTurn(); ended {
			return err
		}
		select {
		case <-l.inbox.wake:
		case <-l.timer.C:
			l.mu.Lock()
			l.timed = false
			l.mu.Unlock()
		}
	}
}

// ownTurn is a turn of the node goroutine. It says whether that was the last one, and why.
func (l *nodeLoop) ownTurn() (ended bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(nil, false)
	if l.fatal != nil || l.stopping && l.node.Idle() {
		return true, l.end(l.fatal)
	}
	return false, nil
}

// turn lets the node take what has arrived, and last an event of the caller's own if there is one, and carries out what follows. The
// caller has mu. If it would do the log's task itself and nothing else has arrived, it gets it.
func (l *nodeLoop) turn(own *event, carry bool) (toCarry *replica.LogTask) {
	if l.fatal != nil {
		return nil
	}
	// The order matters: a stamp must not be earlier than the arrival of any request in its entry (G2). Whatever comes after take
	// is for the next turn.
	l.events = l.inbox.take(l.events)
	now := l.clock()
	for i := range l.events {
		l.handle(now, &l.events[i])
	}
	if own != nil {
		l.handle(now, own)
	}
	if l.fatal != nil {
		return nil
	}
	effects := l.node.Flush(now)
	if effects.Err != nil {
		l.fatal = effects.Err
		return nil
	}
	// The disk goes first: it is what everybody waits for.
	if carry && len(l.events) == 0 {
		toCarry = effects.Log
	} else if effects.Log != nil {
		l.logs <- effects.Log
	}
	l.perform(effects)
	l.announce()
	l.setTimer()
	return toCarry
}

// setTimer sees to it that the node goroutine has a turn when the node wants one. A timer that is set for earlier stays so: most
// deadlines move on before they come, and a turn too many does nothing.
func (l *nodeLoop) setTimer() {
	if at, ok := l.node.NextTimer(); ok && (!l.timed || at < l.timerAt) {
		l.timed, l.timerAt = true, at
		l.timer.Reset(max(at-l.clock(), 0))
	}
}

func (l *nodeLoop) handle(now time.Duration, e *event) {
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
		l.fatal = e.err
	}
}

func (l *nodeLoop) disconnect(id uint64) {
	if l.peers[id] != nil {
		delete(l.peers, id)
		l.node.Disconnect(id)
	}
}

// perform hands effects out, but for the task for the log.
func (l *nodeLoop) perform(e replica.Effects) {
	if e.File != nil {
		l.files <- e.File
	}
	for _, o := range e.Frames {
		if p := l.peers[o.Conn]; p != nil && !p.deliver(o.Frame, int64(o.Bytes)) {
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
	l.ended = true
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
		s.inbox.put(event{kind: eventLogDone, log: s.runLog(t)})
	}
}

func (s *Server) runLog(t *replica.LogTask) replica.LogResult {
	began := time.Now()
	res := t.Run(s.storage.store)
	took := time.Since(began)
	s.lastSync.Store(int64(took))
	s.metrics.syncs.Observe(took.Seconds())
	return res
}

// runFiles is the file goroutine.
func (s *Server) runFiles() {
	for t := range s.loop.files {
		s.inbox.put(event{kind: eventFileDone, file: t.Run(s.storage.store)})
	}
}
