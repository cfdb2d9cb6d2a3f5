// Command dlm runs commands under locks of the lock manager, and looks at it. `dlm help` says more.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"dlm/client"
)

// version is set by the linker.
var version = "unknown"

// Exit codes of dlm itself, beside those of the command that `dlm lock` runs. Numbers are never reused.
const (
	exitFailed      = 1   // anything else
	exitUsage       = 2   // flags or arguments
	exitLost        = 70  // the lock was lost while the command ran
	exitNotAcquired = 71  // the lock was not free, or not within --wait
	exitUnreachable = 72  // no server answered
	exitCannotRun   = 126 // the command was found but could not be executed
	exitNotFound    = 127 // the command was not found
	exitSignal      = 128 // + the number of the signal that ended the command
)

const exitCodeHelp = `Exit codes: the command's own (128+N if signal N killed it), or
   1  another error                  71  lock not acquired (--try, --wait)
   2  wrong usage                    72  no server answered
  70  lock lost; the command was     126 command cannot be executed
      ended                          127 command not found`

// exitError ends dlm with a code; err may be nil (nothing is printed then).
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

// usagef is a wrong argument that only the verb itself could see.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// globals are the flags that all verbs have.
type globals struct {
	server  string
	connect time.Duration
	verbose bool
	// ran: flags and arguments were in order. What cobra says before that is about usage.
	ran bool
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 1 && args[0] == guardianVerb {
		return guardianMain()
	}
	g := &globals{}
	root := newRoot(g)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	code := exitFailed
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		code, err = exit.code, exit.err
	case !g.ran:
		code = exitUsage
	default:
		code = codeOf(err)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "dlm: %v\n", err)
	}
	if code == exitUsage {
		fmt.Fprintln(os.Stderr, "Try 'dlm help'.")
	}
	return code
}

// codeOf is the exit code for an error of the library.
func codeOf(err error) int {
	switch {
	case errors.Is(err, client.ErrNotAcquired), errors.Is(err, client.ErrWaitTimeout):
		return exitNotAcquired
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	case errors.Is(err, client.ErrInvalid):
		return exitUsage
	case errors.Is(err, client.ErrLost):
		return exitLost
	}
	return exitFailed
}

func newRoot(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "dlm",
		Short: "Run commands under distributed locks",
		Long: `dlm runs commands under locks of the lock manager, and looks at it.

The server is --server, else $DLM_SERVER, else 127.0.0.1:50051; several with commas between.

` + exitCodeHelp,
		Example: `  dlm lock nightly-report -- ./report.sh
  dlm locks
  dlm status -o json`,
		Version:          version,
		SilenceErrors:    true,
		SilenceUsage:     true,
		PersistentPreRun: func(*cobra.Command, []string) { g.ran = true },
	}
	server := os.Getenv("DLM_SERVER")
	if server == "" {
		server = "127.0.0.1:50051"
	}
	root.PersistentFlags().StringVar(&g.server, "server", server, "address of a server, or several with commas between ($DLM_SERVER)")
	root.PersistentFlags().DurationVar(&g.connect, "connect-timeout", 5*time.Second, "how long to wait for a server that answers")
	root.PersistentFlags().BoolVarP(&g.verbose, "verbose", "v", false, "tell about connections and keep-alives on standard error")
	root.AddCommand(newLock(g), newAppend(g), newCat(g), newLocks(g), newStatus(g), newBench(g))
	return root
}
