package build

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
)

// patchPanic has runtime.gopanic call kernel.AtPanic when nobody has recovered: where it also calls Error methods, which is
// the last time that other goroutines run. It stays on that call's line, so that line numbers are Go's own.
func patchPanic(file, text string) (string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("patch Go's panics: %w", err)
	}
	var calls []*ast.Ident
	if fn := findFunc(f, "gopanic"); fn != nil && fn.Body != nil {
		calls = callsOf(fn, "preprintpanics")
	}
	if len(calls) != 1 {
		return "", &LayoutError{file, "func gopanic that calls preprintpanics"}
	}
	at := fset.Position(calls[0].Pos()).Offset
	return applyEdits(text, []edit{{at, at, "ukvmAtPanic(); "}}), nil
}

// atPanic is what gopanic calls.
const atPanic = `
func ukvmAtPanic() {
	if f := kernel.AtPanic; f != nil {
		kernel.AtPanic = nil
		f()
	}
}
`
