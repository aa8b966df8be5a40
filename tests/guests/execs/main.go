// Command execs tries to start other programs, in every way of the standard library. The test expects the same clear error
// from each.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	report("exec.Command", exec.Command(self).Run())
	_, err = exec.Command("/bin/sh", "-c", "exit").Output()
	report("exec.Output", err)
	_, err = os.StartProcess(self, []string{"x"}, &os.ProcAttr{})
	report("os.StartProcess", err)
	_, err = syscall.ForkExec(self, nil, nil)
	report("syscall.ForkExec", err)
	report("syscall.Exec", syscall.Exec(self, []string{"x"}, nil))
	_, err = exec.LookPath("sh")
	fmt.Println("exec.LookPath:", errors.Is(err, exec.ErrNotFound))
	fmt.Println("still here")
}

func report(how string, err error) {
	fmt.Println(how+":", err)
}
