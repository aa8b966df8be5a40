package tcp

// State is a connection's state (RFC 9293 §3.3.2). LISTEN is not among them: a Listener is not a connection.
//
//	                  Connect: SYN ──►  SYN-SENT ──┐ SYN|ACK arrives: ACK ──►
//	SYN arrives at a Listener:                │    │
//	SYN|ACK ──►  SYN-RECEIVED ◄── SYN arrives ┘    │
//	                  │ ACK arrives                ▼
//	                  └──────────────────────► ESTABLISHED
//	                     Close: FIN ──►  ┌─────────┴────────┐  FIN arrives: ACK ──►
//	                                FIN-WAIT-1           CLOSE-WAIT
//	      ACK of FIN arrives ┌───────────┤ FIN arrives:      │ Close: FIN ──►
//	                    FIN-WAIT-2       ▼ ACK ──►        LAST-ACK
//	  FIN arrives: ACK ──►   │        CLOSING               │ ACK of FIN arrives
//	                         ▼           │ ACK of FIN        ▼
//	                     TIME-WAIT ◄─────┘ arrives         CLOSED
type State uint8

// States.
const (
	Closed State = iota
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
)

var stateNames = [...]string{
	Closed: "CLOSED", SynSent: "SYN-SENT", SynReceived: "SYN-RCV", Established: "ESTABLISHED", FinWait1: "FIN-WAIT-1",
	FinWait2: "FIN-WAIT-2", CloseWait: "CLOSE-WAIT", Closing: "CLOSING", LastAck: "LAST-ACK", TimeWait: "TIME-WAIT",
}

// String returns the name IncludeOS shows.
func (s State) String() string { return stateNames[s] }

// receives reports whether the peer may still send: its FIN has not arrived.
func (s State) receives() bool { return s == Established || s == FinWait1 || s == FinWait2 }

// transmits reports whether there may be something of ours to send or repeat, data or FIN.
func (s State) transmits() bool {
	switch s {
	case Established, CloseWait, FinWait1, Closing, LastAck:
		return true
	}
	return false
}
