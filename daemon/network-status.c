/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What outlives the daemon: RUNTIME/networks/UUID/status.json (the worker, the ports) and live.xml, and the way back. A
 * worker is never killed because something here cannot be read.
 *
 * Tested by tests/unit/test-network-life.c.
 */
#include <json-c/json.h>
#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define STATUS_VERSION 2

static struct json_object *ports_to_json(const struct network *n)
{
	struct json_object *array = json_object_new_array();
	struct list *pos;

	list_for_each (pos, &n->ports) {
		const struct network_port *port = list_entry(pos, struct network_port, link);
		struct json_object *o = json_object_new_object();
		char uuid[UUID_STRING_LEN + 1];

		uuid_format(port->domain, uuid);
		json_object_object_add(o, "port", json_object_new_int64(port->number));
		json_object_object_add(o, "domain", json_object_new_string(uuid));
		json_object_object_add(o, "nic", json_object_new_int64(port->nic));
		json_object_array_add(array, o);
	}
	return array;
}

/* By the worker's numbers. */
static struct json_object *uplinks_to_json(const struct network *n)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < n->n_members; i++)
		json_object_array_add(array, json_object_new_string(n->members[i]));
	return array;
}

static void adopt_uplinks(struct network *n, struct json_object *uplinks)
{
	memset(n->members, 0, sizeof(n->members));
	n->n_members = (unsigned)MIN(json_object_array_length(uplinks), (size_t)NET_MAX_UPLINKS);
	for (unsigned i = 0; i < n->n_members; i++)
		(void)str_copy(n->members[i], NET_IFNAME_MAX,
			json_object_get_string(json_object_array_get_idx(uplinks, i)));
}

int network_save_status(struct network *n)
{
	struct store_room *room = &n->manager->store->networks;
	_cleanup_(freep) char *xml = NULL;
	struct json_object *o;
	int r;

	if (!n->worker)
		return 0;
	o = json_object_new_object();
	json_object_object_add(o, "version", json_object_new_int(STATUS_VERSION));
	json_object_object_add(o, "name", json_object_new_string(n->name));
	json_object_object_add(o, "pid", json_object_new_int(worker_pid(n->worker)));
	json_object_object_add(
		o, "start_time", json_object_new_uint64(worker_start_time(n->worker)));
	json_object_object_add(o, "slot", json_object_new_int64(n->slot));
	json_object_object_add(o, "ports", ports_to_json(n));
	json_object_object_add(o, "uplinks", uplinks_to_json(n));
	/* The status last: by it the rest counts. */
	r = network_xml_format(n->config, NULL, &xml);
	if (r == 0)
		r = store_save_runtime(room, n->uuid, "live.xml", xml);
	if (r == 0)
		r = store_save_runtime(room, n->uuid, STORE_STATUS,
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
	if (r < 0)
		(void)log_warning_errno(r,
			"cannot save the status of network '%s' (a new daemon finds an older "
			"one): %m",
			n->name);
	return r;
}

static bool get_number(
	struct json_object *o, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return false;
	*ret = json_object_get_int64(v);
	return *ret >= min && *ret <= max;
}

static const char *get_string(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : NULL;
}

/* The network that 'uuid' was: its definition, with what really runs as configuration. */
static struct network *find_or_make(struct manager *m, const uint8_t uuid[16])
{
	_cleanup_(network_config_freep) struct network_config *config = NULL;
	_cleanup_(freep) char *xml = NULL, *text = NULL;
	struct network *n = network_find_uuid(m, uuid);
	struct error e = {0};
	int r;

	r = store_load_runtime(&m->store->networks, uuid, "live.xml", VMMD_MAX_XML_BYTES, &xml);
	if (r == 0)
		r = network_xml_parse(xml, strlen(xml), "live.xml", 0, &config, NULL, &text);
	if (r < 0) {
		log_warning("what a network runs cannot be read: %s", text ? text : strerror(-r));
		return n;
	}
	if (!n)
		n = network_new(m, uuid, config->net.name, &e);
	if (!n)
		return NULL;
	(void)network_config_free(n->config);
	n->config = TAKE_PTR(config);
	return n;
}

/* The domain's live.xml has what was asked for; what came of it in this network is found again. */
static void adopt_config(struct network_port *port, struct domain *d, unsigned index)
{
	struct net_port_config *asked = &d->live->vm.nics[index].port, resolved;

	if (network_resolve_port(port->network, d, port->nic, asked, &resolved) == 0)
		*asked = resolved;
	port->config = *asked;
}

/* A port of a domain that runs on is ours again; one of a domain that ended is given back. */
static void adopt_ports(struct network *n, struct json_object *ports)
{
	for (size_t i = 0; i < json_object_array_length(ports) && i < NET_MAX_PORTS; i++) {
		struct json_object *o = json_object_array_get_idx(ports, i);
		const char *text = get_string(o, "domain");
		int64_t number, nic;
		struct network_port *port;
		struct domain *d;
		uint8_t uuid[16];
		int index;

		if (!text || uuid_parse(text, uuid) < 0 ||
			!get_number(o, "port", 1, NET_MAX_PORTS - 1, &number) ||
			!get_number(o, "nic", 0, VM_MAX_NICS - 1, &nic))
			continue;
		port = network_port_adopt(n, (unsigned)number, uuid, (unsigned)nic);
		d = manager_find_uuid(n->manager, uuid);
		index = d ? domain_nic_index(d, (unsigned)nic) : -ENOENT;
		if (port && index >= 0)
			adopt_config(port, d, (unsigned)index);
	}
}

static void take_over(struct network *n, struct worker *worker, int dir_fd, uint32_t slot)
{
	char name[NET_NAME_MAX + 8], uuid[UUID_STRING_LEN + 1];
	struct manager *m = n->manager;

	n->worker = worker;
	n->slot = slot;
	n->phase = NETWORK_ACTIVE;
	uuid_format(n->uuid, uuid);
	(void)snprintf(name, sizeof(name), "net:%s", n->name);
	if (m->cgroup_root)
		(void)cgroup_new(
			m->cgroup_root, uuid, &(struct cgroup_limits){0}, NULL, &n->cgroup);
	(void)worker_log_open(m->event, m->store->log_fd, name, dir_fd, &n->log, NULL);
	if (stats_view_find(STATS_NETWORK, worker_pid(worker), &n->stats) < 0)
		log_notice("network '%s': its statistics page cannot be reached again", n->name);
	network_team_load(n, worker_start_time(worker));
	journal_network(JOURNAL_NETWORK_FOUND, n, "network '%s' runs on (worker %d)", n->name,
		(int)worker_pid(worker));
}

static void adopt_one(void *opaque, const uint8_t uuid[16])
{
	_cleanup_(closep) int dir_fd = -EBADF;
	_cleanup_(freep) char *text = NULL;
	struct manager *m = opaque;
	struct store_room *room = &m->store->networks;
	struct json_object *o = NULL, *ports = NULL, *uplinks = NULL;
	struct worker *worker = NULL;
	int64_t version, pid, start_time, slot;
	struct network *n = NULL;
	int r;

	r = store_load_runtime(room, uuid, STORE_STATUS, STORE_MAX_STATUS_BYTES, &text);
	if (r == 0)
		o = json_tokener_parse(text);
	if (!json_object_is_type(o, json_type_object) ||
		!get_number(o, "version", STATUS_VERSION, STATUS_VERSION, &version) ||
		!get_number(o, "pid", 2, INT32_MAX, &pid) ||
		!get_number(o, "start_time", 0, INT64_MAX, &start_time) ||
		!get_number(o, "slot", 0, UINT32_MAX, &slot) ||
		!json_object_object_get_ex(o, "ports", &ports) ||
		!json_object_is_type(ports, json_type_array) ||
		!json_object_object_get_ex(o, "uplinks", &uplinks) ||
		!json_object_is_type(uplinks, json_type_array))
		r = -EBADMSG;
	else
		n = find_or_make(m, uuid);
	if (n)
		r = store_open_runtime(room, uuid, false, &dir_fd);
	if (n && r == 0)
		r = worker_adopt(m->event, uuid, (pid_t)pid, (uint64_t)start_time, dir_fd,
			&network_worker_ops, n, &worker);
	if (n && worker) {
		take_over(n, worker, dir_fd, (uint32_t)slot);
		adopt_uplinks(n, uplinks);
		adopt_ports(n, ports);
		/* Without its tap the worker is of no use: another one comes with another gateway. */
		if (network_wants_gateway(n->config) && network_adopt_gateway(n, dir_fd) < 0) {
			n->n_restarts = 1;
			worker_kill(worker);
		}
	} else if (n && r == -ESRCH) {
		/* The worker died while no daemon looked; its ports want a new one. */
		log_notice("network '%s' lost its worker while no vmmd ran", n->name);
		adopt_ports(n, ports);
		network_team_load(n, 0);
		n->n_restarts = 1;
		if (network_wants_gateway(n->config))
			(void)network_adopt_gateway(n, dir_fd);
		network_revive(n);
	} else {
		(void)log_warning_errno(r, "a network cannot be taken over: %m");
	}
	json_object_put(o);
}

void network_adopt_all(struct manager *m)
{
	struct list *pos;

	(void)store_each_runtime(&m->store->networks, adopt_one, m);
	/* A daemon that was killed within a start has left no status, but maybe a filter. */
	list_for_each (pos, &m->networks) {
		const struct network *n = list_entry(pos, struct network, link);

		if (!network_is_active(n))
			network_give_back_nics(n);
	}
}
