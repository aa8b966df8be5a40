package packetrx

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/vnet"
)

// whole is a frame of a GSO type with n bytes of payload, and its header. IP checksum and lengths are left out, as all that is
// filled in.
func whole(kind uint8, segment, n int, r *rand.Rand) ([]byte, hypercall.NetHeader) {
	be := binary.BigEndian
	frame := make([]byte, 12, netif.EthernetSize)
	frame = be.AppendUint16(frame, 0x0800)
	ip := make([]byte, ip4Size)
	ip[0], ip[5], ip[9] = 0x45, 0xfe, 6
	if kind == hypercall.GSOTCP6 {
		be.PutUint16(frame[etherType:], 0x86dd)
		ip = make([]byte, ip6Size)
		ip[0], ip[6] = 0x60, 6
	}
	for i := len(ip) - 8; i < len(ip); i++ {
		ip[i] = byte(r.Uint32())
	}
	h := hypercall.NetHeader{Flags: hypercall.NeedsCsum, GSOType: kind, GSOSize: uint16(segment), CsumStart: uint16(netif.EthernetSize + len(ip)), CsumOffset: tcpSum}
	l4 := make([]byte, tcpSize+12)
	l4[tcpDoff], l4[tcpFlags] = 8<<4, tcpCWR|0x10|tcpFinPsh
	be.PutUint32(l4[tcpSeq:], 0xffffff00)
	if kind == gsoUDP {
		ip[9], l4, h.CsumOffset = 17, make([]byte, udpSize), udpSum
	}
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	return append(append(append(frame, ip...), l4...), payload...), h
}

// TestCut: the payloads of what a frame is cut into are its own, in order, and all sums and lengths are right.
func TestCut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	be := binary.BigEndian
	for range 300 {
		kind := []uint8{hypercall.GSOTCP4, hypercall.GSOTCP6, gsoUDP}[r.IntN(3)]
		segment := 1 + r.IntN(1500)
		frame, h := whole(kind, segment, 1+r.IntN(20000), r)
		var c cutter
		if !c.has(&h, &netif.Features{RxChecksum: true}) || !c.start(frame, &h) {
			t.Fatalf("%+v is not cut", h)
		}
		headers := c.data
		want, got := frame[headers:], []byte(nil)
		for i := 0; c.more(); i++ {
			f := netif.Frame{Data: [][]byte{make([]byte, 100), make([]byte, 2000)}}
			if !c.next(&f) {
				t.Fatalf("segment %d does not fit", i)
			}
			if f.Header != (hypercall.NetHeader{Flags: hypercall.DataValid}) {
				t.Fatalf("header %+v", f.Header)
			}
			b := make([]byte, f.Len)
			f.CopyTo(b)
			ip, l4 := b[ipStart:h.CsumStart], b[h.CsumStart:]
			payload := b[headers:]
			if len(payload) != segment && c.more() || len(payload) > segment {
				t.Fatalf("segment %d has %d bytes, want %d", i, len(payload), segment)
			}
			pseudo := uint16(ip[6]) + uint16(len(l4)) // next header of IPv6
			if kind == hypercall.GSOTCP6 {
				if n := int(be.Uint16(ip[4:])); n != len(l4) {
					t.Fatalf("payload length %d, want %d", n, len(l4))
				}
				pseudo = checksum.Checksum(ip[8:], pseudo)
			} else {
				if n := int(be.Uint16(ip[2:])); n != len(b)-ipStart || checksum.Checksum(ip, 0) != 0xffff || be.Uint16(ip[4:]) != uint16(0xfe+i) {
					t.Fatalf("IPv4 header %x of a packet of %d bytes", ip, len(b)-ipStart)
				}
				pseudo = checksum.Checksum(ip[12:], uint16(ip[9])+uint16(len(l4)))
			}
			if checksum.Checksum(l4, pseudo) != 0xffff {
				t.Fatalf("kind %d, segment %d: wrong checksum", kind, i)
			}
			if kind == gsoUDP {
				if n := int(be.Uint16(l4[4:])); n != len(l4) {
					t.Fatalf("UDP length %d, want %d", n, len(l4))
				}
			} else {
				flags := byte(0x10)
				if i == 0 {
					flags |= tcpCWR
				}
				if !c.more() {
					flags |= tcpFinPsh
				}
				if seq := uint32(0xffffff00) + uint32(i*segment); be.Uint32(l4[tcpSeq:]) != seq || l4[tcpFlags] != flags {
					t.Fatalf("segment %d of %d: %x", i, segment, l4[:tcpSize])
				}
			}
			got = append(got, payload...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("kind %d: %d bytes, want %d, or others", kind, len(got), len(want))
		}
	}
}

// FuzzCut: no frame makes a cutter reach outside of it, or go on for ever.
func FuzzCut(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, kind := range []uint8{hypercall.GSOTCP4, hypercall.GSOTCP6, gsoUDP} {
		frame, h := whole(kind, 100, 250, r)
		f.Add(frame, h.Flags, h.GSOType, h.GSOSize, h.CsumStart, h.CsumOffset)
	}
	f.Add(make([]byte, 60), uint8(1), uint8(0), uint16(0), uint16(34), uint16(16))
	f.Fuzz(func(t *testing.T, frame []byte, flags, kind uint8, size, start, offset uint16) {
		if len(frame) < netif.EthernetSize || len(frame) > vnet.LongestSegment {
			return
		}
		h := hypercall.NetHeader{Flags: flags, GSOType: kind, GSOSize: size, CsumStart: start, CsumOffset: offset}
		var c cutter
		if !c.has(&h, &netif.Features{}) || !c.start(bytes.Clone(frame), &h) {
			return
		}
		for n := 0; c.more(); n++ {
			if n > len(frame) {
				t.Fatal("more segments than bytes")
			}
			c.next(&netif.Frame{Data: [][]byte{make([]byte, 70000)}})
		}
	})
}
