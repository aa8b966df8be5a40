// Package resolvconf reads resolv.conf(5) as far as the network backends need it: servers and search list.
package resolvconf

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// Path is where the host's resolver configuration is.
const Path = "/etc/resolv.conf"

// maxServers is what the resolver of the C library uses (MAXNS).
const maxServers = 3

// Config is the part of resolv.conf that is used here.
type Config struct {
	Servers []netip.Addr // at most three
	Search  []string
}

// Read parses the file at path.
func Read(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read resolver configuration: %w", err)
	}
	return Parse(text), nil
}

// Parse takes what it understands and ignores the rest, as resolvers do.
func Parse(text []byte) Config {
	var c Config
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		word := strings.Fields(line)
		if len(word) < 2 {
			continue
		}
		switch word[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(word[1]); err == nil && len(c.Servers) < maxServers {
				c.Servers = append(c.Servers, addr)
			}
		case "domain":
			c.Search = word[1:2]
		case "search":
			c.Search = word[1:]
		}
	}
	return c
}
