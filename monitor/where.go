package monitor

import "fmt"

// where is the guest's position, for reports.
func (vm *VM) where() string {
	return fmt.Sprintf("%#x", vm.vcpu.Regs().RIP)
}
