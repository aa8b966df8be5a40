// Command marks connects to itself with each setting of /proc/sys/net/ipv4/tcp_ecn and prints whether the connection uses
// explicit congestion notification. The test expects that it does where it is asked for.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const setting = "/proc/sys/net/ipv4/tcp_ecn"

func main() {
	show("by itself")
	for _, n := range []string{"1", "0", "2"} {
		check(os.WriteFile(setting, []byte(n), 0))
		show("after " + n)
	}
	fmt.Println(os.WriteFile(setting, []byte("3"), 0))
}

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func show(what string) {
	now, err := os.ReadFile(setting)
	check(err)
	fmt.Printf("%s: %s", what, strings.TrimSpace(string(now)))
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		check(err)
		c, err := net.Dial("tcp", l.Addr().String())
		check(err)
		raw, err := c.(syscall.Conn).SyscallConn()
		check(err)
		var info *unix.TCPInfo
		check(raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }))
		check(err)
		const optionECN = 8 // TCPI_OPT_ECN, linux/tcp.h
		fmt.Print(" ", info.Options&optionECN != 0)
		c.Close()
		l.Close()
	}
	fmt.Println()
}
