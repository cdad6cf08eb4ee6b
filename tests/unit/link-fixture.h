/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking at interfaces, and making bridges, in a network namespace of the test's own. Include <cmocka.h> first. */
#pragma once

#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netns-fixture.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

static inline int link_try(const char *ifname, unsigned long what, struct ifreq *ifr)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(str_copy(ifr->ifr_name, sizeof(ifr->ifr_name), ifname), 0);
	return ioctl(fd, what, ifr) < 0 ? -errno : 0;
}

static inline struct ifreq link_query(const char *ifname, unsigned long what)
{
	struct ifreq ifr = {0};

	assert_int_equal(link_try(ifname, what, &ifr), 0);
	return ifr;
}

static inline bool link_is_up(const char *ifname)
{
	return link_query(ifname, SIOCGIFFLAGS).ifr_flags & IFF_UP;
}

static inline void link_make_bridge(const char *name, int mtu)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_mtu = mtu};

	assert_int_equal(ioctl(fd, SIOCBRADDBR, name), 0);
	if (mtu)
		assert_int_equal(link_try(name, SIOCSIFMTU, &ifr), 0);
}

static inline void link_remove_bridge(const char *name)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(fd, SIOCBRDELBR, name), 0);
}

/* It is a port of that bridge: only then it can be taken out. It is put back. */
static inline bool link_is_in(const char *bridge, const char *ifname)
{
	struct ifreq ifr = {.ifr_ifindex = (int)if_nametoindex(ifname)};

	if (link_try(bridge, SIOCBRDELIF, &ifr) < 0)
		return false;
	ifr = (struct ifreq){.ifr_ifindex = (int)if_nametoindex(ifname)};
	assert_int_equal(link_try(bridge, SIOCBRADDIF, &ifr), 0);
	return true;
}
