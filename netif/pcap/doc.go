// Package pcap writes what passes over network links to a file that Wireshark and tcpdump open: pcapng
// (draft-ietf-opsawg-pcapng), with an interface for each link and nanoseconds in its time stamps.
//
//	capture, err := pcap.Create("guest.pcapng", pcap.Options{})
//	nic.Link = capture.Link(nic.Link, "eth0", nic.Config)
//	...
//	err = capture.Close()
//
// The direction of a packet is the guest's: outbound is what it sends. Frames are written as the link is given them. So a
// checksum that the guest leaves to the link is not filled in yet, and a segment that the link is to cut is one frame of up
// to 64 KiB, as it is in captures of Linux's own devices. A guest that changes a frame while it is sent can have another
// one in the file than on the wire.
//
// A capture never holds up a link for longer than copying a frame takes. Frames go to a buffer of Options.Buffer bytes
// first, and a goroutine writes them at most a tenth of a second later, so that even a process that is killed leaves a file
// that lacks no more than that. Where the file is slower than the link, or the limit of its size is reached, frames are
// left out of the file and counted; the link carries them all the same.
//
// The format is 150 lines here. github.com/gopacket/gopacket/pcapgo has it too, but brings its packet decoders along: 3
// MiB in the executable and 0.7 ms at each start of it, also of those that capture nothing. The tests read files with it.
package pcap
