/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One field's value from text and back: see xml-value.h. */
#include "config/xml-value.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "config/net-addr.h"
#include "vmm-core/base/cpuset.h"
#include "vmm-core/base/strutil.h"

#define VALUE_MAX     64 /* the text of a UUID or an address */
#define FORMATTED_MAX CPUSET_TEXT_MAX
static_assert(VALUE_MAX > UUID_STRING_LEN && VALUE_MAX >= NET_IP_STRING_SIZE &&
		FORMATTED_MAX >= VALUE_MAX,
	"room for all");

static int wrong(struct xml_parser *p, const struct xml_value *v, const char *instead)
{
	return xml_fail(p, v->line, v->path, NULL, "'%.*s' is wrong; write %s", xml_shown(v->text),
		v->text, instead);
}

static int parse_decimal(const char *s, uint64_t max, uint64_t *ret)
{
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return -EINVAL;
	return parse_u64(s, max, ret);
}

/* The factor of a unit: "b", "bytes", "KB" (1000), "k", "KiB" (1024) … up to E; 0: unknown. */
static uint64_t unit_factor(const char *unit)
{
	static const char letters[] = "kmgtpe";
	const char *letter;
	uint64_t base, factor = 1;

	if (!*unit || strcasecmp(unit, "b") == 0 || strcasecmp(unit, "byte") == 0 ||
		strcasecmp(unit, "bytes") == 0)
		return 1;
	letter = memchr(letters, *unit | 0x20, sizeof(letters) - 1);
	if (!letter)
		return 0;
	if (!unit[1] || strcasecmp(unit + 1, "ib") == 0)
		base = 1024;
	else if (strcasecmp(unit + 1, "b") == 0)
		base = 1000;
	else
		return 0;
	for (const char *l = letters; l <= letter; l++)
		factor *= base;
	return factor;
}

int xml_size_parse(const char *number, const char *unit, uint64_t max_kib, uint64_t *ret_kib)
{
	uint64_t n, factor, bytes, kib;
	int r;

	r = parse_decimal(number, UINT64_MAX, &n);
	if (r < 0)
		return r;
	factor = unit && *unit ? unit_factor(unit) : 1024;
	if (!factor)
		return -ENOENT;
	if (factor % 1024 == 0) {
		if (__builtin_mul_overflow(n, factor / 1024, &kib))
			return -ERANGE;
	} else {
		if (__builtin_mul_overflow(n, factor, &bytes))
			return -ERANGE;
		kib = bytes / 1024 + (bytes % 1024 != 0);
	}
	if (kib > max_kib)
		return -ERANGE;
	*ret_kib = kib;
	return 0;
}

static void store(const struct xml_value *v, uint64_t n)
{
	void *field = xml_field(v->place, v->rule);

	if (v->rule->kind == XML_BIT) {
		*(uint32_t *)field = (*(uint32_t *)field & ~v->rule->bit) | (n ? v->rule->bit : 0);
		return;
	}
	switch (v->rule->size) {
	case 1:
		*(uint8_t *)field = (uint8_t)n;
		break;
	case 2:
		*(uint16_t *)field = (uint16_t)n;
		break;
	case 4:
		*(uint32_t *)field = (uint32_t)n;
		break;
	default:
		*(uint64_t *)field = n;
	}
}

static uint64_t load(const struct xml_rule *rule, const struct xml_place *place)
{
	const void *field = xml_field(place, rule);

	switch (rule->size) {
	case 1:
		return *(const uint8_t *)field;
	case 2:
		return *(const uint16_t *)field;
	case 4:
		return *(const uint32_t *)field;
	default:
		return *(const uint64_t *)field;
	}
}

static uint64_t max_of(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
}

static int parse_number(struct xml_parser *p, const struct xml_value *v)
{
	uint64_t n, max;
	int64_t i;
	char instead[64];
	int r;

	if (v->rule->kind == XML_INT) {
		r = strpbrk(v->text, "xX") ? -EINVAL : parse_i64(v->text, INT64_MIN, INT64_MAX, &i);
		if (r < 0)
			return wrong(p, v, "a decimal number");
		*(int64_t *)xml_field(v->place, v->rule) = i;
		return 0;
	}
	max = max_of(v->rule->size) - !!(v->rule->flags & XML_ZERO_IS_MAX);
	r = parse_decimal(v->text, max, &n);
	(void)snprintf(
		instead, sizeof(instead), "a decimal number up to %llu", (unsigned long long)max);
	if (r < 0)
		return wrong(p, v, instead);
	store(v, !n && v->rule->flags & XML_ZERO_IS_MAX ? UINT64_MAX : n);
	return 0;
}

static int parse_size(struct xml_parser *p, const struct xml_value *v)
{
	_cleanup_(freep) char *unit = xml_attribute(v->node, "unit");
	uint64_t kib;
	int r;

	r = xml_size_parse(v->text, unit, max_of(v->rule->size), &kib);
	if (r == -ENOENT)
		return xml_fail(p, v->line, v->path, NULL,
			"unit '%.*s' is wrong; write b, KiB, MiB, GiB or TiB", xml_shown(unit),
			unit);
	if (r == -ERANGE)
		return wrong(p, v, "less: that is more than can be counted");
	if (r < 0)
		return wrong(p, v, "a decimal number");
	store(v, kib);
	return 0;
}

static int parse_string(struct xml_parser *p, const struct xml_value *v)
{
	const char *problem;

	if (strlen(v->text) >= v->rule->size)
		return xml_fail(p, v->line, v->path, NULL, "too long; write at most %u bytes",
			v->rule->size - 1);
	problem = v->rule->check ? v->rule->check(v->text) : NULL;
	if (problem)
		return xml_fail(p, v->line, v->path, NULL, "%s", problem);
	if (!str_is_clean_utf8(v->text))
		return xml_fail(p, v->line, v->path, NULL,
			"contains a control character; write plain text");
	memcpy(xml_field(v->place, v->rule), v->text, strlen(v->text) + 1);
	return 0;
}

static int parse_cpuset(struct xml_parser *p, const struct xml_value *v)
{
	int r = cpuset_parse(v->text, xml_field(v->place, v->rule));
	const char *what = v->rule->fixed ? v->rule->fixed : "host CPU";
	char instead[64];

	if (r == 0)
		return 0;
	if (r == -ERANGE)
		(void)snprintf(instead, sizeof(instead), "numbers of %ss up to 1023", what);
	else if (r == -ENODATA)
		(void)snprintf(instead, sizeof(instead), "at least one %s", what);
	else
		(void)snprintf(instead, sizeof(instead), "%ss, for example 0-3,^2,7", what);
	return wrong(p, v, instead);
}

static int parse_uuid(struct xml_parser *p, const struct xml_value *v)
{
	if (!*v->text)
		return 0; /* as if it were not there */
	if (uuid_parse(v->text, xml_field(v->place, v->rule)) < 0)
		return wrong(p, v, "a UUID, for example one printed by uuidgen");
	return 0;
}

/* The words that are accepted, for the error. */
static char *list_words(const struct xml_rule *rule)
{
	struct xml_buf buf = {0};

	for (const struct xml_word *w = rule->words; w && w->word; w++)
		if (w->verdict != CONTRACT_REFUSED && *w->word)
			xml_buf_addf(&buf, "%s%s", buf.len ? ", " : "", w->word);
	if (rule->kind == XML_ENUM)
		for (unsigned i = 0; i < vm_enum_count(rule->names); i++)
			if (vm_enum_to_string(rule->names, i))
				xml_buf_addf(&buf, "%s%s", buf.len ? ", " : "",
					vm_enum_to_string(rule->names, i));
	return xml_buf_take(&buf);
}

static const struct xml_word *find_word(const struct xml_rule *rule, const char *text)
{
	for (const struct xml_word *w = rule->words; w && w->word; w++)
		if (xml_matches(w->word, text))
			return w;
	return NULL;
}

static int parse_word(struct xml_parser *p, const struct xml_value *v)
{
	_cleanup_(freep) char *words = NULL;
	int value = -EINVAL;

	if (v->rule->kind == XML_ENUM)
		value = vm_enum_from_string(v->rule->names, v->text);
	if (value >= 0) {
		store(v, (uint64_t)value);
		return 0;
	}
	words = list_words(v->rule);
	if (!words)
		return -ENOMEM;
	return xml_fail(p, v->line, v->path, NULL, "'%.*s' is wrong; write %s%s",
		xml_shown(v->text), v->text, strchr(words, ',') ? "one of " : "", words);
}

const char *xml_check_path(const char *path)
{
	if (!*path)
		return NULL; /* as if it were not there */
	if (*path != '/')
		return "not an absolute path; write it from '/'";
	if (strpbrk(path, "\t\n"))
		return "a path with a line break or tab; write it in one piece";
	for (const char *part = path; part; part = strchr(part + 1, '/'))
		if (strncmp(part, "/..", 3) == 0 && (part[3] == '/' || !part[3]))
			return "contains '..'; write the path without it";
	return NULL;
}

static bool has_field(enum xml_kind kind)
{
	return kind >= XML_STRING && kind <= XML_IP && kind != XML_UNIT;
}

static int parse_mac(struct xml_parser *p, const struct xml_value *v)
{
	uint8_t *mac = xml_field(v->place, v->rule);

	if (net_mac_parse(v->text, mac) < 0)
		return wrong(p, v, "for example 52:54:00:12:34:56");
	if (net_mac_is_group(mac) || net_mac_is_zero(mac))
		return wrong(p, v, "the address of one interface, for example 52:54:00:12:34:56");
	return 0;
}

static int parse_ip(struct xml_parser *p, const struct xml_value *v)
{
	return net_ip_parse(v->text, xml_field(v->place, v->rule)) < 0
		? wrong(p, v, "an IPv4 or IPv6 address")
		: 0;
}

static int parse_kind(struct xml_parser *p, struct xml_value *v)
{
	switch (v->rule->kind) {
	case XML_STRING:
		return parse_string(p, v);
	case XML_UINT:
	case XML_INT:
		return parse_number(p, v);
	case XML_SIZE:
		return parse_size(p, v);
	case XML_CPUSET:
		return parse_cpuset(p, v);
	case XML_UUID:
		return parse_uuid(p, v);
	case XML_MAC:
		return parse_mac(p, v);
	case XML_IP:
		return parse_ip(p, v);
	case XML_ENUM:
	case XML_WORD:
	case XML_BIT:
	case XML_CONST:
		return parse_word(p, v);
	default:
		return 0;
	}
}

/* Blanks around a number or a word say nothing. */
static char *trimmed(const char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	return strndup(text, len);
}

int xml_value_parse(struct xml_parser *p, struct xml_value *value)
{
	const struct xml_rule *rule = value->rule;
	_cleanup_(freep) char *text = NULL;
	const struct xml_word *word;
	struct xml_value v = *value;

	value->why = rule->why;
	value->verdict = rule->kind == XML_REFUSE     ? CONTRACT_REFUSED
		: rule->verdict                       ? rule->verdict
		: rule->kind >= XML_KEEP && rule->why ? CONTRACT_IGNORED
						      : CONTRACT_HONOURED;
	if (value->verdict == CONTRACT_HONOURED)
		value->why = NULL;
	if (rule->kind != XML_STRING) {
		text = trimmed(value->text);
		if (!text)
			return -ENOMEM;
		v.text = text;
	}
	word = find_word(rule, v.text);
	if (!word)
		return parse_kind(p, &v);
	value->verdict = word->verdict;
	value->why = word->why;
	if (has_field(rule->kind) && rule->kind != XML_STRING && word->verdict != CONTRACT_REFUSED)
		store(&v, word->value);
	return rule->kind == XML_STRING && word->verdict != CONTRACT_REFUSED ? parse_string(p, &v)
									     : 0;
}

static const char *word_of(const struct xml_rule *rule, unsigned value)
{
	for (const struct xml_word *w = rule->words; w && w->word; w++)
		if (w->value == value && (value || rule->kind != XML_ENUM) &&
			w->verdict < CONTRACT_IGNORED && !strchr(w->word, '*'))
			return w->word;
	return rule->kind == XML_ENUM ? vm_enum_to_string(rule->names, value) : NULL;
}

/* The text of a value that is not a number; "" or NULL: none. 'buf' is room for it. */
static const char *text_of_value(
	const struct xml_rule *rule, const struct xml_place *place, char buf[FORMATTED_MAX])
{
	const void *field = xml_field(place, rule);

	*buf = 0;
	switch (rule->kind) {
	case XML_STRING:
		return field;
	case XML_ENUM:
	case XML_WORD:
		if (rule->flags & XML_NOT_ZERO && !load(rule, place))
			return NULL;
		return word_of(rule, (unsigned)load(rule, place));
	case XML_BIT:
		return load(rule, place) & rule->bit ? word_of(rule, 1) : NULL;
	case XML_UUID:
		if (!uuid_is_null(field))
			uuid_format(field, buf);
		return buf;
	case XML_CPUSET:
		cpuset_format(field, buf);
		return buf;
	case XML_MAC:
		if (!net_mac_is_zero(field))
			net_mac_format(field, buf);
		return buf;
	case XML_IP:
		net_ip_format(field, buf);
		return buf;
	default:
		return NULL;
	}
}

bool xml_value_format(
	const struct xml_rule *rule, const struct xml_place *place, struct xml_buf *out)
{
	char buf[FORMATTED_MAX];
	const char *text;
	uint64_t n;

	if (rule->kind == XML_INT) {
		xml_buf_addf(out, "%lld", (long long)*(const int64_t *)xml_field(place, rule));
		return *(const int64_t *)xml_field(place, rule) != 0;
	}
	if (rule->kind == XML_UINT || rule->kind == XML_SIZE) {
		n = load(rule, place);
		xml_buf_addf(out, "%llu",
			rule->flags & XML_ZERO_IS_MAX && n == max_of(rule->size)
				? 0ULL
				: (unsigned long long)n);
		return n != 0;
	}
	text = text_of_value(rule, place, buf);
	if (!text || !*text)
		text = rule->flags & XML_FIXED_IF_EMPTY ? rule->fixed : NULL;
	if (!text)
		return false;
	xml_buf_add(out, text);
	return true;
}
