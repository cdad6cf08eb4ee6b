/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Neighbours of the host: see host-neigh.h. Tested by tests/unit/test-host-neigh.c. */
#include "daemon/host-neigh.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/netlink.h"

struct search {
	const uint8_t *mac;
	struct net_ip *ips;
	unsigned n, max;
};

static int on_neighbour(void *arg, const struct nlmsghdr *m)
{
	const struct ndmsg *info = netlink_body(m);
	const struct nlattr *address = netlink_find_in(m, sizeof(*info), NDA_DST);
	struct net_ip ip = {.family = info->ndm_family == AF_INET ? 4 : 6};
	struct search *search = arg;
	uint8_t mac[NET_MAC_LEN] = {0};

	netlink_copy(mac, sizeof(mac), netlink_find_in(m, sizeof(*info), NDA_LLADDR));
	if ((info->ndm_family != AF_INET && info->ndm_family != AF_INET6) || !address ||
		info->ndm_state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP) ||
		memcmp(mac, search->mac, sizeof(mac)) != 0)
		return 0;
	netlink_copy(ip.bytes, ip.family == 4 ? 4 : 16, address);
	search->ips[search->n++] = ip;
	return search->n == search->max;
}

int host_neigh_find(const uint8_t mac[NET_MAC_LEN], struct net_ip *ret_ips, unsigned max)
{
	static const struct ndmsg all; /* of both families */
	struct search search = {.mac = mac, .ips = ret_ips, .max = max};
	struct netlink_request q;
	int r;

	if (!max)
		return 0;
	netlink_begin(&q, RTM_GETNEIGH, NLM_F_DUMP, &all, sizeof(all));
	r = netlink_list(&q, sizeof(all), on_neighbour, &search);
	return r < 0 ? r : (int)search.n;
}
