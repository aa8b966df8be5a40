package route

import "net/netip"

// A socket's local address is a pattern: an address; 0.0.0.0 or ::, for all of one version of IP; or the zero Addr, for
// all of both.

// Covers reports whether a socket with a local address takes what is sent to addr.
func Covers(local, addr netip.Addr) bool {
	switch {
	case !local.IsValid() || local == addr:
		return true
	case local.IsUnspecified():
		return local.Is4() == addr.Is4()
	}
	return false
}

// Overlap reports whether there is an address that sockets with local addresses a and b both take.
func Overlap(a, b netip.Addr) bool { return Covers(a, b) || Covers(b, a) }

// Specific reports whether a local address is one address.
func Specific(local netip.Addr) bool { return local.IsValid() && !local.IsUnspecified() }
