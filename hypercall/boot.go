package hypercall

// Boot is the boot information at BootVA, which the monitor writes before the guest starts and the guest can only read.
// Arguments, environment and auxiliary vector are not in it: they lie on the initial stack, as Linux lays them out.
type Boot struct {
	Magic      uint64    // OUT: BootMagic
	Version    uint32    // OUT: Version
	Devices    uint32    // OUT: number of valid entries in Device
	Memory     uint64    // OUT: guest RAM in bytes (-m)
	ImageStart GVA       // OUT: lowest address of the program
	ImageEnd   GVA       // OUT: end of its highest segment, page aligned
	Archive    uint64    // OUT: size of the cpio archive at ArchiveVA in bytes, 0 if there is none
	Seed       [64]byte  // OUT: random bytes from the host
	Hostname   [64]byte  // OUT: NUL-terminated
	WorkDir    [256]byte // OUT: initial working directory, NUL-terminated, absolute
	Console    [3]uint32 // OUT: ConsoleFile bits of standard input, output, error
	Firewall   uint32    // OUT: size of the rules at FirewallVA in bytes, 0 if there are none
	Device     [MaxDevices]Device
}

// BootMagic is Boot.Magic: "UKVMBOOT", little-endian.
const BootMagic = 0x544f4f424d564b55

// ConsoleFile bits: what a standard stream is on the host, as far as programs can tell.
const (
	ConsoleTTY  = 1 << iota // a terminal
	ConsolePipe             // a pipe or socket
	ConsoleNull             // nothing: /dev/null
)

// MaxDevices is how many devices a guest can have. Device i uses ring slot i.
const MaxDevices = 16

// DeviceKind says what a device is.
type DeviceKind uint32

// Device kinds.
const (
	DeviceNone  DeviceKind = iota
	DeviceNet              // Ethernet: queue 0 receives, queue 1 transmits
	DeviceShare            // a directory of the host's: queue 0 carries requests
)

// Device describes one device of a guest.
type Device struct {
	Kind  DeviceKind // OUT
	_     uint32
	Name  [32]byte    // OUT: NUL-terminated, unique
	Net   NetConfig   // of a network card
	Share ShareConfig // of a shared directory
}

// NetConfig is how a network device is configured.
type NetConfig struct {
	MAC    [6]byte    // OUT
	MTU    uint16     // OUT: largest IP packet in bytes
	Flags  uint32     // OUT: Net bits
	Addr   [4]byte    // OUT: IPv4 address; 0.0.0.0 if there is none
	Prefix uint32     // OUT: length of its prefix in bits
	Router [4]byte    // OUT: default router; 0.0.0.0 if there is none
	DNS    [3][4]byte // OUT: name servers; 0.0.0.0 ends the list
	Host   [4]byte    // OUT: the address that stands for the host's loopback, 0.0.0.0 if that is off
	Search [128]byte  // OUT: DNS search list, space-separated, NUL-terminated

	TxSegment uint32 // OUT: longest frame in bytes that may be sent with a GSO type
	RxSegment uint32 // OUT: longest frame in bytes that may be received with a GSO type

	IP6 NetConfig6 // OUT: with NetIP6
}

// NetConfig6 is how the IPv6 of a network device is configured, beside its link-local address.
type NetConfig6 struct {
	Addr   [16]byte    // OUT: address; :: if there is none
	Prefix uint32      // OUT: length of its prefix in bits
	Router [16]byte    // OUT: default router; :: if there is none
	DNS    [2][16]byte // OUT: name servers; :: ends the list
	Key    [16]byte    // OUT: secret that interface identifiers are made from (RFC 7217), the same each time the VM starts
}

// Net bits.
const (
	NetDHCP       = 1 << iota // ask a DHCP server for everything; the static fields are empty
	NetTxChecksum             // frames may be sent with NeedsCsum
	NetRxChecksum             // received frames may have NeedsCsum or DataValid
	NetTxTCP4                 // frames of up to TxSegment bytes may be sent with GSOTCP4
	NetRxTCP4                 // received frames of up to RxSegment bytes may have GSOTCP4
	NetTxTCP6                 // as NetTxTCP4, GSOTCP6
	NetRxTCP6                 // as NetRxTCP4, GSOTCP6
)

// Net bits about IPv6.
const (
	NetIP6    = 1 << (16 + iota) // the device carries IPv6: it gets a link-local address
	NetRouter                    // ask routers for addresses and routes (RFC 4861, RFC 4862)
)
