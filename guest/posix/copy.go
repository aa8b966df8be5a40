package posix

import "syscall"

// copyChunk is how much is copied at a time between descriptors, through the kernel's memory.
const copyChunk = 64 << 10

// sysSendfile is sendfile(2): from a file or device to anything. Errors: EBADF, EINVAL, ESPIPE.
func sysSendfile(s *System, a args) (uintptr, syscall.Errno) {
	in, errno := s.get(a.a2)
	if errno != 0 {
		return 0, s.refuse(a.a2, syscall.EINVAL)
	}
	defer in.release()
	at, target, n := (*int64)(a.p3), fdOf(a.a1), int(min(a.a4, maxTransfer))
	o, seekable := in.object.(positioned)
	_, isDir := in.object.(*directory)
	switch {
	case !in.readable():
		return 0, syscall.EBADF
	case at != nil && !seekable && !isDir:
		return 0, syscall.ESPIPE
	}
	from := in.offset(at)
	if from < 0 {
		return 0, syscall.EINVAL
	}
	out, errno := s.get(a.a1)
	if errno != 0 && s.refuse(a.a1, 0) != 0 {
		return 0, syscall.EBADF
	}
	if errno == 0 {
		defer out.release()
		if !out.writable() {
			return 0, syscall.EBADF
		}
		if out.flags.Load()&syscall.O_APPEND != 0 {
			return 0, syscall.EINVAL
		}
	}
	if !seekable {
		return 0, syscall.EINVAL
	}
	buf := make([]byte, min(n, copyChunk))
	done := 0
	for done < n {
		got, e := o.readAt(buf[:min(len(buf), n-done)], from+int64(done))
		if errno = e; e != 0 || got == 0 {
			break
		}
		put := 0
		if out == nil {
			put, errno = s.gate.Write(target, buf[:got])
		} else {
			put, errno = out.write(buf[:got])
		}
		done += put
		if errno != 0 || put < got {
			break
		}
	}
	in.setOffset(at, from+int64(done))
	return count(partial(done, errno))
}

// sysCopyFileRange is copy_file_range(2), between regular files. Errors: EBADF, EINVAL, EISDIR, EXDEV is not among
// them: any two file systems will do.
func sysCopyFileRange(s *System, a args) (uintptr, syscall.Errno) {
	in, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.EINVAL)
	}
	defer in.release()
	out, errno := s.get(a.a3)
	if errno != 0 {
		return 0, s.refuse(a.a3, syscall.EINVAL)
	}
	defer out.release()
	from, okIn := in.object.(*regular)
	to, okOut := out.object.(*regular)
	_, dirIn := in.object.(*directory)
	_, dirOut := out.object.(*directory)
	switch {
	case in.isPath() || out.isPath():
		return 0, syscall.EBADF
	case a.a6 != 0:
		return 0, syscall.EINVAL
	case dirIn || dirOut:
		return 0, syscall.EISDIR
	case !okIn || !okOut:
		return 0, syscall.EINVAL
	case !in.readable() || !out.writable() || out.flags.Load()&syscall.O_APPEND != 0:
		return 0, syscall.EBADF
	}
	readAt, writeAt := (*int64)(a.p2), (*int64)(a.p4)
	n := int64(min(a.a5, maxTransfer))
	src, dst := in.offset(readAt), out.offset(writeAt)
	if src < 0 || dst < 0 {
		return 0, syscall.EINVAL
	}
	n = min(n, max(0, from.Attr().Size-src))
	if nodeOf(in.object) == nodeOf(out.object) && src < dst+n && dst < src+n {
		return 0, syscall.EINVAL
	}
	buf := make([]byte, min(n, copyChunk))
	done := int64(0)
	for done < n {
		got, e := from.ReadAt(buf[:min(int64(len(buf)), n-done)], src+done)
		if errno = e; e != 0 || got == 0 {
			break
		}
		put, e := to.WriteAt(buf[:got], dst+done)
		done += int64(put)
		if errno = e; e != 0 || put < got {
			break
		}
	}
	in.setOffset(readAt, src+done)
	out.setOffset(writeAt, dst+done)
	return count(partial(int(done), errno))
}

// offset is where a copy begins: at a user's offset or at the position.
func (d *description) offset(at *int64) int64 {
	if at != nil {
		return *at
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pos
}

func (d *description) setOffset(at *int64, pos int64) {
	if at != nil {
		*at = pos
		return
	}
	d.mu.Lock()
	d.pos = pos
	d.mu.Unlock()
}
