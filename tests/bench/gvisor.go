package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
)

// gvisorContender is netguest in a gVisor sandbox of its own (runsc run with a bundle, as a container engine does), with
// gVisor's network stack behind a veth. The sandbox takes the veth's address away from the namespace, so each run has a new one.
func gvisorContender(runsc, dir, image string) netContender {
	const network = "10.96.0" // the packet contender has 10.97.0, the far side 10.98.0, TAP 10.99.0
	run := func() (s *server, err error) {
		far, err := newFarSide("runsc", network)
		if err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				far.remove()
			}
		}()
		bundle := filepath.Join(dir, "runsc")
		if err := os.MkdirAll(bundle, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(bundle, "config.json"), gvisorConfig(far.path, image), 0o644); err != nil {
			return nil, err
		}
		words := []string{runsc, "--root", filepath.Join(bundle, "state"), "--ignore-cgroups"}
		s, err = serve(nil, append(slices.Clip(words), "run", "--bundle", bundle, "bench")...)
		if err != nil {
			return nil, err
		}
		s.end = func() error { // SIGTERM would end runsc and leave the sandbox
			_, _, err := output(loadCPU, nil, append(slices.Clip(words), "kill", "bench", "TERM")...)
			return err
		}
		s.then = far.remove
		return s, nil
	}
	return netContender{"gVisor over veth", network + ".2", "8080", run, 0, true}
}

// gvisorConfig is a bundle's configuration (OCI Runtime Specification, config.md) for an image in a network namespace.
func gvisorConfig(namespace, image string) []byte {
	type object = map[string]any
	b, err := json.Marshal(object{
		"ociVersion": "1.0.0",
		"process":    object{"user": object{"uid": 0, "gid": 0}, "args": []string{image}, "env": []string{"GOMAXPROCS=1"}, "cwd": "/"},
		"root":       object{"path": "/", "readonly": true},
		"mounts":     []object{{"destination": "/proc", "type": "proc", "source": "proc"}},
		"linux": object{"namespaces": []object{
			{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network", "path": namespace},
		}},
	})
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return b
}
