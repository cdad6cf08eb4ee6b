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

/* An unknown model or feature becomes 'refused' in 'report', a model that is adapted to x86-64-vN 'adapted'. Returns 0,
 * -ENOMEM, or -EOPNOTSUPP with '*ret_error' one line as domain_xml_parse() gives it, which the caller frees. */
int cpu_check(const struct vm_cpu *cpu, const char *source, struct contract_report *report,
	char **ret_error);
