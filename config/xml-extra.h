/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an XML document holds that no struct carries: elements and attributes that are ignored or unknown,
 * kept so that they come out again where they went in. The mapper (xml-rule.c) fills and reads this.
 *
 * A kept thing belongs to a place, the element that held it, named by a key such as "devices/disk#0", and
 * within it to a row: the number of the rule after whose output it is printed, XML_EXTRA_FIRST for before
 * all of them. Things of one row keep their order.
 *
 * Ownership: an xml_extra owns copies of all it keeps. One thread at a time.
 *
 * Tested by tests/unit/test-xml-rule.c and tests/unit/test-domain-xml.c.
 */
#pragma once

#include <libxml/tree.h>

#include "vmm-core/base/cleanup.h"

#define XML_EXTRA_FIRST (-1)

struct xml_kept {
	int row;
	xmlNode *node;      /* an element, or NULL: an attribute … */
	char *name, *value; /* … of this name and value */
};

struct xml_extra_place {
	char *key;
	struct xml_kept *items;
	size_t n_items;
};

struct xml_extra;

/* NULL when out of memory. */
struct xml_extra *xml_extra_new(void);
struct xml_extra *xml_extra_free(struct xml_extra *extra);
DEFINE_CLEANUP(struct xml_extra *, xml_extra_free);

/* Returns 0 with a deep copy ('extra' NULL: NULL) or -ENOMEM. */
int xml_extra_copy(const struct xml_extra *extra, struct xml_extra **ret_copy);

/* Keep a copy of 'node' with all below it and the namespaces it uses. Returns 0 or -ENOMEM. */
int xml_extra_keep_node(struct xml_extra *extra, const char *key, int row, const xmlNode *node);
int xml_extra_keep_attr(
	struct xml_extra *extra, const char *key, int row, const char *name, const char *value);

/* What is kept in the place 'key'; NULL: nothing ('extra' may be NULL). */
const struct xml_extra_place *xml_extra_find(const struct xml_extra *extra, const char *key);
