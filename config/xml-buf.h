/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A growing text for XML output. A buffer that could not grow remembers it: check 'failed' once, at the end.
 *
 * Tested by tests/unit/test-xml-rule.c.
 */
#pragma once

#include <libxml/tree.h>
#include <stdlib.h>

#include "vmm-core/base/macro.h"

struct xml_buf {
	char *text; /* NUL-terminated; NULL while empty */
	size_t len, size;
	bool failed;
};

static inline void xml_buf_done(struct xml_buf *buf)
{
	free(buf->text);
	*buf = (struct xml_buf){0};
}

void xml_buf_add(struct xml_buf *buf, const char *text);
void xml_buf_add_len(struct xml_buf *buf, const char *text, size_t len);
void xml_buf_addf(struct xml_buf *buf, const char *format, ...) _printf_(2, 3);
void xml_buf_indent(struct xml_buf *buf, unsigned depth); /* two blanks each */

/* With & < > ' " escaped; in an attribute also line breaks and tabs, which a parser would make blanks. */
void xml_buf_escape(struct xml_buf *buf, const char *text, bool attribute);
/* " name='value'" */
void xml_buf_attr(struct xml_buf *buf, const char *name, const char *value);

/* A whole element as it is, indented anew unless its text is mixed with elements. */
void xml_buf_node(struct xml_buf *buf, const xmlNode *node, unsigned depth);

/* The finished text, which the caller frees ("" when empty), or NULL when memory ran out. */
char *xml_buf_take(struct xml_buf *buf);
