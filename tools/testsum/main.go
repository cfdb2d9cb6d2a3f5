// Testsum reads the output of one or more `go test -json` runs and prints what a reader of a test run wants: a line for
// each package as it ends, all output of what failed, and a closing line that counts. It exits with 1 if anything failed
// or if no test ran at all, so that a filter that matches nothing does not look like success.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// event is what `go doc test2json` describes; a build's events name it in ImportPath.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

type key struct{ pkg, test string }

type summary struct {
	out                              io.Writer
	output                           map[key]*strings.Builder
	builds                           map[string]*strings.Builder
	passed, failed, skipped          int
	okPackages, badPackages, noTests int
}

func main() {
	start := time.Now()
	s := &summary{out: os.Stdout, output: map[key]*strings.Builder{}, builds: map[string]*strings.Builder{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	os.Exit(s.close(time.Since(start)))
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				// Not an event: the go command itself has something to say.
				fmt.Fprintf(s.out, "%s", line)
			} else {
				s.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		builder(s.builds, e.ImportPath).WriteString(e.Output)
	case "output":
		builder(s.output, k).WriteString(e.Output)
	case "pass", "skip", "fail":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e.Action, k)
		}
	}
}

func (s *summary) endTest(action string, k key) {
	switch action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
	case "fail":
		s.failed++
		if text := s.output[k]; text != nil {
			fmt.Fprint(s.out, text.String())
		}
	}
	delete(s.output, k)
}

func (s *summary) endPackage(e event) {
	text := s.output[key{e.Package, ""}]
	switch {
	case e.Action == "skip" || e.Action == "pass" && text != nil && strings.Contains(text.String(), "[no test files]"):
		s.noTests++
	case e.Action == "pass":
		s.okPackages++
		fmt.Fprintf(s.out, "ok    %-28s %6.1fs\n", e.Package, e.Elapsed)
	default:
		s.badPackages++
		if build := s.builds[e.FailedBuild]; build != nil {
			fmt.Fprint(s.out, build.String())
		}
		if text != nil {
			fmt.Fprint(s.out, text.String())
		}
		s.unfinished(e.Package)
		fmt.Fprintf(s.out, "FAIL  %-28s %6.1fs\n", e.Package, e.Elapsed)
	}
	for k := range s.output {
		if k.pkg == e.Package {
			delete(s.output, k)
		}
	}
}

// unfinished prints what tests said that never ended, because their process did.
func (s *summary) unfinished(pkg string) {
	for k, text := range s.output {
		if k.pkg == pkg && k.test != "" {
			fmt.Fprint(s.out, text.String())
		}
	}
}

func (s *summary) close(elapsed time.Duration) int {
	ran := s.passed + s.failed
	bad := s.failed > 0 || s.badPackages > 0 || ran == 0
	verdict := "PASS"
	if bad {
		verdict = "FAIL"
	}
	fmt.Fprintf(s.out, "%s: %d tests ran in %d packages: %d passed, %d failed, %d skipped; %d packages without tests; %.0f s\n",
		verdict, ran, s.okPackages+s.badPackages, s.passed, s.failed, s.skipped, s.noTests, elapsed.Seconds())
	if bad {
		return 1
	}
	return 0
}

func builder[K comparable](m map[K]*strings.Builder, k K) *strings.Builder {
	b := m[k]
	if b == nil {
		b = new(strings.Builder)
		m[k] = b
	}
	return b
}
