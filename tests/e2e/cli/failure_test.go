package cli

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestNoKVM runs where there is no /dev/kvm.
func TestNoKVM(t *testing.T) {
	r := ukvmtest.Run(t, onStage(t, noKVM, ukvmtest.Cmd{Args: []string{"run", guest(t)}}))
	checkSentence(t, "no /dev/kvm", r, 125, "this machine has no /dev/kvm: load the kvm_intel or kvm_amd module")
}

// TestNoPermission runs as a user who may not open /dev/kvm.
func TestNoPermission(t *testing.T) {
	dir := home(t)
	r := ukvmtest.Run(t, onStage(t, closedKVM, ukvmtest.Cmd{Args: []string{"run", guest(t)}, Dir: dir, Env: nobodysEnvironment(dir)}))
	checkSentence(t, "no permission", r, 125, "no permission to open /dev/kvm: add yourself to the group")

	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r = ukvmtest.Run(t, onStage(t, openKVM, ukvmtest.Cmd{Args: []string{"run", secret}, Dir: dir, Env: nobodysEnvironment(dir)}))
	checkSentence(t, "an image that cannot be read", r, 126, "permission denied")
}

// TestNotImages runs files that are no images.
func TestNotImages(t *testing.T) {
	dir := t.TempDir()
	image := readFile(t, guest(t))
	ordinary := filepath.Join(dir, "ordinary")
	build := exec.Command("go", "build", "-o", ordinary, "./examples/hello")
	build.Dir, build.Env = ukvmtest.Root(), append(ukvmtest.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{
		"empty":   "",
		"script":  "#!/bin/sh\necho hello\n",
		"noise":   strings.Repeat("\x00\xff\x7f", 5000),
		"archive": "!<arch>\n" + strings.Repeat("x", 100),
		"version": string(otherVersion(t, []byte(image), 1)),
		"future":  string(otherVersion(t, []byte(image), 1000)),
		"half":    image[:len(image)/2],
		"ELF":     "\x7fELF",
	})
	for _, c := range []struct{ file, says string }{
		{"empty", "not an ELF file; run takes an image, which ukvm build makes, or a Go package"},
		{"script", "not an ELF file"},
		{"noise", "not an ELF file"},
		{"archive", "not an ELF file"},
		{"ELF", "not an ELF file"},
		{ordinary, "build it with ukvm build"},
		{shell, "not a static executable for x86-64 Linux"},
		{"version", fmt.Sprintf("its interface version is %d, this ukvm's is %d; build it again with ukvm build", hypercall.Version-1, hypercall.Version)},
		{"future", "its interface version is"},
		{"half", "build it again with ukvm build"},
		{"/dev/zero", "is not a file"},
	} {
		if !filepath.IsAbs(c.file) {
			c.file = filepath.Join(dir, c.file)
		}
		checkSentence(t, filepath.Base(c.file), ukvmtest.Ukvm(t, "run", c.file), 126, c.says)
	}
}

// otherVersion is an image for another version of the interface: by down below the present one, or 1000 for a later one.
func otherVersion(t *testing.T, image []byte, down uint32) []byte {
	t.Helper()
	at := headerOffset(t, image) + hypercall.HeaderVersionOffset
	binary.LittleEndian.PutUint32(image[at:], hypercall.Version-down)
	return image
}

// headerOffset is where in its file an image has its header.
func headerOffset(t *testing.T, image []byte) uint64 {
	t.Helper()
	f, err := elf.NewFile(strings.NewReader(string(image)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr <= f.Entry && f.Entry < p.Vaddr+p.Filesz {
			at := f.Entry - p.Vaddr + p.Off
			if binary.LittleEndian.Uint64(image[at+hypercall.HeaderMagicOffset:]) == hypercall.HeaderMagic {
				return at
			}
		}
	}
	t.Fatal("the image has no header")
	return 0
}

// TestPortInUse publishes ports that others have.
func TestPortInUse(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcpPort, udpPort := tcp.Addr().(*net.TCPAddr).Port, udp.LocalAddr().(*net.UDPAddr).Port
	for _, publish := range []string{
		fmt.Sprintf("127.0.0.1:%d:8080", tcpPort), fmt.Sprintf("%d:8080", tcpPort), fmt.Sprintf("127.0.0.1:%d:53/udp", udpPort),
		fmt.Sprintf("%d:53/udp", udpPort),
	} {
		checkSentence(t, publish, run(t, []string{"-p", publish}, "exit", "0"), 125, "in use")
	}
	free := freePort(t)
	twice := []string{"-p", fmt.Sprintf("%d:8080", free), "-p", fmt.Sprintf("%d:8081", free)}
	checkSentence(t, "the same port twice", run(t, twice, "exit", "0"), 125, "")
}

// TestSmallMemory gives too little memory: to any program, to this one's files, and to what it does.
func TestSmallMemory(t *testing.T) {
	checkSentence(t, "-m 4M", run(t, []string{"-m", "4M"}, "exit", "0"), 125, "-m 4M is too small: a Go program needs at least 8M")
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 20<<20); err != nil {
		t.Fatal(err)
	}
	r := run(t, []string{"-m", "16M", "--copy", large + ":/large"}, "exit", "0")
	checkSentence(t, "files larger than the memory", r, 125, "do not fit")
	checkSentence(t, "a program that needs more", run(t, nil, "allocate"), 137, "the guest has used up its 64 MiB of memory; give it more with -m")
	checkSentence(t, "a program that needs more than 8M", run(t, []string{"-m", "8M"}, "allocate"), 137, "8 MiB of memory; give it more with -m")
}

// TestWrongWords has command lines that are wrong. (Those of which ukvm itself knows are in cmd/ukvm too.)
func TestWrongWords(t *testing.T) {
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{"run --frob ./examples/hello", 125, "unknown flag: --frob; ukvm run --help lists the flags"},
		{"build --frob ./examples/hello", 125, "--frob"},
		{"doctor --frob", 125, "unknown flag: --frob"},
		{"frob", 125, "there is no command"},
		{"run ./examples/none", 127, "./examples/none does not exist"},
		{"run ukvm.dev/examples/none", 127, "there is no package ukvm.dev/examples/none"},
		{"run examples/hello", 127, "write ./examples/hello for the directory"},
		{"run none", 127, "there is no package none"},
		{"run example.org/none@v1.0.0", 127, "there is no package example.org/none@v1.0.0"},
		{"build ./examples/none", 127, "there is no package ./examples/none"},
		{"build ./hypercall", 125, "./hypercall"},
		{"run ./hypercall", 125, "./hypercall"},
	} {
		r := ukvmtest.Run(t, ukvmtest.Cmd{Args: strings.Fields(c.line), Dir: ukvmtest.Root(), Env: []string{"GOPROXY=file://" + t.TempDir(), "GONOSUMDB=*"}})
		checkSentence(t, c.line, r, c.code, c.says)
	}
}
