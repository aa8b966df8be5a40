package build

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// gateJump is what a SYSCALL becomes. If the flag is set, RCX gets the address after the sequence, where SYSCALL would
// leave it too, and the gate goes on from there; R11 is the gate's to use, RSP is not touched, no frame is added. Else
// the SYSCALL is executed as ever. A CALL in its place would not do: the assembler adds frames to functions with calls,
// and rt_sigreturn, clone and vfork break.
//
// The three data directives are LEAQ 7(IP), CX: behind them come the JMP with its 32-bit displacement, 5 bytes, and the
// SYSCALL, 2 bytes. The assembler itself has no way to write that.
const gateJump = `CMPQ	runtime·ukvmgateptr(SB), $0
	JEQ	6(PC)
	LONG	$0x070d8d48; BYTE $0; BYTE $0; BYTE $0
	JMP	ukvm∕kernel·Gate(SB)
	SYSCALL`

// gateFlag defines the flag, which the guest kernel sets when it starts.
const gateFlag = `
// ukvm: not zero in a guest.
GLOBL	runtime·ukvmgateptr(SB), NOPTR, $8
`

var (
	syscallWord  = pattern(`\bSYSCALL\b`)
	relativeJump = pattern(`^(-?\d+)\(PC\)$`)
)

// patchSites replaces every SYSCALL of an assembly file by gateJump and corrects the jumps of the form N(PC), which count
// instructions, that lead over one. file is its path below src, for errors.
func patchSites(file, text string) (string, error) {
	list := scanAssembly(text)
	var edits []edit
	for i, s := range list {
		switch m := relativeJump().FindStringSubmatch(s.args); {
		case isSite(s):
			edits = append(edits, edit{s.start, s.end, gateJump})
		case syscallWord().MatchString(blank(text[s.start:s.end])):
			// with operands or prefixes, or in a macro
			return "", &LayoutError{file, "SYSCALL as an instruction of its own"}
		case m != nil:
			n, _ := strconv.Atoi(m[1])
			fixed, err := fixJump(file, list, i, n)
			if err != nil {
				return "", err
			}
			if fixed != n {
				arg := strings.Replace(text[s.start:s.end], m[0], strconv.Itoa(fixed)+"(PC)", 1)
				edits = append(edits, edit{s.start, s.end, arg})
			}
		}
	}
	if !slices.ContainsFunc(list, isSite) {
		return "", &LayoutError{file, "SYSCALL"}
	}
	return applyEdits(text, edits), nil
}

func isSite(s statement) bool { return s.kind == instruction && s.op == "SYSCALL" && s.args == "" }

// fixJump returns the count that makes the jump n(PC) of statement i reach, after the sites have been replaced, the
// instruction it reaches now.
func fixJump(file string, list []statement, i, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	step := 1
	if n < 0 {
		step = -1
	}
	sites, met, unclear := 0, false, false
	left := n * step
	for j := i; left > 0; {
		j += step
		if j < 0 || j >= len(list) || list[j].kind == function {
			if unclear {
				break // the macros hold the rest
			}
			return 0, &LayoutError{file, fmt.Sprintf("a target of %d(PC)", n)}
		}
		switch list[j].kind {
		case instruction:
			left--
			if isSite(list[j]) {
				met = true
				if step < 0 || left > 0 { // as a target in front, its start stays where it is
					sites++
				}
			}
		case preprocessor, macro:
			unclear = true
		}
	}
	if met && unclear {
		return 0, &LayoutError{file, fmt.Sprintf("only plain instructions in the reach of %d(PC)", n)}
	}
	return n + step*sites*(siteLength()-1), nil
}

// siteLength is the number of instructions in gateJump.
func siteLength() int { return len(scanAssembly(gateJump)) }
