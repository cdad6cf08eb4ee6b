/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vocabulary of networks: what a worker must know of one port (struct net_port_config, part of struct vm_nic for
 * the machine that owns the port and sent again to whoever it talks to), and of a whole network (struct net_config, for
 * the network worker). Plain old data as struct vm_config: bounded arrays, no pointers, no paths, fixed widths; made by
 * the daemon from libvirt's XML, sent in a sealed memory file, checked on both sides by the validators below.
 *
 * Enumerations are uint8_t, 0 is "default". Strings end in NUL inside their array. All zeroes is valid for every struct
 * but struct net_config, which needs magic and version.
 *
 * MAC addresses are in the order of the wire. VLAN identifiers are 1 … 4094; 0 stands for "untagged".
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_CONFIG_MAGIC   UINT32_C(0x6e644d56)
#define NET_CONFIG_VERSION 2

#define NET_NAME_MAX     128 /* with the NUL, as all of these */
#define NET_IFNAME_MAX   16  /* IFNAMSIZ */
#define NET_MAC_LEN      6
#define NET_MAX_PORTS    256 /* of one network: vNICs, host port, mirror ports */
#define NET_MAX_UPLINKS  8
#define NET_MAX_VLANS    32 /* identifiers of one trunk's list */
#define NET_MAX_PORT_IPS 16
#define NET_MAX_TARGETS  16 /* ARP and ND targets of a team */
#define NET_VID_MAX      4094
#define NET_MTU_DEFAULT  1500
#define NET_MTU_MIN      68
#define NET_MTU_MAX      65535
#define NET_MAX_MIRRORS  8
#define NET_LEARN_MAX    4096 /* addresses that one port may teach */
#define NET_AGE_DEFAULT  300  /* seconds */
#define NET_WEIGHT_MAX   255
#define NET_POLL_US_MAX  1000 /* of looking for frames before a sleep */

/* <vlan>. Without any tag (mode ANY) a port carries every frame as it is, in the VLAN of its tag, and untagged ones in
 * VLAN 0. ACCESS: untagged frames only, which belong to tags[0]. TRUNK: the VLANs of the list, tagged; untagged frames
 * belong to 'native' if there is one (nativeMode: sent untagged, or tagged with 'native_tagged'). */
enum net_vlan_mode { NET_VLAN_ANY, NET_VLAN_ACCESS, NET_VLAN_TRUNK, NET_VLAN_X_MAX };
struct net_vlan {
	uint8_t mode; /* enum net_vlan_mode */
	uint8_t native_tagged;
	uint16_t native; /* 0: none */
	uint32_t n_tags;
	uint16_t tags[NET_MAX_VLANS];
};

/* An address of the port's owner, for the checks of senders. IPv4 is in the first 4 bytes. */
struct net_ip {
	uint8_t family; /* 4 or 6 */
	uint8_t prefix; /* length; 32 or 128: this address alone */
	uint8_t pad[2];
	uint8_t bytes[16];
};

/* libvirt's <bandwidth>: average, peak and floor in 1000 bytes a second, burst in KiB, as tc(8) takes what libvirt gives
 * it; 0: none. "in" is towards the owner of the port. */
struct net_rate {
	uint64_t average, peak, burst, floor;
};
struct net_bandwidth {
	struct net_rate in, out;
};

/* What a port may not do, or may do beyond the ordinary. */
#define NET_PORT_ALLOW_FORGED                                                                      \
	(1U << 0) /* source addresses other than its own (ESXi: forged transmits) */
#define NET_PORT_ALLOW_MAC   (1U << 1) /* the guest may change its address (ESXi: MAC changes) */
#define NET_PORT_PROMISCUOUS (1U << 2) /* sees every frame of its VLANs (ESXi: promiscuous mode) */
#define NET_PORT_GUARD_ARP   (1U << 3) /* ARP and ND sender fields must be its own addresses */
#define NET_PORT_GUARD_IP    (1U << 4) /* so must IP source addresses */
#define NET_PORT_GUARD_DHCP  (1U << 5) /* answers no DHCP */
#define NET_PORT_GUARD_RA    (1U << 6) /* sends no router advertisements and redirects */
#define NET_PORT_ALLOW_BPDU  (1U << 7) /* may send to 01:80:c2:00:00:0x */
#define NET_PORT_ISOLATED                                                                          \
	(1U << 8) /* <port isolated='yes'/>: never to or from another isolated port */
#define NET_PORT_LEARN     (1U << 9)  /* addresses behind it are learned from what it sends */
#define NET_PORT_LINK_DOWN (1U << 10) /* <link state='down'/> */
#define NET_PORT_LEARN_IPS                                                                         \
	(1U << 11) /* GUARD_ARP, GUARD_IP: the first addresses seen (DHCP first) become its own */
#define NET_PORT_MIRROR (1U << 12) /* is given copies of others' frames, and may not send */
#define NET_PORT_FLAGS  ((1U << 13) - 1)

struct net_port_config {
	uint8_t mac[NET_MAC_LEN];
	uint16_t mtu; /* 0: NET_MTU_DEFAULT */
	uint32_t flags;
	struct net_vlan vlan;
	uint32_t n_ips;
	struct net_ip ips[NET_MAX_PORT_IPS];
	struct net_bandwidth bandwidth;
	/* Frames per second that it may send to everybody; 0: unlimited. */
	uint32_t broadcast_pps, multicast_pps, unknown_pps;
	uint16_t learn_limit; /* 0 with NET_PORT_LEARN: 64 */
	uint16_t age_s;       /* 0: NET_AGE_DEFAULT */
};

/* Why a frame went no further. One counter each; its word is net_drop_to_string()'s. */
enum net_drop {
	NET_DROP_NONE,
	NET_DROP_MALFORMED, /* too short, too long, or an offload header that does not fit the frame */
	NET_DROP_LINK_DOWN,
	NET_DROP_FULL, /* the receiver has no room */
	NET_DROP_VLAN, /* not in the port's VLANs */
	NET_DROP_SPOOF_MAC,
	NET_DROP_SPOOF_ARP,
	NET_DROP_SPOOF_IP,
	NET_DROP_DHCP_GUARD,
	NET_DROP_RA_GUARD,
	NET_DROP_RESERVED, /* to 01:80:c2:00:00:0x from a guest */
	NET_DROP_ISOLATED,
	NET_DROP_STORM,
	NET_DROP_RATE,
	NET_DROP_MTU,
	NET_DROP_UNKNOWN,   /* nobody has this address, and there is no uplink */
	NET_DROP_SELF,      /* it would go back where it came from */
	NET_DROP_REFLECTED, /* a guest's own address, from an uplink */
	NET_DROP_DUPLICATE, /* came by a team's other member */
	NET_DROP_NO_UPLINK, /* no member of the team is up */
	NET_DROP_PEER,      /* the peer's ring is gone or broken */
	NET_DROP_X_MAX
};
#define NET_DROP_SLOTS 24
static_assert(NET_DROP_X_MAX <= NET_DROP_SLOTS, "shared layout");

/* A port's counters, in memory that the worker shares with the daemon: one writer, relaxed stores; see vmm-core/stats.h.
 * tx is what the owner of the port sent, rx what it was given: libvirt's view from the guest. */
struct net_port_counters {
	_Atomic uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	_Atomic uint64_t rx_dropped, tx_dropped; /* sums of the two arrays */
	_Atomic uint64_t rx_drops[NET_DROP_SLOTS], tx_drops[NET_DROP_SLOTS];
	_Atomic uint64_t rx_multicast, tx_gso, rx_gso; /* of rx_packets, tx_packets */
	_Atomic uint64_t pad[7];
};
static_assert(sizeof(struct net_port_counters) == 512, "shared layout");

static inline void net_count(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer: a load and a store, no locked instruction. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* Teams. */

enum net_team_policy {
	NET_TEAM_DEFAULT,  /* port-id */
	NET_TEAM_PORT_ID,  /* each port has a member; the least used when it comes */
	NET_TEAM_EXPLICIT, /* all on the first member, in order, that works: active-backup */
	NET_TEAM_SRC_MAC,  /* hash of source address and VLAN */
	NET_TEAM_IP_HASH,  /* hash of IP addresses and ports: the switch must know (static LAG) */
	NET_TEAM_LOAD,     /* port-id, and moved when a member is much busier */
	NET_TEAM_LACP,     /* IEEE 802.1AX; hash as IP_HASH */
	NET_TEAM_POLICY_X_MAX
};
enum net_uplink_role {
	NET_ROLE_DEFAULT /* active */,
	NET_ROLE_ACTIVE,
	NET_ROLE_STANDBY,
	NET_ROLE_UNUSED,
	NET_ROLE_X_MAX
};
enum net_failback {
	NET_FAILBACK_DEFAULT /* yes */,
	NET_FAILBACK_YES,
	NET_FAILBACK_NO,
	NET_FAILBACK_X_MAX
};
/* What a LACP team does without a partner. */
enum net_lacp_fallback {
	NET_LACP_FALLBACK_DEFAULT, /* as EXPLICIT, also when the partner has fallen silent */
	NET_LACP_FALLBACK_STARTUP, /* … only as long as none was heard on a link that is up */
	NET_LACP_FALLBACK_NONE,    /* sends nothing */
	NET_LACP_FALLBACK_X_MAX
};
enum net_uplink_kind { NET_UPLINK_PACKET, NET_UPLINK_TAP, NET_UPLINK_X_MAX };

struct net_uplink {
	char ifname[NET_IFNAME_MAX]; /* for messages */
	uint8_t mac[NET_MAC_LEN];    /* the NIC's own */
	uint8_t kind;                /* enum net_uplink_kind: what its fd is */
	uint8_t role;
	uint16_t order;    /* lower is preferred; equal: as in the list */
	uint8_t weight;    /* share of the load; 0: by speed */
	uint8_t exclusive; /* the host does not use this NIC */
};

/* 0 means the default, given behind each field; UINT32_MAX: none, where that makes sense. */
struct net_team_config {
	uint8_t policy;
	uint8_t failback;
	uint8_t guest_link_up; /* guests see their link up even when no member is */
	uint8_t no_damping;
	uint32_t
		failback_ms; /* how long a preferred member must have been well before it is used again: 0 */
	uint32_t poll_ms;       /* link state: 100 */
	uint32_t up_delay_ms;   /* 5000 while another member works, else none */
	uint32_t down_delay_ms; /* 0 */
	uint32_t min_links;     /* 1 */
	uint32_t beacon_ms;     /* 0: no beacons */
	uint32_t beacon_missed; /* 3 */
	uint32_t probe_ms;      /* of ARP and ND targets: 1000 */
	uint32_t probe_missed;  /* 3 */
	uint8_t probe_all;      /* every target must answer; else any one */
	uint8_t no_notify;
	uint8_t notify_rounds; /* 5 */
	uint8_t lacp_passive, lacp_slow;
	uint8_t lacp_fallback;         /* enum net_lacp_fallback */
	uint16_t lacp_system_priority; /* 65535 */
	uint16_t lacp_key;             /* 0: by number of the team */
	uint8_t pad[2];
	uint32_t rebalance_ms;   /* 10000 */
	uint32_t rebalance_gain; /* per cent: 10 */
	uint32_t n_targets;
	struct {
		struct net_ip ip;
		uint16_t vid;
		uint8_t pad[2];
	} targets[NET_MAX_TARGETS];
};

struct net_config {
	uint32_t magic, version; /* NET_CONFIG_MAGIC, NET_CONFIG_VERSION */
	char name[NET_NAME_MAX];
	uint8_t uuid[16];
	uint16_t mtu;          /* 0: NET_MTU_DEFAULT */
	uint8_t has_host_port; /* a tap by which the host (or the gateway) takes part */
	uint8_t pad[3];
	uint16_t poll_us; /* the longest look for frames before a sleep; 0: none */
	struct net_port_config host_port;
	struct net_bandwidth
		bandwidth; /* of all ports together, to and from host port and uplinks */
	struct net_team_config team;
	uint32_t n_uplinks;
	struct net_uplink uplinks[NET_MAX_UPLINKS];
};

/* All zeroes, but for magic and version. */
void net_config_init(struct net_config *config);

/* Check the whole of it; never trusts a byte. Return 0, or -EINVAL with one line in ret_reason that names the element as
 * the XML does and says what to write instead. */
int net_port_config_validate(
	const struct net_port_config *port, char *ret_reason, size_t reason_size);
int net_config_validate(const struct net_config *config, char *ret_reason, size_t reason_size);

/* 's' may be the name of a network interface: 1 to 15 printable characters, none that the kernel or XML treats
 * specially. */
bool net_ifname_is_valid(const char *s);

/* libvirt's or our XML's word of a value, NULL for "default"; and back, -EINVAL if unknown. */
enum net_enum { NET_ENUM_TEAM_POLICY, NET_ENUM_ROLE, NET_ENUM_FAILBACK, NET_ENUM_X_MAX };
const char *net_enum_to_string(enum net_enum kind, unsigned value);
int net_enum_from_string(enum net_enum kind, const char *s);

/* "malformed", "spoofed-mac", …: for statistics and messages. Never NULL. */
const char *net_drop_to_string(enum net_drop reason);
