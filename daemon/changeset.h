/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of definitions that change together, and the file that says so while they do (store.h). It is text:
 *
 *	vmmd-changes 1 COUNT BYTES DIGEST	the bytes after this line, and their FNV-1a of 128 bits
 *	save KIND UUID LENGTH			KIND: domains or networks; then so many bytes of XML, and a newline
 *	delete KIND UUID
 *
 * A file is taken as a whole or not at all: anything that changeset_encode() would not have written is refused.
 *
 * Threads: any. Tested by tests/unit/test-changeset.c and tests/fuzz/fuzz-changeset.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm-core/base/names.h"

/* All that there can be, and each of them once. */
#define CHANGESET_MAX       (2 * VMMD_MAX_DOMAINS)
#define CHANGESET_MAX_BYTES (64 * 1024 * 1024)

enum changeset_kind { CHANGESET_DOMAINS, CHANGESET_NETWORKS, CHANGESET_KIND_X_MAX };

struct changeset_item {
	enum changeset_kind kind;
	uint8_t uuid[16];
	const char *xml; /* NULL: the definition goes */
};

/* The file's text; the caller frees it. Returns 0, -ENOMEM, or -EFBIG over a limit. */
int changeset_encode(
	const struct changeset_item *items, size_t n, char **ret_text, size_t *ret_size);

/* Read text[size], which ends in NUL and is written to: the items' XML lies in it. The caller frees '*ret_items'. Returns
 * 0, -ENOMEM or -EBADMSG. */
int changeset_decode(char *text, size_t size, struct changeset_item **ret_items, size_t *ret_n);
