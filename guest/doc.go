// Package guest is what ukvm offers programs beyond Go's standard library. It is an ordinary package, for programs whose
// module requires ukvm.dev: `ukvm build` and `ukvm run` join it to the operating system that they link in; built by plain
// `go build`, or when an image is run as the Linux program it also is, it does the same natively.
//
// It is the event-driven interface to the network, callbacks in place of goroutines and blocking calls, on the stack's own
// event loop, without a copy or an allocation for what arrives; and a hold on that stack: SetFilter, Counters, Rewire.
//
//	func main() {
//		l, err := guest.TCP().Listen(7)
//		if err != nil {
//			log.Fatal(err)
//		}
//		l.OnConnect(func(c *guest.Conn) {
//			c.OnRead(0, func(buf []byte) { c.Write(buf) })
//		})
//		guest.Run()
//	}
//
// Callbacks run one at a time and must not wait; they may call everything here, and all functions may be called from any
// goroutine. Package ukvm.dev/guest/net/event has the rules and the whole of the types. Sockets of package net and events
// can be used side by side: they share the stack and its ports.
//
// Natively the loop is served by package net (native.go): the same calls with the same meaning, made for development and
// tests rather than for speed, with two goroutines for each connection. Two things differ: OnWrite tells of what the
// kernel has taken, not the peer, and errors that have no name here are the system's.
package guest
