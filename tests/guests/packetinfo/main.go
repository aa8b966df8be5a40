// Command packetinfo sends datagrams to itself through loopback with golang.org/x/net's PacketConns and prints what control
// messages say of them: addresses, interface, hop limit, class. The test runs it on Linux, too, and expects the same.
package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func main() {
	four()
	six()
	dual()
	batch()
	refused()
}

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func listen(network, address string) (*net.UDPConn, *net.UDPAddr) {
	c, err := net.ListenPacket(network, address)
	check(err)
	check(c.SetDeadline(time.Now().Add(20 * time.Second)))
	return c.(*net.UDPConn), c.LocalAddr().(*net.UDPAddr)
}

func four() {
	c, at := listen("udp4", "127.0.0.1:0")
	defer c.Close()
	p := ipv4.NewPacketConn(c)
	buf := make([]byte, 100)
	show := func() {
		n, cm, from, err := p.ReadFrom(buf)
		check(err)
		if cm == nil {
			fmt.Printf("%s: nothing\n", buf[:n])
			return
		}
		fmt.Printf("%s: ttl %d, dst %v, interface %d, from itself %v\n", buf[:n], cm.TTL, cm.Dst, cm.IfIndex, from.String() == at.String())
	}
	_, err := p.WriteTo([]byte("plain"), nil, at)
	check(err)
	show()
	check(p.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst|ipv4.FlagInterface, true))
	check(p.SetTTL(9))
	_, err = p.WriteTo([]byte("asked"), &ipv4.ControlMessage{Src: net.IPv4(127, 0, 0, 1), IfIndex: 1}, at)
	check(err)
	show()
	check(p.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, false))
	_, err = p.WriteTo([]byte("only TTL"), nil, at)
	check(err)
	show()
}

func six() {
	c, at := listen("udp6", "[::1]:0")
	defer c.Close()
	p := ipv6.NewPacketConn(c)
	check(p.SetControlMessage(ipv6.FlagTrafficClass|ipv6.FlagHopLimit|ipv6.FlagDst|ipv6.FlagInterface, true))
	for _, say := range []*ipv6.ControlMessage{nil, {HopLimit: 33, TrafficClass: 0x2e}, {Src: net.IPv6loopback, IfIndex: 1}} {
		_, err := p.WriteTo([]byte("hello"), say, at)
		check(err)
		buf := make([]byte, 100)
		n, cm, _, err := p.ReadFrom(buf)
		check(err)
		fmt.Printf("%s: hop limit %d, class %#x, dst %v, interface %d\n", buf[:n], cm.HopLimit, cm.TrafficClass, cm.Dst, cm.IfIndex)
	}
}

// dual: a socket of both versions hears of both, as QUIC servers want it.
func dual() {
	c, at := listen("udp", ":0")
	defer c.Close()
	p := ipv6.NewPacketConn(c)
	check(p.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface|ipv6.FlagHopLimit, true))
	check(ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst, true))
	for _, host := range []string{"127.0.0.1", "::1"} {
		s, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(host), Port: at.Port})
		check(err)
		_, err = s.Write([]byte(host))
		check(err)
		buf, oob := make([]byte, 100), make([]byte, 200)
		n, m, flags, from, err := c.ReadMsgUDP(buf, oob)
		check(err)
		fmt.Printf("%s: %x, flags %d, from %v\n", buf[:n], oob[:m], flags, from.IP)
		_, m, err = c.WriteMsgUDP([]byte("back"), oob[:m], from) // as it came
		check(err)
		check(s.SetDeadline(time.Now().Add(20 * time.Second)))
		n, err = s.Read(buf)
		check(err)
		fmt.Printf("%s\n", buf[:n])
		s.Close()
	}
}

func batch() {
	c, at := listen("udp6", "[::1]:0")
	defer c.Close()
	p := ipv6.NewPacketConn(c)
	check(p.SetControlMessage(ipv6.FlagDst|ipv6.FlagHopLimit, true))
	var out []ipv6.Message
	for i := range 5 {
		m := ipv6.Message{Buffers: [][]byte{[]byte("message "), {byte('0' + i)}}, Addr: at}
		m.OOB = (&ipv6.ControlMessage{HopLimit: 10 + i}).Marshal()
		out = append(out, m)
	}
	n, err := p.WriteBatch(out, 0)
	check(err)
	fmt.Println("sent", n)
	for got := 0; got < n; {
		in := make([]ipv6.Message, 8)
		for i := range in {
			in[i] = ipv6.Message{Buffers: [][]byte{make([]byte, 4), make([]byte, 60)}, OOB: make([]byte, 100)}
		}
		k, err := p.ReadBatch(in, 0)
		check(err)
		for _, m := range in[:k] {
			var cm ipv6.ControlMessage
			check(cm.Parse(m.OOB[:m.NN]))
			fmt.Printf("%s%s: hop limit %d, dst %v\n", m.Buffers[0], m.Buffers[1][:m.N-4], cm.HopLimit, cm.Dst)
		}
		got += k
	}
}

// refused: what no socket sends.
func refused() {
	c, at := listen("udp4", "127.0.0.1:0")
	defer c.Close()
	for _, cm := range []*ipv4.ControlMessage{{IfIndex: 12345}, {Src: net.IPv4(192, 0, 2, 1)}} {
		_, err := ipv4.NewPacketConn(c).WriteTo([]byte("x"), cm, at)
		fmt.Println(cause(err))
	}
	c6, at6 := listen("udp6", "[::1]:0")
	defer c6.Close()
	for _, cm := range []*ipv6.ControlMessage{{IfIndex: 12345}, {Src: net.ParseIP("2001:db8::1")}, {HopLimit: 300}} {
		_, err := ipv6.NewPacketConn(c6).WriteTo([]byte("x"), cm, at6)
		fmt.Println(cause(err))
	}
	buf, oob := make([]byte, 10), make([]byte, 20) // room for less than one message
	check(ipv6.NewPacketConn(c6).SetControlMessage(ipv6.FlagDst, true))
	_, err := c6.WriteTo([]byte("cut"), at6)
	check(err)
	n, m, flags, _, err := c6.ReadMsgUDP(buf, oob)
	check(err)
	fmt.Printf("%s: %d bytes of control, flags %#x\n", buf[:n], m, flags)
}

// cause is an error without addresses, which have ports.
func cause(err error) error {
	if e, ok := err.(*net.OpError); ok {
		return e.Err
	}
	return err
}
