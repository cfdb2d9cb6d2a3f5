package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodPatch = `What: twice is three times
Killed by: G1, L3

--- a/m/m.go
+++ b/m/m.go
@@ -3,3 +3,3 @@
 func twice(n int) int {
-	return 2 * n
+	return 3 * n
 }
`

func TestParse(t *testing.T) {
	m, err := parse("m", goodPatch)
	if err != nil {
		t.Fatal(err)
	}
	if m.what != "twice is three times" || strings.Join(m.numbers, "+") != "G1+L3" || m.test != nil || len(m.hunks) != 1 {
		t.Fatalf("%+v", m)
	}
	got, err := m.apply("m/m.go", "package m\n\nfunc twice(n int) int {\n	return 2 * n\n}\n")
	if want := "package m\n\nfunc twice(n int) int {\n	return 3 * n\n}\n"; err != nil || got != want {
		t.Fatalf("%v\n%s", err, got)
	}
	for _, text := range []string{
		"package m\n\nfunc twice(n int) int {\n	return n + n\n}\n",                                      // not there
		"func twice(n int) int {\n	return 2 * n\n}\nfunc twice(n int) int {\n	return 2 * n\n}\n",        // twice
		"func (x y) twice(n int) int {\n	return 2 * n\n}\n// func twice(n int) int {\n	return 2 * n\n}", // not whole lines
	} {
		if got, err := m.apply("m/m.go", text); err == nil || !strings.Contains(err.Error(), "m/m.go") {
			t.Errorf("%v: applied to\n%s\ngives\n%s", err, text, got)
		}
	}
}

func TestParseSelfTest(t *testing.T) {
	m, err := parse("m", strings.Replace(goodPatch, "G1, L3\n", "test ./m TestTwice\nSays: 3 is not 2\nWhy: too simple to simulate\n", 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := (selfTest{"./m", "TestTwice", "3 is not 2", "too simple to simulate"}); m.test == nil || *m.test != want {
		t.Fatalf("%+v", m.test)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, bad := range map[string]string{
		"no header":          strings.TrimPrefix(goodPatch, "What: twice is three times\nKilled by: G1, L3\n\n"),
		"no killer":          strings.Replace(goodPatch, "Killed by: G1, L3\n", "", 1),
		"no sentence":        strings.Replace(goodPatch, "What: twice is three times\n", "", 1),
		"a field twice":      "What: x\n" + goodPatch,
		"an unknown field":   "Who: x\n" + goodPatch,
		"a test without why": strings.Replace(goodPatch, "G1, L3", "test ./m TestTwice", 1),
		"a test of nowhere":  strings.Replace(goodPatch, "G1, L3\n", "test TestTwice\nWhy: x\n", 1),
		"a why for nothing":  strings.Replace(goodPatch, "G1, L3\n", "G1\nWhy: x\n", 1),
		"no diff":            "What: x\nKilled by: G1\n\n",
		"no change":          strings.Replace(goodPatch, "+	return 3", "+	return 2", 1),
		"an insertion alone": "What: x\nKilled by: G1\n\n--- a/m.go\n+++ b/m.go\n@@ -1 +1 @@\n+x\n",
		"outside":            strings.ReplaceAll(goodPatch, "b/m/m.go", "b/../m.go"),
		"garbage":            goodPatch + "what is this\n",
	} {
		if _, err := parse("m", bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPickDependsOnTheCommit(t *testing.T) {
	var all []mutant
	for _, name := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		all = append(all, mutant{name: name})
	}
	names := func(commit string) (s string) {
		for _, m := range pick(all, 5, commit) {
			s += m.name
		}
		return s
	}
	first, again, other := names("1"), names("1"), names("2")
	if len(first) != 5 || first != again || first == other {
		t.Fatal(first, again, other)
	}
	seen := map[rune]bool{}
	for _, commit := range strings.Split("0123456789abcdefghijklmnopqrstuv", "") {
		for _, name := range names(commit) {
			seen[name] = true
		}
	}
	if len(seen) < 24 {
		t.Fatalf("32 commits try %d of 26 mutants", len(seen))
	}
}

// TestHunt hunts in a module made for it: one mutant of each fate.
func TestHunt(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module m\n\ngo 1.26\n")
	write("m/m.go", "package m\n\nfunc Twice(n int) int {\n	return 2 * n\n}\n\nfunc Unused() int {\n	return 1\n}\n")
	write("m/m_test.go", "package m\n\nimport \"testing\"\n\nfunc TestTwice(t *testing.T) {\n	if n := Twice(1); n != 2 {\n		t.Fatal(\"not 2 but\", n)\n	}\n}\n")
	// What sim/soak does, for this purpose.
	write("sim/soak/main.go", `package main

import (
	"fmt"
	"os"

	"m/m"
)

func main() {
	if os.Getenv("DLM_SIM_SERVE") == "" {
		panic("not asked to serve")
	}
	for seed := 0; ; {
		if _, err := fmt.Scan(&seed); err != nil {
			return
		}
		switch n := m.Twice(1); {
		case n == 8:
			panic("eight")
		case n == 9:
			for n > 0 {
			}
		case n != 2 && seed >= n:
			fmt.Printf("{\"Seed\":%d,\"Failure\":{\"Number\":\"G%d\",\"Text\":\"text\"}}\n", seed, n)
		default:
			fmt.Printf("{\"Seed\":%d}\n", seed)
		}
	}
}
`)
	patch := func(from, to string) string {
		return "--- a/m/m.go\n+++ b/m/m.go\n@@ -1 +1 @@\n-	return " + from + "\n+	return " + to + "\n"
	}
	for name, text := range map[string]string{
		"1-killed":    "What: a\nKilled by: G1, G3\n\n" + patch("2 * n", "3 * n"),
		"2-by-test":   "What: b\nKilled by: test ./m TestTwice\nSays: not 2 but 4\nWhy: x\n\n" + patch("2 * n", "4 * n"),
		"3-survives":  "What: c\nKilled by: G3\n\n" + patch("1", "5"),
		"4-otherwise": "What: d\nKilled by: G1\n\n" + patch("2 * n", "6 * n"),
		"5-lost":      "What: e\nKilled by: G1\n\n" + patch("7", "8"),
		"6-no-go":     "What: f\nKilled by: G1\n\n" + patch("1", "undefined"),
		"7-no-test":   "What: g\nKilled by: test ./m TestNothing\nWhy: x\n\n" + patch("1", "9"),
		"8-unsaid":    "What: h\nKilled by: test ./m TestTwice\nSays: not 2 but 4\nWhy: x\n\n" + patch("2 * n", "7 * n"),
		"8b-crashes":  "What: h\nKilled by: G1\n\n" + patch("2 * n", "8 * n"),
		"8c-hangs":    "What: h\nKilled by: G1\n\n" + patch("2 * n", "9 * n"),
		"9-survives":  "What: i\nKilled by: test ./m TestTwice\nWhy: x\n\n" + patch("1", "5"),
	} {
		write("mutants/"+name+".patch", text)
	}
	all, err := load(filepath.Join(root, "mutants"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	w := &workshop{goTool: "go", root: root, dir: t.TempDir(), from: 1, to: 9, limit: 10 * time.Second}
	if ok, err := hunt(ctx, &bytes.Buffer{}, w, all, 2, false); ok || err == nil || !strings.Contains(err.Error(), "TestNothing") {
		t.Fatalf("a test that does not exist is no control: %v, %v", ok, err)
	}
	all = append(all[:6:6], all[7:]...)
	var out bytes.Buffer
	ok, err := hunt(ctx, &out, w, all, 2, false)
	if ok || err != nil {
		t.Fatalf("%v, %v\n%s", ok, err, out.String())
	}
	_, table, _ := strings.Cut(out.String(), "what it breaks\n")
	lines := strings.Split(table, "\n")
	for i, want := range []string{
		"  G3 ", "TestTwice", "SURVIVED", "killed by G6 instead of G1", "BROKEN PATCH", "BROKEN PATCH",
		"killed, but the test does not say", "BROKE THE RUN", "BROKE THE RUN", "SURVIVED",
	} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d of the table: want %q in\n%s", i+1, want, table)
		}
	}
	if !strings.Contains(table, "\n2 killed, 2 survived, 6 not as their header says") {
		t.Error(table)
	}
	if b, err := os.ReadFile(filepath.Join(root, "m/m.go")); err != nil || strings.Contains(string(b), "3 * n") {
		t.Errorf("the work tree was changed: %v", err)
	}
	out.Reset()
	if ok, err := hunt(ctx, &out, w, all[:2], 2, false); !ok || err != nil || !strings.Contains(out.String(), "\n2 killed, 0 survived") {
		t.Fatalf("%v, %v\n%s", ok, err, out.String())
	}
	write("m/m.go", "package m\n\nfunc Twice(n int) int {\n	return 3 * n\n}\n\nfunc Unused() int {\n	return 1\n}\n")
	if ok, err := hunt(ctx, &out, w, all, 2, false); ok || err == nil || !strings.Contains(err.Error(), "unmutated") {
		t.Fatalf("code that fails by itself: %v, %v", ok, err)
	}
}

// TestPatchesApply: all patches of the project are well formed and fit the sources of this very tree.
func TestPatchesApply(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	all, err := load(filepath.Join(root, "sim/mutants"))
	if err != nil {
		t.Fatal(err)
	}
	w := &workshop{root: root}
	for i := range all {
		if _, err := w.overlay(&all[i], t.TempDir()); err != nil {
			t.Errorf("%s: %v", all[i].name, err)
		}
	}
}
