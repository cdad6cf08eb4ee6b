/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a document that is applied again and again does not say, and what is there knows: its UUID, places of its devices. */
#pragma once

#include <stdint.h>

struct vm_config;

struct xml_identify {
	/* May fill 'uuid' in; one that it leaves null is generated. */
	void (*find)(void *opaque, const char *name, uint8_t uuid[16]);
	/* What the domain with that UUID is now, or NULL: its devices keep their places on the bus when the document says none. */
	const struct vm_config *(*find_places)(void *opaque, const uint8_t uuid[16]);
	void *opaque;
};
