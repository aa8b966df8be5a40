package build

import (
	"fmt"
	"go/parser"
	"go/token"
)

// fcntlBody is what internal/syscall/unix.Fcntl(fd, cmd, arg int) (int, error) does in place of runtime.fcntl, which makes
// the call below package syscall and so without the hook: os.NewFile asks it for a file's flags and poll.DupCloseOnExec for
// another number, and only package posix knows either.
const fcntlBody = `{
	r, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(cmd), uintptr(arg))
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}`

func patchFcntl(file, text string) (string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("patch Go's system calls: %w", err)
	}
	fn := findFunc(f, "Fcntl")
	if fn == nil || fn.Body == nil || fieldNames(fn.Type.Params) != "fd cmd arg" || len(callsOf(fn, "fcntl")) != 1 {
		return "", &LayoutError{file, "func Fcntl(fd, cmd, arg int) over fcntl"}
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	return applyEdits(text, []edit{{offset(fn.Body.Pos()), offset(fn.Body.End()), fcntlBody}}), nil
}
