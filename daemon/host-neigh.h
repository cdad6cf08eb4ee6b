/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whom the host has met: its tables of neighbours (ARP, ND), asked by rtnetlink(7). They know the address of a guest that is on a
 * bridge or a tap of the host's only as long as the host and the guest speak to each other.
 *
 * Threads: the daemon's one. Nothing blocks.
 */
#pragma once

#include "config/net-config.h"

/* The IP addresses that belong to 'mac' on whichever interface, at most 'max', with a prefix of 0: it is not known. Returns their
 * number, or -errno. Who did not answer when it was last asked does not count, and link-local addresses (fe80::) do. */
int host_neigh_find(const uint8_t mac[NET_MAC_LEN], struct net_ip *ret_ips, unsigned max);
