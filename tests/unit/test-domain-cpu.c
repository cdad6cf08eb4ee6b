/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What processors a domain was given: in its live XML, over another daemon's life, and on hosts that can or cannot give
 * the same. The worker is tests/fakes/fake-worker.c. */
#include "daemon/domain-internal.h"

#include "cpuid-fixture.h"
#include "daemon-fixture.h"

/* What fake-worker.c tells. */
#define NEHALEM_FEATURES                                                                           \
	"    <feature policy='require' name='x2apic'/>\n"                                          \
	"    <feature policy='require' name='hypervisor'/>\n"

static char *live_xml(const struct domain *d)
{
	struct error e = {0};
	char *xml = NULL;

	assert_int_equal(domain_format_xml(d, false, &xml, &e), 0);
	return xml;
}

static void has_cpu(const struct domain *d, const char *expected)
{
	_cleanup_(freep) char *xml = live_xml(d);

	if (!strstr(xml, expected))
		fail_msg("%s\nhas no\n%s", xml, expected);
}

static void test_live_xml(void **state)
{
	static const char given[] = "  <cpu mode='custom' match='exact' check='full'>\n"
				    "    <model fallback='forbid'>Nehalem</model>\n"
				    "    <vendor>Intel</vendor>\n" NEHALEM_FEATURES
				    "    <feature policy='disable' name='popcnt'/>\n  </cpu>\n";
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "model", "fake=cpuid",
		"<cpu mode='host-model'><feature policy='disable' name='popcnt'/></cpu>");
	uint8_t uuid[16];

	memcpy(uuid, d->uuid, 16);
	fixture_start(f, d);
	has_cpu(d, given);
	/* It is the first that counts. The definition, and what documents are compared with, stay. */
	assert_int_equal(d->run->cpuid->tsc_khz, 2400000);
	assert_non_null(strstr(d->definition->xml, "<cpu mode='host-model'>"));
	assert_string_equal(d->running->xml, d->definition->xml);
	/* Another daemon has it from the disk, not from a worker that may have been taken over since. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_uuid(f->manager, uuid);
	assert_int_equal(d->run->cpuid->tsc_khz, 2400000);
	assert_int_equal(d->run->cpuid->leaves[2].subleaf, 1 | PROTO_LEAF_INDEXED);
	has_cpu(d, given);
	RUN_UNTIL(f, worker_is_connected(d->worker));
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_true(store_load_runtime(&f->manager->store->domains, uuid, "cpuid.json", 65536,
			    &(char *){NULL}) < 0);
}

/* A named model keeps its name; what is the host's whole processor stays so. */
static void test_modes(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "named", "fake=cpuid",
		"<cpu mode='custom' match='minimum'><model>Conroe</model>"
		"<topology sockets='1' cores='2' threads='1'/>"
		"<feature policy='force' name='x2apic'/></cpu>");

	fixture_start(f, d);
	has_cpu(d,
		"  <cpu mode='custom' match='exact' check='full'>\n"
		"    <model fallback='forbid'>Conroe</model>\n"
		"    <topology sockets='1' dies='1' cores='2' threads='1'/>\n"
		"    <feature policy='require' name='cx16'/>\n"
		"    <feature policy='require' name='sse4.1'/>\n"
		"    <feature policy='require' name='sse4.2'/>\n"
		"    <feature policy='force' name='x2apic'/>\n"
		"    <feature policy='require' name='hypervisor'/>\n");
	d = fixture_define(f, "whole", "fake=cpuid", "<cpu mode='host-passthrough'/>");
	fixture_start(f, d);
	has_cpu(d, "  <cpu mode='host-passthrough'/>\n");
	d = fixture_define(f, "mute", "", "<cpu mode='host-model'/>");
	fixture_start(f, d);
	has_cpu(d, "  <cpu mode='host-model'/>\n");
}

/* A file that cannot be read is as none: the worker is believed. */
static void test_damaged(void **state)
{
	static const char *const texts[] = {"", "{}", "[1]",
		"{\"version\":1,\"tsc_khz\":-1,\"leaves\":[]}",
		"{\"version\":2,\"tsc_khz\":1,\"leaves\":[]}",
		"{\"version\":1,\"tsc_khz\":1,\"leaves\":[[1,2,3,4,5]]}",
		"{\"version\":1,\"tsc_khz\":1,\"leaves\":[[1,2,3,4,5,4294967296]]}",
		"{\"version\":1,\"tsc_khz\":1,\"leaves\":[1]}"};
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "fake=cpuid", "");
	uint8_t uuid[16];

	memcpy(uuid, d->uuid, 16);
	fixture_start(f, d);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(store_save_runtime(
					 &f->manager->store->domains, uuid, "cpuid.json", texts[i]),
			0);
		f->manager = manager_free(f->manager);
		fixture_open_manager(f);
		d = manager_find_uuid(f->manager, uuid);
		assert_null(d->run->cpuid);
		RUN_UNTIL(f, worker_is_connected(d->worker));
	}
}

/* A start that is refused says so in libvirt's words. */
static void test_refused(void **state)
{
	static const struct {
		const char *cmdline, *message;
	} cases[] = {
		{"fake=cpu-lacks",
			"the CPU is incompatible with host CPU: Host CPU does not provide required "
			"features: avx"},
		{"fake=cpu-differs",
			"operation failed: guest CPU doesn't match specification: missing "
			"features: "
			"avx"},
		{"fake=cpu-tsc",
			"unsupported configuration: Requested TSC frequency 1 Hz is outside "
			"tolerance range"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct domain *d = fixture_define(f, cases[i].cmdline + 5, cases[i].cmdline, "");

		assert_int_equal(domain_start(d, 0, fixture_done, f, &f->error), 0);
		RUN_UNTIL(f, f->n_done == i + 1);
		assert_string_equal(f->done_error.message, cases[i].message);
	}
}

/* As the worker makes it, and tells it. */
static int start(const struct cpuid_host *host, const struct vm_cpu *cpu, struct proto_cpuid *ret,
	struct cpuid_report *report)
{
	static struct vm_config config;
	struct cpuid_table table;
	int r;

	vm_config_init(&config);
	config.memory_kib = 1 << 20;
	config.vcpus = config.vcpus_max = 1;
	config.cpu = *cpu;
	r = cpuid_build(host, &config, &table, report);
	*ret = (struct proto_cpuid){.n = table.n};
	for (unsigned i = 0; r == 0 && i < table.n; i++) {
		const struct kvm_cpuid_entry2 *e = &table.entries[i];

		ret->leaves[i] =
			(struct proto_leaf){e->function, e->index, e->eax, e->ebx, e->ecx, e->edx};
	}
	return r;
}

static uint32_t register_of(
	const struct proto_cpuid *told, uint32_t leaf, uint32_t subleaf, int reg)
{
	for (uint32_t i = 0; i < told->n; i++) {
		const struct proto_leaf *l = &told->leaves[i];
		const uint32_t registers[] = {l->eax, l->ebx, l->ecx, l->edx};

		if (l->leaf == leaf && l->subleaf == subleaf)
			return registers[reg];
	}
	return 0;
}

/* What a domain was given on one host is given on a better one too, feature for feature, and on a lesser one refused by name. */
static void test_two_hosts(void **state)
{
	static const struct vm_cpu asked[] = {{.mode = VM_CPU_MODE_HOST_MODEL},
		{.mode = VM_CPU_MODE_CUSTOM, .model = "x86-64-v2"},
		{.mode = VM_CPU_MODE_CUSTOM, .model = "Haswell-noTSX", .match = 1}};
	struct host_copy lesser, least;

	(void)state;
	host_without(
		&intel_host, "avx512f avx512dq avx512cd avx512bw avx512vl pku tsc_adjust", &lesser);
	host_without(&intel_host, "sse4.2 x2apic", &least);
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		struct proto_cpuid first, second;
		struct cpuid_report report;
		struct vm_cpu given;

		assert_int_equal(start(&lesser.host, &asked[i], &first, &report), 0);
		domain_cpu_given(&first, &asked[i], &given);
		if (start(&intel_host, &given, &second, &report) < 0)
			fail_msg("%s", report.text);
		for (unsigned k = 0; k < cpu_n_features; k++) {
			const struct cpu_feature *c = &cpu_features[k];

			if (register_of(&first, c->leaf, c->subleaf, c->reg) !=
				register_of(&second, c->leaf, c->subleaf, c->reg))
				fail_msg("%s: case %zu", c->name, i);
		}
		assert_int_equal(
			register_of(&first, 1, 0, CPU_EAX), register_of(&second, 1, 0, CPU_EAX));
		assert_int_equal(start(&least.host, &given, &second, &report), -ENOTSUP);
		if (!strstr(report.text, "missing features: ") || !strstr(report.text, "x2apic"))
			fail_msg("%s", report.text);
		/* Back where it came from. */
		assert_int_equal(start(&lesser.host, &given, &second, &report), 0);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_live_xml),
		T(test_modes),
		T(test_damaged),
		T(test_refused),
		cmocka_unit_test(test_two_hosts),
	};

	log_init("test-domain-cpu", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
