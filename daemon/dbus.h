/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The D-Bus transport: /org/vmmd1 with org.vmmd1.Manager, made from the method table, its DomainEvent signal, and one
 * object for each domain with its properties. Handlers never see any of this.
 *
 * The bus may be a bus daemon's, or a peer at the other end of a socket (tests): then there are no names and the
 * caller is known by the socket's credentials.
 */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/manager.h"

struct api_peer;
struct dbus;

/* Put the objects on 'bus' (attached to an event loop by the caller). 'system': polkit may be asked. */
int dbus_new(struct manager *manager, sd_bus *bus, bool system, struct dbus **ret_dbus);
/* The same for one peer at the other end of a socket, whose role the transport has found: nobody is asked. */
int dbus_new_direct(
	struct manager *manager, sd_bus *bus, const struct api_peer *peer, struct dbus **ret_dbus);
struct dbus *dbus_free(struct dbus *dbus);
DEFINE_CLEANUP(struct dbus *, dbus_free);
