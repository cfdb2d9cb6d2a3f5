// Command server is the lock manager's server on a file system that forgets what was not synced when the process is killed.
// Only the crash test runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dlm/grpcserver"
	"dlm/internal/powerfs"
	"dlm/wal/osfs"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// lieAfter is how long the server runs honestly, so that it comes up at all.
const lieAfter = 30 * time.Millisecond

func run() error {
	data := flag.String("data", "", "data directory; what is not durable yet lies beside it")
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on")
	lie := flag.String("lie", "", `a broken disk: syncs do nothing ("never") or are done after the answer ("late")`)
	_ = flag.String("log-format", "json", "json only")
	flag.Parse()

	fsys, err := powerfs.New(*data + "-limbo")
	if err != nil {
		return err
	}
	switch *lie {
	case "":
	case "never":
		time.AfterFunc(lieAfter, func() { fsys.Lie(powerfs.Never) })
	case "late":
		time.AfterFunc(lieAfter, func() { fsys.Lie(powerfs.Late) })
	default:
		return fmt.Errorf("--lie must be never or late, not %q", *lie)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	// Small files, so that each round sees new segments and snapshots.
	s, err := grpcserver.Open(grpcserver.Options{
		Listener: l, Dir: *data, FS: fsys, Lock: osfs.Lock, Version: "crashtest",
		SegmentBytes: 64 << 10, SnapshotBytes: 96 << 10,
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, s.Stop)
	return s.Serve()
}
