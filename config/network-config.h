/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct network_config: a network as its XML describes it: struct net_config (all that the network's worker sees) and
 * the host's side of it: how it reaches the world, addresses, DHCP, names. For the daemon only. Plain old data but for
 * 'extra' (what round-trips without being understood). Strings end in NUL; flags are 0 or 1; 0 in an enumeration is
 * its default.
 *
 * network_xml_parse() has checked all of it: addresses are in their networks, names hold nothing that a resolver's or
 * DHCP server's configuration file could take for something else.
 */
#pragma once

#include "config/net-config.h"
#include "config/vm-config.h"

#define NETWORK_NAME_MAX       256 /* of DNS names, with the NUL */
#define NETWORK_TEXT_MAX       256
#define NETWORK_PATH_MAX       1024
#define NETWORK_DUID_MAX       128
#define NETWORK_PEER_MAX       192 /* "DOMAIN/ALIAS" */
#define NETWORK_MAX_IPS        8
#define NETWORK_MAX_RANGES     8 /* of one <ip> */
#define NETWORK_MAX_DHCP_HOSTS 256
#define NETWORK_MAX_ROUTES     32
#define NETWORK_MAX_PORTGROUPS 32
#define NETWORK_MAX_FORWARDERS 16
#define NETWORK_MAX_TXTS       32
#define NETWORK_MAX_SRVS       32
#define NETWORK_MAX_DNS_HOSTS  64
#define NETWORK_MAX_HOSTNAMES  8 /* of one address */
#define NETWORK_MAX_FORWARDS   64
#define NETWORK_MAX_MIRRORS    NET_MAX_MIRRORS

enum network_forward {
	NETWORK_ISOLATED, /* no <forward> */
	NETWORK_NAT,
	NETWORK_ROUTE,
	NETWORK_OPEN,    /* as route, but nothing is filtered */
	NETWORK_BRIDGE,  /* uplinks of its own, or a bridge of the host's */
	NETWORK_PRIVATE, /* as bridge with uplinks; ports do not reach each other */
	NETWORK_FORWARD_X_MAX
};

enum network_lease_unit {
	NETWORK_LEASE_DEFAULT, /* minutes */
	NETWORK_LEASE_SECONDS,
	NETWORK_LEASE_MINUTES,
	NETWORK_LEASE_HOURS,
	NETWORK_LEASE_X_MAX
};
struct network_lease {
	uint32_t expiry; /* 0: the default; UINT32_MAX: never */
	uint8_t unit;    /* enum network_lease_unit */
};

struct network_range {
	struct net_ip start, end;
	struct network_lease lease;
};
struct network_dhcp_host {
	uint8_t mac[NET_MAC_LEN]; /* zero: any that gives 'id' or 'name' */
	char id[NETWORK_DUID_MAX];
	char name[NETWORK_NAME_MAX];
	struct net_ip ip;
	struct network_lease lease;
};

/* An address of the host's port, and what is served there. */
struct network_ip {
	struct net_ip ip;      /* prefix: the network's, whichever way it was given */
	struct net_ip netmask; /* as given; family 0: not given */
	uint8_t prefix;        /* as given; 0: not given */
	uint8_t family;        /* as given: 0, 4 or 6 */
	uint8_t local_ptr;     /* enum vm_tristate */
	char tftp_root[NETWORK_PATH_MAX];
	uint32_t n_ranges, n_hosts;
	struct network_range ranges[NETWORK_MAX_RANGES];
	struct network_dhcp_host hosts[NETWORK_MAX_DHCP_HOSTS];
	char bootp_file[NETWORK_TEXT_MAX];
	char bootp_server[NETWORK_NAME_MAX];
};

struct network_route {
	struct net_ip ip; /* prefix: as in struct network_ip */
	struct net_ip netmask;
	uint8_t prefix, family;
	struct net_ip gateway;
	uint32_t metric; /* 0: 1 */
};

struct network_forwarder {
	char domain[NETWORK_NAME_MAX]; /* "": of all names */
	struct net_ip ip;              /* family 0: names of this domain are not asked elsewhere */
};
struct network_txt {
	char name[NETWORK_NAME_MAX], value[NETWORK_TEXT_MAX];
};
struct network_srv {
	char service[64], domain[NETWORK_NAME_MAX], target[NETWORK_NAME_MAX];
	uint8_t protocol; /* 1 tcp, 2 udp */
	uint16_t port, priority, weight;
};
struct network_dns_host {
	struct net_ip ip;
	uint32_t n_names;
	char names[NETWORK_MAX_HOSTNAMES][NETWORK_NAME_MAX];
};

struct network_portgroup {
	char name[NET_NAME_MAX];
	uint8_t is_default;
	struct net_port_config
		port; /* vlan, bandwidth, flags, storm limits: what its ports begin with */
};

/* A connection to the host that goes on to a guest. */
struct network_port_forward {
	uint8_t protocol;      /* 1 tcp, 2 udp */
	struct net_ip address; /* of the host; family 0: all of them */
	uint16_t port;         /* of the host */
	struct net_ip to;      /* in the network */
	uint16_t to_port;      /* 0: as 'port' */
};

struct network_mirror {
	char from[NETWORK_PEER_MAX], to[NETWORK_PEER_MAX]; /* "DOMAIN/ALIAS" of an interface */
	uint8_t direction; /* 0 both, 1 what it receives, 2 what it sends */
};

struct network_member { /* <vmmd:member>; merged into net.uplinks */
	char dev[NET_IFNAME_MAX];
	uint8_t role, weight;
	uint16_t priority;
};
struct network_target { /* <vmmd:arp>, <vmmd:nd>; merged into net.team.targets */
	struct net_ip ip;
	uint16_t vid;
};

struct xml_extra; /* config/xml-extra.h: elements kept for the round trip */

struct network_config {
	struct net_config net;
	struct net_port_config
		port;    /* what every port of the network begins with: vlan, flags, storm
				      * limits; a portgroup's and then the interface's own come over it */
	uint8_t forward; /* enum network_forward */
	char forward_dev[NET_IFNAME_MAX]; /* nat, route: only through this one; bridge: an uplink */
	uint8_t nat_ipv6;                 /* enum vm_tristate */
	struct net_ip nat_start, nat_end; /* family 0: the address of the way out */
	uint16_t nat_port_start, nat_port_end; /* 0: 1024 … 65535 */
	char bridge[NET_IFNAME_MAX]; /* the host's port, or (bridge) the bridge to go into; "" */
	char domain[NETWORK_NAME_MAX];
	uint8_t domain_local_only;                   /* enum vm_tristate */
	uint8_t dns_enable, dns_forward_plain_names; /* enum vm_tristate */
	uint8_t exclusive;                           /* the host does not use the uplinks */
	uint8_t arp_suppress;                        /* 0 auto, 1 on, 2 off */
	uint8_t igmp;                                /* 0 receivers only, 1 flooded */
	uint32_t n_forwarders, n_txts, n_srvs, n_dns_hosts, n_ips, n_routes, n_portgroups,
		n_members, n_arps, n_nds, n_mirrors, n_forwards;
	struct network_forwarder forwarders[NETWORK_MAX_FORWARDERS];
	struct network_txt txts[NETWORK_MAX_TXTS];
	struct network_srv srvs[NETWORK_MAX_SRVS];
	struct network_dns_host dns_hosts[NETWORK_MAX_DNS_HOSTS];
	struct network_ip ips[NETWORK_MAX_IPS];
	struct network_route routes[NETWORK_MAX_ROUTES];
	struct network_portgroup portgroups[NETWORK_MAX_PORTGROUPS];
	struct network_member members[NET_MAX_UPLINKS];
	struct network_target arps[NET_MAX_TARGETS], nds[NET_MAX_TARGETS];
	struct network_mirror mirrors[NETWORK_MAX_MIRRORS];
	struct network_port_forward forwards[NETWORK_MAX_FORWARDS];
	struct xml_extra *extra; /* owned; freed by network_config_free() */
};
