/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of the mapper: one field's value from text and back. xml-rule.c finds the text, xml-format.c prints.
 *
 * Tested by tests/unit/test-xml-rule.c.
 */
#pragma once

#include "config/xml-rule.h"

struct xml_value {
	const struct xml_rule *rule;
	const struct xml_place *place; /* of the element that has the text or the attribute */
	const xmlNode *node;           /* that element: its @unit belongs to a size */
	const char *text;
	const char *path; /* for errors */
	unsigned line;
	/* The answer. */
	enum contract_verdict verdict;
	const char *why;
};

/* Put the value into its field. Returns 0 with the verdict, or a negative errno of xml_fail(). A refused
 * word is no error here. */
int xml_value_parse(struct xml_parser *p, struct xml_value *value);

/* Append the field's value to 'out' (not escaped). Returns false when there is none: empty, zero, default. */
bool xml_value_format(
	const struct xml_rule *rule, const struct xml_place *place, struct xml_buf *out);

/* A size in any unit that libvirt knows, in KiB, rounded up. 'unit' NULL: KiB. Returns 0, -EINVAL (no number),
 * -ENOENT (no unit) or -ERANGE (more than 'max_kib'). */
int xml_size_parse(const char *number, const char *unit, uint64_t max_kib, uint64_t *ret_kib);
