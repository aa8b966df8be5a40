package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// otherServer is a web server that is not ours. Each says what netguest says, runs in the foreground, and ends on SIGTERM.
type otherServer struct {
	name, command, port string

	// words is the command line, for a command found at path; files that it needs go to dir.
	words func(dir, path string) ([]string, error)
}

var otherServers = []otherServer{
	{"nginx", "nginx", "8081", func(dir, path string) ([]string, error) {
		conf := filepath.Join(dir, "nginx.conf")
		return []string{path, "-p", dir, "-c", conf, "-e", "stderr"}, os.WriteFile(conf, []byte(nginxConf), 0o644)
	}},
	{"Apache", "apache2", "8082", func(dir, path string) ([]string, error) {
		page := filepath.Join(dir, "htdocs", "hello", "bench")
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(page, []byte(helloPage), 0o644); err != nil {
			return nil, err
		}
		// It serves files as another user than root.
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
		conf := filepath.Join(dir, "apache.conf")
		modules := filepath.Join(filepath.Dir(path), "../lib/apache2/modules") // Debian's place
		text := fmt.Sprintf(apacheConf, dir, modules)
		return []string{path, "-D", "FOREGROUND", "-f", conf}, os.WriteFile(conf, []byte(text), 0o644)
	}},
	{"Node.js", "node", "8083", func(_, path string) ([]string, error) {
		return []string{path, "-e", nodeServer}, nil
	}},
}

const helloPage = "Hello, bench!\n"

const nginxConf = `daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 1024; }
http {
	access_log off; keepalive_requests 1000000000;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server { listen 8081; location / { return 200 "Hello, bench!\n"; } }
}
`

// apacheConf lacks the directory for files, and that of the modules.
const apacheConf = `ServerRoot "%[1]s"
LoadModule mpm_event_module "%[2]s/mod_mpm_event.so"
LoadModule authz_core_module "%[2]s/mod_authz_core.so"
ServerName bench
Listen 8082
User nobody
Group nogroup
PidFile apache.pid
ErrorLog /dev/stderr
DefaultRuntimeDir "%[1]s"
DocumentRoot "%[1]s/htdocs"
KeepAlive On
MaxKeepAliveRequests 0
`

const nodeServer = `require('http').createServer((q, r) => { r.setHeader('Content-Length', 14); r.end('Hello, bench!\n') })
.listen(8083); process.on('SIGTERM', () => process.exit(0))`

// installed are those of the other servers that this machine has, to run on the far side, and the names of those that it
// does not have.
func installed(dir string, far *farSide) (found []netContender, missing []string) {
	for _, o := range otherServers {
		path, err := exec.LookPath(o.command)
		if err != nil {
			missing = append(missing, o.name)
			continue
		}
		found = append(found, netContender{o.name + " over veth", far.addr, o.port, func() (*server, error) {
			words, err := o.words(dir, path)
			if err != nil {
				return nil, err
			}
			return far.serve(nil, words...)
		}, 0, true})
	}
	return found, missing
}
