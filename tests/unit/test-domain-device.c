/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One device as XML of its own: attached to a domain, found in it, detached from it. */
#include "config/domain-device.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/base/strutil.h"

#define NIC(rest) "<interface type='network'><source network='n'/>" rest "</interface>"
#define MAC(last) "<mac address='52:54:00:00:00:" last "'/>"
#define DOMAIN(devices)                                                                            \
	"<domain type='kvm'><name>n</name><uuid>11111111-1111-1111-1111-111111111111</uuid>"       \
	"<memory>65536</memory><os><type>hvm</type><kernel>/k</kernel></os><devices>" devices      \
	"</devices></domain>"

static const struct domain_device_defaults defaults = {
	.mac = {0x52, 0x54, 0, 0, 0, 0x77}, .pci = {.set = 1, .slot = 9}};

/* The canonical form of a domain with these devices. */
static char *canonical(const char *xml)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(freep) char *error = NULL;
	char *out;

	if (domain_xml_parse(xml, strlen(xml), "d", 0, &config, NULL, &error) < 0)
		fail_msg("%s", error);
	assert_int_equal(domain_xml_format(config, NULL, &out), 0);
	return out;
}

static struct domain_config *attach(
	const char *domain, const char *xml, struct contract_report **ret_report)
{
	_cleanup_(freep) char *error = NULL;
	struct domain_config *config = NULL;

	if (domain_device_attach(domain, xml, strlen(xml), "nic.xml", &defaults, &config,
		    ret_report, &error) < 0)
		fail_msg("%s", error);
	assert_null(error);
	return config;
}

static void test_attach(void **state)
{
	_cleanup_(freep) char *domain = canonical(
		DOMAIN(NIC(MAC("01") "<foo/>") "<disk type='file'><source file='/a'/><target "
					       "dev='vda'/></disk>" NIC(MAC("02"))));
	_cleanup_(domain_config_freep) struct domain_config *config = NULL, *again = NULL;
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(freep) char *xml = NULL;

	(void)state;
	config = attach(domain, NIC("\n<bar/><driver queues='2' txmode='iothread'/>"), &report);
	assert_int_equal(config->vm.n_nics, 3);
	assert_memory_equal(config->vm.nics[2].port.mac, defaults.mac, 6);
	assert_int_equal(config->vm.nics[2].pci.slot, 9);
	assert_int_equal(config->vm.nics[2].queues, 2);
	assert_int_equal(config->nics[2].number, 2);
	assert_string_equal(config->nics[2].network, "n");
	/* The report is about the interface, and counts lines as its own document does. */
	for (size_t i = 0; i < report->n_entries; i++)
		if (strncmp(report->entries[i].path, "interface", 9) != 0)
			fail_msg("%s", report->entries[i].path);
	assert_int_equal(report->counts[CONTRACT_UNKNOWN], 1);
	assert_int_equal(report->counts[CONTRACT_IGNORED], 1);
	assert_true(contract_find(report, "interface/bar") >= 0);
	assert_int_equal(report->entries[contract_find(report, "interface/bar")].line, 2);
	/* What was kept of it, and of the others, is in its place. */
	assert_int_equal(domain_xml_format(config, NULL, &xml), 0);
	assert_true(strstr(xml, "<foo/>") < strstr(xml, "52:54:00:00:00:02"));
	assert_true(strstr(xml, "<bar/>") > strstr(xml, "52:54:00:00:00:02"));
	/* Its own words count more; a place that is taken is not given. */
	again = attach(xml, NIC(MAC("03")), NULL);
	assert_int_equal(again->vm.nics[3].port.mac[5], 3);
	assert_int_not_equal(again->vm.nics[3].pci.slot, 9);
	assert_true(again->vm.nics[3].pci.set);
}

static void expect_error(const char *domain, const char *xml, int expected, const char *text)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(freep) char *error = NULL;
	struct domain_config *config = NULL;
	int r = domain_device_attach(
		domain, xml, strlen(xml), "nic.xml", &defaults, &config, &report, &error);

	assert_null(config);
	if (r != expected || !error || strncmp(error, text, strlen(text)) != 0)
		fail_msg("%s: expected %d '%s', got %d '%s'", xml, expected, text, r,
			error ? error : "");
}

static void test_errors(void **state)
{
	_cleanup_(freep) char *domain = canonical(DOMAIN(NIC(MAC("01"))));

	(void)state;
	expect_error(domain, "", -EBADMSG, "nic.xml:1: ");
	expect_error(domain, "<interface", -EBADMSG, "nic.xml:1: ");
	expect_error(domain, "<!DOCTYPE a><interface/>", -EBADMSG, "nic.xml:1: ");
	expect_error(
		domain, "\n<disk/>", -EOPNOTSUPP, "nic.xml:2: <disk>: only an <interface> or a ");
	expect_error(
		domain, "<domain/>", -EOPNOTSUPP, "nic.xml:1: <domain>: only an <interface> or a ");
	expect_error(domain, "<interface/>", -EINVAL, "nic.xml:1: interface/@type: missing");
	expect_error(domain, "<interface type='network'/>", -EINVAL,
		"nic.xml:1: interface/source/@network: missing");
	expect_error(domain, NIC("\n\n<mac address='x'/>"), -EINVAL,
		"nic.xml:3: interface/mac/@address: ");
	expect_error(domain, NIC("\n<model type='e1000'/>"), -EOPNOTSUPP,
		"nic.xml:2: interface/model/@type: ");
	expect_error(domain, NIC(MAC("01")), -EINVAL,
		"nic.xml:1: interface/mac/@address: 52:54:00:00:00:01 is used twice");
}

static int find(const char *devices, const char *xml, unsigned *ret, char error[128])
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	char *text;
	int r;

	if (domain_xml_parse(devices, strlen(devices), "d", 0, &config, NULL, &text) < 0)
		fail_msg("%s", text);
	*error = 0;
	r = domain_device_find(&config->vm, xml, strlen(xml), "nic.xml", ret, &text);
	assert_int_equal(r < 0, text != NULL);
	if (text)
		(void)snprintf(error, 128, "%s", text);
	free(text);
	return r;
}

static void test_find(void **state)
{
	static const char two[] =
		DOMAIN(NIC(MAC("01") "<address type='pci' slot='0x05'/>") NIC(MAC("02")));
	static const char one[] = DOMAIN(NIC(MAC("01"))), none[] = DOMAIN("");
	char error[128];
	unsigned i = 9;

	(void)state;
	assert_int_equal(find(two, NIC(MAC("02")), &i, error), 0);
	assert_int_equal(i, 1);
	/* Nothing else of it matters. */
	assert_int_equal(
		find(two, "<interface type='x' y='z'><w/>" MAC("01") "</interface>", &i, error), 0);
	assert_int_equal(i, 0);
	i = 9;
	assert_int_equal(
		find(two, "<interface><address type='pci' slot='0x05'/></interface>", &i, error),
		0);
	assert_int_equal(i, 0);
	assert_int_equal(find(one, "<interface/>", &i, error), 0);
	assert_int_equal(find(two, "<interface/>", &i, error), -ENOTUNIQ);
	assert_string_equal(error, "multiple matching devices found");
	assert_int_equal(find(none, "<interface/>", &i, error), -ENODEV);
	assert_string_equal(error, "no matching device found");
	assert_int_equal(find(two, NIC(MAC("03")), &i, error), -ENODEV);
	assert_string_equal(error, "no device matching MAC address 52:54:00:00:00:03 found");
	assert_int_equal(
		find(two, NIC(MAC("02") "<address type='pci' slot='0x05'/>"), &i, error), -ENODEV);
	assert_string_equal(
		error, "no device matching MAC address 52:54:00:00:00:02 found on 0000:00:05.0");
	assert_int_equal(find(two, "<disk/>", &i, error), -EOPNOTSUPP);
	assert_int_equal(find(two, NIC("<mac/>"), &i, error), -EINVAL);
	assert_int_equal(find(two, "<interface>", &i, error), -EBADMSG);
}

static void test_detach(void **state)
{
	_cleanup_(freep) char *domain = canonical(
		DOMAIN(NIC(MAC("01") "<foo/>") NIC(MAC("02") "<bar/>") NIC(MAC("03") "<baz/>")));
	_cleanup_(domain_config_freep) struct domain_config *config = NULL, *none = NULL;
	_cleanup_(freep) char *xml = NULL;

	(void)state;
	assert_int_equal(domain_device_detach(domain, DOMAIN_DEVICE_INTERFACE, 1, &config), 0);
	assert_int_equal(config->vm.n_nics, 2);
	assert_int_equal(config->vm.nics[0].port.mac[5], 1);
	assert_int_equal(config->vm.nics[1].port.mac[5], 3);
	assert_int_equal(domain_xml_format(config, NULL, &xml), 0);
	assert_null(strstr(xml, "<bar/>"));
	assert_true(strstr(xml, "<foo/>") < strstr(xml, "00:03") &&
		strstr(xml, "00:03") < strstr(xml, "<baz/>"));
	assert_int_equal(domain_device_detach(domain, DOMAIN_DEVICE_INTERFACE, 3, &none), -ENODEV);
	assert_int_equal(
		domain_device_detach("<domain/>", DOMAIN_DEVICE_INTERFACE, 0, &none), -ENODEV);
	assert_null(none);
}

#define WITH_ROOM(devices)                                                                         \
	"<domain type='kvm'><name>d</name><uuid>5a8c1f5e-9d0c-4f3e-8f5b-2f4a5d6c7b80</uuid>"       \
	"<maxMemory slots='2' unit='GiB'>4</maxMemory><memory unit='GiB'>1</memory><os><type>hvm"  \
	"</type></os><devices>" devices "</devices></domain>"
#define MEMORY(target) "<memory model='virtio-mem'><target>" target "</target></memory>"

/* Memory comes on top of what <memory> says, and goes from it. */
static void test_memory(void **state)
{
	_cleanup_(freep) char *domain = canonical(WITH_ROOM("")), *with = NULL, *without = NULL;
	_cleanup_(domain_config_freep) struct domain_config *config = NULL, *again = NULL;
	const char *xml = MEMORY("<size unit='GiB'>1</size><requested unit='MiB'>64</requested>");
	const char *other = MEMORY("<size unit='GiB'>1</size><block unit='MiB'>4</block>");
	struct vm_memory memory;
	unsigned i = 9;
	char *error;

	(void)state;
	config = attach(domain, xml, NULL);
	assert_int_equal(config->vm.n_memories, 1);
	assert_int_equal(config->vm.memory_kib, 1048576);
	assert_int_equal(config->vm.memories[0].size_kib, 1048576);
	assert_true(config->vm.memories[0].pci.set);
	assert_int_equal(domain_xml_format(config, NULL, &with), 0);
	assert_non_null(strstr(with, "<memory unit='KiB'>2097152</memory>"));
	assert_int_equal(
		domain_device_find_memory(&config->vm, xml, strlen(xml), "m", &i, &memory, &error),
		0);
	assert_int_equal(i, 0);
	assert_int_equal(memory.requested_kib, 65536);
	assert_int_equal(domain_device_find_memory(
				 &config->vm, other, strlen(other), "m", &i, &memory, &error),
		-ENODEV);
	free(error);
	assert_int_equal(domain_device_detach(with, DOMAIN_DEVICE_MEMORY, 1, &again), -ENODEV);
	assert_int_equal(domain_device_detach(with, DOMAIN_DEVICE_MEMORY, 0, &again), 0);
	assert_int_equal(domain_xml_format(again, NULL, &without), 0);
	assert_string_equal(without, domain);
	/* One more of the same is two of the same; a third has no slot, and too much has no room. */
	(void)domain_config_free(again);
	again = attach(with, xml, NULL);
	assert_int_equal(
		domain_device_find_memory(&again->vm, xml, strlen(xml), "m", &i, &memory, &error),
		-ENOTUNIQ);
	free(error);
	free(with);
	assert_int_equal(domain_xml_format(again, NULL, &with), 0);
	expect_error(with, xml, -EINVAL, "nic.xml:");
	expect_error(domain, MEMORY("<size unit='GiB'>4</size>"), -EINVAL, "nic.xml:");
	expect_error(domain, MEMORY("<size unit='MiB'>3</size>"), -EINVAL,
		"nic.xml:1: memory/target/size: 3072 KiB");
	expect_error(
		domain, MEMORY("<size unit='TiB'>100000</size>"), -EINVAL, "nic.xml:1: memory");
	expect_error(domain, "<memory model='dimm'><target><size>4</size></target></memory>",
		-EOPNOTSUPP, "nic.xml:1: memory/@model");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_detach),
	};

	return cmocka_run_group_tests_name("domain-device", tests, NULL, NULL);
}
