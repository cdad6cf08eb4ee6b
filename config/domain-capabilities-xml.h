/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The <domainCapabilities> document: what a domain can be made of on this host, in libvirt's form, so that virt-install and its
 * kin choose what will run. The daemon fills the plain struct; only formatting is here.
 *
 * Tested by tests/unit/test-cpu-xml.c.
 */
#pragma once

#include "config/vm-config.h"

struct domain_capabilities_model {
	const char *name, *vendor; /* vendor NULL: of none */
	const char *const
		*blockers; /* what this host lacks of it; NULL-terminated, empty: it is usable */
};

struct domain_capabilities {
	const char *emulator, *machine;
	unsigned max_vcpus;
	const struct vm_cpu *host_model; /* the nearest model, and what the host has more or less */
	const struct domain_capabilities_model *models;
	unsigned n_models;
};

/* The document, ending in a newline, which the caller frees. Returns 0 or -ENOMEM. */
int domain_capabilities_xml_format(const struct domain_capabilities *caps, char **ret_xml);
