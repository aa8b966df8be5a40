package posix

import "syscall"

// System call numbers of x86-64 that package syscall does not name (arch/x86/entry/syscalls/syscall_64.tbl).
const (
	sysSYNCFS        = 306
	sysSENDMMSG      = 307
	sysRENAMEAT2     = 316
	sysGETRANDOM     = 318
	sysMEMFDCREATE   = 319
	sysCOPYFILERANGE = 326
	sysPREADV2       = 327
	sysPWRITEV2      = 328
	sysSTATX         = 332
	sysCLOSERANGE    = 436
	sysOPENAT2       = 437
	sysFACCESSAT2    = 439
	sysFCHMODAT2     = 452
)

// entry describes a system call: its name, which of its arguments are pointers, and who serves it.
type entry struct {
	name     string
	pointers uint8
	serve    handler
}

// Pointer arguments, as kernel.Hooked has them.
const (
	ptr1 = 1 << iota
	ptr2
	ptr3
	ptr4
	ptr5
	ptr6
)

// calls are the system calls served here, by number. All others, and those that return toGate, go to package kernel.
//
// The argument of fcntl and ioctl may be an integer: what is below the first page is not a pointer and arrives as nil,
// and other integers do no harm as pointers, since there is no memory of Go's where they point.
var calls = [...]entry{
	syscall.SYS_READ:            {"read", ptr2, sysRead},
	syscall.SYS_WRITE:           {"write", ptr2, sysWrite},
	syscall.SYS_OPEN:            {"open", ptr1, sysOpen},
	syscall.SYS_CLOSE:           {"close", 0, sysClose},
	syscall.SYS_STAT:            {"stat", ptr1 | ptr2, sysStat},
	syscall.SYS_FSTAT:           {"fstat", ptr2, sysFstat},
	syscall.SYS_LSTAT:           {"lstat", ptr1 | ptr2, sysLstat},
	syscall.SYS_POLL:            {"poll", ptr1, sysPoll},
	syscall.SYS_LSEEK:           {"lseek", 0, sysLseek},
	syscall.SYS_MMAP:            {"mmap", 0, sysMmap},
	syscall.SYS_MPROTECT:        {"mprotect", 0, sysMprotect},
	syscall.SYS_MUNMAP:          {"munmap", 0, sysMunmap},
	syscall.SYS_IOCTL:           {"ioctl", ptr3, sysIoctl},
	syscall.SYS_PREAD64:         {"pread64", ptr2, sysPread64},
	syscall.SYS_PWRITE64:        {"pwrite64", ptr2, sysPwrite64},
	syscall.SYS_READV:           {"readv", ptr2, sysReadv},
	syscall.SYS_WRITEV:          {"writev", ptr2, sysWritev},
	syscall.SYS_ACCESS:          {"access", ptr1, sysAccess},
	syscall.SYS_PIPE:            {"pipe", ptr1, sysPipe},
	syscall.SYS_SELECT:          {"select", ptr2 | ptr3 | ptr4 | ptr5, sysSelect},
	syscall.SYS_MSYNC:           {"msync", 0, sysMsync},
	syscall.SYS_MADVISE:         {"madvise", 0, sysMadvise},
	syscall.SYS_DUP:             {"dup", 0, sysDup},
	syscall.SYS_DUP2:            {"dup2", 0, sysDup2},
	syscall.SYS_SENDFILE:        {"sendfile", ptr3, sysSendfile},
	syscall.SYS_SOCKET:          {"socket", 0, sysSocket},
	syscall.SYS_CONNECT:         {"connect", ptr2, sysConnect},
	syscall.SYS_ACCEPT:          {"accept", ptr2 | ptr3, sysAccept},
	syscall.SYS_SENDTO:          {"sendto", ptr2 | ptr5, sysSendto},
	syscall.SYS_RECVFROM:        {"recvfrom", ptr2 | ptr5 | ptr6, sysRecvfrom},
	syscall.SYS_SENDMSG:         {"sendmsg", ptr2, sysSendmsg},
	syscall.SYS_RECVMSG:         {"recvmsg", ptr2, sysRecvmsg},
	syscall.SYS_SHUTDOWN:        {"shutdown", 0, sysShutdown},
	syscall.SYS_BIND:            {"bind", ptr2, sysBind},
	syscall.SYS_LISTEN:          {"listen", 0, sysListen},
	syscall.SYS_GETSOCKNAME:     {"getsockname", ptr2 | ptr3, sysGetsockname},
	syscall.SYS_GETPEERNAME:     {"getpeername", ptr2 | ptr3, sysGetpeername},
	syscall.SYS_SOCKETPAIR:      {"socketpair", ptr4, sysSocketpair},
	syscall.SYS_SETSOCKOPT:      {"setsockopt", ptr4, sysSetsockopt},
	syscall.SYS_GETSOCKOPT:      {"getsockopt", ptr4 | ptr5, sysGetsockopt},
	syscall.SYS_UNAME:           {"uname", ptr1, sysUname},
	syscall.SYS_FCNTL:           {"fcntl", ptr3, sysFcntl},
	syscall.SYS_FLOCK:           {"flock", 0, sysFlock},
	syscall.SYS_FSYNC:           {"fsync", 0, sysFsync},
	syscall.SYS_FDATASYNC:       {"fdatasync", 0, sysFsync},
	syscall.SYS_TRUNCATE:        {"truncate", ptr1, sysTruncate},
	syscall.SYS_FTRUNCATE:       {"ftruncate", 0, sysFtruncate},
	syscall.SYS_GETCWD:          {"getcwd", ptr1, sysGetcwd},
	syscall.SYS_CHDIR:           {"chdir", ptr1, sysChdir},
	syscall.SYS_FCHDIR:          {"fchdir", 0, sysFchdir},
	syscall.SYS_RENAME:          {"rename", ptr1 | ptr2, sysRename},
	syscall.SYS_MKDIR:           {"mkdir", ptr1, sysMkdir},
	syscall.SYS_RMDIR:           {"rmdir", ptr1, sysRmdir},
	syscall.SYS_CREAT:           {"creat", ptr1, sysCreat},
	syscall.SYS_LINK:            {"link", ptr1 | ptr2, sysLink},
	syscall.SYS_UNLINK:          {"unlink", ptr1, sysUnlink},
	syscall.SYS_SYMLINK:         {"symlink", ptr1 | ptr2, sysSymlink},
	syscall.SYS_READLINK:        {"readlink", ptr1 | ptr2, sysReadlink},
	syscall.SYS_CHMOD:           {"chmod", ptr1, sysChmod},
	syscall.SYS_FCHMOD:          {"fchmod", 0, sysFchmod},
	syscall.SYS_CHOWN:           {"chown", ptr1, sysChown},
	syscall.SYS_FCHOWN:          {"fchown", 0, sysFchown},
	syscall.SYS_LCHOWN:          {"lchown", ptr1, sysLchown},
	syscall.SYS_UMASK:           {"umask", 0, sysUmask},
	syscall.SYS_GETGROUPS:       {"getgroups", ptr2, sysGetgroups},
	syscall.SYS_UTIME:           {"utime", ptr1 | ptr2, sysUtime},
	syscall.SYS_MKNOD:           {"mknod", ptr1, sysMknod},
	syscall.SYS_STATFS:          {"statfs", ptr1 | ptr2, sysStatfs},
	syscall.SYS_FSTATFS:         {"fstatfs", ptr2, sysFstatfs},
	syscall.SYS_CHROOT:          {"chroot", ptr1, sysChroot},
	syscall.SYS_SYNC:            {"sync", 0, sysSync},
	syscall.SYS_SETHOSTNAME:     {"sethostname", ptr1, sysSethostname},
	syscall.SYS_SETDOMAINNAME:   {"setdomainname", ptr1, sysSetdomainname},
	syscall.SYS_READAHEAD:       {"readahead", 0, sysFadvise64},
	syscall.SYS_SETXATTR:        {"setxattr", ptr1 | ptr2 | ptr3, sysNoAttributes},
	syscall.SYS_LSETXATTR:       {"lsetxattr", ptr1 | ptr2 | ptr3, sysNoAttributes},
	syscall.SYS_FSETXATTR:       {"fsetxattr", ptr2 | ptr3, sysNoAttributes},
	syscall.SYS_GETXATTR:        {"getxattr", ptr1 | ptr2 | ptr3, sysNoAttributes},
	syscall.SYS_LGETXATTR:       {"lgetxattr", ptr1 | ptr2 | ptr3, sysNoAttributes},
	syscall.SYS_FGETXATTR:       {"fgetxattr", ptr2 | ptr3, sysNoAttributes},
	syscall.SYS_LISTXATTR:       {"listxattr", ptr1 | ptr2, sysNoAttributes},
	syscall.SYS_LLISTXATTR:      {"llistxattr", ptr1 | ptr2, sysNoAttributes},
	syscall.SYS_FLISTXATTR:      {"flistxattr", ptr2, sysNoAttributes},
	syscall.SYS_REMOVEXATTR:     {"removexattr", ptr1 | ptr2, sysNoAttributes},
	syscall.SYS_LREMOVEXATTR:    {"lremovexattr", ptr1 | ptr2, sysNoAttributes},
	syscall.SYS_FREMOVEXATTR:    {"fremovexattr", ptr2, sysNoAttributes},
	syscall.SYS_GETDENTS64:      {"getdents64", ptr2, sysGetdents64},
	syscall.SYS_FADVISE64:       {"fadvise64", 0, sysFadvise64},
	syscall.SYS_UTIMES:          {"utimes", ptr1 | ptr2, sysUtimes},
	syscall.SYS_OPENAT:          {"openat", ptr2, sysOpenat},
	syscall.SYS_MKDIRAT:         {"mkdirat", ptr2, sysMkdirat},
	syscall.SYS_MKNODAT:         {"mknodat", ptr2, sysMknodat},
	syscall.SYS_FCHOWNAT:        {"fchownat", ptr2, sysFchownat},
	syscall.SYS_FUTIMESAT:       {"futimesat", ptr2 | ptr3, sysFutimesat},
	syscall.SYS_NEWFSTATAT:      {"newfstatat", ptr2 | ptr3, sysNewfstatat},
	syscall.SYS_UNLINKAT:        {"unlinkat", ptr2, sysUnlinkat},
	syscall.SYS_RENAMEAT:        {"renameat", ptr2 | ptr4, sysRenameat},
	syscall.SYS_LINKAT:          {"linkat", ptr2 | ptr4, sysLinkat},
	syscall.SYS_SYMLINKAT:       {"symlinkat", ptr1 | ptr3, sysSymlinkat},
	syscall.SYS_READLINKAT:      {"readlinkat", ptr2 | ptr3, sysReadlinkat},
	syscall.SYS_FCHMODAT:        {"fchmodat", ptr2, sysFchmodat},
	syscall.SYS_FACCESSAT:       {"faccessat", ptr2, sysFaccessat},
	syscall.SYS_PSELECT6:        {"pselect6", ptr2 | ptr3 | ptr4 | ptr5 | ptr6, sysPselect6},
	syscall.SYS_PPOLL:           {"ppoll", ptr1 | ptr3 | ptr4, sysPpoll},
	syscall.SYS_SPLICE:          {"splice", ptr2 | ptr4, sysSplice},
	syscall.SYS_TEE:             {"tee", 0, sysTee},
	syscall.SYS_SYNC_FILE_RANGE: {"sync_file_range", 0, sysFsync},
	syscall.SYS_VMSPLICE:        {"vmsplice", ptr2, sysVmsplice},
	syscall.SYS_UTIMENSAT:       {"utimensat", ptr2 | ptr3, sysUtimensat},
	syscall.SYS_FALLOCATE:       {"fallocate", 0, sysFallocate},
	syscall.SYS_ACCEPT4:         {"accept4", ptr2 | ptr3, sysAccept4},
	syscall.SYS_DUP3:            {"dup3", 0, sysDup3},
	syscall.SYS_PIPE2:           {"pipe2", ptr1, sysPipe2},
	syscall.SYS_PREADV:          {"preadv", ptr2, sysPreadv},
	syscall.SYS_PWRITEV:         {"pwritev", ptr2, sysPwritev},
	syscall.SYS_RECVMMSG:        {"recvmmsg", ptr2 | ptr5, sysRecvmmsg},
	sysSYNCFS:                   {"syncfs", 0, sysSyncfs},
	sysSENDMMSG:                 {"sendmmsg", ptr2, sysSendmmsg},
	sysRENAMEAT2:                {"renameat2", ptr2 | ptr4, sysRenameat2},
	sysMEMFDCREATE:              {"memfd_create", ptr1, sysMemfdCreate},
	sysCOPYFILERANGE:            {"copy_file_range", ptr2 | ptr4, sysCopyFileRange},
	sysPREADV2:                  {"preadv2", ptr2, sysPreadv2},
	sysPWRITEV2:                 {"pwritev2", ptr2, sysPwritev2},
	sysSTATX:                    {"statx", ptr2 | ptr5, sysStatx},
	sysCLOSERANGE:               {"close_range", 0, sysCloseRange},
	sysOPENAT2:                  {"openat2", ptr2 | ptr3, sysOpenat2},
	sysFACCESSAT2:               {"faccessat2", ptr2, sysFaccessat2},
	sysFCHMODAT2:                {"fchmodat2", ptr2, sysFchmodat2},
}
