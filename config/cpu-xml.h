/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * <cpu> by itself, as cpu-compare and cpu-baseline read and write it: what a guest's processor is to be, or what a host's
 * is. Found where virsh finds it: alone, several after each other, in <domain>, in <capabilities> and in <domainCapabilities>
 * (host-model), also in several documents one after the other.
 *
 * Names are kept as they are: config/ does not know them (vmm-core/cpu-model.h does).
 */
#pragma once

#include "config/vm-config.h"

#define CPU_XML_MAX   64                 /* processors in one text */
#define CPU_XML_VALID (UINT32_C(1) << 0) /* an element or attribute that nobody knows is an error */

struct cpu_definition {
	struct vm_cpu cpu; /* of a host: 'mode' and policies are those of no word, or "require" */
	bool host;         /* it has an <arch>: what a host is */
	char arch[16];     /* "": not said */
	unsigned line;     /* where it begins */
};

/* Read xml[len]. Returns 0 with at least one processor, which the caller frees with free(); -EBADMSG (not well-formed, over a
 * limit), -EINVAL (a wrong value), -ENOENT (no processor in it) or -ENOMEM. '*ret_error' is one line that the caller
 * frees, NULL with -ENOMEM. 'source' names the text in it. */
int cpu_xml_parse(const char *xml, size_t len, const char *source, uint32_t flags,
	struct cpu_definition **ret_cpus, unsigned *ret_n, char **ret_error);

/* <cpu> of a guest, ending in a newline, which the caller frees. Returns 0 or -ENOMEM. */
int cpu_xml_format(const struct vm_cpu *cpu, char **ret_xml);
