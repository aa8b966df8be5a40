// Command straysyscall makes system calls with SYSCALL instructions that ukvm build has not replaced: of its own assembly,
// and of golang.org/x/sys/unix. The test expects that they are served like the others.
package main

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Defined in call_amd64.s.
func call(nr, a, b, c uintptr) uintptr
func registersKept() bool

func main() {
	text := "written by a stray SYSCALL\n"
	n := call(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)))
	fmt.Println("write:", n == uintptr(len(text)))
	fmt.Println("getpid:", call(syscall.SYS_GETPID, 0, 0, 0) == uintptr(syscall.Getpid()), unix.Getpid() == syscall.Getpid())
	fmt.Println("registers kept:", registersKept())
	fmt.Println("unknown:", syscall.Errno(-call(9999, 0, 0, 0)))
	pause := syscall.Timespec{Nsec: 2e6} // another thread runs meanwhile
	fmt.Println("nanosleep:", call(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0))
	fmt.Println("ids:", unix.Getuid(), unix.Geteuid(), unix.Getgid(), unix.Getegid(), unix.Gettid() > 0)
	r, e, sv := unix.Getresuid()
	fmt.Println("real, effective, saved:", r, e, sv)
	unix.Sync()
	unix.Umask(0o027)
	fmt.Printf("umask: %#o\n", unix.Umask(0o022))
	var u unix.Utsname
	fmt.Println("uname:", unix.Uname(&u), unix.ByteSliceToString(u.Sysname[:]))
	for i := range 100_000 {
		if unix.Getpid() != syscall.Getpid() {
			panic(i)
		}
	}
}
