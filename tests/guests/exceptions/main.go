// Command exceptions executes one instruction that its argument names and that raises an exception of the processor. The
// test expects the signal that Linux would make of it, as a report with the function's name and code 2.
package main

import (
	"fmt"
	"os"
)

// Defined in exceptions_amd64.s. Each does one instruction.
func ud2()
func int3()
func intByte()
func hlt()
func cli()
func in()
func out()
func outByte()
func divide()
func sgdt()
func rdmsr()
func movCR()
func lgdt()
func iret()
func int80()
func vmcall()
func sysenter()

var instructions = map[string]func(){
	"ud2": ud2, "int3": int3, "int $3": intByte, "hlt": hlt, "cli": cli, "divide": divide, "sgdt": sgdt,
	"rdmsr": rdmsr, "mov cr": movCR, "lgdt": lgdt, "iret": iret, "in": in, "out": out, "int $0x80": int80,
	"out byte": outByte, "vmcall": vmcall, "sysenter": sysenter,
}

func main() {
	instructions[os.Args[1]]()
	fmt.Println("it was done")
}
