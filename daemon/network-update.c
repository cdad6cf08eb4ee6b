/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-update: one element of a network changes, in the definition, in what runs, or in both. Everything is computed and
 * checked before anything changes; what runs is changed first, as it is what may fail.
 *
 * Tested by tests/unit/test-network.c and tests/unit/test-gateway-nat.c.
 */
#include "config/network-update.h"
#include "daemon/gateway.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

/* What the network will be. NULL: stays. */
struct change {
	struct network_config *live, *persistent;
	char *xml; /* of persistent */
	struct net_uplink
		uplink; /* that what runs gets, as 'uplink_fd', or (-EBADF) loses; "": none */
	int uplink_fd;
};

static void change_done(struct change *change)
{
	(void)network_config_free(change->live);
	(void)network_config_free(change->persistent);
	free(change->xml);
	(void)safe_close(change->uplink_fd);
}

static int compute(const struct network_config *base, const struct network_update *update,
	struct network_config **ret, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	int r = network_update(base, update, ret, &text);

	if (r == -ESRCH)
		return error_set(error, ERROR_OPERATION_INVALID, "%s", text);
	if (r == -EPERM)
		return error_set(error, ERROR_NOT_SUPPORTED, "%s", text);
	if (r == -ENOSYS)
		return error_set(error, ERROR_NO_SUPPORT, "%s", text);
	return error_set_xml(error, r, text);
}

/* The uplink of 'a' that 'b' has not. */
static const struct net_uplink *find_extra(
	const struct network_config *a, const struct network_config *b)
{
	for (uint32_t i = 0; i < a->net.n_uplinks; i++) {
		bool found = false;

		for (uint32_t j = 0; j < b->net.n_uplinks; j++)
			found |= streq(a->net.uplinks[i].ifname, b->net.uplinks[j].ifname);
		if (!found)
			return &a->net.uplinks[i];
	}
	return NULL;
}

static int open_uplink(const struct network *n, struct change *change, struct error *error)
{
	const struct net_uplink *added = find_extra(change->live, n->config);
	const struct net_uplink *removed = find_extra(n->config, change->live);
	int r;

	if (removed)
		change->uplink = *removed;
	if (!added)
		return 0;
	change->uplink = *added;
	r = network_open_uplink(n, &change->uplink, &change->uplink_fd, error);
	if (r < 0)
		network_give_back_nic(n, added);
	return r;
}

static int compute_live(const struct network *n, const struct network_update *update,
	struct change *change, struct error *error)
{
	int r;

	if (update->section == NETWORK_SECTION_FORWARD_INTERFACE && !n->config->net.n_uplinks)
		return error_set(error, ERROR_NOT_SUPPORTED,
			"network '%s' has no uplinks, and keeps the way out that it was started "
			"with; write --config, and start it anew",
			n->name);
	if (n->phase != NETWORK_ACTIVE || !worker_is_connected(n->worker))
		return error_set(error, ERROR_OPERATION_INVALID,
			"network '%s' is being started; try again when it is active", n->name);
	r = compute(n->config, update, &change->live, error);
	return r < 0 ? r : open_uplink(n, change, error);
}

static int compute_persistent(const struct network *n, const struct network_update *update,
	struct change *change, struct error *error)
{
	_cleanup_(network_config_freep) struct network_config *base = NULL;
	int r = network_definition(n, &base, error);

	if (r == 0)
		r = compute(base, update, &change->persistent, error);
	return r < 0 ? r : network_canonical_xml(change->persistent, &change->xml, error);
}

static int update_gateway(
	struct network *n, const struct network_config *config, struct error *error)
{
	_cleanup_(freep) struct gateway_config *g = NULL;
	int r;

	if (!n->gateway)
		return 0;
	g = malloc(sizeof(*g));
	if (!g)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	r = network_gateway_config(config, g, error);
	return r < 0 ? r : gateway_update(n->gateway, g, error);
}

static int apply(struct network *n, struct change *change, struct error *error)
{
	int r = change->live ? update_gateway(n, change->live, error) : 0;

	if (r < 0 || !change->xml)
		return r;
	r = manager_change(n->manager, CHANGESET_SAVE, CHANGESET_NETWORKS, n->uuid, n->name,
		change->xml, error);
	if (r == 0)
		return 0;
	if (change->live)
		(void)update_gateway(n, n->config, NULL);
	return r;
}

static void take_uplink(struct network *n, struct change *change)
{
	if (change->uplink_fd >= 0)
		network_uplink_add_live(n, &change->uplink, change->uplink_fd);
	else if (*change->uplink.ifname)
		network_uplink_remove_live(n, &change->uplink);
}

static void take(struct network *n, struct change *change)
{
	struct network_config **config = network_is_active(n) ? &change->live : &change->persistent;

	if (change->xml) {
		free(n->xml);
		n->xml = TAKE_PTR(change->xml);
	}
	if (*config) {
		(void)network_config_free(n->config);
		n->config = TAKE_PTR(*config);
	}
	take_uplink(n, change);
	if (network_is_active(n))
		(void)network_save_status(n);
	network_event(n, "Changed");
}

int network_update_section(
	struct network *n, const struct network_update *update, unsigned flags, struct error *error)
{
	struct change change = {.uplink_fd = -EBADF};
	int r = 0;

	if (!flags)
		flags = network_is_active(n) ? NETWORK_UPDATE_LIVE : NETWORK_UPDATE_CONFIG;
	if ((flags & NETWORK_UPDATE_LIVE) && !network_is_active(n))
		return error_set(error, ERROR_OPERATION_INVALID, "network is not running");
	if ((flags & NETWORK_UPDATE_CONFIG) && !network_is_persistent(n))
		return error_set(error, ERROR_OPERATION_INVALID,
			"cannot change persistent config of a transient network");
	if (flags & NETWORK_UPDATE_LIVE)
		r = compute_live(n, update, &change, error);
	if (r == 0 && (flags & NETWORK_UPDATE_CONFIG))
		r = compute_persistent(n, update, &change, error);
	if (r == 0)
		r = apply(n, &change, error);
	if (r == 0)
		take(n, &change);
	else if (change.uplink_fd >= 0)
		network_give_back_nic(n, &change.uplink);
	change_done(&change);
	return r;
}

static int merge(const struct network *n, const struct network_config *config,
	struct network_config **ret, struct error *error)
{
	_cleanup_(network_config_freep) struct network_config *merged = NULL;
	_cleanup_(freep) char *xml = NULL, *text = NULL;

	if (network_config_merge(n->config, config, &merged) < 0)
		return error_set(error, ERROR_NO_MEMORY, "network");
	if (network_canonical_xml(merged, &xml, error) < 0)
		return -EINVAL;
	return error_set_xml(
		error, network_xml_parse(xml, strlen(xml), n->name, 0, ret, NULL, &text), text);
}

int network_update_live(struct network *n, const struct network_config *config, struct error *error)
{
	struct change change = {.uplink_fd = -EBADF};
	int r;

	if (n->phase != NETWORK_ACTIVE || !worker_is_connected(n->worker))
		return error_set(
			error, ERROR_OPERATION_INVALID, "network '%s' is being started", n->name);
	r = merge(n, config, &change.live, error);
	if (r == 0)
		r = apply(n, &change, error);
	if (r == 0)
		take(n, &change);
	change_done(&change);
	return r;
}
