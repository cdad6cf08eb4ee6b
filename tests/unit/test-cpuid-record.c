/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a machine was given before, given again: by the host it came from, by a better one, by the same under a newer kernel; and refused by
 * hosts that cannot, each for one bit or number that they lack. The hosts are recorded ones (cpuid-fixture.h). */
#include "vmm-core/cpuid.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "cpuid-fixture.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/cpu-model.h"

static struct cpuid_report report;

static void config_init(struct vm_config *config, enum vm_cpu_mode mode, const char *model)
{
	vm_config_init(config);
	config->memory_kib = 1 << 20;
	config->vcpus = config->vcpus_max = 4;
	config->cpu.mode = (uint8_t)mode;
	config->cpu.check = mode == VM_CPU_MODE_CUSTOM ? VM_CPU_CHECK_FULL : 0;
	(void)strcpy(config->cpu.model, model);
}

static void build(
	const struct cpuid_host *host, const struct vm_config *config, struct cpuid_table *ret)
{
	int r = cpuid_build(host, config, ret, &report);

	if (r < 0)
		fail_msg("mode %u, model '%s', check %u, feature '%s': %d %s", config->cpu.mode,
			config->cpu.model, config->cpu.check, config->cpu.features[0].name, r,
			report.text);
}

/* As the worker tells it and the daemon gives it back. */
static void record(const struct cpuid_table *table, struct vm_config *config)
{
	char reason[256];

	config->n_cpuid = table->n;
	for (unsigned i = 0; i < table->n; i++) {
		const struct kvm_cpuid_entry2 *e = &table->entries[i];

		config->cpuid[i] = (struct vm_cpuid_leaf){e->function,
			e->index |
				(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? VM_CPUID_INDEXED : 0),
			e->eax, e->ebx, e->ecx, e->edx};
	}
	if (vm_config_validate(config, reason, sizeof(reason)) < 0)
		fail_msg("%s", reason);
}

static struct kvm_cpuid_entry2 *entry(struct host_copy *h, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < h->host.n_supported; i++)
		if (h->entries[i].function == leaf && h->entries[i].index == subleaf)
			return &h->entries[i];
	h->entries[h->host.n_supported] =
		(struct kvm_cpuid_entry2){.function = leaf, .index = subleaf};
	return &h->entries[h->host.n_supported++];
}

static void assert_same(const struct cpuid_table *a, const struct cpuid_table *b)
{
	assert_int_equal(a->n, b->n);
	for (unsigned i = 0; i < a->n; i++) {
		const struct kvm_cpuid_entry2 *e = &a->entries[i];
		const struct kvm_cpuid_entry2 *o = cpuid_find(b, e->function, e->index);

		if (!o || memcmp(e, o, sizeof(*e)) != 0)
			fail_msg("leaf 0x%x, subleaf %u: %x %x %x %x, flags %x; now %x %x %x %x, "
				 "flags %x",
				e->function, e->index, e->eax, e->ebx, e->ecx, e->edx, e->flags,
				o ? o->eax : 0, o ? o->ebx : 0, o ? o->ecx : 0, o ? o->edx : 0,
				o ? o->flags : 0);
	}
}

/* All that a newer kernel, or a better processor, would bring: bits with a name and without, leaves, caches, address bits. */
static void improve(const struct cpuid_host *from, struct host_copy *h)
{
	host_without(from, "", h);
	entry(h, 1, 0)->ecx |= 1U << 25;           /* aes */
	entry(h, 7, 0)->ebx |= 1U << 29;           /* sha-ni */
	entry(h, 7, 0)->edx |= 1U << 23;           /* avx512-fp16 */
	entry(h, 7, 1)->eax |= 1U << 4;            /* avx-vnni */
	entry(h, 6, 0)->ecx |= 1;                  /* aperfmperf */
	entry(h, 4, 3)->ecx = 0x1ffff;             /* a larger cache */
	entry(h, 0x80000021, 0)->eax |= 1U << 15;  /* without a name */
	entry(h, 0x80000008, 0)->eax = 0x00003934; /* 52 address bits */
	entry(h, 0x80000008, 0)->ebx |= 1U << 13;  /* without a name */
	entry(h, 0x40000001, 0)->eax |= 1U << 7;   /* a paravirtual feature */
	entry(h, 0x80000019, 0)->eax = 0xf040f040; /* TLBs */
	entry(h, 0x80000006, 0)->ecx = 0x02006140;
	h->host.arch_capabilities_msr = UINT64_C(0x20000000f);
}

static const struct {
	const struct cpuid_host *host;
	enum vm_cpu_mode mode;
	const char *model;
} cases[] = {
	{&intel_host, VM_CPU_MODE_CUSTOM, "Haswell-noTSX"},
	{&intel_host, VM_CPU_MODE_CUSTOM, "x86-64-v3"},
	{&amd_host, VM_CPU_MODE_CUSTOM, "x86-64-v1"},
	{&intel_host, VM_CPU_MODE_HOST_MODEL, ""},
	{&amd_host, VM_CPU_MODE_HOST_MODEL, ""},
	{&intel_host, VM_CPU_MODE_HOST_PASSTHROUGH, ""},
	{&amd_host, VM_CPU_MODE_MAXIMUM, ""},
};

/* The same table, entry for entry. Without a record all but those that ask by name would get more; see that they would. */
static void test_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpuid_table first, again;
		struct vm_config config;
		struct host_copy better;

		config_init(&config, cases[i].mode, cases[i].model);
		build(cases[i].host, &config, &first);
		improve(cases[i].host, &better);
		build(&better.host, &config, &again);
		assert_true(again.n != first.n ||
			memcmp(again.entries, first.entries, sizeof(first.entries[0]) * first.n));
		record(&first, &config);
		build(cases[i].host, &config, &again);
		assert_same(&first, &again);
		build(&better.host, &config, &again);
		assert_same(&first, &again);
		/* And so from there. */
		record(&again, &config);
		build(cases[i].host, &config, &again);
		assert_same(&first, &again);
	}
}

static void assert_refused(
	const struct cpuid_host *host, const struct vm_config *config, const char *expected)
{
	struct cpuid_table table;
	int r = cpuid_build(host, config, &table, &report);

	if (r != -ENOTSUP || !strstr(report.text, expected))
		fail_msg("%d \"%s\", expected \"%s\"", r, report.text, expected);
}

/* One thing less, or another one, at a time. */
static void test_lesser_hosts(void **state)
{
	static const struct {
		uint32_t leaf, subleaf;
		char reg;
		uint32_t clear, set;
		const char *message;
	} hosts[] = {
		{0, 0, 'b', UINT32_MAX, 0x68747541,
			"leaf 0x0, subleaf 0, EBX: 0x756e6547 (it has 0x68747541)"},
		{1, 0, 'c', 1U << 25, 0, "leaf 0x1, subleaf 0, ECX: bit 25 (aes)"},
		{7, 0, 'b', 1U << 5, 0, "leaf 0x7, subleaf 0, EBX: bit 5 (avx2)"},
		{0xd, 0, 'a', 0x200, 0, "leaf 0xd, subleaf 0, EAX: bit 9"},
		{0xd, 5, 'b', UINT32_MAX, 0x400, "leaf 0xd, subleaf 5, EBX: 0x440 (it has 0x400)"},
		{0xd, 1, 'a', 1U << 3, 0, "leaf 0xd, subleaf 1, EAX: bit 3 (xsaves)"},
		{0xa, 0, 'a', 0xff, 3, "leaf 0xa, subleaf 0, EAX: 0x7300404 (it has 0x7300403)"},
		{0x80000008, 0, 'a', 0xff, 39,
			"leaf 0x80000008, subleaf 0, EAX: 0x302e (it has 0x3027)"},
		{0x80000021, 0, 'a', 1U << 9, 0, "leaf 0x80000021, subleaf 0, EAX: bit 9"},
	};
	struct cpuid_table table;
	struct vm_config config;
	struct host_copy own;

	(void)state;
	host_without(&intel_host, "", &own);
	entry(&own, 0x80000021, 0)->eax = 1U << 9; /* without a name */
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&own.host, &config, &table);
	record(&table, &config);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct host_copy lesser;
		struct kvm_cpuid_entry2 *e;
		uint32_t *reg;

		host_without(&own.host, "", &lesser);
		e = entry(&lesser, hosts[i].leaf, hosts[i].subleaf);
		reg = hosts[i].reg == 'a' ? &e->eax : hosts[i].reg == 'b' ? &e->ebx : &e->ecx;
		*reg = (*reg & ~hosts[i].clear) | hosts[i].set;
		assert_refused(&lesser.host, &config, hosts[i].message);
	}
	assert_refused(&amd_host, &config, "operation failed: guest CPU doesn't match what it was");
}

/* MSR 0x10a tells a guest what it need not defend itself against: never more than is true here. */
static void test_arch_capabilities(void **state)
{
	struct host_copy own, lesser;
	struct cpuid_table table;
	struct vm_config config;

	(void)state;
	host_without(&intel_host, "", &own);
	own.host.arch_capabilities_msr = 0x2b;
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	build(&own.host, &config, &table);
	record(&table, &config);
	lesser = own;
	lesser.host.supported = lesser.entries;
	lesser.host.arch_capabilities_msr = 0x0b;
	assert_refused(&lesser.host, &config, "lacks MSR 0x10a, lower half: bit 5 (mds-no)");
	lesser.host.arch_capabilities = false;
	assert_refused(&lesser.host, &config, "(arch-capabilities)");
}

/* What <cpu> says counts, and what is forced is given anyway. */
static void test_policies(void **state)
{
	struct vm_cpu_feature *f;
	struct cpuid_table table, again;
	struct vm_config config;
	struct host_copy lesser;

	(void)state;
	config_init(&config, VM_CPU_MODE_CUSTOM, "Haswell-noTSX");
	f = &config.cpu.features[config.cpu.n_features++];
	(void)strcpy(f->name, "sha-ni");
	f->policy = VM_CPU_POLICY_FORCE;
	f = &config.cpu.features[config.cpu.n_features++];
	(void)strcpy(f->name, "pku");
	f->policy = VM_CPU_POLICY_OPTIONAL;
	host_without(&intel_host, "pku", &lesser);
	build(&lesser.host, &config, &table);
	record(&table, &config);
	/* The host has the optional feature by now: the guest did not. */
	build(&intel_host, &config, &again);
	assert_same(&table, &again);
	host_without(&intel_host, "avx2", &lesser);
	assert_refused(&lesser.host, &config,
		"operation failed: guest CPU doesn't match specification: missing features: avx2");
	/* Another <cpu> than the record's. */
	(void)strcpy(config.cpu.model, "Nehalem");
	assert_refused(&intel_host, &config, "metadata/vmmd:cpuid is not of what <cpu> says");
	(void)strcpy(config.cpu.model, "Skylake-Server-noTSX-IBRS");
	assert_refused(&intel_host, &config, "metadata/vmmd:cpuid is not of what <cpu> says");
}

/* Whatever a host gives, it gives again: a machine that restarts by itself is not lost over what it had. False: it gives none. */
static bool gives_again(const struct cpuid_host *host, struct vm_config *config)
{
	struct cpuid_table first, again;

	config->n_cpuid = 0;
	if (cpuid_build(host, config, &first, &report) < 0)
		return false;
	record(&first, config);
	build(host, config, &again);
	assert_same(&first, &again);
	return true;
}

/* Each model, with each check and match, on hosts that have all of it or lack some. */
static void test_models_again(void **state)
{
	static const struct cpuid_host *const hosts[] = {&intel_host, &amd_host};
	unsigned n[VM_CPU_CHECK_FULL + 1] = {0};

	(void)state;
	for (unsigned i = 0; i < 4 * cpu_n_models; i++) {
		struct vm_config config;
		struct host_copy host;

		host_without(hosts[i % 2], i % 4 < 2 ? "" : "avx2 aes sse4.2 pcid", &host);
		for (unsigned k = 0; k < 16; k++) {
			config_init(&config, VM_CPU_MODE_CUSTOM, cpu_models[i / 4].name);
			config.cpu.check = (uint8_t)(k % 4);
			config.cpu.match = (uint8_t)(k / 4);
			n[k % 4] += gives_again(&host.host, &config);
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(n); i++)
		assert_true(n[i]);
	assert_true(n[VM_CPU_CHECK_NONE] > n[VM_CPU_CHECK_PARTIAL]);
}

/* Each feature, by each policy, in each mode. */
static void test_features_again(void **state)
{
	static const struct cpuid_host *const hosts[] = {&intel_host, &amd_host};
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 2 * cpu_n_features; i++)
		for (unsigned k = 0; k < VM_CPU_MODE_X_MAX * VM_CPU_POLICY_X_MAX; k++) {
			struct vm_config config;
			enum vm_cpu_mode mode = k % VM_CPU_MODE_X_MAX;

			/* A bit of an MSR that cannot be set ends a start before there is a record. */
			if (cpu_features[i / 2].leaf == CPU_ARCH_CAPABILITIES &&
				!hosts[i % 2]->arch_capabilities)
				continue;
			config_init(&config, mode, mode == VM_CPU_MODE_CUSTOM ? "x86-64-v2" : "");
			config.cpu.check = 0;
			config.cpu.n_features = 1;
			(void)strcpy(config.cpu.features[0].name, cpu_features[i / 2].name);
			config.cpu.features[0].policy = (uint8_t)(k / VM_CPU_MODE_X_MAX);
			n += gives_again(hosts[i % 2], &config);
		}
	assert_true(n);
}

/* What is of the machine is that of this one: topology, frequencies, KVM's leaves but no new feature of it. */
static void test_machine(void **state)
{
	struct cpuid_table table, again;
	struct vm_config config;
	struct host_copy other;
	unsigned kvm_bits;

	(void)state;
	config_init(&config, VM_CPU_MODE_CUSTOM, "x86-64-v2");
	(void)strcpy(config.cpu.features[config.cpu.n_features++].name, "hypervisor");
	build(&intel_host, &config, &table);
	record(&table, &config);
	improve(&intel_host, &other);
	entry(&other, 0x15, 0)->ebx = 200;
	entry(&other, 0x40000001, 0)->eax &= ~(1U << KVM_FEATURE_STEAL_TIME);
	other.host.tsc_khz = 3000000;
	config.cpu.sockets = config.cpu.dies = 1;
	config.cpu.cores = config.cpu.threads = 2;
	build(&other.host, &config, &again);
	assert_int_equal(cpuid_find(&again, 0x15, 0)->ebx, 200);
	assert_int_equal(cpuid_find(&again, 0x40000010, 0)->eax, 3000000);
	kvm_bits = cpuid_find(&table, 0x40000001, 0)->eax;
	assert_int_equal(
		cpuid_find(&again, 0x40000001, 0)->eax, kvm_bits & ~(1U << KVM_FEATURE_STEAL_TIME));
	assert_int_equal(cpuid_find(&again, 0xb, 0)->ebx, 2);
	assert_int_equal(cpuid_find(&again, 0xb, 1)->ebx, 4);
	assert_int_equal(cpuid_find(&again, 1, 0)->eax, cpuid_find(&table, 1, 0)->eax);
}

/* Leaves that nobody was given: what is in a configuration may come from anybody. */
static void test_forged(void **state)
{
	struct cpuid_table table;
	struct vm_config config;
	char reason[256];

	(void)state;
	config_init(&config, VM_CPU_MODE_CUSTOM, "x86-64-v2");
	config.n_cpuid = 1;
	config.cpuid[0] = (struct vm_cpuid_leaf){.leaf = 0x8000001f, .eax = 2};
	assert_refused(&intel_host, &config, "");
	config_init(&config, VM_CPU_MODE_HOST_PASSTHROUGH, "");
	config.n_cpuid = VM_MAX_CPUID_LEAVES;
	for (uint32_t i = 0; i < VM_MAX_CPUID_LEAVES; i++)
		config.cpuid[i] = (struct vm_cpuid_leaf){.leaf = 2, .subleaf = i};
	/* The machine's own leaves find no room. */
	assert_int_equal(cpuid_build(&intel_host, &config, &table, &report), -E2BIG);
	config.cpuid[1].subleaf = 0 | VM_CPUID_INDEXED;
	assert_int_equal(vm_config_validate(&config, reason, sizeof(reason)), -EINVAL);
	assert_non_null(strstr(reason, "leaf 0x2 is given twice"));
	config.n_cpuid = VM_MAX_CPUID_LEAVES + 1;
	assert_int_equal(vm_config_validate(&config, reason, sizeof(reason)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_lesser_hosts),
		cmocka_unit_test(test_arch_capabilities),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_models_again),
		cmocka_unit_test(test_features_again),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
