package build

import (
	"errors"
	"strings"
	"testing"
)

func TestPatchFcntl(t *testing.T) {
	const text = "package unix\n\nimport \"syscall\"\n\nfunc fcntl(fd int32, cmd int32, arg int32) (int32, int32)\n\n" +
		"func Fcntl(fd int, cmd int, arg int) (int, error) {\n\tval, errno := fcntl(int32(fd), int32(cmd), int32(arg))\n" +
		"\tif val == -1 {\n\t\treturn int(val), syscall.Errno(errno)\n\t}\n\treturn int(val), nil\n}\n"
	got, err := patchFcntl("fcntl.go", text)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Split(text, "{\n\tval")[0] + fcntlBody + "\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for name, change := range map[string][2]string{
		"no function": {"func Fcntl", "func Other"}, "other parameters": {"fd int, cmd", "n int, cmd"},
		"not over the runtime's": {":= fcntl(", ":= other("},
	} {
		var layout *LayoutError
		if _, err := patchFcntl("fcntl.go", strings.Replace(text, change[0], change[1], 1)); !errors.As(err, &layout) {
			t.Errorf("%s: error %v, want a LayoutError", name, err)
		}
	}
	if _, err := patchFcntl("fcntl.go", "package"); err == nil {
		t.Error("no error for a file that is not Go")
	}
}
