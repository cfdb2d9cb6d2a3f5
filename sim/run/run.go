package run

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"dlm/netsim"
	"dlm/sim"
	"dlm/sim/linear"
)

// Result is what came of one run.
type Result struct {
	Seed uint64
	// Failure is the first broken promise, nil if there was none.
	Failure *sim.Failure `json:",omitempty"`
	// Hash covers every event of the run.
	Hash uint64
	// Counts are how often what happened, Checks how often which promise was checked.
	Counts, Checks map[string]int
	// Virtual is how much time passed in the simulation, Steps how many events it was.
	Virtual time.Duration
	Steps   uint64
	// Struck are the messages that the network's faults hit. They stay in this process.
	Struck []netsim.Hit `json:"-"`
}

// Panic is the number of a failure that is a panic.
const Panic = "panic"

var turn sync.Mutex // one simulation at a time in a process

// Run runs a plan to its end or to its first failure. rec may be nil; otherwise it gets what happens.
func Run(p sim.Plan, rec *sim.Recorder) Result {
	turn.Lock()
	defer turn.Unlock()
	w, err := build(p, rec)
	if err == nil {
		before := rand.Reader
		rand.Reader = w.Entropy()
		err = guard(w, w.Run)
		rand.Reader = before
	}
	r := Result{Seed: p.Seed}
	if w != nil {
		r.Hash, r.Counts, r.Checks, r.Virtual, r.Steps = w.Hash(), w.Counts(), w.Checks(), w.Now(), w.Steps()
		r.Struck = w.Struck()
	}
	if err == nil {
		err = judge(w, &r)
	}
	if err != nil && !errors.As(err, &r.Failure) {
		r.Failure = &sim.Failure{Number: "sim", Text: err.Error(), At: r.Virtual}
	}
	if rec != nil && r.Failure != nil {
		rec.Fail(r.Failure)
	}
	return r
}

// judge checks what the clients saw for linearizability, which the world cannot do itself: porcupine has goroutines.
func judge(w *sim.World, r *Result) error {
	v := linear.Check(w.History(), 0)
	r.Checks["G6 history"] += v.Ops
	if v.Wrong != "" {
		return &sim.Failure{Number: "G6", Text: v.Wrong, At: r.Virtual}
	}
	return nil
}

// build makes the world; a plan that was changed by hand or by a minimiser may be one that the world cannot be made of.
func build(p sim.Plan, rec *sim.Recorder) (w *sim.World, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	err = guard(nil, func() error { w = sim.New(p, rec); return nil })
	return w, err
}

// guard turns a panic into a failure.
func guard(w *sim.World, run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f := &sim.Failure{Number: Panic, Text: fmt.Sprintf("%v\n%s", r, stack())}
			if w != nil {
				f.At = w.Now()
			}
			err = f
		}
	}()
	return run()
}

// stack lists the frames of this module below a panic, innermost first, without addresses: it is the same in every process.
func stack() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		if name, ours := strings.CutPrefix(f.Function, "dlm/"); ours && !strings.HasPrefix(name, "sim/run.") {
			file := f.File[strings.LastIndexByte(f.File, '/')+1:]
			fmt.Fprintf(&b, "\tat %s (%s:%d)\n", name, file, f.Line)
		}
		if !more {
			return strings.TrimSuffix(b.String(), "\n")
		}
	}
}

// Same says whether two failures are one: the same promise, and the same place for a panic. A minimised plan that fails in
// another way is another finding.
func Same(a, b *sim.Failure) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Number == b.Number && (a.Number != Panic || place(a) == place(b))
}

// place is the innermost frame of a panic.
func place(f *sim.Failure) string {
	_, at, _ := strings.Cut(f.Text, "\tat ")
	at, _, _ = strings.Cut(at, "\n")
	return at
}
