/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network's birth and death, and where it is found: see network.h. */
#include "daemon/network.h"

#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/domain-internal.h"
#include "daemon/gateway.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

struct network *network_new(
	struct manager *m, const uint8_t uuid[16], const char *name, struct error *error)
{
	struct network *n;

	if (m->n_networks >= NETWORK_MAX) {
		(void)error_set(error, ERROR_OPERATION_FAILED, "there are %u networks already",
			m->n_networks);
		return NULL;
	}
	n = calloc(1, sizeof(*n));
	if (!n || str_copy(n->name, sizeof(n->name), name) < 0) {
		free(n);
		(void)error_set(error, ERROR_NO_MEMORY, "network");
		return NULL;
	}
	n->manager = m;
	n->tap_fd = -EBADF;
	memcpy(n->uuid, uuid, 16);
	list_init(&n->start_waits);
	list_init(&n->stop_waits);
	list_init(&n->ports);
	list_add_tail(&m->networks, &n->link);
	m->n_networks++;
	return n;
}

struct network *network_free(struct network *n)
{
	if (!n)
		return NULL;
	domain_drop_waits(&n->start_waits);
	domain_drop_waits(&n->stop_waits);
	network_free_ports(n);
	network_team_free(n);
	(void)sd_event_source_disable_unref(n->kill_timer);
	(void)sd_event_source_disable_unref(n->uplink_timer);
	(void)worker_free(n->worker);
	(void)worker_log_free(n->log);
	(void)gateway_release(n->gateway);
	(void)safe_close(n->tap_fd);
	(void)stats_view_free(n->stats);
	(void)cgroup_free(n->cgroup, false);
	(void)network_config_free(n->config);
	free(n->xml);
	list_del(&n->link);
	n->manager->n_networks--;
	free(n);
	return NULL;
}

struct network *network_find_name(struct manager *m, const char *name)
{
	struct list *pos;

	list_for_each (pos, &m->networks) {
		struct network *n = list_entry(pos, struct network, link);

		if (streq(n->name, name))
			return n;
	}
	return NULL;
}

struct network *network_find_uuid(const struct manager *m, const uint8_t uuid[16])
{
	struct list *pos;

	list_for_each (pos, &m->networks) {
		struct network *n = list_entry(pos, struct network, link);

		if (memcmp(n->uuid, uuid, 16) == 0)
			return n;
	}
	return NULL;
}

struct network *network_find(struct manager *m, const char *key, struct error *error)
{
	struct network *n = network_find_name(m, key);
	uint8_t uuid[16];

	if (n)
		return n;
	if (uuid_parse(key, uuid) == 0) {
		n = network_find_uuid(m, uuid);
		if (!n)
			(void)error_set(
				error, ERROR_NO_NETWORK, "no network with matching uuid '%s'", key);
		return n;
	}
	(void)error_set(error, ERROR_NO_NETWORK, "no network with matching name '%s'", key);
	return NULL;
}

void network_event(struct network *n, const char *detail)
{
	manager_emit_network(n->manager, EVENT_NETWORK, n, detail, NULL, 0);
}

const char *network_bridge(const struct network *n)
{
	if (*n->config->bridge || !n->gateway || gateway_netns_fd(n->gateway) >= 0)
		return n->config->bridge;
	return gateway_ifname(n->gateway);
}

int network_format_xml(const struct network *n, bool inactive, char **ret_xml, struct error *error)
{
	struct network_live live = {0};

	if (inactive && n->xml) {
		*ret_xml = strdup(n->xml);
		return *ret_xml ? 0 : error_set(error, ERROR_NO_MEMORY, "xml");
	}
	live.bridge = network_bridge(n);
	live.connections = network_n_ports(n);
	if (network_xml_format(n->config, inactive ? NULL : &live, ret_xml) < 0)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	return 0;
}
