/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domain_xml_parse() and <devices>: pairs of serial port and console, places on the PCI bus, disks, interfaces, the balloon, and what
 * is wrong with each. */
#include "domain-xml-fixture.h"

#include "vmm-core/base/names.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_consoles),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_balloon),
		cmocka_unit_test(test_empty_drive),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_wrong_interfaces),
		cmocka_unit_test(test_wrong_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
