/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt domain XML <-> struct domain_config, and the contract report: what became of each element.
 *
 * Parsing is strict about bytes (no DOCTYPE, no entities, size, depth and node limits of names.h) and
 * generous about words: an element that vmmd does not serve is honoured, adapted, ignored, refused or
 * unknown by a table, and the report says which and why. A definition is accepted when nothing was refused
 * (and, with XML_STRICT, nothing unknown either).
 */
#pragma once

#include "config/contract.h"
#include "config/domain-config.h"
#include "config/xml-identify.h"
#include "vmm-core/base/cleanup.h"

#define XML_STRICT (1U << 0) /* unknown elements and attributes are errors (--validate) */
#define XML_STORED                                                                                 \
	(1U << 1) /* written by vmmd, or by an earlier version: the machine gets nothing that is not there */

/* Parse 'xml' (len bytes, need not end in NUL; 'source' names it in errors, e.g. a file name). On success
 * '*ret_config' is a new domain_config with a UUID (generated if the XML has none), already validated, and
 * '*ret_report' (may be NULL) the contract. On failure returns -EBADMSG (not well-formed or over a limit),
 * -EINVAL (a wrong value), -EOPNOTSUPP (something was refused) or -ENOMEM, and '*ret_error' is one line:
 * "FILE:LINE: element/@attribute: what is wrong; what to write instead". The report is set on -EOPNOTSUPP
 * too. The caller frees all three. 'flags': XML_STRICT, XML_STORED. */
int domain_xml_parse(const char *xml, size_t len, const char *source, unsigned flags,
	struct domain_config **ret_config, struct contract_report **ret_report, char **ret_error);
/* The same, for somebody who may know whose UUID it is when the XML has none ('identify'). */
int domain_xml_parse_as(const char *xml, size_t len, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config **ret_config,
	struct contract_report **ret_report, char **ret_error);

/* The same, into 'config', whose contents are replaced, and mean nothing after a failure. For whoever reads many: a new
 * domain_config costs more, in pages and their faults, than the reading itself. */
int domain_xml_parse_into(const char *xml, size_t len, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config *config,
	struct contract_report **ret_report, char **ret_error);

/* What only a running domain has, for the live form of dumpxml. All may be NULL or negative. */
struct domain_live {
	int id;                                   /* -1: not running */
	const char *serial_paths[VM_MAX_SERIALS]; /* "/dev/pts/3" */
	const char *console_paths[VM_MAX_CONSOLES];
	struct {
		const char *target; /* the host's side: "vnet3"; where the definition has no name */
		const char *bridge; /* type network: the bridge behind it */
		const uint8_t *port_id; /* type network: UUID of the port, [16] */
	} nics[VM_MAX_NICS];
	uint64_t current_memory_kib; /* that the guest has now; 0: as it is configured */
	struct {
		uint8_t number; /* of its alias */
		uint64_t current_kib;
	} memories[VM_MAX_MEMORIES];
	const struct vm_config
		*given; /* the machine whose <cpu> and CPUID the guest has; NULL: as configured */
	const char *channel_paths[VM_MAX_CHANNELS]; /* of a socket: where none was asked for */
};

/* The canonical XML: libvirt's order, two-space indent, single quotes, elements kept for the round trip in
 * their places, ending in a newline. 'live' NULL gives the inactive form. Returns 0 or -ENOMEM. */
int domain_xml_format(
	const struct domain_config *config, const struct domain_live *live, char **ret_xml);

/* Is <numatune> in order, by itself and with the guest's cells? Returns 0, or -EINVAL with the reason: "element: what is wrong". */
int domain_numatune_check(const struct domain_config *config, char *ret_reason, size_t reason_size);

struct domain_config *domain_config_new(void); /* with libvirt's defaults */
/* As new. Every page of it is there from then on. */
void domain_config_reset(struct domain_config *config);
struct domain_config *domain_config_free(struct domain_config *config);
DEFINE_CLEANUP(struct domain_config *, domain_config_free);
