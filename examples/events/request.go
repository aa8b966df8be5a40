package main

import "bytes"

// Statuses of answers.
const (
	statusOK           = 200
	statusBad          = 400
	statusNotAllowed   = 405
	statusBodyTooLarge = 413
	statusHeadTooLarge = 431
	statusNotMade      = 501
	statusVersion      = 505
)

// request is what the server wants to know of a request (RFC 9112).
type request struct {
	method []byte
	target []byte
	body   int  // bytes that follow the head
	close  bool // the client wants no further answer on the connection
	http10 bool
}

// status is the answer to a request that is well-formed.
func (r *request) status() int {
	if string(r.method) == "GET" || string(r.method) == "HEAD" {
		return statusOK
	}
	return statusNotAllowed
}

// parse reads a request's head from the start of b and returns its length; 0 if b does not hold all of it. bad is the
// status for what is not a request, or none that this server can follow: the connection is of no use then. What parse
// keeps of b stays there.
func (r *request) parse(b []byte) (n int, bad int) {
	for len(b) >= n+2 && b[n] == '\r' && b[n+1] == '\n' {
		n += 2 // RFC 9112 §2.2: at least one empty line before a request is to be ignored
		if n > 4 {
			return 0, statusBad
		}
	}
	line, next, ok := cutLine(b, n)
	if !ok {
		if !plausible(b[n:]) {
			return 0, statusBad // no need to wait for more
		}
		return 0, 0
	}
	if bad := r.parseLine(line); bad != 0 {
		return 0, bad
	}
	hosts, length := 0, -1
	for {
		if line, next, ok = cutLine(b, next); !ok {
			return 0, 0
		}
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !isToken(line[:colon]) {
			return 0, statusBad // among others obsolete folding, and space before the colon (§5.1, §5.2)
		}
		value := bytes.Trim(line[colon+1:], " \t")
		if !isText(value) {
			return 0, statusBad
		}
		// Names that matter are told apart by their length first.
		name := line[:colon]
		switch len(name) {
		case len("Host"):
			if equalFold(name, "host") {
				hosts++
			}
		case len("Connection"):
			if equalFold(name, "connection") {
				r.connection(value)
			}
		case len("Content-Length"):
			if equalFold(name, "content-length") {
				k, ok := decimal(value)
				if !ok || length >= 0 && length != k {
					return 0, statusBad // §6.3
				}
				length = k
			}
		case len("Transfer-Encoding"):
			if equalFold(name, "transfer-encoding") {
				return 0, statusNotMade // §6.1
			}
		}
	}
	if hosts > 1 || hosts == 0 && !r.http10 {
		return 0, statusBad // §3.2
	}
	r.body = max(length, 0)
	return next, 0
}

// cutLine returns the line that begins at from, without its CRLF, and where the next one begins.
func cutLine(b []byte, from int) (line []byte, next int, ok bool) {
	i := bytes.IndexByte(b[from:], '\n')
	if i < 0 {
		return nil, 0, false
	}
	line = b[from : from+i]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], from + i + 1, true
	}
	return []byte{'\n'}, from + i + 1, true // a bare LF: no line of HTTP's
}

// plausible reports whether b could be the beginning of a request line: a method.
func plausible(b []byte) bool {
	if len(b) > 0 && b[len(b)-1] == '\r' {
		b = b[:len(b)-1]
	}
	method, _, found := bytes.Cut(b, []byte{' '})
	return len(method) <= 32 && (isToken(method) || !found && len(method) == 0)
}

// parseLine reads "GET /path HTTP/1.1" (§3).
func (r *request) parseLine(line []byte) (bad int) {
	sp := bytes.IndexByte(line, ' ')
	if sp < 0 {
		return statusBad
	}
	version := bytes.LastIndexByte(line, ' ')
	r.method, r.target = line[:sp], line[sp+1:max(version, sp+1)]
	if !isToken(r.method) || len(r.target) == 0 || version < 0 {
		return statusBad
	}
	for _, c := range r.target {
		if c <= ' ' || c >= 0x7f {
			return statusBad
		}
	}
	switch string(line[version+1:]) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		r.http10, r.close = true, true
	default:
		if v := line[version+1:]; len(v) == 8 && string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7]) && v[5] != '1' {
			return statusVersion
		}
		return statusBad
	}
	if t := r.target; t[0] != '/' && !(string(t) == "*" && string(r.method) == "OPTIONS") && !bytes.Contains(t, []byte("://")) {
		return statusBad // CONNECT's host:port is among these
	}
	return 0
}

// connection takes the options of a Connection header (RFC 9110 §7.6.1).
func (r *request) connection(value []byte) {
	for len(value) > 0 {
		var option []byte
		option, value, _ = bytes.Cut(value, []byte{','})
		switch option = bytes.Trim(option, " \t"); {
		case equalFold(option, "close"):
			r.close = true
		case equalFold(option, "keep-alive") && r.http10:
			r.close = false
		}
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// decimal reads a number of at most nine digits.
func decimal(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// equalFold reports whether b is lower, but for the case of letters.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// tokens are the characters of methods and header names (RFC 9110 §5.6.2); texts those of header values.
var tokens, texts = func() (token, text [256]bool) {
	for c := range 256 {
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		token[c] = alnum || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
		text[c] = c >= ' ' && c != 0x7f || c == '\t'
	}
	return token, text
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokens[c] {
			return false
		}
	}
	return len(b) > 0
}

func isText(b []byte) bool {
	for _, c := range b {
		if !texts[c] {
			return false
		}
	}
	return true
}
