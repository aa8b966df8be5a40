package std

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is what the small Internet's resolver knows: of each name the records that tests of net ask for, with what they
// expect of them. A name that is there without the type asked for has no data; one that is not there does not exist.
var names = map[string][]dnsmessage.ResourceBody{
	"google.com.": {
		address(googleHost4), address(googleHost6), mail("smtp.google.com."), server("ns1.google.com."),
	},
	"www.google.com.":        {address(googleHost4), address(googleHost6)},
	"ipv6.google.com.":       {address(googleHost6)},
	"_ldap._tcp.google.com.": {&dnsmessage.SRVResource{Priority: 5, Port: 389, Target: name("ldap.google.com.")}},
	"gmail.com.": {
		address(googleHost4), address(googleHost6), mail("gmail-smtp-in.l.google.com."), server("ns1.google.com."),
		text("v=spf1 redirect=_spf.google.com"),
	},
	"yahoo.com.":      {address(otherHost4), address(otherHost6)},
	"golang.org.":     {address(otherHost4), address(otherHost6)},
	"www.golang.org.": {alias("golang.org.")},
	"www.iana.org.":   {alias("ianawww.vip.icann.org.")}, // what Go 1.25 asks for in its place
	"ianawww.vip.icann.org.": {
		address(otherHost4), address(otherHost6),
	},
	"www.mit.edu.": {alias("www.mit.edu.edgekey.net.")},
	"www.mit.edu.edgekey.net.": {
		address(otherHost4), address(otherHost6),
	},
	"cname-to-txt.go4.org.":    {alias("test-txt-record.go4.org.")},
	"test-txt-record.go4.org.": {text("This is a test TXT record.")},
	"golang.rsc.io.":           {text(longText[:250], longText[250:]), text("gophers rule")},

	"8.8.8.8.in-addr.arpa.": {pointer("dns.google.")},
	"4.4.8.8.in-addr.arpa.": {pointer("dns.google.")},
	"8.8.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.ip6.arpa.": {pointer("dns.google.")},
	"4.4.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.ip6.arpa.": {pointer("dns.google.")},
}

// longText is a record's worth that needs two strings (RFC 1035 section 3.3: one has at most 255 bytes).
var longText = strings.Repeat("abcdefghijklmnopqrstuvwxyABCDEFGHJIKLMNOPQRSTUVWXY", 10)

func name(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

func alias(s string) dnsmessage.ResourceBody   { return &dnsmessage.CNAMEResource{CNAME: name(s)} }
func mail(s string) dnsmessage.ResourceBody    { return &dnsmessage.MXResource{Pref: 10, MX: name(s)} }
func server(s string) dnsmessage.ResourceBody  { return &dnsmessage.NSResource{NS: name(s)} }
func pointer(s string) dnsmessage.ResourceBody { return &dnsmessage.PTRResource{PTR: name(s)} }
func text(s ...string) dnsmessage.ResourceBody { return &dnsmessage.TXTResource{TXT: s} }

func address(s string) dnsmessage.ResourceBody {
	a := netip.MustParseAddr(s)
	if a.Is4() {
		return &dnsmessage.AResource{A: a.As4()}
	}
	return &dnsmessage.AAAAResource{AAAA: a.As16()}
}

// typeOf is the type of a record.
func typeOf(body dnsmessage.ResourceBody) dnsmessage.Type {
	switch body.(type) {
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		return dnsmessage.TypeAAAA
	case *dnsmessage.CNAMEResource:
		return dnsmessage.TypeCNAME
	case *dnsmessage.MXResource:
		return dnsmessage.TypeMX
	case *dnsmessage.NSResource:
		return dnsmessage.TypeNS
	case *dnsmessage.PTRResource:
		return dnsmessage.TypePTR
	case *dnsmessage.SRVResource:
		return dnsmessage.TypeSRV
	case *dnsmessage.TXTResource:
		return dnsmessage.TypeTXT
	}
	panic("BUG: a record of a type that the resolver does not know")
}

// lookUp is what the resolver knows of a name: aliases that lead on are followed (RFC 1034 section 4.3.2).
func lookUp(question dnsmessage.Question) (records []dnsmessage.Resource, exists bool) {
	at := strings.ToLower(question.Name.String())
	for range len(names) { // aliases that lead round in a circle end
		bodies, known := names[at]
		if !known {
			return records, len(records) > 0
		}
		next := ""
		for _, body := range bodies {
			kind := typeOf(body)
			if kind != question.Type && kind != dnsmessage.TypeCNAME {
				continue
			}
			header := dnsmessage.ResourceHeader{Name: name(at), Type: kind, Class: dnsmessage.ClassINET, TTL: 60}
			records = append(records, dnsmessage.Resource{Header: header, Body: body})
			if c, ok := body.(*dnsmessage.CNAMEResource); ok && question.Type != dnsmessage.TypeCNAME {
				next = c.CNAME.String()
			}
		}
		if next == "" {
			return records, true
		}
		at = next
	}
	return records, true
}

// answer makes the answer to a query of at most longest bytes; nil if it is none.
func answer(query []byte, longest int) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || m.Response || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RecursionAvailable, m.RCode = true, true, dnsmessage.RCodeSuccess
	m.Answers, m.Authorities, m.Additionals = nil, nil, nil
	records, exists := lookUp(m.Questions[0])
	if !exists {
		m.RCode = dnsmessage.RCodeNameError
	}
	m.Answers = records
	b, err := m.Pack()
	if err == nil && len(b) > longest {
		m.Truncated, m.Answers = true, nil // ask by TCP
		b, err = m.Pack()
	}
	if err != nil {
		panic("BUG: an answer cannot be packed: " + err.Error())
	}
	return b
}

const (
	longestDatagram = 512       // RFC 1035 section 4.2.1
	longestStream   = 1<<16 - 1 // section 4.2.2: a length of two bytes precedes it
)

// serveDatagrams answers until the socket is closed.
func serveDatagrams(c net.PacketConn) {
	buf := make([]byte, longestStream)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if b := answer(buf[:n], longestDatagram); b != nil {
			c.WriteTo(b, from)
		}
	}
}

// serveStreams answers until the listener is closed.
func serveStreams(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var size [2]byte
			for {
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, query); err != nil {
					return
				}
				b := answer(query, longestStream)
				if b == nil {
					return
				}
				if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
					return
				}
			}
		}()
	}
}

// TestNames asks the resolver as a client does, so that what tests in guests report is not its own mistake.
func TestNames(t *testing.T) {
	ask := func(s string, kind dnsmessage.Type, longest int) dnsmessage.Message {
		t.Helper()
		query := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: name(s), Type: kind, Class: dnsmessage.ClassINET}},
		}
		b, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer(b, longest)); err != nil || m.ID != 7 || !m.Response {
			t.Fatalf("%s: %v, %v", s, m.Header, err)
		}
		return m
	}
	for _, c := range []struct {
		name    string
		kind    dnsmessage.Type
		rcode   dnsmessage.RCode
		answers int
	}{
		{"google.com.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"WWW.Golang.org.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 2},
		{"_ldap._tcp.google.com.", dnsmessage.TypeSRV, dnsmessage.RCodeSuccess, 1},
		{"_ldap._tcp.google.com.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 0},
		{"golang.rsc.io.", dnsmessage.TypeTXT, dnsmessage.RCodeSuccess, 2},
		{"invalid.invalid.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
	} {
		m := ask(c.name, c.kind, longestStream)
		if m.RCode != c.rcode || len(m.Answers) != c.answers || m.Truncated {
			t.Errorf("%s %v: %v, %d answers", c.name, c.kind, m.RCode, len(m.Answers))
		}
	}
	if m := ask("golang.rsc.io.", dnsmessage.TypeTXT, longestDatagram); !m.Truncated || len(m.Answers) != 0 {
		t.Errorf("more than a datagram has: truncated %v, %d answers", m.Truncated, len(m.Answers))
	}
	if answer([]byte("no message"), longestStream) != nil {
		t.Error("what is no message is answered")
	}
}
