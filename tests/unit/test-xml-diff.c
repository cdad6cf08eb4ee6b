/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs between two documents: paths, keys, values, limits. */
#include "config/xml-diff.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"

#define NIC(mac, network, more)                                                                    \
	"<interface type='network'><mac address='" mac "'/><source network='" network "'/>" more   \
	"</interface>"
#define DOMAIN(memory, devices)                                                                    \
	"<domain type='kvm'><name>a</name><memory unit='KiB'>" memory "</memory><devices>" devices \
	"</devices></domain>"

/* The differences as lines. */
static const char *lines(const char *old, const char *new)
{
	static char text[64 * 1024];
	struct xml_diff *diff;
	size_t len = 0;

	*text = 0;
	assert_int_equal(xml_diff(old, new, &diff), 0);
	for (size_t i = 0; i < diff->n; i++) {
		const struct xml_difference *d = &diff->items[i];

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s: %s -> %s%s\n", d->path,
			d->old ? d->old : "(none)", d->new ? d->new : "(none)",
			d->xml ? " +xml" : "");
	}
	xml_diff_free(diff);
	return text;
}

static void test_values(void **state)
{
	(void)state;
	assert_string_equal(lines(DOMAIN("1024", ""), DOMAIN("1024", "")), "");
	assert_string_equal(lines(NULL, DOMAIN("1024", "")), "");
	assert_string_equal(
		lines(DOMAIN("1024", ""), DOMAIN("2048", "")), "memory: 1024 KiB -> 2048 KiB\n");
	assert_string_equal(
		lines("<domain type='kvm'><vcpu>1</vcpu></domain>",
			"<domain type='qemu'><vcpu current='1'>2</vcpu><acpi/></domain>"),
		"domain: type='kvm' -> type='qemu'\n"
		"vcpu: 1 -> 2 current='1'\n"
		"acpi: (none) ->  +xml\n");
	/* What a terminal would obey is not shown. */
	assert_string_equal(lines("<a><title>x</title></a>",
				    "<a><title>y&#9;z\xc2\x9b"
				    "1m</title></a>"),
		"title: x -> y z  1m\n");
}

static void test_keys(void **state)
{
	const char *two = DOMAIN(
		"1", NIC("52:54:00:00:00:01", "red", "") NIC("52:54:00:00:00:02", "red", ""));

	(void)state;
	assert_string_equal(lines(two, DOMAIN("1", NIC("52:54:00:00:00:02", "blue", ""))),
		"devices/interface[52:54:00:00:00:02]/source: network='red' -> network='blue'\n"
		"devices/interface[52:54:00:00:00:01]: type='network', mac "
		"address='52:54:00:00:00:01', source network='red' -> (none) +xml\n");
	/* The same ones in another order are not others. */
	assert_string_equal(lines(two,
				    DOMAIN("1",
					    NIC("52:54:00:00:00:02", "red", "<link state='down'/>")
						    NIC("52:54:00:00:00:01", "red", ""))),
		"devices/interface[52:54:00:00:00:02]/link: (none) -> state='down' +xml\n");
	assert_string_equal(lines(two,
				    DOMAIN("1",
					    NIC("52:54:00:00:00:02", "red", "")
						    NIC("52:54:00:00:00:01", "red", ""))),
		"(order): of elements -> another\n");
	/* Without a key: by number, where there are several. */
	assert_string_equal(lines("<a><b x='1'/><b x='2'/></a>", "<a><b x='1'/><b x='3'/></a>"),
		"b[2]: x='2' -> x='3'\n");
	assert_string_equal(lines("<n><ip address='10.0.0.1'><dhcp><host mac='52:54:00:00:00:01' "
				  "ip='10.0.0.2'/></dhcp></ip></n>",
				    "<n><ip address='10.0.0.1'><dhcp><host mac='52:54:00:00:00:01' "
				    "ip='10.0.0.3'/></dhcp></ip></n>"),
		"ip[10.0.0.1]/dhcp/host[52:54:00:00:00:01]: mac='52:54:00:00:00:01' ip='10.0.0.2' "
		"-> "
		"mac='52:54:00:00:00:01' ip='10.0.0.3'\n");
}

static void test_namespaces(void **state)
{
	(void)state;
	assert_string_equal(
		lines("<a xmlns:v='urn:v'><v:b>1</v:b></a>", "<a xmlns:v='urn:v'><v:b>2</v:b></a>"),
		"v:b: 1 -> 2\n");
	/* The same prefix for another namespace: another element. */
	assert_string_equal(
		lines("<a xmlns:v='urn:v'><v:b>1</v:b></a>", "<a xmlns:v='urn:w'><v:b>1</v:b></a>"),
		"v:b: (none) -> 1 +xml\n"
		"v:b: 1 -> (none) +xml\n");
}

/* Thousands of elements, long values: bounded, and quick enough in the worst order. */
static void test_limits(void **state)
{
	size_t size = 1000 * 1000;
	char *old = malloc(size), *new = malloc(size), *end;
	struct xml_diff *diff;

	(void)state;
	end = stpcpy(old, "<a>");
	for (int i = 0; i < 9000; i++)
		end += sprintf(end, "<interface dev='n%d'/>", i);
	(void)stpcpy(end, "</a>");
	end = stpcpy(new, "<a>");
	for (int i = 9000; i > 0; i--)
		end += sprintf(end, "<interface dev='n%d'/>", i);
	(void)stpcpy(end, "</a>");
	assert_int_equal(xml_diff(old, new, &diff), 0);
	assert_int_equal(diff->n, XML_DIFF_MAX);
	assert_string_equal(diff->items[XML_DIFF_MAX - 1].path, "...");
	xml_diff_free(diff);

	end = stpcpy(new, "<a><t>");
	memset(end, 'x', 2000);
	(void)stpcpy(end + 2000, "</t></a>");
	assert_int_equal(xml_diff("<a><t>y</t></a>", new, &diff), 0);
	assert_int_equal(diff->n, 1);
	assert_int_equal(strlen(diff->items[0].new), XML_DIFF_VALUE_MAX);
	xml_diff_free(diff);
	free(old);
	free(new);
	assert_int_equal(xml_diff("<a>", "<b/>", &diff), -EBADMSG);
}

static void test_root(void **state)
{
	char name[16], *error;

	(void)state;
	assert_int_equal(
		xml_root_name("<domain><x/></domain>", 21, "f", name, sizeof(name), &error), 0);
	assert_string_equal(name, "domain");
	assert_int_equal(
		xml_root_name("<averyveryverylongname/>", 24, "f", name, sizeof(name), &error), 0);
	assert_string_equal(name, "");
	assert_int_equal(xml_root_name("<domain>", 8, "f", name, sizeof(name), &error), -EBADMSG);
	assert_non_null(strstr(error, "f:1: "));
	free(error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
