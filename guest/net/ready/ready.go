// Package ready names what an end point can be ready for. The values are poll(2)'s, as package posix uses them, so that
// the boxes of the stack need not know that package.
package ready

// Events is a set of conditions.
type Events uint32

// Conditions.
const (
	In    Events = 0x1     // data, a connection, an error or the end can be read
	Out   Events = 0x4     // there is room to write
	Err   Events = 0x8     // an error is pending
	Hup   Events = 0x10    // both directions are shut
	RdHup Events = 0x2000  // the peer has shut its writing side
	Acked Events = 1 << 31 // the peer has acknowledged data; not poll's, and raised only where asked for
)
