/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The <capabilities> document: what the host is and which guests vmmd runs on it, in libvirt's form, so that
 * virt-install and its kin find what they look for. The daemon fills the plain struct; only formatting is here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CAPABILITIES_TEXT_MAX 64

/* One logical CPU of the host. */
struct capabilities_cpu {
	unsigned id, cell, socket, die, core;
	char siblings[CAPABILITIES_TEXT_MAX]; /* the threads of its core: "0,2" or "0-1" */
};

#define CAPABILITIES_MAX_SIZES 8   /* of pages */
#define CAPABILITIES_MAX_CELLS 128 /* whose distances are told */

/* One NUMA node of the host. */
struct capabilities_cell {
	unsigned id;
	uint64_t memory_kib;                       /* 0: not said, nor are pages */
	uint64_t pages[CAPABILITIES_MAX_SIZES];    /* of each of struct capabilities' page_kib */
	uint8_t distances[CAPABILITIES_MAX_CELLS]; /* to each cell, in their order; 0: not said */
};

struct capabilities {
	uint8_t host_uuid[16];                  /* all zeroes: left out */
	char cpu_model[CAPABILITIES_TEXT_MAX];  /* "EPYC-Rome"; empty: left out, as all of these */
	char cpu_vendor[CAPABILITIES_TEXT_MAX]; /* "Intel", "AMD" */
	unsigned family, model, stepping;       /* of CPUID; all zero: left out */
	uint64_t microcode;
	uint64_t tsc_hz;
	unsigned sockets, dies, cores, threads; /* all zero: left out */
	unsigned maxphysaddr_bits;
	const char *const *features; /* libvirt's names; may be NULL when n_features is 0 */
	unsigned n_features;
	const uint32_t *page_kib; /* sizes of pages: 4, 2048, … */
	unsigned n_page_sizes;
	uint64_t memory_kib;
	const struct capabilities_cpu *cpus; /* for the NUMA topology */
	unsigned n_cpus;
	const struct capabilities_cell *cells;
	unsigned n_cells; /* 0: one cell, with all of the above */

	bool has_kvm;         /* without /dev/kvm no guest can run: none is listed */
	unsigned max_vcpus;   /* of one guest */
	const char *emulator; /* path of the worker; NULL: left out */
};

/* The document, ending in a newline, which the caller frees. Returns 0 or -ENOMEM. */
int capabilities_xml_format(const struct capabilities *caps, char **ret_xml);
