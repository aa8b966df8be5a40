package network

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestPart has guests that send much and end at once, to a client that takes its time. The client gets everything, and the
// end of the stream; the program has its own exit code, and does nothing more after its end.
func TestPart(t *testing.T) {
	size := sample[int64](1, 16) * megabyte
	path := image(t)
	for _, how := range []string{"close", "exit", "panic", "return"} {
		words := []string{path, "--", "part", how, fmt.Sprint(size)}
		code := map[string]int{"exit": contract.PartCode, "panic": 2}[how]
		t.Run("user/"+how, func(t *testing.T) {
			p := ukvmtest.Start(t, ukvmtest.Cmd{Args: append([]string{"run", "-p", "127.0.0.1:0:80"}, words...)})
			port := publishedPorts(t, p, 1)["tcp80"]
			p.Await("ready\n")
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			checkPart(t, p, open(t, c, err), size, code)
		})
		t.Run("tap/"+how, func(t *testing.T) {
			ns := netiftest.NewNetNS(t)
			p := startIn(t, ns, append([]string{"run", "--net", "tap=" + tapName + ",ip=" + tapGuest + "/24"}, words...))
			p.Await("ready\n")
			checkPart(t, p, inNamespace(ns, tapGuest, tapHost).connect(t, 80), size, code)
		})
	}
}

// checkPart is the client.
func checkPart(t *testing.T, p *ukvmtest.Process, c net.Conn, size int64, code int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	time.Sleep(500 * time.Millisecond) // buffers fill
	sum, buf := contract.NewSummer(), make([]byte, 16<<10)
	for {
		n, err := c.Read(buf)
		sum.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Errorf("after %d bytes: %v", sum.Sum().Bytes, err)
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := sum.Sum(); got != contract.SumOf(size, contract.PartSeed) {
		t.Errorf("the client got %d bytes of %d, or wrong ones", got.Bytes, size)
	}
	if r := p.Wait(); r.Code != code || r.Stdout != "ready\n" || strings.Contains(r.Stderr, "panic: part\n") != (code == 2) {
		t.Errorf("code %d, want %d; standard output %q, standard error %q", r.Code, code, r.Stdout, r.Stderr)
	}
}
