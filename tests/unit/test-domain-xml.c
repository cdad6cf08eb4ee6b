/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domain_xml_parse() and domain_xml_format(): fields, defaults, pairs, places, errors, hostile documents by
 * name, and mutations of good ones. (The goldens of whole files are checked by check-xml.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/domain-xml.h"
#include "config/xml-read.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"
#include "xml-fixture.h"

#define HEAD       "<domain type='kvm'><name>n</name><memory>65536</memory>"
#define OS         "<os><type>hvm</type><kernel>/k</kernel></os>"
#define DOMAIN(x)  HEAD OS x "</domain>"
#define DEVICES(x) DOMAIN("<devices>" x "</devices>")
#define DISK(x)    "<disk type='file'><source file='/a'/>" x "</disk>"
#define VDA        DISK("<target dev='vda'/>")
#define NIC(x)     "<interface type='network'><source network='n'/>" x "</interface>"

static struct domain_config *parse_ok(const char *xml)
{
	struct domain_config *config = NULL;
	char *error = NULL;
	int r = domain_xml_parse(xml, strlen(xml), "f", 0, &config, NULL, &error);

	if (r < 0)
		fail_msg("%s: %d %s", xml, r, error ? error : "");
	assert_null(error);
	assert_int_equal(vm_config_validate(&config->vm, NULL, 0), 0);
	return config;
}

static void expect_error(
	const char *xml, size_t len, unsigned flags, int expected, const char *part)
{
	struct domain_config *config = NULL;
	struct contract_report *report = NULL;
	char *error = NULL;
	int r = domain_xml_parse(xml, len, "f", flags, &config, &report, &error);

	assert_null(config);
	xml_expect_error(xml, r, report, error, expected, part);
}

static void wrong(const char *xml, const char *part)
{
	expect_error(xml, strlen(xml), 0, -EINVAL, part);
}

static void refused(const char *xml, const char *part)
{
	expect_error(xml, strlen(xml), 0, -EOPNOTSUPP, part);
}

static void malformed(const char *xml, const char *part)
{
	expect_error(xml, strlen(xml), 0, -EBADMSG, part);
}

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

static void test_consoles(void **state)
{
	struct domain_config *config = parse_ok(DEVICES("<console type='pty'/>"));

	(void)state;
	assert_int_equal(config->vm.n_serials, 1); /* the console's other name */
	assert_int_equal(config->vm.serials[0].type, VM_CHARDEV_PTY);
	assert_int_equal(config->vm.consoles[0].target, VM_CONSOLE_TARGET_SERIAL);
	domain_config_free(config);

	config = parse_ok(
		DEVICES("<serial type='file'><source path='/x'/><target port='1'/></serial>"
			"<serial/>"));
	assert_int_equal(config->vm.n_consoles, 1);
	assert_int_equal(config->vm.consoles[0].type, VM_CHARDEV_FILE);
	assert_string_equal(config->consoles[0].path, "/x");
	assert_int_equal(config->vm.serials[0].port, 1);
	assert_int_equal(config->vm.serials[1].port, 0); /* the first that is free */
	domain_config_free(config);

	config = parse_ok(DEVICES("<serial type='null'/><console type='pty'/>"
				  "<console><target type='virtio'/></console>"));
	assert_int_equal(config->vm.consoles[0].type, VM_CHARDEV_NULL); /* the port counts */
	assert_int_equal(config->vm.consoles[1].target, VM_CONSOLE_TARGET_VIRTIO);
	assert_int_equal(config->vm.consoles[1].port, 1);
	assert_int_equal(config->vm.serial_controller_pci.set, 1);
	domain_config_free(config);

	config = parse_ok(DEVICES("<serial type='pty'><source path='/dev/pts/9'/></serial>"));
	assert_string_equal(config->serials[0].path, ""); /* the host chooses */
	domain_config_free(config);
}

static void test_disks(void **state)
{
	struct domain_config *config =
		parse_ok(DEVICES("<disk type='block' device='cdrom'><source "
				 "dev='/dev/sr0'/><target dev='sda' bus='sata'/>"
				 "<address type='pci' domain='0' bus='0x05' slot='1'/></disk>"
				 "<disk><source file='/b'/><target dev='vdb'/>"
				 "<address type='pci' bus='0' slot='0x01' function='0'/></disk>"
				 "<disk><source file='/c'/><target dev='vdc'/></disk><rng><backend "
				 "model='random'/></rng>"));
	const struct vm_config *vm = &config->vm;

	(void)state;
	assert_int_equal(vm->n_disks, 3);
	assert_int_equal(config->disks[0].type, DOMAIN_DISK_BLOCK);
	assert_string_equal(config->disks[0].path, "/dev/sr0");
	assert_int_equal(vm->disks[0].bus, VM_DISK_BUS_VIRTIO);
	assert_int_equal(vm->disks[0].readonly, 1);
	assert_int_equal(vm->disks[1].pci.slot, 1); /* as asked */
	assert_int_equal(vm->disks[0].pci.slot, 2); /* not on bus 0: the first that is free */
	assert_int_equal(vm->disks[2].pci.slot, 3);
	assert_int_equal(vm->rng.pci.slot, 4);
	domain_config_free(config);
}

static struct domain_config *parse_stored(const char *xml)
{
	struct domain_config *config = NULL;
	char *error = NULL;

	if (domain_xml_parse(xml, strlen(xml), "f", XML_STORED, &config, NULL, &error) < 0)
		fail_msg("%s", error);
	return config;
}

static const struct vm_config *is_known(void *opaque, const uint8_t uuid[16])
{
	(void)uuid;
	return opaque;
}

static void find_nothing(void *opaque, const char *name, uint8_t uuid[16])
{
	(void)opaque;
	(void)name;
	(void)uuid;
}

static uint8_t parse_known(const char *xml, struct vm_config *known)
{
	const struct xml_identify identify = {find_nothing, is_known, known};
	struct domain_config *config = NULL;
	char *error = NULL;
	uint8_t model;

	assert_int_equal(
		domain_xml_parse_as(xml, strlen(xml), "f", 0, &identify, &config, NULL, &error), 0);
	model = config->vm.balloon.model;
	domain_config_free(config);
	return model;
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

/* A new domain has a balloon unless it says otherwise, one that is defined already has what it had. */
static void test_balloon(void **state)
{
	static const char nothing
		[] = DEVICES(VDA),
	 taken[] = DEVICES(DISK(
		 "<target dev='vda'/><address type='pci' slot='3'/>") "<memballoon model='virtio'>"
								      "<address type='pci' "
								      "slot='3'/></memballoon>");
	struct domain_config *config = parse_ok(nothing);
	char many[8192] = HEAD OS "<devices>";
	size_t len = strlen(many);
	char *xml;

	(void)state;
	assert_int_equal(config->vm.balloon.model, VM_BALLOON_VIRTIO);
	assert_int_equal(config->vm.balloon.reporting, VM_TRISTATE_DEFAULT);
	assert_int_equal(config->vm.balloon.pci.slot, 2); /* behind all others */
	domain_config_free(config);

	config = parse_stored(nothing);
	assert_int_equal(config->vm.balloon.model, VM_BALLOON_NONE);
	/* From now on it says so. */
	assert_int_equal(domain_xml_format(config, NULL, &xml), 0);
	assert_non_null(strstr(xml, "    <memballoon model='none'/>\n"));
	domain_config_free(config);
	config = parse_ok(xml);
	assert_int_equal(config->vm.balloon.model, VM_BALLOON_NONE);
	free(xml);
	domain_config_free(config);

	wrong(taken, "devices/memballoon/address/@slot: 0x03 is used twice");
	config = parse_stored(taken);
	assert_int_equal(config->vm.balloon.pci.slot, 1);
	assert_int_equal(config->vm.disks[0].pci.slot, 3);
	domain_config_free(config);

	/* What is applied again and says nothing leaves the machine as it is. */
	config = parse_ok(DEVICES("<memballoon model='none'/>" VDA));
	assert_int_equal(parse_known(nothing, &config->vm), VM_BALLOON_NONE);
	config->vm.balloon.model = VM_BALLOON_VIRTIO;
	assert_int_equal(parse_known(nothing, &config->vm), VM_BALLOON_VIRTIO);
	domain_config_free(config);

	/* No place left: nothing was asked for, nothing is refused. */
	for (int i = 0; i < VM_MAX_PCI_DEVICES; i++)
		len += (size_t)snprintf(many + len, sizeof(many) - len,
			"<disk><source file='/%d'/><target dev='vd%c%c'/></disk>", i, 'a' + i / 26,
			'a' + i % 26);
	(void)snprintf(many + len, sizeof(many) - len, "</devices></domain>");
	config = parse_ok(many);
	assert_int_equal(config->vm.balloon.model, VM_BALLOON_NONE);
	domain_config_free(config);

	config = parse_ok(DEVICES("<memballoon model='virtio' autodeflate='on' "
				  "freePageReporting='off'><stats period='10'/></memballoon>"));
	assert_int_equal(config->vm.balloon.autodeflate, VM_TRISTATE_YES);
	assert_int_equal(config->vm.balloon.reporting, VM_TRISTATE_NO);
	assert_int_equal(config->vm.balloon.stats_period_s, 10);
	domain_config_free(config);
	config = parse_ok(DEVICES("<memballoon model='none' autodeflate='on'><address type='pci' "
				  "slot='1'/></memballoon>" VDA));
	assert_int_equal(config->vm.balloon.autodeflate, VM_TRISTATE_DEFAULT);
	assert_int_equal(config->vm.disks[0].pci.slot, 1);
	domain_config_free(config);
	wrong(DEVICES("<memballoon/>"), "devices/memballoon/@model: missing");
	wrong(DEVICES("<memballoon model='virtio' autodeflate='yes'/>"), "@autodeflate: 'yes'");
	wrong(DEVICES("<memballoon model='virtio'><stats period='99999'/></memballoon>"),
		"devices/memballoon/stats/@period: 99999 seconds");
	refused(DEVICES("<memballoon model='xen'/>"), "write model='virtio'");
}

/* A drive without a medium is kept, but is no disk; one of a refused type is refused. */
static void test_empty_drive(void **state)
{
	struct domain_config *config = parse_ok(DEVICES(
		"<disk type='file' device='cdrom'><target dev='sda' bus='ide'/></disk>"
		"<disk device='cdrom'><source file=''/><target dev='sdb' bus='sata'/></disk>" VDA));
	char *xml;

	(void)state;
	assert_int_equal(config->vm.n_disks, 1);
	assert_string_equal(config->vm.disks[0].target, "vda");
	assert_int_equal(domain_xml_format(config, NULL, &xml), 0);
	assert_non_null(strstr(xml, "<target dev='sda' bus='ide'/>"));
	assert_non_null(strstr(xml, "<target dev='sdb' bus='sata'/>"));
	free(xml);
	domain_config_free(config);
	wrong(DEVICES("<disk device='cdrom'><target dev='sda'/></disk>\n" VDA "\n" VDA),
		"f:3: devices/disk[3]/target/@dev: 'vda' is used twice");
	refused(DEVICES("<disk type='network' device='cdrom'><target dev='sda'/></disk>"),
		"network disks");
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

static void test_interfaces(void **state)
{
	static const char xml[] = DOMAIN(
		"<uuid>11111111-1111-1111-1111-111111111111</uuid><devices><interface "
		"type='user'/>" NIC(
			"<filterref filter='vmmd-strict'><parameter name='IP' "
			"value='10.0.0.1'/></filterref><vlan><tag id='5'/><tag id='6'/></vlan>")
			NIC("<filterref filter='clean-traffic'/><link state='down'/><port "
			    "isolated='yes'/><driver rx_queue_size='1024' poll_us='50'><host "
			    "tso4='off'/>"
			    "</driver><target dev='vnet7'/>")
				NIC("<mac address='52:54:00:00:00:0A'/><vlan><tag id='9'/></vlan>"
				    "<target dev='mine'/>") "</devices>");
	struct domain_config *config = parse_ok(xml), *again = parse_ok(xml);
	const struct vm_nic *nics = config->vm.nics;

	(void)state;
	assert_int_equal(config->vm.n_nics, 4);
	assert_string_equal(config->nics[0].network, "default");
	assert_memory_equal(nics[0].port.mac, "\x52\x54\x00", 3);
	assert_memory_not_equal(nics[0].port.mac, nics[1].port.mac, 6);
	assert_memory_equal(nics[0].port.mac, again->vm.nics[0].port.mac, 6);
	assert_memory_equal(nics[3].port.mac, "\x52\x54\x00\x00\x00\x0a", 6);
	assert_int_equal(nics[0].port.flags, 0);
	assert_int_equal(nics[1].port.flags,
		NET_PORT_GUARD_ARP | NET_PORT_GUARD_IP | NET_PORT_GUARD_DHCP | NET_PORT_GUARD_RA);
	assert_int_equal(nics[1].port.n_ips, 1);
	assert_int_equal(nics[1].port.ips[0].prefix, 32);
	assert_int_equal(nics[1].port.vlan.mode, NET_VLAN_TRUNK);
	assert_int_equal(nics[2].port.flags,
		NET_PORT_GUARD_ARP | NET_PORT_GUARD_IP | NET_PORT_LEARN_IPS | NET_PORT_LINK_DOWN |
			NET_PORT_ISOLATED);
	assert_int_equal(nics[2].rx_queue_size, 256);
	assert_int_equal(nics[2].poll_us, 50);
	assert_int_equal(nics[1].poll_us, 0);
	assert_int_equal(nics[2].offloads_off, VM_NIC_NO_HOST_TSO4);
	assert_string_equal(config->nics[2].target, "");
	assert_string_equal(config->nics[3].target, "mine");
	assert_int_equal(nics[3].port.vlan.mode, NET_VLAN_ACCESS);
	assert_int_equal(nics[3].port.vlan.tags[0], 9);
	assert_int_equal(nics[0].pci.slot, 1);
	domain_config_free(config);
	domain_config_free(again);
}

static void test_wrong_interfaces(void **state)
{
	(void)state;
	wrong(DEVICES("<interface/>"), "devices/interface[1]/@type: missing; add type='network'");
	wrong(DEVICES("<interface type='odd'/>"),
		"interface[1]/@type: 'odd' is wrong; write one of");
	wrong(DEVICES("<interface type='network'/>"),
		"devices/interface[1]/source/@network: missing; add <source network='default'/>");
	wrong(DEVICES("<interface type='bridge'/>"), "source/@bridge: missing");
	wrong(DEVICES("<interface type='ethernet'><target managed='no'/></interface>"),
		"target/@dev: missing; add <target dev='tap0' managed='no'/>");
	wrong(DEVICES("<interface type='direct'><source mode='bridge'/></interface>"),
		"source/@dev: missing; add <source dev='eth0' mode='bridge'/>");
	wrong(DEVICES("<interface type='direct'><source dev='eth0' mode='odd'/></interface>"),
		"source/@mode: 'odd' is wrong");
	wrong(DEVICES("<interface type='direct'><source dev='eth0'/><vlan><tag id='4'/></vlan>"
		      "</interface>"),
		"devices/interface[1]/vlan: such an interface has no VLANs");
	wrong(DEVICES("<interface type='ethernet'><vlan><tag id='4'/></vlan></interface>"),
		"devices/interface[1]/vlan: such an interface has no VLANs");
	wrong(DEVICES("<interface type='ethernet'><port isolated='yes'/></interface>"),
		"port/@isolated: isolation is between ports of one bridge or network");
	wrong(DEVICES("<interface type='bridge'><source bridge='a/b'/></interface>"),
		"source/@bridge: no name of a network interface");
	wrong(DEVICES(NIC("<mac address='01:00:00:00:00:01'/>")), "mac/@address: '01:00");
	wrong(DEVICES(NIC("<mac/>")), "mac/@address: missing");
	wrong(DEVICES(NIC("<mac address='52:54:00:00:00:01'/>")
			      NIC("<mac address='52:54:00:00:00:01'/>")),
		"devices/interface[2]/mac/@address: 52:54:00:00:00:01 is used twice");
	wrong(DEVICES(NIC("<mtu size='20'/>")), "devices/interface[1]/mtu/@size: 20; write 68");
	wrong(DEVICES(NIC("<mtu size='70000'/>")), "mtu/@size: '70000'");
	wrong(DEVICES(NIC("<driver queues='9'/>")), "driver/@queues: 9");
	wrong(DEVICES(NIC("<driver rx_queue_size='1000'/>")), "driver/@rx_queue_size: 1000");
	wrong(DEVICES(NIC("<driver poll_us='1001'/>")),
		"driver/@poll_us: 1001 microseconds; write at most 1000");
	wrong(DEVICES(NIC("<vlan/>")), "vlan/tag: missing; add <tag id='…'/>");
	wrong(DEVICES(NIC("<vlan><tag id='4095'/></vlan>")), "vlan/tag[1]/@id: 4095; write 1");
	wrong(DEVICES(NIC("<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>")),
		"vlan: 2 tags; write one, or trunk='yes'");
	wrong(DEVICES(NIC("<vlan><tag id='1' nativeMode='odd'/></vlan>")), "@nativeMode: 'odd'");
	wrong(DEVICES(NIC("<vlan><tag id='1' nativeMode='tagged'/><tag id='2' "
			  "nativeMode='tagged'/></vlan>")),
		"tag[2]/@nativeMode: given twice");
	wrong(DEVICES(NIC("<bandwidth><inbound peak='1'/></bandwidth>")),
		"bandwidth/inbound/@average: missing");
	wrong(DEVICES(NIC("<filterref filter='no-ip-spoofing'><parameter "
			  "name='CTRL_IP_LEARNING' value='none'/></filterref>")),
		"filterref/parameter: no address is given");
	wrong(DEVICES(NIC("<filterref filter='no-ip-spoofing'><parameter name='IP' value='x'/>"
			  "</filterref>")),
		"parameter[1]/@value: 'x' is wrong; write an IPv4");
	wrong(DEVICES("<interface type='network' trustGuestRxFilters='yes'><source network='n'/>"
		      "<filterref filter='clean-traffic'/></interface>"),
		"filterref/@filter: does not go together");
	wrong(HEAD "<os><type>hvm</type><boot dev='hd'/></os><devices>" NIC(
		      "<boot order='1'/>") "</devices></domain>",
		"f:1: os/boot: given together with an interface");
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

static void test_wrong_devices(void **state)
{
	(void)state;
	wrong(DEVICES("<disk><target dev='vda'/></disk>"), "devices/disk[1]/source: missing");
	wrong(DEVICES("<disk><source file='/a'/></disk>"), "devices/disk[1]/target: missing");
	wrong(DEVICES(DISK("<target bus='virtio'/>")), "target/@dev: missing; add dev='vda'");
	wrong(DEVICES(DISK("<target dev='../vda'/>")), "target/@dev: '../vda' is no disk name");
	wrong(DEVICES(DISK("<target dev='vdaaaaaaaaaaaaaaa'/>")), "target/@dev: too long");
	wrong(DEVICES(VDA VDA), "devices/disk[2]/target/@dev: 'vda' is used twice");
	wrong(DEVICES("<disk><source file='a.img'/><target dev='vda'/></disk>"),
		"devices/disk[1]/source/@file: not an absolute path");
	wrong(DEVICES("<disk type='frob'><target dev='vda'/></disk>"),
		"devices/disk[1]/@type: 'frob' is wrong; write one of file, block");
	wrong(DEVICES(DISK("<target dev='vda' bus='nvram'/>")), "target/@bus: 'nvram'");
	wrong(DEVICES(DISK("<driver cache='warm'/><target dev='vda'/>")), "driver/@cache: 'warm'");
	wrong(DEVICES(DISK("<driver queues='17'/><target dev='vda'/>")), "driver/@queues: 17");
	wrong(DEVICES(DISK("<target dev='vda'/><serial>012345678901234567890</serial>")),
		"serial: too long; write at most 20 bytes");
	wrong(DEVICES(DISK("<target dev='vda'/><wwn>xyz</wwn>")), "wwn: 'xyz'");
	wrong(DEVICES(DISK("<target dev='vda'/><address type='pci' slot='0x20'/>")),
		"devices/disk[1]/address/@slot: '0x20' is wrong");
	wrong(DEVICES(DISK("<target dev='vda'/><address type='pci' bus='256' slot='1'/>")),
		"address/@bus");
	wrong(DEVICES(DISK("<target dev='vda'/><address type='pci' slot='5'/>")
			      DISK("<target dev='vdb'/><address type='pci' slot='0x5'/>")),
		"devices/disk[2]/address/@slot: 0x05 is used twice");
	wrong(HEAD "<os><type>hvm</type><boot dev='hd'/></os><devices>" DISK(
		      "<target dev='vda'/><boot order='1'/>") "</devices></domain>",
		"f:1: os/boot: given together");
	wrong(DEVICES("<serial><target port='4'/></serial>"), "serial[1]/target/@port: no port 4");
	wrong(DEVICES("<serial/><serial><target port='0'/></serial>"), "port: 0 is used twice");
	wrong(DEVICES("<serial/><serial/><serial/><serial/><serial/>"),
		"devices/serial[5]: too many; write at most 4");
	wrong(DEVICES("<serial type='file'/>"), "devices/serial[1]/source/@path: missing");
	wrong(DEVICES("<console/><console/>"), "only the first console");
	wrong(DEVICES("<channel type='unix'/>"), "devices/channel[1]/target: missing");
	wrong(DEVICES("<channel type='unix'><target type='virtio'/></channel>"), "@name: missing");
	wrong(DEVICES("<channel><target type='virtio' name='a'/></channel>"
		      "<channel><target type='virtio' name='a'/></channel>"),
		"devices/channel[2]/target/@name: 'a' is used twice");
	wrong(DEVICES("<rng><backend model='dice'/></rng>"), "devices/rng/backend/@model: 'dice'");
	wrong(DEVICES("<rng/>"), "devices/rng/backend: missing");
	wrong(DEVICES("<rng><backend model='random'>/etc/shadow</backend></rng>"), "not a source");
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

/* Hostile documents by name. */

static void test_bytes(void **state)
{
	static const char utf16[] = "\xff\xfe<\0d\0o\0m\0a\0i\0n\0/\0>\0";
	static const char nul[] = "<domain type='kvm'>\0</domain>";

	(void)state;
	malformed("", "an empty document");
	malformed("\xef\xbb\xbf", "an empty document");
	malformed("not XML", "not well-formed");
	malformed("<domain", "not well-formed");
	malformed("<domain>", "not well-formed");
	malformed("<domain></damain>", "not well-formed");
	malformed("<domain/><domain/>", "not well-formed");
	malformed("<domain a='1' a='2'/>", "not well-formed");
	malformed("<domain>&#0;</domain>", "not well-formed");
	malformed("<domain>&undefined;</domain>", "not well-formed");
	malformed("<domain><n:a/></domain>", "not well-formed"); /* no such prefix */
	malformed("<domain>\n\xc3\x28</domain>", "f:2: a control character, or a byte that is not");
	malformed("<domain>\xed\xa0\x80</domain>", "not UTF-8"); /* a surrogate */
	malformed("<domain>\xc0\xaf</domain>", "not UTF-8");     /* overlong */
	malformed("<domain>\x01</domain>", "a control character");
	malformed(
		"<?xml version='1.0' encoding='UTF-16'?><domain/>", "another encoding than UTF-8");
	malformed("<?xml version='1.0' encoding=\"utf-7\"?><domain/>", "another encoding");
	malformed("<?xml version='1.0' encoding='UTF-8-evil'?><domain/>", "another encoding");
	malformed("<?xml version='1.0' encoding='ISO-8859-1'?><domain/>", "another encoding");
	malformed("<?xml version='1.0' encoding='IBM037'?><domain/>", "another encoding");
	malformed("\x4c\x6f\xa7\x94\x93", "f:1: "); /* EBCDIC */
	expect_error(utf16, sizeof(utf16) - 1, 0, -EBADMSG, "a zero byte");
	expect_error(nul, sizeof(nul) - 1, 0, -EBADMSG, "a zero byte");
	domain_config_free(parse_ok("\xef\xbb\xbf" DOMAIN("")));
	domain_config_free(parse_ok("<?xml version='1.0' encoding='utf-8'?>\r\n" DOMAIN("\r\n")));
	domain_config_free(parse_ok("<?xml version=\"1.0\" encoding=\"US-ASCII\"?>" DOMAIN("")));
}

static void test_declarations(void **state)
{
	(void)state;
	malformed("<!DOCTYPE domain><domain/>", "a DOCTYPE");
	malformed("<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>"
		  "<!ENTITY c '&b;&b;&b;&b;&b;&b;'>]><domain>&c;</domain>",
		"a DOCTYPE"); /* billion laughs */
	malformed("<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>", "a DOCTYPE");
	malformed("<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain>&x;</domain>",
		"a DOCTYPE");
	malformed("<!DOCTYPE d [<!ENTITY % x SYSTEM 'http://127.0.0.1/'> %x;]><domain/>",
		"a DOCTYPE");
	malformed("<?xml version='1.0'?>\n<!-- c -->\n<!DOCTYPE d><domain/>", "f:3: a DOCTYPE");
	malformed("<domain><!ENTITY a 'b'></domain>", "declaration");
	malformed("<domain><a b='<'/></domain>", "'<' within a tag");
	malformed("<domain><a <!-- --> /></domain>", "'<' within a tag");
	refused(HEAD OS
		"<x:include xmlns:x='http://www.w3.org/2001/XInclude' href='file:///etc/passwd'/>"
		"</domain>",
		"XInclude is not followed");
	/* A DOCTYPE in a comment or in CDATA is none. */
	domain_config_free(parse_ok("<!-- <!DOCTYPE x> -->" DOMAIN(
		"<description><![CDATA[<!DOCTYPE x>]]></description>")));
}

/* 'n' copies of 'part' between 'head' and 'tail', read as a document. */
static void expect_flood(const char *head, const char *part, unsigned n, const char *tail,
	int expected, const char *why)
{
	size_t part_len = strlen(part), len = strlen(head);
	char *xml = malloc(len + n * part_len + strlen(tail) + 1);
	struct timespec start, end;

	assert_non_null(xml);
	memcpy(xml, head, len);
	for (unsigned i = 0; i < n; i++, len += part_len)
		memcpy(xml + len, part, part_len);
	strcpy(xml + len, tail);
	clock_gettime(CLOCK_MONOTONIC, &start);
	expect_error(xml, strlen(xml), 0, expected, why);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 10);
	free(xml);
}

static void test_floods(void **state)
{
	char *attributes = malloc(1 << 20), *p = attributes;

	(void)state;
	expect_flood("<domain>", "<a>", 100000, "", -EBADMSG, "nested deeper than 64");
	expect_flood("<domain>", "<a>", 64, "", -EBADMSG, "nested deeper than 64");
	expect_flood("<domain type='kvm'>", "<a/>", 19000, "</domain>", -EINVAL, "name: missing");
	expect_flood("<domain>", "<a/>", 100000, "</domain>", -EBADMSG, "more than 20000");
	expect_flood(
		"<domain>", "<a b='' c='' d=''/>", 6000, "</domain>", -EBADMSG, "more than 20000");
	expect_flood("<domain>", "&#65;", 300000, "</domain>", -EBADMSG, "more than 1048576 bytes");
	expect_flood(
		"<domain a='", "0123456789", 105000, "'/>", -EBADMSG, "more than 1048576 bytes");
	expect_flood("<domain a='", "0123456789", 90000, "'/>", -EINVAL, "domain/@type: missing");
	expect_flood("<domain type='kvm'><name>", "0123456789", 90000, "</name></domain>", -EINVAL,
		"name: too long");
	expect_flood("<domain><", "abcdefghij", 100000, "/></domain>", -EBADMSG, "f:1: ");
	expect_flood("<!--", "- - - - - ", 100000, "", -EBADMSG, "not well-formed");
	expect_flood("<domain><![CDATA[", "]]", 400000, "", -EBADMSG, "not well-formed");
	expect_flood(HEAD OS "<devices>", "<disk><source file='/a'/><target dev='vda'/></disk>", 33,
		"</devices></domain>", -EINVAL, "devices/disk[33]: too many; write at most 32");
	/* Many attributes would cost the parser their square. */
	p += sprintf(p, "<domain");
	for (unsigned i = 0; i < 65; i++)
		p += sprintf(p, " a%u=''", i);
	strcpy(p, "/>");
	expect_error(attributes, strlen(attributes), 0, -EBADMSG, "more than 64 attributes");
	p = attributes + sprintf(attributes, "<domain");
	for (unsigned i = 0; i < 60000; i++)
		p += sprintf(p, " xmlns:a%u='u'", i);
	strcpy(p, "/>");
	expect_error(attributes, strlen(attributes), 0, -EBADMSG, "more than 64 attributes");
	free(attributes);
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

/* Whatever is accepted is valid, and what is printed reads as the same. */
static void check_any(const char *xml, size_t len)
{
	struct domain_config *config = NULL, *second = NULL;
	struct contract_report *report = NULL;
	char *error = NULL, *text = NULL, *again = NULL;
	int r = domain_xml_parse(xml, len, "f", 0, &config, &report, &error);

	assert_true(r == 0 || error);
	if (r == 0) {
		assert_int_equal(vm_config_validate(&config->vm, NULL, 0), 0);
		assert_int_equal(domain_xml_format(config, NULL, &text), 0);
		r = domain_xml_parse(text, strlen(text), "f", 0, &second, NULL, &error);
		if (r < 0)
			fail_msg("%d %s of\n%s", r, error, text);
		assert_int_equal(domain_xml_format(second, NULL, &again), 0);
		assert_string_equal(text, again);
	}
	domain_config_free(config);
	domain_config_free(second);
	contract_report_free(report);
	free(error);
	free(text);
	free(again);
}

static void test_mutations(void **state)
{
	static const char xml[] = DEVICES(VDA
		"<serial type='pty'><target port='0'/></serial>"
		"<channel type='unix'><target type='virtio' name='ga'/></channel>"
		"<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
		"<controller type='usb' index='0'/><memballoon model='none'/>" NIC(
			"<vlan><tag id='7'/></vlan><filterref filter='clean-traffic'><parameter "
			"name='IP' value='10.0.0.1'/></filterref>"));
	static const char *const parts[] = {"<", ">", "/", "'", "=", "&amp;", "<a>", "</a>",
		"x='1'", "<!--", "-->", "]]>", "18446744073709551616", "-1", "type=''", "<disk/>",
		"\n", NULL};

	(void)state;
	xml_mutate(xml, parts, 20000, check_any);
}

/* Nothing of all this may print anything: this runs last, with standard error in a file. */
static void test_silence(void **state)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	off_t size;

	assert_non_null(file);
	fflush(stderr);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
	test_bytes(state);
	test_declarations(state);
	fflush(stderr);
	size = lseek(fileno(file), 0, SEEK_END);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	fclose(file);
	assert_int_equal(size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_consoles),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_iothreads),
		cmocka_unit_test(test_balloon),
		cmocka_unit_test(test_empty_drive),
		cmocka_unit_test(test_placement_auto),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_wrong_interfaces),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_wrong_devices),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_declarations),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_used_again),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
