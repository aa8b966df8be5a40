package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/tests/internal/ukvmtest"
)

func TestVersion(t *testing.T) {
	release := goVersion(t)
	r := ukvmtest.Ukvm(t, "version")
	if r.Code != 0 || r.Stderr != "" || !strings.HasPrefix(r.Stdout, "ukvm       ") || !strings.Contains(r.Stdout, "\ngo         "+release+" (") {
		t.Errorf("code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
	var v struct {
		Version, Go string
		Interface   int
	}
	r = ukvmtest.Ukvm(t, "version", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil || v.Go != release || v.Interface != hypercall.Version || v.Version == "" {
		t.Errorf("%v: printed %q, said %q", err, r.Stdout, r.Stderr)
	}
	// Guests are built with that release.
	if r := run(t, nil); r.Stdout != "guest "+release+"\n" {
		t.Errorf("the guest says %q", r.Stdout)
	}
}

// TestDoctor asks the doctor where all is well, and where something is missing.
func TestDoctor(t *testing.T) {
	type result struct{ Check, Status, Text, Fix string }
	examine := func(t *testing.T, c ukvmtest.Cmd) (code int, all map[string]result) {
		t.Helper()
		c.Args = append(c.Args, "doctor", "--json")
		r := ukvmtest.Run(t, c)
		var list []result
		if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil || r.Stderr != "" {
			t.Fatalf("%v: printed %q, said %q", err, r.Stdout, r.Stderr)
		}
		all = map[string]result{}
		for _, x := range list {
			all[x.Check] = x
		}
		return r.Code, all
	}
	code, all := examine(t, ukvmtest.Cmd{})
	if code != 0 || all["kvm"].Status != "ok" || all["guest"].Status != "ok" || all["go"].Status != "ok" {
		t.Errorf("code %d, %v", code, all)
	}
	r := ukvmtest.Ukvm(t, "doctor")
	if r.Code != 0 || r.Stderr != "" || strings.Count(r.Stdout, "\n") < len(all) {
		t.Errorf("code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
	for kind, says := range map[string]string{noKVM: "no /dev/kvm", closedKVM: "you may not open /dev/kvm"} {
		t.Run(kind, func(t *testing.T) {
			dir := home(t)
			c := onStage(t, kind, ukvmtest.Cmd{Dir: dir, Env: nobodysEnvironment(dir)})
			if code, all := examine(t, c); code != 125 || all["kvm"].Status != "fail" || !strings.Contains(all["kvm"].Text, says) || all["kvm"].Fix == "" {
				t.Errorf("code %d, %v", code, all)
			}
		})
	}
}

// TestCompletion prints the scripts, and has bash load its own. (What they ask ukvm is tested in cmd/ukvm.)
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		r := ukvmtest.Ukvm(t, "completion", shell)
		if r.Code != 0 || r.Stderr != "" || len(r.Stdout) < 1000 {
			t.Errorf("%s: code %d, printed %d bytes, said %q", shell, r.Code, len(r.Stdout), r.Stderr)
		}
	}
	script := `source <("$0" completion bash) && complete -p ukvm`
	r := ukvmtest.Run(t, ukvmtest.Cmd{Path: "/bin/bash", Args: []string{"--norc", "-c", script, ukvmtest.Command(t)}})
	if r.Code != 0 || r.Stdout != "complete -o default -F __start_ukvm ukvm\n" || r.Stderr != "" {
		t.Errorf("bash: code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
}

// TestHelp checks that the README and the help texts know the same flags.
func TestHelp(t *testing.T) {
	readme := readFile(t, ukvmtest.Root()+"/README.md")
	help := ukvmtest.Ukvm(t, "run", "--help").Stdout + ukvmtest.Ukvm(t, "test", "--help").Stdout
	for _, flag := range []string{"-p", "-m", "-e", "--env-file", "--copy", "--net", "--dns", "--host-loopback", "--dir", "--hostname", "--name",
		"--policy", "--firewall", "--pcap", "--pcap-snaplen", "--pcap-limit", "-i", "--stop-timeout", "--trace", "--stats", "--json", "-C", "-q"} {
		if !strings.Contains(readme, "`"+flag) || !strings.Contains(help, flag) {
			t.Errorf("%s is not in both the README and the help", flag)
		}
	}
	if r := ukvmtest.Ukvm(t); r.Code != 0 || !strings.Contains(r.Stdout, "ukvm run") {
		t.Errorf("ukvm alone: %+v", r)
	}
}
