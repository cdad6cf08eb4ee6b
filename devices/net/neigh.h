/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which port has an IP address, for telling the owner of the switch, and for sending a question about an address to
 * the one who can answer it.
 *
 * Addresses of a port's configuration are static: true in all its VLANs, whatever is claimed by others. What is heard
 * (snoop.h) belongs to one VLAN, and each port has at most NEIGH_MAX_HEARD of those: beyond, it pushes out its own oldest.
 * What was heard is good for answering questions for NEIGH_FRESH_NS after it was heard last.
 *
 * Ports are numbers below NET_MAX_PORTS. Threads: one at a time.
 */
#pragma once

#include "devices/net/vlan.h"
#include "vmm-core/base/cleanup.h"

#define NEIGH_MAX_HEARD 32
#define NEIGH_FRESH_NS  (60 * NSEC_PER_SEC)
#define NEIGH_CLAIM_NS  (600 * NSEC_PER_SEC) /* heard within it: still believed to be in use */
#define NEIGH_TELL_NS   (60 * NSEC_PER_SEC)  /* how often the same is news */

struct neigh;

int neigh_new(const uint64_t seed[2], struct neigh **ret_neigh);
struct neigh *neigh_free(struct neigh *n);
DEFINE_CLEANUP(struct neigh *, neigh_free);

/* The port's own addresses and VLANs, which must outlive it; what was heard stays. A prefix that is not one address is
 * left out. Returns 0 or -ENOMEM (then the port has no static ones). */
int neigh_set_port(struct neigh *n, unsigned port, const struct net_port_config *config,
	const struct vlan *vlan);
void neigh_remove_port(struct neigh *n, unsigned port);

/* 'ip' was heard to belong to 'mac' behind 'port'. True: that is news (new, somewhere else, or not told for
 * NEIGH_TELL_NS). */
bool neigh_heard(struct neigh *n, unsigned port, uint16_t vid, const uint8_t mac[NET_MAC_LEN],
	const struct net_ip *ip, uint64_t now_ns);
/* It was heard elsewhere than behind a port of interest. */
void neigh_forget(struct neigh *n, uint16_t vid, const struct net_ip *ip);

/* The number of the port that has it, or -1. */
int neigh_find(const struct neigh *n, uint16_t vid, const struct net_ip *ip, uint64_t now_ns);

/* The addresses that 'mac' behind 'port' uses in this VLAN, at most 'max': those heard in the last NEIGH_CLAIM_NS, the
 * newest first, after the port's own if it 'is_owner'. Returns their number. */
unsigned neigh_of(const struct neigh *n, unsigned port, bool is_owner,
	const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint64_t now_ns, struct net_ip *ret_ips,
	unsigned max);
