/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of vm_config_validate(), shared by vm-config.c (the machine), vm-config-cells.c (its nodes) and vm-config-devices.c (its
 * devices): how a check says what is wrong, and tables of fields that are checked one by one. Every check
 * returns 0 or -EINVAL with the reason written.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/base/macro.h"

struct vm_check {
	const struct vm_config *config;
	char *reason; /* reason[size], may be NULL when size is 0 */
	size_t size;
};

enum vm_field_kind {
	VM_FIELD_FLAG,     /* uint8_t: 0 or 1 */
	VM_FIELD_ENUM,     /* uint8_t: less than 'max' */
	VM_FIELD_TEXT,     /* char[max]: NUL-terminated clean UTF-8 */
	VM_FIELD_PRINTABLE /* char[max]: NUL-terminated printable ASCII */
};

/* One field of a struct; 'name' is what the XML calls it, below the element of the struct. */
struct vm_field {
	const char *name;
	size_t offset;
	unsigned max;
	enum vm_field_kind kind;
};

#define VM_FLAG(type, field, xml)                                                                  \
	{                                                                                          \
		.name = (xml), .offset = offsetof(type, field), .kind = VM_FIELD_FLAG              \
	}
#define VM_ENUM(type, field, xml, limit)                                                           \
	{                                                                                          \
		.name = (xml), .offset = offsetof(type, field), .max = (limit),                    \
		.kind = VM_FIELD_ENUM                                                              \
	}
#define VM_TEXT(type, field, xml)                                                                  \
	{                                                                                          \
		.name = (xml), .offset = offsetof(type, field), .max = sizeof(((type *)0)->field), \
		.kind = VM_FIELD_TEXT                                                              \
	}
#define VM_PRINTABLE(type, field, xml)                                                             \
	{                                                                                          \
		.name = (xml), .offset = offsetof(type, field), .max = sizeof(((type *)0)->field), \
		.kind = VM_FIELD_PRINTABLE                                                         \
	}

int vm_check_fail(const struct vm_check *c, const char *format, ...) _printf_(2, 3);

/* Check fields[n] of the struct at 'base', which the XML calls 'element'. */
int vm_check_fields(const struct vm_check *c, const char *element, const void *base,
	const struct vm_field *fields, size_t n);

/* The nodes of its memory (vm-config-cells.c). */
int vm_check_cells(const struct vm_check *c);
/* Disks, character devices, the random number generator, PCI places (vm-config-devices.c). */
int vm_check_devices(const struct vm_check *c);

/* <maxMemory> and memory devices (vm-config-memory.c). */
int vm_check_memories(const struct vm_check *c);
