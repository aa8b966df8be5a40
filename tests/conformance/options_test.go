package conformance

import (
	"encoding/binary"
	"strconv"
	"syscall"
)

// option is a socket option of scripts: what it takes, and the calls of setsockopt it becomes.
type option struct {
	args   []check
	encode func(args []string) []sockopt
}

type sockopt struct {
	level, name int
	value       []byte
}

func isOnOff(s string) error { return oneOf("0", "1")(s) }

// integer is an option with an int for a value.
func integer(level, name int, c check) option {
	return option{[]check{c}, func(a []string) []sockopt { return []sockopt{{level, name, ints(number(a[0]))}} }}
}

func ints(values ...int) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

const (
	soReusePort    = 15
	tcpUserTimeout = 18
)

var options = map[string]option{
	"nodelay":   integer(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, isOnOff),
	"cork":      integer(syscall.IPPROTO_TCP, syscall.TCP_CORK, isOnOff),
	"reuseaddr": integer(syscall.SOL_SOCKET, syscall.SO_REUSEADDR, isOnOff),
	"reuseport": integer(syscall.SOL_SOCKET, soReusePort, isOnOff),
	"rcvbuf":    integer(syscall.SOL_SOCKET, syscall.SO_RCVBUF, isNumber),
	"sndbuf":    integer(syscall.SOL_SOCKET, syscall.SO_SNDBUF, isNumber),
	"ttl":       integer(syscall.IPPROTO_IP, syscall.IP_TTL, isNumber),
	"tos":       integer(syscall.IPPROTO_IP, syscall.IP_TOS, isNumber),
	// keepalive IDLE INTERVAL COUNT
	"keepalive": {[]check{isNumber, isNumber, isNumber}, func(a []string) []sockopt {
		return []sockopt{
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, ints(number(a[0]))},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, ints(number(a[1]))},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, ints(number(a[2]))},
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, ints(1)},
		}
	}},
	"usertimeout": {[]check{isSeconds}, func(a []string) []sockopt {
		s, _ := strconv.ParseFloat(a[0], 64)
		return []sockopt{{syscall.IPPROTO_TCP, tcpUserTimeout, ints(int(s * 1000))}}
	}},
	"linger": {[]check{isNumber}, func(a []string) []sockopt {
		return []sockopt{{syscall.SOL_SOCKET, syscall.SO_LINGER, ints(1, number(a[0]))}}
	}},
	"congestion": {[]check{isWord}, func(a []string) []sockopt {
		return []sockopt{{syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, []byte(a[0])}}
	}},
}
