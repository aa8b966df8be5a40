package monitor

import (
	"errors"
	"path/filepath"
	"testing"

	"ukvm.dev/internal/kvmtest"
)

// TestPrepared runs a guest on a machine made before, which serves once.
func TestPrepared(t *testing.T) {
	m := Prepare()
	vm := newGuest(t, new(kvmtest.Code).Halt(7).Image(), Config{Machine: m})
	if err := m.Close(); err != nil { // it is the VM's
		t.Error(err)
	}
	var exit *ExitError
	if err := runVM(t, vm); !errors.As(err, &exit) || exit.Code != 7 {
		t.Errorf("the guest ended with %v", err)
	}
	c := vm.config
	c.Machine = m
	if _, err := New(c); !errors.Is(err, ErrMachineTaken) {
		t.Errorf("the same machine again: %v", err)
	}
}

// TestPreparedInVain closes machines that are not used, and gives some to New that has no use for them.
func TestPreparedInVain(t *testing.T) {
	kvmtest.Require(t)
	configs := []Config{
		{Image: filepath.Join(t.TempDir(), "none")},
		{Image: kvmtest.WriteFile(t, []byte("no ELF"))},
		{Image: kvmtest.WriteFile(t, new(kvmtest.Code).Halt(0).Image().ELF()), Memory: 1},
	}
	leaks(t, 10, 1+len(configs), func() {
		m := Prepare()
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Error(err)
		}
		for _, c := range configs {
			c.Machine = Prepare()
			if vm, err := New(c); err == nil {
				t.Errorf("%+v: no error", c)
				vm.Close()
			}
		}
	})
}
