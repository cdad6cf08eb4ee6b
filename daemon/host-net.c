/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interfaces of the host: see host-net.h. */
#include "daemon/host-net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/net-addr.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

/* From <linux/ipv6.h>, which does not go together with <net/if.h>. */
struct in6_request {
	struct in6_addr address;
	uint32_t prefix;
	int ifindex;
};

static int control_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static struct ifreq request(const char *ifname)
{
	struct ifreq ifr = {0};

	(void)str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), ifname);
	return ifr;
}

#define OFFSET_ETHERTYPE 12
#define OFFSET_ARP_OP    20
#define OFFSET_IP6_NEXT  20
#define OFFSET_ICMP6     54

/* For a view: whole frames pass, or nothing of them. The kernel calls a frame PACKET_HOST that is to the NIC's own address,
 * whichever that is by then. A VLAN tag is not in the bytes. */
static const struct sock_filter pass_others[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_PKTTYPE),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	BPF_STMT(BPF_RET | BPF_K, 0),
};
static const struct sock_filter pass_answers[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_PKTTYPE),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 9),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, OFFSET_ETHERTYPE),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 0, 2),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, OFFSET_ARP_OP),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPOP_REPLY, 5, 6),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 5),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, OFFSET_IP6_NEXT),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 3),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, OFFSET_ICMP6),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_ADVERT, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

static int attach_filter(int fd, enum host_net_view view)
{
	static const struct {
		const struct sock_filter *rows;
		unsigned short n;
	} programs[HOST_NET_VIEW_X_MAX] = {
		[HOST_NET_OTHERS] = {pass_others, ARRAY_SIZE(pass_others)},
		[HOST_NET_ANSWERS] = {pass_answers, ARRAY_SIZE(pass_answers)},
	};
	struct sock_filter rows[ARRAY_SIZE(pass_answers)];
	struct sock_fprog program = {.len = programs[view].n, .filter = rows};

	if (!program.len)
		return 0;
	memcpy(rows, programs[view].rows, program.len * sizeof(rows[0]));
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return -errno;
	return 0;
}

static int set_options(int fd)
{
	static const int on = 1;
	static const struct {
		int level, name;
	} options[] = {
		{SOL_PACKET, PACKET_VNET_HDR},
		{SOL_PACKET, PACKET_AUXDATA},
		{SOL_PACKET, PACKET_IGNORE_OUTGOING},
		{SOL_SOCKET, SO_LOCK_FILTER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &on, sizeof(on)) < 0)
			return -errno;
	return 0;
}

static int bind_nic(int fd, const char *ifname, uint8_t mac[NET_MAC_LEN])
{
	struct ifreq ifr = request(ifname);
	struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct packet_mreq promiscuous = {.mr_type = PACKET_MR_PROMISC};

	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		return -errno;
	if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return -ENOTSUP;
	memcpy(mac, ifr.ifr_hwaddr.sa_data, NET_MAC_LEN);
	if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	sa.sll_ifindex = promiscuous.mr_ifindex = ifr.ifr_ifindex;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous,
			sizeof(promiscuous)) < 0)
		return -errno;
	return 0;
}

int host_net_open_packet(const char *ifname, enum host_net_view view, int *ret_fd,
	uint8_t ret_mac[NET_MAC_LEN], struct error *error)
{
	/* Protocol 0: nothing is received before it is bound to its NIC. */
	_cleanup_(closep) int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return error_set_errno(
			error, errno, "cannot open a packet socket for '%s'", ifname);
	r = attach_filter(fd, view);
	if (r == 0)
		r = set_options(fd);
	if (r == 0)
		r = bind_nic(fd, ifname, ret_mac);
	if (r == -ENODEV)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has no network interface '%s'", ifname);
	if (r == -ENOTSUP)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"'%s' is not an Ethernet interface", ifname);
	if (r < 0)
		return error_set_errno(error, r, "cannot use the interface '%s'", ifname);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int host_net_set_up(const char *ifname, const uint8_t mac[NET_MAC_LEN], unsigned mtu, bool up)
{
	static const uint8_t none[NET_MAC_LEN];
	_cleanup_(closep) int sock = control_socket();
	struct ifreq ifr = request(ifname);

	if (sock < 0)
		return sock;
	if (memcmp(mac, none, NET_MAC_LEN) != 0) {
		ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		memcpy(ifr.ifr_hwaddr.sa_data, mac, NET_MAC_LEN);
		if (ioctl(sock, SIOCSIFHWADDR, &ifr) < 0)
			return -errno;
	}
	if (mtu) {
		ifr = request(ifname);
		ifr.ifr_mtu = (int)mtu;
		if (ioctl(sock, SIOCSIFMTU, &ifr) < 0)
			return -errno;
	}
	if (!up)
		return 0;
	ifr = request(ifname);
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

int host_net_set_tap_features(int fd, const char *ifname)
{
	struct ifreq ifr = request(ifname ? ifname : "");
	int header = sizeof(uint8_t[12]);

	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	/* One queue: one thread moves all frames of a vNIC. A tap that was made with several takes it as one of them. */
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		if (errno != EINVAL || !ifname)
			return -errno;
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
		if (ioctl(fd, TUNSETIFF, &ifr) < 0)
			return -errno;
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
		ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0)
		return -errno;
	return 0;
}

int host_net_attach_tap(const char *ifname, int *ret_fd)
{
	_cleanup_(closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	r = host_net_set_tap_features(fd, ifname);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int host_net_create_tap(const char *ifname, int *ret_fd, struct error *error)
{
	int r;

	if (if_nametoindex(ifname))
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has an interface '%s' already", ifname);
	r = host_net_attach_tap(ifname, ret_fd);
	if (r == -EPERM)
		return error_set(error, ERROR_OPERATION_FAILED,
			"cannot make the tap '%s': this vmmd has no CAP_NET_ADMIN; use "
			"type='user', or the system's vmmd",
			ifname);
	if (r < 0)
		return error_set_errno(
			error, r, "cannot make the tap '%s' with /dev/net/tun", ifname);
	return 0;
}

int host_net_make_tap(const char *ifname, const uint8_t mac[NET_MAC_LEN], unsigned mtu, int *ret_fd,
	struct error *error)
{
	_cleanup_(closep) int fd = -EBADF;
	struct ifreq ifr = {0};
	int r;

	r = host_net_create_tap(ifname, &fd, error);
	if (r < 0)
		return r;
	/* The name may be one that the kernel chose. */
	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return error_set_errno(error, errno, "cannot find the tap '%s'", ifname);
	r = host_net_set_up(ifr.ifr_name, mac, mtu, /* up= */ true);
	if (r < 0)
		return error_set_errno(error, r, "cannot set up the tap '%s'", ifname);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int host_net_join_bridge(int fd, const char *bridge, struct error *error)
{
	_cleanup_(closep) int sock = control_socket();
	struct ifreq tap = {0}, ifr = request(bridge);

	if (sock < 0)
		return error_set_errno(error, sock, "cannot open a socket");
	if (ioctl(fd, TUNGETIFF, &tap) < 0 || ioctl(sock, SIOCGIFINDEX, &tap) < 0)
		return error_set_errno(error, errno, "cannot find the tap again");
	ifr.ifr_ifindex = tap.ifr_ifindex;
	if (ioctl(sock, SIOCBRADDIF, &ifr) == 0)
		return 0;
	if (errno == ENODEV)
		return error_set(
			error, ERROR_OPERATION_FAILED, "the host has no bridge '%s'", bridge);
	if (errno == EOPNOTSUPP)
		return error_set(error, ERROR_OPERATION_FAILED, "'%s' is not a bridge", bridge);
	return error_set_errno(error, errno, "cannot join the bridge '%s'", bridge);
}

static int add_ipv4(const char *ifname, const struct net_ip *ip)
{
	_cleanup_(closep) int sock = control_socket();
	struct ifreq ifr = request(ifname);
	struct sockaddr_in sa = {.sin_family = AF_INET};

	if (sock < 0)
		return sock;
	memcpy(&sa.sin_addr, ip->bytes, 4);
	memcpy(&ifr.ifr_addr, &sa, sizeof(sa));
	if (ioctl(sock, SIOCSIFADDR, &ifr) < 0)
		return -errno;
	sa.sin_addr.s_addr = ip->prefix ? htonl(UINT32_MAX << (32 - ip->prefix)) : 0;
	memcpy(&ifr.ifr_netmask, &sa, sizeof(sa));
	return ioctl(sock, SIOCSIFNETMASK, &ifr) < 0 ? -errno : 0;
}

static int add_ipv6(const char *ifname, const struct net_ip *ip)
{
	_cleanup_(closep) int sock = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct in6_request r6 = {.prefix = ip->prefix, .ifindex = (int)if_nametoindex(ifname)};

	if (sock < 0)
		return -errno;
	memcpy(&r6.address, ip->bytes, 16);
	return ioctl(sock, SIOCSIFADDR, &r6) < 0 ? -errno : 0;
}

int host_net_add_address(const char *ifname, const struct net_ip *ip, struct error *error)
{
	char text[INET6_ADDRSTRLEN] = "";
	int r = ip->family == 4 ? add_ipv4(ifname, ip) : add_ipv6(ifname, ip);

	if (r == 0)
		return 0;
	(void)inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text, sizeof(text));
	return error_set_errno(
		error, r, "cannot give '%s' the address %s/%u", ifname, text, ip->prefix);
}

static bool net_ip_from_sockaddr(const struct sockaddr *sa, struct net_ip *ret)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	*ret = (struct net_ip){0};
	if (sa && sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(ret->bytes, &in.sin_addr, 4);
		ret->family = 4;
	} else if (sa && sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		memcpy(ret->bytes, &in6.sin6_addr, 16);
		ret->family = 6;
	}
	return ret->family;
}

static bool overlaps(const struct ifaddrs *a, const struct net_ip *ip)
{
	struct net_ip address, mask, own = *ip;

	if ((a->ifa_flags & IFF_LOOPBACK) || !net_ip_from_sockaddr(a->ifa_addr, &address) ||
		!net_ip_from_sockaddr(a->ifa_netmask, &mask) || address.family != ip->family)
		return false;
	for (unsigned i = 0; i < sizeof(mask.bytes); i++)
		address.prefix = (uint8_t)(address.prefix + __builtin_popcount(mask.bytes[i]));
	/* The wider of the two holds the other. */
	own.prefix = address.prefix = MIN(address.prefix, own.prefix);
	return net_ip_within(&address, &own);
}

int host_net_find_overlap(const struct net_ip *ip, char ret_ifname[NET_IFNAME_MAX])
{
	struct ifaddrs *all = NULL;
	int r = -ENOENT;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *a = all; a && r < 0; a = a->ifa_next)
		if (overlaps(a, ip))
			r = str_copy(ret_ifname, NET_IFNAME_MAX, a->ifa_name);
	freeifaddrs(all);
	return r;
}

int host_net_open_rtnetlink(int *ret_fd, struct error *error)
{
	_cleanup_(closep) int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl sa = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return error_set_errno(error, errno, "cannot listen to changes of links");
	*ret_fd = TAKE_FD(fd);
	return 0;
}
