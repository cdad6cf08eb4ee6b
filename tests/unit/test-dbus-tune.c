/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a domain may have, read and changed through the API, in its definition and while it runs: limits of interfaces, pins,
 * vCPUs, control groups, memory. */
#include "dbus-fixture.h"

#include "daemon/network.h"

static void tune(
	struct fixture *f, const char *key, const char *in, const char *out, unsigned flags)
{
	ok(CALL(f, "SetInterfaceTune", "ssssu", "vm", key, in, out, flags));
}

static void test_tune(void **state)
{
	static const char mac[] = "52:54:00:00:00:07";
	struct fixture *f = *state;
	struct network *n = NULL;
	const struct net_bandwidth *b;
	struct domain *d;

	f->devices = "<interface type='network'><mac address='52:54:00:00:00:07'/><source "
		     "network='red'/><model type='virtio'/></interface>";
	d = fixture_define(f, "vm", "", "");
	/* The definition: by the address. */
	tune(f, mac, "100,200,,", "", 0);
	assert_non_null(strstr(d->definition->xml, "<inbound average='100' peak='200'/>"));
	assert_null(strstr(d->definition->xml, "<outbound"));
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "1", "", 1),
		VMMD_ERROR_PREFIX "OperationInvalid", "domain is not running");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", "vnet0", "1", "", 0),
		VMMD_ERROR_PREFIX "InvalidArgument",
		"the definition of 'vm' has no interface 'vnet0'");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "1,2,3,4,5", "", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "write AVERAGE,PEAK,BURST,FLOOR");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "-1", "", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "write AVERAGE,PEAK,BURST,FLOOR");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "", "1,,,1", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "only inbound has a floor");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", "52:54:00:00:00:07x", "1", "", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "has no interface '52:54:00:00:00:07x'");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "", "1", 4),
		VMMD_ERROR_PREFIX "InvalidArgument", "unsupported flags");
	/* What runs, by the target; and both. */
	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>", "n", 0,
				 &n, NULL, &f->error),
		0);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	fixture_start(f, d);
	tune(f, "vnet0", "", "7,8,9", 0);
	b = &d->live->vm.nics[0].port.bandwidth;
	assert_true(b->in.average == 100 && b->out.average == 7 && b->out.peak == 8 &&
		b->out.burst == 9);
	assert_non_null(strstr(d->running->xml, "<outbound average='7' peak='8' burst='9'/>"));
	assert_null(strstr(d->definition->xml, "<outbound"));
	tune(f, "vnet0", "0", "11", 3);
	assert_true(b->in.average == 0 && b->in.peak == 0 && b->out.average == 11);
	assert_null(strstr(d->definition->xml, "<inbound"));
	assert_non_null(strstr(d->definition->xml, "<outbound average='11'/>"));
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", "vnet9", "1", "", 1),
		VMMD_ERROR_PREFIX "InvalidArgument", "domain 'vm' has no interface 'vnet9'");
	fails(CALL(f, "SetInterfaceLink", "ssb", "vm", "52:54:00:00:00:07x", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "has no interface '52:54:00:00:00:07x'");
}

/* The link down and a limit, one call right behind the other. */
static void change_both(struct fixture *f, const char *mac, sd_bus_message *ret[2])
{
	struct answer a[2] = {0};

	assert_true(sd_bus_call_method_async(client, NULL, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
			    "SetInterfaceLink", on_answer, &a[0], "ssb", "vm", mac, 0) >= 0);
	assert_true(sd_bus_call_method_async(client, NULL, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
			    "SetInterfaceTune", on_answer, &a[1], "ssssu", "vm", mac, "77", "",
			    1) >= 0);
	RUN_UNTIL(f, a[0].m && a[1].m);
	ret[0] = a[0].m;
	ret[1] = a[1].m;
}

/* The second one is made of what the first one has asked for. */
static void test_pipelined(void **state)
{
	static const char mac[] = "52:54:00:00:00:08";
	struct fixture *f = *state;
	const struct network_port *port;
	struct network *n = NULL;
	sd_bus_message *answers[2];
	struct domain *d;

	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>", "n", 0,
				 &n, NULL, &f->error),
		0);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	f->devices = "<interface type='network'><mac address='52:54:00:00:00:08'/><source "
		     "network='red'/><model type='virtio'/></interface>";
	d = fixture_define(f, "vm", "", "");
	fixture_start(f, d);
	port = network_find_port(f->manager, d->uuid, 0);
	assert_non_null(port);
	change_both(f, mac, answers);
	ok(answers[0]);
	ok(answers[1]);
	assert_true(port->config.flags & NET_PORT_LINK_DOWN);
	assert_int_equal(port->config.bandwidth.in.average, 77);
	assert_true(d->live->vm.nics[0].port.flags & NET_PORT_LINK_DOWN);
	assert_int_equal(d->live->vm.nics[0].port.bandwidth.in.average, 77);
	assert_non_null(strstr(d->running->xml, "<link state='down'/>"));
	assert_non_null(strstr(d->running->xml, "<inbound average='77'/>"));
	assert_true(list_empty(&d->nic_changes));
}

/* What the worker refuses is changed nowhere: not in the definition, and not at the network's end of the cable. */
static void test_refused(void **state)
{
	static const char mac[] = "52:54:00:00:00:08";
	struct fixture *f = *state;
	const struct network_port *port;
	struct network *n = NULL;
	sd_bus_message *answers[2];
	struct domain *d;

	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>", "n", 0,
				 &n, NULL, &f->error),
		0);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	f->devices = "<interface type='network'><mac address='52:54:00:00:00:08'/><source "
		     "network='red'/><model type='virtio'/></interface>";
	d = fixture_define(f, "vm", "fake=fail-requests", "");
	fixture_start(f, d);
	port = network_find_port(f->manager, d->uuid, 0);
	assert_non_null(port);
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "77", "", 3),
		VMMD_ERROR_PREFIX "OperationFailed", "did not change its vNIC");
	assert_null(strstr(d->definition->xml, "<inbound"));
	assert_null(strstr(d->running->xml, "<inbound"));
	assert_int_equal(port->config.bandwidth.in.average, 0);
	fails(CALL(f, "SetInterfaceLink", "ssb", "vm", mac, 0), VMMD_ERROR_PREFIX "OperationFailed",
		"did not change its vNIC");
	assert_false(port->config.flags & NET_PORT_LINK_DOWN);
	/* Neither of two at once. */
	change_both(f, mac, answers);
	for (unsigned i = 0; i < 2; i++)
		fails(answers[i], VMMD_ERROR_PREFIX "OperationFailed", "did not change its vNIC");
	assert_false(port->config.flags & NET_PORT_LINK_DOWN);
	assert_int_equal(port->config.bandwidth.in.average, 0);
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(8192), 3),
		VMMD_ERROR_PREFIX "OperationFailed", "did not change its balloon");
	assert_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>8192<"));
	fails(CALL(f, "SetMemoryStatsPeriod", "suu", "vm", 5, 3),
		VMMD_ERROR_PREFIX "OperationFailed", "did not change its balloon");
	assert_null(strstr(d->definition->xml, "<stats period"));
	/* So is what is too much for what runs, and would not be for the definition. */
	ok(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(32768), 2));
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(24576), 3),
		VMMD_ERROR_PREFIX "InvalidArgument", "cannot set memory higher than max memory");
	assert_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>24576<"));
}

static void test_pins(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=threads", "");
	uint64_t online[CPUSET_WORDS] = {0};
	char all[CPUSET_TEXT_MAX], text[16];
	struct json_object *vcpus, *v;
	unsigned cpu = 0;

	assert_int_equal(resources_host_cpus(online), 0);
	cpuset_format(online, all);
	while (!(online[cpu / 64] >> cpu % 64 & 1))
		cpu++;
	(void)snprintf(text, sizeof(text), "%u", cpu);
	/* The definition. */
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 1, text, 0));
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 0, text, 0));
	ok(CALL(f, "SetEmulatorPin", "ssu", "vm", text, 2));
	assert_int_equal(
		strncmp(strstr(d->definition->xml, "<vcpupin"), "<vcpupin vcpu='0'", 17), 0);
	assert_non_null(strstr(d->definition->xml, "<vcpupin vcpu='1'"));
	assert_non_null(strstr(d->definition->xml, "<emulatorpin"));
	vcpus = value_of(CALL(f, "ListVcpus", "su", "vm", 0), "aa{sv}");
	assert_int_equal(json_object_array_length(vcpus), 2);
	v = json_object_array_get_idx(vcpus, 1);
	expect_number(v, "vcpu", 1);
	assert_string_equal(text_of(v, "pin"), text);
	assert_false(json_object_object_get_ex(v, "state", NULL));
	json_object_put(vcpus);
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 1, "", 0));
	assert_null(strstr(d->definition->xml, "<vcpupin vcpu='1'"));
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 2, text, 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"vcpu 2 is out of range of persistent cpu count 2");
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 0, "1-", 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"'1-' are no host CPUs");
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 0, "1023", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "the host has no CPU 1023");
	fails(CALL(f, "SetEmulatorPin", "ssu", "vm", text, 1), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	fails(CALL(f, "SetEmulatorPin", "ssu", "vm", text, 4), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
	fails(CALL(f, "ListVcpus", "su", "vm", 3), VMMD_ERROR_PREFIX "InvalidArgument",
		"asked for together");
	fails(CALL(f, "ListVcpus", "su", "vm", 1), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	/* What runs. */
	fixture_start(f, d);
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 0, "", 1));
	vcpus = value_of(CALL(f, "ListVcpus", "su", "vm", 0), "aa{sv}");
	v = json_object_array_get_idx(vcpus, 0);
	expect_number(v, "state", 1);
	expect_number(v, "online", 1);
	assert_string_equal(text_of(v, "pin"), all);
	assert_non_null(text_of(v, "affinity"));
	assert_true(json_object_object_get_ex(v, "cpu", NULL));
	assert_true(json_object_object_get_ex(v, "cpu_time", NULL));
	json_object_put(vcpus);
	assert_non_null(strstr(d->definition->xml, "<vcpupin vcpu='0'"));
	assert_null(strstr(d->running->xml, "<vcpupin"));
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 7, text, 3), VMMD_ERROR_PREFIX "InvalidArgument",
		"vcpu 7 is out of range of live cpu count 2");
}

/* Pins are in any order in a document: one that changes is there once, and the next daemon has the definition. */
static void test_pins_in_disorder(void **state)
{
	struct fixture *f = *state;
	uint64_t online[CPUSET_WORDS] = {0};
	const char *pins;
	struct domain *d;
	char text[16];
	unsigned cpu = 0;

	assert_int_equal(resources_host_cpus(online), 0);
	while (!(online[cpu / 64] >> cpu % 64 & 1))
		cpu++;
	(void)snprintf(text, sizeof(text), "%u", cpu);
	d = fixture_define(f, "vm", "fake=threads",
		"<cputune><vcpupin vcpu='1' cpuset='0'/><vcpupin vcpu='0' cpuset='0'/></cputune>");
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 0, text, 2));
	pins = strstr(d->definition->xml, "<vcpupin vcpu='0'");
	assert_non_null(pins);
	assert_null(strstr(pins + 1, "<vcpupin vcpu='0'"));
	fixture_start(f, d);
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 0, "", 3));
	assert_null(strstr(d->definition->xml, "<vcpupin vcpu='0'"));
	assert_non_null(strstr(d->definition->xml, "<vcpupin vcpu='1'"));
	assert_null(strstr(d->running->xml, "<vcpupin vcpu='0'"));
}

static int spoil(struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	(void)is_live;
	(void)what;
	(void)error;
	config->cputune.pins[0] = config->cputune.pins[1] = (struct domain_pin){.cpus = {1}};
	config->cputune.n_pins = 2;
	return 0;
}

/* Whatever a change makes of it: what cannot be read again is not written. */
static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");

	assert_true(domain_tune(d, DOMAIN_AFFECT_CONFIG, spoil, NULL, 0, fixture_done, f,
			    &f->error) < 0);
	assert_non_null(strstr(f->error.message, "could not be read with this change"));
	assert_null(strstr(d->definition->xml, "<vcpupin"));
}

static void set_vcpus(struct fixture *f, unsigned n, unsigned flags, bool done)
{
	struct json_object *v = value_of(CALL(f, "SetVcpus", "suu", "vm", n, flags), "b");

	assert_int_equal(json_object_get_boolean(v), done);
	json_object_put(v);
}

/* The bits of those that are online. */
static unsigned online_vcpus(struct fixture *f, unsigned flags)
{
	struct json_object *vcpus = value_of(CALL(f, "ListVcpus", "su", "vm", flags), "aa{sv}");
	unsigned bits = 0;

	for (size_t i = 0; i < json_object_array_length(vcpus); i++)
		bits |= (unsigned)json_object_get_boolean(json_object_object_get(
				json_object_array_get_idx(vcpus, i), "online"))
			<< i;
	json_object_put(vcpus);
	return bits;
}

static void test_vcpus(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=refuse-vcpus", "");

	set_vcpus(f, 4, 6, true);
	assert_int_equal(online_vcpus(f, 0), 3);
	set_vcpus(f, 1, 0, true);
	assert_int_equal(online_vcpus(f, 0), 1);
	fails(CALL(f, "SetVcpus", "suu", "vm", 1, 1), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	fails(CALL(f, "SetVcpus", "suu", "vm", 1, 8), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
	fixture_start(f, d);
	set_vcpus(f, 3, 0, true);
	assert_int_equal(online_vcpus(f, 1), 7);
	assert_int_equal(online_vcpus(f, 2), 1);
	fails(CALL(f, "SetVcpus", "suu", "vm", 5, 1), VMMD_ERROR_PREFIX "InvalidArgument",
		"max allowable vcpus for the live domain: 5 > 4");
	fails(CALL(f, "SetVcpus", "suu", "vm", 1, 0), VMMD_ERROR_PREFIX "OperationFailed",
		"vcpu unplug request was refused: the guest does not release vCPU 2");
	assert_int_equal(online_vcpus(f, 0), 7);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct json_object *tune;

	ok(CALL(f, "SetCpuTune", "sasu", "vm", 3, "cpu_shares=200", "vcpu_quota=50000",
		"global_period=200000", 0));
	ok(CALL(f, "SetMemoryTune", "sasu", "vm", 2, "soft_limit=1024", "swap_hard_limit=-1", 2));
	assert_non_null(strstr(d->definition->xml, "<shares>200</shares>"));
	assert_non_null(strstr(d->definition->xml, "<quota>50000</quota>"));
	tune = value_of(CALL(f, "GetCpuTune", "su", "vm", 2), "a{sv}");
	expect_number(tune, "cpu_shares", 200);
	expect_number(tune, "vcpu_quota", 50000);
	expect_number(tune, "global_period", 200000);
	expect_number(tune, "global_quota", 0);
	json_object_put(tune);
	tune = value_of(CALL(f, "GetMemoryTune", "su", "vm", 0), "a{sv}");
	expect_number(tune, "hard_limit", (int64_t)DOMAIN_MEMTUNE_UNLIMITED_KIB);
	expect_number(tune, "soft_limit", 1024);
	expect_number(tune, "swap_hard_limit", (int64_t)DOMAIN_MEMTUNE_UNLIMITED_KIB);
	json_object_put(tune);
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_period=999", 0),
		VMMD_ERROR_PREFIX "InvalidArgument",
		"value of 'vcpu_period' is out of range [1000, 1000000]");
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_quotas=1", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "'vcpu_quotas=1' is no setting");
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_quota", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "'vcpu_quota' is no setting");
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_quota=x", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "has no number");
	fails(CALL(f, "SetMemoryTune", "sasu", "vm", 2, "hard_limit=2048", "swap_hard_limit=1024",
		      0),
		VMMD_ERROR_PREFIX "InvalidArgument", "lower than or equal to swap_hard_limit");
	fails(CALL(f, "SetMemoryTune", "sasu", "vm", 1, "hard_limit=-2", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "out of range");
	assert_null(strstr(d->definition->xml, "hard_limit unit='KiB'>2048"));
	/* What runs has the host's defaults; this worker has no control group. */
	ok(CALL(f, "SetCpuTune", "sasu", "vm", 3, "cpu_shares=0", "vcpu_quota=0", "global_period=0",
		0));
	assert_null(strstr(d->definition->xml, "cputune"));
	fixture_start(f, d);
	tune = value_of(CALL(f, "GetCpuTune", "su", "vm", 0), "a{sv}");
	expect_number(tune, "vcpu_period", DOMAIN_PERIOD_DEFAULT_US);
	expect_number(tune, "global_quota", -1);
	assert_non_null(text_of(tune, "emulator_pin"));
	json_object_put(tune);
	tune = value_of(CALL(f, "GetMemoryTune", "su", "vm", 1), "a{sv}");
	expect_number(tune, "hard_limit", (16 + 64) * 1024);
	json_object_put(tune);
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "cpu_shares=5", 0),
		VMMD_ERROR_PREFIX "OperationInvalid", "no control group");
}

/* Nodes of the host. */
static void test_numa(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct json_object *tune, *nodes, *node;

	tune = value_of(CALL(f, "GetNumaTune", "su", "vm", 0), "a{sv}");
	assert_string_equal(text_of(tune, "numa_mode"), "strict");
	assert_string_equal(text_of(tune, "numa_nodeset"), "");
	json_object_put(tune);
	ok(CALL(f, "SetNumaTune", "sasu", "vm", 1, "numa_nodeset=0", 2));
	assert_non_null(strstr(d->definition->xml, "<memory mode='strict' nodeset='0'/>"));
	ok(CALL(f, "SetNumaTune", "sasu", "vm", 1, "numa_mode=interleave", 0));
	tune = value_of(CALL(f, "GetNumaTune", "su", "vm", 2), "a{sv}");
	assert_string_equal(text_of(tune, "numa_mode"), "interleave");
	assert_string_equal(text_of(tune, "numa_nodeset"), "0");
	json_object_put(tune);
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 1, "numa_mode=4", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "unsupported numatune mode: '4'");
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 1, "numa_nodeset=", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "Invalid nodeset of 'numatune': ");
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 1, "numa_nodeset=0,1023", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "NUMA node 1023 is unavailable: the host has");
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 1, "mode=strict", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "'mode=strict' is no setting");
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 0, 1), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 0, 8), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
	fixture_start(f, d);
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 1, "numa_mode=strict", 1),
		VMMD_ERROR_PREFIX "OperationInvalid",
		"can't change numatune mode for running domain");
	fails(CALL(f, "SetNumaTune", "sasu", "vm", 1, "numa_nodeset=0", 0),
		VMMD_ERROR_PREFIX "OperationInvalid",
		"change of nodeset for running domain requires restrictive numa mode");
	/* With the mode alone there is nothing to be strict about. */
	d = fixture_define(f, "other", "", "");
	fails(CALL(f, "SetNumaTune", "sasu", "other", 1, "numa_mode=strict", 0),
		VMMD_ERROR_PREFIX "InvalidArgument",
		"numatune/memory: nodeset for NUMA memory tuning must be set");
	d = fixture_define(f, "cells", "",
		"<features><acpi/></features><numatune><memory nodeset='0'/>"
		"<memnode cellid='0' mode='strict' nodeset='0'/></numatune>"
		"<cpu><numa><cell memory='8192'/><cell memory='8192'/></numa></cpu>");
	fails(CALL(f, "SetNumaTune", "sasu", "cells", 1, "numa_mode=restrictive", 0),
		VMMD_ERROR_PREFIX "InvalidArgument",
		"numatune/memnode[1]: 'restrictive' mode is required in memnode element");
	fails(CALL(f, "SetMaxMemory", "stu", "cells", UINT64_C(8192), 2),
		VMMD_ERROR_PREFIX "OperationInvalid",
		"initial memory size of a domain with NUMA nodes cannot be modified");
	/* This host has one node at least, with ordinary pages at least. */
	tune = value_of(CALL(f, "GetNodeMemory", ""), "a{sv}");
	assert_true(json_object_object_get_ex(tune, "buffers_kib", NULL));
	nodes = json_object_object_get(tune, "nodes");
	assert_true(json_object_array_length(nodes) >= 1);
	node = json_object_array_get_idx(nodes, 0);
	assert_true(json_object_object_get_ex(node, "free_kib", NULL));
	node = json_object_array_get_idx(json_object_object_get(node, "pages"), 0);
	expect_number(node, "size_kib", 4);
	json_object_put(tune);
}

/* The host's memory policy, whose numbers are this host's; what it does is test-memory-policy.c's. */
static void test_memory_policy(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct json_object *policy, *domains, *one;
	sd_bus_message *reply;

	ok(CALL(f, "SetMemoryTune", "sasu", "vm", 2, "min_guarantee=8192", "weight=200", 2));
	assert_non_null(strstr(d->definition->xml, "<min_guarantee unit='KiB'>8192<"));
	assert_non_null(strstr(d->definition->xml, "weight='200'"));
	fails(CALL(f, "SetMemoryTune", "sasu", "vm", 1, "weight=10001", 2),
		VMMD_ERROR_PREFIX "InvalidArgument", "out of range [1, 10000]");
	fails(CALL(f, "SetMemoryTune", "sasu", "vm", 1, "min_guarantee=-1", 2),
		VMMD_ERROR_PREFIX "InvalidArgument", "out of range");
	fixture_start(f, d);
	ok(CALL(f, "SetMemoryTune", "sasu", "vm", 1, "weight=300", 1));
	reply = CALL(f, "GetMemoryPolicy", "");
	assert_non_null(reply);
	assert_int_equal(
		dbus_json_read(reply, "a{sv}aa{sv}aa{sv}", "policy\0domains\0decisions\0", &policy),
		0);
	sd_bus_message_unref(reply);
	assert_false(json_object_get_boolean(
		json_object_object_get(json_object_object_get(policy, "policy"), "on")));
	domains = json_object_object_get(policy, "domains");
	assert_int_equal(json_object_array_length(domains), 1);
	one = json_object_array_get_idx(domains, 0);
	assert_int_equal(json_object_get_int64(json_object_object_get(one, "weight")), 300);
	assert_int_equal(json_object_get_int64(json_object_object_get(one, "floor_kib")), 8192);
	assert_int_equal(json_object_get_int64(json_object_object_get(one, "taken_kib")), 0);
	assert_null(json_object_object_get(one, "usable_kib"));
	json_object_put(policy);
	ok(CALL(f, "SetMemoryPolicy", "b", 0));
}

/* How much memory a guest has: definition, what runs, dumpxml, statistics, the event. */
static void test_memory(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	_cleanup_(freep) char *xml = NULL;

	ok(CALL(f, "SetMemory", "stu", "vm", UINT64_C(8192), 0));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>8192<"));
	ok(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(32767), 0));
	assert_non_null(strstr(d->definition->xml, "<memory unit='KiB'>32768<"));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>8192<"));
	ok(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(4096), 2));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>4096<"));
	ok(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(16384), 2));
	ok(CALL(f, "SetMemoryStatsPeriod", "suu", "vm", 7, 0));
	assert_non_null(strstr(d->definition->xml, "<stats period='7'/>"));
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(16385), 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "cannot set memory higher than max memory");
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(0), 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "kib is 0");
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(1), 1),
		VMMD_ERROR_PREFIX "OperationInvalid", "domain is not running");
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(1), 4),
		VMMD_ERROR_PREFIX "InvalidArgument", "unsupported flags");
	fails(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_MAX, 2),
		VMMD_ERROR_PREFIX "InvalidArgument", "memory: ");
	fails(CALL(f, "SetMemoryStatsPeriod", "suu", "vm", 86401, 2),
		VMMD_ERROR_PREFIX "InvalidArgument", "write at most 86400");
	fails(CALL(f, "GetMemoryStats", "s", "vm"), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	fails(CALL(f, "GetMmuStats", "s", "vm"), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");

	fixture_start(f, d);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "actual", 16384);
	ok(CALL(f, "SetMemory", "stu", "vm", UINT64_C(12288), 3));
	RUN_UNTIL(f, saw_signal("balloon-change vm 12288KiB"));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>12288<"));
	/* It survives a daemon and a restart of the guest. */
	assert_non_null(strstr(d->running->xml, "<currentMemory unit='KiB'>12288<"));
	assert_int_equal(d->live->vm.current_memory_kib, 12288);
	assert_int_equal(domain_format_xml(d, false, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "<currentMemory unit='KiB'>12288<"));
	has_number(CALL(f, "GetDomain", "s", "vm"), "current_memory_kib", 12288);
	has_number(CALL(f, "GetDomainStats", "asu", 1, "vm", 4), "balloon.current", 12288);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "unused", 1000);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "available", 2000);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "major_fault", 3);
	assert_true(has_key(CALL(f, "GetMmuStats", "s", "vm"), "paging"));
	has_number(CALL(f, "GetMmuStats", "s", "vm"), "pages_4k", 300);
	has_number(CALL(f, "GetMmuStats", "s", "vm"), "pf_taken", 3000);
	assert_false(has_key(CALL(f, "GetMmuStats", "s", "vm"), "pages_1g"));
	assert_true(has_key(CALL(f, "GetMemoryStats", "s", "vm"), "last_update"));
	assert_false(has_key(CALL(f, "GetMemoryStats", "s", "vm"), "swap_in"));
	has_number(CALL(f, "GetDomainStats", "asu", 1, "vm", 4), "balloon.available", 2000);
	ok(CALL(f, "SetMemoryStatsPeriod", "suu", "vm", 9, 1));
	assert_non_null(strstr(d->running->xml, "<stats period='9'/>"));
	assert_non_null(strstr(d->definition->xml, "<stats period='7'/>"));
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(16388), 1),
		VMMD_ERROR_PREFIX "InvalidArgument", "cannot set memory higher than max memory");
	fails(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(32768), 0),
		VMMD_ERROR_PREFIX "OperationInvalid",
		"cannot resize the maximum memory on an active domain");
}

/* Guests that do not answer, or have no balloon. */
static void test_no_memory_stats(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "deaf", "fake=no-stats", ""));
	fixture_start(f, fixture_define(f, "blind", "fake=no-mmu", ""));
	fails(CALL(f, "GetMmuStats", "s", "blind"), VMMD_ERROR_PREFIX "NotSupported",
		"cannot tell what KVM's MMU does");
	has_number(CALL(f, "GetMemoryStats", "s", "deaf"), "last_update", 0);
	fixture_start(f, fixture_define(f, "mute", "fake=mute-stats", ""));
	has_number(CALL(f, "GetMemoryStats", "s", "mute"), "last_update", 0);
	f->devices = "<memballoon model='none'/>";
	fixture_start(f, fixture_define(f, "none", "", ""));
	assert_false(has_key(CALL(f, "GetMemoryStats", "s", "none"), "last_update"));
	has_number(CALL(f, "GetMemoryStats", "s", "none"), "actual", 16384);
	fails(CALL(f, "SetMemory", "stu", "none", UINT64_C(8192), 0),
		VMMD_ERROR_PREFIX "OperationInvalid", "without the balloon device");
	fails(CALL(f, "SetMemoryStatsPeriod", "suu", "none", 1, 2),
		VMMD_ERROR_PREFIX "OperationInvalid", "must be virtio");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_tune),
		T(test_pipelined),
		T(test_refused),
		T(test_pins),
		T(test_pins_in_disorder),
		T(test_unreadable),
		T(test_vcpus),
		T(test_limits),
		T(test_numa),
		T(test_memory),
		T(test_memory_policy),
		T(test_no_memory_stats),
	};

	log_init("test-dbus-tune", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
