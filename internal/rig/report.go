package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrNothingInjected says that a scenario proves nothing, because it broke nothing.
var ErrNothingInjected = errors.New("nothing was injected, so nothing was shown")

// Report prints what a program does, for a reader. Its methods may be called by one goroutine at a time.
type Report struct {
	w     io.Writer
	began time.Time
	count int
	err   error // the first failure
}

// NewReport begins a report with a line about what follows.
func NewReport(w io.Writer, title string) *Report {
	fmt.Fprintln(w, title)
	return &Report{w: w, began: time.Now()}
}

// Scenario is one thing that is shown: what is injected, and what is seen.
type Scenario struct {
	name  string
	run   func(ctx context.Context, s *Scenario) error
	check bool

	mu       sync.Mutex
	lines    bytes.Buffer
	injected int
	took     time.Duration
	err      error
}

// NewScenario names what run shows.
func NewScenario(name string, run func(ctx context.Context, s *Scenario) error) *Scenario {
	return &Scenario{name: name, run: run}
}

// NewCheck is a scenario in which nothing is to be injected.
func NewCheck(name string, run func(ctx context.Context, s *Scenario) error) *Scenario {
	return &Scenario{name: name, run: run, check: true}
}

// Inject counts n injections, and says what they were.
func (s *Scenario) Inject(n int, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected += n
	fmt.Fprintf(&s.lines, "   injects: "+format+"\n", args...)
}

// See says what came of it.
func (s *Scenario) See(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.lines, "   sees:    "+format+"\n", args...)
}

func (s *Scenario) execute(ctx context.Context) {
	began := time.Now()
	s.err = s.run(ctx, s)
	if s.err == nil && s.injected == 0 && !s.check {
		s.err = ErrNothingInjected
	}
	s.took = time.Since(began)
}

// Run runs scenarios one after the other, and stops at the first that fails, unless it only injected nothing.
func (r *Report) Run(ctx context.Context, scenarios ...*Scenario) {
	for _, s := range scenarios {
		if r.err != nil && !errors.Is(r.err, ErrNothingInjected) {
			return
		}
		s.execute(ctx)
		r.tell(s)
	}
}

// Together runs scenarios at the same time: most of what they do is waiting. They are told in order.
func (r *Report) Together(ctx context.Context, scenarios ...*Scenario) {
	if r.err != nil {
		return
	}
	done := make([]chan struct{}, len(scenarios))
	for i, s := range scenarios {
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			s.execute(ctx)
		}()
	}
	for i, s := range scenarios {
		<-done[i]
		r.tell(s)
	}
}

func (r *Report) tell(s *Scenario) {
	r.count++
	fmt.Fprintf(r.w, "%d. %s\n%s", r.count, s.name, s.lines.String())
	if s.err == nil {
		fmt.Fprintf(r.w, "   ok       %.1f s\n", s.took.Seconds())
		return
	}
	fmt.Fprintf(r.w, "   failed:  %v\n", s.err)
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", s.name, s.err)
	}
}

// End prints the verdict, PASS or FAIL and why, as the last line, and returns it.
func (r *Report) End() error {
	if r.err == nil && r.count == 0 {
		r.err = errors.New("no scenario ran")
	}
	fmt.Fprintf(r.w, "%d scenarios in %.1f s\n", r.count, time.Since(r.began).Seconds())
	if r.err != nil {
		fmt.Fprintf(r.w, "FAIL: %v\n", r.err)
		return r.err
	}
	fmt.Fprintln(r.w, "PASS")
	return nil
}

// Fail makes the verdict FAIL for a reason outside of all scenarios.
func (r *Report) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
