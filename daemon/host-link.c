/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's side of one vNIC: see host-link.h. Tested by tests/unit/test-host-link.c. */
#include "daemon/host-link.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/host-net.h"
#include "daemon/netlink.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

/* rtnetlink. */

static void begin(
	struct netlink_request *q, unsigned type, unsigned flags, unsigned family, int ifindex)
{
	struct ifinfomsg info = {.ifi_family = (uint8_t)family, .ifi_index = ifindex};

	netlink_begin(q, type, flags, &info, sizeof(info));
}

/* What an interface is, as far as it matters here. */
struct found {
	int ifindex;
	char kind[16]; /* "bridge", "macvtap"; "": a NIC, or another that says nothing */
	uint32_t lower;
	uint8_t mac[NET_MAC_LEN];
	uint8_t vlan_filtering; /* bridge */
	uint8_t tun_type;       /* tun: IFF_TUN or IFF_TAP */
	uint32_t n_queues;      /* tun that may have several: that are open, or were */
	uint32_t macvlan_mode;
};

static void parse_link(const void *attributes, size_t len, struct found *ret)
{
	const struct nlattr *info = netlink_find(attributes, len, IFLA_LINKINFO);
	const struct nlattr *kind = netlink_find_nested(info, IFLA_INFO_KIND);
	const struct nlattr *data = netlink_find_nested(info, IFLA_INFO_DATA);

	netlink_copy(&ret->lower, sizeof(ret->lower), netlink_find(attributes, len, IFLA_LINK));
	netlink_copy(ret->mac, sizeof(ret->mac), netlink_find(attributes, len, IFLA_ADDRESS));
	if (kind && kind->nla_len > NLA_HDRLEN && kind->nla_len <= NLA_HDRLEN + sizeof(ret->kind))
		memcpy(ret->kind, (const uint8_t *)kind + NLA_HDRLEN,
			(size_t)kind->nla_len - NLA_HDRLEN);
	ret->kind[sizeof(ret->kind) - 1] = 0;
	if (streq(ret->kind, "bridge"))
		netlink_copy(&ret->vlan_filtering, sizeof(ret->vlan_filtering),
			netlink_find_nested(data, IFLA_BR_VLAN_FILTERING));
	if (streq(ret->kind, "tun")) {
		netlink_copy(&ret->tun_type, sizeof(ret->tun_type),
			netlink_find_nested(data, IFLA_TUN_TYPE));
		netlink_copy(&ret->n_queues, sizeof(ret->n_queues),
			netlink_find_nested(data, IFLA_TUN_NUM_QUEUES));
	}
	if (streq(ret->kind, "macvtap"))
		netlink_copy(&ret->macvlan_mode, sizeof(ret->macvlan_mode),
			netlink_find_nested(data, IFLA_MACVLAN_MODE));
}

static int find_link(const char *ifname, struct found *ret)
{
	_cleanup_(freep) struct nlmsghdr *answer = malloc(NETLINK_ANSWER_MAX);
	static const size_t front = NLMSG_SPACE(sizeof(struct ifinfomsg));
	struct found found = {0};
	struct netlink_request q;
	int r;

	if (!answer)
		return -ENOMEM;
	begin(&q, RTM_GETLINK, 0, AF_UNSPEC, 0);
	netlink_put_string(&q, IFLA_IFNAME, ifname);
	r = netlink_talk(&q, answer);
	if (r < 0)
		return r;
	if (r == 0 || answer->nlmsg_type != RTM_NEWLINK || answer->nlmsg_len < front)
		return -EBADMSG;
	found.ifindex = ((const struct ifinfomsg *)NLMSG_DATA(answer))->ifi_index;
	parse_link((const uint8_t *)answer + front, answer->nlmsg_len - front, &found);
	*ret = found;
	return 0;
}

/* Interfaces. */

static int set_up(const char *ifname)
{
	_cleanup_(closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	if (sock < 0 || str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), ifname) < 0 ||
		ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int set_mac(const char *ifname, const uint8_t mac[NET_MAC_LEN])
{
	_cleanup_(closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};

	if (sock < 0 || str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), ifname) < 0)
		return -errno;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, NET_MAC_LEN);
	return ioctl(sock, SIOCSIFHWADDR, &ifr) < 0 ? -errno : 0;
}

/* No address of IPv6's own making. Kernels without IPv6 have none anyway. */
static void set_quiet(int ifindex)
{
	uint8_t none = IN6_ADDR_GEN_MODE_NONE;
	struct nlattr *families, *inet6;
	struct netlink_request q;

	begin(&q, RTM_SETLINK, NLM_F_ACK, AF_UNSPEC, ifindex);
	families = netlink_nest(&q, IFLA_AF_SPEC);
	inet6 = netlink_nest(&q, AF_INET6);
	(void)netlink_put(&q, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
	netlink_end_nest(&q, inet6);
	netlink_end_nest(&q, families);
	(void)netlink_ask(&q);
}

int host_link_mtu(const char *what, const char *ifname, unsigned *ret_mtu, struct error *error)
{
	_cleanup_(closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	if (sock < 0)
		return error_set_errno(error, errno, "cannot open a socket");
	(void)str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), ifname);
	if (ioctl(sock, SIOCGIFMTU, &ifr) < 0)
		return errno == ENODEV ? error_set(error, ERROR_OPERATION_FAILED,
						 "the host has no %s '%s'", what, ifname)
				       : error_set_errno(error, errno, "cannot use '%s'", ifname);
	*ret_mtu = (unsigned)ifr.ifr_mtu;
	return 0;
}

/* Ports of bridges. */

static int set_isolated(int ifindex)
{
	struct nlattr *nested;
	struct netlink_request q;
	uint8_t on = 1;

	begin(&q, RTM_SETLINK, NLM_F_ACK, AF_BRIDGE, ifindex);
	nested = netlink_nest(&q, IFLA_PROTINFO);
	(void)netlink_put(&q, IFLA_BRPORT_ISOLATED, &on, sizeof(on));
	netlink_end_nest(&q, nested);
	return netlink_ask(&q);
}

static int change_vlan(unsigned what, int ifindex, uint16_t vid, uint16_t flags)
{
	struct bridge_vlan_info info = {.vid = vid, .flags = flags};
	struct nlattr *nested;
	struct netlink_request q;

	begin(&q, what, NLM_F_ACK, AF_BRIDGE, ifindex);
	nested = netlink_nest(&q, IFLA_AF_SPEC);
	(void)netlink_put(&q, IFLA_BRIDGE_VLAN_INFO, &info, sizeof(info));
	netlink_end_nest(&q, nested);
	return netlink_ask(&q);
}

static bool bridge_filters_vlans(const char *bridge)
{
	struct found found;

	return find_link(bridge, &found) == 0 && found.vlan_filtering;
}

/* Which untagged frames are: IEEE 802.1Q's PVID. */
static uint16_t vlan_flags(const struct net_vlan *vlan, uint16_t vid)
{
	if (vlan->mode == NET_VLAN_ACCESS)
		return BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED;
	if (vid != vlan->native)
		return 0;
	return BRIDGE_VLAN_INFO_PVID | (vlan->native_tagged ? 0 : BRIDGE_VLAN_INFO_UNTAGGED);
}

/* The bridge's default (1, untagged) goes; it may have been switched off. */
static int set_vlans(int ifindex, const struct net_vlan *vlan)
{
	int r = 0;

	(void)change_vlan(RTM_DELLINK, ifindex, 1, 0);
	for (unsigned i = 0; r == 0 && i < vlan->n_tags; i++)
		r = change_vlan(
			RTM_SETLINK, ifindex, vlan->tags[i], vlan_flags(vlan, vlan->tags[i]));
	return r;
}

static int join_bridge(int fd, int ifindex, const struct host_tap *tap, struct error *error)
{
	bool vlans = tap->vlan && tap->vlan->mode != NET_VLAN_ANY;
	int r;

	if (vlans && !bridge_filters_vlans(tap->bridge))
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"the bridge '%s' does not filter VLANs: remove <vlan>, or switch it on "
			"(ip link set %s type bridge vlan_filtering 1)",
			tap->bridge, tap->bridge);
	r = host_net_join_bridge(fd, tap->bridge, error);
	if (r < 0)
		return r;
	if (tap->isolated)
		r = set_isolated(ifindex);
	if (r < 0)
		return error_set_errno(error, r, "cannot isolate the port '%s' of the bridge '%s'",
			tap->ifname, tap->bridge);
	if (vlans)
		r = set_vlans(ifindex, tap->vlan);
	if (r < 0)
		return error_set_errno(error, r,
			"cannot set the VLANs of the port '%s' of the bridge '%s'", tap->ifname,
			tap->bridge);
	return 0;
}

/* Taps. */

static void tap_mac(const uint8_t vnic[NET_MAC_LEN], uint8_t ret_mac[NET_MAC_LEN])
{
	memcpy(ret_mac, vnic, NET_MAC_LEN);
	ret_mac[0] = vnic[0] == 0xfe ? 0xfa : 0xfe;
}

int host_link_make_tap(const struct host_tap *tap, int *ret_fd, struct error *error)
{
	_cleanup_(closep) int fd = -EBADF;
	uint8_t mac[NET_MAC_LEN];
	int ifindex, r;

	r = host_net_create_tap(tap->ifname, &fd, error);
	if (r < 0)
		return r;
	ifindex = (int)if_nametoindex(tap->ifname);
	tap_mac(tap->mac, mac);
	set_quiet(ifindex);
	/* Before it joins: a bridge looks at the addresses and MTUs of its ports. */
	r = host_net_set_up(tap->ifname, mac, tap->mtu, /* up= */ false);
	if (r < 0)
		return error_set_errno(error, r, "cannot set up the tap '%s'", tap->ifname);
	if (tap->bridge)
		r = join_bridge(fd, ifindex, tap, error);
	if (r < 0)
		return r;
	r = set_up(tap->ifname);
	if (r < 0)
		return error_set_errno(error, r, "cannot bring up the tap '%s'", tap->ifname);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int host_link_open_tap(const char *ifname, int *ret_fd, struct error *error)
{
	_cleanup_(closep) int fd = -EBADF;
	int r;

	if (!if_nametoindex(ifname))
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has no tap '%s'; make it (ip tuntap add dev %s mode tap), or "
			"remove managed='no'",
			ifname, ifname);
	r = host_net_attach_tap(ifname, &fd);
	if (r == -EBUSY)
		return error_set(
			error, ERROR_RESOURCE_BUSY, "the tap '%s' is in use by another", ifname);
	if (r == -EPERM)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the tap '%s' is another user's, and this vmmd has no CAP_NET_ADMIN",
			ifname);
	if (r == -EINVAL)
		return error_set(error, ERROR_OPERATION_FAILED, "'%s' is not a tap", ifname);
	if (r < 0)
		return error_set_errno(error, r, "cannot use the tap '%s'", ifname);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* macvtaps. */

static int create_macvtap(const struct host_macvtap *m, unsigned lower)
{
	struct nlattr *info, *data;
	struct netlink_request q;

	begin(&q, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, AF_UNSPEC, 0);
	netlink_put_string(&q, IFLA_IFNAME, m->ifname);
	netlink_put_u32(&q, IFLA_LINK, lower);
	(void)netlink_put(&q, IFLA_ADDRESS, m->mac, NET_MAC_LEN);
	if (m->mtu)
		netlink_put_u32(&q, IFLA_MTU, m->mtu);
	info = netlink_nest(&q, IFLA_LINKINFO);
	netlink_put_string(&q, IFLA_INFO_KIND, "macvtap");
	data = netlink_nest(&q, IFLA_INFO_DATA);
	netlink_put_u32(&q, IFLA_MACVLAN_MODE, m->mode);
	netlink_end_nest(&q, data);
	netlink_end_nest(&q, info);
	return netlink_ask(&q);
}

static int remove_link(int ifindex)
{
	struct netlink_request q;

	begin(&q, RTM_DELLINK, NLM_F_ACK, AF_UNSPEC, ifindex);
	return netlink_ask(&q);
}

int host_link_remove_macvtap(const char *ifname, const char *lower, const uint8_t mac[NET_MAC_LEN])
{
	struct found found;
	int r = find_link(ifname, &found);

	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	if (!streq(found.kind, "macvtap") || found.lower != if_nametoindex(lower) ||
		memcmp(found.mac, mac, NET_MAC_LEN) != 0)
		return -EEXIST;
	return remove_link(found.ifindex);
}

/* devtmpfs has one /dev for all network namespaces: the file may be another's. */
static bool is_device_of(int fd, const char *ifname)
{
	struct ifreq ifr = {0};

	return ioctl(fd, TUNGETIFF, &ifr) == 0 && streq(ifr.ifr_name, ifname);
}

static int open_macvtap(const char *ifname, unsigned ifindex, int *ret_fd, struct error *error)
{
	_cleanup_(closep) int fd = -EBADF;
	int sndbuf = INT_MAX; /* as a tap's: what is sent waits at the NIC, not for it */
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "/dev/tap%u", ifindex);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set_errno(
			error, errno, "cannot open %s, the device of '%s'", path, ifname);
	if (!is_device_of(fd, ifname))
		return error_set(error, ERROR_OPERATION_FAILED,
			"%s is not the device of '%s', but of an interface in another network "
			"namespace",
			path, ifname);
	r = host_net_set_tap_features(fd, NULL);
	if (r == 0 && ioctl(fd, TUNSETSNDBUF, &sndbuf) < 0)
		r = -errno;
	if (r < 0)
		return error_set_errno(error, r, "cannot set up the macvtap '%s'", ifname);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int refuse_macvtap(const struct host_macvtap *m, int r, struct error *error)
{
	switch (r) {
	case -EEXIST:
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has an interface '%s' already", m->ifname);
	case -EBUSY:
	case -EINVAL:
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the interface '%s' cannot have a macvtap of that mode: it is a port of a "
			"bridge or bond, or another one has it by passthrough, or its MTU is less",
			m->lower);
	case -EPERM:
		return error_set(error, ERROR_OPERATION_FAILED,
			"cannot make the macvtap '%s': this vmmd has no CAP_NET_ADMIN; use "
			"type='user', or the system's vmmd",
			m->ifname);
	case -EOPNOTSUPP:
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"cannot make the macvtap '%s': the host's kernel has none (module macvtap)",
			m->ifname);
	default:
		return error_set_errno(
			error, r, "cannot make the macvtap '%s' on '%s'", m->ifname, m->lower);
	}
}

static int set_up_macvtap(
	const struct host_macvtap *m, unsigned ifindex, int *ret_fd, struct error *error)
{
	int r;

	set_quiet((int)ifindex);
	/* It was given the NIC's address; by this the NIC gets the vNIC's. The kernel puts it back in the end. */
	if (m->mode == MACVLAN_MODE_PASSTHRU) {
		r = set_mac(m->ifname, m->mac);
		if (r < 0)
			return error_set_errno(error, r,
				"cannot give '%s' the address of the vNIC, as passthrough does",
				m->lower);
	}
	r = set_up(m->ifname);
	if (r < 0)
		return error_set_errno(error, r, "cannot bring up the macvtap '%s'", m->ifname);
	return open_macvtap(m->ifname, ifindex, ret_fd, error);
}

int host_link_make_macvtap(const struct host_macvtap *m, int *ret_fd, struct error *error)
{
	unsigned lower = if_nametoindex(m->lower), ifindex;
	int r;

	if (!lower)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has no network interface '%s'", m->lower);
	r = create_macvtap(m, lower);
	if (r < 0)
		return refuse_macvtap(m, r, error);
	ifindex = if_nametoindex(m->ifname);
	r = set_up_macvtap(m, ifindex, ret_fd, error);
	if (r < 0)
		(void)remove_link((int)ifindex);
	return r;
}

/* Uplinks. */

/* Its other end is the host, which has the tap's own address: the team's frames need another. */
static int open_tap_uplink(
	const char *ifname, const struct found *found, struct host_uplink *ret, struct error *error)
{
	int r;

	if (found->n_queues)
		return 0;
	r = host_net_attach_tap(ifname, &ret->fd);
	if (r == -EBUSY)
		return 0;
	if (r < 0)
		return error_set_errno(error, r, "cannot use the tap '%s'", ifname);
	tap_mac(found->mac, ret->mac);
	ret->is_tap = true;
	return 0;
}

static int open_macvtap_uplink(
	const char *ifname, const struct found *found, struct host_uplink *ret, struct error *error)
{
	int r;

	if (found->macvlan_mode != MACVLAN_MODE_PASSTHRU)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"the macvtap '%s' is given frames to its own address only: make it with "
			"mode passthru, or write the interface that it stands on",
			ifname);
	r = open_macvtap(ifname, (unsigned)found->ifindex, &ret->fd, error);
	if (r < 0)
		return r;
	memcpy(ret->mac, found->mac, NET_MAC_LEN);
	ret->is_tap = ret->is_exclusive = true;
	return 0;
}

int host_link_open_uplink(const char *ifname, struct host_uplink *ret, struct error *error)
{
	struct found found;
	int r = find_link(ifname, &found);

	*ret = (struct host_uplink){.fd = -EBADF};
	if (r == -ENODEV)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has no network interface '%s'", ifname);
	if (r < 0)
		return error_set_errno(error, r, "cannot see what '%s' is", ifname);
	if (streq(found.kind, "tun") && found.tun_type == IFF_TAP)
		return open_tap_uplink(ifname, &found, ret, error);
	if (streq(found.kind, "macvtap"))
		return open_macvtap_uplink(ifname, &found, ret, error);
	return 0;
}
