/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domain_xml_parse() and domain_xml_format(): fields, defaults, what is wrong or refused, the live form, copies. Devices and
 * hostile documents have tests of their own. (The goldens of whole files are checked by check-xml.)
 */
#include "domain-xml-fixture.h"

#include "vmm-core/base/names.h"

static void test_defaults(void **state)
{
	struct domain_config *config = parse_ok(DOMAIN(""));

	(void)state;
	assert_string_equal(config->vm.name, "n");
	assert_int_equal(config->vm.memory_kib, 65536);
	assert_int_equal(config->vm.current_memory_kib, 65536);
	assert_int_equal(config->vm.vcpus, 1);
	assert_int_equal(config->vm.vcpus_max, 1);
	assert_int_equal(config->vm.uuid[6] >> 4, 4); /* generated: version 4 */
	assert_int_equal(config->vm.has_kernel, 1);
	assert_int_equal(config->vm.acpi, 0);
	assert_int_equal(config->on_poweroff, DOMAIN_ACTION_DESTROY);
	assert_int_equal(config->on_reboot, DOMAIN_ACTION_RESTART);
	assert_int_equal(config->on_crash, DOMAIN_ACTION_DESTROY);
	domain_config_free(config);
}

static void test_machine(void **state)
{
	struct domain_config *config = parse_ok(
		"<domain type='kvm'><name>n</name><memory unit='MiB'>3</memory>"
		"<memoryBacking><hugepages/><locked/></memoryBacking>"
		"<vcpu cpuset=' 8,0-3,^2 ' current='2'>4</vcpu>" OS "<features><acpi/></features>"
		"<cpu><model>x86-64-v2</model><topology sockets='1' cores='2' threads='2'/>"
		"<feature policy='forbid' name='avx'/></cpu>"
		"<clock offset='absolute' start='100'><timer name='pit' present='no'/></clock>"
		"<on_crash>coredump-restart</on_crash><metadata>"
		"<v:options xmlns:v='urn:vmmd:domain:1'><v:debug-exit/></v:options></metadata>"
		"</domain>");
	const struct vm_config *vm = &config->vm;

	(void)state;
	assert_int_equal(vm->hugepage_kib, 2048);
	assert_int_equal(vm->memory_kib, 4096); /* rounded up */
	assert_int_equal(vm->memory_locked, 1);
	assert_int_equal(vm->vcpus, 2);
	assert_int_equal(vm->cpuset[0], 0x10b);
	assert_int_equal(vm->vcpus_max, 4);
	assert_int_equal(vm->acpi, 1);
	assert_int_equal(vm->apic, 0);
	assert_int_equal(vm->cpu.mode, VM_CPU_MODE_CUSTOM);
	assert_string_equal(vm->cpu.model, "x86-64-v2");
	assert_int_equal(vm->cpu.dies, 1);
	assert_int_equal(vm->cpu.n_features, 1);
	assert_int_equal(vm->cpu.features[0].policy, VM_CPU_POLICY_FORBID);
	assert_int_equal(vm->clock_offset, VM_CLOCK_ABSOLUTE);
	assert_int_equal(vm->clock_start_s, 100);
	assert_int_equal(vm->timers[VM_TIMER_PIT], VM_TRISTATE_NO);
	assert_int_equal(vm->debug_exit, 1);
	assert_int_equal(config->on_crash, DOMAIN_ACTION_COREDUMP_RESTART);
	domain_config_free(config);
}

/* Threads without an id get the lowest that is free; what an earlier version kept and did not look at does not make a definition wrong. */
static void test_iothreads(void **state)
{
	struct domain_config *config;
	char *xml = NULL;

	(void)state;
	config = parse_stored(DOMAIN("<iothreads>4</iothreads><iothreadids><iothread id='2'>"
				     "<poll max='5'/></iothread></iothreadids>"));
	assert_int_equal(config->vm.n_iothreads, 4);
	assert_int_equal(config->vm.iothreads[0], 2);
	assert_int_equal(config->vm.iothreads[1], 1);
	assert_int_equal(config->vm.iothreads[2], 3);
	assert_int_equal(config->vm.iothreads[3], 4);
	assert_int_equal(domain_xml_format(config, NULL, &xml), 0);
	assert_non_null(strstr(xml, "<iothreads>4</iothreads>"));
	assert_non_null(strstr(xml, "<poll max='5'/>"));
	domain_config_free(config);
	free(xml);
	/* More ids than were said. Ids that go without saying are not said. */
	config = parse_stored(DOMAIN("<iothreads>1</iothreads><iothreadids><iothread id='5'/>"
				     "<iothread id='9'/></iothreadids>"));
	assert_int_equal(config->iothreads, 2);
	domain_config_free(config);
	config = parse_stored(DOMAIN("<iothreads>2</iothreads>"));
	assert_int_equal(domain_xml_format(config, NULL, &xml), 0);
	assert_null(strstr(xml, "<iothreadids>"));
	domain_config_free(config);
	free(xml);
	config = parse_stored(
		DOMAIN("<iothreads>1</iothreads><cputune><iothreadpin iothread='3' cpuset='0'/>"
		       "<iothreadpin iothread='1' cpuset='0'/></cputune><devices>" DISK(
			       "<target dev='vda'/><driver iothread='3'/>") "</devices>"));
	assert_int_equal(config->vm.disks[0].iothread, 0);
	assert_int_equal(config->cputune.n_iothread_pins, 1);
	assert_int_equal(config->cputune.iothread_pins[0].iothread, 1);
	domain_config_free(config);
}

/* libvirt does not look at the set either when something else is to choose. */
static void test_placement_auto(void **state)
{
	struct domain_config *config =
		parse_ok(DOMAIN("<vcpu placement='auto' cpuset='1'>1</vcpu>"));

	(void)state;
	assert_true(cpuset_is_empty(config->vm.cpuset));
	domain_config_free(config);
}

#define OWNED(user)                                                                                \
	DOMAIN("<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='" user "'/></metadata>")

static void test_wrong(void **state)
{
	(void)state;
	wrong("<network/>", "f:1: network: not a <domain>");
	wrong("<domain xmlns='urn:x' type='kvm'/>", "not a <domain>");
	wrong("<domain><name>n</name><memory>65536</memory>" OS "</domain>",
		"f:1: domain/@type: missing; add type='kvm'");
	wrong("<domain type='kvm'><memory>65536</memory>" OS "</domain>",
		"name: missing; add <name>");
	wrong("<domain type='kvm'><name>n</name>" OS "</domain>", "memory: missing");
	wrong("<domain type='kvm'><name>n</name><memory>65536</memory></domain>", "os: missing");
	wrong(HEAD "<os/></domain>", "os/type: missing");
	wrong(HEAD "<name>m</name>" OS "</domain>", "name[2]: given twice");
	/* Names. */
	wrong("<domain type='kvm'><name></name><memory>65536</memory>" OS "</domain>", "name: ");
	wrong("<domain type='kvm'><name>a/b</name></domain>", "'/'");
	wrong("<domain type='kvm'><name>../../etc</name></domain>", "'/'");
	wrong("<domain type='kvm'><name>.hidden</name></domain>", "'.'");
	wrong("<domain type='kvm'><name>a&#10;b</name></domain>", "control character");
	wrong("<domain type='kvm'><name>a&#127;b</name></domain>", "control character");
	/* Numbers. */
	wrong("<domain type='kvm'><name>n</name><memory>-1</memory>" OS "</domain>",
		"memory: '-1'");
	wrong("<domain type='kvm'><name>n</name><memory>0x10000</memory>" OS "</domain>",
		"memory: ");
	wrong("<domain type='kvm'><name>n</name><memory>99999999999999999999</memory></domain>",
		"memory: '9999");
	wrong("<domain type='kvm'><name>n</name><memory unit='EiB'>18446744073709551615</memory>"
	      "</domain>",
		"memory: '1844");
	wrong("<domain type='kvm'><name>n</name><memory unit='TiB'>17</memory>" OS "</domain>",
		"too much");
	wrong("<domain type='kvm'><name>n</name><memory>18446744073709551615</memory>" OS
	      "</domain>",
		"too much");
	wrong("<domain type='kvm'><name>n</name><memory>1</memory>" OS "</domain>", "too little");
	wrong(DOMAIN("<currentMemory>65540</currentMemory>"),
		"f:1: currentMemory: more than memory");
	wrong(DEVICES(DISK("<target dev='vda'/>\n<iotune><total_bytes_sec>1</total_bytes_sec>\n"
			   "<write_bytes_sec>1</write_bytes_sec></iotune>")),
		"f:2: devices/disk[1]/iotune/total_bytes_sec: given together with write_bytes_sec");
	wrong(DEVICES(DISK("<target dev='vda'/><iotune><total_iops_sec>many</total_iops_sec>"
			   "</iotune>")),
		"devices/disk[1]/iotune/total_iops_sec: 'many' is wrong; write a decimal number");
	wrong(DOMAIN("\n<vcpu cpuset='0-x'>1</vcpu>"),
		"f:2: vcpu/@cpuset: '0-x' is wrong; write host CPUs, for example 0-3,^2,7");
	wrong(DOMAIN("<vcpu cpuset=''>1</vcpu>"), "vcpu/@cpuset: '' is wrong");
	wrong(DOMAIN("<vcpu cpuset='0,^0'>1</vcpu>"), "write at least one host CPU");
	wrong(DOMAIN("<vcpu cpuset='0-1024'>1</vcpu>"), "up to 1023");
	wrong(DOMAIN("<cputune><period>999</period></cputune>"),
		"cputune/period: write 1000 to 1000000");
	wrong(DOMAIN("<cputune>\n<emulator_period>1000001</emulator_period></cputune>"),
		"f:2: cputune/emulator_period: write 1000 to 1000000");
	wrong(DOMAIN("<cputune><global_quota>1</global_quota></cputune>"),
		"cputune/global_quota: write 1000 to 17592186044415 (microseconds), or -1");
	wrong(DOMAIN("<cputune><quota>17592186044416</quota></cputune>"), "cputune/quota: write");
	wrong(DOMAIN("<cputune><shares>262145</shares></cputune>"), "write 1 to 262144");
	wrong(DOMAIN("<metadata><vmmd:memoryPolicy xmlns:vmmd='urn:vmmd:domain:1' "
		     "weight='10001'/></metadata>"),
		"write 1 to 10000");
#define CPUID(leaves)                                                                              \
	DOMAIN("<metadata><vmmd:cpuid xmlns:vmmd='urn:vmmd:domain:1'>" leaves                      \
	       "</vmmd:cpuid></metadata><cpu mode='custom' "                                       \
	       "check='full'><model>Conroe</model></cpu>")
#define LEAF(number) "<vmmd:leaf number='" number "' eax='1' ebx='0' ecx='0' edx='0'/>"
	wrong(CPUID("<vmmd:leaf number='1' eax='0' ebx='0' ecx='0'/>"),
		"metadata/vmmd:cpuid/vmmd:leaf: no edx; write number, eax, ebx, ecx and edx");
	wrong(CPUID(LEAF("0x100000000")), "number '0x100000000'; write a number of 32 bits");
	wrong(CPUID("<vmmd:leaf number='1' subleaf='0x80000000' eax='0' ebx='0' ecx='0' edx='0'/>"),
		"subleaf '0x80000000'; write");
	wrong(CPUID("<vmmd:leaf number='1' esi='0' eax='0' ebx='0' ecx='0' edx='0'/>"),
		"unknown attribute; write");
	wrong(CPUID("<vmmd:leaf number='1' eax='0' ebx='0' ecx='0' edx='0'><x/></vmmd:leaf>"),
		"has children; remove them");
	wrong(CPUID(""), "metadata/vmmd:cpuid");
	wrong(CPUID(LEAF("7") LEAF("7")), "vmmd:leaf[2]: leaf 0x7 is given twice");
	wrong(DOMAIN("<metadata><vmmd:cpuid xmlns:vmmd='urn:vmmd:domain:1'>" LEAF(
		      "1") "</vmmd:cpuid></metadata><cpu "
			   "mode='custom'><model>Conroe</model></cpu>"),
		"metadata/vmmd:cpuid: is of <cpu mode='custom' check='full'>");
	wrong(DOMAIN("<cputune><vcpupin vcpu='0' cpuset='1'/>\n<vcpupin vcpu='0' cpuset='2'/>"
		     "</cputune>"),
		"f:2: cputune/vcpupin[2]: vCPU 0 is pinned twice");
	wrong(DOMAIN("<cputune><vcpupin vcpu='255' cpuset='1'/></cputune>"),
		"cputune/vcpupin[1]: there is never a vCPU 255");
	wrong(DOMAIN("<cputune><vcpupin vcpu='0'/></cputune>"), "@cpuset: missing");
	wrong(DOMAIN("<iothreads>1</iothreads><cputune>\n<iothreadpin iothread='2' cpuset='1'/>"
		     "</cputune>"),
		"f:2: cputune/iothreadpin[1]: there is no iothread 2; add it to <iothreads>");
	wrong(DOMAIN("<iothreads>1</iothreads><cputune><iothreadpin iothread='1' cpuset='1'/>\n"
		     "<iothreadpin iothread='1' cpuset='2'/></cputune>"),
		"f:2: cputune/iothreadpin[2]: iothread 1 is pinned twice");
	wrong(DOMAIN("<cputune><iothread_period>1</iothread_period></cputune>"),
		"cputune/iothread_period: write 1000 to 1000000");
	wrong(DOMAIN("<iothreads>33</iothreads>"), "iothreads: 33 threads; write at most 32");
	wrong(DOMAIN("<iothreads>4294967295</iothreads>"), "write at most 32");
	wrong(DOMAIN("<iothreads>x</iothreads>"), "iothreads: 'x' is wrong");
	wrong(DOMAIN("<iothreadids><iothread/></iothreadids>"), "@id: missing");
	wrong(DOMAIN("<iothreadids><iothread id='0'/></iothreadids>"),
		"iothreadids/iothread[1]/@id: 0; write 1 to 9999");
	wrong(DOMAIN("<iothreadids><iothread id='2'/><iothread id='2'/></iothreadids>"),
		"iothreadids/iothread[2]/@id: 2 is used twice");
	wrong(DOMAIN("<cputune><emulatorpin cpuset='0-'/></cputune>"), "@cpuset: '0-' is wrong");
	wrong(DOMAIN("<vcpu>0</vcpu>"), "vcpu: 0 vCPUs");
	wrong(DOMAIN("<vcpu>256</vcpu>"), "vcpu: 256 vCPUs");
	wrong(DOMAIN("<vcpu>1000000000</vcpu>"), "vcpu: 1000000000 vCPUs");
	wrong(DOMAIN("<vcpu>4294967297</vcpu>"), "vcpu: '4294967297' is wrong");
	wrong(DOMAIN("<vcpu>-2</vcpu>"), "vcpu: '-2' is wrong");
	wrong(DOMAIN("<vcpu current='3'>2</vcpu>"), "vcpu/@current: 3 of 2");
	wrong(DOMAIN("<uuid>two\n\tlines&#13;</uuid>"), "uuid: 'two  lines");
	wrong(DOMAIN("<uuid>xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xbc"
		     "</uuid>"),
		"xxxxxxx' is wrong"); /* cut before a character, not in it */
	wrong(DOMAIN("<uuid>nonsense</uuid>"), "uuid: 'nonsense' is wrong");
	/* Words. */
	wrong(DOMAIN("<on_reboot>explode</on_reboot>"),
		"on_reboot: 'explode' is wrong; write one of");
	wrong(DOMAIN("<cpu mode='nonsense'/>"), "cpu/@mode: 'nonsense'");
	wrong(DOMAIN("<cpu mode='custom'/>"), "cpu/model: mode='custom' needs a model");
	wrong(DOMAIN("<cpu><topology sockets='2' cores='2' threads='2'/></cpu>"), "cpu/topology");
	wrong(DOMAIN("<cpu><feature policy='maybe' name='avx'/></cpu>"), "cpu/feature[1]/@policy");
	wrong(DOMAIN("<clock offset='moon'/>"), "clock/@offset: 'moon'");
	wrong(DOMAIN("<title>a\nb</title>"), "title: contains a line break");
	wrong(OWNED("-x"), "metadata/vmmd:owner/@user: is no user; write a user's name, or a uid");
	wrong(OWNED(""), "metadata/vmmd:owner/@user");
	wrong(OWNED("a b"), "metadata/vmmd:owner/@user: is no user");
	wrong(OWNED("4294967295"), "metadata/vmmd:owner/@user: is no uid");
	wrong(OWNED("007"), "metadata/vmmd:owner/@user: is no uid");
	wrong(OWNED("a23456789b123456789c123456789d123456789e123456789f123456789g1234"),
		"metadata/vmmd:owner/@user");
	wrong(DOMAIN("<metadata><v:owner xmlns:v='urn:vmmd:domain:1'/></metadata>"),
		"metadata/vmmd:owner/@user");
	wrong(DOMAIN("<sysinfo type='smbios'><system><entry name='uuid'>"
		     "11111111-1111-1111-1111-111111111111</entry></system></sysinfo>"
		     "<uuid>21111111-1111-1111-1111-111111111111</uuid>"),
		"f:1: sysinfo: the system's uuid is not the domain's");
	wrong(HEAD "<os><type>hvm</type><initrd>/i</initrd></os></domain>",
		"os/initrd: an initrd needs");
	wrong(HEAD "<os><type>hvm</type><kernel>vmlinuz</kernel></os></domain>",
		"os/kernel: not an absolute path");
	wrong(HEAD "<os><type>hvm</type><kernel>/a/../k</kernel></os></domain>", "contains '..'");
	wrong(HEAD "<os><type>hvm</type><kernel>/a/..</kernel></os></domain>", "contains '..'");
	wrong(HEAD "<os><type>hvm</type><boot dev='tape'/></os></domain>", "os/boot/@dev: no such");
}

static void test_refused(void **state)
{
	(void)state;
	refused(DEVICES("<interface type='vhostuser'/>"),
		"f:1: devices/interface[1]/@type: vhost-user is not supported; write "
		"type='network'");
	refused(DEVICES(NIC("<model type='e1000'/>")), "model/@type: there is no such card");
	refused(DEVICES(NIC("<filterref filter='own'/>")), "filterref/@filter: there is no such");
	refused(DEVICES(NIC("<script path='/x'/>")), "script: scripts are not run; remove it");
	refused(DEVICES(NIC("<virtualport type='openvswitch'/>")), "virtualport: ports of Open");
	refused(DEVICES(NIC("<driver iommu='on'/>")), "driver/@iommu: ");
	refused(DEVICES(DISK("<driver type='qcow2'/><target dev='vda'/>")),
		"driver/@type: only raw images are served; convert it with qemu-img convert -O "
		"raw");
	refused(DEVICES(DISK("<target dev='hda' bus='ide'/>")),
		"no IDE controller; write dev='vda'");
	refused(DEVICES(DISK("<target dev='hda'/>")), "target: there is no controller");
	refused(DEVICES(DISK("<target dev='sda' bus='sata'/>")),
		"target/@bus: there is no controller");
	refused(DEVICES("<disk type='network'><source protocol='rbd'/></disk>"), "network disks");
	refused(DEVICES(DISK("<target dev='vda'/><transient/>")),
		"transient: changes would be kept");
	refused("<domain type='lxc'/>", "domain/@type: vmmd runs KVM guests only");
	refused(HEAD "<os firmware='efi'><type>hvm</type></os></domain>", "os/@firmware: ");
	refused(HEAD "<os><type arch='aarch64'>hvm</type></os></domain>", "os/type/@arch: ");
	refused(HEAD "<os><type>exe</type></os></domain>", "os/type: vmmd runs fully");
	refused(HEAD "<os><type machine='isapc'>hvm</type></os></domain>", "os/type/@machine: ");
	refused(HEAD OS
		"<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/></domain>",
		"qemu:commandline: there is no QEMU");
	expect_error(DOMAIN("<frobnicate/>"), strlen(DOMAIN("<frobnicate/>")), XML_STRICT,
		-EOPNOTSUPP, "f:1: frobnicate: unknown element");
	domain_config_free(parse_ok(DOMAIN("<frobnicate/>")));
	domain_config_free(parse_ok(DOMAIN("<metadata><a xmlns='urn:a'/></metadata>")));
}

static void test_live(void **state)
{
	struct domain_live live = {.id = 12,
		.serial_paths = {"/dev/pts/3"},
		.channel_paths = {"/run/x.sock", "/run/y.sock", "/dev/pts/4"}};
	struct domain_config *config = parse_ok(DEVICES(
		VDA NIC("") "<interface type='bridge'><source bridge='br0'/>"
			    "<target dev='mine'/></interface><console type='pty'/>"
			    "<channel type='unix'><target type='virtio' name='a'/><alias "
			    "name='ua-ga'/></channel>"
			    "<channel type='unix'><source mode='bind' path='/own.sock'/>"
			    "<target type='virtio' name='b'/></channel>"
			    "<channel type='pty'><target type='virtio' name='c'/></channel>"));
	char *xml, *again;

	(void)state;
	live.nics[0].target = "vnet3";
	live.nics[0].bridge = "virbr0";
	live.nics[1].target = "vnet4";
	live.nics[1].bridge = "virbr0";
	assert_int_equal(domain_xml_format(config, &live, &xml), 0);
	assert_non_null(strstr(xml, "<domain type='kvm' id='12'>\n"));
	assert_non_null(strstr(xml,
		"<source network='n' bridge='virbr0'/>\n"
		"      <target dev='vnet3'/>\n"));
	assert_non_null(strstr(xml,
		"<source bridge='br0'/>\n"
		"      <target dev='mine'/>\n"));
	assert_non_null(strstr(xml,
		"<console type='pty' tty='/dev/pts/3'>\n"
		"      <source path='/dev/pts/3'/>\n"
		"      <target type='serial' port='0'/>\n"
		"      <alias name='serial0'/>\n"));
	assert_non_null(strstr(xml, "<alias name='virtio-disk0'/>"));
	assert_non_null(strstr(xml, "<alias name='ua-ga'/>"));
	assert_null(strstr(xml, "<alias name='channel0'/>"));
	assert_non_null(strstr(xml,
		"<channel type='unix'>\n"
		"      <source mode='bind' path='/run/x.sock'/>\n"
		"      <target type='virtio' name='a'/>\n"));
	assert_non_null(strstr(xml, "<source mode='bind' path='/own.sock'/>"));
	assert_null(strstr(xml, "/run/y.sock"));
	assert_non_null(strstr(xml,
		"<channel type='pty'>\n"
		"      <source path='/dev/pts/4'/>\n"));
	free(xml);
	live.id = -1;
	assert_int_equal(domain_xml_format(config, &live, &xml), 0);
	assert_null(strstr(xml, " id="));
	free(xml);

	assert_int_equal(domain_xml_format(config, NULL, &xml), 0);
	assert_null(strstr(xml, "tty"));
	assert_null(strstr(xml, "/dev/pts"));
	assert_null(strstr(xml, "/run/"));
	assert_null(strstr(xml, "serial0"));
	assert_null(strstr(xml, "vnet"));
	assert_null(strstr(xml, "virbr0"));
	assert_int_equal(config->serials[0].path[0], 0); /* the live form left no trace */
	assert_int_equal(domain_xml_format(config, NULL, &again), 0);
	assert_string_equal(xml, again);
	free(xml);
	free(again);
	domain_config_free(config);
}

static void test_used_again(void **state)
{
	static const char plain[] = DOMAIN("");
	struct domain_config *config = parse_ok(
		DOMAIN("<metadata><a:b xmlns:a='urn:a' c='1'>x</a:b></metadata><zap q='1'/>"));
	struct domain_config *fresh = parse_ok(plain);
	char *error, *xml, *again;

	(void)state;
	memcpy(fresh->vm.uuid, config->vm.uuid, sizeof(fresh->vm.uuid));
	assert_int_equal(
		domain_xml_parse_into("<domain", 7, "f", 0, NULL, config, NULL, &error), -EBADMSG);
	free(error);
	assert_int_equal(
		domain_xml_parse_into(plain, strlen(plain), "f", 0, NULL, config, NULL, &error), 0);
	memcpy(config->vm.uuid, fresh->vm.uuid, sizeof(fresh->vm.uuid));
	assert_int_equal(domain_xml_format(fresh, NULL, &xml), 0);
	assert_int_equal(domain_xml_format(config, NULL, &again), 0);
	assert_string_equal(xml, again);
	domain_config_free(config);
	domain_config_free(fresh);
	free(xml);
	free(again);
	assert_null(domain_config_free(NULL));
	assert_null(contract_report_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_iothreads),
		cmocka_unit_test(test_placement_auto),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
