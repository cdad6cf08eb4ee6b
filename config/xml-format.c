/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formatting half of the mapper: see xml-rule.h.
 *
 * Tested by tests/unit/test-xml-rule.c and tests/unit/test-domain-xml.c.
 */
#include <stdio.h>

#include "config/xml-rule.h"
#include "config/xml-value.h"
#include "vmm-core/base/strutil.h"

/* An element while it grows. */
struct element {
	struct xml_buf attributes, text, children;
	bool prints; /* something in it is worth printing the element for */
};

static void element_done(struct element *e)
{
	xml_buf_done(&e->attributes);
	xml_buf_done(&e->text);
	xml_buf_done(&e->children);
}

static const char *uri_of(const struct xml_formatter *f, const char *name, size_t prefix_len)
{
	for (const struct xml_namespace *ns = f->namespaces; ns && ns->prefix; ns++)
		if (strlen(ns->prefix) == prefix_len && strncmp(ns->prefix, name, prefix_len) == 0)
			return ns->uri;
	return NULL;
}

/* A prefix is declared on the first element that uses it: on all but children of the same prefix. */
static void add_namespace(const struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *parent, struct xml_buf *out)
{
	const char *colon = strchr(rule->name, ':');
	size_t len = colon ? (size_t)(colon - rule->name) : 0;

	if (!colon || (parent && strncmp(parent->rule->name, rule->name, len + 1) == 0))
		return;
	xml_buf_addf(out, " xmlns:%.*s='%s'", (int)len, rule->name, uri_of(f, rule->name, len));
}

/* "name=rtc" prints as the attribute that it asks for, unless it is a pattern or asks for none. */
static void add_when(const struct xml_rule *rule, struct xml_buf *out)
{
	size_t len = rule->when ? strcspn(rule->when, "=") : 0;
	const char *value;

	if (!rule->when)
		return;
	value = rule->when + len + 1;
	if (*value && !strchr(value, '*'))
		xml_buf_addf(out, " %.*s='%s'", (int)len, rule->when, value);
}

static void write_element(const struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *parent, struct element *e, unsigned depth, struct xml_buf *out)
{
	out->failed |= e->attributes.failed | e->text.failed | e->children.failed;
	if (out->failed)
		return;
	xml_buf_indent(out, depth);
	xml_buf_addf(out, "<%s", rule->name);
	add_namespace(f, rule, parent, out);
	add_when(rule, out);
	xml_buf_add(out, e->attributes.text ? e->attributes.text : "");
	if (!e->text.len && !e->children.len) {
		xml_buf_add(out, "/>\n");
		return;
	}
	xml_buf_add(out, ">");
	if (e->text.len) {
		xml_buf_escape(out, e->text.text, false);
	} else {
		xml_buf_add(out, "\n");
		xml_buf_add(out, e->children.text);
		xml_buf_indent(out, depth);
	}
	xml_buf_addf(out, "</%s>\n", rule->name);
}

static void add_kept(const struct xml_extra_place *kept, int row, unsigned depth, struct element *e)
{
	for (size_t i = 0; kept && i < kept->n_items; i++) {
		const struct xml_kept *item = &kept->items[i];

		if (item->row != row)
			continue;
		if (item->node)
			xml_buf_node(&e->children, item->node, depth);
		else
			xml_buf_attr(&e->attributes, item->name, item->value);
		e->prints = true;
	}
}

bool xml_is_kept(
	const struct xml_formatter *f, const struct xml_place *place, const struct xml_rule *rule)
{
	const struct xml_extra_place *kept = xml_extra_find(f->extra, place->key);

	for (size_t i = 0; kept && i < kept->n_items; i++)
		if (kept->items[i].row == rule - place->rule->rows)
			return true;
	return false;
}

static void format_attribute(
	const struct xml_rule *rule, const struct xml_place *place, struct element *e)
{
	struct xml_buf value = {0};

	if (rule->kind == XML_UNIT) {
		xml_buf_attr(&e->attributes, rule->name + 1, "KiB");
	} else if (rule->kind == XML_CONST) {
		if (rule->fixed)
			xml_buf_attr(&e->attributes, rule->name + 1, rule->fixed);
	} else if (xml_value_format(rule, place, &value) || (rule->flags & XML_ALWAYS)) {
		e->attributes.failed |= value.failed;
		xml_buf_attr(&e->attributes, rule->name + 1, value.text ? value.text : "");
		e->prints = true;
	}
	xml_buf_done(&value);
}

static void format_text(
	const struct xml_rule *rule, const struct xml_place *place, struct element *e)
{
	if (rule->kind == XML_CONST)
		xml_buf_add(&e->text, rule->fixed);
	else if (xml_value_format(rule, place, &e->text))
		e->prints = true;
	else if (!(rule->flags & XML_ALWAYS))
		xml_buf_done(&e->text);
}

static void format_row(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct element *e);

/* All rows of the element that 'place' stands in, into 'e'; its children are at 'depth'. */
static void format_rows(
	struct xml_formatter *f, const struct xml_place *place, unsigned depth, struct element *e)
{
	const struct xml_extra_place *kept = xml_extra_find(f->extra, place->key);
	const struct xml_rule *rows = place->rule->rows;
	int i = 0;

	add_kept(kept, XML_EXTRA_FIRST, depth, e);
	for (; rows && rows[i].name; i++) {
		if (!rows[i].print_if || rows[i].print_if(place, f))
			format_row(f, &rows[i], place, depth, e);
		add_kept(kept, i, depth, e);
	}
	add_kept(kept, i, depth, e);
}

/* One element of 'rule' within 'parent'; 'force': even when nothing in it prints. */
static bool format_element(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *parent, struct xml_place *place, unsigned depth, bool force,
	struct xml_buf *out)
{
	struct element e = {0};
	bool prints;

	if (rule->kind >= XML_STRING && rule->kind <= XML_CONST)
		format_text(rule, place, &e);
	format_rows(f, place, depth + 1, &e);
	prints = force || e.prints;
	if (prints)
		write_element(f, rule, parent, &e, depth, out);
	out->failed |= e.attributes.failed | e.text.failed | e.children.failed;
	element_done(&e);
	return prints;
}

static bool format_child(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *parent, unsigned item, unsigned depth, struct xml_buf *out)
{
	char key[XML_KEY_MAX];
	struct xml_place place = {.base = {parent->base[0], parent->base[1]},
		.path = "",
		.key = key,
		.index = parent->index,
		.rule = rule};
	bool force = rule->flags & XML_ALWAYS || rule->kind == XML_FLAG || rule->kind == XML_ARRAY;

	if (rule->kind == XML_ARRAY) {
		place.index = item;
		for (unsigned i = 0; i < 2; i++)
			place.base[i] = (char *)parent->base[i] + rule->array->offset[i] +
				item * rule->array->stride[i];
	}
	xml_key(key, parent, rule, place.index);
	return format_element(f, rule, parent, &place, depth, force, out);
}

static void format_row(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct element *e)
{
	const uint32_t *count;

	if (rule->kind == XML_CUSTOM) {
		struct xml_buf *out = *rule->name == '@' ? &e->attributes : &e->children;
		size_t before = out->len;

		rule->format(f, rule, place, depth, out);
		e->prints |= out->len != before;
		return;
	}
	if (rule->kind >= XML_KEEP)
		return;
	if (*rule->name == '@') {
		format_attribute(rule, place, e);
	} else if (*rule->name == '.') {
		format_text(rule, place, e);
	} else if (rule->kind == XML_ARRAY) {
		count = (const uint32_t *)(const void *)((const char *)place
								 ->base[rule->array->count_base] +
			rule->array->count_offset);
		for (unsigned i = 0; i < *count && i < rule->array->max; i++)
			e->prints |= format_child(f, rule, place, i, depth, &e->children);
	} else if (rule->kind != XML_FLAG ||
		*(uint8_t *)xml_field(place, rule) == (rule->set ? rule->set : 1)) {
		e->prints |= format_child(f, rule, place, 0, depth, &e->children);
	}
}

void xml_rules_format(struct xml_formatter *f, const struct xml_rule *root, void *base0,
	void *base1, struct xml_buf *out)
{
	struct xml_place place = {.base = {base0, base1}, .path = "", .key = "", .rule = root};

	(void)format_element(f, root, NULL, &place, 0, true, out);
}
