/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes to an XML tree, for bytes that anybody may have sent.
 *
 * Before libxml2 sees the document, one pass over it in our own code refuses what could cost more than it is
 * worth: other encodings than UTF-8, control characters, any <!DOCTYPE (so there are no entities to expand),
 * and more bytes, depth, nodes or attributes per element than names.h and XML_MAX_ATTRIBUTES allow. Nothing
 * is fetched, nothing is included, nothing is printed.
 *
 * Tested by tests/unit/test-xml-rule.c and tests/unit/test-domain-xml-hostile.c.
 */
#pragma once

#include <libxml/tree.h>

#define XML_MAX_ATTRIBUTES 64 /* of one element, namespace declarations included */

/* Read xml[len] into a tree that the caller frees with xmlFreeDoc(). Returns 0, -EBADMSG with '*ret_error'
 * "SOURCE:LINE: what is wrong; what to write instead", or -ENOMEM ('*ret_error' NULL). */
int xml_read(const char *xml, size_t len, const char *source, xmlDoc **ret_doc, char **ret_error);

static inline void xml_doc_freep(xmlDoc **doc)
{
	if (*doc)
		xmlFreeDoc(*doc);
	*doc = NULL;
}
