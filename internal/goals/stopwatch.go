package goals

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"dlm/internal/rig"
)

// stopwatch sees how late this machine is: how much later than asked for a goroutine wakes up. What must not happen late is
// allowed that much more, because neither server nor client can be on time when nobody is.
type stopwatch struct {
	mu    sync.Mutex
	worst time.Duration
	stop  chan struct{}
	one   sync.WaitGroup
}

const stopwatchTick = 5 * time.Millisecond

func startStopwatch() *stopwatch {
	w := &stopwatch{stop: make(chan struct{})}
	w.one.Go(w.run)
	return w
}

func (w *stopwatch) run() {
	for {
		began := time.Now()
		select {
		case <-w.stop:
			return
		case <-time.After(stopwatchTick):
		}
		late := time.Since(began) - stopwatchTick
		w.mu.Lock()
		w.worst = max(w.worst, late)
		w.mu.Unlock()
	}
}

// lateness is the most that was seen.
func (w *stopwatch) lateness() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worst
}

func (w *stopwatch) close() {
	close(w.stop)
	w.one.Wait()
}

// lateError is a failure that a machine which stood still for long enough explains.
type lateError struct {
	err    error
	excuse time.Duration
}

func (e *lateError) Error() string { return e.err.Error() }
func (e *lateError) Unwrap() error { return e.err }

// ifLate lets the failure count only if this machine was never later than excuse.
func ifLate(excuse time.Duration, err error) error { return &lateError{err, excuse} }

const awakeTries = 3

// whileAwake runs once, and again when it fails by a lateError that the machine's lateness explains. No promise speaks of a
// process that does not run: a library that may not run cannot renew.
func whileAwake(s *rig.Scenario, once func(w *stopwatch) error) error {
	for range awakeTries {
		w := startStopwatch()
		err := once(w)
		w.close()
		var late *lateError
		if !errors.As(err, &late) || w.lateness() < late.excuse {
			return err
		}
		s.See("%v; but this machine stood still for %v: once more", err, roundMS(w.lateness()))
	}
	return fmt.Errorf("this machine stands still again and again: too loaded to tell")
}
