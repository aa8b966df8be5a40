package build

import (
	"fmt"
	"strings"

	"ukvm.dev/hypercall"
)

// patchEntry puts the image header (hypercall/image.go) at the ELF entry point, in front of Go's native start, which
// the first instruction jumps to. text is runtime/rt0_linux_amd64.s.
func patchEntry(file, text string) (string, error) {
	list := scanAssembly(text)
	for i, s := range list {
		if s.kind != function || !strings.HasPrefix(s.args, "_rt0_amd64_linux(SB)") {
			continue
		}
		if i+1 == len(list) || list[i+1].op != "JMP" || list[i+1].args != "_rt0_amd64(SB)" ||
			i+2 < len(list) && list[i+2].kind != function {
			break
		}
		jump := list[i+1]
		return applyEdits(text, []edit{{jump.start, jump.end, entryHeader() + text[jump.start:jump.end]}}), nil
	}
	return "", &LayoutError{file, "_rt0_amd64_linux as a jump to _rt0_amd64"}
}

// entryHeader is the header, as instructions in front of the native start. The padding of PCALIGN is code nobody runs.
func entryHeader() string {
	var b strings.Builder
	fmt.Fprintf(&b, "JMP\tukvmnative\n\tPCALIGN\t$%d\n", hypercall.HeaderMagicOffset)
	fmt.Fprintf(&b, "\tQUAD\t$%#x\n", uint64(hypercall.HeaderMagic))
	fmt.Fprintf(&b, "\tLONG\t$%d\n\tLONG\t$0\n", hypercall.Version)
	for at := hypercall.HeaderVersionOffset + 8; at < hypercall.HeaderStart; at += 8 {
		b.WriteString("\tQUAD\t$0\n")
	}
	fmt.Fprintf(&b, "\tJMP\tukvm∕kernel·Start(SB)\n\tPCALIGN\t$%d\nukvmnative:\n\t", hypercall.HeaderSize)
	return b.String()
}
