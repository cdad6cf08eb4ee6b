/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processors compared, what they have in common, and a domain that has that on hosts with different flags. */
#include "daemon/cpu-compare.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/domain-xml.h"
#include "cpuid-fixture.h"
#include "vmm-core/base/strutil.h"

static struct error error;

static struct cpu_definition *parse(const char *xml, unsigned *ret_n)
{
	struct cpu_definition *cpus = NULL;
	char *text = NULL;
	int r = cpu_xml_parse(xml, strlen(xml), "t", CPU_XML_VALID, &cpus, ret_n, &text);

	if (r < 0)
		fail_msg("%d %s", r, text);
	return cpus;
}

static int compare(const struct cpuid_host *kvm, const char *xml, uint32_t flags)
{
	_cleanup_(freep) struct cpu_definition *cpu = NULL;
	struct cpu_host host;
	unsigned n;

	cpu_host_of(kvm, &host);
	cpu = parse(xml, &n);
	error = (struct error){0};
	return cpu_compare(&host, cpu, flags, &error);
}

#define MODEL(name, rest) "<cpu match='exact'><model>" name "</model>" rest "</cpu>"

static void test_compare(void **state)
{
	static const struct {
		const char *xml, *why;
	} cases[] = {
		{MODEL("Haswell", ""), "Host CPU does not provide required features: hle, rtm"},
		{MODEL("x86-64-v2", "<vendor>AMD</vendor>"),
			"host CPU vendor does not match required CPU vendor AMD"},
		{MODEL("x86-64-v2", "<vendor>Acme</vendor>"), "required CPU vendor Acme"},
		{MODEL("x86-64-v2", "<feature policy='forbid' name='avx'/>"),
			"Host CPU provides forbidden features: avx"},
		{"<cpu match='strict'><model>x86-64-v4</model></cpu>",
			"Host CPU does not strictly match guest CPU: Extra features: "},
		{"<cpu><arch>aarch64</arch><model>a</model></cpu>",
			"CPU arch aarch64 does not match host arch"},
	};

	(void)state;
	assert_int_equal(compare(&intel_host, MODEL("Haswell-noTSX-IBRS", ""), 0), CPU_SUPERSET);
	assert_int_equal(compare(&intel_host,
				 MODEL("Haswell",
					 "<feature policy='disable' name='hle'/>"
					 "<feature policy='optional' name='rtm'/>"),
				 0),
		CPU_SUPERSET);
	assert_int_equal(
		compare(&intel_host, MODEL("Haswell-noTSX", "<feature policy='force' name='xop'/>"),
			CPU_COMPARE_FAIL),
		CPU_SUPERSET);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(compare(&intel_host, cases[i].xml, 0), CPU_INCOMPATIBLE);
		assert_int_equal(error.code, ERROR_NONE);
		assert_int_equal(compare(&intel_host, cases[i].xml, CPU_COMPARE_FAIL), -ENOTSUP);
		assert_true(
			strncmp(error.message, "the CPU is incompatible with host CPU: ", 39) == 0);
		if (!strstr(error.message, cases[i].why))
			fail_msg("%s", error.message);
	}
	assert_true(compare(&intel_host, MODEL("Frob", ""), 0) < 0);
	assert_string_equal(error.message, "XML error: Unknown CPU model Frob");
	assert_true(compare(&intel_host, MODEL("EPYC", "<feature name='frob'/>"), 0) < 0);
	assert_string_equal(error.message, "XML error: Unknown CPU feature frob");
	assert_true(compare(&intel_host, "<cpu mode='host-model'/>", 0) < 0);
	assert_non_null(strstr(error.message, "no CPU model specified"));
}

/* A host described by itself is the same; every other one is more or less than it. */
static void test_itself(void **state)
{
	const struct cpuid_host *const hosts[] = {&amd_host, &intel_host};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct host_copy less;
		struct cpu_host host;
		struct vm_cpu cpu = {0};
		char *xml;

		cpu_host_of(hosts[i], &host);
		cpu_describe(&host.features, NULL, host.vendor, host.signature, &cpu);
		assert_int_equal(cpu_xml_format(&cpu, &xml), 0);
		assert_int_equal(compare(hosts[i], xml, 0), CPU_IDENTICAL);
		host_without(hosts[i], "cx16 sse2", &less);
		assert_int_equal(compare(&less.host, xml, 0), CPU_INCOMPATIBLE);
		assert_int_equal(compare(hosts[!i], xml, 0), CPU_INCOMPATIBLE);
		free(xml);
	}
}

static int baseline(const char *xml, uint32_t flags, struct vm_cpu *ret)
{
	_cleanup_(freep) struct cpu_definition *cpus = NULL;
	unsigned n;

	cpus = parse(xml, &n);
	error = (struct error){0};
	return cpu_baseline(cpus, n, flags, ret, &error);
}

static void test_baseline(void **state)
{
	static const struct {
		const char *xml, *why;
	} bad[] = {
		{MODEL("EPYC", "") MODEL("Haswell", ""), "CPU vendors do not match"},
		{MODEL("EPYC", "<vendor>Intel</vendor>"),
			"CPU vendor AMD of model EPYC differs from vendor Intel"},
		{MODEL("kvm64", "<vendor>Acme</vendor>"), "Unknown CPU vendor Acme"},
		{MODEL("EPYC", "") "<cpu mode='host-passthrough'/>",
			"no CPU model specified at index 1"},
		{MODEL("i486", ""), "Unknown CPU model i486"},
	};
	struct vm_cpu cpu;
	char *xml;

	(void)state;
	assert_int_equal(baseline(MODEL("Haswell", "<vendor>Intel</vendor>")
					  MODEL("Westmere", "<feature name='pcid'/>"),
				 0, &cpu),
		0);
	assert_int_equal(cpu_xml_format(&cpu, &xml), 0);
	assert_string_equal(xml,
		"<cpu mode='custom' match='exact'>\n  <model fallback='allow'>Westmere</model>\n"
		"  <vendor>Intel</vendor>\n  <feature policy='require' name='pcid'/>\n</cpu>\n");
	free(xml);
	assert_int_equal(
		baseline(MODEL("Nehalem", "<feature policy='disable' name='popcnt'/>"), 0, &cpu),
		0);
	assert_string_equal(cpu.model, "Penryn");
	assert_string_equal(cpu.vendor, "");
	assert_int_equal(baseline(MODEL("Penryn", "<feature name='vmx'/>"),
				 CPU_BASELINE_EXPAND | CPU_BASELINE_MIGRATABLE, &cpu),
		0);
	assert_string_equal(cpu.model, "Penryn");
	assert_true(cpu.n_features > 25);
	for (uint32_t i = 0; i < cpu.n_features; i++)
		assert_string_not_equal(cpu.features[i].name, "vmx");
	assert_int_equal(baseline(MODEL("EPYC", "<feature name='amx-tile'/>"), 0, &cpu), 0);
	assert_int_equal(cpu.n_features, 1);
	assert_int_equal(
		baseline(MODEL("EPYC", "<feature name='amx-tile'/>"), CPU_BASELINE_GUEST, &cpu), 0);
	assert_int_equal(cpu.n_features, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(baseline(bad[i].xml, 0, &cpu) < 0);
		if (!strstr(error.message, bad[i].why))
			fail_msg("%s", error.message);
	}
}

/* A domain with 'cpu', as the worker would make it on 'host'. */
static int start(const struct cpuid_host *host, const char *cpu, struct cpuid_table *ret,
	struct cpuid_report *ret_report)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(freep) char *xml = NULL, *text = NULL;
	int r;

	assert_true(asprintf(&xml,
			    "<domain type='kvm'><name>n</name><memory>65536</memory>"
			    "<os><type>hvm</type><kernel>/k</kernel></os>%s</domain>",
			    cpu) > 0);
	r = domain_xml_parse(xml, strlen(xml), "t", XML_STRICT, &config, NULL, &text);
	if (r < 0)
		fail_msg("%s", text);
	return cpuid_build(host, &config->vm, ret, ret_report);
}

/* Two servers of one generation, of which the older has no AVX-512 and no PKU, as what hypervisor-cpu-baseline makes of
 * their domain capabilities: the same processor on both. */
static void test_two_hosts(void **state)
{
	_cleanup_(freep) char *both = NULL, *common = NULL;
	char *xml[2];
	struct cpu_feature_set given[2];
	struct cpuid_report report;
	struct cpuid_table table;
	struct host_copy older;
	struct vm_cpu cpu;
	const struct cpuid_host *hosts[] = {&intel_host, &older.host};

	(void)state;
	host_without(&intel_host, "avx512f avx512dq avx512cd avx512bw avx512vl pku clwb clflushopt",
		&older);
	for (size_t i = 0; i < 2; i++) {
		struct cpu_host host;

		cpu = (struct vm_cpu){.vendor = "Intel"};
		cpu_host_of(hosts[i], &host);
		cpu_describe(&host.features, NULL, host.vendor, host.signature, &cpu);
		assert_int_equal(cpu_xml_format(&cpu, &xml[i]), 0);
	}
	assert_true(asprintf(&both, "%s%s", xml[0], xml[1]) > 0);
	assert_int_equal(baseline(both, CPU_BASELINE_MIGRATABLE | CPU_BASELINE_GUEST, &cpu), 0);
	assert_int_equal(cpu_xml_format(&cpu, &common), 0);
	assert_non_null(
		strstr(common, "<model fallback='allow'>Skylake-Client-noTSX-IBRS</model>"));
	for (size_t i = 0; i < 2; i++) {
		if (start(hosts[i], common, &table, &report) < 0)
			fail_msg("%s", report.text);
		cpuid_table_features(&table, &given[i]);
		assert_int_equal(report.n_dropped, 0);
	}
	assert_memory_equal(&given[0], &given[1], sizeof(given[0]));
	assert_true(cpu_feature_in(&given[0], (unsigned)cpu_feature_find("avx2")));
	/* Each alone is too much for the other, and the error says by what. */
	assert_int_equal(start(&older.host, xml[0], &table, &report), -ENOTSUP);
	assert_non_null(
		strstr(report.text, "Host CPU does not provide required features: avx512f, "));
	assert_int_equal(start(&amd_host, common, &table, &report), -ENOTSUP);
	assert_non_null(strstr(report.text, "host CPU vendor does not match"));
	free(xml[0]);
	free(xml[1]);
}

/* This machine, with and without its KVM. */
static void test_here(void **state)
{
	struct cpu_host raw, kvm;

	(void)state;
	assert_int_equal(cpu_host_read(NULL, &raw, &error), 0);
	assert_true(cpu_features_count(&raw.features) > 20);
	assert_int_equal(cpu_host_read("/dev/null", &kvm, &error), -ENOTSUP);
	assert_non_null(strstr(error.message, "KVM is not there: /dev/null"));
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		skip();
	assert_int_equal(cpu_host_read("/dev/kvm", &kvm, &error), 0);
	assert_true(cpu_features_count(&kvm.features) > 20);
	assert_int_equal(raw.vendor, kvm.vendor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_itself),
		cmocka_unit_test(test_baseline),
		cmocka_unit_test(test_two_hosts),
		cmocka_unit_test(test_here),
	};

	return cmocka_run_group_tests_name("cpu-compare", tests, NULL, NULL);
}
