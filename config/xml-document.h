/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frame of a parser of one kind of document: bytes to a tree, the tree to a configuration, and what is told of it.
 *
 * Tested by tests/unit/test-domain-xml.c and tests/unit/test-network-xml.c.
 */
#pragma once

#include "config/xml-rule.h"

struct xml_document {
	const struct xml_namespace *namespaces;
	const char *source;                  /* names it in errors; NULL: "XML" */
	unsigned flags;                      /* XML_* of domain-xml.h */
	const struct xml_identify *identify; /* NULL: nobody knows */
	struct xml_extra *extra;             /* for what is kept; the configuration's */
	/* The tree to the whole of 'config': as xml_rules_parse(), and -EOPNOTSUPP when something was refused. */
	int (*parse)(struct xml_parser *p, xmlDoc *doc, void *config);
};

/* Returns and sets what domain_xml_parse() says. 'config' may be half-filled when it fails. */
int xml_document_parse(const char *xml, size_t len, const struct xml_document *document,
	void *config, struct contract_report **ret_report, char **ret_error);
