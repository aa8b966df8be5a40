package cli

import (
	"fmt"
	"strings"

	"ukvm.dev/internal/archive"
)

// Copies adds what --copy says to an archive: HOST:GUEST, where GUEST is an absolute path.
func Copies(b *archive.Builder, specs []string) error {
	for _, spec := range specs {
		i := strings.LastIndexByte(spec, ':')
		if i <= 0 || i == len(spec)-1 {
			return fmt.Errorf("--copy %q: write HOST:GUEST, for example --copy ./public:/srv/public", spec)
		}
		host, guest := spec[:i], spec[i+1:]
		if guest[0] != '/' {
			return fmt.Errorf("--copy %q: the guest's path is not absolute: write %s:/%s", spec, host, strings.TrimPrefix(guest, "./"))
		}
		if err := b.Add(host, guest, nil); err != nil {
			return err
		}
	}
	return nil
}

// Pack reads the files and returns the archive, nil if there are none. The archive and the image, of which size is
// known, have to fit into the guest's memory.
func Pack(b *archive.Builder, image int64, memory uint64) ([]byte, error) {
	if b.Empty() {
		return nil, nil
	}
	if need := uint64(b.Size() + image); need > memory {
		return nil, fmt.Errorf("%s of files to copy do not fit beside the program into -m %s: give the guest more, for example -m %s",
			FormatSize(uint64(b.Size())), FormatSize(memory), FormatSize(suggestMemory(need)))
	}
	return b.Bytes()
}

// suggestMemory is a round size with room for as much again.
func suggestMemory(need uint64) uint64 {
	m := uint64(64 << 20)
	for m < 2*need {
		m *= 2
	}
	return m
}
