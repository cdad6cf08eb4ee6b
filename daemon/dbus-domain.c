/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One bus object for each domain: /org/vmmd1/domain/UUID with its properties. Reading them is open to everybody who
 * may talk to the service, as names and states are (org.vmmd1.read is "yes" by default).
 *
 * Tested by tests/unit/test-dbus.c.
 */
#include <string.h>

#include "daemon/api.h"
#include "daemon/dbus-internal.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata,
	void **ret_found, sd_bus_error *ret_error)
{
	struct dbus *d = userdata;
	char text[UUID_STRING_LEN + 1];
	const char *last = strrchr(path, '/');
	struct domain *domain;
	uint8_t uuid[16];

	(void)bus;
	(void)interface;
	(void)ret_error;
	if (!last || str_copy(text, sizeof(text), last + 1) < 0)
		return 0;
	for (char *p = text; *p; p++)
		if (*p == '_')
			*p = '-';
	if (uuid_parse(text, uuid) < 0)
		return 0;
	domain = manager_find_uuid(d->manager, uuid);
	if (!domain)
		return 0;
	*ret_found = domain;
	return 1;
}

static int enumerate(
	sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *ret_error)
{
	struct dbus *d = userdata;
	struct list *pos;
	size_t n = 0;
	char **nodes;

	(void)bus;
	(void)prefix;
	(void)ret_error;
	nodes = calloc(d->manager->n_domains + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	list_for_each (pos, &d->manager->domains) {
		char path[API_PATH_MAX];

		api_domain_path(list_entry(pos, struct domain, link), path);
		nodes[n] = strdup(path);
		if (!nodes[n++]) {
			while (n--)
				free(nodes[n]);
			free(nodes);
			return -ENOMEM;
		}
	}
	*ret_nodes = nodes;
	return 0;
}

static int get_property(sd_bus *bus, const char *path, const char *interface, const char *property,
	sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	const struct domain *d = userdata;
	const struct definition *current = domain_current(d);
	char uuid[UUID_STRING_LEN + 1];

	(void)bus;
	(void)path;
	(void)interface;
	(void)ret_error;
	if (streq(property, "Id"))
		return sd_bus_message_append(reply, "i", d->id);
	if (streq(property, "Persistent"))
		return sd_bus_message_append(reply, "b", domain_is_persistent(d));
	if (streq(property, "Autostart"))
		return sd_bus_message_append(reply, "b", d->autostart);
	if (streq(property, "Name"))
		return sd_bus_message_append(reply, "s", d->name);
	if (streq(property, "State"))
		return sd_bus_message_append(reply, "s", domain_state_name(d->state));
	if (streq(property, "Reason"))
		return sd_bus_message_append(reply, "s", domain_reason_name(d->state, d->reason));
	if (streq(property, "Title"))
		return sd_bus_message_append(reply, "s", current ? current->title : "");
	uuid_format(d->uuid, uuid);
	return sd_bus_message_append(reply, "s", uuid);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable domain_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Name", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Uuid", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Id", "i", get_property, 0, CHANGES),
	SD_BUS_PROPERTY("State", "s", get_property, 0, CHANGES),
	SD_BUS_PROPERTY("Reason", "s", get_property, 0, CHANGES),
	SD_BUS_PROPERTY("Persistent", "b", get_property, 0, CHANGES),
	SD_BUS_PROPERTY("Autostart", "b", get_property, 0, CHANGES),
	SD_BUS_PROPERTY("Title", "s", get_property, 0, CHANGES),
	SD_BUS_VTABLE_END,
};

int dbus_domain_add(struct dbus *d)
{
	int r = sd_bus_add_fallback_vtable(d->bus, &d->domain_slot, VMMD_DOMAIN_PATH,
		VMMD_DOMAIN_IFACE, domain_vtable, find, d);

	if (r >= 0)
		r = sd_bus_add_node_enumerator(
			d->bus, &d->enumerator_slot, VMMD_DOMAIN_PATH, enumerate, d);
	return r;
}

void dbus_domain_changed(struct event_sink *sink, const struct domain *domain)
{
	struct dbus *d = container_of(sink, struct dbus, sink);
	char path[API_PATH_MAX];

	api_domain_path(domain, path);
	(void)sd_bus_emit_properties_changed(d->bus, path, VMMD_DOMAIN_IFACE, "Id", "State",
		"Reason", "Persistent", "Autostart", "Title", NULL);
}
