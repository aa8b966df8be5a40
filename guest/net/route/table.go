// Package route decides through which interface, and to whom on it, a packet leaves: a list of prefixes, longest first.
// It serves IPv4 and IPv6 alike. Not safe for concurrent use: the stack's lock guards it.
package route

import (
	"errors"
	"net/netip"
)

// ErrNoRoute is returned for a destination no route leads to.
var ErrNoRoute = errors.New("network is unreachable")

// Route is where a packet goes.
type Route struct {
	Link      int        // index of the interface
	Source    netip.Addr // the address to send from, unless the socket has one
	NextHop   netip.Addr // whom on the link to send to: the destination or a router
	MTU       int        // largest IP packet in bytes
	TSO       int        // largest TCP payload the interface segments itself; 0: it does not
	Broadcast bool       // the destination is a broadcast address of the link or a multicast group
	Local     bool       // the destination is an address of this host
}

// Entry is one line of the table.
type Entry struct {
	Prefix netip.Prefix
	Router netip.Addr // zero: the destination is on the link
	Link   int
	Source netip.Addr // zero: the interface's first address
}

// MaxEntries bounds a table. Looking up is linear: a guest has a handful of routes.
const MaxEntries = 64

// ErrTableFull is returned by Add when there are MaxEntries routes.
var ErrTableFull = errors.New("routing table is full")

// Table is a set of routes. The zero Table is empty.
type Table struct {
	entries []Entry // longest prefix first; of equal length, the older first
}

// Add inserts e. An equal entry is replaced.
func (t *Table) Add(e Entry) error {
	e.Prefix = e.Prefix.Masked()
	for i := range t.entries {
		if o := &t.entries[i]; o.Prefix == e.Prefix && o.Router == e.Router && o.Link == e.Link {
			*o = e
			return nil
		}
	}
	if len(t.entries) >= MaxEntries {
		return ErrTableFull
	}
	i := 0
	for i < len(t.entries) && t.entries[i].Prefix.Bits() >= e.Prefix.Bits() {
		i++
	}
	t.entries = append(t.entries, Entry{})
	copy(t.entries[i+1:], t.entries[i:])
	t.entries[i] = e
	return nil
}

// Remove removes the route to e.Prefix through e.Router and e.Link, and reports whether there was one.
func (t *Table) Remove(e Entry) bool {
	e.Prefix = e.Prefix.Masked()
	for i := range t.entries {
		if o := &t.entries[i]; o.Prefix == e.Prefix && o.Router == e.Router && o.Link == e.Link {
			t.entries = append(t.entries[:i], t.entries[i+1:]...)
			return true
		}
	}
	return false
}

// RemoveLink removes all routes through an interface.
func (t *Table) RemoveLink(link int) {
	kept := t.entries[:0]
	for _, e := range t.entries {
		if e.Link != link {
			kept = append(kept, e)
		}
	}
	t.entries = kept
}

// Lookup returns the entry for dst: the longest prefix that holds it. If link is not 0, only that interface's count.
func (t *Table) Lookup(dst netip.Addr, link int) (*Entry, bool) {
	for i := range t.entries {
		e := &t.entries[i]
		if (link == 0 || e.Link == link) && e.Prefix.Contains(dst) {
			return e, true
		}
	}
	return nil, false
}

// Entries returns the table's lines in the order they are tried. The caller does not keep them.
func (t *Table) Entries() []Entry { return t.entries }
