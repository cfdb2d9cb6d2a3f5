package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
)

// purity checks the type-checked files of one pure package.
type purity struct {
	fset   *token.FileSet
	info   *types.Info
	except map[string]string
	sorted bool // the file at hand is the sorted helper
	found  []finding
}

func checkPurity(fset *token.FileSet, files []*ast.File, info *types.Info, except map[string]string) []finding {
	p := &purity{fset: fset, info: info, except: except}
	for _, file := range files {
		start, end := fset.Position(file.FileStart), fset.Position(file.FileEnd)
		p.sorted = filepath.Base(start.Filename) == sortedFile
		if p.sorted && end.Line > sortedLines {
			p.say(file.FileStart, fmt.Sprintf("%s has %d lines, at most %d are allowed", sortedFile, end.Line, sortedLines),
				"it may range over maps and so must hold the sorted visit and nothing else")
		}
		ast.Inspect(file, p.visit)
	}
	slices.SortFunc(p.found, func(a, b finding) int {
		if c := strings.Compare(a.pos.Filename, b.pos.Filename); c != 0 {
			return c
		}
		return a.pos.Offset - b.pos.Offset
	})
	return slices.CompactFunc(p.found, func(a, b finding) bool {
		return a.pos.Filename == b.pos.Filename && a.pos.Line == b.pos.Line && a.what == b.what
	})
}

func (p *purity) say(pos token.Pos, what, why string) {
	p.found = append(p.found, finding{p.fset.Position(pos), what, why})
}

func (p *purity) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		p.say(n.Pos(), "go statement", "the scheduler's order repeats from no seed; return an effect and let the caller run it")
	case *ast.SelectStmt:
		p.channel(n.Pos(), "select")
	case *ast.SendStmt:
		p.channel(n.Pos(), "send on a channel")
	case *ast.RangeStmt:
		if t := p.info.TypeOf(n.X); t != nil && !p.sorted && hasMap(t) {
			p.say(n.Pos(), "range over a map", mapOrder)
		}
	case *ast.Ident:
		p.name(n)
	}
	if expr, ok := n.(ast.Expr); ok {
		if t := p.info.TypeOf(expr); t != nil && hasChan(t) {
			p.channel(expr.Pos(), "a channel")
		}
	}
	return true
}

func (p *purity) channel(pos token.Pos, what string) {
	p.say(pos, what, "channels are for goroutines, and there is one; return an effect")
}

// name checks one use of a name, however its package was imported and whether it is called or passed on.
func (p *purity) name(id *ast.Ident) {
	obj := p.info.Uses[id]
	if obj == nil {
		return
	}
	if b, ok := obj.(*types.Builtin); ok && (b.Name() == "print" || b.Name() == "println") {
		p.say(id.Pos(), "builtin "+b.Name(), "it writes to standard error")
	}
	if f, ok := obj.(*types.Func); ok && isMessageString(f) {
		p.say(id.Pos(), "String() of a message", "protobuf makes its text unstable on purpose: it differs between two builds")
	}
	if obj.Pkg() == nil || obj.Parent() != obj.Pkg().Scope() {
		return // local, a field or a method: of a type whose own name is checked
	}
	path, full := obj.Pkg().Path(), obj.Pkg().Path()+"."+obj.Name()
	if p.except[path] != "" {
		return
	}
	if pure, ok := pureNames[path]; ok && !slices.Contains(pure.names, obj.Name()) {
		p.say(id.Pos(), full, pure.why)
	}
	if why := impureNames[path][obj.Name()]; why != "" && !(p.sorted && path == "maps") {
		p.say(id.Pos(), full, why)
	}
}

// isMessageString says whether f is the String method of a message (those of the enums are stable).
func isMessageString(f *types.Func) bool {
	recv := f.Signature().Recv()
	if f.Name() != "String" || recv == nil {
		return false
	}
	ptr, ok := types.Unalias(recv.Type()).(*types.Pointer)
	if !ok {
		return false
	}
	set := types.NewMethodSet(ptr)
	return set.Lookup(nil, "ProtoReflect") != nil
}

// hasMap says whether ranging over a t would visit a map: t is one, or a type parameter that may be one.
func hasMap(t types.Type) bool {
	return some(t, func(t types.Type) bool { _, is := t.(*types.Map); return is })
}

func hasChan(t types.Type) bool {
	return some(t, func(t types.Type) bool { _, is := t.(*types.Chan); return is })
}

// some says whether the underlying type of t, or of a member of the type set of the type parameter t, satisfies is.
func some(t types.Type, is func(types.Type) bool) bool {
	param, ok := types.Unalias(t).(*types.TypeParam)
	if !ok {
		return is(t.Underlying())
	}
	constraint, ok := param.Constraint().Underlying().(*types.Interface)
	if !ok {
		return false
	}
	for i := range constraint.NumEmbeddeds() {
		switch e := types.Unalias(constraint.EmbeddedType(i)).(type) {
		case *types.Union:
			for j := range e.Len() {
				if some(e.Term(j).Type(), is) {
					return true
				}
			}
		default:
			if some(e, is) {
				return true
			}
		}
	}
	return false
}
