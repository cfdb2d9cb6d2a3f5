// Command server runs one member of the lock manager, with its storage in a local directory.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"dlm/cmd/internal/human"
	"dlm/grpcserver"
)

// version is set by the linker.
var version = "dev"

// Exit codes.
const (
	exitFailed = 1 // it could not start, or had to stop
	exitUsage  = 2 // a flag or a DLM_SERVER_ variable is wrong; nothing was touched
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	// After the first signal the second one kills, as is usual.
	context.AfterFunc(ctx, cancel)
	os.Exit(run(ctx, os.Args[1:], newEnvironment(os.Environ()), os.Stdout, os.Stderr))
}

// errUsage marks errors of whoever typed the command line.
var errUsage = errors.New("usage")

// run is main with everything that it touches passed in.
func run(ctx context.Context, args []string, env environment, stdout, stderr io.Writer) int {
	cmd := newCommand(env)
	cmd.SetArgs(append([]string{}, args...)) // of nil it would make those of the process
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		text := strings.TrimPrefix(err.Error(), errUsage.Error()+": ")
		fmt.Fprintf(stderr, "server: %s\nRun 'server --help' for the flags.\n", human.Plain(text))
		return exitUsage
	default:
		fmt.Fprintf(stderr, "server: %s\n", human.Plain(err.Error()))
		return exitFailed
	}
}

// serve runs until the context ends.
func serve(ctx context.Context, o grpcserver.Options, listenOn, adminOn string, logger *slog.Logger) error {
	o.Logger = logger
	listener, err := listen(ctx, "--listen", listenOn)
	if err != nil {
		return err
	}
	o.Listener = listener
	var pages grpcserver.Admin
	if adminOn != "" {
		// Before the recovery, which may take a while: somebody may want to see that it runs.
		l, err := listen(ctx, "--admin", adminOn)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		logger.Info("serving metrics, health and profiles", "address", l.Addr().String())
		defer pages.Serve(l, logger)()
	}
	defer runtime.KeepAlive(heapFloor())
	// Nearly everything that a start allocates stays: collecting in the midst of it only delays it.
	collect := debug.SetGCPercent(-1)
	s, err := grpcserver.Open(o)
	debug.SetGCPercent(collect)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	pages.Show(s)
	defer context.AfterFunc(ctx, s.Stop)()
	return s.Serve()
}

// heapFloor has the collector wait until at least so much garbage has gathered, however little is alive. With few locks it would run
// every 4 MB, some 20 times a second under load, which is a tenth of the server's work. Nothing touches these bytes, so the system gives
// no memory for them.
func heapFloor() []byte { return make([]byte, 12<<20) }

func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen on %s: something else listens there already; choose another address with %s", address, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("cannot listen on %s: not allowed; ports below 1024 are for root", address)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return listener, nil
}
