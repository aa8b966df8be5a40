package filter

// fromTransport are the conditions about what not every packet has.
const fromTransport = onSrcPort | onDstPort | onType | onFlags

// matches reports whether all conditions of a rule but its limit hold.
func (r *rule) matches(f *header) bool {
	m := r.match
	switch {
	case m&onProto != 0 && r.proto != f.proto,
		m&fromTransport&^f.has != 0,
		m&onDstPort != 0 && r.dstPort.contains(f.dstPort) == (m&notDstPort != 0),
		m&onState != 0 && r.state&f.state == 0,
		m&onSrcPort != 0 && r.srcPort.contains(f.srcPort) == (m&notSrcPort != 0),
		m&onFlags != 0 && f.flags&r.mask != r.flags,
		m&onType != 0 && r.types[f.typ>>6]>>(f.typ&63)&1 == 0,
		m&onIn != 0 && r.in&f.in == 0,
		m&onOut != 0 && r.out&f.out == 0,
		m&onSrc != 0 && r.src.contains(f.src) == (m&notSrc != 0),
		m&onDst != 0 && r.dst.contains(f.dst) == (m&notDst != 0):
		return false
	}
	return true
}
