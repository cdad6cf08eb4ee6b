/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes to an XML tree, within limits: see xml-read.h. */
#include "config/xml-read.h"

#include <libxml/parser.h>
#include <stdarg.h>
#include <strings.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

/* The pass before the parser. It need not understand XML that is not well-formed, only find the same tags
 * as the parser does up to the first error, where both stop. */
struct scan {
	const char *p, *end;
	const char *source;
	char **ret_error;
	unsigned line, depth, n_nodes;
};

static int scan_fail(const struct scan *s, const char *format, ...) _printf_(2, 3);

static int scan_fail(const struct scan *s, const char *format, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&text, format, ap);
	va_end(ap);
	if (r < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (asprintf(s->ret_error, "%s:%u: %s", s->source, s->line, text) < 0) {
		*s->ret_error = NULL;
		return -ENOMEM;
	}
	return -EBADMSG;
}

static bool starts_with(const struct scan *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return (size_t)(s->end - s->p) >= len && memcmp(s->p, prefix, len) == 0;
}

static void skip(struct scan *s, size_t n)
{
	for (; n; n--, s->p++)
		s->line += *s->p == '\n';
}

/* Go behind the next 'mark', or to the end: the parser then says that it is missing. */
static void skip_behind(struct scan *s, const char *mark)
{
	const char *found = memmem(s->p, (size_t)(s->end - s->p), mark, strlen(mark));

	skip(s, found ? (size_t)(found - s->p) + strlen(mark) : (size_t)(s->end - s->p));
}

/* The bytes are UTF-8 without control characters but tab, newline, carriage return. */
static int scan_bytes(struct scan *s)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = (size_t)(s->end - s->p);

	if (memchr(s->p, 0, len))
		return scan_fail(s, "a zero byte (UTF-16?); write the document in UTF-8");
	text = strndup(s->p, len);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\r')
			text[i] = ' ';
	if (str_is_clean_utf8(text))
		return 0;
	for (char *line = text, *next; line; line = next, s->line++) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (!str_is_clean_utf8(line))
			break;
	}
	return scan_fail(
		s, "a control character, or a byte that is not UTF-8; write the document in UTF-8");
}

/* The encoding of an XML declaration, if it has one, is UTF-8 or a part of it. */
static int scan_declaration(struct scan *s)
{
	const char *end, *at;
	size_t len;

	if (!starts_with(s, "<?xml"))
		return 0;
	end = memmem(s->p, (size_t)(s->end - s->p), "?>", 2);
	at = end ? memmem(s->p, (size_t)(end - s->p), "encoding", 8) : NULL;
	if (!at)
		return 0;
	at += 8;
	while (at < end && strchr(" \t\r\n=", *at))
		at++;
	if (at < end && (*at == '"' || *at == '\''))
		at++;
	len = (size_t)(end - at);
	if ((len >= 6 && strncasecmp(at, "utf-8", 5) == 0 && (at[5] == '"' || at[5] == '\'')) ||
		(len >= 9 && strncasecmp(at, "us-ascii", 8) == 0 &&
			(at[8] == '"' || at[8] == '\'')))
		return 0;
	return scan_fail(s, "another encoding than UTF-8; write the document in UTF-8");
}

static int count_node(struct scan *s)
{
	if (++s->n_nodes > VMMD_MAX_XML_NODES)
		return scan_fail(
			s, "more than %u elements and attributes; write less", VMMD_MAX_XML_NODES);
	return 0;
}

/* A start tag or an empty element; p is behind its '<'. */
static int scan_tag(struct scan *s)
{
	unsigned n_attributes = 0;
	char quote = 0;

	for (;; skip(s, 1)) {
		char c;
		int r;

		if (s->p == s->end)
			return 0; /* the parser says what is missing */
		c = *s->p;
		if (c == '<')
			return scan_fail(s, "'<' within a tag; write &lt;");
		if (quote) {
			quote = c == quote ? 0 : quote;
			continue;
		}
		if (c == '\'' || c == '"')
			quote = c;
		if (c == '>')
			break;
		if (c != '=')
			continue;
		if (++n_attributes > XML_MAX_ATTRIBUTES)
			return scan_fail(s, "more than %u attributes in one element; write less",
				XML_MAX_ATTRIBUTES);
		r = count_node(s);
		if (r < 0)
			return r;
	}
	if (s->p[-1] != '/' && ++s->depth > VMMD_MAX_XML_DEPTH)
		return scan_fail(
			s, "elements nested deeper than %u; write less", VMMD_MAX_XML_DEPTH);
	skip(s, 1);
	return count_node(s);
}

static int scan_markup(struct scan *s)
{
	if (starts_with(s, "<!--")) {
		skip(s, 4);
		skip_behind(s, "-->");
	} else if (starts_with(s, "<![CDATA[")) {
		skip_behind(s, "]]>");
	} else if (starts_with(s, "<?")) {
		skip_behind(s, "?>");
	} else if (starts_with(s, "<!")) {
		return scan_fail(s, "a DOCTYPE or other declaration; remove it: none is allowed");
	} else if (starts_with(s, "</")) {
		s->depth -= s->depth > 0;
		skip_behind(s, ">");
	} else {
		skip(s, 1);
		return scan_tag(s);
	}
	return 0;
}

static int scan_document(struct scan *s)
{
	int r = scan_bytes(s);

	if (r < 0)
		return r;
	r = scan_declaration(s);
	while (r == 0 && s->p < s->end) {
		const char *next = memchr(s->p, '<', (size_t)(s->end - s->p));

		skip(s, (size_t)((next ? next : s->end) - s->p));
		if (next)
			r = scan_markup(s);
	}
	return r;
}

/* libxml2 says where and what; it must not print it. Only the first error counts. */
static void take_error(struct scan *s, const xmlError *error)
{
	const char *message = error->message ? error->message : "unknown error";
	size_t len = MIN(strcspn(message, "\n"), (size_t)200);

	if (error->level < XML_ERR_ERROR || *s->ret_error)
		return;
	while (len && ((unsigned char)message[len] & 0xc0) == 0x80) /* within a character */
		len--;
	s->line = error->line > 0 ? (unsigned)error->line : 1;
	(void)scan_fail(s, "not well-formed: %.*s; mend the markup", (int)len, message);
}

static void on_error(void *opaque, xmlErrorPtr error)
{
	const xmlParserCtxt *ctxt = opaque;

	take_error(ctxt->_private, error);
}

static int parse_tree(struct scan *s, const char *xml, size_t len, xmlDoc **ret_doc)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	xmlParserCtxt *ctxt = xmlNewParserCtxt();

	if (!ctxt)
		return -ENOMEM;
	ctxt->sax->serror = on_error;
	ctxt->_private = s;
	doc = xmlCtxtReadMemory(ctxt, xml, (int)len, NULL, "UTF-8",
		XML_PARSE_NONET | XML_PARSE_NOCDATA | XML_PARSE_BIG_LINES | XML_PARSE_IGNORE_ENC);
	if (ctxt->lastError.code == XML_ERR_NO_MEMORY) {
		xmlFreeParserCtxt(ctxt);
		return -ENOMEM;
	}
	if (!doc && !*s->ret_error)
		take_error(s, &ctxt->lastError);
	xmlFreeParserCtxt(ctxt);
	if (!doc || *s->ret_error)
		return *s->ret_error ? -EBADMSG : -ENOMEM;
	*ret_doc = TAKE_PTR(doc);
	return 0;
}

int xml_read(const char *xml, size_t len, const char *source, xmlDoc **ret_doc, char **ret_error)
{
	struct scan s = {.source = source, .ret_error = ret_error, .line = 1};
	int r;

	*ret_error = NULL;
	if (len > VMMD_MAX_XML_BYTES)
		return scan_fail(&s, "more than %u bytes; write less", VMMD_MAX_XML_BYTES);
	if (len >= 3 && memcmp(xml, "\xef\xbb\xbf", 3) == 0) {
		xml += 3;
		len -= 3;
	}
	if (!len)
		return scan_fail(&s, "an empty document; write an element");
	s.p = xml;
	s.end = xml + len;
	r = scan_document(&s);
	if (r < 0)
		return r;
	return parse_tree(&s, xml, len, ret_doc);
}
