/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NICs that the host leaves alone: see host-exclusive.h. */
#include "daemon/host-exclusive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/netlink.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define EGRESS  TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)

/* Who uses it. */

struct use {
	uint32_t ifindex;
	char who[128]; /* "": nobody was found yet */
};

static bool is_link_local(unsigned family, const uint8_t *address)
{
	return family == AF_INET6 && address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static void describe(
	struct use *use, const char *what, unsigned family, const uint8_t *address, unsigned prefix)
{
	char text[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop((int)family, address, text, sizeof(text));
	(void)snprintf(use->who, sizeof(use->who), "%s %s/%u", what, text, prefix);
}

/* Of a pair each names the other as what it stands on. */
static bool is_pair(const struct nlmsghdr *m)
{
	const struct nlattr *kind = netlink_find_nested(
		netlink_find_in(m, sizeof(struct ifinfomsg), IFLA_LINKINFO), IFLA_INFO_KIND);
	char name[16] = "";

	if (kind)
		netlink_copy(name, MIN(sizeof(name) - 1, (size_t)kind->nla_len - NLA_HDRLEN), kind);
	return streq(name, "veth") || streq(name, "netkit");
}

static int on_link(void *arg, const struct nlmsghdr *m)
{
	const struct ifinfomsg *info = netlink_body(m);
	struct use *use = arg;
	uint32_t master = 0, lower = 0;
	char name[IF_NAMESIZE] = "?";

	netlink_copy(&master, sizeof(master), netlink_find_in(m, sizeof(*info), IFLA_MASTER));
	/* One that stands on another of another namespace has that one's number there. */
	if (!netlink_find_in(m, sizeof(*info), IFLA_LINK_NETNSID) && !is_pair(m))
		netlink_copy(&lower, sizeof(lower), netlink_find_in(m, sizeof(*info), IFLA_LINK));
	if ((uint32_t)info->ifi_index == use->ifindex && master) {
		(void)if_indextoname(master, name);
		(void)snprintf(use->who, sizeof(use->who), "it is a port of '%s'", name);
	} else if (lower == use->ifindex && (uint32_t)info->ifi_index != lower) {
		(void)if_indextoname((unsigned)info->ifi_index, name);
		(void)snprintf(use->who, sizeof(use->who), "'%s' stands on it", name);
	}
	return *use->who ? 1 : 0;
}

static int on_address(void *arg, const struct nlmsghdr *m)
{
	const struct ifaddrmsg *info = netlink_body(m);
	const struct nlattr *a = netlink_find_in(m, sizeof(*info), IFA_LOCAL);
	struct use *use = arg;
	uint8_t address[16] = {0};

	if (info->ifa_index != use->ifindex)
		return 0;
	if (!a)
		a = netlink_find_in(m, sizeof(*info), IFA_ADDRESS);
	netlink_copy(address, info->ifa_family == AF_INET ? 4 : 16, a);
	if (is_link_local(info->ifa_family, address))
		return 0;
	describe(use, "it has the address", info->ifa_family, address, info->ifa_prefixlen);
	return 1;
}

static bool leads_to(const struct nlmsghdr *m, uint32_t ifindex)
{
	const struct nlattr *paths = netlink_find_in(m, sizeof(struct rtmsg), RTA_MULTIPATH);
	uint32_t out = 0;

	netlink_copy(&out, sizeof(out), netlink_find_in(m, sizeof(struct rtmsg), RTA_OIF));
	if (out == ifindex)
		return true;
	if (!paths)
		return false;
	for (size_t at = NLA_HDRLEN; at + sizeof(struct rtnexthop) <= paths->nla_len;) {
		const struct rtnexthop *hop = (const void *)((const uint8_t *)paths + at);

		if ((uint32_t)hop->rtnh_ifindex == ifindex)
			return true;
		if (hop->rtnh_len < sizeof(*hop))
			break;
		at += NLMSG_ALIGN(hop->rtnh_len);
	}
	return false;
}

static int on_route(void *arg, const struct nlmsghdr *m)
{
	const struct rtmsg *info = netlink_body(m);
	struct use *use = arg;
	uint8_t address[16] = {0};

	if (info->rtm_type != RTN_UNICAST || info->rtm_table == RT_TABLE_LOCAL ||
		!leads_to(m, use->ifindex))
		return 0;
	netlink_copy(address, info->rtm_family == AF_INET ? 4 : 16,
		netlink_find_in(m, sizeof(*info), RTA_DST));
	if (is_link_local(info->rtm_family, address))
		return 0;
	describe(use, "this route leads there:", info->rtm_family, address, info->rtm_dst_len);
	return 1;
}

int host_exclusive_check(const char *ifname, struct error *error)
{
	static const struct {
		unsigned type;
		size_t size;
		int (*each)(void *arg, const struct nlmsghdr *m);
	} lists[] = {
		{RTM_GETLINK, sizeof(struct ifinfomsg), on_link},
		{RTM_GETADDR, sizeof(struct ifaddrmsg), on_address},
		{RTM_GETROUTE, sizeof(struct rtmsg), on_route},
	};
	static const uint8_t all[sizeof(struct ifinfomsg)]; /* the largest */
	struct use use = {.ifindex = if_nametoindex(ifname)};
	struct netlink_request q;
	int r = 0;

	if (!use.ifindex)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has no network interface '%s'", ifname);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lists); i++) {
		netlink_begin(&q, lists[i].type, NLM_F_DUMP, all, lists[i].size);
		r = netlink_list(&q, lists[i].size, lists[i].each, &use);
	}
	if (r < 0)
		return error_set_errno(error, r, "cannot see who uses the interface '%s'", ifname);
	if (r == 0)
		return 0;
	return error_set(error, ERROR_RESOURCE_BUSY,
		"the host uses '%s': %s; take that from it, or remove exclusive='yes'", ifname,
		use.who);
}

/* The filter. */

static void begin(
	struct netlink_request *q, unsigned type, unsigned flags, unsigned ifindex, uint32_t parent)
{
	struct tcmsg tc = {
		.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex, .tcm_parent = parent};

	if (parent == TC_H_CLSACT)
		tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	else if (type != RTM_GETTFILTER)
		tc.tcm_info = TC_H_MAKE(HOST_EXCLUSIVE_PREFERENCE << 16, htons(ETH_P_ALL));
	netlink_begin(q, type, flags, &tc, sizeof(tc));
}

/* r0 = TC_ACT_SHOT; exit */
static int load_drop(void)
{
	static const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_SHOT},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SCHED_CLS,
		.insns = (uintptr_t)program,
		.insn_cnt = ARRAY_SIZE(program),
		.license = (uintptr_t) "LGPL",
	};
	long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

static int add_filter(unsigned ifindex, const char *network, int program)
{
	struct netlink_request q;
	struct nlattr *options;
	char name[160];
	int r;

	begin(&q, RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifindex, TC_H_CLSACT);
	netlink_put_string(&q, TCA_KIND, "clsact");
	r = netlink_ask(&q);
	if (r < 0 && r != -EEXIST) /* somebody else's does as well */
		return r;
	(void)snprintf(name, sizeof(name), "vmmd:%s", network);
	begin(&q, RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifindex, INGRESS);
	netlink_put_string(&q, TCA_KIND, "bpf");
	options = netlink_nest(&q, TCA_OPTIONS);
	netlink_put_u32(&q, TCA_BPF_FD, (uint32_t)program);
	netlink_put_string(&q, TCA_BPF_NAME, name);
	netlink_put_u32(&q, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	netlink_end_nest(&q, options);
	return netlink_ask(&q);
}

static int del_filter(unsigned ifindex)
{
	struct netlink_request q;

	begin(&q, RTM_DELTFILTER, NLM_F_ACK, ifindex, INGRESS);
	netlink_put_string(&q, TCA_KIND, "bpf");
	return netlink_ask(&q);
}

int host_exclusive_begin(const char *ifname, const char *network, struct error *error)
{
	_cleanup_(closep) int program = load_drop();
	unsigned ifindex = if_nametoindex(ifname);
	int r;

	if (!ifindex)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has no network interface '%s'", ifname);
	if (program < 0)
		return error_set_errno(error, program,
			"cannot make the filter that keeps the host from '%s'", ifname);
	(void)del_filter(ifindex); /* of another daemon's */
	r = add_filter(ifindex, network, program);
	if (r < 0)
		return error_set_errno(error, r, "cannot keep the host from '%s'", ifname);
	return 0;
}

static int on_filter(void *arg, const struct nlmsghdr *m)
{
	(void)arg;
	return m->nlmsg_type == RTM_NEWTFILTER;
}

static bool has_filters(unsigned ifindex, uint32_t parent)
{
	struct netlink_request q;

	begin(&q, RTM_GETTFILTER, NLM_F_DUMP, ifindex, parent);
	return netlink_list(&q, sizeof(struct tcmsg), on_filter, NULL) != 0;
}

void host_exclusive_end(const char *ifname)
{
	unsigned ifindex = if_nametoindex(ifname);
	struct netlink_request q;

	if (!ifindex || del_filter(ifindex) < 0 || has_filters(ifindex, INGRESS) ||
		has_filters(ifindex, EGRESS))
		return;
	begin(&q, RTM_DELQDISC, NLM_F_ACK, ifindex, TC_H_CLSACT);
	netlink_put_string(&q, TCA_KIND, "clsact");
	(void)netlink_ask(&q);
}
