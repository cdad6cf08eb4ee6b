/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parsing half of the mapper: see xml-rule.h. Values of fields are in xml-value.c. */
#include "config/xml-rule.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "config/xml-value.h"
#include "vmm-core/base/strutil.h"

#define XINCLUDE_NS "http://www.w3.org/2001/XInclude"
bool xml_matches(const char *pattern, const char *text)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return strncmp(pattern, text, len - 1) == 0;
	return streq(pattern, text);
}

int xml_shown(const char *text)
{
	size_t len = strnlen(text, XML_SHOWN_MAX);

	while (len && text[len] && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return (int)len;
}

static unsigned line_of(const xmlNode *node)
{
	long line = xmlGetLineNo(node);

	return line > 0 ? (unsigned)line : 1;
}

/* Remember the first error; later ones would only confuse. */
static int set_error(
	struct xml_parser *p, unsigned line, const char *path, const char *attr, const char *text)
{
	const char *root = *path && *path != '@' ? "" : p->root->name;

	if (p->error)
		return 0;
	if (asprintf(&p->error, "%s:%u: %s%s%s%s%s: %s", p->source, line, root,
		    *root && *path ? "/" : "", path, attr ? "/" : "", attr ? attr : "", text) < 0) {
		p->error = NULL;
		return -ENOMEM;
	}
	for (char *c = p->error; *c; c++) /* one line, whatever the document says */
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	return 0;
}

static int fail_va(struct xml_parser *p, unsigned line, const char *path, const char *attr,
	const char *format, va_list ap)
{
	_cleanup_(freep) char *text = NULL;

	if (vasprintf(&text, format, ap) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	free(p->error); /* a wrong value says more than what was refused before it */
	p->error = NULL;
	return set_error(p, line, path, attr, text) < 0 ? -ENOMEM : -EINVAL;
}

int xml_fail(struct xml_parser *p, unsigned line, const char *path, const char *attr,
	const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = fail_va(p, line, path, attr, format, ap);
	va_end(ap);
	return r;
}

int xml_fail_path(struct xml_parser *p, const char *path, const char *format, ...)
{
	long entry = contract_find(p->report, path);
	va_list ap;
	int r;

	va_start(ap, format);
	r = fail_va(p, entry < 0 ? 1 : p->report->entries[entry].line, path, NULL, format, ap);
	va_end(ap);
	return r;
}

int xml_identify(const struct xml_parser *p, const char *name, uint8_t ret_uuid[16])
{
	if (p->identify)
		p->identify->find(p->identify->opaque, name, ret_uuid);
	return uuid_is_null(ret_uuid) ? uuid_generate(ret_uuid) : 0;
}

/* An entry that may be a refusal. Returns its index or -ENOMEM. */
static long add_entry(struct xml_parser *p, enum contract_verdict verdict, unsigned line,
	const char *path, const char *why)
{
	if (verdict == CONTRACT_REFUSED && set_error(p, line, path, NULL, why) < 0)
		return -ENOMEM;
	return contract_add(p->report, verdict, line, path, why);
}

int xml_verdict(struct xml_parser *p, const struct xml_place *place, enum contract_verdict verdict,
	const char *why)
{
	const struct contract_entry *entry = &p->report->entries[place->entry];

	if (verdict == CONTRACT_REFUSED && set_error(p, entry->line, entry->path, NULL, why) < 0)
		return -ENOMEM;
	return contract_set(p->report, place->entry, verdict, why);
}

int xml_verdict_path(
	struct xml_parser *p, const char *path, enum contract_verdict verdict, const char *why)
{
	long entry = contract_find(p->report, path);
	const struct xml_place place = {.entry = (size_t)entry};

	if (entry < 0 || !streq(p->report->entries[entry].path, path))
		return 0;
	return xml_verdict(p, &place, verdict, why);
}

char *xml_attribute(const xmlNode *node, const char *name)
{
	xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *)name);
	char *copy = value ? strdup((const char *)value) : NULL;

	xmlFree(value);
	return copy;
}

/* Behind 'used' bytes of key: 'mark' and a number, as far as there is room. */
static size_t add_number(char key[XML_KEY_MAX], size_t used, char mark, size_t number)
{
	char digits[24];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + number % 10);
	while (number /= 10);
	digits[--n] = mark;
	for (; n < sizeof(digits) && used < XML_KEY_MAX - 1; n++)
		key[used++] = digits[n];
	key[used] = 0;
	return used;
}

/* For each element, in both directions: a printf() would be a tenth of the time that a document takes. */
void xml_key(char key[XML_KEY_MAX], const struct xml_place *parent, const struct xml_rule *rule,
	unsigned item)
{
	size_t used = strnlen(parent->key, XML_KEY_MAX - 1);

	memcpy(key, parent->key, used);
	used = add_number(key, used, '/', (size_t)(rule - parent->rule->rows));
	(void)add_number(key, used, '.', item);
}

int xml_keep(struct xml_parser *p, const struct xml_place *parent, const struct xml_rule *rule,
	xmlNode *node)
{
	return xml_extra_keep_node(p->extra, parent->key, (int)(rule - parent->rule->rows), node);
}

/* "type=pci": the attribute's name is before the '='. */
static bool is_when_attribute(const struct xml_rule *rule, const char *name)
{
	size_t len = strlen(name);

	return rule->when && strncmp(rule->when, name, len) == 0 && rule->when[len] == '=';
}

static bool when_fits(const struct xml_rule *rule, const xmlNode *node)
{
	char name[32];
	size_t len;
	_cleanup_(freep) char *value = NULL;

	if (!rule->when)
		return true;
	len = strcspn(rule->when, "=");
	(void)snprintf(name, sizeof(name), "%.*s", (int)len, rule->when);
	value = xml_attribute(node, name);
	return xml_matches(rule->when + len + 1, value ? value : "");
}

/* 'rule' names this element: same name, same namespace. */
static bool name_fits(const struct xml_parser *p, const struct xml_rule *rule, const xmlNode *node)
{
	const char *colon = strchr(rule->name, ':');

	if (!colon)
		return !node->ns && streq(rule->name, (const char *)node->name);
	if (!node->ns || !streq(colon + 1, (const char *)node->name))
		return false;
	for (const struct xml_namespace *ns = p->namespaces; ns && ns->prefix; ns++)
		if (strncmp(rule->name, ns->prefix, strlen(ns->prefix)) == 0 &&
			rule->name[strlen(ns->prefix)] == ':')
			return streq(ns->uri, (const char *)node->ns->href);
	return false;
}

static const struct xml_rule *find_element_rule(
	const struct xml_parser *p, const struct xml_rule *rows, const xmlNode *node)
{
	for (const struct xml_rule *rule = rows; rule && rule->name; rule++)
		if (name_fits(p, rule, node) && when_fits(rule, node) &&
			(!rule->match || rule->match(node)))
			return rule;
	return NULL;
}

static const struct xml_rule *find_rule(const struct xml_rule *rows, const char *name)
{
	for (const struct xml_rule *rule = rows; rule && rule->name; rule++)
		if (streq(rule->name, name))
			return rule;
	return NULL;
}

static unsigned count_rows(const struct xml_rule *rows)
{
	unsigned n = 0;

	while (rows && rows[n].name)
		n++;
	return n;
}

static int unknown_attribute(struct xml_parser *p, const xmlAttr *attr, const char *value,
	unsigned line, const struct xml_place *place)
{
	char path[XML_PATH_MAX];
	bool foreign = attr->ns != NULL;

	(void)snprintf(path, sizeof(path), "%s%s@%.*s", place->path, *place->path ? "/" : "",
		xml_shown((const char *)attr->name), (const char *)attr->name);
	if (add_entry(p, p->strict ? CONTRACT_REFUSED : CONTRACT_UNKNOWN, line, path,
		    p->strict         ? "unknown attribute; remove it or leave out the strict check"
			    : foreign ? "unknown attribute of another namespace: dropped"
				      : "unknown attribute: kept, without effect") < 0)
		return -ENOMEM;
	if (foreign || p->strict)
		return 0;
	return xml_extra_keep_attr(p->extra, place->key, (int)count_rows(place->rule->rows),
		(const char *)attr->name, value);
}

static int parse_attribute(struct xml_parser *p, xmlNode *node, const struct xml_rule *rule,
	const char *text, const struct xml_place *place)
{
	struct xml_value value = {
		.rule = rule, .place = place, .node = node, .text = text, .line = line_of(node)};
	char path[XML_PATH_MAX];
	int r;

	(void)snprintf(
		path, sizeof(path), "%s%s%s", place->path, *place->path ? "/" : "", rule->name);
	value.path = path;
	r = xml_value_parse(p, &value);
	if (r < 0)
		return r;
	if (add_entry(p, value.verdict, value.line, path, value.why) < 0)
		return -ENOMEM;
	if (rule->kind != XML_KEEP || value.verdict == CONTRACT_REFUSED)
		return 0;
	return xml_extra_keep_attr(
		p->extra, place->key, (int)(rule - place->rule->rows), rule->name + 1, text);
}

static int parse_attributes(
	struct xml_parser *p, xmlNode *node, const struct xml_place *place, unsigned *n_seen)
{
	for (xmlAttr *attr = node->properties; attr; attr = attr->next) {
		_cleanup_(freep) char *text = NULL;
		const struct xml_rule *rule;
		char name[XML_SHOWN_MAX];
		xmlChar *value;
		int r;

		if (!attr->ns && is_when_attribute(place->rule, (const char *)attr->name))
			continue;
		value = xmlNodeListGetString(node->doc, attr->children, 1);
		text = strdup(value ? (const char *)value : "");
		xmlFree(value);
		if (!text)
			return -ENOMEM;
		(void)snprintf(name, sizeof(name), "@%s", (const char *)attr->name);
		rule = attr->ns ? NULL : find_rule(place->rule->rows, name);
		if (!rule) {
			r = unknown_attribute(p, attr, text, line_of(node), place);
		} else {
			n_seen[rule - place->rule->rows]++;
			r = parse_attribute(p, node, rule, text, place);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* The text directly within 'node', which the caller frees. */
static char *text_of(const xmlNode *node)
{
	struct xml_buf buf = {0};

	for (const xmlNode *child = node->children; child; child = child->next)
		if ((child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE) &&
			child->content)
			xml_buf_add(&buf, (const char *)child->content);
	return xml_buf_take(&buf);
}

static bool is_text_kind(enum xml_kind kind)
{
	return kind >= XML_STRING && kind <= XML_CONST && kind != XML_UNIT;
}

static bool has_text(const struct xml_rule *rule)
{
	return is_text_kind(rule->kind) || find_rule(rule->rows, ".");
}

static int parse_text(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	const struct xml_rule *rule =
		is_text_kind(place->rule->kind) ? place->rule : find_rule(place->rule->rows, ".");
	_cleanup_(freep) char *text = text_of(node);
	struct xml_value value = {.rule = rule,
		.place = place,
		.node = node,
		.text = text,
		.line = line_of(node),
		.path = place->path};
	int r;

	if (!text)
		return -ENOMEM;
	if (!rule) {
		if (text[strspn(text, " \t\r\n")] && place->rule->kind != XML_CUSTOM &&
			!(place->rule->flags & XML_OPAQUE))
			return xml_verdict(p, place, CONTRACT_ADAPTED,
				"the text in this element has no meaning: dropped");
		return 0;
	}
	r = xml_value_parse(p, &value);
	if (r < 0 || (value.verdict == CONTRACT_HONOURED && !value.why))
		return r;
	return xml_verdict(p, place, value.verdict, value.why);
}

static int unknown_element(
	struct xml_parser *p, xmlNode *node, const struct xml_place *place, int row)
{
	bool kept = !has_text(place->rule);
	char path[XML_PATH_MAX];

	if (node->ns && streq((const char *)node->ns->href, XINCLUDE_NS))
		return add_entry(p, CONTRACT_REFUSED, line_of(node), place->path,
			       "XInclude is not followed; write the content here") < 0
			? -ENOMEM
			: 0;
	if (place->rule->flags & XML_OPAQUE)
		return xml_extra_keep_node(p->extra, place->key, row, node);
	(void)snprintf(path, sizeof(path), "%s%s%.*s", place->path, *place->path ? "/" : "",
		xml_shown((const char *)node->name), (const char *)node->name);
	if (add_entry(p, p->strict ? CONTRACT_REFUSED : CONTRACT_UNKNOWN, line_of(node), path,
		    p->strict      ? "unknown element; remove it or leave out the strict check"
			    : kept ? "unknown element: kept, without effect"
				   : "unknown element: dropped") < 0)
		return -ENOMEM;
	if (!kept || p->strict)
		return 0;
	return xml_extra_keep_node(p->extra, place->key, row, node);
}

static int parse_element(struct xml_parser *p, xmlNode *node, const struct xml_rule *rule,
	const struct xml_place *parent, unsigned number, bool again);

/* The number of this element among those of its name, starting with 1. */
static unsigned count_element(
	const struct xml_rule *rows, const struct xml_rule *rule, unsigned *n_named)
{
	return ++n_named[find_rule(rows, rule->name) - rows];
}

static int parse_children(
	struct xml_parser *p, xmlNode *node, const struct xml_place *place, unsigned *n_seen)
{
	const struct xml_rule *rows = place->rule->rows;
	unsigned n_named[XML_MAX_ROWS] = {0};
	int last_row = XML_EXTRA_FIRST;

	for (xmlNode *child = node->children; child; child = child->next) {
		const struct xml_rule *rule;
		int r;

		if (child->type != XML_ELEMENT_NODE)
			continue;
		rule = find_element_rule(p, rows, child);
		if (!rule) {
			r = unknown_element(p, child, place, last_row);
		} else {
			last_row = (int)(rule - rows);
			r = parse_element(p, child, rule, place, count_element(rows, rule, n_named),
				n_seen[last_row]++ > 0);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_required(struct xml_parser *p, const xmlNode *node, const struct xml_place *place,
	const unsigned *n_seen)
{
	const struct xml_rule *rows = place->rule->rows;

	if (p->report->counts[CONTRACT_REFUSED])
		return 0; /* what is refused may lack what is served */
	for (unsigned i = 0; rows && rows[i].name; i++)
		if ((rows[i].flags & XML_REQUIRED) && !n_seen[i])
			return xml_fail(p, line_of(node), place->path, rows[i].name,
				"missing; add %s",
				rows[i].why && !rows[i].verdict ? rows[i].why : "it");
	return 0;
}

static int parse_content(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	unsigned n_seen[XML_MAX_ROWS] = {0};
	int r;

	assert(count_rows(place->rule->rows) <= XML_MAX_ROWS);
	if (place->rule->kind == XML_CUSTOM)
		return place->rule->parse(p, node, place);
	r = parse_attributes(p, node, place, n_seen);
	if (r == 0)
		r = parse_children(p, node, place, n_seen);
	if (r == 0)
		r = parse_text(p, node, place);
	if (r == 0)
		r = check_required(p, node, place, n_seen);
	if (r == 0 && place->rule->after)
		r = place->rule->after(p, node, place);
	return r;
}

static uint32_t *array_count(const struct xml_rule *rule, const struct xml_place *place)
{
	return (uint32_t *)(void *)((char *)place->base[rule->array->count_base] +
		rule->array->count_offset);
}

/* Enter the element's struct: an array's next item, or the parent's. */
static int enter(struct xml_parser *p, const xmlNode *node, struct xml_place *place)
{
	const struct xml_place *parent = place->parent;
	const struct xml_rule *rule = place->rule;
	uint32_t *count;

	place->index = parent->index;
	place->base[0] = parent->base[0];
	place->base[1] = parent->base[1];
	if (rule->kind == XML_FLAG)
		*(uint8_t *)xml_field(parent, rule) = rule->set ? rule->set : 1;
	if (rule->kind != XML_ARRAY)
		return 0;
	count = array_count(rule, parent);
	if (*count >= rule->array->max)
		return xml_fail(p, line_of(node), place->path, NULL, "too many; write at most %u",
			rule->array->max);
	place->index = (*count)++;
	for (unsigned i = 0; i < 2; i++)
		place->base[i] = (char *)parent->base[i] + rule->array->offset[i] +
			place->index * rule->array->stride[i];
	return 0;
}

/* Elements of which only the verdict matters; 'again': one of this rule was here before. Returns 1 when that
 * was all. */
static int parse_verdict(
	struct xml_parser *p, xmlNode *node, const struct xml_place *place, bool again)
{
	const struct xml_rule *rule = place->rule;
	bool extra = again && (rule->flags & XML_FIRST);
	int r;

	if (extra) {
		r = xml_verdict(p, place, CONTRACT_IGNORED, "only the first one is served");
		if (r < 0)
			return r;
	}
	if (rule->kind == XML_KEEP || extra) {
		r = xml_keep(p, place->parent, rule, node);
		if (r == 0 && rule->after && !extra)
			r = rule->after(p, node, place);
		return r < 0 ? r : 1;
	}
	return rule->kind == XML_DROP || rule->kind == XML_REFUSE;
}

static enum contract_verdict first_verdict(const struct xml_rule *rule)
{
	if (rule->kind == XML_REFUSE)
		return CONTRACT_REFUSED;
	if (rule->verdict != CONTRACT_HONOURED)
		return rule->verdict;
	return rule->why && (rule->kind == XML_KEEP || rule->kind == XML_DROP) ? CONTRACT_IGNORED
									       : CONTRACT_HONOURED;
}

/* Another element of the same name follows. */
static bool has_next(const xmlNode *node)
{
	for (const xmlNode *next = node->next; next; next = next->next)
		if (next->type == XML_ELEMENT_NODE && xmlStrEqual(next->name, node->name))
			return true;
		else if (next->type == XML_ELEMENT_NODE)
			break;
	return false;
}

static int parse_element(struct xml_parser *p, xmlNode *node, const struct xml_rule *rule,
	const struct xml_place *parent, unsigned number, bool again)
{
	bool repeats = rule->kind == XML_ARRAY || (rule->flags & (XML_MANY | XML_FIRST));
	enum contract_verdict verdict = first_verdict(rule);
	char path[XML_PATH_MAX], key[XML_KEY_MAX], bracket[16] = "";
	struct xml_place place = {.path = path, .key = key, .rule = rule, .parent = parent};
	long entry;
	int r;

	if (rule->kind == XML_ARRAY || number > 1 || has_next(node))
		(void)snprintf(bracket, sizeof(bracket), "[%u]", number);
	(void)snprintf(path, sizeof(path), "%s%s%s%s", parent->path, *parent->path ? "/" : "",
		rule->name, bracket);
	if (again && !repeats)
		return xml_fail(p, line_of(node), path, NULL, "given twice; remove one");
	/* Of what is required, it is what to write when it is missing. */
	entry = add_entry(p, verdict, line_of(node), path,
		verdict == CONTRACT_HONOURED && rule->flags & XML_REQUIRED ? NULL : rule->why);
	if (entry < 0)
		return (int)entry;
	place.entry = (size_t)entry;
	r = parse_verdict(p, node, &place, again);
	if (r != 0)
		return r < 0 ? r : 0;
	r = enter(p, node, &place);
	if (r < 0)
		return r;
	xml_key(key, parent, rule, place.index);
	return parse_content(p, node, &place);
}

int xml_rules_parse(
	struct xml_parser *p, xmlNode *node, const struct xml_rule *root, void *base0, void *base1)
{
	const struct xml_place place = {
		.base = {base0, base1}, .path = "", .key = "", .rule = root};

	p->root = root;
	if (!name_fits(p, root, node))
		return xml_fail(p, line_of(node), (const char *)node->name, NULL,
			"not a <%s>; write one", root->name);
	if (contract_add(p->report, CONTRACT_HONOURED, line_of(node), root->name, NULL) < 0)
		return -ENOMEM;
	return parse_content(p, node, &place);
}
