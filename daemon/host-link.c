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
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define REQUEST_MAX 1024
#define ANSWER_MAX  32768 /* one interface, all that there is to say */

/* rtnetlink. */

struct request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[REQUEST_MAX];
	};
};

static struct nlattr *put(struct request *q, unsigned type, const void *data, size_t len)
{
	size_t at = NLMSG_ALIGN(q->header.nlmsg_len), size = NLA_HDRLEN + NLA_ALIGN(len);
	struct nlattr *attribute = (void *)(q->bytes + at);

	assert(at + size <= sizeof(q->bytes));
	*attribute = (struct nlattr){
		.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = (uint16_t)type};
	if (len)
		memcpy(q->bytes + at + NLA_HDRLEN, data, len);
	q->header.nlmsg_len = (uint32_t)(at + size);
	return attribute;
}

static void put_string(struct request *q, unsigned type, const char *s)
{
	(void)put(q, type, s, strlen(s) + 1);
}

static void put_u32(struct request *q, unsigned type, uint32_t value)
{
	(void)put(q, type, &value, sizeof(value));
}

static struct nlattr *nest(struct request *q, unsigned type)
{
	return put(q, type | NLA_F_NESTED, NULL, 0);
}

static void end_nest(struct request *q, struct nlattr *nested)
{
	nested->nla_len =
		(uint16_t)(q->bytes + NLMSG_ALIGN(q->header.nlmsg_len) - (uint8_t *)nested);
}

static void begin(struct request *q, unsigned type, unsigned flags, unsigned family, int ifindex)
{
	struct ifinfomsg info = {.ifi_family = (uint8_t)family, .ifi_index = ifindex};

	*q = (struct request){.header = {
				      .nlmsg_len = NLMSG_LENGTH(sizeof(info)),
				      .nlmsg_type = (uint16_t)type,
				      .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
				      .nlmsg_seq = 1,
			      }};
	memcpy(q->bytes + NLMSG_HDRLEN, &info, sizeof(info));
}

/* Send it; 'answer' (ANSWER_MAX bytes) holds what came. Returns its length, or the kernel's -errno. */
static int talk(const struct request *q, struct nlmsghdr *answer)
{
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (send(fd, q, q->header.nlmsg_len, 0) < 0)
		return -errno;
	/* The kernel has dealt with it: the answer is there. */
	n = recv(fd, answer, ANSWER_MAX, MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(*answer) || answer->nlmsg_len > (size_t)n)
		return -EBADMSG;
	if (answer->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(answer);

		return answer->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) ? -EBADMSG : e->error;
	}
	return (int)n;
}

/* One that is answered by an acknowledgement. */
static int ask(const struct request *q)
{
	_cleanup_(freep) struct nlmsghdr *answer = malloc(ANSWER_MAX);
	int r = answer ? talk(q, answer) : -ENOMEM;

	return r > 0 ? -EBADMSG : r;
}

/* The first attribute of this type within [p, p + len). */
static const struct nlattr *find_attribute(const void *p, size_t len, unsigned type)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = p;
		size_t size;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		size = (size_t)NLA_ALIGN(a->nla_len);
		if (size >= len)
			return NULL;
		p = (const uint8_t *)p + size;
		len -= size;
	}
	return NULL;
}

/* What an interface is, as far as it matters here. */
struct found {
	int ifindex;
	char kind[16]; /* "bridge", "macvtap"; "": a NIC, or another that says nothing */
	uint32_t lower;
	uint8_t mac[NET_MAC_LEN];
	uint8_t vlan_filtering; /* bridge */
};

static const struct nlattr *find_nested(const struct nlattr *in, unsigned type)
{
	return in ? find_attribute((const uint8_t *)in + NLA_HDRLEN,
			    (size_t)in->nla_len - NLA_HDRLEN, type)
		  : NULL;
}

static void copy_value(void *to, size_t size, const struct nlattr *a)
{
	if (a && a->nla_len >= NLA_HDRLEN + size)
		memcpy(to, (const uint8_t *)a + NLA_HDRLEN, size);
}

static void parse_link(const void *attributes, size_t len, struct found *ret)
{
	const struct nlattr *info = find_attribute(attributes, len, IFLA_LINKINFO);
	const struct nlattr *kind = find_nested(info, IFLA_INFO_KIND);
	const struct nlattr *data = find_nested(info, IFLA_INFO_DATA);

	copy_value(&ret->lower, sizeof(ret->lower), find_attribute(attributes, len, IFLA_LINK));
	copy_value(ret->mac, sizeof(ret->mac), find_attribute(attributes, len, IFLA_ADDRESS));
	if (kind && kind->nla_len > NLA_HDRLEN && kind->nla_len <= NLA_HDRLEN + sizeof(ret->kind))
		memcpy(ret->kind, (const uint8_t *)kind + NLA_HDRLEN,
			(size_t)kind->nla_len - NLA_HDRLEN);
	ret->kind[sizeof(ret->kind) - 1] = 0;
	if (streq(ret->kind, "bridge"))
		copy_value(&ret->vlan_filtering, sizeof(ret->vlan_filtering),
			find_nested(data, IFLA_BR_VLAN_FILTERING));
}

static int find_link(const char *ifname, struct found *ret)
{
	_cleanup_(freep) struct nlmsghdr *answer = malloc(ANSWER_MAX);
	static const size_t front = NLMSG_SPACE(sizeof(struct ifinfomsg));
	struct found found = {0};
	struct request q;
	int r;

	if (!answer)
		return -ENOMEM;
	begin(&q, RTM_GETLINK, 0, AF_UNSPEC, 0);
	put_string(&q, IFLA_IFNAME, ifname);
	r = talk(&q, answer);
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
	struct request q;

	begin(&q, RTM_SETLINK, NLM_F_ACK, AF_UNSPEC, ifindex);
	families = nest(&q, IFLA_AF_SPEC);
	inet6 = nest(&q, AF_INET6);
	(void)put(&q, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
	end_nest(&q, inet6);
	end_nest(&q, families);
	(void)ask(&q);
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
	struct request q;
	uint8_t on = 1;

	begin(&q, RTM_SETLINK, NLM_F_ACK, AF_BRIDGE, ifindex);
	nested = nest(&q, IFLA_PROTINFO);
	(void)put(&q, IFLA_BRPORT_ISOLATED, &on, sizeof(on));
	end_nest(&q, nested);
	return ask(&q);
}

static int change_vlan(unsigned what, int ifindex, uint16_t vid, uint16_t flags)
{
	struct bridge_vlan_info info = {.vid = vid, .flags = flags};
	struct nlattr *nested;
	struct request q;

	begin(&q, what, NLM_F_ACK, AF_BRIDGE, ifindex);
	nested = nest(&q, IFLA_AF_SPEC);
	(void)put(&q, IFLA_BRIDGE_VLAN_INFO, &info, sizeof(info));
	end_nest(&q, nested);
	return ask(&q);
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
	struct request q;

	begin(&q, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, AF_UNSPEC, 0);
	put_string(&q, IFLA_IFNAME, m->ifname);
	put_u32(&q, IFLA_LINK, lower);
	(void)put(&q, IFLA_ADDRESS, m->mac, NET_MAC_LEN);
	if (m->mtu)
		put_u32(&q, IFLA_MTU, m->mtu);
	info = nest(&q, IFLA_LINKINFO);
	put_string(&q, IFLA_INFO_KIND, "macvtap");
	data = nest(&q, IFLA_INFO_DATA);
	put_u32(&q, IFLA_MACVLAN_MODE, m->mode);
	end_nest(&q, data);
	end_nest(&q, info);
	return ask(&q);
}

static int remove_link(int ifindex)
{
	struct request q;

	begin(&q, RTM_DELLINK, NLM_F_ACK, AF_UNSPEC, ifindex);
	return ask(&q);
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
