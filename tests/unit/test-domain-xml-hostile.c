/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domain_xml_parse() and hostile documents by name, floods, and mutations of good ones: nothing of it may be taken, or printed. */
#include "domain-xml-fixture.h"

#include <time.h>
#include <unistd.h>

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
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_declarations),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
