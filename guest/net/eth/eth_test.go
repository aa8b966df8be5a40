package eth

import (
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

func TestReceive(t *testing.T) {
	ours, other := wire.MAC{2, 0, 0, 0, 0, 1}, wire.MAC{2, 0, 0, 0, 0, 2}
	for _, c := range []struct {
		name  string
		dst   wire.MAC
		typ   wire.EtherType
		short bool
		want  string
	}{
		{"IPv4", ours, wire.TypeIPv4, false, "ip4"},
		{"ARP broadcast", wire.Broadcast, wire.TypeARP, false, "arp broadcast"},
		{"multicast", wire.MAC{1, 0, 0x5e, 1, 2, 3}, wire.TypeIPv4, false, "ip4 broadcast"},
		{"other's", other, wire.TypeIPv4, false, ""},
		{"unknown type", ours, 0x1234, false, ""},
		{"a length, not a type", ours, 46, false, ""},
		{"nobody takes IPv6", ours, wire.TypeIPv6, false, ""},
		{"short", ours, wire.TypeIPv4, true, ""},
	} {
		var pool packet.Pool
		got := ""
		take := func(name string) packet.Handler {
			return func(p *packet.Packet) {
				if got = name; p.Broadcast {
					got += " broadcast"
				}
				if p.MAC != other || string(p.Bytes()) != "payload" {
					t.Errorf("%s: from %x, %q", c.name, p.MAC, p.Bytes())
				}
				p.Release()
			}
		}
		b := Box{MAC: ours, ToIP4: take("ip4"), ToARP: take("arp")}
		p := pool.Receive(wire.EthernetSize + 7)
		wire.Ethernet(p.Bytes()).Encode(c.dst, other, c.typ)
		p.Truncate(wire.EthernetSize + copy(p.Bytes()[wire.EthernetSize:], "payload"))
		if c.short {
			p.Truncate(wire.EthernetSize - 1)
		}
		b.Receive(p)
		if got != c.want || (got == "") != (b.Stats.PacketsDropped == 1) || b.Stats.PacketsRx != 1 {
			t.Errorf("%s: %q, want %q; %+v", c.name, got, c.want, b.Stats)
		}
	}
}

func TestSend(t *testing.T) {
	var pool packet.Pool
	b := Box{MAC: wire.MAC{2, 1}}
	b.Output = func(p *packet.Packet) {
		if h, ok := wire.ParseEthernet(p.Bytes()); !ok || h.Dst() != (wire.MAC{2, 2}) || h.Src() != b.MAC || h.Type() != wire.TypeARP || p.Len() != 24 {
			t.Errorf("%x", p.Bytes())
		}
		p.Release()
	}
	p := pool.Linear(10)
	p.MAC, p.EtherType = wire.MAC{2, 2}, wire.TypeARP
	b.Send(p)
	if b.Stats.PacketsTx != 1 {
		t.Errorf("%+v", b.Stats)
	}
}
