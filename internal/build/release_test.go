package build

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestReleases builds with other Go releases, which the go command downloads.
func TestReleases(t *testing.T) {
	soak(t)
	for _, release := range []string{"go1.25.0", "go1.25.5", "go1.26.0"} {
		t.Run(release, func(t *testing.T) {
			for _, name := range []string{"gate", "hook"} {
				for _, flags := range [][]string{nil, {"-gcflags=all=-N -l"}, {"-cover", "-covermode=atomic", "-coverpkg=syscall,os,net,main"}} {
					cfg := testConfig(t, program(t, name), "GOTOOLCHAIN="+release, "GOPROXY="+goEnv(t, "GOPROXY"))
					cfg.Flags = flags
					r := mustBuild(t, cfg)
					if r.Toolchain.Version != release {
						t.Errorf("built with %s", r.Toolchain.Version)
					}
					cmd := exec.Command(r.Path)
					cmd.Env = append(os.Environ(), "GOCOVERDIR="+t.TempDir())
					if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ok" {
						t.Errorf("%s %q: %v\n%s", name, flags, err, out)
					}
					if len(flags) == 0 {
						checkSites(t, r.Path)
					}
				}
			}
		})
	}
}

// TestChosenByModule checks that the toolchain is the one that go.mod asks for, for a program and for PATH@VERSION.
func TestChosenByModule(t *testing.T) {
	soak(t)
	const newer = "go1.25.5"
	dir := tree(t, map[string]string{
		"go.mod":  "module example.org/x\n\ngo 1.25\n\ntoolchain " + newer + "\n",
		"main.go": "package main\n\nimport \"runtime\"\n\nfunc main() { println(runtime.Version()) }\n",
	})
	cfg := testConfig(t, dir, "GOTOOLCHAIN=go1.25.0+auto", "GOPROXY="+goEnv(t, "GOPROXY"))
	if out := runs(t, mustBuild(t, cfg).Path); out != newer {
		t.Errorf("built with %s", out)
	}
	settings, err := Env(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(settings, "\n"), "GOROOT="+sharedCache+"/goroot/"+newer+"-") {
		t.Errorf("%q", settings)
	}

	proxy := t.TempDir()
	serve(t, proxy, "example.org/newer", "v1.0.0", map[string]string{
		"go.mod":  "module example.org/newer\n\ngo 1.25.5\n",
		"main.go": "package main\n\nimport \"runtime\"\n\nfunc main() { println(runtime.Version()) }\n",
	})
	cfg.Env = setenv(cfg.Env, "GOPROXY=file://"+proxy+","+goEnv(t, "GOPROXY"), "GONOSUMDB=example.org")
	if out := runs(t, mustBuild(t, cfg, "example.org/newer@v1.0.0").Path); out != "go1.25.5" {
		t.Errorf("example.org/newer@v1.0.0: built with %s", out)
	}
}

func goEnv(t *testing.T, name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
