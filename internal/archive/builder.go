package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Builder collects what goes into an archive. Add only looks at names and sizes, so Size is known before anything is
// read. The zero value is empty. It is not safe for concurrent use.
type Builder struct {
	members []member
	size    int64 // of the members, encoded
	left    []string
}

// member is one file, directory or symbolic link.
type member struct {
	host   string // path to read from; "" for directories that only the guest has
	name   string // in the archive: without a leading slash
	mode   fs.FileMode
	mtime  int64
	size   int64  // of a file
	target string // of a symbolic link
}

// maxFile is the largest size a header can hold.
const maxFile = 1<<32 - 1

// Filter says whether a file or directory below what is added comes along. A nil Filter takes everything.
type Filter func(host string, d fs.DirEntry) bool

// Add adds the file or directory host, with all that is in it, under the absolute path guest. If host is a symbolic link
// it is followed; links below it are kept as links. If host is a file and guest ends in a slash, the file keeps its name.
func (b *Builder) Add(host, guest string, filter Filter) error {
	if !path.IsAbs(guest) {
		return fmt.Errorf("copy %s: the path in the guest, %q, is not absolute", host, guest)
	}
	info, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("copy %s: %w", host, pathless(err))
	}
	if strings.HasSuffix(guest, "/") && !info.IsDir() {
		guest += filepath.Base(host)
	}
	name := strings.TrimPrefix(path.Clean(guest), "/")
	if name == "" && !info.IsDir() {
		return fmt.Errorf("copy %s: / is a directory; name the file in the guest", host)
	}
	if err := b.add(host, name, info, filter); err != nil {
		return fmt.Errorf("copy %s: %w", host, pathless(err))
	}
	return nil
}

// MakeDir adds an empty directory.
func (b *Builder) MakeDir(guest string) {
	b.append(member{name: strings.TrimPrefix(path.Clean(guest), "/"), mode: fs.ModeDir | 0o777})
}

func (b *Builder) add(host, name string, info fs.FileInfo, filter Filter) error {
	m := member{host: host, name: name, mode: info.Mode(), mtime: info.ModTime().Unix()}
	switch m.mode.Type() {
	case 0:
		if m.size = info.Size(); m.size > maxFile {
			return fmt.Errorf("%s is larger than 4 GiB", host)
		}
	case fs.ModeSymlink:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		m.target = target
	case fs.ModeDir:
		if err := b.addEntries(host, name, filter); err != nil {
			return err
		}
	default:
		b.left = append(b.left, host)
		return nil
	}
	if name != "" { // the root itself is the guest's
		b.append(m)
	}
	return nil
}

func (b *Builder) addEntries(host, name string, filter Filter) error {
	entries, err := os.ReadDir(host)
	if err != nil {
		return err
	}
	for _, d := range entries {
		child := filepath.Join(host, d.Name())
		if filter != nil && !filter(child, d) {
			continue
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has gone since
		}
		if err != nil {
			return err
		}
		if err := b.add(child, path.Join(name, d.Name()), info, filter); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) append(m member) {
	b.members = append(b.members, m)
	b.size += m.encodedSize()
}

// Empty reports whether nothing has been added.
func (b *Builder) Empty() bool { return len(b.members) == 0 }

// Size is the archive's size in bytes.
func (b *Builder) Size() int64 { return b.size + trailerSize }

// LeftOut lists what an archive cannot hold: devices, sockets, named pipes.
func (b *Builder) LeftOut() []string { return b.left }

// pathless is err without the path, which the caller names in its own words, if it is about the path itself.
func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) && p.Op == "stat" {
		return p.Err
	}
	return err
}
