package wire

import (
	"bytes"
	"testing"
)

// The fuzz targets call every getter on what Parse accepts, and check that what is decoded can be encoded again. Their
// seeds are in testdata/fuzz.

func FuzzEthernet(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseEthernet(b)
		if !ok {
			return
		}
		c := make(Ethernet, EthernetSize)
		c.Encode(h.Dst(), h.Src(), h.Type())
		if !bytes.Equal(c, h) {
			t.Errorf("%x became %x", []byte(h), []byte(c))
		}
	})
}

func FuzzARP(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseARP(b)
		if !ok {
			return
		}
		c := make(ARP, ARPSize)
		c.Encode(h.Op(), h.SenderMAC(), h.SenderIP(), h.TargetMAC(), h.TargetIP())
		if !bytes.Equal(c, h) {
			t.Errorf("%x became %x", []byte(h), []byte(c))
		}
	})
}

func FuzzIPv4(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseIPv4(b)
		if !ok {
			return
		}
		if len(h) < IPv4Size || len(h) > 60 || h.PayloadLen() < 0 || h.Offset() > 65528 {
			t.Errorf("impossible header %x", []byte(h))
		}
		if len(h) != IPv4Size {
			return
		}
		c := make(IPv4, IPv4Size)
		c.Encode(&IPv4Fields{
			TOS: h.TOS(), TotalLen: h.TotalLen(), ID: h.ID(), Flags: get16(h[6:]) & 0xe000, Offset: h.Offset(), TTL: h.TTL(),
			Proto: h.Proto(), Src: h.Src(), Dst: h.Dst(),
		})
		if !c.ChecksumOK() {
			t.Errorf("checksum of %x", []byte(c))
		}
		put16(h[10:], c.Checksum())
		if !bytes.Equal(c, h) {
			t.Errorf("%x became %x", []byte(h), []byte(c))
		}
	})
}

func FuzzICMP(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := ParseICMP(b); ok {
			_, _, _, _, _, _ = h.Type(), h.Code(), h.Checksum(), h.ID(), h.Seq(), h.MTU()
		}
	})
}

func FuzzUDP(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseUDP(b)
		if !ok {
			return
		}
		c := make(UDP, UDPSize)
		c.Encode(h.SrcPort(), h.DstPort(), h.Len(), h.Checksum())
		if !bytes.Equal(c, h) || h.Len() < UDPSize {
			t.Errorf("%x became %x", []byte(h), []byte(c))
		}
	})
}

func FuzzTCP(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseTCP(b)
		if !ok {
			return
		}
		if len(h) < TCPSize || len(h) > TCPMax {
			t.Errorf("header of %d bytes", len(h))
		}
		var o TCPOptions
		o.Parse(h.Options())
		if o.WindowScale > MaxWindowScale || o.SACKs > SACKBlocksMax {
			t.Errorf("options %+v", o)
		}
		if o.SACKs > 0 {
			blocks := TCPOptions{SACKs: o.SACKs, SACK: o.SACK}
			e := make([]byte, TCPSACKSize(int(o.SACKs)))
			blocks.EncodeSACK(e)
			var again TCPOptions
			if again.Parse(e); again.SACKs != blocks.SACKs || again.SACK != blocks.SACK {
				t.Errorf("%+v became %+v", blocks, again)
			}
		}
		if o.MSS == 0 {
			return
		}
		var e [TCPSynOptionsMax]byte
		o.SACKs, o.SACK = 0, [4]SACKBlock{}
		n := o.EncodeSyn(e[:])
		var again TCPOptions
		if again.Parse(e[:n]); again != o {
			t.Errorf("%+v became %+v", o, again)
		}
	})
}

func FuzzDHCP(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		h, o, ok := ParseDHCP(b)
		if !ok {
			return
		}
		_, _, _, _, _, _ = h.Op(), h.XID(), h.Flags(), h.ClientIP(), h.YourIP(), h.ClientMAC()
		for code := range 256 {
			v, ok := o.Get(uint8(code))
			if ok && len(v) > 255 {
				t.Errorf("option %d of %d bytes", code, len(v))
			}
			o.Addrs(uint8(code), 3)
			o.Addr(uint8(code))
			o.Uint32(uint8(code))
			o.Uint16(uint8(code))
		}
		o.Type()
	})
}
