/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The <capabilities> document: byte for byte, and against libvirt's schema where its checker is installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/capabilities-xml.h"

static const char *const features[] = {"vme", "x2apic", "a<b"};
static const uint32_t page_kib[] = {4, 2048};
static const struct capabilities_cpu cpus[] = {
	{.id = 0, .siblings = "0-1"},
	{.id = 1, .siblings = "0-1"},
};
static const struct capabilities full = {
	.host_uuid = {0xb3, 0xe2, 0xab, 0x01, 0xde, 0x21, 0x40, 0xad, 0xa5, 0x31, 0x4b, 0xff, 0xca,
		0x1d, 0x09, 0xb8},
	.cpu_model = "x86-64-v3",
	.cpu_vendor = "AMD",
	.family = 25,
	.model = 17,
	.stepping = 1,
	.microcode = 16777317,
	.tsc_hz = 2596132000,
	.sockets = 1,
	.dies = 1,
	.cores = 1,
	.threads = 2,
	.maxphysaddr_bits = 48,
	.features = features,
	.n_features = 2,
	.page_kib = page_kib,
	.n_page_sizes = 2,
	.memory_kib = 8192,
	.cpus = cpus,
	.n_cpus = 2,
	.has_kvm = true,
	.max_vcpus = 255,
	.emulator = "/usr/libexec/vmmd-worker",
};

static void test_full(void **state)
{
	char *xml;

	(void)state;
	assert_int_equal(capabilities_xml_format(&full, &xml), 0);
	assert_string_equal(xml,
		"<capabilities>\n\n"
		"  <host>\n"
		"    <uuid>b3e2ab01-de21-40ad-a531-4bffca1d09b8</uuid>\n"
		"    <cpu>\n"
		"      <arch>x86_64</arch>\n"
		"      <model>x86-64-v3</model>\n"
		"      <vendor>AMD</vendor>\n"
		"      <microcode version='16777317'/>\n"
		"      <signature family='25' model='17' stepping='1'/>\n"
		"      <counter name='tsc' frequency='2596132000' scaling='no'/>\n"
		"      <topology sockets='1' dies='1' cores='1' threads='2'/>\n"
		"      <maxphysaddr mode='emulate' bits='48'/>\n"
		"      <feature name='vme'/>\n"
		"      <feature name='x2apic'/>\n"
		"      <pages unit='KiB' size='4'/>\n"
		"      <pages unit='KiB' size='2048'/>\n"
		"    </cpu>\n"
		"    <topology>\n"
		"      <cells num='1'>\n"
		"        <cell id='0'>\n"
		"          <memory unit='KiB'>8192</memory>\n"
		"          <cpus num='2'>\n"
		"            <cpu id='0' socket_id='0' die_id='0' core_id='0' siblings='0-1'/>\n"
		"            <cpu id='1' socket_id='0' die_id='0' core_id='0' siblings='0-1'/>\n"
		"          </cpus>\n"
		"        </cell>\n"
		"      </cells>\n"
		"    </topology>\n"
		"  </host>\n\n"
		"  <guest>\n"
		"    <os_type>hvm</os_type>\n"
		"    <arch name='x86_64'>\n"
		"      <wordsize>64</wordsize>\n"
		"      <emulator>/usr/libexec/vmmd-worker</emulator>\n"
		"      <machine maxCpus='255'>q35</machine>\n"
		"      <domain type='kvm'/>\n"
		"    </arch>\n"
		"    <features>\n"
		"      <acpi default='on' toggle='yes'/>\n"
		"      <apic default='on' toggle='no'/>\n"
		"      <cpuselection/>\n"
		"    </features>\n"
		"  </guest>\n\n"
		"</capabilities>\n");
	free(xml);
}

static void test_cells(void **state)
{
	const struct capabilities_cpu two[] = {
		{.id = 0, .cell = 0, .siblings = "0"}, {.id = 1, .cell = 3, .siblings = "1"}};
	static const uint32_t sizes[] = {4, 2048};
	const struct capabilities_cell cells[] = {{0, 16, {3, 1}, {10, 21}}, {.id = 3}};
	const struct capabilities caps = {.cpus = two,
		.n_cpus = 2,
		.cells = cells,
		.n_cells = 2,
		.memory_kib = 99,
		.page_kib = sizes,
		.n_page_sizes = 2};
	char *xml;

	(void)state;
	assert_int_equal(capabilities_xml_format(&caps, &xml), 0);
	assert_non_null(strstr(xml,
		"      <cells num='2'>\n"
		"        <cell id='0'>\n"
		"          <memory unit='KiB'>16</memory>\n"
		"          <pages unit='KiB' size='4'>3</pages>\n"
		"          <pages unit='KiB' size='2048'>1</pages>\n"
		"          <distances>\n"
		"            <sibling id='0' value='10'/>\n"
		"            <sibling id='3' value='21'/>\n"
		"          </distances>\n"
		"          <cpus num='1'>\n"
		"            <cpu id='0' socket_id='0' die_id='0' core_id='0' siblings='0'/>\n"
		"          </cpus>\n"
		"        </cell>\n"
		"        <cell id='3'>\n"
		"          <cpus num='1'>\n"
		"            <cpu id='1' socket_id='0' die_id='0' core_id='0' siblings='1'/>\n"
		"          </cpus>\n"
		"        </cell>\n"
		"      </cells>\n"));
	free(xml);
}

static void test_least(void **state)
{
	const struct capabilities least = {0};
	const struct capabilities hostile = {.features = features, .n_features = 3};
	char *xml;

	(void)state;
	assert_int_equal(capabilities_xml_format(&least, &xml), 0);
	assert_string_equal(xml,
		"<capabilities>\n\n  <host>\n    <cpu>\n      <arch>x86_64</arch>\n"
		"    </cpu>\n  </host>\n\n</capabilities>\n");
	free(xml);
	assert_int_equal(capabilities_xml_format(&hostile, &xml), 0);
	assert_non_null(strstr(xml, "<feature name='a&lt;b'/>"));
	free(xml);
}

static void test_schema(void **state)
{
	char path[] = "/tmp/test-capabilities-XXXXXX", command[128];
	int fd = mkstemp(path);
	char *xml;

	(void)state;
	assert_true(fd >= 0);
	if (system("command -v virt-xml-validate >/dev/null") != 0) {
		printf("skipped: virt-xml-validate is missing (install libvirt-clients)\n");
		close(fd);
		unlink(path);
		skip();
	}
	assert_int_equal(capabilities_xml_format(&full, &xml), 0);
	assert_int_equal(write(fd, xml, strlen(xml)), (int)strlen(xml));
	close(fd);
	free(xml);
	snprintf(command, sizeof(command), "virt-xml-validate %s capability >/dev/null 2>&1", path);
	assert_int_equal(system(command), 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
