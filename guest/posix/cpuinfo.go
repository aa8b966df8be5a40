package posix

import (
	"strconv"
	"strings"
)

// cpuid is the instruction, which may run anywhere. It is in assembly.
func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// cpuinfoText is /proc/cpuinfo: one processor, as CPUID describes it (Intel SDM vol. 2, AMD APM vol. 3).
func cpuinfoText(s *System) string {
	highest, ebx, ecx, edx := cpuid(0, 0)
	vendor := registers(ebx, edx, ecx)
	signature, misc, features, features2 := cpuid(1, 0)
	family, model := signature>>8&15, signature>>4&15
	if family == 6 || family == 15 {
		model |= signature >> 12 & 0xf0
	}
	if family == 15 {
		family += signature >> 20 & 0xff
	}
	flags := []cpuFlags{{features2, flagsEDX1}, {features, flagsECX1}}
	if highest >= 7 {
		_, b, c, d := cpuid(7, 0)
		flags = append(flags, cpuFlags{b, flagsEBX7}, cpuFlags{c, flagsECX7}, cpuFlags{d, flagsEDX7})
	}
	extended, _, _, _ := cpuid(0x80000000, 0)
	name, physical, virtual := "", uint32(48), uint32(48)
	if extended >= 0x80000004 {
		_, _, c, d := cpuid(0x80000001, 0)
		flags = append(flags, cpuFlags{d, flagsEDX8}, cpuFlags{c, flagsECX8})
		for leaf := uint32(0x80000002); leaf <= 0x80000004; leaf++ {
			name += registers(cpuid(leaf, 0))
		}
		name = strings.TrimSpace(cString([]byte(name)))
	}
	if extended >= 0x80000008 {
		sizes, _, _, _ := cpuid(0x80000008, 0)
		physical, virtual = sizes&0xff, sizes>>8&0xff
	}
	mhz := s.env.hertz() / 1000
	line := misc >> 8 & 0xff * 8
	var b strings.Builder
	for _, f := range [...][2]string{
		{"processor\t", "0"}, {"vendor_id\t", vendor}, {"cpu family\t", unsigned(family)}, {"model\t\t", unsigned(model)},
		{"model name\t", name}, {"stepping\t", unsigned(signature & 15)}, {"cpu MHz\t\t", thousandths(mhz)},
		{"physical id\t", "0"}, {"siblings\t", "1"}, {"core id\t\t", "0"}, {"cpu cores\t", "1"}, {"apicid\t\t", "0"},
		{"initial apicid\t", "0"}, {"fpu\t\t", "yes"}, {"fpu_exception\t", "yes"}, {"cpuid level\t", unsigned(highest)},
		{"wp\t\t", "yes"}, {"flags\t\t", flagNames(flags)}, {"bugs\t\t", ""}, {"bogomips\t", thousandths(2 * mhz)},
		{"clflush size\t", unsigned(line)}, {"cache_alignment\t", unsigned(line)},
		{"address sizes\t", unsigned(physical) + " bits physical, " + unsigned(virtual) + " bits virtual"},
		{"power management", ""},
	} {
		b.WriteString(f[0] + ":")
		if f[1] != "" {
			b.WriteString(" " + f[1])
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.String()
}

func unsigned(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// thousandths shows n/1000 with three decimals.
func thousandths(n uint64) string {
	frac := strconv.FormatUint(n%1000, 10)
	return strconv.FormatUint(n/1000, 10) + "." + "000"[len(frac):] + frac
}

// registers is the text in registers, four bytes each.
func registers(regs ...uint32) string {
	var b []byte
	for _, r := range regs {
		b = append32(b, r)
	}
	return string(b)
}

// cpuFlags are feature bits and their names, by bit; "" and "-" are not shown.
type cpuFlags struct {
	bits  uint32
	names string
}

// flagNames lists what is set.
func flagNames(groups []cpuFlags) string {
	var set []string
	for _, g := range groups {
		for bit, name := range strings.Fields(g.names) {
			if g.bits>>bit&1 != 0 && name != "-" {
				set = append(set, name)
			}
		}
	}
	return strings.Join(set, " ")
}

// Names of feature bits from bit 0 on, as Linux shows them (arch/x86/include/asm/cpufeatures.h). Bits for the operating
// system, which a program has no use for here, are left out.
const (
	flagsEDX1 = "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx " +
		"fxsr sse sse2 ss ht tm ia64 pbe"
	flagsECX1 = "pni pclmulqdq dtes64 - ds_cpl - - est tm2 ssse3 - sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 " +
		"x2apic movbe popcnt - aes xsave - avx f16c rdrand hypervisor"
	flagsEBX7 = "fsgsbase - sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm - - - - avx512f avx512dq rdseed adx smap " +
		"avx512ifma - clflushopt clwb - avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"
	flagsECX7 = "prefetchwt1 avx512vbmi umip pku - waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg " +
		"- avx512_vpopcntdq - - - - - - - rdpid - - cldemote - movdiri movdir64b"
	flagsEDX7 = "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - - - - - serialize - tsxldtrk - - - - - " +
		"amx_bf16 avx512_fp16 amx_tile amx_int8"
	flagsEDX8 = "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow"
	flagsECX8 = "lahf_lm cmp_legacy - extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw - xop - - - - fma4 tce - " +
		"- - tbm"
)
