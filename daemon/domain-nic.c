/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the vNICs of a domain have outside it: see domain-nic.h. Tested by tests/unit/test-domain-nic.c. */
#include "daemon/domain-nic.h"

#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/host-link.h"
#include "daemon/manager.h"
#include "daemon/network.h"
#include "daemon/resources-internal.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define FILE_NAME "nics"
#define FILE_MAX  4096
#define MAX_NAMES 65536 /* that are tried */
static_assert(VM_MAX_NICS * 128 <= FILE_MAX, "a line each");

/* Names. */

const char *domain_nic_target(const struct domain *d, unsigned nic)
{
	const struct network_port *port = network_find_port(d->manager, d->uuid, nic);

	return port ? port->ifname : d->run && nic < VM_MAX_NICS ? d->run->taps[nic].ifname : "";
}

const struct domain *domain_nic_find(const struct manager *m, const char *target, unsigned *ret_nic)
{
	struct list *pos;

	list_for_each (pos, &m->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		for (unsigned i = 0; d->run && i < VM_MAX_NICS; i++)
			if (*target && streq(d->run->taps[i].ifname, target)) {
				*ret_nic = i;
				return d;
			}
	}
	return NULL;
}

/* The first free one, as networks name their ports too. */
static int choose_name(const struct manager *m, const char *prefix, char ret_name[NET_IFNAME_MAX])
{
	for (unsigned i = 0; i < MAX_NAMES; i++) {
		char name[NET_IFNAME_MAX];
		unsigned nic;

		(void)snprintf(name, sizeof(name), "%s%u", prefix, i);
		if (if_nametoindex(name) || domain_nic_find(m, name, &nic) ||
			network_find_ifname(m, name))
			continue;
		memcpy(ret_name, name, sizeof(name));
		return 0;
	}
	return -ENOSPC;
}

/* What a later daemon must know: a line "NIC TARGET LOWER MAC MTU" for each tap; LOWER is "-" but for a macvtap. */

static void save(struct domain *d)
{
	char text[FILE_MAX] = "";
	size_t len = 0;
	int r;

	for (unsigned i = 0; i < VM_MAX_NICS; i++) {
		const struct domain_tap *tap = &d->run->taps[i];
		const uint8_t *mac = tap->mac;

		if (*tap->ifname)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
				"%u %s %s %02x:%02x:%02x:%02x:%02x:%02x %u\n", i, tap->ifname,
				*tap->lower ? tap->lower : "-", mac[0], mac[1], mac[2], mac[3],
				mac[4], mac[5], tap->mtu);
	}
	r = store_save_runtime(&d->manager->store->domains, d->uuid, FILE_NAME, text);
	if (r < 0)
		(void)log_warning_errno(r,
			"cannot save what the taps of domain '%s' are (a new daemon would not "
			"remove them): %m",
			d->name);
}

static bool parse_line(const char *line, unsigned *ret_nic, struct domain_tap *ret)
{
	struct domain_tap tap = {0};
	unsigned nic, m[NET_MAC_LEN];

	if (sscanf(line, "%u %15s %15s %2x:%2x:%2x:%2x:%2x:%2x %u", &nic, tap.ifname, tap.lower,
		    &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &tap.mtu) != 10 ||
		nic >= VM_MAX_NICS || tap.mtu > NET_MTU_MAX || !net_ifname_is_valid(tap.ifname))
		return false;
	if (streq(tap.lower, "-"))
		*tap.lower = 0;
	else if (!net_ifname_is_valid(tap.lower))
		return false;
	for (unsigned i = 0; i < NET_MAC_LEN; i++)
		tap.mac[i] = (uint8_t)m[i];
	*ret_nic = nic;
	*ret = tap;
	return true;
}

static void load(struct manager *m, const uint8_t uuid[16], struct domain_tap taps[VM_MAX_NICS])
{
	_cleanup_(freep) char *text = NULL;

	if (store_load_runtime(&m->store->domains, uuid, FILE_NAME, FILE_MAX, &text) < 0)
		return; /* there were none */
	for (char *line = text, *next; line && *line; line = next) {
		struct domain_tap tap;
		unsigned nic;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (parse_line(line, &nic, &tap))
			taps[nic] = tap;
	}
}

void domain_load_nics(struct domain *d)
{
	load(d->manager, d->uuid, d->run->taps);
	for (unsigned i = 0; d->live && i < d->live->vm.n_nics; i++) {
		const struct domain_tap *tap = &d->run->taps[d->live->nics[i].number];

		if (*tap->ifname && tap->mtu != NET_MTU_DEFAULT)
			d->live->vm.nics[i].port.mtu = (uint16_t)tap->mtu;
	}
}

static void remove_macvtap(const struct domain_tap *tap)
{
	int r;

	if (!*tap->ifname || !*tap->lower)
		return;
	r = host_link_remove_macvtap(tap->ifname, tap->lower, tap->mac);
	if (r < 0 && r != -EEXIST)
		(void)log_warning_errno(r, "cannot remove the macvtap '%s': %m", tap->ifname);
}

void domain_sweep_nics(struct manager *m, const uint8_t uuid[16])
{
	struct domain_tap taps[VM_MAX_NICS] = {0};

	load(m, uuid, taps);
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		remove_macvtap(&taps[i]);
}

/* What is asked for vNIC number 'nic', which the live configuration has. */

static const struct domain_nic *host_of(const struct domain *d, unsigned nic)
{
	return &d->live->nics[domain_nic_index(d, nic)];
}

static struct net_port_config *port_of(const struct domain *d, unsigned nic)
{
	return &d->live->vm.nics[domain_nic_index(d, nic)].port;
}

/* Preparing: what can be refused, or found out, before anything is made. */

/* The guest's MTU is that of what it is on, if the XML says nothing else. */
static int take_mtu(
	struct domain *d, unsigned nic, const char *what, const char *ifname, struct error *error)
{
	struct net_port_config *port = port_of(d, nic);
	unsigned mtu;
	int r = host_link_mtu(what, ifname, &mtu, error);

	if (r < 0)
		return r;
	if (!port->mtu && mtu != NET_MTU_DEFAULT && mtu >= NET_MTU_MIN && mtu <= NET_MTU_MAX)
		port->mtu = (uint16_t)mtu;
	return 0;
}

static int prepare_bridge(struct domain *d, unsigned nic, struct error *error)
{
	return take_mtu(d, nic, "bridge", host_of(d, nic)->bridge, error);
}

static int prepare_ethernet(struct domain *d, unsigned nic, struct error *error)
{
	const struct domain_nic *host = host_of(d, nic);

	return host->existing_tap ? take_mtu(d, nic, "tap", host->target, error) : 0;
}

static int prepare_direct(struct domain *d, unsigned nic, struct error *error)
{
	return take_mtu(d, nic, "network interface", host_of(d, nic)->dev, error);
}

/* Opening. */

static unsigned mtu_of(const struct domain *d, unsigned nic)
{
	const struct net_port_config *port = port_of(d, nic);

	return port->mtu ? port->mtu : NET_MTU_DEFAULT;
}

static int open_tap(struct domain *d, unsigned nic, int *ret_fd, struct error *error)
{
	const struct domain_nic *host = host_of(d, nic);
	const struct net_port_config *port = port_of(d, nic);
	struct host_tap tap = {
		.ifname = d->run->taps[nic].ifname,
		.mac = port->mac,
		.mtu = mtu_of(d, nic),
		.isolated = port->flags & NET_PORT_ISOLATED,
		.vlan = &port->vlan,
	};

	if (host->existing_tap)
		return host_link_open_tap(tap.ifname, ret_fd, error);
	if (host->type == DOMAIN_NIC_BRIDGE)
		tap.bridge = host->bridge;
	return host_link_make_tap(&tap, ret_fd, error);
}

static int open_macvtap(struct domain *d, unsigned nic, int *ret_fd, struct error *error)
{
	static const uint32_t modes[DOMAIN_NIC_MODE_X_MAX] = {
		[DOMAIN_NIC_VEPA] = MACVLAN_MODE_VEPA,
		[DOMAIN_NIC_PRIVATE] = MACVLAN_MODE_PRIVATE,
		[DOMAIN_NIC_MACVLAN_BRIDGE] = MACVLAN_MODE_BRIDGE,
		[DOMAIN_NIC_PASSTHROUGH] = MACVLAN_MODE_PASSTHRU,
	};
	const struct domain_nic *host = host_of(d, nic);
	struct host_macvtap macvtap = {
		.ifname = d->run->taps[nic].ifname,
		.lower = host->dev,
		.mac = port_of(d, nic)->mac,
		.mtu = mtu_of(d, nic),
		.mode = modes[host->mode],
	};

	return host_link_make_macvtap(&macvtap, ret_fd, error);
}

static const struct {
	const char *prefix; /* of names that are given here */
	int (*prepare)(struct domain *d, unsigned nic, struct error *error);
	int (*open)(struct domain *d, unsigned nic, int *ret_fd, struct error *error);
} types[DOMAIN_NIC_TYPE_X_MAX] = {
	[DOMAIN_NIC_NETWORK] = {NULL, network_attach_nic, NULL},
	[DOMAIN_NIC_BRIDGE] = {"vnet", prepare_bridge, open_tap},
	[DOMAIN_NIC_ETHERNET] = {"vnet", prepare_ethernet, open_tap},
	[DOMAIN_NIC_DIRECT] = {"macvtap", prepare_direct, open_macvtap},
};

int domain_nic_prepare(struct domain *d, unsigned nic, struct error *error)
{
	return types[host_of(d, nic)->type].prepare(d, nic, error);
}

static int name_tap(struct domain *d, unsigned nic, struct error *error)
{
	const struct domain_nic *host = host_of(d, nic);
	struct domain_tap *tap = &d->run->taps[nic];
	struct domain_tap named = {.mtu = mtu_of(d, nic)};

	memcpy(named.mac, port_of(d, nic)->mac, NET_MAC_LEN);
	if (host->type == DOMAIN_NIC_DIRECT)
		memcpy(named.lower, host->dev, sizeof(named.lower));
	if (*host->target)
		memcpy(named.ifname, host->target, sizeof(named.ifname));
	else if (choose_name(d->manager, types[host->type].prefix, named.ifname) < 0)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has no free name for a tap of domain '%s'", d->name);
	/* Not ours to remove in the end. */
	if (if_nametoindex(named.ifname) && !host->existing_tap)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has an interface '%s' already", named.ifname);
	*tap = named;
	return 0;
}

int domain_nic_open(struct domain *d, unsigned nic, int *ret_fd, struct error *error)
{
	uint8_t type = host_of(d, nic)->type;
	int r;

	if (!types[type].open) {
		*ret_fd = -EBADF;
		return 0;
	}
	r = name_tap(d, nic, error);
	if (r < 0)
		return r;
	save(d);
	r = types[type].open(d, nic, ret_fd, error);
	if (r < 0)
		domain_nic_release(d, nic);
	return r;
}

void domain_nic_release(struct domain *d, unsigned nic)
{
	struct domain_tap *tap = &d->run->taps[nic];

	network_detach_nic(d, nic);
	if (!*tap->ifname)
		return;
	remove_macvtap(tap);
	*tap = (struct domain_tap){0};
	save(d);
}

/* All of a domain's. */

int domain_prepare_nics(struct domain *d, struct error *error)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < d->live->vm.n_nics; i++)
		r = domain_nic_prepare(d, i, error);
	return r;
}

int domain_open_nics(struct domain *d, struct error *error)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < d->live->vm.n_nics; i++) {
		int fd;

		r = domain_nic_open(d, i, &fd, error);
		if (r == 0 && fd >= 0)
			r = resources_add(&d->run->resources, PROTO_FD_NIC, i, 0, fd, error);
	}
	return r;
}

void domain_release_nics(struct domain *d)
{
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		domain_nic_release(d, i);
	network_detach_domain(d);
}
