// Package event is the stack's other face, beside sockets: programs that are driven by events. A program says what is to
// be done when a connection arrives, when data has come, when there is room to write or time has passed, and has no
// goroutine for any of it.
//
//	l, err := stack.TCP().Listen(80)
//	l.OnConnect(func(c *event.Conn) {
//		c.OnRead(0, func(buf []byte) { c.Write(buf) })
//	})
//	stack.Events().Wait()
//
// # The loop
//
//	driver: a batch of frames ─┐          ┌─ Tell ──► pending: connections, listeners, sockets and
//	clock: timers              ├─► boxes ─┤          timers with news, each once
//	                           ┘          ├─ Run ───► their callbacks, one after the other
//	                                      └─ Flush ─► what callbacks have written goes out, with the ACKs
//
// Callbacks run on the goroutine that brought the work, as everything in the stack does, one at a time and to completion,
// and without the stack's lock. So a callback may call everything here, and everything else: it may write, close, connect,
// start timers, change callbacks, lock the program's mutexes, panic. What it writes is sent when the batch is done: many
// short answers become one long segment, and carry the ACK of what they answer. What a callback must not do is wait: no
// other callback runs meanwhile, and frames stay in the card's queue. (Goexit would end the driver's goroutine.)
//
// All functions are safe to be called from any goroutine. A callback never runs within a call that the program makes,
// be it from another callback or elsewhere: where a call has consequences at once (over loopback), they are left to the
// loop. So a mutex may be held while calling, and be taken in callbacks.
//
// # Memory
//
// OnRead's callback is given the bytes where the card has put them, and must be done with them when it returns. Write
// copies into the send buffer: the only copy there is in either direction. The buffer is bounded (tcp.Limits), Write says
// how much it has taken, and OnDrain when there is room again. What is not read, because of Pause or because there is no
// OnRead yet, waits in the receive buffer, and closes the window when that is full. Nothing is allocated for a packet,
// an event or a write.
//
// What carries the connections is behind two small interfaces and Host's function values: in a guest the stack's TCP and
// UDP boxes, natively (package ukvm.dev/guest) Go's own net package.
package event
