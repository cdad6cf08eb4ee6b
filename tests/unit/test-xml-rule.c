/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mapper on a small table of its own: every kind of row in and out, sizes, what is kept, and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/xml-read.h"
#include "config/xml-rule.h"
#include "config/xml-value.h"

struct item {
	char name[8];
	uint16_t size;
};
struct thing {
	char text[16];
	uint8_t flag, word, mode;
	uint16_t small;
	uint32_t n_items;
	uint64_t memory;
	int64_t offset;
	uint8_t uuid[16], mac[6];
	uint32_t bits, delay;
	struct net_ip ip;
	struct item items[3];
};
struct host {
	char path[16];
	struct {
		char note[8];
	} items[3];
};

#define THING(member) XML_FIELD(0, struct thing, member)

static const char *check_lower(const char *text)
{
	return strpbrk(text, "ABC") ? "has a capital; write small letters" : NULL;
}
static const struct xml_word words[] = {
	{.word = "one", .value = 1},
	{"uno", 1, CONTRACT_ADAPTED, "as one"},
	{"tw*", 2, CONTRACT_IGNORED, "two is nothing"},
	{"bad", 0, CONTRACT_REFUSED, "bad is refused; write one"},
	{0},
};
static const struct xml_word const_words[] = {{.word = "yes"}, {0}};
static const struct xml_rule item_rows[] = {
	{.name = "@name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct item, name)},
	{.name = "@size", .kind = XML_UINT, XML_FIELD(0, struct item, size)},
	{.name = "note", .kind = XML_STRING, .base = 1, .offset = 0, .size = 8},
	{0},
};
static const struct xml_array items = {
	.count_offset = offsetof(struct thing, n_items),
	.offset = {offsetof(struct thing, items), offsetof(struct host, items)},
	.stride = {sizeof(struct item), 8},
	.max = 3,
};
static const struct xml_rule unit_rows[] = {{.name = "@unit", .kind = XML_UNIT}, {0}};
static const struct xml_rule group_rows[] = {
	{.name = "@const", .kind = XML_CONST, .fixed = "yes", .words = const_words},
	{.name = "@mode", .kind = XML_ENUM, .names = VM_ENUM_TRISTATE, THING(mode)},
	{.name = "@old", .kind = XML_KEEP, .why = "old"},
	{.name = "inner", .kind = XML_STRING, .when = "kind=a", XML_FIELD(1, struct host, path)},
	{.name = "inner", .kind = XML_KEEP, .flags = XML_MANY, .why = "only kind a"},
	{0},
};
static const struct xml_rule opaque_rows[] = {
	{.name = "t:mine", .kind = XML_FLAG, THING(flag)}, {0}};
static const struct xml_word bit_words[] = {
	{.word = "yes", .value = 1},
	{.word = "no", .value = 0},
	{0},
};
static const struct xml_rule rows[] = {
	{.name = "@small", .kind = XML_UINT, THING(small)},
	{.name = "text",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		THING(text),
		.check = check_lower,
		.why = "<text>"},
	{.name = "word", .kind = XML_WORD, THING(word), .words = words},
	{.name = "memory", .kind = XML_SIZE, THING(memory), .rows = unit_rows},
	{.name = "offset", .kind = XML_INT, THING(offset)},
	{.name = "uuid", .kind = XML_UUID, THING(uuid)},
	{.name = "bit", .kind = XML_BIT, .bit = 4, THING(bits), .words = bit_words},
	{.name = "mac", .kind = XML_MAC, THING(mac)},
	{.name = "ip", .kind = XML_IP, THING(ip)},
	{.name = "delay", .kind = XML_UINT, .flags = XML_ZERO_IS_MAX, THING(delay)},
	{.name = "meta", .kind = XML_ELEMENT, .flags = XML_OPAQUE, .rows = opaque_rows},
	{.name = "group", .kind = XML_ELEMENT, .rows = group_rows},
	{.name = "item", .kind = XML_ARRAY, .array = &items, .rows = item_rows},
	{.name = "kept", .kind = XML_KEEP, .flags = XML_MANY, .why = "not served"},
	{.name = "dropped", .kind = XML_DROP, .why = "made anew"},
	{.name = "no", .kind = XML_REFUSE, .why = "not here; remove it"},
	{0},
};
static const struct xml_rule root = {.name = "thing", .kind = XML_ELEMENT, .rows = rows};
static const struct xml_namespace namespaces[] = {{"t", "urn:t"}, {NULL, NULL}};

struct run {
	struct thing thing;
	struct host host;
	struct xml_parser p;
	int r;
};

static void parse(struct run *run, const char *xml, bool strict)
{
	xmlDoc *doc;
	char *error;

	memset(run, 0, sizeof(*run));
	run->p = (struct xml_parser){.namespaces = namespaces,
		.source = "f",
		.strict = strict,
		.report = contract_report_new(),
		.extra = xml_extra_new()};
	assert_int_equal(xml_read(xml, strlen(xml), "f", &doc, &error), 0);
	run->r =
		xml_rules_parse(&run->p, xmlDocGetRootElement(doc), &root, &run->thing, &run->host);
	xmlFreeDoc(doc);
}

static char *format(struct run *run)
{
	struct xml_formatter f = {.namespaces = namespaces, .extra = run->p.extra};
	struct xml_buf buf = {0};
	char *text;

	xml_rules_format(&f, &root, &run->thing, &run->host, &buf);
	text = xml_buf_take(&buf);
	assert_non_null(text);
	return text;
}

static void done(struct run *run)
{
	contract_report_free(run->p.report);
	xml_extra_free(run->p.extra);
	free(run->p.error);
}

static void expect(const char *xml, const char *out)
{
	struct run run;
	char *text;

	parse(&run, xml, false);
	if (run.r < 0 || run.p.error)
		fail_msg("%s: %d %s", xml, run.r, run.p.error ? run.p.error : "");
	text = format(&run);
	assert_string_equal(text, out);
	free(text);
	done(&run);
}

static void expect_error(const char *xml, int r, const char *error)
{
	struct run run;

	parse(&run, xml, false);
	assert_non_null(run.p.error);
	assert_string_equal(run.p.error, error);
	assert_int_equal(run.r, r);
	done(&run);
}

static void expect_entry(
	const char *xml, const char *path, enum contract_verdict verdict, const char *why)
{
	const struct contract_entry *e;
	struct run run;
	long i;

	parse(&run, xml, false);
	i = contract_find(run.p.report, path);
	assert_true(i >= 0);
	e = &run.p.report->entries[i];
	assert_string_equal(e->path, path);
	assert_int_equal(e->verdict, verdict);
	if (why)
		assert_string_equal(e->why, why);
	else
		assert_null(e->why);
	done(&run);
}

#define T               "<text>t</text>"
#define OUT(attr, more) "<thing" attr ">\n  <text>t</text>\n" more "</thing>\n"

static void test_kinds(void **state)
{
	(void)state;
	expect("<thing>" T "</thing>", OUT("", ""));
	expect("<thing small='65535'>" T "</thing>", OUT(" small='65535'", ""));
	expect("<thing><text>a&amp;&lt;'\"</text></thing>",
		"<thing>\n  <text>a&amp;&lt;&apos;&quot;</text>\n</thing>\n");
	expect("<thing><text><![CDATA[<x>]]></text></thing>",
		"<thing>\n  <text>&lt;x&gt;</text>\n</thing>\n");
	expect("<thing>" T "<word> uno </word></thing>", OUT("", "  <word>one</word>\n"));
	expect("<thing>" T "<offset>-5</offset></thing>", OUT("", "  <offset>-5</offset>\n"));
	expect("<thing>" T "<uuid>11111111222233334444555555555555</uuid></thing>",
		OUT("", "  <uuid>11111111-2222-3333-4444-555555555555</uuid>\n"));
	expect("<thing>" T "<uuid/><group/></thing>", OUT("", ""));
	expect("<thing>" T "<memory unit='GB'>1</memory></thing>",
		OUT("", "  <memory unit='KiB'>976563</memory>\n"));
	expect("<thing>" T "<group mode='yes'/></thing>",
		OUT("", "  <group const='yes' mode='yes'/>\n"));
	expect("<thing>" T "<group><inner kind='a'>x</inner></group></thing>",
		OUT("", "  <group const='yes'>\n    <inner kind='a'>x</inner>\n  </group>\n"));
	expect("<thing><item name='a'/>" T "<item size='3' name='b'><note>n</note></item></thing>",
		OUT("",
			"  <item name='a'/>\n  <item name='b' size='3'>\n    <note>n</note>\n"
			"  </item>\n"));
}

static void test_networks(void **state)
{
	struct run run;

	(void)state;
	expect("<thing>" T "<bit>yes</bit></thing>", OUT("", "  <bit>yes</bit>\n"));
	expect("<thing>" T "<bit>no</bit></thing>", OUT("", ""));
	expect("<thing>" T "<mac>52:54:0:A:b:C</mac></thing>",
		OUT("", "  <mac>52:54:00:0a:0b:0c</mac>\n"));
	expect("<thing>" T "<ip>2001:DB8::1</ip></thing>", OUT("", "  <ip>2001:db8::1</ip>\n"));
	expect("<thing>" T "<ip> 192.0.2.1 </ip></thing>", OUT("", "  <ip>192.0.2.1</ip>\n"));
	expect("<thing>" T "<delay>0</delay></thing>", OUT("", "  <delay>0</delay>\n"));
	expect("<thing>" T "<delay>5</delay></thing>", OUT("", "  <delay>5</delay>\n"));
	parse(&run, "<thing>" T "<delay>0</delay><bit>yes</bit></thing>", false);
	assert_int_equal(run.thing.delay, UINT32_MAX);
	assert_int_equal(run.thing.bits, 4);
	done(&run);
	expect_error("<thing>" T "<bit>maybe</bit></thing>", -EINVAL,
		"f:1: bit: 'maybe' is wrong; write one of yes, no");
	expect_error("<thing>" T "<mac>52:54:00</mac></thing>", -EINVAL,
		"f:1: mac: '52:54:00' is wrong; write for example 52:54:00:12:34:56");
	expect_error("<thing>" T "<mac>ff:ff:ff:ff:ff:ff</mac></thing>", -EINVAL,
		"f:1: mac: 'ff:ff:ff:ff:ff:ff' is wrong; write the address of one interface, for "
		"example 52:54:00:12:34:56");
	expect_error("<thing>" T "<ip>1.2.3</ip></thing>", -EINVAL,
		"f:1: ip: '1.2.3' is wrong; write an IPv4 or IPv6 address");
	expect_error("<thing>" T "<delay>4294967295</delay></thing>", -EINVAL,
		"f:1: delay: '4294967295' is wrong; write a decimal number up to 4294967294");
}

static void test_kept(void **state)
{
	(void)state;
	expect("<thing><kept a='1'><b/></kept>" T "<kept/></thing>",
		OUT("", "  <kept a='1'>\n    <b/>\n  </kept>\n  <kept/>\n"));
	expect("<thing>" T "<dropped/></thing>", OUT("", ""));
	expect("<thing what='ever'>" T "</thing>", OUT(" what='ever'", ""));
	expect("<thing>" T "<group old='1'/></thing>", OUT("", "  <group const='yes' old='1'/>\n"));
	expect("<thing><new/>" T "<new2>x</new2></thing>",
		"<thing>\n  <new/>\n  <text>t</text>\n  <new2>x</new2>\n</thing>\n");
	expect("<thing>" T "<item name='a'><z/></item><item name='b'><y/></item></thing>",
		OUT("",
			"  <item name='a'>\n    <z/>\n  </item>\n  <item name='b'>\n    <y/>\n"
			"  </item>\n"));
	expect("<thing>" T "<group><inner kind='b'/></group></thing>",
		OUT("", "  <group const='yes'>\n    <inner kind='b'/>\n  </group>\n"));
	/* Namespaces declared around a kept element come with it. */
	expect("<thing xmlns:n='urn:n'>" T "<n:new n:a='1'/></thing>",
		OUT("", "  <n:new xmlns:n='urn:n' n:a='1'/>\n"));
	expect("<thing xmlns:n='urn:a?b&amp;c'>" T "<n:new/></thing>",
		OUT("", "  <n:new xmlns:n='urn:a?b&amp;c'/>\n"));
	expect("<thing>" T
	       "<meta><t:mine xmlns:t='urn:t'/><o xmlns='urn:o'>a<b/>c</o></meta></thing>",
		OUT("",
			"  <meta>\n    <t:mine xmlns:t='urn:t'/>\n"
			"    <o xmlns='urn:o'>a<b/>c</o>\n  </meta>\n"));
	expect("<thing xmlns:x='urn:t'>" T "<meta><x:mine/></meta></thing>",
		OUT("", "  <meta>\n    <t:mine xmlns:t='urn:t'/>\n  </meta>\n"));
	expect("<thing>" T "<kept a='&#10;&#9;&lt;&apos;'/></thing>",
		OUT("", "  <kept a='&#10;&#9;&lt;&apos;'/>\n"));
}

static void test_verdicts(void **state)
{
	(void)state;
	expect_entry("<thing>" T "</thing>", "text", CONTRACT_HONOURED, NULL);
	expect_entry("<thing>" T "<word>uno</word></thing>", "word", CONTRACT_ADAPTED, "as one");
	expect_entry("<thing>" T "<word>twelve</word></thing>", "word", CONTRACT_IGNORED,
		"two is nothing");
	expect_entry(
		"<thing>" T "<kept/><kept/></thing>", "kept[2]", CONTRACT_IGNORED, "not served");
	expect_entry("<thing>" T "<no/></thing>", "no", CONTRACT_REFUSED, "not here; remove it");
	expect_entry(
		"<thing>" T "<item name='a'/></thing>", "item[1]/@name", CONTRACT_HONOURED, NULL);
	expect_entry("<thing>" T "<group old='2'/></thing>", "group/@old", CONTRACT_IGNORED, "old");
	expect_entry("<thing>" T "<x/></thing>", "x", CONTRACT_UNKNOWN,
		"unknown element: kept, without effect");
	expect_entry("<thing>" T "<group>text</group></thing>", "group", CONTRACT_ADAPTED,
		"the text in this element has no meaning: dropped");
}

static void test_errors(void **state)
{
	(void)state;
	expect_error("<other/>", -EINVAL, "f:1: other: not a <thing>; write one");
	expect_error("<thing xmlns='urn:x'/>", -EINVAL, "f:1: thing: not a <thing>; write one");
	expect_error("<thing/>", -EINVAL, "f:1: thing/text: missing; add <text>");
	expect_error("<thing>\n\n" T "\n" T "</thing>", -EINVAL,
		"f:4: text[2]: given twice; remove one");
	expect_error("<thing><text>aB</text></thing>", -EINVAL,
		"f:1: text: has a capital; write small letters");
	expect_error("<thing><text>0123456789abcdef</text></thing>", -EINVAL,
		"f:1: text: too long; write at most 15 bytes");
	expect_error("<thing><text>&#x7f;</text></thing>", -EINVAL,
		"f:1: text: contains a control character; write plain text");
	expect_error("<thing small='65536'>" T "</thing>", -EINVAL,
		"f:1: thing/@small: '65536' is wrong; write a decimal number up to 65535");
	expect_error("<thing small='-1'>" T "</thing>", -EINVAL,
		"f:1: thing/@small: '-1' is wrong; write a decimal number up to 65535");
	expect_error("<thing small='0x10'>" T "</thing>", -EINVAL,
		"f:1: thing/@small: '0x10' is wrong; write a decimal number up to 65535");
	expect_error("<thing>" T "<word>three</word></thing>", -EINVAL,
		"f:1: word: 'three' is wrong; write one of one, uno, tw*");
	expect_error(
		"<thing>" T "<word>bad</word></thing>", 0, "f:1: word: bad is refused; write one");
	expect_error("<thing>" T "<offset>x</offset></thing>", -EINVAL,
		"f:1: offset: 'x' is wrong; write a decimal number");
	expect_error("<thing>" T "<uuid>12</uuid></thing>", -EINVAL,
		"f:1: uuid: '12' is wrong; write a UUID, for example one printed by uuidgen");
	expect_error("<thing>" T "<memory unit='parsec'>1</memory></thing>", -EINVAL,
		"f:1: memory: unit 'parsec' is wrong; write b, KiB, MiB, GiB or TiB");
	expect_error("<thing>" T "<item/></thing>", -EINVAL, "f:1: item[1]/@name: missing; add it");
	expect_error("<thing>" T "<item name='a'/><item name='a'/><item name='a'/><item name='a'/>"
		     "</thing>",
		-EINVAL, "f:1: item[4]: too many; write at most 3");
	expect_error("<thing>" T "<group mode='maybe'/></thing>", -EINVAL,
		"f:1: group/@mode: 'maybe' is wrong; write one of yes, no");
	/* The first refusal is the message, and parsing goes on. */
	expect_error(
		"<thing>" T "<no/><word>bad</word></thing>", 0, "f:1: no: not here; remove it");
	expect_error("<thing xmlns:xi='http://www.w3.org/2001/XInclude'>" T
		     "<xi:include href='/etc/passwd'/></thing>",
		0, "f:1: thing: XInclude is not followed; write the content here");
}

static void test_strict(void **state)
{
	struct run run;

	(void)state;
	parse(&run, "<thing wibble='1'>" T "<meta><any/></meta></thing>", true);
	assert_int_equal(run.p.report->counts[CONTRACT_REFUSED], 1);
	assert_string_equal(run.p.error,
		"f:1: thing/@wibble: unknown attribute; remove it or leave out the strict check");
	done(&run);
	parse(&run, "<thing>" T "<frobnicate/></thing>", true);
	assert_string_equal(run.p.error,
		"f:1: frobnicate: unknown element; remove it or leave out the strict check");
	done(&run);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *number, *unit;
		int r;
		uint64_t kib;
	} cases[] = {
		{"1", NULL, 0, 1},
		{"1", "", 0, 1},
		{"1", "b", 0, 1},
		{"1025", "bytes", 0, 2},
		{"1024", "byte", 0, 1},
		{"0", "B", 0, 0},
		{"2", "KB", 0, 2},
		{"1024", "kb", 0, 1000},
		{"3", "k", 0, 3},
		{"3", "KiB", 0, 3},
		{"1", "m", 0, 1024},
		{"1", "MiB", 0, 1024},
		{"1", "MB", 0, 977},
		{"1", "G", 0, 1048576},
		{"1", "GiB", 0, 1048576},
		{"1", "GB", 0, 976563},
		{"1", "T", 0, UINT64_C(1) << 30},
		{"1", "TB", 0, 976562500},
		{"1", "PiB", 0, UINT64_C(1) << 40},
		{"1", "EiB", 0, UINT64_C(1) << 50},
		{"18446744073709551615", "b", 0, UINT64_C(1) << 54},
		{"18446744073709551615", "KiB", 0, UINT64_MAX},
		{"18446744073709551616", "b", -ERANGE, 0},
		{"18446744073709551616", "KiB", -ERANGE, 0},
		{"18446744073709551615", "KB", -ERANGE, 0},
		{"18446744073709551615", "MiB", -ERANGE, 0},
		{"18446744073709551615", "EB", -ERANGE, 0},
		{"16384", "EiB", -ERANGE, 0},
		{"1", "ZiB", -ENOENT, 0},
		{"1", "KiBs", -ENOENT, 0},
		{"1", "iB", -ENOENT, 0},
		{"-1", "KiB", -EINVAL, 0},
		{"0x10", "KiB", -EINVAL, 0},
		{"1.5", "GiB", -EINVAL, 0},
		{"1e3", "KiB", -EINVAL, 0},
		{"", "KiB", -EINVAL, 0},
		{"NaN", "KiB", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t kib = 0;
		int r = xml_size_parse(cases[i].number, cases[i].unit, UINT64_MAX, &kib);

		if (r != cases[i].r || kib != cases[i].kib)
			fail_msg("%s %s: %d %llu", cases[i].number, cases[i].unit, r,
				(unsigned long long)kib);
	}
	assert_int_equal(xml_size_parse("5", "KiB", 4, &(uint64_t){0}), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
