package grpcserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/wal"
	"dlm/wal/osfs"
	"dlm/wal/vfs"
)

// ErrOptions is wrapped by whatever Options.Validate finds.
var ErrOptions = errors.New("grpcserver: bad option")

// Options configure a server. The zero value of a field means its default.
type Options struct {
	// Listener is where clients connect. Required for Serve, which closes it.
	Listener net.Listener
	// Dir is the data directory. Required.
	Dir string
	// FS is where Dir lies. Default: the operating system's files.
	FS vfs.FS
	// Lock takes Dir for this process. Default: osfs.Lock if FS is nil, otherwise nothing.
	Lock func(dir string) (unlock func() error, err error)
	// Clock is a monotonic clock since an arbitrary origin. It may stand still while the machine is suspended: that lengthens
	// leases and never shortens one. Default: the runtime's monotonic clock. Timers are the runtime's in any case.
	Clock func() time.Duration
	// Logger gets a line for what an operator wants to know, none for a single request. Default: discarded.
	Logger *slog.Logger
	// Version is shown to clients and operators.
	Version string

	// Limits seed a new cluster; fields that are 0 take their defaults. Ignored, with a warning if they differ, when Dir holds a
	// cluster.
	Limits *dlmv1.Limits

	// SnapshotBytes is how much log is written between two snapshots. Default 64 MiB; at least 4 KiB.
	SnapshotBytes uint64
	// ReserveBytes of free disk space are not for appends: below it, and twice the size of a snapshot, they are refused with
	// REASON_DISK_FULL. Default: two segments; at least one.
	ReserveBytes uint64
	// SegmentBytes is the size of a log segment. Default: package wal's.
	SegmentBytes int64

	// InboxBytes limits the requests that were received and not yet taken in by the node. Default 32 MiB; at least 64 KiB.
	InboxBytes int64
	// OutboxBytes limits what waits to be sent on one stream; above it the stream is ended. Default 16 MiB; at least 64 KiB.
	OutboxBytes int64
	// OutboxesBytes limits what waits to be sent on all streams; above it a stream is ended that uses more than an equal share.
	// Default 512 MiB; at least OutboxBytes.
	OutboxesBytes int64
	// MaxStreams limits the streams that are open together. Default 16384.
	MaxStreams int64
	// MaxCalls limits the unary calls that are under way together. Default 65536.
	MaxCalls int64

	// StopTimeout is how long Stop waits for the disk and for clients. Default 10 s.
	StopTimeout time.Duration
}

// maxFrameBytes is the largest message taken from a client, well above one append. gRPC's limit is a little higher, so that
// what a client measures as its frame may get a header.
const (
	maxFrameBytes   = 4 << 20
	maxMessageBytes = maxFrameBytes + 64<<10
)

// Validate says in plain words what is wrong.
func (o Options) Validate() error {
	o = o.withDefaults()
	if o.Dir == "" {
		return fmt.Errorf("%w: a data directory is needed", ErrOptions)
	}
	if _, err := core.New(core.Config{Limits: o.Limits}); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	for _, c := range []struct {
		what       string
		value, min int64
	}{
		{"bytes between snapshots", int64(min(o.SnapshotBytes, 1<<62)), 4 << 10},
		{"reserved bytes", int64(min(o.ReserveBytes, 1<<62)), o.SegmentBytes},
		{"inbox bytes", o.InboxBytes, 64 << 10},
		{"outbox bytes of a stream", o.OutboxBytes, 64 << 10},
		{"outbox bytes of all streams", o.OutboxesBytes, o.OutboxBytes},
		{"streams", o.MaxStreams, 1},
		{"unary calls", o.MaxCalls, 1},
		{"nanoseconds to stop", int64(o.StopTimeout), 1},
	} {
		if c.value < c.min {
			return fmt.Errorf("%w: %s must be at least %d, got %d", ErrOptions, c.what, c.min, c.value)
		}
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = osfs.New()
		if o.Lock == nil {
			o.Lock = osfs.Lock
		}
	}
	if o.Lock == nil {
		o.Lock = func(string) (func() error, error) { return func() error { return nil }, nil }
	}
	if o.Clock == nil {
		origin := time.Now()
		o.Clock = func() time.Duration { return time.Since(origin) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.SnapshotBytes, 64<<20)
	setDefault(&o.SegmentBytes, wal.DefaultSegmentBytes)
	setDefault(&o.ReserveBytes, uint64(2*o.SegmentBytes))
	setDefault(&o.InboxBytes, 32<<20)
	setDefault(&o.OutboxBytes, 16<<20)
	setDefault(&o.OutboxesBytes, 512<<20)
	setDefault(&o.MaxStreams, 16<<10)
	setDefault(&o.MaxCalls, 64<<10)
	setDefault(&o.StopTimeout, 10*time.Second)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
