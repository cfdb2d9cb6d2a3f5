package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// finding is one broken rule.
type finding struct {
	pos  token.Position
	what string
	why  string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.pos.Filename, f.pos.Line, f.what, f.why)
}

// checkImports looks at the import declarations of one file of the package that r is the rule of.
func checkImports(fset *token.FileSet, file *ast.File, r rule) []finding {
	var found []finding
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it
		}
		if what, why := importAllowed(r, path); what != "" {
			found = append(found, finding{fset.Position(spec.Pos()), what, why})
		}
	}
	return found
}

// importAllowed says what is wrong with an import, and why; two empty strings if nothing is.
func importAllowed(r rule, path string) (what, why string) {
	name := strings.TrimSuffix(strings.TrimPrefix(r.pkg, "dlm/"), "/...")
	first, _, _ := strings.Cut(path, "/")
	switch {
	case r.pure && r.except[path] != "":
		return "", ""
	case r.pure && !isOurs(path) && impureReasons[path] != "" && !slices.Contains(pureStd, path):
		return fmt.Sprintf("%s runs in the simulator and must not import %s", name, path), impureReasons[path]
	case isOurs(path):
		if !allowed(r.ours, path) {
			return fmt.Sprintf("%s must not import %s", name, path), r.why
		}
	case strings.Contains(first, "."):
		if !allowed(r.theirs, path) {
			return fmt.Sprintf("%s must not import %s", name, path), r.why
		}
	case r.pure && !slices.Contains(pureStd, path):
		return fmt.Sprintf("%s runs in the simulator and must not import %s", name, path),
			"it is not known to behave as a function of its arguments; if it does, add it to pureStd"
	}
	return "", ""
}

func isOurs(path string) bool { return path == "dlm" || strings.HasPrefix(path, "dlm/") }
