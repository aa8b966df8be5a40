package wire

// Longest name and label, in characters (RFC 1035 §2.3.4; a name of 255 bytes on the wire).
const (
	maxDomain = 253
	maxLabel  = 63
)

// ParseDomains reads a list of domain names as options of DHCPv6 (RFC 8415 §10) and of routers (RFC 8106 §5.2) have it:
// in DNS form, without compression, padded with zeros; at most limit of them. Names end up in a file and with resolvers:
// there is nothing in them but letters, digits, hyphens and underscores. A list with anything else in it is none.
func ParseDomains(b []byte, limit int) (names []string) {
	var name []byte
	for len(b) > 0 {
		n := int(b[0])
		b = b[1:]
		if n == 0 {
			if len(name) > 0 && len(names) < limit {
				names = append(names, string(name))
			}
			name = name[:0]
			continue
		}
		if n > maxLabel || n > len(b) {
			return nil
		}
		if len(name) > 0 {
			name = append(name, '.')
		}
		for _, c := range b[:n] {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return nil
			}
		}
		if name = append(name, b[:n]...); len(name) > maxDomain {
			return nil
		}
		b = b[n:]
	}
	if len(name) > 0 {
		return nil // cut off
	}
	return names
}
