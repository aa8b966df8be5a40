package conformance

import (
	"strings"
	"testing"
)

// TestNonsense: a script that makes no sense is refused, with the number of the line.
func TestNonsense(t *testing.T) {
	const head = "words before the first script\n== name: about\nlisten\n"
	for _, c := range []struct{ text, want string }{
		{"== no about\nlisten", "1: want == name: what it shows"},
		{"== two words: about\nlisten", "1: want == name: what it shows"},
		{"== a: x\nlisten\n== a: y\nlisten", `3: a second script "a"`},
		{"== a: x\n\n== b: y\nlisten", `1: script "a" is empty`},
		{head + "dance", `4: unknown step "dance"`},
		{head + "l.dance", `4: unknown step "dance"`},
		{head + ".close", "4: no name before the dot"},
		{head + "mtu 1000", "4: mtu comes before everything else"},
		{"== a: x\nmtu 10", "2: mtu of 10"},
		{"== a: x\nip 5", "2: IP version 5"},
		{"== a: x\necn 3", "2: ecn of 3"},
		{head + "> S 0:0(0) behind 0", `4: unknown "behind"`},
		{"== a: x\nmemory", "2: want 1 numbers"},
		{head + "< S", "4: a segment has flags and sequence numbers"},
		{head + "< X 0:0(0)", `4: flags "X"`},
		{head + "< SS 0:0(0)", `4: flags "SS"`},
		{head + "< S 0:0", `4: sequence numbers "0:0"`},
		{head + "< P 0:5(4)", "4: 0:5(4): the length is not the difference"},
		{head + "< . 0:0(0)", "4: ack N and the flag . come together"},
		{head + "> S 0:0(0) ack 1", "4: ack N and the flag . come together"},
		{head + "< S 0:0(0) win 70000", "4: a window field of 70000"},
		{head + "< S 0:0(0) win", "4: win without a value"},
		{head + "< S 0:0(0) win 1 win 2", "4: win twice"},
		{head + "< S 0:0(0) win x", `4: win "x"`},
		{head + "< S 0:0(0) wind 1", `4: unknown "wind"`},
		{head + "< S 0:0(0) df", `4: unknown "df"`},
		{head + "> S 0:0(0) badsum", `4: unknown "badsum"`},
		{head + "< S 0:0(0) from nobody", `4: from "nobody"`},
		{head + "< S 0:0(0) <mss 1460", "4: options are between < and >"},
		{head + "< S 0:0(0) <mss>", "4: want 1 numbers"},
		{head + "< S 0:0(0) <mss 1,,ws 1>", "4: an empty option"},
		{head + "< S 0:0(0) <colour 1>", `4: unknown option "colour 1"`},
		{head + "< S 0:0(0) <no mss>", `4: unknown option "no mss"`},
		{head + "< S 0:0(0) <TS val 1>", "4: want TS val N ecr N"},
		{head + "< S 0:0(0) <TS val 1 ecr x>", `4: "x" is no number`},
		{head + "< S 0:0(0) <raw 0g>", "4: encoding/hex"},
		{head + "< S 0:0(0) <raw " + strings.Repeat("01", 41) + ">", "4: 44 bytes of options"},
		{head + "> S 0:0(0) <no colour>", `4: "colour" is not one of`},
		{head + "+x close", `4: "x" is no time in seconds`},
		{head + "+-1 close", `4: "-1" is no time in seconds`},
		{head + "+1~2 close", "4: +A~B is for expected segments"},
		{head + "+2~1 > S 0:0(0)", "4: +A~B is for expected segments"},
		{head + "close 1", "4: close: takes 0 arguments"},
		{head + "write", "4: write: takes 2 arguments"},
		{head + "write 1 less", `4: write: "less" is not one of more`},
		{head + "read x", `4: read: "x" is no number`},
		{head + "read 1 =", "4: one result follows ="},
		{head + "read 1 = EWHAT", `4: unknown result "EWHAT"`},
		{head + "state OPEN", `4: state: "OPEN" is no state`},
		{head + "error EWHAT", `4: error: "EWHAT" is no errno`},
		{head + "events in,off", `4: events: "off" is no event`},
		{head + "set", "4: set: no option"},
		{head + "set colour 1", `4: set: unknown option "colour"`},
		{head + "set nodelay", "4: set: takes 1 arguments"},
		{head + "info colour 1", `4: info: unknown field "colour"`},
		{head + "icmp", "4: icmp: no kind"},
		{head + "icmp toobig", "4: icmp: toobig takes an MTU"},
		{head + "icmp port seq", "4: icmp: takes 2 arguments"},
		{head + "shutdown both", `4: shutdown: "both" is not one of rd wr rdwr`},
		{head + "bind nowhere", "4: bind: "},
		{head + "passive mss 1", "4: want passive [rtt SECONDS]"},
		{head + "exchange 1", "4: exchange takes nothing"},
	} {
		_, err := parseScripts(c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %s", strings.TrimPrefix(c.text, head), err, c.want)
		}
	}
}
