/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A definition at rest: the canonical XML and the few facts that lists and statistics show, in one piece of memory of
 * some kilobytes. struct domain_config is a hundred times that: it exists while XML is read, and for what runs.
 *
 * Immutable. Threads: the daemon's one.
 */
#pragma once

#include "config/domain-xml.h"
#include "daemon/owner.h"

struct definition_disk {
	bool is_block, is_cdrom;
	const char *target; /* "vda" */
	const char *path;
};

struct definition {
	const char *xml; /* the inactive form; domain_xml_parse() reads it back */
	const char *title;
	struct domain_owner owner;
	uint32_t vcpus, vcpus_max;
	uint64_t memory_kib, current_memory_kib;
	uint32_t n_nics;
	const uint8_t (*macs)[NET_MAC_LEN]; /* of them */
	uint32_t n_disks;
	struct definition_disk disks[]; /* the strings are behind them */
};

/* Returns 0, -ENOMEM, or -EFBIG when the canonical XML is longer than what could be read back (VMMD_MAX_XML_BYTES). */
int definition_new(const struct domain_config *config, struct definition **ret_definition);
struct definition *definition_free(struct definition *definition);
/* One of its interfaces has this address. Takes NULL. */
bool definition_has_mac(const struct definition *definition, const uint8_t mac[NET_MAC_LEN]);
DEFINE_CLEANUP(struct definition *, definition_free);

/* The whole of it. Returns 0 or what domain_xml_parse() says; the caller frees the config. */
int definition_parse(const struct definition *definition, struct domain_config **ret_config);
