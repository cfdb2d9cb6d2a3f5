package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"dlm/sim/explain"
)

// progress shows how far a soak is: on a terminal in one line that is written over, otherwise in a line now and then.
type progress struct {
	out      io.Writer
	s        *state
	terminal bool
	shown    time.Time
}

func newProgress(out io.Writer, s *state) *progress {
	p := &progress{out: out, s: s, shown: time.Now()}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			p.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return p
}

const clearLine = "\r\x1b[K"

func (p *progress) show() {
	every := 30 * time.Second
	if p.terminal {
		every = 500 * time.Millisecond
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	text := p.text()
	if p.terminal {
		fmt.Fprint(p.out, clearLine+text)
	} else {
		fmt.Fprintln(p.out, text)
	}
}

func (p *progress) text() string {
	s, rate := p.s, p.s.rate()
	left := time.Duration(float64(s.Seeds.Len()-s.Totals.Runs) / max(rate, 1e-3) * float64(time.Second))
	return fmt.Sprintf("soak: %d of %d seeds (%.1f%%), %d failed, %.0f seeds/s, %.1f simulated hours, ends in about %s (%s)",
		s.Totals.Runs, s.Seeds.Len(), 100*float64(s.Totals.Runs)/float64(s.Seeds.Len()), s.Totals.Failed, rate,
		s.Totals.Virtual.Hours(), left.Round(time.Second), time.Now().Add(left).Format("15:04"))
}

// line prints something that stays.
func (p *progress) line(format string, args ...any) {
	if p.terminal {
		fmt.Fprint(p.out, clearLine)
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.out, clearLine)
	}
}

// summary prints what a soak did.
func summary(out io.Writer, s *state) {
	t := &s.Totals
	took := s.elapsed()
	fmt.Fprintf(out, "soak: seeds %v: %d runs, %d failed\n", s.Seeds, t.Runs, t.Failed)
	fmt.Fprintf(out, "  %.1f simulated hours, %d events, in %s", t.Virtual.Hours(), t.Steps, took.Round(time.Second))
	if s.Stops > 0 {
		fmt.Fprintf(out, " and %d sittings", s.Stops+1)
	}
	fmt.Fprintf(out, ": %.0f seeds/s, %.0f events/s\n", float64(t.Runs)/took.Seconds(), float64(t.Steps)/took.Seconds())
	fmt.Fprint(out, t.Tables())
	if missing := t.Unchecked(); len(missing) > 0 && t.Runs >= 20 {
		fmt.Fprintf(out, "  NEVER CHECKED: %s\n", strings.Join(missing, ", "))
	}
	for _, low := range t.TooTame() {
		fmt.Fprintf(out, "  TOO TAME: %s\n", low)
	}
	if t.Failed == 0 {
		return
	}
	fmt.Fprintln(out, "  failures:")
	for _, r := range s.Failed {
		fmt.Fprintf(out, "    %s\n        %s: %s\n", explain.SeedLine(r.Seed), r.Failure.Number, firstLine(r.Failure.Text))
	}
	if more := t.Failed - uint64(len(s.Failed)); more > 0 {
		fmt.Fprintf(out, "    and %d more\n", more)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
