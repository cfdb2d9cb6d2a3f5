package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// The reference in docs/cli.md is made from the commands: `make docs` writes it, TestDocs fails when it is stale.
const (
	docsFile  = "../../docs/cli.md"
	docsBegin = "<!-- Made by `make docs` from here to the end: do not edit. -->\n"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

// printed is what each verb prints with -o json.
var printed = map[string]any{
	"acquire": holdView{}, "renew": holdView{}, "release": releaseView{}, "check": checkView{}, "append": appendView{}, "files": []fileView{},
	"locks": []lockView{}, "sessions": []sessionView{}, "status": statusView{}, "revoke": revokeView{}, "limits": []limitView{},
	"debug wal": walView{}, "backup": backupView{}, "restore": restoredView{},
}

func testRoot(t *testing.T) *cobra.Command {
	t.Helper()
	t.Setenv("DLM_SERVER", "")
	return newRoot(&globals{})
}

func TestDocs(t *testing.T) {
	var b strings.Builder
	root := testRoot(t)
	b.WriteString(docsBegin + "\n## Flags of every verb\n\n```\n" + root.PersistentFlags().FlagUsagesWrapped(100) + "```\n\n## Exit codes\n\n```\n")
	_, codes, _ := strings.Cut(exitCodeHelp, "\n")
	b.WriteString(codes + "\n```\n")
	for _, cmd := range root.Commands() {
		document(t, &b, cmd)
	}
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	hand, _, ok := strings.Cut(string(text), docsBegin)
	if !ok {
		t.Fatalf("%s does not hold the line %q", docsFile, docsBegin)
	}
	want := hand + b.String()
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("%s is stale: run 'make docs' and commit what it changes", docsFile)
	}
}

// document writes a verb and those below it.
func document(t *testing.T, b *strings.Builder, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", cmd.CommandPath(), cmd.Short)
	if cmd.Runnable() {
		fmt.Fprintf(b, "```\n%s\n```\n\n", cmd.UseLine())
	}
	long := strings.Replace(cmd.Long, exitCodeHelp, "See [exit codes](#exit-codes).", 1)
	for _, paragraph := range strings.Split(long, "\n\n") {
		switch {
		case paragraph == "":
		case strings.Contains("\n"+paragraph, "\n  "):
			fmt.Fprintf(b, "```\n%s\n```\n\n", paragraph)
		default:
			fmt.Fprintf(b, "%s\n\n", paragraph)
		}
	}
	if flags := cmd.NonInheritedFlags().FlagUsagesWrapped(100); strings.TrimSpace(flags) != "" && cmd.Runnable() {
		fmt.Fprintf(b, "```\n%s```\n\n", flags)
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "```sh\n%s\n```\n", strings.Join(examples(cmd), "\n"))
	}
	view, ok := printed[verbOf(cmd)]
	switch hasOutput := cmd.Flags().Lookup("output") != nil; {
	case ok:
		fmt.Fprintf(b, "\nWith `-o json`:\n\n")
		fields(t, b, reflect.TypeOf(view), "")
	case hasOutput && cmd.Name() != "bench":
		t.Errorf("%s prints JSON that is not documented: add it to printed", cmd.CommandPath())
	}
	for _, c := range cmd.Commands() {
		document(t, b, c)
	}
}

func verbOf(cmd *cobra.Command) string {
	_, verb, _ := strings.Cut(cmd.CommandPath(), " ")
	return verb
}

// fields lists the JSON fields of a type: every one has a word about it.
func fields(t *testing.T, b *strings.Builder, typ reflect.Type, indent string) {
	if typ.Kind() == reflect.Slice {
		fmt.Fprintf(b, "%sAn array of objects:\n\n", indent)
		typ = typ.Elem()
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		if f.Tag.Get("doc") == "" {
			t.Errorf("nothing says what the field %s of %v is", name, typ)
		}
		kind := map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Float64: "number", reflect.Uint64: "number",
			reflect.Int: "number", reflect.Int64: "number", reflect.Slice: "array", reflect.Pointer: "object",
		}[f.Type.Kind()]
		if option == "omitempty" {
			kind += ", may be missing"
		}
		fmt.Fprintf(b, "%s- `%s` (%s): %s\n", indent, name, kind, f.Tag.Get("doc"))
		inner := f.Type
		if inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			fields(t, b, inner, indent+"  ")
		}
	}
}

var exampleStart = regexp.MustCompile(`(?m)^  \b`)

// examples are the commands of a verb's examples, one by one; one may have several lines.
func examples(cmd *cobra.Command) []string {
	var all []string
	for _, e := range exampleStart.Split("\n"+cmd.Example, -1) {
		if e = strings.Trim(e, "\n"); e != "" {
			all = append(all, e)
		}
	}
	return all
}

// prelude makes the world in which the examples of a verb make sense.
var prelude = map[string]string{
	"acquire": `eval "$(dlm acquire other --ttl 1m --export)"`,
	"renew":   `eval "$(dlm acquire nightly --ttl 1m --hold-limit 1m --export)"`,
	"release": `eval "$(dlm acquire nightly --ttl 1m --export)"`,
	"check":   `eval "$(dlm acquire nightly --ttl 1m --export)"`,
	"revoke":  `dlm acquire nightly; eval "$(dlm acquire deploy --ttl 1m --export)"`,
	"cat":     `head -c 5000 /dev/zero | dlm append journal journal.log`,
	"restore": `dlm append journal journal.log --data x; dlm backup dlm.backup; gzip < dlm.backup > dlm.backup.gz`,
	"rm":      `dlm append journal journal.log --data x`,
}

// Programs that examples run.
const programs = `for p in report.sh deploy migrate read-it; do printf '#!/bin/sh\necho "$0 ran under $DLM_LOCK"\n' >$p; chmod +x $p; done
`

// notRun are the verbs whose examples no test runs, and why.
var notRun = map[string]string{
	"bench": "it loads the machine for minutes; package bench has tests of its own",
}

// Every example of every verb does what it says, in a directory and on a server of its own.
func TestExamples(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		verb := verbOf(cmd)
		if cmd.Name() == "completion" || cmd.Name() == "help" || notRun[verb] != "" {
			return
		}
		if cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for i, example := range examples(cmd) {
			t.Run(fmt.Sprintf("%s/%d", verb, i+1), func(t *testing.T) {
				t.Parallel()
				addr, _ := startServer(t)
				dir := t.TempDir()
				if strings.HasPrefix(verb, "debug") || strings.Contains(example, "--data ./data") {
					fillDirectory(t, filepath.Join(dir, "data"))
				}
				script := strings.NewReplacer("3652135817330689", "$DLM_TOKEN", "--session 3652135817312042", "--session $DLM_SESSION").Replace(example)
				code, out := shell(t, addr, dir, "set -e -o pipefail\n"+programs+prelude[verb]+"\n"+script)
				if code != 0 || strings.Contains(out, "dlm: ") && !strings.Contains(example, "||") {
					t.Errorf("%s\nexit code %d:\n%s", example, code, out)
				}
			})
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRoot(&globals{}))
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The scripts in the part of docs/cli.md that is written by hand run as they stand.
func TestScriptsOfTheDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash(docsFile))
	if err != nil {
		t.Fatal(err)
	}
	hand, _, _ := strings.Cut(string(text), docsBegin)
	blocks := shellBlock.FindAllStringSubmatch(hand, -1)
	if len(blocks) == 0 {
		t.Fatal("there are none")
	}
	for i, block := range blocks {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			addr, _ := startServer(t)
			if code, out := shell(t, addr, t.TempDir(), "set -e\n"+programs+block[1]); code != 0 {
				t.Errorf("exit code %d:\n%s\n%s", code, block[1], out)
			}
		})
	}
}
