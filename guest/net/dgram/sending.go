package dgram

import "ukvm.dev/guest/net/packet"

// Sending is what an end point gives to all that it sends.
type Sending struct {
	TTL           uint8 // 0: the default
	TOS           uint8
	MulticastTTL  uint8 // of what is sent to groups
	MulticastLoop bool  // remembered only
	MulticastLink int   // for what is sent to groups; 0: routing decides
}

// NewSending is what an end point begins with (ip(7), RFC 3493 §5.2).
func NewSending() Sending { return Sending{MulticastTTL: 1, MulticastLoop: true} }

// Apply gives TTL and TOS to a packet that has its destination, those that o asks for if it does.
func (s *Sending) Apply(p *packet.Packet, o *Options) {
	p.TTL, p.TOS = s.TTL, s.TOS
	if p.Dst.IsMulticast() {
		p.TTL = s.MulticastTTL
	}
	if o.TTL != 0 {
		p.TTL = o.TTL
	}
	if o.HasTOS {
		p.TOS = o.TOS
	}
}
