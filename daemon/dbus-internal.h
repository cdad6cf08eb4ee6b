/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between dbus.c and dbus-domain.c. */
#pragma once

#include "daemon/auth.h"
#include "daemon/dbus.h"

#define DBUS_MAX_KNOWN 64
#define DBUS_MAX_UID_CALLS                                                                         \
	64 /* being worked on, of one uid that is not the administrator's: a question to polkit may take minutes */

/* Calls being worked on; calls may outlive the struct dbus they came by. */
struct dbus_count {
	unsigned n_ref, calls;
	struct list of_uids; /* struct transport of those whose caller is known */
};
struct dbus_count *dbus_count_ref(struct dbus_count *count);
void dbus_count_unref(struct dbus_count *count);

struct dbus_known {
	char sender[64]; /* a unique name */
	uid_t uid;
};

struct dbus {
	struct manager *manager;
	sd_bus *bus;
	struct auth auth;
	struct event_sink sink;
	sd_bus_vtable *vtable;
	sd_bus_slot *slot, *domain_slot, *enumerator_slot;
	struct list asking; /* calls whose caller the bus is asked about */
	struct dbus_count *count;
	struct dbus_known known[DBUS_MAX_KNOWN]; /* a ring */
	unsigned n_known;
	enum api_role peer_role; /* ASK: as it is for callers of a bus */
	bool peer_uid_known;
	uid_t peer_uid;
	char peer_address[64]; /* as in struct api_peer */
};

int dbus_domain_add(struct dbus *dbus);
void dbus_domain_changed(struct event_sink *sink, const struct domain *domain);
