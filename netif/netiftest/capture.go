package netiftest

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
)

// Captured is a packet in a capture file.
type Captured struct {
	Time   time.Time
	Card   string // name of the interface
	Data   []byte
	Length int // of the packet, of which Data is the beginning
}

// Capture is a pcapng file.
type Capture struct {
	Cards   []pcapgo.NgInterface // with the statistics as far as they have been read
	Packets []Captured
}

// ReadCapture reads a pcapng file with a reader that is not ours, to its end.
func ReadCapture(t testing.TB, r io.Reader) (c Capture) {
	t.Helper()
	ng, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatalf("read capture: %v", err)
	}
	for {
		data, info, err := ng.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("read packet %d of capture: %v", len(c.Packets), err)
		}
		if len(data) != info.CaptureLength {
			t.Fatalf("packet %d of capture has %d bytes of %d", len(c.Packets), len(data), info.CaptureLength)
		}
		card, err := ng.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatalf("packet %d of capture: %v", len(c.Packets), err)
		}
		c.Packets = append(c.Packets, Captured{info.Timestamp, card.Name, data, info.Length})
	}
	for i := range ng.NInterfaces() {
		card, err := ng.Interface(i)
		if err != nil {
			t.Fatal(err)
		}
		c.Cards = append(c.Cards, card)
	}
	return c
}

// ReadCaptureFile reads a file.
func ReadCaptureFile(t testing.TB, name string) Capture {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return ReadCapture(t, f)
}
