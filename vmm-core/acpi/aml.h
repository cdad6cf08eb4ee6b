/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A writer of AML, the byte code of ACPI (ACPI 6.5, chapter 20), into a bounded buffer.
 *
 * Functions append one object or operator each, in the order of the grammar: an operator first, then its operands.
 * What has a length (scope, device, method, package, buffer, if ...) is opened with a function that answers a mark and
 * closed with aml_end(mark), which encodes the length in as few bytes as it takes.
 *
 *	size_t device = aml_device(w, "RTC");
 *
 *	aml_name(w, "_HID");
 *	aml_eisaid(w, "PNP0B00");
 *	aml_end(w, device);
 *
 * Nothing fails on the way: a writer that runs out of room sets 'overflow' and writes nothing more.
 *
 * Names are ASL's: "\\_SB.PCI0", "^RTC"; segments shorter than four characters are filled up.
 *
 * Tested by tests/unit/test-acpi.c.
 */
#pragma once

#include "vmm-core/base/macro.h"

struct aml {
	uint8_t *data;
	size_t len, size;
	bool overflow;
};

/* Raw material; ACPI tables are written with it too. Numbers are little-endian. */
void aml_u8(struct aml *w, unsigned v);
void aml_u16(struct aml *w, unsigned v);
void aml_u32(struct aml *w, uint32_t v);
void aml_u64(struct aml *w, uint64_t v);
void aml_bytes(struct aml *w, const void *data, size_t len);

/* Close what the answer of another function opened. */
void aml_end(struct aml *w, size_t mark);

/* Data objects. */
void aml_int(struct aml *w, uint64_t v); /* the shortest form */
void aml_string(struct aml *w, const char *s);
void aml_eisaid(struct aml *w, const char *id); /* "PNP0A08" */
size_t aml_package(struct aml *w, unsigned n_elements);
void aml_buffer(struct aml *w, const void *data, size_t len);
/* A UUID as ASL's ToUUID() stores it; 'uuid' in the order it is written. */
void aml_touuid(struct aml *w, const uint8_t uuid[16]);
void aml_path(struct aml *w, const char *name); /* a reference to an object */

/* Named objects. */
void aml_name(struct aml *w, const char *name); /* Name(name, <next object>) */
size_t aml_scope(struct aml *w, const char *name);
size_t aml_device(struct aml *w, const char *name);
size_t aml_method(struct aml *w, const char *name, unsigned n_args, bool serialized);
void aml_op_region_io(struct aml *w, const char *name, unsigned port, unsigned len);
/* One byte-wide field of 'bits' bits at the start of a region. */
void aml_field_byte(struct aml *w, const char *region, const char *field, unsigned bits);
/* Fields of 32 bits, accessed as such, one behind the other; the last name is followed by NULL. */
void aml_field_dwords(struct aml *w, const char *region, const char *const *fields);

/* Operators. The operands follow. */
enum aml_op {
	AML_STORE = 0x70,      /* source, target */
	AML_SHIFT_LEFT = 0x79, /* a, count, target */
	AML_AND = 0x7b,        /* a, b, target */
	AML_OR = 0x7d,
	AML_NOTIFY = 0x86,             /* object, value */
	AML_CREATE_DWORD_FIELD = 0x8a, /* buffer, index, name */
	AML_NOT_L = 0x92,              /* a */
	AML_EQUAL_L = 0x93,            /* a, b */
	AML_RETURN = 0xa4,             /* value */
};
void aml_op(struct aml *w, enum aml_op op);
size_t aml_if(struct aml *w);
size_t aml_else(struct aml *w);
void aml_arg(struct aml *w, unsigned n);
void aml_local(struct aml *w, unsigned n);

/* Resource templates (ACPI 6.5, 6.4): open, descriptors, close. */
size_t aml_resources(struct aml *w);
void aml_resources_end(struct aml *w, size_t mark);
void aml_res_io(struct aml *w, unsigned port, unsigned len);
void aml_res_irq(struct aml *w, unsigned irq); /* edge, active high, exclusive */
void aml_res_memory32(struct aml *w, uint32_t base, uint32_t size);
void aml_res_bus(struct aml *w, unsigned first, unsigned last);
/* Windows of a bridge; 'last' is the last address in it. */
void aml_res_window_io(struct aml *w, unsigned first, unsigned last);
void aml_res_window32(struct aml *w, uint32_t first, uint32_t last);
void aml_res_window64(struct aml *w, uint64_t first, uint64_t last);
