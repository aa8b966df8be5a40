package build

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// hookFile is added to package syscall.
//
// Nothing here may split the stack before the hook is called, since until then the arguments are uintptrs which the
// runtime does not adjust when it moves the stack they may point into. ukvmOffer turns those that are pointers for the
// call (kernel.Hooked says which) into unsafe.Pointers first. The hook may decline after it has moved the stack, so the
// arguments are handed back.
const hookFile = `package syscall

import (
	"ukvm/kernel"
	"unsafe"
)

// ukvmOffered reports whether the hook wants a system call.
//
// nosplit because the arguments of the caller are pointers in disguise.
//
//go:nosplit
//go:norace
func ukvmOffered(trap uintptr) bool {
	return trap < uintptr(len(kernel.Hooked)) && kernel.Hooked[trap&uintptr(len(kernel.Hooked)-1)] != 0
}

// ukvmPage is where pointers begin: fcntl and ioctl take small numbers in the same place as pointers, and the runtime
// does not suffer a pointer into the first page.
const ukvmPage = 4096

// ukvmOffer offers a system call to the hook. If ok is false the call is still to be made, with the returned arguments.
//
// nosplit because its arguments are pointers in disguise until they are converted.
//
//go:uintptrkeepalive
//go:nosplit
//go:norace
//go:nocheckptr
func ukvmOffer(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1 uintptr, err Errno, ok bool, b1, b2, b3, b4, b5, b6 uintptr) {
	hook := kernel.Hook
	if hook == nil {
		return 0, 0, false, a1, a2, a3, a4, a5, a6
	}
	var p1, p2, p3, p4, p5, p6 unsafe.Pointer
	m := kernel.Hooked[trap&uintptr(len(kernel.Hooked)-1)]
	if m&(1<<0) != 0 && a1 >= ukvmPage {
		p1 = unsafe.Pointer(a1)
	}
	if m&(1<<1) != 0 && a2 >= ukvmPage {
		p2 = unsafe.Pointer(a2)
	}
	if m&(1<<2) != 0 && a3 >= ukvmPage {
		p3 = unsafe.Pointer(a3)
	}
	if m&(1<<3) != 0 && a4 >= ukvmPage {
		p4 = unsafe.Pointer(a4)
	}
	if m&(1<<4) != 0 && a5 >= ukvmPage {
		p5 = unsafe.Pointer(a5)
	}
	if m&(1<<5) != 0 && a6 >= ukvmPage {
		p6 = unsafe.Pointer(a6)
	}
	r1, errno, ok := hook(trap, a1, a2, a3, a4, a5, a6, p1, p2, p3, p4, p5, p6)
	if p1 != nil {
		a1 = uintptr(p1)
	}
	if p2 != nil {
		a2 = uintptr(p2)
	}
	if p3 != nil {
		a3 = uintptr(p3)
	}
	if p4 != nil {
		a4 = uintptr(p4)
	}
	if p5 != nil {
		a5 = uintptr(p5)
	}
	if p6 != nil {
		a6 = uintptr(p6)
	}
	if errno != 0 {
		r1 = ^uintptr(0)
	}
	return r1, Errno(errno), ok, a1, a2, a3, a4, a5, a6
}
`

// patchHook makes the system call functions of syscall/syscall_linux.go offer their call to the hook first. RawSyscall
// does so through RawSyscall6. Syscall and Syscall6 must do so before they tell the runtime that the goroutine is in a
// system call, and not again behind that, so there they use a copy of RawSyscall6 without the offer.
func patchHook(file, text string) (string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("patch Go's system calls: %w", err)
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	var edits []edit
	for _, name := range [...]string{"RawSyscall", "RawSyscall6", "Syscall", "Syscall6"} {
		fn := findFunc(f, name)
		if fn == nil || fn.Body == nil {
			return "", &LayoutError{file, "func " + name + " with a body"}
		}
		args := 3
		if strings.HasSuffix(name, "6") {
			args = 6
		}
		if err := checkSignature(file, fn, args); err != nil {
			return "", err
		}
		inner := callsOf(fn, "RawSyscall6")
		start := offset(fn.Body.Lbrace) + 1
		switch {
		case name == "RawSyscall6" && len(inner) == 0:
			end := offset(fn.End())
			edits = append(edits, edit{start, start, offer(args)}, edit{end, end, rawCopy(fn, text, offset)})
		case name == "RawSyscall" && len(inner) == 1:
		case name != "RawSyscall6" && len(inner) == 1:
			at := offset(inner[0].Pos())
			edits = append(edits, edit{start, start, offer(args)}, edit{at, at, "ukvm"})
		default:
			return "", &LayoutError{file, "func " + name + " over RawSyscall6"}
		}
	}
	return applyEdits(text, edits), nil
}

// offer is what comes first in a system call function of n arguments.
func offer(n int) string {
	arguments, results := "a1, a2, a3, a4, a5, a6", "a1, a2, a3, a4, a5, a6"
	if n == 3 {
		arguments, results = "a1, a2, a3, 0, 0, 0", "a1, a2, a3, _, _, _"
	}
	return "\n\tif ukvmOffered(trap) {\n\t\tvar ok bool\n" +
		"\t\tif r1, err, ok, " + results + " = ukvmOffer(trap, " + arguments + "); ok {\n" +
		"\t\t\treturn\n\t\t}\n\t}"
}

// rawCopy is fn as it was, under another name, by which package posix links to it.
func rawCopy(fn *ast.FuncDecl, text string, offset func(token.Pos) int) string {
	var b strings.Builder
	b.WriteString("\n\n")
	if fn.Doc != nil {
		for _, c := range fn.Doc.List {
			if strings.HasPrefix(c.Text, "//go:") && !strings.HasPrefix(c.Text, "//go:linkname") {
				b.WriteString(c.Text + "\n")
			}
		}
	}
	b.WriteString("//go:linkname ukvm" + fn.Name.Name + "\n")
	b.WriteString(text[offset(fn.Pos()):offset(fn.Name.Pos())] + "ukvm" + text[offset(fn.Name.Pos()):offset(fn.End())])
	return b.String()
}

func findFunc(f *ast.File, name string) *ast.FuncDecl {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name {
			return fn
		}
	}
	return nil
}

// checkSignature checks the names that offer uses.
func checkSignature(file string, fn *ast.FuncDecl, args int) error {
	const params, results = "trap a1 a2 a3 a4 a5 a6", "r1 r2 err"
	want := params[:len("trap")+3*args]
	if got := fieldNames(fn.Type.Params); got != want {
		return &LayoutError{file, fmt.Sprintf("func %s(%s)", fn.Name.Name, want)}
	}
	if got := fieldNames(fn.Type.Results); got != results {
		return &LayoutError{file, fmt.Sprintf("func %s with results %s", fn.Name.Name, results)}
	}
	return nil
}

func fieldNames(l *ast.FieldList) string {
	var names []string
	if l != nil {
		for _, f := range l.List {
			for _, n := range f.Names {
				names = append(names, n.Name)
			}
		}
	}
	return strings.Join(names, " ")
}

// callsOf returns the places where fn calls the function of that name.
func callsOf(fn *ast.FuncDecl, name string) []*ast.Ident {
	var found []*ast.Ident
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == name {
				found = append(found, id)
			}
		}
		return true
	})
	return found
}
