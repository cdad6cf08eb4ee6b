/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names in <cpu>, checked when a domain is defined: config/ knows the element but not the names (cpu-model.h does),
 * and the worker would refuse them only at the start.
 *
 * Tested by tests/unit/test-manager.c.
 */
#pragma once

#include "config/contract.h"
#include "config/vm-config.h"

/* An unknown model or feature becomes 'refused' in 'report', a version of a model 'adapted' to the model, or 'refused'
 * with fallback='forbid'. That counts only where somebody wrote it: into the XML of a running domain (which has an id)
 * libvirt puts it by itself, whatever the definition says, and there it is taken out. Returns 0, -ENOMEM, or
 * -EOPNOTSUPP with '*ret_error' one line as domain_xml_parse() gives it, which the caller frees. */
int cpu_check(
	struct vm_cpu *cpu, const char *source, struct contract_report *report, char **ret_error);
