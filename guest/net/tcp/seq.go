package tcp

// seq is a sequence number: arithmetic modulo 2³², comparison within a window of 2³¹ (RFC 9293 §3.4).
type seq uint32

func (a seq) before(b seq) bool  { return int32(a-b) < 0 }
func (a seq) after(b seq) bool   { return int32(a-b) > 0 }
func (a seq) atLeast(b seq) bool { return int32(a-b) >= 0 }
func (a seq) plus(n int) seq     { return a + seq(n) }
func (a seq) minus(b seq) int    { return int(int32(a - b)) }
func maxSeq(a, b seq) seq {
	if a.after(b) {
		return a
	}
	return b
}

func minSeq(a, b seq) seq {
	if a.before(b) {
		return a
	}
	return b
}
