package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is one deliberate bug: a patch and what has to notice it. The file is a unified diff with a header before it:
//
//	What: one sentence that says what is broken
//	Killed by: G4, G5
//
//	--- a/core/core.go
//	+++ b/core/core.go
//	@@ ...
//
// The killers are promises (the Number of a sim.Failure), or one self-test:
//
//	Killed by: test ./core TestStoryTakeover
//	Says: text that the failing test prints (optional)
//	Why: the reason for which the simulator does not show it
type mutant struct {
	name    string
	what    string
	numbers []string  // promises, any of which may be the first to break; none if test is set
	test    *selfTest // nil: the simulator has to notice
	hunks   []hunk
}

// selfTest is a test that must fail, and with which words.
type selfTest struct {
	pkg, name string
	says, why string
}

// hunk is a place in a file: whole lines that have to be there exactly once, and what takes their place. The line numbers
// of the diff are not used, so that a change elsewhere in the file moves nothing.
type hunk struct {
	file     string // below the module's directory
	old, new string
}

// load reads all mutants of a directory, in order of their names.
func load(dir string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s holds no *.patch", dir)
	}
	var all []mutant
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := parse(strings.TrimSuffix(filepath.Base(path), ".patch"), string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, m)
	}
	return all, nil
}

func parse(name, text string) (mutant, error) {
	m := mutant{name: name}
	header, diff, ok := strings.Cut(text, "\n\n")
	if !ok {
		return m, fmt.Errorf("want a header, an empty line, and a diff")
	}
	if err := m.parseHeader(header); err != nil {
		return m, err
	}
	return m, m.parseDiff(diff)
}

func (m *mutant) parseHeader(header string) error {
	var says, why string
	fields := map[string]*string{"What": &m.what, "Killed by": new(string), "Says": &says, "Why": &why}
	for line := range strings.SplitSeq(header, "\n") {
		key, value, _ := strings.Cut(line, ":")
		field := fields[key]
		switch value = strings.TrimSpace(value); {
		case field == nil:
			return fmt.Errorf("header line %q: want What, Killed by, Says or Why", line)
		case *field != "" || value == "":
			return fmt.Errorf("header line %q: want it once, with a value", key)
		}
		*field = value
	}
	killers := *fields["Killed by"]
	if m.what == "" || killers == "" {
		return fmt.Errorf("the header must say What and Killed by")
	}
	if test, ok := strings.CutPrefix(killers, "test "); ok {
		pkg, name, ok := strings.Cut(test, " ")
		if !ok || !strings.HasPrefix(pkg, "./") || !strings.HasPrefix(name, "Test") || strings.Contains(name, " ") {
			return fmt.Errorf("killed by %q: want 'test ./package TestName'", killers)
		}
		if why == "" {
			return fmt.Errorf("a mutant for a self-test must say Why the simulator does not show it")
		}
		m.test = &selfTest{pkg: pkg, name: name, says: says, why: why}
		return nil
	}
	if says != "" || why != "" {
		return fmt.Errorf("%q is no self-test, to which Says and Why belong", killers)
	}
	for number := range strings.SplitSeq(killers, ",") {
		m.numbers = append(m.numbers, strings.TrimSpace(number))
	}
	return nil
}

func (m *mutant) parseDiff(diff string) error {
	file := ""
	var h *hunk
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "--- a/"), strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "index "):
			h = nil
		case strings.HasPrefix(line, "+++ b/"):
			file = strings.TrimSpace(strings.TrimPrefix(line, "+++ b/"))
			if !filepath.IsLocal(file) {
				return fmt.Errorf("%q is outside the module", file)
			}
		case strings.HasPrefix(line, "@@"):
			if file == "" {
				return fmt.Errorf("a hunk without a file before it")
			}
			m.hunks = append(m.hunks, hunk{file: file})
			h = &m.hunks[len(m.hunks)-1]
		case h == nil:
			return fmt.Errorf("unexpected line %q", line)
		case line[0] == '-':
			h.old += line[1:]
		case line[0] == '+':
			h.new += line[1:]
		case line[0] == ' ':
			h.old += line[1:]
			h.new += line[1:]
		default:
			return fmt.Errorf("line %q is not part of a unified diff", line)
		}
	}
	for _, h := range m.hunks {
		if h.old == "" || h.old == h.new {
			return fmt.Errorf("a hunk of %s changes nothing, or has no line to be found by", h.file)
		}
	}
	if len(m.hunks) == 0 {
		return fmt.Errorf("the diff is empty")
	}
	return nil
}

// files are those that the mutant changes, each once.
func (m *mutant) files() []string {
	var names []string
	for _, h := range m.hunks {
		if len(names) == 0 || names[len(names)-1] != h.file {
			names = append(names, h.file)
		}
	}
	return names
}

// apply makes the mutant's change to the text of a file.
func (m *mutant) apply(file, text string) (string, error) {
	for _, h := range m.hunks {
		if h.file != file {
			continue
		}
		at := places(text, h.old)
		if len(at) != 1 {
			return "", fmt.Errorf("does not apply: %s holds these lines %d times, not once:\n%s", file, len(at), h.old)
		}
		text = text[:at[0]] + h.new + text[at[0]+len(h.old):]
	}
	return text, nil
}

// places are the offsets at which the lines are found.
func places(text, lines string) []int {
	var at []int
	for from := 0; from < len(text); {
		if strings.HasPrefix(text[from:], lines) {
			at = append(at, from)
		}
		next := strings.IndexByte(text[from:], '\n')
		if next < 0 {
			break
		}
		from += next + 1
	}
	return at
}
