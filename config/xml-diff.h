/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What differs between two documents, for people: canonical XML (domain_xml_format(), network_xml_format()) of what is
 * there and of what is to be.
 *
 * Elements that repeat are told apart by what names them, not by their place: an interface by its MAC address, a disk by its target
 * (xml_diff_keys[]); others are taken in their order. A path is as in the contract report, with the key in brackets:
 * "devices/interface[52:54:00:11:22:33]/source". An element that is only in one of the two is one difference, with all that is in
 * it.
 *
 * Pure; any thread. Tested by tests/unit/test-xml-diff.c.
 */
#pragma once

#include <stddef.h>

#include "vmm-core/base/cleanup.h"

#define XML_DIFF_MAX       256 /* differences that are told; the last then says that there are more */
#define XML_DIFF_PATH_MAX  512
#define XML_DIFF_VALUE_MAX 400 /* bytes of a value that are shown */

struct xml_difference {
	char *path;
	char *old, *new; /* "1048576 KiB", "network='red'"; NULL: it is not there */
	char *xml;       /* of an element that is only in one of them: its whole XML; else NULL */
};

struct xml_diff {
	size_t n;
	struct xml_difference items[XML_DIFF_MAX];
};

/* 'old' may be NULL: nothing differs. Returns 0, -EBADMSG when one of them cannot be read, or -ENOMEM. */
int xml_diff(const char *old, const char *new, struct xml_diff **ret_diff);
struct xml_diff *xml_diff_free(struct xml_diff *diff);
DEFINE_CLEANUP(struct xml_diff *, xml_diff_free);

/* The name of the root element of xml[len] in ret[size] ("" when it is too long). Returns 0, or as domain_xml_parse() with
 * '*ret_error' for the caller to free. */
int xml_root_name(
	const char *xml, size_t len, const char *source, char *ret, size_t size, char **ret_error);
