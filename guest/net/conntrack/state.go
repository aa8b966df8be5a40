package conntrack

import "strings"

// State is what a packet is to the connections known, as one bit, so that rules can have sets of them.
type State uint8

// States.
const (
	New         State = 1 << iota // the first packet of a connection, or one of those before there is an answer
	Established                   // of a connection that has been seen in both directions
	Related                       // an ICMP error about a packet of a connection
	Invalid                       // what cannot be: no connection's, outside its window, malformed
	Untracked                     // what nobody keeps track of
	States      = 5               // how many there are
)

var stateNames = [States]string{"new", "established", "related", "invalid", "untracked"}

func (s State) String() string {
	var l []string
	for i, n := range stateNames {
		if s>>i&1 != 0 {
			l = append(l, n)
		}
	}
	return strings.Join(l, ",")
}
