package explain

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"dlm/sim"
)

// lastEvents runs a plan again and returns the last lines of its trace that have to do with the failure: those that name its
// lock, session, client, token or file, and what befell processes and disks.
func lastEvents(p sim.Plan, f *sim.Failure, o Options) string {
	var trace bytes.Buffer
	o.Run(p, &trace)
	about := subjects(f.Text)
	var kept []string
	when, last := "", ""
	for line := range strings.Lines(trace.String()) {
		line = data.ReplaceAllString(strings.Join(strings.Fields(line), " "), `${1}..."`)
		at, what, _ := strings.Cut(line, " ")
		if !general.MatchString(what) && (about == nil || !about.MatchString(what)) {
			continue
		}
		if what == last {
			continue // a duplicate on the wire
		}
		last = what
		if at == when {
			at = ""
		} else {
			when = at
		}
		kept = append(kept, fmt.Sprintf("%12s  %.300s", at, what))
	}
	left := max(0, len(kept)-o.Events)
	head := fmt.Sprintf("the last %d events about it (of %d; the whole trace: -tracefile=FILE):\n", len(kept)-left, len(kept))
	return head + strings.Join(kept[left:], "\n") + "\n"
}

// data is the contents of appends and reads, of which nobody wants to see more than the beginning.
var data = regexp.MustCompile(`(data:"[^"]{0,8})(?:[^"\\]|\\.)*"`)

// general lines matter to every failure.
var general = regexp.MustCompile(`^(fault:|server (up|down|stops)|recovery stopped|client (up|down)|heal |FAILURE)`)

var subjectPatterns = []struct {
	text *regexp.Regexp // finds a subject in a failure's text
	line string         // finds it in the trace
}{
	{regexp.MustCompile(`"((?:lock|file)-\d+)"`), `"%s"`},
	{regexp.MustCompile(`session:? ?(\d+)`), `\bsession:%s\b`},
	{regexp.MustCompile(`\((\d+), \d+\)`), `\bsession:%s\b`},
	{regexp.MustCompile(`tokens? (\d+)`), `\btoken:%s\b`},
	{regexp.MustCompile(`client (\d+)`), `\bc%s:`},
	{regexp.MustCompile(`position (\d+)`), `^entry %s `},
}

// subjects makes the pattern of the trace's lines that name what a failure's text names; nil if it names nothing.
func subjects(text string) *regexp.Regexp {
	var any []string
	for _, s := range subjectPatterns {
		for _, m := range s.text.FindAllStringSubmatch(text, -1) {
			any = append(any, fmt.Sprintf(s.line, regexp.QuoteMeta(m[1])))
		}
	}
	if len(any) == 0 {
		return nil
	}
	return regexp.MustCompile(strings.Join(any, "|"))
}
