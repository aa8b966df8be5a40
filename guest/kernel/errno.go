package kernel

// Linux error numbers (include/uapi/asm-generic/errno.h), as the kernel returns them: negated, in RAX.
const (
	ePERM      = 1
	eNOENT     = 2
	eSRCH      = 3
	eINTR      = 4
	eIO        = 5
	eBADF      = 9
	eAGAIN     = 11
	eNOMEM     = 12
	eACCES     = 13
	eFAULT     = 14
	eEXIST     = 17
	eINVAL     = 22
	eMFILE     = 24
	eNOTTY     = 25
	eSPIPE     = 29
	ePIPE      = 32
	eNOSYS     = 38
	eLOOP      = 40
	eOPNOTSUPP = 95
	eTIMEDOUT  = 110
)

// fail is the result of a system call that failed.
func fail(errno uint64) uint64 { return -errno }
