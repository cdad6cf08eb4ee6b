/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs between two documents: see xml-diff.h. */
#include "config/xml-diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/xml-buf.h"
#include "config/xml-read.h"
#include "config/xml-rule.h"
#include "vmm-core/base/strutil.h"

#define KEY_MAX   80
#define KEY_PARTS 3
#define WINDOW    1024 /* how many others are looked at for the one with the same key */

/* What names an element among its like: the first of these that it has. "mac/@address" is an attribute of a child. */
static const struct key_row {
	const char *element;
	const char *parts[KEY_PARTS];
} xml_diff_keys[] = {
	{"interface", {"mac/@address", "@dev"}},
	{"disk", {"target/@dev"}},
	{"channel", {"target/@name"}},
	{"controller", {"@type"}},
	{"portgroup", {"@name"}},
	{"ip", {"@address"}},
	{"route", {"@address"}},
	{"range", {"@start"}},
	{"host", {"@mac", "@id", "@ip"}},
	{"txt", {"@name"}},
	{"srv", {"@service"}},
	{"forwarder", {"@domain", "@addr"}},
	{"feature", {"@name"}},
	{"entry", {"@name"}},
	{"parameter", {"@name"}},
	{"vcpupin", {"@vcpu"}},
	{"timer", {"@name"}},
	{"member", {"@dev"}},
	{"forward", {"@port"}},
};

/* Both documents at one place. */
struct walk {
	struct xml_diff *diff;
	int error;
};

/* An element among its like. */
struct child {
	const xmlNode *node;
	char key[KEY_MAX];
	bool taken;
};

struct children {
	struct child *items;
	size_t n;
};

static bool is_element(const xmlNode *node)
{
	return node->type == XML_ELEMENT_NODE;
}

static const char *name_of(const xmlNode *node)
{
	return (const char *)node->name;
}

static void put_name(const xmlNode *node, char *ret, size_t size)
{
	bool prefixed = node->ns && node->ns->prefix;

	(void)snprintf(ret, size, "%s%s%s", prefixed ? (const char *)node->ns->prefix : "",
		prefixed ? ":" : "", name_of(node));
}

static bool same_name(const xmlNode *a, const xmlNode *b)
{
	const char *ns_a = a->ns && a->ns->href ? (const char *)a->ns->href : "";
	const char *ns_b = b->ns && b->ns->href ? (const char *)b->ns->href : "";

	return streq(name_of(a), name_of(b)) && streq(ns_a, ns_b);
}

/* Attribute 'name' of 'node' in ret[size], or not. */
static bool get_attribute(const xmlNode *node, const char *name, char *ret, size_t size)
{
	_cleanup_(freep) char *value = xml_attribute(node, name);

	if (!value)
		return false;
	(void)snprintf(ret, size, "%s", value);
	return *ret != 0;
}

static bool get_part(const xmlNode *node, const char *part, char *ret, size_t size)
{
	const char *slash = strchr(part, '/');
	size_t len = slash ? (size_t)(slash - part) : 0;

	if (!slash)
		return get_attribute(node, part + 1, ret, size);
	for (const xmlNode *c = node->children; c; c = c->next)
		if (is_element(c) && strlen(name_of(c)) == len &&
			strncmp(name_of(c), part, len) == 0)
			return get_attribute(c, slash + 2, ret, size);
	return false;
}

static void get_key(const xmlNode *node, char ret[KEY_MAX])
{
	const struct key_row *row;

	*ret = 0;
	FOREACH_ELEMENT (row, xml_diff_keys) {
		if (!streq(row->element, name_of(node)))
			continue;
		for (size_t i = 0; i < KEY_PARTS && row->parts[i]; i++)
			if (get_part(node, row->parts[i], ret, KEY_MAX))
				return;
	}
}

static int get_children(const xmlNode *node, struct children *ret)
{
	size_t n = 0;

	*ret = (struct children){0};
	for (const xmlNode *c = node ? node->children : NULL; c; c = c->next)
		n += is_element(c);
	ret->items = calloc(n ? n : 1, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	for (const xmlNode *c = node ? node->children : NULL; c; c = c->next)
		if (is_element(c)) {
			ret->items[ret->n].node = c;
			get_key(c, ret->items[ret->n++].key);
		}
	return 0;
}

/* Values. */

/* What a terminal would obey becomes a blank; what is too long is cut, between two characters. */
static char *take_shown(struct xml_buf *buf)
{
	char *text = xml_buf_take(buf);
	size_t len = text ? strlen(text) : 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < ' ' || c == 0x7f)
			text[i] = ' ';
		else if (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0)
			text[i] = text[i + 1] = ' ';
	}
	if (len <= XML_DIFF_VALUE_MAX)
		return text;
	len = XML_DIFF_VALUE_MAX - 3;
	while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	memcpy(text + len, "...", 4);
	return text;
}

static bool has_elements(const xmlNode *node)
{
	for (const xmlNode *c = node->children; c; c = c->next)
		if (is_element(c))
			return true;
	return false;
}

/* What 'node' says itself: its text and attributes, "" for nothing; but for a size, "2097152 KiB". */
static void put_own(struct xml_buf *buf, const xmlNode *node)
{
	xmlChar *text = has_elements(node) ? NULL : xmlNodeGetContent(node);
	const char *blank = "";

	if (text && *text) {
		xml_buf_add(buf, (const char *)text);
		blank = " ";
	}
	for (const xmlAttr *a = node->properties; a; a = a->next) {
		xmlChar *value = xmlNodeListGetString(node->doc, a->children, 1);
		const char *shown = value ? (const char *)value : "";

		if (*blank && streq((const char *)a->name, "unit"))
			xml_buf_addf(buf, " %s", shown);
		else
			xml_buf_addf(buf, "%s%s='%s'", blank, (const char *)a->name, shown);
		blank = " ";
		xmlFree(value);
	}
	xmlFree(text);
}

static char *own_value(const xmlNode *node)
{
	struct xml_buf buf = {0};

	put_own(&buf, node);
	return xml_buf_take(&buf);
}

/* All that is in it, on one line. */
static void put_all(struct xml_buf *buf, const xmlNode *node, bool is_top)
{
	struct xml_buf own = {0};
	char name[128];
	char *text;

	if (buf->len > 2 * XML_DIFF_VALUE_MAX)
		return;
	put_own(&own, node);
	text = xml_buf_take(&own);
	put_name(node, name, sizeof(name));
	if (text && (*text || (!is_top && !has_elements(node)))) {
		xml_buf_add(buf, buf->len ? ", " : "");
		if (!is_top)
			xml_buf_addf(buf, *text ? "%s " : "%s", name);
		xml_buf_add(buf, text);
	}
	buf->failed |= !text;
	free(text);
	for (const xmlNode *c = node->children; c; c = c->next)
		if (is_element(c))
			put_all(buf, c, false);
}

/* Differences. */

static void add(struct walk *w, const char *path, char *old, char *new, char *xml)
{
	struct xml_diff *diff = w->diff;
	struct xml_difference *d;

	if (diff->n == XML_DIFF_MAX) {
		free(old);
		free(new);
		free(xml);
		return;
	}
	d = &diff->items[diff->n++];
	/* There may be more. */
	if (diff->n == XML_DIFF_MAX)
		path = "...";
	*d = (struct xml_difference){.path = strdup(path), .old = old, .new = new, .xml = xml};
	if (!d->path || (!old && !new))
		w->error = -ENOMEM;
}

/* Only one of them has it. */
static void add_one_sided(struct walk *w, const char *path, const xmlNode *node, bool is_new)
{
	struct xml_buf shown = {0}, xml = {0};
	char *value, *whole;

	put_all(&shown, node, true);
	value = take_shown(&shown);
	xml_buf_node(&xml, node, 0);
	whole = xml_buf_take(&xml);
	if (!whole)
		w->error = -ENOMEM;
	add(w, path, is_new ? NULL : value, is_new ? value : NULL, whole);
}

static char *shorten(char *text)
{
	struct xml_buf buf = {0};

	if (text)
		xml_buf_add(&buf, text);
	else
		buf.failed = true;
	free(text);
	return take_shown(&buf);
}

static void compare_own(struct walk *w, const char *path, const xmlNode *old, const xmlNode *new)
{
	char *a = own_value(old), *b = own_value(new);

	if (!a || !b)
		w->error = -ENOMEM;
	if (!a || !b || streq(a, b)) {
		free(a);
		free(b);
		return;
	}
	a = shorten(a);
	b = shorten(b);
	if (!a || !b)
		w->error = -ENOMEM;
	add(w, path, a, b, NULL);
}

/* The one of 'all' that 'child' is, which nobody else is. Those with keys are usually where the last one was, or near. */
static struct child *find_same(struct children *all, const struct child *child, size_t *from)
{
	for (size_t i = 0; i < all->n && i < WINDOW; i++) {
		struct child *c = &all->items[(*from + i) % all->n];

		if (c->taken || !same_name(c->node, child->node) || !streq(c->key, child->key))
			continue;
		*from = (size_t)(c - all->items) + 1;
		return c;
	}
	return NULL;
}

/* Which one of its name it is, for those without a key that repeat: 0 for the only one. */
static unsigned ordinal(const struct children *all, const struct child *child)
{
	unsigned before = 0, same = 0;

	for (size_t i = 0; i < all->n && i < WINDOW; i++) {
		if (!same_name(all->items[i].node, child->node))
			continue;
		same++;
		if (&all->items[i] <= child)
			before++;
	}
	return same > 1 ? before : 0;
}

static void child_path(const char *path, const struct children *all, const struct child *child,
	char ret[XML_DIFF_PATH_MAX])
{
	unsigned number = *child->key ? 0 : ordinal(all, child);
	char name[128], place[KEY_MAX + 4] = "";

	put_name(child->node, name, sizeof(name));
	if (*child->key)
		(void)snprintf(place, sizeof(place), "[%s]", child->key);
	else if (number)
		(void)snprintf(place, sizeof(place), "[%u]", number);
	(void)snprintf(ret, XML_DIFF_PATH_MAX, "%s%s%s%s", path, *path ? "/" : "", name, place);
	for (char *p = ret; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || (unsigned char)*p >= 0x80)
			*p = '?';
}

/* An element that only holds others: if it is missing, it is the others that are. */
static bool is_holder(const char *path)
{
	return streq(path, "devices");
}

static void compare(struct walk *w, const char *path, const xmlNode *old, const xmlNode *new);

static void compare_one_sided(struct walk *w, const char *path, const xmlNode *node, bool is_new)
{
	if (is_holder(path))
		compare(w, path, is_new ? NULL : node, is_new ? node : NULL);
	else
		add_one_sided(w, path, node, is_new);
}

/* Depth is limited by xml_read(). One of the two may be NULL. */
static void compare(struct walk *w, const char *path, const xmlNode *old, const xmlNode *new)
{
	char below[XML_DIFF_PATH_MAX];
	struct children a, b;
	size_t from = 0;

	if (old && new)
		compare_own(w, *path ? path : name_of(new), old, new);
	if (get_children(old, &a) < 0)
		a.items = NULL;
	if (!a.items || get_children(new, &b) < 0) {
		free(a.items);
		w->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < b.n; i++) {
		struct child *same = find_same(&a, &b.items[i], &from);

		child_path(path, &b, &b.items[i], below);
		if (same) {
			same->taken = true;
			compare(w, below, same->node, b.items[i].node);
		} else {
			compare_one_sided(w, below, b.items[i].node, true);
		}
	}
	for (size_t i = 0; i < a.n; i++) {
		if (a.items[i].taken)
			continue;
		child_path(path, &a, &a.items[i], below);
		compare_one_sided(w, below, a.items[i].node, false);
	}
	free(a.items);
	free(b.items);
}

static int read_root(const char *xml, xmlDoc **ret_doc)
{
	_cleanup_(freep) char *text = NULL;
	int r = xml_read(xml, strlen(xml), "XML", ret_doc, &text);

	if (r < 0)
		return r;
	return xmlDocGetRootElement(*ret_doc) ? 0 : -EBADMSG;
}

int xml_diff(const char *old, const char *new, struct xml_diff **ret_diff)
{
	_cleanup_(xml_diff_freep) struct xml_diff *diff = calloc(1, sizeof(*diff));
	_cleanup_(xml_doc_freep) xmlDoc *a = NULL, *b = NULL;
	struct walk w = {.diff = diff};
	int r = diff ? 0 : -ENOMEM;

	if (r == 0 && old && !streq(old, new)) {
		r = read_root(old, &a);
		if (r == 0)
			r = read_root(new, &b);
		if (r < 0)
			return r;
		compare(&w, "", xmlDocGetRootElement(a), xmlDocGetRootElement(b));
		/* The same things in another order. */
		if (w.error == 0 && diff->n == 0)
			add(&w, "(order)", strdup("of elements"), strdup("another"), NULL);
		r = w.error;
	}
	if (r == 0)
		*ret_diff = TAKE_PTR(diff);
	return r;
}

struct xml_diff *xml_diff_free(struct xml_diff *diff)
{
	for (size_t i = 0; diff && i < diff->n; i++) {
		free(diff->items[i].path);
		free(diff->items[i].old);
		free(diff->items[i].new);
		free(diff->items[i].xml);
	}
	free(diff);
	return NULL;
}

int xml_root_name(
	const char *xml, size_t len, const char *source, char *ret, size_t size, char **ret_error)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	int r = xml_read(xml, len, source, &doc, ret_error);
	const xmlNode *root = r == 0 ? xmlDocGetRootElement(doc) : NULL;

	if (r < 0)
		return r;
	if (!root || str_copy(ret, size, (const char *)root->name) < 0)
		*ret = 0;
	return 0;
}
