package hypercall

// The rules of the guest's packet filter, if there are any, are Boot.Firewall bytes at FirewallVA, which the guest can
// only read. Numbers are little-endian; a name is a byte with its length, 1 to 31, and so many letters, digits, '_', '-'
// and '.'.
//
//	"UKFW"  version, a byte
//	number of sets, 2 bytes; of each
//	    FirewallAddrs  number of elements, 2 bytes; of each: family, 4 or 6; prefix length; 4 or 16 bytes of address
//	    FirewallPorts  number of elements, 2 bytes; of each: first and last port, 2 bytes each
//	number of chains, 2 bytes; of each
//	    name; policy: FirewallAccept or FirewallDrop; number of rules, 2 bytes; of each
//	        fields, each a byte that says which and its value, up to the one that is a verdict
//
// A number of a set, in a field, counts from 0 and has FirewallNot set if all but the elements are meant. The monitor has
// checked the rules; the guest checks them again.
const (
	FirewallMagic   = "UKFW"
	FirewallVersion = 1
	FirewallVA      = SharedBase + 0x8000
	FirewallMax     = int(RegionsVA - FirewallVA) // bytes
	FirewallNot     = 0x8000
)

// Limits of rules.
const (
	FirewallChains   = 64
	FirewallRules    = 1024 // of all chains
	FirewallSteps    = 4096 // rules one packet may have to be compared with at one place
	FirewallDepth    = 16   // jumps within each other
	FirewallNames    = 63   // interfaces that rules name
	FirewallCounters = 256  // names of counters
	FirewallName     = 31   // bytes of a name
	FirewallPrefix   = 63   // bytes of what is put before a logged packet
	FirewallBurst    = 32768
	FirewallPeriod   = 86400 // the longest time of a limit, seconds
)

// Kinds of sets.
const (
	FirewallAddrs = 1 + iota
	FirewallPorts
)

// Fields of a rule: what it has, and the size of its value in bytes.
const (
	FirewallFieldIn      = 1 + iota // name of an interface; once for each
	FirewallFieldOut                // the same
	FirewallFieldProto              // 1: IP protocol
	FirewallFieldSrc                // 2: number of a set
	FirewallFieldDst                // 2
	FirewallFieldSrcPort            // 2
	FirewallFieldDstPort            // 2
	FirewallFieldType               // 1: ICMP type; once for each
	FirewallFieldFlags              // 1 and 1: TCP flags that are set, and that are clear
	FirewallFieldState              // 1: FirewallState bits
	FirewallFieldLimit              // 4, 4, 4 and 1: events, in so many seconds, burst (0: the default), 1 to match what is over it
	FirewallFieldLog                // length, a byte, and so much text
	FirewallFieldCount              // name of a counter
	FirewallFieldLine               // 4: where the rule was written
	FirewallFieldVerdict            // 1, and what it needs: FirewallReject 1: answer; FirewallJump 2: number of the chain
	FirewallFieldMax
)

// Verdicts.
const (
	FirewallContinue = iota
	FirewallAccept
	FirewallDrop
	FirewallReject
	FirewallJump
	FirewallReturn
	FirewallVerdictMax
)

// Answers of FirewallReject.
const (
	FirewallAnswerDefault    = iota // a reset for TCP, port unreachable for others
	FirewallAnswerReset             // TCP only
	FirewallAnswerPort              // ICMP: port unreachable
	FirewallAnswerHost              // host unreachable
	FirewallAnswerProhibited        // administratively prohibited
	FirewallAnswerMax
)

// States of connections.
const (
	FirewallNew = 1 << iota
	FirewallEstablished
	FirewallRelated
	FirewallInvalid
	FirewallUntracked
)
