package house

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestHouse checks every package of the module against its rule.
func TestHouse(t *testing.T) {
	m := load(t)
	if len(m.packages) < 5 {
		t.Fatalf("found only %d packages of this module: the check looks at nothing", len(m.packages))
	}
	for _, p := range m.packages {
		r, ok := ruleFor(p.ImportPath)
		if !ok {
			t.Errorf("%s: no rule says what it may import: add it to rules_test.go, in its layer", p.ImportPath)
			continue
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
			continue
		}
		files, err := m.files(p.Dir, slices.Concat(p.GoFiles, p.CgoFiles))
		if err != nil {
			t.Error(err)
			continue
		}
		ignored, err := m.files(p.Dir, nonTests(p.IgnoredGoFiles)) // for other systems: their imports count too
		if err != nil {
			t.Error(err)
			continue
		}
		for _, file := range slices.Concat(files, ignored) {
			report(t, checkImports(m.fset, file, r))
		}
		if !r.pure {
			continue
		}
		for _, file := range ignored {
			t.Errorf("%s: build constraint: a package that runs in the simulator must be the same on every system", m.fset.Position(file.Pos()))
		}
		info, err := m.check(p.ImportPath, files)
		if err != nil {
			t.Errorf("%s: %v", p.ImportPath, err)
			continue
		}
		report(t, checkPurity(m.fset, files, info, r.except))
	}
}

func report(t *testing.T, found []finding) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func nonTests(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

var wantComment = regexp.MustCompile(`// want (".*")$`)

// TestBites runs the checks of a pure package over testdata: every line with a want comment must be refused in these
// words, and no other line may be.
func TestBites(t *testing.T) {
	paths, err := filepath.Glob("testdata/*/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	dirs := map[string][]string{}
	for _, path := range paths {
		dirs[filepath.Dir(path)] = append(dirs[filepath.Dir(path)], filepath.Base(path))
	}
	m := load(t, imported(t, paths)...)
	r := rule{pkg: "dlm/snippet", why: "it is below everything", ours: []string{api}, theirs: []string{protobuf}, pure: true}
	for dir, names := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			abs, err := filepath.Abs(dir)
			if err != nil {
				t.Fatal(err)
			}
			files, err := m.files(abs, names)
			if err != nil {
				t.Fatal(err)
			}
			info, err := m.check("dlm/snippet", files)
			if err != nil {
				t.Fatal(err)
			}
			wanted := map[string]string{} // file:line -> what the finding must contain
			var got []finding
			for _, file := range files {
				for _, group := range file.Comments {
					for _, c := range group.List {
						if match := wantComment.FindStringSubmatch(c.Text); match != nil {
							text, err := strconv.Unquote(match[1])
							if err != nil {
								t.Fatal(err)
							}
							wanted[place(finding{pos: m.fset.Position(c.Pos())})] = text
						}
					}
				}
				got = append(got, checkImports(m.fset, file, r)...)
			}
			got = append(got, checkPurity(m.fset, files, info, nil)...)
			seen := map[string]bool{}
			for _, f := range got {
				want, ok := wanted[place(f)]
				switch {
				case !ok:
					t.Errorf("refused what is allowed: %v", f)
				case strings.Contains(f.String(), want):
					seen[place(f)] = true
				}
			}
			for at, want := range wanted {
				if !seen[at] {
					t.Errorf("%s: not refused as %q", at, want)
				}
			}
		})
	}
}

// imported lists the packages that some files import.
func imported(t *testing.T, paths []string) []string {
	var imports []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil {
				imports = append(imports, path)
			}
		}
	}
	return imports
}

func place(f finding) string { return f.pos.Filename + ":" + strconv.Itoa(f.pos.Line) }

// TestLayersBite asks the table about imports that the design forbids, and some that it needs.
func TestLayersBite(t *testing.T) {
	for _, c := range []struct {
		pkg, path string
		refused   string // part of the message; "" = allowed
	}{
		{"dlm/core", api, ""},
		{"dlm/core", stubs, "must not import"},
		{"dlm/core", "dlm/wal", "must not import"},
		{"dlm/core", grpc, "must not import"},
		{"dlm/core", "os", "shell"},
		{"dlm/core", "crypto/rand", "no seed repeats"},
		{"dlm/core", "net/http", "function of its arguments"},
		{"dlm/wal", "dlm/core", "must not know what they mean"},
		{"dlm/wal", "dlm/wal/osfs", "must not import"},
		{"dlm/wal", "os", "vfs"},
		{"dlm/wal", "sync", ""},
		{"dlm/replica", "dlm/core", ""},
		{"dlm/replica", raft, ""},
		{"dlm/replica", "dlm/client/engine", "must not import"},
		{"dlm/replica", "sync", "one goroutine"},
		{"dlm/grpcserver", "dlm/replica", ""},
		{"dlm/grpcserver", raft, "past the replica"},
		{"dlm/grpcserver", "dlm/sim", "must not import"},
		{"dlm/client", "dlm/client/engine", ""},
		{"dlm/client", "dlm/core", "server along"},
		{"dlm/client/engine", "dlm/client", "must not import"},
		{"dlm/netsim", api, "must not import"},
		{"dlm/sim", "dlm/grpcserver", "must not import"},
		{"dlm/sim", "dlm/client", "must not import"},
		{"dlm/sim", "crypto/rand", ""},
		{"dlm/sim/runner", "os", ""},
		{"dlm/cmd/server", "dlm/grpcserver", ""},
		{"dlm/cmd/server", "dlm/replica", "thin"},
		{"dlm/cmd/test_goal1", "dlm/sim", ""},
		{api, grpc, "out of the core"},
	} {
		r, ok := ruleFor(c.pkg)
		if !ok {
			t.Errorf("%s has no rule", c.pkg)
			continue
		}
		what, why := importAllowed(r, c.path)
		switch message := what + ": " + why; {
		case c.refused == "" && what != "":
			t.Errorf("%s may not import %s: %s", c.pkg, c.path, message)
		case c.refused != "" && (what == "" || !strings.Contains(message, c.refused)):
			t.Errorf("%s imports %s: got %q, want a refusal with %q", c.pkg, c.path, message, c.refused)
		}
	}
	if _, ok := ruleFor("dlm/elsewhere"); ok {
		t.Error("a package outside the table has a rule")
	}
}
