/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPUID tables made from what two hosts offered: a small AMD one, and an Intel server. */
#include "vmm-core/cpuid.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cpuid-fixture.h"
#include "vmm-core/cpu-topology.h"

static struct cpuid_table table;
static struct cpuid_report report;

static void config_init(struct vm_config *config, enum vm_cpu_mode mode, const char *model)
{
	vm_config_init(config);
	config->memory_kib = 1 << 20;
	config->vcpus = config->vcpus_max = 4;
	config->cpu.mode = (uint8_t)mode;
	(void)strcpy(config->cpu.model, model);
}

static void add_feature(struct vm_config *config, const char *name, enum vm_cpu_policy policy)
{
	struct vm_cpu_feature *f = &config->cpu.features[config->cpu.n_features++];

	(void)strcpy(f->name, name);
	f->policy = (uint8_t)policy;
}

static uint32_t reg(uint32_t leaf, uint32_t sub, char which)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(&table, leaf, sub);

	if (!e)
		return 0;
	return which == 'a' ? e->eax : which == 'b' ? e->ebx : which == 'c' ? e->ecx : e->edx;
}

static bool has(const char *name)
{
	int i = cpu_feature_find(name);

	assert_true(i >= 0);
	return reg(cpu_features[i].leaf, cpu_features[i].subleaf, "abcd"[cpu_features[i].reg]) >>
		cpu_features[i].bit &
		1;
}

static void build(const struct cpuid_host *host, const struct vm_config *config)
{
	int r = cpuid_build(host, config, &table, &report);

	if (r < 0)
		fail_msg("%d %s", r, report.text);
}

static void assert_refused(
	const struct cpuid_host *host, const struct vm_config *config, int error, const char *word)
{
	int r = cpuid_build(host, config, &table, &report);

	if (r != error || !strstr(report.text, word))
		fail_msg("%d \"%s\", expected %d \"...%s...\"", r, report.text, error, word);
}

static void test_passthrough(void **state)
{
	struct vm_config config;

	(void)state;
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&amd_host, &config);
	assert_int_equal(reg(0, 0, 'b'), 0x68747541);
	assert_int_equal(reg(1, 0, 'a'), 0x00a10f11);
	assert_true(has("cx16") && has("x2apic") && has("tsc-deadline") && has("hypervisor"));
	assert_false(has("invtsc"));
	config.cpu.migratable = VM_TRISTATE_NO;
	build(&amd_host, &config);
	assert_true(has("invtsc"));
	/* MSR 0x10a is not AMD's. No XSAVE, no leaf 0xd. */
	assert_false(has("arch-capabilities"));
	assert_null(cpuid_find(&table, 0xd, 0));
	assert_int_equal(reg(0x80000001, 0, 'd'), 0x23d3fbff & ~UINT32_C(0x40000));

	build(&intel_host, &config);
	assert_true(has("arch-capabilities") && has("vmx") && has("pku"));
	assert_int_not_equal(reg(0xa, 0, 'a'), 0);
	assert_int_equal(reg(0x23, 0, 'a'), 1);
	/* AMX is out, with its state components; 0xd is as large as the last that is left. */
	assert_int_equal(reg(0xd, 0, 'a'), 0x2e7);
	assert_int_equal(reg(0xd, 0, 'c'), 0xa88);
	assert_null(cpuid_find(&table, 0xd, 17));
	assert_int_equal(reg(0xd, 1, 'a'), 0xf);
	assert_int_equal(reg(0xd, 1, 'c'), 0);
	/* osxsave follows CR4 */
	assert_false(has("osxsave"));
	assert_int_equal(reg(0, 0, 'a'), 0x23);
	assert_int_equal(reg(0x80000000, 0, 'a'), 0x80000008);
	assert_int_equal(cpuid_phys_bits(&table), 46);
}

static void test_host_model(void **state)
{
	struct vm_config config;

	(void)state;
	config_init(&config, VM_CPU_MODE_DEFAULT, "");
	build(&intel_host, &config);
	assert_true(has("avx512f") && has("aes") && has("spec-ctrl"));
	assert_false(has("vmx") || has("invtsc") || has("pdcm"));
	assert_null(cpuid_find(&table, 0xa, 0));
	assert_null(cpuid_find(&table, 0x23, 0));
	build(&amd_host, &config);
	assert_false(has("invtsc"));
}

static void test_models(void **state)
{
	struct vm_config config;
	char name[64] = "";

	(void)state;
	config_init(&config, VM_CPU_MODE_CUSTOM, "x86-64-v1");
	build(&amd_host, &config);
	assert_true(has("sse2") && has("lm") && has("nx") && has("x2apic") && has("arat"));
	assert_false(has("cx16"));
	assert_int_equal(
		reg(0x80000001, 0, 'd') & reg(1, 0, 'd') & 0x0183f3ff, reg(1, 0, 'd') & 0x0183f3ff);
	assert_int_equal(reg(1, 0, 'a'), 0x60fb1); /* family 15, model 107, stepping 1 */
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t j = 0; j < 4; j++) {
			uint32_t v = reg(0x80000002 + i, 0, "abcd"[j]);

			memcpy(name + (size_t)i * 16 + (size_t)j * 4, &v, 4);
		}
	assert_string_equal(name, "vmmd Virtual CPU x86-64-v1");

	(void)strcpy(config.cpu.model, "x86-64-v2");
	assert_refused(&amd_host, &config, -ENOTSUP,
		"Host CPU does not provide required features: pni, ssse3, sse4.1, sse4.2, popcnt");
	config.cpu.check = 1;
	build(&amd_host, &config);
	assert_int_equal(report.n_dropped, 5);
	assert_string_equal(report.dropped, "pni, ssse3, sse4.1, sse4.2, popcnt");
	config.cpu.check = 0;

	(void)strcpy(config.cpu.model, "x86-64-v3");
	build(&intel_host, &config);
	assert_true(has("avx2") && has("bmi2") && has("fma") && has("abm") && has("lahf_lm"));
	assert_false(has("avx512f") || has("pku") || has("vmx") || has("spec-ctrl"));
	assert_int_equal(reg(0xd, 0, 'a'), 7);
	assert_int_equal(reg(0xd, 0, 'c'), 0x340);
	assert_int_equal(reg(0xd, 1, 'a'), 0);
	assert_int_equal(reg(1, 0, 'a'), 0x306c4);
	(void)strcpy(config.cpu.model, "x86-64-v4");
	build(&intel_host, &config);
	assert_int_equal(reg(0xd, 0, 'a'), 0xe7);

	(void)strcpy(config.cpu.model, "Skylake-Client-noTSX-IBRS");
	build(&intel_host, &config);
	assert_true(has("spec-ctrl") && has("abm") && has("vme"));
	assert_false(has("avx512f") || has("hle") || has("stibp"));
	assert_int_equal(reg(1, 0, 'a'), 0x000506e3);
	assert_refused(&amd_host, &config, -ENOTSUP, "provide required features: pni, pclmuldq, ");
	(void)strcpy(config.cpu.model, "Westmere-v2");
	build(&intel_host, &config);
	assert_true(has("aes") && has("pclmuldq"));
	config.cpu.fallback_forbid = 1;
	assert_refused(&intel_host, &config, -EINVAL, "served as Westmere");
	/* A model of another vendor: the vendor is the host's, and so is what is looked like. */
	(void)strcpy(config.cpu.model, "Opteron_G1");
	config.cpu.check = 1;
	build(&intel_host, &config);
	assert_int_equal(reg(0, 0, 'b'), 0x756e6547);
	assert_int_equal(reg(1, 0, 'a'), 0x6fb);
	config.cpu.check = 0;
	(void)strcpy(config.cpu.model, "x86-64-v5");
	assert_refused(&intel_host, &config, -EINVAL, "unknown");
	(void)strcpy(config.cpu.model, "pentium");
	assert_refused(&intel_host, &config, -EINVAL, "'pentium' is unknown");
}

static void test_policies(void **state)
{
	struct vm_config config;

	(void)state;
	config_init(&config, VM_CPU_MODE_CUSTOM, "x86-64-v1");
	add_feature(&config, "cx16", VM_CPU_POLICY_DEFAULT);
	add_feature(&config, "sse4_1", VM_CPU_POLICY_OPTIONAL);
	add_feature(&config, "vme", VM_CPU_POLICY_DISABLE);
	add_feature(&config, "avx512f", VM_CPU_POLICY_FORCE);
	add_feature(&config, "monitor", VM_CPU_POLICY_FORBID);
	build(&amd_host, &config);
	assert_true(has("cx16") && has("avx512f"));
	assert_false(has("sse4.1") || has("vme"));
	assert_string_equal(report.dropped, "sse4.1");

	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	add_feature(&config, "avx", VM_CPU_POLICY_REQUIRE);
	assert_refused(&amd_host, &config, -ENOTSUP, "does not provide required features: avx");
	build(&intel_host, &config);
	add_feature(&config, "xsave", VM_CPU_POLICY_DISABLE);
	assert_refused(&intel_host, &config, -ENOTSUP, "need others which are not there: avx");
	config.cpu.features[0].policy = VM_CPU_POLICY_OPTIONAL;
	build(&intel_host, &config);
	assert_false(has("avx") || has("avx2") || has("avx512f") || has("fma"));
	assert_null(cpuid_find(&table, 0xd, 0));
	config.cpu.n_features = 0;
	add_feature(&config, "vmx", VM_CPU_POLICY_FORBID);
	assert_refused(&intel_host, &config, -ENOTSUP, "provides forbidden features: vmx");
	config.cpu.check = 1;
	build(&intel_host, &config);
	assert_false(has("vmx"));
	config.cpu.check = 0;
	config.cpu.n_features = 0;
	add_feature(&config, "frobnicate", VM_CPU_POLICY_OPTIONAL);
	assert_refused(&intel_host, &config, -EINVAL, "unknown CPU feature 'frobnicate'");
	config.cpu.n_features = 0;
	add_feature(&config, "amx-tile", VM_CPU_POLICY_REQUIRE);
	assert_refused(&intel_host, &config, -ENOTSUP, "amx-tile");

	config_init(&config, VM_CPU_MODE_HOST_MODEL, "");
	(void)strcpy(config.cpu.vendor, "Intel");
	assert_refused(&amd_host, &config, -ENOTSUP, "vendor");
	build(&intel_host, &config);
	config.memory_kib = UINT64_C(1) << 37;
	assert_refused(&intel_host, &config, -ENOTSUP, "46 physical address bits");
}

/* check='full': what was written down, and nothing else. */
static void test_check_full(void **state)
{
	struct vm_config config;

	(void)state;
	config_init(&config, VM_CPU_MODE_CUSTOM, "x86-64-v2");
	config.cpu.check = 3;
	assert_refused(&amd_host, &config, -ENOTSUP,
		"guest CPU doesn't match specification: missing features: pni, ssse3");
	build(&intel_host, &config);
	assert_false(has("x2apic") || has("hypervisor") || has("tsc-deadline") || has("nx"));
	add_feature(&config, "x2apic", VM_CPU_POLICY_REQUIRE);
	add_feature(&config, "tsc-deadline", VM_CPU_POLICY_OPTIONAL);
	add_feature(&config, "hypervisor", VM_CPU_POLICY_FORCE);
	add_feature(&config, "arat", VM_CPU_POLICY_DISABLE);
	build(&intel_host, &config);
	assert_true(has("x2apic") && has("hypervisor") && has("tsc-deadline"));
	assert_false(has("arat") || has("nx") || has("rdtscp"));
	/* What follows by itself is nobody's to ask for. */
	add_feature(&config, "osxsave", VM_CPU_POLICY_REQUIRE);
	add_feature(&config, "ht", VM_CPU_POLICY_FORBID);
	build(&intel_host, &config);
	assert_false(has("osxsave"));
}

static void test_match(void **state)
{
	struct vm_config config;

	(void)state;
	config_init(&config, VM_CPU_MODE_CUSTOM, "x86-64-v2");
	config.cpu.match = 1;
	add_feature(&config, "avx512f", VM_CPU_POLICY_DISABLE);
	build(&intel_host, &config);
	assert_true(has("avx2") && has("spec-ctrl"));
	assert_false(has("avx512f") || has("avx512vl") || has("vmx") || has("invtsc"));
	config.cpu.match = 3;
	assert_refused(&intel_host, &config, -ENOTSUP, "does not strictly match guest CPU: Extra");
	config.cpu.match = 2;
	build(&intel_host, &config);
	assert_false(has("avx2"));
	/* A model without what the host lacks. */
	config_init(&config, VM_CPU_MODE_CUSTOM, "Skylake-Server-noTSX-IBRS");
	add_feature(&config, "xsavec", VM_CPU_POLICY_DISABLE);
	build(&intel_host, &config);
	assert_false(has("xsavec") || has("xsaves"));
}

/* MSR 0x10a by its bits. */
static void test_arch_capabilities(void **state)
{
	struct cpuid_host host = intel_host;
	struct cpuid_msr msrs[CPUID_MAX_MSRS];
	struct cpuid_table own;
	struct vm_config config;

	(void)state;
	host.arch_capabilities_msr =
		0x1000002b; /* rdctl-no ibrs-all skip-l1dfl-vmentry mds-no 28 */
	config_init(&config, VM_CPU_MODE_CUSTOM, "Skylake-Server-noTSX-IBRS");
	add_feature(&config, "mds-no", VM_CPU_POLICY_REQUIRE);
	assert_refused(&host, &config, -ENOTSUP, "need others which are not there: mds-no");
	add_feature(&config, "arch-capabilities", VM_CPU_POLICY_REQUIRE);
	add_feature(&config, "taa-no", VM_CPU_POLICY_OPTIONAL);
	build(&host, &config);
	assert_int_equal(cpuid_msrs(&table, true, msrs), 3);
	assert_int_equal(msrs[1].index, 0x10a);
	assert_int_equal(msrs[1].value, 0x20);
	assert_string_equal(report.dropped, "taa-no");
	cpuid_vcpu(&table, &config, 0, &own);
	assert_non_null(cpuid_find(&table, CPU_ARCH_CAPABILITIES, 0));
	assert_null(cpuid_find(&own, CPU_ARCH_CAPABILITIES, 0));
	assert_int_equal(own.n, table.n - 1);
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&host, &config);
	assert_int_equal(reg(CPU_ARCH_CAPABILITIES, 0, 'a'), 0x1000002b);
	add_feature(&config, "arch-capabilities", VM_CPU_POLICY_DISABLE);
	build(&host, &config);
	assert_null(cpuid_find(&table, CPU_ARCH_CAPABILITIES, 0));
	host.arch_capabilities = false;
	add_feature(&config, "rdctl-no", VM_CPU_POLICY_REQUIRE);
	assert_refused(&host, &config, -ENOTSUP, "rdctl-no");
}

static void test_tsc(void **state)
{
	const uint32_t khz = 2000000;
	struct vm_config config;

	(void)state;
	assert_int_equal(cpuid_judge_tsc(UINT64_C(2000000000), khz, false, &report), 0);
	assert_int_equal(cpuid_judge_tsc(UINT64_C(2000500000), khz, false, &report), 0);
	assert_int_equal(cpuid_judge_tsc(UINT64_C(1999500000), khz, false, &report), 0);
	assert_int_equal(cpuid_judge_tsc(UINT64_C(2000500001), khz, false, &report), -ENOTSUP);
	assert_string_equal(report.text,
		"Requested TSC frequency 2000500001 Hz is outside tolerance range ([1999500000, "
		"2000500000] Hz) around host frequency 2000000000 Hz and TSC scaling is not "
		"supported by the host CPU");
	assert_int_equal(cpuid_judge_tsc(UINT64_C(1999499999), khz, false, &report), -ENOTSUP);
	assert_int_equal(cpuid_judge_tsc(UINT64_C(2000000000), 0, false, &report), -ENOTSUP);
	/* With scaling it is what was asked for, and nothing near it. */
	assert_int_equal(cpuid_judge_tsc(UINT64_C(2000000000), khz, true, &report), 0);
	assert_int_equal(cpuid_judge_tsc(UINT64_C(2000001000), khz, true, &report), 1);
	assert_int_equal(cpuid_judge_tsc(UINT64_C(3000000000), khz, true, &report), 1);
	/* The host's frequency leaves go. */
	config_init(&config, VM_CPU_MODE_HOST_MODEL, "");
	build(&intel_host, &config);
	assert_int_equal(reg(0x15, 0, 'c'), 25000000);
	config.tsc_hz = UINT64_C(2000000000);
	build(&intel_host, &config);
	assert_null(cpuid_find(&table, 0x15, 0));
	/* Asked for by name, the invariant counter is a feature as others. */
	add_feature(&config, "invtsc", VM_CPU_POLICY_REQUIRE);
	build(&amd_host, &config);
	assert_true(has("invtsc"));
	assert_refused(&intel_host, &config, -ENOTSUP, "required features: invtsc");
}

static void test_hypervisor(void **state)
{
	struct cpuid_host host = amd_host;
	struct vm_config config;

	(void)state;
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&host, &config);
	assert_int_equal(reg(0x40000000, 0, 'a'), 0x40000010);
	assert_int_equal(reg(0x40000000, 0, 'b'), 0x4b4d564b);
	assert_int_equal(reg(0x40000000, 0, 'd'), 0x4d);
	assert_int_equal(reg(0x40000010, 0, 'a'), 2596132);
	assert_int_equal(reg(0x40000010, 0, 'b'), 1000000);
	/* kvmclock stays; asynchronous page faults (bits 4, 10, 14) go */
	assert_int_equal(reg(0x40000001, 0, 'a'), 0x01007efb & ~UINT32_C(0x4410));
	config.timers[VM_TIMER_KVMCLOCK] = VM_TRISTATE_NO;
	host.msi_ext_dest_id = true;
	host.tsc_khz = 0;
	host.tsc_deadline = false;
	build(&host, &config);
	assert_int_equal(reg(0x40000000, 0, 'a'), 0x40000001);
	assert_int_equal(reg(0x40000001, 0, 'a') & 0x01008009, 0x8000);
	assert_false(has("tsc-deadline"));
}

/* A host that is no guest itself does not list the hypervisor bit, nor an always running APIC timer. */
static void test_bare_metal_host(void **state)
{
	struct kvm_cpuid_entry2 entries[ARRAY_SIZE(amd)];
	struct cpuid_host host = amd_host;
	struct vm_config config;

	(void)state;
	memcpy(entries, amd, sizeof(amd));
	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
		if (entries[i].function == 1)
			entries[i].ecx &= ~(UINT32_C(1) << 31);
		if (entries[i].function == 6)
			entries[i].eax &= ~UINT32_C(4);
	}
	host.supported = entries;
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&host, &config);
	assert_true(has("hypervisor"));
	assert_true(has("arat"));
	assert_int_equal(reg(0x40000000, 0, 'b'), 0x4b4d564b);
}

static void set_topology(
	struct vm_config *config, unsigned sockets, unsigned dies, unsigned cores, unsigned threads)
{
	config->cpu.sockets = (uint16_t)sockets;
	config->cpu.dies = (uint16_t)dies;
	config->cpu.cores = (uint16_t)cores;
	config->cpu.threads = (uint16_t)threads;
	config->vcpus = config->vcpus_max = sockets * dies * cores * threads;
}

static void test_apic_ids(void **state)
{
	struct vm_config config;
	struct cpu_topology t;

	(void)state;
	config_init(&config, VM_CPU_MODE_DEFAULT, "");
	config.vcpus_max = 255;
	t = cpu_topology_of(&config);
	for (unsigned i = 0; i < 255; i++)
		assert_int_equal(cpu_apic_id(&t, i), i);
	/* Three cores take two bits: ids have gaps, and pass 254. */
	set_topology(&config, 28, 1, 3, 3);
	t = cpu_topology_of(&config);
	assert_int_equal(cpu_apic_id(&t, 2), 2);
	assert_int_equal(cpu_apic_id(&t, 3), 4);
	assert_int_equal(cpu_apic_id(&t, 9), 16);
	assert_int_equal(cpu_apic_id(&t, 251), 27 * 16 + 10);
	set_topology(&config, 2, 2, 2, 2);
	t = cpu_topology_of(&config);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(cpu_apic_id(&t, i), i);
}

static void test_topology(void **state)
{
	struct vm_config config;

	(void)state;
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&amd_host, &config);
	/* Four sockets of one. */
	assert_false(has("ht"));
	assert_int_equal(reg(1, 0, 'b') >> 16, 1);
	assert_int_equal(reg(0x80000008, 0, 'c'), 0);
	assert_int_equal(reg(0x80000001, 0, 'c') & 2, 0);

	set_topology(&config, 2, 1, 4, 2);
	build(&amd_host, &config);
	assert_true(has("ht"));
	assert_int_equal(reg(1, 0, 'b'), 0x00080800);
	assert_int_equal(reg(0xb, 0, 'a'), 1);
	assert_int_equal(reg(0xb, 0, 'b'), 2);
	assert_int_equal(reg(0xb, 0, 'c'), 0x100);
	assert_int_equal(reg(0xb, 1, 'a'), 3);
	assert_int_equal(reg(0xb, 1, 'b'), 8);
	assert_int_equal(reg(0xb, 1, 'c'), 0x201);
	assert_int_equal(reg(0xb, 2, 'c'), 2);
	assert_int_equal(reg(0x80000008, 0, 'c'), 0x3007);
	assert_int_equal(reg(0x80000001, 0, 'c') & 2, 2);
	assert_int_equal(reg(0x8000001e, 0, 'b'), 0x100);
	assert_int_equal(reg(0x8000001d, 0, 'a'), 0x00004121); /* L1: the two threads */
	assert_int_equal(reg(0x8000001d, 3, 'a'), 0x0001c163); /* L3: all eight */

	set_topology(&config, 1, 2, 3, 2);
	build(&intel_host, &config);
	assert_int_equal(reg(0x1f, 0, 'a'), 1);
	assert_int_equal(reg(0x1f, 1, 'a'), 3);
	assert_int_equal(reg(0x1f, 1, 'b'), 6);
	assert_int_equal(reg(0x1f, 2, 'a'), 4);
	assert_int_equal(reg(0x1f, 2, 'b'), 12);
	assert_int_equal(reg(0x1f, 2, 'c'), 0x502);
	assert_int_equal(reg(4, 0, 'a'), (7U << 26) | (1U << 14) | 0x121);
	assert_int_equal(reg(4, 3, 'a'), (7U << 26) | (7U << 14) | 0x163);
}

static void test_vcpu(void **state)
{
	struct vm_config config;
	struct cpuid_table own;

	(void)state;
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	set_topology(&config, 2, 1, 3, 2);
	build(&amd_host, &config);
	cpuid_vcpu(&table, &config, 11, &own);
	table = own;
	assert_int_equal(reg(1, 0, 'b') >> 24, 13);
	assert_int_equal(reg(0xb, 0, 'd'), 13);
	assert_int_equal(reg(0xb, 2, 'd'), 13);
	assert_int_equal(reg(0x8000001e, 0, 'a'), 13);
	assert_int_equal(reg(0x8000001e, 0, 'b'), 0x102);
	assert_int_equal(reg(0x8000001e, 0, 'c'), 1);
}

static void test_msrs(void **state)
{
	struct cpuid_msr msrs[CPUID_MAX_MSRS];
	struct vm_config config;
	unsigned n;

	(void)state;
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&intel_host, &config);
	n = cpuid_msrs(&table, true, msrs);
	assert_int_equal(n, 2);
	assert_int_equal(msrs[1].index, 0x2ff);
	assert_int_equal(msrs[1].value, 0x806);
	n = cpuid_msrs(&table, false, msrs);
	assert_in_range(n, 40, CPUID_MAX_MSRS);
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(msrs[i].index, msrs[j].index);
}

static void test_hostile_host(void **state)
{
	static struct kvm_cpuid_entry2 many[CPUID_MAX_ENTRIES + 20];
	struct cpuid_host host = {.supported = many, .n_supported = ARRAY_SIZE(many)};
	struct vm_config config;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct kvm_cpuid_entry2)E(0x80000100 + i, 0, 0, 1, 1, 1, 1);
	config_init(&config, VM_CPU_MODE_MAXIMUM, "");
	assert_refused(&host, &config, -E2BIG, "more leaves");
	host.n_supported = 0;
	build(&host, &config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passthrough),
		cmocka_unit_test(test_host_model),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_check_full),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_arch_capabilities),
		cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_hypervisor),
		cmocka_unit_test(test_bare_metal_host),
		cmocka_unit_test(test_apic_ids),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_vcpu),
		cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_hostile_host),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
