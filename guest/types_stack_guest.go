//go:build ukvm

package guest

import (
	"ukvm/kernel"
	"ukvm/net"
	"ukvm/net/conntrack"
	"ukvm/net/filter"
	"ukvm/net/packet"
)

// The packet filter and what programs change the stack with; package ukvm.dev/guest/net/filter has the rules of rules.
type (
	Filter       = filter.Config    // a set of rules
	FilterChain  = filter.Chain     // rules that are tried one after the other
	FilterRule   = filter.Rule      // conditions, what to do, and a verdict
	FilterAddrs  = filter.Addrs     // a set of addresses
	FilterPorts  = filter.Ports     // a set of ports
	FilterRange  = filter.PortRange // ports one after the other
	FilterLimit  = filter.Limit     // a rate
	FilterAnswer = filter.Answer    // how FilterReject tells the sender

	Boxes     = net.Boxes      // the stack's boxes, joined by function values
	Interface = net.Interface  // a network card with its boxes
	Packet    = packet.Packet  // what passes between boxes
	Handler   = packet.Handler // where it passes
)

// Verdicts of rules.
const (
	FilterContinue = filter.Continue
	FilterAccept   = filter.Accept
	FilterDrop     = filter.Drop
	FilterReject   = filter.Reject
	FilterJump     = filter.Jump
	FilterReturn   = filter.Return
)

// Answers of FilterReject; the zero FilterAnswer is a reset for TCP and AnswerPort for all else.
const (
	AnswerReset      = filter.AnswerReset
	AnswerPort       = filter.AnswerPort
	AnswerHost       = filter.AnswerHost
	AnswerProhibited = filter.AnswerProhibited
)

// States of connections, for FilterRule.State.
const (
	StateNew         = conntrack.New
	StateEstablished = conntrack.Established
	StateRelated     = conntrack.Related
	StateInvalid     = conntrack.Invalid
	StateUntracked   = conntrack.Untracked
)

func stack() *net.Stack {
	if !kernel.InGuest() {
		return nil
	}
	return net.System()
}
