// Command system prints what the program can learn about its surroundings, a line each. The test expects a small Linux
// machine with one processor.
package main

import (
	"fmt"
	"os"
	"os/user"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
)

func main() {
	fmt.Println("processors", runtime.NumCPU(), runtime.GOMAXPROCS(0))
	fmt.Println("goroutines", runtime.NumGoroutine())
	fmt.Println("platform", runtime.GOOS, runtime.GOARCH)
	fmt.Println("hostname", first(os.Hostname()))
	u, err := user.Current()
	fmt.Println("user", u.Username, u.Uid, u.Gid, u.HomeDir, err)
	fmt.Println("ids", os.Getpid(), os.Getppid(), os.Getuid(), os.Geteuid(), os.Getgid())
	fmt.Println("directory", first(os.Getwd()))
	fmt.Println("temporary", os.TempDir())
	fmt.Println("executable", first(os.Executable()))
	fmt.Println("page size", os.Getpagesize())
	home, err := os.UserHomeDir()
	fmt.Printf("home %q %v\n", home, err)
	var un syscall.Utsname
	err = syscall.Uname(&un)
	fmt.Println("uname", text(un.Sysname), text(un.Nodename), text(un.Machine), err)
	var info syscall.Sysinfo_t
	err = syscall.Sysinfo(&info)
	fmt.Println("memory MB", info.Totalram*uint64(max(1, info.Unit))>>20, err)
	build, ok := debug.ReadBuildInfo()
	fmt.Println("main package", strings.TrimPrefix(build.Path, "ukvm.dev/"), ok)
	fmt.Println("std streams", os.Stdin.Fd(), os.Stdout.Fd(), os.Stderr.Fd())
}

func first[T any](v T, err error) any {
	if err != nil {
		return err
	}
	return v
}

func text(b [65]int8) string {
	var s strings.Builder
	for _, c := range b {
		if c == 0 {
			break
		}
		s.WriteByte(byte(c))
	}
	return s.String()
}
