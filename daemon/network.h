/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network: a definition, the worker that is its switch while it is active, and its ports: one for each vNIC of a
 * running domain. Knows no transport.
 *
 *	           network_start               reply of START_NETWORK
 *	IDLE ─────────────────────► STARTING ─────────────────────► ACTIVE
 *	 ▲                             │ gone                          │ network_destroy
 *	 └─────────────────────────────┴───────────────────────────────┘
 *	                                     death: STARTING again, the ports get new links
 *
 * A port is made when a domain starts (network_attach_nic(): refuses, changes nothing else), is linked when the domain's
 * worker has been told to start (network_link_domain(): the rings, PORT_ADD to the network's worker, LINK_ADD to the
 * domain's), and is released when the domain ends. If the network's worker dies it is started again, at most
 * NETWORK_RESTART_BURST times in NETWORK_RESTART_USEC, and every port is linked anew; direct links between domains live
 * on meanwhile. A network that is destroyed takes its links with it: the domains' vNICs stay and reach nobody, as with
 * libvirt, until the domain starts again.
 *
 * Ownership: networks belong to the manager, ports to their network; a domain keeps no pointer to a port: ports are found
 * by domain. Threads: the daemon's one.
 */
#pragma once

#include "config/network-xml.h"
#include "daemon/domain.h"
#include "daemon/network-team.h"

#define NETWORK_START_USEC    (20 * UINT64_C(1000000))
#define NETWORK_REQUEST_USEC  (10 * UINT64_C(1000000))
#define NETWORK_QUIT_USEC     (3 * UINT64_C(1000000))
#define NETWORK_RESTART_BURST 5
#define NETWORK_RESTART_USEC  (60 * UINT64_C(1000000))
#define NETWORK_MAX           1024 /* networks of an instance */
#define NETWORK_PORT_IPS      16   /* addresses remembered of one port */
#define NETWORK_MAX_DIRECTS   32   /* direct links of one port; a quiet one makes way for another */

enum network_phase { NETWORK_IDLE, NETWORK_STARTING, NETWORK_ACTIVE };

struct stats_view;

struct network_port {
	struct list link;
	struct network *network;
	unsigned number; /* 1 … NET_MAX_PORTS - 1, unique in the network */
	uint8_t domain[16];
	unsigned nic;                  /* domain_nic.number of the domain's interface */
	struct net_port_config config; /* resolved: portgroup and network have been looked at */
	char ifname[NET_IFNAME_MAX];   /* what lists and the live XML call it: "vnet3" */
	bool linked;
	uint64_t looked_usec; /* when it was asked what goes by its direct links */
	/* What the network's worker saw the guest use (ARP, ND, DHCP), the newest last: a claim of the guest's. */
	unsigned n_ips;
	struct net_ip ips[NETWORK_PORT_IPS];
};

struct network {
	struct manager *manager;
	struct list link;
	uint8_t uuid[16];
	char name[NET_NAME_MAX];
	struct network_config *config; /* what runs, or else the definition */
	char *xml;                     /* the definition, canonical; NULL: transient */
	bool autostart;

	enum network_phase phase;
	struct worker *worker;
	struct worker_log *log;
	struct cgroup *cgroup;
	struct stats_view *stats;
	struct network_team *team; /* NULL: nothing is known of uplinks */
	struct gateway *gateway;   /* kept while workers come and go; NULL: the network has none */
	int tap_fd;                /* the gateway's tap, for the next worker; -EBADF */
	uint32_t slot;
	bool destroying;
	struct error start_error;
	sd_event_source *kill_timer;
	/* By the worker's words, and only while it lives. */
	bool uplinks_known, uplinks_down; /* all of them; guests' links follow */
	uint32_t uplinks_gone;            /* bits: their NICs are to be opened again */
	/* What the worker calls its uplinks: by number. "": it was removed; its number is free. */
	unsigned n_members;
	char members[NET_MAX_UPLINKS][NET_IFNAME_MAX];
	sd_event_source *uplink_timer;
	struct list start_waits, stop_waits; /* struct domain_wait */
	struct list ports;                   /* struct network_port */
	uint64_t restarts_usec[NETWORK_RESTART_BURST];
	unsigned n_restarts;
};

struct network *network_new(
	struct manager *manager, const uint8_t uuid[16], const char *name, struct error *error);
/* Does not touch the worker process: it lives on. */
struct network *network_free(struct network *network);
DEFINE_CLEANUP(struct network *, network_free);

static inline bool network_is_active(const struct network *network)
{
	return network->phase != NETWORK_IDLE;
}

static inline bool network_is_persistent(const struct network *network)
{
	return network->xml;
}

/* Each returns 0 and calls 'done' later, or a negative errno with 'error' set and never calls it. */
int network_start(
	struct network *network, domain_done_fn done, void *userdata, struct error *error);
int network_destroy(
	struct network *network, domain_done_fn done, void *userdata, struct error *error);

/* What the host calls the network's own interface: the definition's name, or the one that was chosen when it started. "": the host
 * has none (also of one that is in a namespace of its own and was not given a name). */
const char *network_bridge(const struct network *network);
/* The live or (inactive) persistent XML; the caller frees it. */
int network_format_xml(
	const struct network *network, bool inactive, char **ret_xml, struct error *error);

/* Ports. */

/* vNIC number 'nic' of 'domain' (its live configuration) names a network: check that the network is active, that the portgroup
 * exists, that the address is free; make the port, and resolve its configuration into domain->live->vm.nics. For
 * domain-nic.h, as network_detach_nic() is: it copes with a vNIC that has none. */
int network_attach_nic(struct domain *domain, unsigned nic, struct error *error);
void network_detach_nic(struct domain *domain, unsigned nic);
/* START is on its way to the domain's worker: send what links its vNICs. Failures are logged: the domain runs on
 * without that link. */
void network_link_domain(struct domain *domain);
/* The domain's worker is gone. */
void network_detach_domain(struct domain *domain);
/* The worker of a domain that runs has this one now. */
void network_link_nic(struct domain *domain, unsigned nic);
/* Ask the domain's worker and the network's to take another configuration of the interface with number 'nic' (link state,
 * bandwidth). */
int network_update_port(struct domain *domain, unsigned nic, const struct net_port_config *config,
	domain_done_fn done, void *userdata, struct error *error);
const struct network_port *network_find_port(
	const struct manager *manager, const uint8_t domain[16], unsigned nic);
/* What the network's worker counts at the port, since it began; NULL: nothing is known. */
const struct net_port_counters *network_port_counters(const struct network_port *port);
unsigned network_n_ports(const struct network *network);
/* The prefix length of the network that 'ip' is in, by the definition; 0: unknown. */
unsigned network_prefix_of(const struct network *network, const struct net_ip *ip);
/* The port that is called 'ifname'. */
const struct network_port *network_find_ifname(const struct manager *manager, const char *ifname);
/* Some running domain has 'mac' on a network. */
const struct network_port *network_find_mac(const struct manager *manager, const uint8_t mac[6]);

/* Definitions, as manager_define() and its kin for domains. */
int network_define(struct manager *manager, const char *xml, const char *source, unsigned flags,
	struct network **ret_network, struct contract_report **ret_report, struct error *error);
/* The parts of it, as manager_parse() and its kin. network_take_definition() takes both. */
int network_parse(const char *xml, const char *source, unsigned flags,
	const struct xml_identify *identify, struct network_config **ret_config,
	struct contract_report **ret_report, struct error *error);
void network_take_definition(struct network *network, char *xml, struct network_config *config);
void network_drop_definition(struct network *network);
int network_undefine(struct network *network, struct error *error);
int network_create(struct manager *manager, const char *xml, const char *source, unsigned flags,
	domain_done_fn done, void *userdata, struct network **ret_network,
	struct contract_report **ret_report, struct error *error);
/* The definition, read; the caller frees it. Refuses a transient network. */
int network_definition(
	const struct network *network, struct network_config **ret_config, struct error *error);
/* net-update (config/network-update.h), by libvirt's rules: in what runs, in the definition, or with no flag in whichever
 * of them there is. What runs follows at once, its uplinks too. Portgroups count for domains that start from then on. All or nothing: on failure neither has changed. */
#define NETWORK_UPDATE_LIVE   (1U << 0)
#define NETWORK_UPDATE_CONFIG (1U << 1)
struct network_update;
int network_update_section(struct network *network, const struct network_update *update,
	unsigned flags, struct error *error);
/* What runs gets all of 'config' that a network_update_section() could change, but for uplinks. All or nothing. */
int network_update_live(
	struct network *network, const struct network_config *config, struct error *error);
int network_set_autostart(struct network *network, bool on, struct error *error);
/* By name or UUID. NULL with 'error' set when there is none. */
struct network *network_find(struct manager *manager, const char *key, struct error *error);
struct network *network_find_name(struct manager *manager, const char *name);
struct network *network_find_uuid(const struct manager *manager, const uint8_t uuid[16]);

/* manager.c's: read the definitions; find the workers of networks again (after the domains'); start what is marked. */
int network_load_all(struct manager *manager, struct error *error);
void network_adopt_all(struct manager *manager);
void network_autostart_all(struct manager *manager);
/* On the first start with a state folder that never had networks: define the network of the file 'path', and mark it for
 * autostart. Once: whoever undefines it does not get it back. What fails is logged; a missing file is nobody's fault. */
void network_define_default(struct manager *manager, const char *path);
/* A domain is found again: ask its worker for the direct links that an earlier daemon made. */
void network_find_directs(struct domain *domain);
/* It has answered; the numbers are within their limits. False: nobody asked. */
bool network_links_told(struct domain *domain, const struct proto_links *links);
/* Forget the direct links; the workers, which must have been freed, keep what they have. */
void network_free_directs(struct manager *manager);
