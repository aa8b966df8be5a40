package net

// Numbers of Linux's system call interface on amd64 (include/uapi/linux/{in,socket,tcp}.h, asm-generic/socket.h), which
// sockets are spoken to in, wherever this package is built.
const (
	afInet  = 2
	afInet6 = 10

	sockStream = 1
	sockDgram  = 2
	sockRaw    = 3

	msgOOB   = 0x1
	msgPeek  = 0x2
	msgTrunc = 0x20
	msgMore  = 0x8000

	shutRD   = 0
	shutWR   = 1
	shutRDWR = 2

	solSocket = 1
	solIP     = 0
	solTCP    = 6
	solUDP    = 17
	solIPv6   = 41
	solICMPv6 = 58
	solRaw    = 255

	soReuseAddr    = 2
	soType         = 3
	soError        = 4
	soBroadcast    = 6
	soSndBuf       = 7
	soRcvBuf       = 8
	soKeepAlive    = 9
	soOOBInline    = 10
	soPriority     = 12
	soLinger       = 13
	soReusePort    = 15
	soRcvLowat     = 18
	soBindToDevice = 25
	soAcceptConn   = 30
	soSndBufForce  = 32
	soRcvBufForce  = 33
	soProtocol     = 38
	soDomain       = 39

	ipTOS            = 1
	ipTTL            = 2
	ipPktInfo        = 8
	ipMTUDiscover    = 10
	ipRecvErr        = 11
	ipRecvTTL        = 12
	ipRecvTOS        = 13
	ipMTU            = 14
	ipMulticastIf    = 32
	ipMulticastTTL   = 33
	ipMulticastLoop  = 34
	ipAddMembership  = 35
	ipDropMembership = 36
	ipMulticastAll   = 49

	ipPMTUDont = 0 // values of ipMTUDiscover
	ipPMTUWant = 1
	ipPMTUDo   = 2
	ipPMTUProb = 3

	ipv6UnicastHops   = 16
	ipv6MulticastIf   = 17
	ipv6MulticastHops = 18
	ipv6MulticastLoop = 19
	ipv6JoinGroup     = 20
	ipv6LeaveGroup    = 21
	ipv6MTUDiscover   = 23
	ipv6MTU           = 24
	ipv6RecvErr       = 25
	ipv6V6Only        = 26
	ipv6RecvPktInfo   = 49
	ipv6RecvHopLimit  = 51
	ipv6RecvPathMTU   = 60
	ipv6DontFrag      = 62
	ipv6RecvTClass    = 66
	ipv6TClass        = 67

	icmpFilter = 1 // of both solRaw and solICMPv6

	tcpNoDelay     = 1
	tcpMaxSeg      = 2
	tcpCork        = 3
	tcpKeepIdle    = 4
	tcpKeepIntvl   = 5
	tcpKeepCnt     = 6
	tcpSynCnt      = 7
	tcpLinger2     = 8
	tcpDeferAccept = 9
	tcpWindowClamp = 10
	tcpInfo        = 11
	tcpQuickAck    = 12
	tcpCongestion  = 13
	tcpUserTimeout = 18
)
