package guests

import (
	"os/exec"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestPacketInfo: control messages of datagrams are as Linux has them, for golang.org/x/net.
func TestPacketInfo(t *testing.T) { asNatively(t, "packetinfo") }

// TestSplicing: io.Copy between connections and files carries, ends and fails as on Linux, where it is splice and sendfile.
// Two files of 64 MiB are to fit into half of the guest's memory.
func TestSplicing(t *testing.T) { asNatively(t, "splicing", "-m", "512M") }

// asNatively runs a program on Linux and in a guest, with flags of ukvm run, and expects the same output.
func asNatively(t *testing.T, name string, flags ...string) {
	t.Parallel()
	path := image(t, name)
	native, err := exec.Command(path).CombinedOutput()
	if err != nil {
		t.Fatalf("natively: %v\n%s", err, native)
	}
	expect{stdout: string(native)}.check(t, ukvmtest.Ukvm(t, append(append([]string{"run", "--net", "user"}, flags...), path)...))
}

// TestPinging: golang.org/x/net/icmp pings by IPv4 and IPv6, itself and the router, through ping sockets and raw ones.
func TestPinging(t *testing.T) {
	t.Parallel()
	r := ukvmtest.Ukvm(t, "run", "--net", "user", image(t, "pinging"), "--", "127.0.0.1", "::1", "10.0.2.2", "fd00::2")
	expect{stdout: lines(
		"udp4 127.0.0.1 echo reply 7 pinging", "ip4:icmp 127.0.0.1 echo reply 7 pinging",
		"udp6 ::1 echo reply 7 pinging", "ip6:ipv6-icmp ::1 echo reply 7 pinging",
		"udp4 10.0.2.2 echo reply 7 pinging", "ip4:icmp 10.0.2.2 echo reply 7 pinging",
		"udp6 fd00::2 echo reply 7 pinging", "ip6:ipv6-icmp fd00::2 echo reply 7 pinging",
	)}.check(t, r)
}

// TestMarks: a program asks for explicit congestion notification as on Linux.
func TestMarks(t *testing.T) {
	t.Parallel()
	expect{stdout: lines("by itself: 2 false false", "after 1: 1 true true", "after 0: 0 false false", "after 2: 2 false false",
		"write /proc/sys/net/ipv4/tcp_ecn: invalid argument")}.check(t, run(t, "marks"))
}
