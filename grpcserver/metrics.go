package grpcserver

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica"
)

// metrics are what an operator watches. Histograms and counters are kept as things happen; gauges are read from the node
// when somebody asks. Durations of holds and waits are in cluster time, which stands still while nobody leads.
type metrics struct {
	server *Server

	grants   *prometheus.CounterVec // by mode
	losses   *prometheus.CounterVec // by reason
	gaveUp   *prometheus.CounterVec // by reason
	sessions *prometheus.CounterVec // ended, by reason
	holds    prometheus.Histogram
	waits    prometheus.Histogram
	batches  prometheus.Histogram
	syncs    prometheus.Histogram

	// The counters of the modes, so that a grant looks up no label.
	exclusive, shared prometheus.Counter

	gauges []gauge
}

// gauge is read from what the node says of itself.
type gauge struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(replica.Stats) float64
}

func newMetrics(s *Server) *metrics {
	seconds := prometheus.ExponentialBuckets(0.001, 4, 12) // 1 ms to 70 min
	m := &metrics{
		server:   s,
		grants:   counters("dlm_grants_total", "Locks granted, by mode.", "mode"),
		losses:   counters("dlm_holds_lost_total", "Holds that ended without their holder's release, by reason.", "reason"),
		gaveUp:   counters("dlm_waits_ended_total", "Acquires that left their queue without a grant, by reason.", "reason"),
		sessions: counters("dlm_sessions_ended_total", "Sessions that ended, by reason.", "reason"),
		holds:    histogram("dlm_hold_seconds", "How long locks were held.", seconds),
		waits:    histogram("dlm_wait_seconds", "How long granted acquires had waited in their lock's queue; those that did not wait are not counted.", seconds),
		batches:  histogram("dlm_batch_requests", "Requests in one log entry, which costs one sync.", prometheus.ExponentialBuckets(1, 4, 8)),
		syncs:    histogram("dlm_log_write_seconds", "Time to write and sync one entry of the log.", prometheus.ExponentialBuckets(0.00005, 2, 16)),
	}
	m.exclusive, m.shared = m.grants.WithLabelValues("exclusive"), m.grants.WithLabelValues("shared")
	// What is rare is there from the start, at 0: an alert can then tell "never" from "not measured".
	for _, r := range []dlmv1.Reason{dlmv1.Reason_REASON_SESSION_EXPIRED, dlmv1.Reason_REASON_SESSION_REVOKED} {
		m.losses.WithLabelValues(inLabel(r))
		m.sessions.WithLabelValues(inLabel(r))
	}
	for _, r := range []dlmv1.Reason{dlmv1.Reason_REASON_LOCK_REVOKED, dlmv1.Reason_REASON_HOLD_LIMIT} {
		m.losses.WithLabelValues(inLabel(r))
	}
	m.addGauges()
	return m
}

func counters(name, help, label string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

func (m *metrics) addGauges() {
	add := func(name, help string, kind prometheus.ValueType, of func(replica.Stats) float64) {
		m.gauges = append(m.gauges, gauge{prometheus.NewDesc(name, help, nil, nil), kind, of})
	}
	table := func(name, help string, of func(*dlmv1.Status) uint64) {
		add(name, help, prometheus.GaugeValue, func(s replica.Stats) float64 { return float64(of(s.Table)) })
	}
	table("dlm_sessions", "Open sessions.", (*dlmv1.Status).GetSessions)
	table("dlm_locks", "Locks that are held, waited for or in lock-delay.", (*dlmv1.Status).GetLocks)
	table("dlm_waiters", "Acquires that wait in the queues of locks.", (*dlmv1.Status).GetWaiters)
	table("dlm_files", "Files.", (*dlmv1.Status).GetFiles)
	table("dlm_last_token", "The fencing token granted last.", (*dlmv1.Status).GetLastToken)
	add("dlm_leading", "1 while this server serves as the leader.", prometheus.GaugeValue, func(s replica.Stats) float64 {
		if s.Leading {
			return 1
		}
		return 0
	})
	add("dlm_connections", "Open streams, and unary calls under way.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return float64(s.Connections) })
	add("dlm_pending_requests", "Requests and reads that are being dealt with, places in queues of locks aside.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return float64(s.Pending) })
	add("dlm_unwritten_file_bytes", "Appended bytes that are in the log and not yet in their files.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return float64(s.UnwrittenBytes) })
	add("dlm_disk_free_bytes", "Free bytes on the data directory's file system when it was last looked at.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return float64(s.Disk.Free) })
	add("dlm_disk_level", "0 enough room; 1 appends are refused; 2 new sessions and acquires too; 3 everything.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return float64(s.Disk.Level) })
	add("dlm_log_index", "Position of the log that is applied.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return float64(s.Applied) })
	add("dlm_snapshot_index", "Position of the log that the last snapshot covers.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return float64(s.SnapshotIndex) })
	add("dlm_snapshots_total", "Snapshots saved since the start.", prometheus.CounterValue,
		func(s replica.Stats) float64 { return float64(s.Snapshots) })
	add("dlm_snapshot_seconds", "How long the last snapshot took to become durable.", prometheus.GaugeValue,
		func(s replica.Stats) float64 { return s.SnapshotTook.Seconds() })
}

var (
	descAnswers  = prometheus.NewDesc("dlm_answers_total", "Answers given to requests and reads, duplicates too, by reason: ok, or why refused.", []string{"reason"}, nil)
	descRecovery = prometheus.NewDesc("dlm_recovery_seconds", "From the start of the process's recovery until it served.", nil, nil)
	descBuild    = prometheus.NewDesc("dlm_build_info", "Always 1; the version is in the label.", []string{"version"}, nil)
)

func (m *metrics) kept() []prometheus.Collector {
	return []prometheus.Collector{m.grants, m.losses, m.gaveUp, m.sessions, m.holds, m.waits, m.batches, m.syncs}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.kept() {
		c.Describe(out)
	}
	for _, g := range m.gauges {
		out <- g.desc
	}
	out <- descAnswers
	out <- descRecovery
	out <- descBuild
}

// Collect implements prometheus.Collector. It waits for the node goroutine; once that has ended only what was kept is left.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.kept() {
		c.Collect(out)
	}
	out <- prometheus.MustNewConstMetric(descBuild, prometheus.GaugeValue, 1, m.server.opts.Version)
	if took := m.server.recovery.Load(); took > 0 {
		out <- prometheus.MustNewConstMetric(descRecovery, prometheus.GaugeValue, time.Duration(took).Seconds())
	}
	s, ok := m.server.stats()
	if !ok {
		return
	}
	for _, g := range m.gauges {
		out <- prometheus.MustNewConstMetric(g.desc, g.kind, g.of(s))
	}
	for reason, n := range s.Answers {
		if _, known := dlmv1.Reason_name[int32(reason)]; known {
			out <- prometheus.MustNewConstMetric(descAnswers, prometheus.CounterValue, float64(n), inLabel(dlmv1.Reason(reason)))
		}
	}
}

// entry takes in what a log entry brought about.
func (m *metrics) entry(stamp uint64, requests []*dlmv1.Request, events []core.Event) {
	m.batches.Observe(float64(len(requests)))
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case core.EventGranted:
			if e.Shared {
				m.shared.Inc()
			} else {
				m.exclusive.Inc()
			}
			if e.Queued {
				m.waits.Observe(between(e.Since, stamp))
			}
		case core.EventReleased:
			m.holds.Observe(between(e.Since, stamp))
		case core.EventLost:
			m.holds.Observe(between(e.Since, stamp))
			m.losses.WithLabelValues(inLabel(e.Reason)).Inc()
		case core.EventGaveUp:
			m.gaveUp.WithLabelValues(inLabel(e.Reason)).Inc()
		case core.EventEnded:
			m.sessions.WithLabelValues(inLabel(e.Reason)).Inc()
		}
	}
}

// between is the time between two stamps in seconds.
func between(from, to uint64) float64 {
	if to < from {
		return 0
	}
	return time.Duration(to - from).Seconds()
}

// inLabel is a reason as a label and in log lines: session_expired.
func inLabel(r dlmv1.Reason) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "REASON_"))
}
