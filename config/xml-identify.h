/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a document that is applied again and again does not say, and what is there knows: its UUID, places of its devices. */
#pragma once

#include <stdint.h>

struct vm_config;

struct xml_identify {
	/* May fill 'uuid' in; one that it leaves null is generated. */
	void (*find)(void *opaque, const char *name, uint8_t uuid[16]);
	/* What the domain with that UUID is now, or NULL: it keeps its generation id, and its devices their places on the bus, when the
	 * document says none. Called more than once. */
	const struct vm_config *(*find_known)(void *opaque, const uint8_t uuid[16]);
	void *opaque;
};
