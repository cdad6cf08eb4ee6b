/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What processors a domain was given: in its live XML, over another daemon's life, and on hosts that can or cannot give
 * the same. The worker is tests/fakes/fake-worker.h. */
#include "daemon/domain-internal.h"

#include "cpuid-fixture.h"
#include "daemon-fixture.h"

/* What fake-worker-start.c tells. */
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
	assert_int_equal(d->run->cpuid->leaves[2].subleaf, 1 | VM_CPUID_INDEXED);
	has_cpu(d, given);
	RUN_UNTIL(f, worker_is_connected(d->worker));
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_true(store_load_runtime(&f->manager->store->domains, uuid, "cpuid.json", 65536,
			    &(char *){NULL}) < 0);
}

#define KEPT_UUID    "<uuid>6dd1c6b6-5a0e-4f3f-8a62-64a2a1a0c3a7</uuid>"
#define GIVEN_BEFORE 1000000 /* fake-worker.c: the configuration had leaves */

static struct domain *start_again(struct fixture *f, struct domain *d)
{
	uint8_t uuid[16];

	memcpy(uuid, d->uuid, 16);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	/* As after a boot: another daemon, and nothing of the run is left. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_uuid(f->manager, uuid);
	fixture_start(f, d);
	return d;
}

/* With check='full' each start is given what the first one was, until something else is asked for. */
static void test_kept(void **state)
{
	struct fixture *f = *state;
	static const char full[] = KEPT_UUID "<cpu mode='custom' match='exact' check='full'>"
					     "<model>Conroe</model></cpu>";
	struct domain *d = fixture_define(f, "kept", "fake=cpuid", full);
	_cleanup_(freep) char *text = NULL;
	struct proto_cpuid first;
	uint8_t uuid[16];

	memcpy(uuid, d->uuid, 16);
	fixture_start(f, d);
	first = *d->run->cpuid;
	assert_int_equal(first.tsc_khz, 2400000);
	d = start_again(f, d);
	assert_int_equal(d->run->cpuid->tsc_khz, GIVEN_BEFORE);
	assert_int_equal(d->run->cpuid->n, first.n);
	assert_memory_equal(d->run->cpuid->leaves, first.leaves, first.n * sizeof(first.leaves[0]));
	/* The definition, and what documents are compared with, know nothing of it. */
	assert_null(strstr(d->running->xml, "vmmd:cpuid"));
	assert_int_equal(d->live->vm.n_cpuid, 0);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	/* Something else is asked for. */
	d = fixture_define(f, "kept", "fake=cpuid",
		KEPT_UUID "<cpu mode='custom' match='exact' check='full'><model>Conroe</model>"
			  "<feature policy='disable' name='ssse3'/></cpu>");
	fixture_start(f, d);
	assert_int_equal(d->run->cpuid->tsc_khz, 2400000);
	d = start_again(f, d);
	assert_int_equal(d->run->cpuid->tsc_khz, GIVEN_BEFORE);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	/* A file that cannot be read is as none. */
	assert_int_equal(store_save_cpuid(f->manager->store, uuid, "{\"version\":1}"), 0);
	fixture_start(f, d);
	assert_int_equal(d->run->cpuid->tsc_khz, 2400000);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
	assert_true(store_load_cpuid(f->manager->store, uuid, &text) < 0);
}

/* Whoever does not ask for the same gets what the host has by then, as with libvirt. */
static void test_not_kept(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "partial", "fake=cpuid",
		"<cpu mode='custom' match='exact' check='partial'><model>Conroe</model></cpu>");

	fixture_start(f, d);
	d = start_again(f, d);
	assert_int_equal(d->run->cpuid->tsc_khz, 2400000);
}

/* The live XML has the leaves, and a definition that is made of it gives them. */
static void test_carried(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "carried", "fake=cpuid", "<cpu mode='host-model'/>");
	_cleanup_(freep) char *xml = NULL;
	struct proto_cpuid first;
	uint8_t uuid[16];

	memcpy(uuid, d->uuid, 16);
	fixture_start(f, d);
	first = *d->run->cpuid;
	has_cpu(d,
		"      <vmmd:leaf number='0xd' subleaf='0x1' eax='0x0' ebx='0x0' ecx='0x0' "
		"edx='0x0'/>\n"
		"      <vmmd:leaf number='0x80000001' eax='0x0' ebx='0x0' ecx='0x1' "
		"edx='0x20100800'/>\n"
		"    </vmmd:cpuid>\n");
	xml = live_xml(d);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	if (manager_define(f->manager, xml, "live.xml", 0, &d, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_start(f, d);
	assert_int_equal(d->run->cpuid->tsc_khz, GIVEN_BEFORE);
	assert_int_equal(d->run->cpuid->n, first.n);
	assert_memory_equal(d->run->cpuid->leaves, first.leaves, first.n * sizeof(first.leaves[0]));
	assert_true(memcmp(d->uuid, uuid, 16) == 0);
}

/* A domain that restarts by itself is given what its run had, whatever its mode; what is compared with documents stays. */
static void test_restarts(void **state)
{
	static const char *const cpus[] = {
		"<cpu mode='host-model'/>", "<cpu mode='host-passthrough'/>"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
		char name[16], extra[128];
		struct domain *d;
		pid_t first;

		(void)snprintf(name, sizeof(name), "again%zu", i);
		(void)snprintf(extra, sizeof(extra), "<on_crash>restart</on_crash>%s", cpus[i]);
		d = fixture_define(f, name, "fake=cpuid", extra);
		fixture_start(f, d);
		first = worker_pid(d->worker);
		assert_int_equal(kill(first, SIGKILL), 0);
		RUN_UNTIL(f, d->worker && worker_pid(d->worker) != first && d->run->cpuid);
		assert_int_equal(d->run->cpuid->tsc_khz, GIVEN_BEFORE);
		assert_null(strstr(d->running->xml, "vmmd:cpuid"));
		assert_int_equal(d->live->vm.n_cpuid, 0);
	}
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

		ret->leaves[i] = (struct vm_cpuid_leaf){
			e->function, e->index, e->eax, e->ebx, e->ecx, e->edx};
	}
	return r;
}

static uint32_t register_of(
	const struct proto_cpuid *told, uint32_t leaf, uint32_t subleaf, int reg)
{
	for (uint32_t i = 0; i < told->n; i++) {
		const struct vm_cpuid_leaf *l = &told->leaves[i];
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
		T(test_kept),
		T(test_not_kept),
		T(test_carried),
		T(test_restarts),
		T(test_modes),
		T(test_damaged),
		T(test_refused),
		cmocka_unit_test(test_two_hosts),
	};

	log_init("test-domain-cpu", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
