package cli

import (
	"errors"
	"fmt"

	"ukvm.dev/netif/pcap"
)

// Capture is what a command line says of capturing packets: --pcap, --pcap-snaplen, --pcap-limit.
type Capture struct {
	File    string // empty: nothing is captured
	SnapLen int    // bytes of each frame; 0: all
	Limit   string // size of the file; empty: no limit
	limit   int64
}

// Check refuses what makes no sense, given the networks to be captured.
func (c *Capture) Check(networks []Network) error {
	switch {
	case c.File == "" && c.SnapLen != 0:
		return errors.New("--pcap-snaplen needs --pcap, which names the file")
	case c.File == "" && c.Limit != "":
		return errors.New("--pcap-limit needs --pcap, which names the file")
	case c.File == "":
		return nil
	case len(networks) == 0:
		return errors.New("--pcap needs a network whose packets it captures: leave out --net none")
	case c.SnapLen < 0:
		return fmt.Errorf("--pcap-snaplen %d is not a number of bytes", c.SnapLen)
	}
	if c.Limit == "" {
		return nil
	}
	n, err := ParseSize(c.Limit)
	if err != nil {
		return fmt.Errorf("--pcap-limit %w", err)
	}
	const least, most = 4 << 10, 1 << 60
	if n < least || n > most {
		return fmt.Errorf("--pcap-limit %s is out of range: write a size from 4K to 1000000T", c.Limit)
	}
	c.limit = int64(n)
	return nil
}

// open begins the capture; nil, nil if there is none.
func (c *Capture) open() (*pcap.Capture, error) {
	if c.File == "" {
		return nil, nil
	}
	return pcap.Create(c.File, pcap.Options{SnapLen: c.SnapLen, Limit: c.limit})
}

// EndCapture completes the file of the capture and returns a sentence about what is not in it; empty if nothing is missing.
// It is idempotent, and safe for concurrent use.
func (l *Links) EndCapture() string {
	if l.capture == nil {
		return ""
	}
	err, missed := l.capture.Close(), l.capture.Missed()
	switch {
	case errors.Is(err, pcap.ErrLimit):
		return fmt.Sprintf("the capture lacks the last %d frames: its file has reached the size of --pcap-limit", missed)
	case err != nil:
		return fmt.Sprintf("the capture is not complete: %v", err)
	case missed > 0:
		return fmt.Sprintf("the capture lacks %d frames, for which its file was too slow: --pcap-snaplen keeps it small", missed)
	}
	return ""
}
