package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/cmd/internal/human"
)

// Exit codes of dlm itself, beside those of the command that `dlm lock` runs. Numbers are never reused.
const (
	exitFailed      = 1   // anything else
	exitUsage       = 2   // flags or arguments
	exitLost        = 70  // the lock was lost, or the token is not the current hold
	exitNotAcquired = 71  // the lock was not free, or not within --wait
	exitUnreachable = 72  // no server answered
	exitAbsent      = 73  // no such lock, session or file
	exitDamaged     = 74  // stored bytes are damaged
	exitLimit       = 75  // a limit of the cluster is reached
	exitCannotRun   = 126 // the command was found but could not be executed
	exitNotFound    = 127 // the command was not found
	exitSignal      = 128 // + the number of the signal that ended the command, or dlm
)

const exitCodeHelp = `Exit codes
    0  done                            72  no server answered
    1  another error                   73  no such lock, session or file
    2  wrong usage                     74  stored bytes are damaged
   70  the lock was lost, or the       75  a limit of the cluster is reached
       token is not the current hold  126  (lock) the command cannot be executed
   71  lock not acquired              127  (lock) the command was not found
       (--try, --wait)              128+N  ended by signal N`

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

// codeOf is the exit code for an error.
func codeOf(err error) int {
	var exit *exitError
	sig := (*signalCause)(nil)
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &sig):
		return exitSignal + int(sig.sig)
	case errors.Is(err, client.ErrNotAcquired), errors.Is(err, client.ErrWaitTimeout):
		return exitNotAcquired
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	case errors.Is(err, client.ErrInvalid):
		return exitUsage
	case errors.Is(err, client.ErrLost):
		return exitLost
	case errors.Is(err, client.ErrNotFound):
		return exitAbsent
	case errors.Is(err, client.ErrDamaged):
		return exitDamaged
	case errors.Is(err, client.ErrLimit):
		return exitLimit
	}
	return exitFailed
}

// report is what is printed of an error: what happened, and what to do next.
func (g *globals) report(err error, code int) string {
	if sig := (*signalCause)(nil); errors.As(err, &sig) {
		return "dlm: " + sig.Error()
	}
	if code == exitUnreachable {
		return g.unreachable(err)
	}
	text := "dlm: " + say(err)
	if hint := hintFor(err, code); hint != "" {
		text += "\n" + hint
	}
	return text
}

// say is an error in plain words.
func say(err error) string {
	text := err.Error()
	if refused := (*client.Error)(nil); errors.As(err, &refused) {
		text = strings.Replace(text, refused.Error(), wording(refused), 1)
	}
	return human.Plain(text)
}

// wording is a server's refusal without what its reason and its details say twice.
func wording(e *client.Error) string {
	switch e.Reason {
	case dlmv1.Reason_REASON_NOT_ACQUIRED:
		return "the lock is not free"
	case dlmv1.Reason_REASON_WAIT_TIMEOUT:
		return "the wait timeout passed"
	case dlmv1.Reason_REASON_LOCK_REVOKED:
		return "an operator revoked it" + because(strings.TrimPrefix(e.Detail, "the lock was revoked: "))
	case dlmv1.Reason_REASON_SESSION_REVOKED:
		return "an operator revoked the session" + because(e.Detail)
	case dlmv1.Reason_REASON_SESSION_EXPIRED:
		return "the session expired"
	case dlmv1.Reason_REASON_SESSION_CLOSED:
		return "the session was closed"
	case dlmv1.Reason_REASON_INSTANCE_FENCED:
		return "another process has taken over the session"
	case dlmv1.Reason_REASON_HOLD_LIMIT:
		return "its hold limit passed"
	}
	if e.Detail != "" {
		return e.Detail
	}
	return e.Error()
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + human.Printable(why)
}

// hintFor is what to do next, if there is something to say about it.
func hintFor(err error, code int) string {
	refused := (*client.Error)(nil)
	switch {
	case errors.Is(err, client.ErrInvalid) && errors.As(err, &refused):
		return "'dlm limits' shows what is allowed."
	case errors.Is(err, client.ErrWrongLock):
		return "A file belongs to the lock of its first append: 'dlm files' shows it."
	case errors.Is(err, client.ErrNotExclusive):
		return "Files are changed under an exclusive hold: acquire the lock without --shared."
	case errors.Is(err, client.ErrFenced):
		return "Let the commands of one session run one after the other."
	case code == exitLimit:
		return "'dlm limits' shows the limits, 'dlm limits set' changes them."
	case code == exitNotAcquired:
		return "It waits for its turn without --try and with a longer --wait; 'dlm locks' shows who else does."
	case errors.Is(err, client.ErrNotFound):
		return "'dlm locks', 'dlm sessions' and 'dlm files' show what there is."
	case errors.Is(err, client.ErrDamaged):
		return "'dlm debug wal' reads a data directory and says what can be done; a backup can be restored."
	case errors.Is(err, client.ErrDiskFull):
		return "Make room on the server's disk. 'dlm rm' helps too: a file's bytes go with the next snapshot."
	case errors.As(err, &refused) && refused.Reason == dlmv1.Reason_REASON_LOCK_REVOKED:
		return "Stop what is done under the lock, then 'dlm release': the next holder waits for that."
	case errors.Is(err, client.ErrLost):
		return "Stop what is done under the lock. To go on, acquire it anew."
	}
	return ""
}

// dialing is how gRPC says that it got no connection.
var dialing = regexp.MustCompile(`dial (?:tcp|unix) \S+ (.*?)"?\)?$`)

// unreachable leaves out of gRPC's story what only its authors can read.
func (g *globals) unreachable(err error) string {
	text := say(err)
	if i := strings.LastIndex(text, "rpc error: "); i >= 0 {
		if _, desc, ok := strings.Cut(text[i:], "desc = "); ok {
			text = strings.TrimRight(desc, ")")
		}
	}
	if m := dialing.FindStringSubmatch(text); m != nil {
		text = strings.TrimPrefix(m[1], "connect: ")
	}
	return fmt.Sprintf("dlm: no answer from %s: %s\nIs the server running? --server or DLM_SERVER says where, --connect-timeout how long to try.", g.server, text)
}
