/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of definitions that change together, as a record of the journal that says so (store.h). It is text:
 *
 *	vmmd-journal 1 GENERATION SEQUENCE COUNT BYTES DIGEST
 *	save KIND UUID LENGTH			KIND: domains or networks; then so many bytes of XML, and a newline
 *	delete KIND UUID			with its autostart flag
 *	flag KIND UUID				it starts at boot
 *	unflag KIND UUID
 *
 * BYTES are those after the first line; DIGEST is the FNV-1a of 128 bits of these, and then of the first line up to it. A record is
 * taken as a whole or not at all: anything that changeset_encode() would not have written is refused.
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
enum changeset_verb {
	CHANGESET_SAVE,
	CHANGESET_DELETE,
	CHANGESET_FLAG,
	CHANGESET_UNFLAG,
	CHANGESET_VERB_X_MAX
};

struct changeset_item {
	enum changeset_verb verb;
	enum changeset_kind kind;
	uint8_t uuid[16];
	const char *xml; /* of CHANGESET_SAVE */
};

/* Where it belongs: what is in a file of the journal has the file's generation, and each record a greater number than all before it. */
struct changeset_place {
	uint64_t generation, sequence;
};

/* The record's text; the caller frees it. Returns 0, -ENOMEM, or -EFBIG over a limit. */
int changeset_encode(const struct changeset_place *place, const struct changeset_item *items,
	size_t n, char **ret_text, size_t *ret_size);

/* Is there a whole record at the beginning of text[size]? Returns 0 with its length and place, -EBADMSG: no, or -EPROTONOSUPPORT: it is
 * of another version. */
int changeset_look(
	const char *text, size_t size, struct changeset_place *ret_place, size_t *ret_len);

/* Read the record at the beginning of text[size], which is written to: the items' XML lies in it. The caller frees '*ret_items'.
 * Returns 0, -ENOMEM, or as changeset_look(). */
int changeset_decode(char *text, size_t size, struct changeset_item **ret_items, size_t *ret_n);
