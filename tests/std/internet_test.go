package std

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif/netiftest"
)

// internet is what tests of the standard library take for the Internet: a namespace with the hosts that they ask for,
// of which the kernel plays all, and a guest's TAP device. Nothing leads out of it: it has no device but loopback and
// that one, so neither a guest nor a native process in it reaches anything else.
type internet struct {
	ns   *netiftest.NetNS
	root string // file with the certificate of the authority that the hosts' certificates come from
}

// Addresses of hosts that the tests have in their text.
const (
	publicDNS  = "8.8.8.8"
	blackHole4 = "198.18.0.254" // a connection to it is to hang: net's slowDst4
	blackHole6 = "2001:2::254"
)

// The other addresses, which names lead to, are those for documentation (RFC 5737, RFC 3849).
const (
	googleHost4, googleHost6 = "192.0.2.1", "2001:db8::1"
	otherHost4, otherHost6   = "192.0.2.2", "2001:db8::2" // answers for yahoo.com; golang.org has it too, and nothing at port 3

	guestAddress4, guestRouter4 = "198.51.100.2", "198.51.100.1"
	guestAddress6, guestRouter6 = "2001:db8:100::2", "2001:db8:100::1"
)

// newInternet makes one. It goes with the test.
func newInternet(t testing.TB) *internet {
	t.Helper()
	n := &internet{ns: netiftest.NewNetNS(t), root: filepath.Join(t.TempDir(), "root.pem")}
	n.ns.Do(t, addHosts)
	t.Cleanup(func() { n.ns.Do(t, alone) })

	datagrams, streams := n.listenPacket(t, publicDNS, 53), n.listen(t, publicDNS, 53)
	go serveDatagrams(datagrams)
	go serveStreams(streams)

	config := &tls.Config{Certificates: certificates(t, n.root, "www.google.com", "yahoo.com")}
	for _, address := range []string{googleHost4, googleHost6, otherHost4, otherHost6} {
		serveHTTP(t, n.listen(t, address, 80))
		serveHTTP(t, tls.NewListener(n.listen(t, address, 443), config))
	}
	return n
}

// flags are those of ukvm for a guest in it. The command is to run in the namespace, where it makes the guest's device.
func (n *internet) flags() []string {
	return []string{
		fmt.Sprintf("--net=tap=tap0,ip=%s/24,gw=%s,ip6=%s/64,gw6=%s", guestAddress4, guestRouter4, guestAddress6, guestRouter6),
		"--dns=" + publicDNS,
		"--copy=" + n.root + ":/etc/ssl/certs/ca-certificates.crt", // where crypto/x509 looks for roots
	}
}

func (n *internet) listen(t testing.TB, address string, port int) (l net.Listener) {
	t.Helper()
	n.ns.Do(t, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(port)))
		return err
	})
	t.Cleanup(func() { l.Close() })
	return l
}

func (n *internet) listenPacket(t testing.TB, address string, port int) (c net.PacketConn) {
	t.Helper()
	n.ns.Do(t, func() (err error) {
		c, err = net.ListenPacket("udp", net.JoinHostPort(address, fmt.Sprint(port)))
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// addHosts gives this thread's namespace the addresses of all hosts, and sinks for those that do not answer.
func addHosts() error {
	if err := alone(); err != nil {
		return err
	}
	// A TAP device's own addresses are good at once, so that the host answers from the right one.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, s := range []string{publicDNS, googleHost4, googleHost6, otherHost4, otherHost6} {
		address := &netlink.Addr{IPNet: single(s), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(lo, address); err != nil {
			return fmt.Errorf("add %s: %w", s, err)
		}
	}
	for _, s := range []string{blackHole4, blackHole6} {
		if err := netlink.RouteAdd(&netlink.Route{Dst: single(s), Type: unix.RTN_BLACKHOLE}); err != nil {
			return fmt.Errorf("add route to %s: %w", s, err)
		}
	}
	return nil
}

// single is the network of one address.
func single(s string) *net.IPNet {
	a := netip.MustParseAddr(s)
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// alone reports an error if this thread's namespace has a device that could lead out of it.
func alone() error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Attrs().Name != "lo" && l.Type() != "tuntap" {
			return fmt.Errorf("the namespace of the tests has device %s (%s), so it may lead outside", l.Attrs().Name, l.Type())
		}
	}
	return nil
}

// certificates makes an authority, writes its certificate to a file, and returns one certificate of it for each host.
func certificates(t testing.TB, file string, hosts ...string) (all []tls.Certificate) {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests/std"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	key, root := certify(t, template, template, nil)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	for i, host := range hosts {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
			NotBefore: template.NotBefore, NotAfter: template.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		private, der := certify(t, leaf, template, key)
		all = append(all, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private})
	}
	return all
}

// certify makes a key and the certificate for it, signed by an issuer's key, or by itself.
func certify(t testing.TB, template, issuer *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// robots is more than the 1000 bytes that net's TestDialGoogle reads.
var robots = "User-agent: *\n" + strings.Repeat("Disallow: /search\n", 100)

// serveHTTP answers every request with a file, until the test ends.
func serveHTTP(t testing.TB, l net.Listener) {
	s := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, robots) }),
		ErrorLog: log.New(io.Discard, "", 0), // tests hang up during handshakes
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}
