package side

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What lies in the directory of results.
const (
	ResultsFile = "results.json"
	ProfileFile = "profile.json"
	PlotFile    = "peers.svg"
)

// Write makes the plot, and the generated parts of the document beside the directory (its name with .md), from the results.
func Write(dir string) error {
	plot, doc, err := Make(dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, PlotFile), []byte(plot), 0o644); err != nil {
		return err
	}
	return os.WriteFile(dir+".md", []byte(doc), 0o644)
}

// Make is what Write writes. A document that is not there yet begins empty.
func Make(dir string) (plot, doc string, err error) {
	var results Results
	if err := Load(filepath.Join(dir, ResultsFile), &results); err != nil {
		return "", "", err
	}
	old, err := os.ReadFile(dir + ".md")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, name := range []string{"machine", "targets", "plot", "tables"} {
			old = append(old, begin(name)+end(name)+"\n\n"...)
		}
	case err != nil:
		return "", "", err
	}
	doc = string(old)
	parts := map[string]string{
		"machine": results.machine(), "targets": results.Targets(), "tables": results.tables(),
		"plot": fmt.Sprintf("![Rates of all services under each workload](%s/%s)\n", filepath.Base(dir), PlotFile),
	}
	var profile Profile
	switch err := Load(filepath.Join(dir, ProfileFile), &profile); {
	case err == nil:
		parts["profile"] = profile.tables()
		if !strings.Contains(doc, begin("profile")) {
			doc += begin("profile") + end("profile")
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", err
	}
	for _, name := range sortedKeys(parts) {
		if doc, err = splice(doc, name, parts[name]); err != nil {
			return "", "", fmt.Errorf("%s.md: %w", dir, err)
		}
	}
	return results.plot(), doc, nil
}

func begin(name string) string {
	return "<!-- begin " + name + ": made from the results, edits are lost -->\n"
}
func end(name string) string { return "<!-- end " + name + " -->\n" }

// splice replaces what is between the marks of a part.
func splice(doc, name, part string) (string, error) {
	before, rest, ok := strings.Cut(doc, begin(name))
	_, after, ok2 := strings.Cut(rest, end(name))
	if !ok || !ok2 {
		return "", fmt.Errorf("the marks of the part %q are missing:\n%s%s", name, begin(name), end(name))
	}
	return before + begin(name) + "\n" + part + "\n" + end(name) + after, nil
}
