/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text for XML output, and elements written as they are: see xml-buf.h. */
#include "config/xml-buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

void xml_buf_add_len(struct xml_buf *buf, const char *text, size_t len)
{
	if (buf->failed)
		return;
	if (buf->size - buf->len <= len) {
		size_t size = 2 * (buf->len + len) + 64;
		char *bigger = realloc(buf->text, size);

		if (!bigger) {
			buf->failed = true;
			return;
		}
		buf->text = bigger;
		buf->size = size;
	}
	memcpy(buf->text + buf->len, text, len);
	buf->len += len;
	buf->text[buf->len] = 0;
}

void xml_buf_add(struct xml_buf *buf, const char *text)
{
	xml_buf_add_len(buf, text, strlen(text));
}

void xml_buf_addf(struct xml_buf *buf, const char *format, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&text, format, ap);
	va_end(ap);
	if (r < 0) {
		text = NULL;
		buf->failed = true;
		return;
	}
	xml_buf_add(buf, text);
}

void xml_buf_indent(struct xml_buf *buf, unsigned depth)
{
	while (depth--)
		xml_buf_add(buf, "  ");
}

static const char *escape_of(char c, bool attribute)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '\'':
		return "&apos;";
	case '"':
		return "&quot;";
	case '\r':
		return "&#13;";
	case '\n':
		return attribute ? "&#10;" : NULL;
	case '\t':
		return attribute ? "&#9;" : NULL;
	default:
		return NULL;
	}
}

void xml_buf_escape(struct xml_buf *buf, const char *text, bool attribute)
{
	for (;;) {
		size_t plain = 0;

		while (text[plain] && !escape_of(text[plain], attribute))
			plain++;
		xml_buf_add_len(buf, text, plain);
		text += plain;
		if (!*text)
			return;
		xml_buf_add(buf, escape_of(*text++, attribute));
	}
}

void xml_buf_attr(struct xml_buf *buf, const char *name, const char *value)
{
	xml_buf_add(buf, " ");
	xml_buf_add(buf, name);
	xml_buf_add(buf, "='");
	xml_buf_escape(buf, value, true);
	xml_buf_add(buf, "'");
}

char *xml_buf_take(struct xml_buf *buf)
{
	char *text;

	if (!buf->text)
		xml_buf_add(buf, "");
	if (buf->failed) {
		xml_buf_done(buf);
		return NULL;
	}
	text = TAKE_PTR(buf->text);
	xml_buf_done(buf);
	return text;
}

static void add_name(struct xml_buf *buf, const xmlNs *ns, const xmlChar *name)
{
	if (ns && ns->prefix) {
		xml_buf_add(buf, (const char *)ns->prefix);
		xml_buf_add(buf, ":");
	}
	xml_buf_add(buf, (const char *)name);
}

/* libxml2 leaves "&amp;" in the names of namespaces undone, as "&#38;": no other '&' is in them. */
static void add_uri(struct xml_buf *buf, const char *uri)
{
	static const char undone[] = "&#38;";
	const char *found;

	while ((found = strstr(uri, undone))) {
		_cleanup_(freep) char *before = strndup(uri, (size_t)(found - uri));

		if (!before)
			buf->failed = true;
		xml_buf_escape(buf, before ? before : "", true);
		xml_buf_add(buf, "&amp;");
		uri = found + strlen(undone);
	}
	xml_buf_escape(buf, uri, true);
}

static void add_start(struct xml_buf *buf, const xmlNode *node)
{
	xml_buf_add(buf, "<");
	add_name(buf, node->ns, node->name);
	for (const xmlNs *ns = node->nsDef; ns; ns = ns->next) {
		xml_buf_add(buf, ns->prefix ? " xmlns:" : " xmlns");
		xml_buf_add(buf, ns->prefix ? (const char *)ns->prefix : "");
		xml_buf_add(buf, "='");
		add_uri(buf, ns->href ? (const char *)ns->href : "");
		xml_buf_add(buf, "'");
	}
	for (xmlAttr *attr = node->properties; attr; attr = attr->next) {
		xmlChar *value = xmlNodeListGetString(node->doc, attr->children, 1);

		xml_buf_add(buf, " ");
		add_name(buf, attr->ns, attr->name);
		xml_buf_add(buf, "='");
		xml_buf_escape(buf, value ? (const char *)value : "", true);
		xml_buf_add(buf, "'");
		xmlFree(value);
	}
}

static bool is_text(const xmlNode *node)
{
	return node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE;
}

/* The blanks between the children say nothing: there are children and no text beside them. */
static bool is_indented(const xmlNode *node)
{
	bool has_child = false;

	if (xmlNodeGetSpacePreserve(node) == 1)
		return false;
	for (xmlNode *child = node->children; child; child = child->next) {
		if (is_text(child) && !xmlIsBlankNode(child))
			return false;
		has_child |= child->type == XML_ELEMENT_NODE;
	}
	return has_child;
}

static void add_child(struct xml_buf *buf, const xmlNode *child, bool indented, unsigned depth);

static void add_element(struct xml_buf *buf, const xmlNode *node, bool indented, unsigned depth)
{
	bool inner = indented && is_indented(node);

	add_start(buf, node);
	if (!node->children) {
		xml_buf_add(buf, "/>");
		return;
	}
	xml_buf_add(buf, inner ? ">\n" : ">");
	for (const xmlNode *child = node->children; child; child = child->next)
		add_child(buf, child, inner, depth + 1);
	if (inner)
		xml_buf_indent(buf, depth);
	xml_buf_add(buf, "</");
	add_name(buf, node->ns, node->name);
	xml_buf_add(buf, ">");
}

static void add_child(struct xml_buf *buf, const xmlNode *child, bool indented, unsigned depth)
{
	bool known = child->type == XML_ELEMENT_NODE || child->type == XML_COMMENT_NODE;

	if (is_text(child) && !indented)
		xml_buf_escape(buf, child->content ? (const char *)child->content : "", false);
	if (!known)
		return;
	if (indented)
		xml_buf_indent(buf, depth);
	if (child->type == XML_ELEMENT_NODE) {
		add_element(buf, child, indented, depth);
	} else {
		xml_buf_add(buf, "<!--");
		xml_buf_add(buf, child->content ? (const char *)child->content : "");
		xml_buf_add(buf, "-->");
	}
	if (indented)
		xml_buf_add(buf, "\n");
}

void xml_buf_node(struct xml_buf *buf, const xmlNode *node, unsigned depth)
{
	add_child(buf, node, true, depth);
}
