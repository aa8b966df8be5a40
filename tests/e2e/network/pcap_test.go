package network

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/internal/ukvmtest"
)

// startPcap runs ukvm with a user network, a TAP device and a capture, and makes one request over each.
func startPcap(t *testing.T, flags ...string) (p *ukvmtest.Process, file string) {
	t.Helper()
	p, file, _ = startPcapIn(t, netiftest.NewNetNS(t), flags...)
	return p, file
}

// startPcapIn says also which port is that of the guest.
func startPcapIn(t *testing.T, ns *netiftest.NetNS, flags ...string) (p *ukvmtest.Process, file string, port int) {
	t.Helper()
	path := image(t)
	file = filepath.Join(t.TempDir(), "guest.pcapng")
	p = startIn(t, ns, append(append([]string{
		"run", "--net", "user", "-p", "127.0.0.1:0:80", "--net", "tap=" + tapName + ",ip=" + tapGuest + "/24,mtu=1400", "--pcap", file,
	}, flags...), path))
	ports := publishedPorts(t, p, 1)
	p.Await("ready\n")
	getAddresses(t, inNamespace(ns, "127.0.0.1", ""), ports["tcp80"])
	getAddresses(t, inNamespace(ns, tapGuest, ""), 80)
	return p, file, ports["tcp80"]
}

// getAddresses asks a guest which addresses it has.
func getAddresses(t *testing.T, w *world, port int) string {
	t.Helper()
	c := w.connect(t, port)
	fmt.Fprint(c, "GET /addresses HTTP/1.0\r\n\r\n")
	buf := make([]byte, 4096)
	n, _ := readAll(c, buf)
	if !bytes.Contains(buf[:n], []byte("eth0")) {
		t.Fatalf("the guest answers %q", buf[:n])
	}
	return string(buf[:n])
}

// checkPcap checks that a capture has both requests of startPcap and their answers.
func checkPcap(t *testing.T, c netiftest.Capture, ended bool) {
	t.Helper()
	if len(c.Cards) != 2 || !strings.Contains(c.Cards[1].Description, "MTU 1400") {
		t.Fatalf("cards: %+v", c.Cards)
	}
	for _, card := range c.Cards {
		var frames uint64
		var questions, answers int
		for _, p := range c.Packets {
			if p.Card != card.Name {
				continue
			}
			frames++
			if bytes.Contains(p.Data, []byte("GET /addresses")) {
				questions++
			}
			if bytes.Contains(p.Data, []byte("HTTP/1.0 200 OK")) {
				answers++
			}
		}
		if questions != 1 || answers != 1 {
			t.Errorf("%s: %d questions and %d answers in %d frames", card.Name, questions, answers, frames)
		}
		if s := card.Statistics; ended && (s.PacketsReceived != frames || s.PacketsDropped != 0) {
			t.Errorf("%s: %d frames, statistics %+v", card.Name, frames, s)
		}
	}
	for i := 1; i < len(c.Packets); i++ {
		if c.Packets[i].Time.Before(c.Packets[i-1].Time) {
			t.Errorf("packet %d is older than the one before", i)
		}
	}
}

// TestPcap reads what ukvm has captured of a guest with two cards, after each way to end.
func TestPcap(t *testing.T) {
	t.Run("end", func(t *testing.T) {
		p, file := startPcap(t)
		p.Signal(syscall.SIGTERM)
		if r := p.Wait(); r.Code != 0 || strings.Contains(r.Stderr, "capture") {
			t.Errorf("%+v", r)
		}
		checkPcap(t, netiftest.ReadCaptureFile(t, file), true)
	})
	t.Run("stopped", func(t *testing.T) {
		p, file := startPcap(t, "--stop-timeout", "0")
		p.Signal(syscall.SIGINT)
		if r := p.Wait(); r.Code != 128+int(syscall.SIGINT) {
			t.Errorf("%+v", r)
		}
		checkPcap(t, netiftest.ReadCaptureFile(t, file), true)
	})
	t.Run("killed", func(t *testing.T) {
		p, file := startPcap(t)
		eventually(t, func() error { // a moment after the last packet
			b, err := os.ReadFile(file)
			if n := bytes.Count(b, []byte("HTTP/1.0 200 OK")); n < 2 {
				return fmt.Errorf("%d answers are in the file, %v", n, err)
			}
			return nil
		})
		p.Signal(syscall.SIGKILL)
		p.Wait()
		checkPcap(t, netiftest.ReadCaptureFile(t, file), false)
	})
	t.Run("limit", func(t *testing.T) {
		ns := netiftest.NewNetNS(t)
		p, file, port := startPcapIn(t, ns, "--pcap-snaplen", "1000", "--pcap-limit", "4K")
		for range 10 {
			getAddresses(t, inNamespace(ns, "127.0.0.1", ""), port)
		}
		p.Signal(syscall.SIGTERM)
		if r := p.Wait(); r.Code != 0 || !strings.Contains(r.Stderr, "frames: its file has reached the size of --pcap-limit") {
			t.Errorf("%+v", r)
		}
		if c := netiftest.ReadCaptureFile(t, file); len(c.Packets) == 0 || c.Cards[0].Statistics.PacketsDropped+c.Cards[1].Statistics.PacketsDropped == 0 {
			t.Errorf("%d packets, cards %+v", len(c.Packets), c.Cards)
		}
	})
}
