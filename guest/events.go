package guest

import "time"

// TCP makes connections and waits for them: Listen, ListenAt, Connect.
func TCP() TCPNet { return loop().TCP() }

// UDP makes sockets for datagrams: Open, OpenAt.
func UDP() UDPNet { return loop().UDP() }

// After calls f once on the event loop, d from now.
func After(d time.Duration, f func()) *Timer { return loop().After(d, f) }

// Every calls f every d on the event loop, at least a millisecond, until the timer is stopped.
func Every(d time.Duration, f func()) *Timer { return loop().Every(d, f) }

// Post calls f on the event loop, between other callbacks: a way in for what other goroutines have done.
func Post(f func()) { loop().Post(f) }

// Run returns when nothing is left that could call back: all listeners, connections and sockets are closed and no timer
// is active. The loop runs by itself, from the first call of this package on; Run is for main to wait. It must not be
// called in a callback.
func Run() { loop().Wait() }
