package conformance

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ukvm.dev/guest/net/wire"
)

// script is a parsed script.
type script struct {
	name, about string
	line        int
	card        card
	steps       []step
}

// card is what the lines at a script's start say of the machine.
type card struct {
	mtu, tso, memory int
	ecn              int  // as Linux's net.ipv4.tcp_ecn has it
	ip               int  // the only version that the script is for; 0: both
	six              bool // run it over IPv6
}

// step is one thing that happens or is looked at.
type step struct {
	line     int
	text     string
	from, to int64 // time that passes before, nanoseconds
	delayed  bool
	verb     string // "": only time passes
	socket   string
	args     []string
	result   string
	segment  *segment
	batched  bool // <&
}

// segment is a segment as a script describes it.
type segment struct {
	flags       uint8
	seq, len    int
	ack, win    opt
	port, dst   opt
	urg         opt
	ttl, tos    opt
	from, to    netip.Addr
	df, nodf    bool
	noecn       bool // neither ECE nor CWR
	badsum      bool
	badoffset   bool
	cut         bool
	swapped     bool // the checksum is over other addresses
	behind      opt  // an extension header
	mss, ws     opt
	tsVal       opt
	tsEcr       opt
	ts, tsOurs  bool
	tsRelative  bool
	sackok      bool
	no          []string
	encoded     []byte // options as the peer sends them; the echo of tsOurs is missing at echoAt
	echoAt      int
	withOptions bool
}

// opt is a number that may be absent.
type opt struct {
	is bool
	n  int
}

// parseScripts takes a file apart. Its errors begin with the line number.
func parseScripts(text string) ([]*script, error) {
	var (
		list  []*script
		names = map[string]bool{}
	)
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		if head, ok := strings.CutPrefix(line, "== "); ok {
			name, about, ok := strings.Cut(head, ": ")
			if !ok || name == "" || strings.ContainsAny(name, " /") || strings.TrimSpace(about) == "" {
				return nil, fmt.Errorf("%d: want == name: what it shows", n)
			}
			if names[name] {
				return nil, fmt.Errorf("%d: a second script %q", n, name)
			}
			names[name] = true
			list = append(list, &script{name: name, about: about, line: n, card: card{mtu: 1500, memory: 64, ecn: 2}})
			continue
		}
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" || len(list) == 0 {
			continue // before the first script a file may say what it is about
		}
		if err := list[len(list)-1].parse(n, line); err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
	}
	for _, s := range list {
		if len(s.steps) == 0 {
			return nil, fmt.Errorf("%d: script %q is empty", s.line, s.name)
		}
	}
	return list, nil
}

// parse adds a line to the script.
func (s *script) parse(n int, line string) error {
	f := strings.Fields(line)
	if at := map[string]*int{"mtu": &s.card.mtu, "tso": &s.card.tso, "memory": &s.card.memory, "ecn": &s.card.ecn, "ip": &s.card.ip}[f[0]]; at != nil {
		v, err := numbers(f[1:], 1)
		switch {
		case err != nil:
			return err
		case len(s.steps) > 0:
			return fmt.Errorf("%s comes before everything else", f[0])
		case f[0] == "ip" && v[0] != 4 && v[0] != 6:
			return fmt.Errorf("IP version %d", v[0])
		case f[0] == "ecn" && (v[0] < 0 || v[0] > 2):
			return fmt.Errorf("ecn of %d", v[0])
		case f[0] == "mtu" && (v[0] < 576 || v[0] > 65535), f[0] == "memory" && (v[0] < 4 || v[0] > 1<<16), v[0] < 0:
			return fmt.Errorf("%s of %d", f[0], v[0])
		}
		*at = v[0]
		return nil
	}
	lines, err := expand(f, line)
	if err != nil {
		return err
	}
	for _, l := range lines {
		st, err := parseStep(l)
		if err != nil {
			return err
		}
		st.line = n
		s.steps = append(s.steps, st)
	}
	return nil
}

var abbreviation = regexp.MustCompile(`^(passive|active)( rtt \S+)?( win \d+)?( <[^<>]*>)?$`)

// expand writes abbreviations out.
func expand(f []string, line string) ([]string, error) {
	switch f[0] {
	case "exchange":
		if len(f) > 1 {
			return nil, fmt.Errorf("exchange takes nothing")
		}
		return []string{"< P. 1:11(10) ack 1", "> . 1:1(0) ack 11", "read 10", "write 10", "> P. 1:11(10) ack 11", "< . 11:11(0) ack 11"}, nil
	case "passive", "active":
	default:
		return []string{line}, nil
	}
	m := abbreviation.FindStringSubmatch(line)
	if m == nil {
		return nil, fmt.Errorf("want %s [rtt SECONDS] [win N] [<OPTIONS>]", f[0])
	}
	delay, win, options, echo := "", m[3], m[4], ""
	if m[2] != "" {
		delay = "+" + strings.Fields(m[2])[1] + " "
	}
	if options == "" {
		options = " <mss 1000>"
	}
	if i := strings.Index(options, "TS val "); i >= 0 {
		echo = " <TS val " + strings.Trim(strings.Fields(options[i:])[2], ",<>") + " ecr ours>"
	}
	if f[0] == "passive" {
		return []string{
			"listen", "< S 0:0(0)" + win + options, "> S. 0:0(0) ack 1",
			delay + "< . 1:1(0) ack 1" + win + echo, "accept",
		}, nil
	}
	if echo != "" {
		options = strings.Replace(options, " ecr 0", " ecr ours", 1)
	}
	return []string{"connect", "> S 0:0(0)", delay + "< S. 0:0(0) ack 1" + win + options, "> . 1:1(0) ack 1"}, nil
}

func parseStep(line string) (step, error) {
	st := step{text: line}
	f := strings.Fields(line)
	if after, ok := strings.CutPrefix(f[0], "+"); ok {
		from, to, ranged := strings.Cut(after, "~")
		var err error
		if st.from, err = seconds(from); err != nil {
			return st, err
		}
		st.to = st.from
		if ranged {
			if st.to, err = seconds(to); err != nil {
				return st, err
			}
			if st.to < st.from || len(f) < 2 || f[1] != ">" {
				return st, fmt.Errorf("+A~B is for expected segments, and B is later than A")
			}
		}
		st.delayed = true
		if f = f[1:]; len(f) == 0 {
			return st, nil
		}
	}
	switch f[0] {
	case "<", "<&", ">":
		st.verb = f[0]
		if f[0] == "<&" {
			st.verb, st.batched = "<", true
		}
		var err error
		st.segment, err = parseSegment(f[1:], st.verb == ">")
		return st, err
	}
	if i := slices.Index(f, "="); i >= 0 {
		if i != len(f)-2 {
			return st, fmt.Errorf("one result follows =")
		}
		st.result = f[i+1]
		f = f[:i]
		if _, isNumber := strconv.Atoi(st.result); isNumber != nil && errnos[st.result] == 0 {
			return st, fmt.Errorf("unknown result %q", st.result)
		}
	}
	if len(f) == 0 {
		return st, fmt.Errorf("no step")
	}
	st.verb = f[0]
	if name, verb, ok := strings.Cut(f[0], "."); ok {
		st.socket, st.verb = name, verb
		if name == "" {
			return st, fmt.Errorf("no name before the dot")
		}
	}
	st.args = f[1:]
	check, ok := grammar[st.verb]
	if !ok {
		return st, fmt.Errorf("unknown step %q", st.verb)
	}
	if err := check(st.args); err != nil {
		return st, fmt.Errorf("%s: %w", st.verb, err)
	}
	return st, nil
}

// grammar says which arguments each call takes.
var grammar = map[string]func(args []string) error{
	"listen":   optional(isNumber),
	"connect":  optional(isNumber),
	"accept":   optional(isWord),
	"socket":   exactly(isWord),
	"bind":     exactly(isEndpoint),
	"write":    func(a []string) error { return either(exactly(isNumber), exactly(isNumber, oneOf("more")))(a) },
	"read":     exactly(isNumberOr("eof")),
	"peek":     exactly(isNumber),
	"discard":  exactly(isNumber),
	"shutdown": exactly(oneOf("rd", "wr", "rdwr")),
	"close":    exactly(),
	"set":      checkSet,
	"state":    exactly(isState),
	"info":     checkInfo,
	"error":    exactly(isErrno),
	"events":   exactly(isEvents),
	"stat":     exactly(isWord, isNumber),
	"conns":    exactly(isNumber),
	"timewait": exactly(isNumber),
	"icmp":     checkICMP,
	"flood":    exactly(isNumber),
}

type check func(string) error

func exactly(checks ...check) func([]string) error {
	return func(args []string) error {
		if len(args) != len(checks) {
			return fmt.Errorf("takes %d arguments", len(checks))
		}
		for i, c := range checks {
			if err := c(args[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

func optional(c check) func([]string) error { return either(exactly(), exactly(c)) }

func either(a, b func([]string) error) func([]string) error {
	return func(args []string) error {
		if a(args) == nil {
			return nil
		}
		return b(args)
	}
}

func isNumber(s string) error {
	_, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%q is no number", s)
	}
	return nil
}

func isNumberOr(word string) check {
	return func(s string) error {
		if s == word {
			return nil
		}
		return isNumber(s)
	}
}

func isSeconds(s string) error {
	_, err := seconds(s)
	return err
}

var word = regexp.MustCompile(`^[a-z][a-z0-9_.]*$`)

func isWord(s string) error {
	if !word.MatchString(s) {
		return fmt.Errorf("%q is no name", s)
	}
	return nil
}

func oneOf(words ...string) check {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%q is not one of %s", s, strings.Join(words, " "))
		}
		return nil
	}
}

func isEndpoint(s string) error {
	_, err := endpoint(s)
	return err
}

func endpoint(s string) (netip.AddrPort, error) {
	if port, err := strconv.ParseUint(s, 10, 16); err == nil {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)), nil
	}
	return netip.ParseAddrPort(s)
}

func isState(s string) error {
	if !slices.Contains(states[:], s) {
		return fmt.Errorf("%q is no state", s)
	}
	return nil
}

func isErrno(s string) error {
	if s != "none" && errnos[s] == 0 {
		return fmt.Errorf("%q is no errno", s)
	}
	return nil
}

func isEvents(s string) error {
	for _, name := range strings.Split(s, ",") {
		if events[name] == 0 {
			return fmt.Errorf("%q is no event", name)
		}
	}
	return nil
}

func checkSet(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no option")
	}
	o, ok := options[args[0]]
	if !ok {
		return fmt.Errorf("unknown option %q", args[0])
	}
	return exactly(o.args...)(args[1:])
}

func checkInfo(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("takes a field and a value")
	}
	if _, ok := infos[args[0]]; !ok {
		return fmt.Errorf("unknown field %q", args[0])
	}
	return isSeconds(args[1])
}

func checkICMP(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no kind")
	}
	if _, ok := icmps[args[0]]; !ok {
		return fmt.Errorf("unknown kind %q", args[0])
	}
	rest := args[1:]
	if args[0] == "toobig" {
		if len(rest) == 0 || isNumber(rest[0]) != nil {
			return fmt.Errorf("toobig takes an MTU")
		}
		rest = rest[1:]
	}
	return either(exactly(), exactly(oneOf("seq"), isNumber))(rest)
}

func numbers(f []string, n int) ([]int, error) {
	if len(f) != n {
		return nil, fmt.Errorf("want %d numbers", n)
	}
	v := make([]int, n)
	for i := range v {
		var err error
		if v[i], err = strconv.Atoi(f[i]); err != nil {
			return nil, fmt.Errorf("%q is no number", f[i])
		}
	}
	return v, nil
}

func seconds(s string) (int64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v > 1e7 {
		return 0, fmt.Errorf("%q is no time in seconds", s)
	}
	return int64(v*1e6) * 1000, nil
}

var numbering = regexp.MustCompile(`^(-?\d+):(-?\d+)\((\d+)\)$`)

var flagLetters = []struct {
	letter rune
	bit    uint8
}{
	{'S', wire.SYN}, {'F', wire.FIN}, {'R', wire.RST}, {'P', wire.PSH}, {'.', wire.ACK}, {'U', wire.URG}, {'E', wire.ECE}, {'W', wire.CWR},
}

func parseFlags(s string) (uint8, error) {
	if s == "0" {
		return 0, nil
	}
	var flags uint8
letters:
	for _, c := range s {
		for _, l := range flagLetters {
			if l.letter == c && flags&l.bit == 0 {
				flags |= l.bit
				continue letters
			}
		}
		return 0, fmt.Errorf("flags %q", s)
	}
	return flags, nil
}

func formatFlags(flags uint8) string {
	s := ""
	for _, l := range flagLetters {
		if flags&l.bit != 0 {
			s += string(l.letter)
		}
	}
	if s == "" {
		return "0"
	}
	return s
}

func parseSegment(f []string, expected bool) (*segment, error) {
	if len(f) < 2 {
		return nil, fmt.Errorf("a segment has flags and sequence numbers")
	}
	g := &segment{echoAt: -1}
	var err error
	if g.flags, err = parseFlags(f[0]); err != nil {
		return nil, err
	}
	m := numbering.FindStringSubmatch(f[1])
	if m == nil {
		return nil, fmt.Errorf("sequence numbers %q", f[1])
	}
	v, err := numbers(m[1:], 3)
	if err != nil {
		return nil, err
	}
	if g.seq, g.len = v[0], v[2]; v[1]-v[0] != v[2] || g.len > 65000 {
		return nil, fmt.Errorf("%s: the length is not the difference", f[1])
	}
	rest := strings.Join(f[2:], " ")
	if before, after, ok := strings.Cut(rest, "<"); ok {
		text, behind, ok := strings.Cut(after, ">")
		if !ok || strings.Contains(behind, "<") {
			return nil, fmt.Errorf("options are between < and >")
		}
		g.withOptions = true
		if err := g.parseOptions(text, expected); err != nil {
			return nil, err
		}
		rest = before + behind
	}
	if err := g.parseMore(strings.Fields(rest), expected); err != nil {
		return nil, err
	}
	if g.flags&wire.ACK == 0 && g.ack.is || g.flags&wire.ACK != 0 && !g.ack.is && !expected {
		return nil, fmt.Errorf("ack N and the flag . come together")
	}
	return g, nil
}

func (g *segment) parseMore(f []string, expected bool) error {
	words := map[string]*bool{"df": &g.df, "nodf": &g.nodf, "noecn": &g.noecn}
	if !expected {
		words = map[string]*bool{"badsum": &g.badsum, "badoffset": &g.badoffset, "cut": &g.cut, "swapped": &g.swapped}
	}
	values := map[string]*opt{"ack": &g.ack, "win": &g.win, "port": &g.port, "dst": &g.dst, "urg": &g.urg, "ttl": &g.ttl, "tos": &g.tos}
	addrs := map[string]*netip.Addr{"to": &g.to}
	if !expected {
		values["behind"] = &g.behind
		addrs["from"] = &g.from
	}
	for i := 0; i < len(f); i++ {
		if b := words[f[i]]; b != nil {
			*b = true
			continue
		}
		v, a := values[f[i]], addrs[f[i]]
		switch {
		case v == nil && a == nil:
			return fmt.Errorf("unknown %q", f[i])
		case i+1 == len(f):
			return fmt.Errorf("%s without a value", f[i])
		case v != nil && v.is || a != nil && a.IsValid():
			return fmt.Errorf("%s twice", f[i])
		}
		var err error
		if a != nil {
			*a, err = netip.ParseAddr(f[i+1])
		} else {
			v.n, err = strconv.Atoi(f[i+1])
			v.is = true
		}
		if err != nil {
			return fmt.Errorf("%s %q", f[i], f[i+1])
		}
		i++
	}
	if g.win.n < 0 || g.win.n > 65535 {
		return fmt.Errorf("a window field of %d", g.win.n)
	}
	return nil
}

func (g *segment) parseOptions(text string, expected bool) error {
	for _, o := range strings.Split(text, ",") {
		f := strings.Fields(o)
		if len(f) == 0 {
			return fmt.Errorf("an empty option")
		}
		name := f[0]
		var err error
		var v []int
		switch {
		case name == "mss":
			if v, err = numbers(f[1:], 1); err == nil {
				g.mss = opt{true, v[0]}
				g.encoded = append(g.encoded, 2, 4, byte(v[0]>>8), byte(v[0]))
			}
		case name == "ws":
			if v, err = numbers(f[1:], 1); err == nil {
				g.ws = opt{true, v[0]}
				g.encoded = append(g.encoded, 3, 3, byte(v[0]))
			}
		case name == "sackok" && len(f) == 1:
			g.sackok = true
			g.encoded = append(g.encoded, 4, 2)
		case name == "TS":
			err = g.parseTimestamps(f[1:], expected)
		case expected && name == "no" && len(f) == 2:
			if err = oneOf("mss", "ws", "sackok", "TS")(f[1]); err == nil {
				g.no = append(g.no, f[1])
			}
		case !expected && name == "nop" && len(f) == 1:
			g.encoded = append(g.encoded, 1)
		case !expected && name == "eol" && len(f) == 1:
			g.encoded = append(g.encoded, 0)
		case !expected && name == "raw" && len(f) == 2:
			var b []byte
			b, err = hex.DecodeString(f[1])
			g.encoded = append(g.encoded, b...)
		case !expected && name == "sack" && len(f) == 2:
			return fmt.Errorf("sack is not for these scripts: see package tcp's")
		default:
			err = fmt.Errorf("unknown option %q", o)
		}
		if err != nil {
			return err
		}
	}
	for len(g.encoded)%4 != 0 {
		g.encoded = append(g.encoded, 1)
	}
	if len(g.encoded) > wire.TCPMax-wire.TCPSize {
		return fmt.Errorf("%d bytes of options", len(g.encoded))
	}
	return nil
}

// parseTimestamps takes [val N|+N] [ecr N|ours].
func (g *segment) parseTimestamps(f []string, expected bool) error {
	g.ts = true
	for ; len(f) >= 2; f = f[2:] {
		at := &g.tsVal
		switch {
		case f[0] == "val":
			if expected {
				g.tsRelative = strings.HasPrefix(f[1], "+")
			}
		case f[0] == "ecr" && f[1] == "ours" && !expected:
			g.tsOurs = true
			continue
		case f[0] == "ecr":
			at = &g.tsEcr
		default:
			return fmt.Errorf("unknown %q in TS", f[0])
		}
		v, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", f[1])
		}
		*at = opt{true, int(v)}
	}
	if len(f) > 0 || !expected && (!g.tsVal.is || !g.tsEcr.is && !g.tsOurs) {
		return fmt.Errorf("want TS val N ecr N")
	}
	v, e := uint32(g.tsVal.n), uint32(g.tsEcr.n)
	g.encoded = append(g.encoded, 8, 10, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	if g.tsOurs {
		g.echoAt = len(g.encoded)
	}
	g.encoded = append(g.encoded, byte(e>>24), byte(e>>16), byte(e>>8), byte(e))
	return nil
}

var errnos = map[string]syscall.Errno{
	"EAGAIN": syscall.EAGAIN, "EADDRINUSE": syscall.EADDRINUSE, "EADDRNOTAVAIL": syscall.EADDRNOTAVAIL,
	"ECONNREFUSED": syscall.ECONNREFUSED, "ECONNRESET": syscall.ECONNRESET, "ECONNABORTED": syscall.ECONNABORTED,
	"ETIMEDOUT": syscall.ETIMEDOUT, "EPIPE": syscall.EPIPE, "EHOSTUNREACH": syscall.EHOSTUNREACH,
	"ENETUNREACH": syscall.ENETUNREACH, "ENOPROTOOPT": syscall.ENOPROTOOPT, "EINPROGRESS": syscall.EINPROGRESS,
	"EALREADY": syscall.EALREADY, "EISCONN": syscall.EISCONN, "ENOTCONN": syscall.ENOTCONN, "EINVAL": syscall.EINVAL,
	"ENOBUFS": syscall.ENOBUFS, "EBADF": syscall.EBADF, "EOPNOTSUPP": syscall.EOPNOTSUPP,
}

// states by Linux's numbers (include/net/tcp_states.h).
var states = [...]string{
	"", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED", "CLOSE-WAIT",
	"LAST-ACK", "LISTEN", "CLOSING",
}
