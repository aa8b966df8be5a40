// Command pinging pings the addresses that its arguments name with golang.org/x/net/icmp: through ping sockets, then through
// raw ones. For each it prints what has come back.
package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func main() {
	for _, a := range os.Args[1:] {
		addr, err := net.ResolveIPAddr("ip", a)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		version := "6"
		if addr.IP.To4() != nil {
			version = "4"
		}
		ping("udp"+version, &net.UDPAddr{IP: addr.IP, Zone: addr.Zone})
		ping(map[string]string{"4": "ip4:icmp", "6": "ip6:ipv6-icmp"}[version], addr)
	}
}

func ping(network string, to net.Addr) {
	c, err := icmp.ListenPacket(network, "")
	if err != nil {
		fmt.Println(network, err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 0x1234, Seq: 7, Data: []byte("pinging")}}
	proto := 1
	if p := c.IPv6PacketConn(); p != nil {
		m.Type, proto = ipv6.ICMPTypeEchoRequest, 58
		err = p.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst, true)
		if network[:2] == "ip" && err == nil {
			var f ipv6.ICMPFilter
			f.SetAll(true)
			f.Accept(ipv6.ICMPTypeEchoReply)
			err = p.SetICMPFilter(&f)
		}
	} else {
		err = c.IPv4PacketConn().SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst, true)
	}
	if err != nil {
		fmt.Println(network, err)
		return
	}
	b, err := m.Marshal(nil) // a raw ICMPv6 socket's checksum is the kernel's business
	if err == nil {
		_, err = c.WriteTo(b, to)
	}
	if err != nil {
		fmt.Println(network, err)
		return
	}
	for {
		buf := make([]byte, 200)
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			fmt.Println(network, err)
			return
		}
		got, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil {
			fmt.Println(network, err)
			return
		}
		if got.Type == m.Type {
			continue // our own request, through loopback, on a raw socket
		}
		host, _, _ := net.SplitHostPort(from.String())
		if host == "" {
			host = from.String()
		}
		echo, _ := got.Body.(*icmp.Echo)
		fmt.Println(network, host, got.Type, echo.Seq, string(echo.Data))
		return
	}
}
