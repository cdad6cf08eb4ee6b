/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of domain-xml.c and domain-device.c: the verdict tables of domain XML, domain-rules.c for the whole document
 * and one file for each part of it,
 *
 *	domain-rules-threads	vCPUs, iothreads, and where they run
 *	domain-rules-memory	memory, what backs and limits it, and what is plugged in
 *	domain-rules-numa	nodes of memory, the guest's and the host's
 *	domain-rules-{os,sysinfo,cpu,clock}	elements of these names
 *	domain-rules-{devices,disk,net}	<devices>, and of it <disk> and <interface>
 *
 * and the code behind the rows that a table cannot express (domain-hooks.c, domain-hooks-net.c and domain-cpuid.c for one
 * element, domain-finish.c for what elements have to do with each other, domain-numa.c for what of that is about nodes of memory).
 *
 * Base 0 is the machine's side (struct vm_config and its devices), base 1 the host's (struct domain_config
 * and its). The formatter's user pointer is the struct domain_live, or NULL.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#pragma once

#include "config/domain-xml.h"
#include "config/xml-rows.h"

/* Rows of every device. */
#define ALIAS(word)                                                                                \
	{                                                                                          \
		.name = "alias", .kind = XML_CUSTOM, .parse = domain_parse_alias,                  \
		.format = domain_format_alias, .fixed = (word)                                     \
	}
#define PCI_ADDRESS(field)                                                                         \
	{                                                                                          \
		.name = "address", .kind = XML_CUSTOM, field, .parse = domain_parse_pci,           \
		.format = domain_format_pci                                                        \
	}
#define VIRTIO_DRIVER_ROWS                                                                         \
	{.name = "@iommu", .kind = XML_KEEP, .words = domain_iommu_words},                         \
		KEEP("@ats", "the guest has no IOMMU"),                                            \
		KEEP("@packed", "virtqueues are split rings"),                                     \
		KEEP("@page_per_vq", "notifications share one page")

#define NOT_ON_X86 "not a feature of x86 machines"

#define VM(member)   XML_FIELD(0, struct vm_config, member)
#define HOST(member) XML_FIELD(1, struct domain_config, member)

extern const struct xml_namespace domain_namespaces[];
extern const struct xml_rule domain_root;
extern const struct xml_rule domain_own_memory_rows[]; /* of <domain> */
extern const struct xml_rule domain_memory_backing_rows[];
extern const struct xml_rule domain_memtune_rows[];
extern const struct xml_rule domain_vcpu_rows[];
extern const struct xml_rule domain_iothreadids_rows[];
extern const struct xml_rule domain_cputune_rows[];
extern const struct xml_rule domain_numatune_rows[];
extern const struct xml_rule domain_sysinfo_rows[];
extern const struct xml_rule domain_os_rows[];
extern const struct xml_rule domain_feature_rows[];
extern const struct xml_rule domain_cpu_rows[];
extern const struct xml_rule domain_numa_rows[]; /* of <cpu> */
extern const struct xml_rule domain_clock_rows[];
extern const struct xml_rule domain_device_rows[];
extern const struct xml_rule domain_disk_rows[];
extern const struct xml_array domain_disks;
extern const struct xml_rule domain_interface_rows[];
extern const struct xml_array domain_interfaces;
extern const struct xml_rule domain_max_memory_rows[];
extern const struct xml_rule domain_memory_rows[]; /* of <devices> */
extern const struct xml_array domain_memories;
extern const struct xml_rule domain_unit_rows[];    /* of a size that has nothing but its unit= */
extern const struct xml_word domain_access_words[]; /* who else may map memory */
extern const struct xml_word domain_iommu_words[];  /* virtio's <driver iommu=> */
extern const struct xml_word domain_virtio_model_words[]; /* virtio's model= */

/* Hooks of rows. */
bool domain_has_iothreadids(const struct xml_place *place, const struct xml_formatter *f);
bool domain_is_empty_drive(const xmlNode *node);
int domain_after_hugepages(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_numa(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_numa_memory(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_vcpu(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_iothreadids(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_cpu(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_topology(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_genid(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_boot(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_disk(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_serial(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_console(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_channel(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_memory(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_parse_pci(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
void domain_format_pci(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out);
int domain_parse_alias(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
void domain_format_alias(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out);
int domain_parse_leaf(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
void domain_format_leaves(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out);
void domain_format_id(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out);

/* Hooks of <interface>. */
bool domain_is_ip_parameter(const xmlNode *node);
int domain_after_filterref(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int domain_after_interface(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
void domain_format_ip_name(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out);
void domain_format_portid(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out);

/* The whole document by the rules. 0, or a negative errno, with p->error set but for -ENOMEM. */
int domain_parse_rules(struct xml_parser *p, xmlDoc *doc, struct domain_config *config);
/* domain_finish(), and -EOPNOTSUPP if something was refused meanwhile. */
int domain_parse_finish(struct xml_parser *p, struct domain_config *config);

/* A part of domain_finish(): <cpu><numa>, <hugepages> and <numatune>, once the number of vCPUs is known. With cells it settles how much
 * memory there is. */
int domain_finish_numa(struct xml_parser *p, struct domain_config *config);

/* After the whole document: defaults, pairs of serial port and console, places on the PCI bus, checks
 * between elements. Returns 0, -EINVAL with p->error, or another negative errno. */
int domain_finish(struct xml_parser *p, struct domain_config *config);
