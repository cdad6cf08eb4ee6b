/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the files of network: network.c (life, lookup) network-run.c (the worker) network-port.c (ports) network-link.c (their
 * stars) network-direct.c (direct links) network-define.c (definitions) network-update.c (net-update) network-default.c (the first of them) network-status.c (what outlives the daemon) network-open.c (host side: fds)
 * network-uplink.c (uplinks that fail) network-team.c (reports, tests) network-mirror.c (mirrors). */
#pragma once

#include "daemon/network.h"

/* Seconds of CLOCK_MONOTONIC do not matter to these: both are called from worker callbacks. */
extern const struct worker_ops network_worker_ops;

/* What the network's worker will use, opened by the daemon: configuration, statistics, host tap, uplinks. On success the
 * fds are the caller's, to be closed by network_fds_close(). */
struct network_resources {
	struct proto_fd what[PROTO_MAX_FDS];
	int fds[PROTO_MAX_FDS];
	unsigned n;
	int stats_fd; /* one of fds */
};
int network_open(struct network *network, struct network_resources *ret, struct error *error);
void network_resources_close(struct network_resources *resources);
/* One uplink; its kind and MAC are filled in. The fd is the caller's. An exclusive one is taken from the host, which
 * has it back by the other. */
int network_open_uplink(
	const struct network *network, struct net_uplink *uplink, int *ret_fd, struct error *error);
void network_give_back_nic(const struct network *network, const struct net_uplink *uplink);
void network_give_back_nics(const struct network *network);

/* A definition as it is kept; refuses one that is too long. */
int network_canonical_xml(const struct network_config *config, char **ret_xml, struct error *error);

/* All that belongs to a run, the gateway too. */
void network_end_run(struct network *network);

/* The gateway: network-gateway.c. */
struct gateway_config;
bool network_wants_gateway(const struct network_config *config);
int network_gateway_config(const struct network_config *config, struct gateway_config *ret_config,
	struct error *error);
/* Answered by network_gateway_ready(), later. */
int network_start_gateway(struct network *network, int dir_fd, struct error *error);
/* -ESRCH: there is none left. */
int network_adopt_gateway(struct network *network, int dir_fd);
/* It is there, with n->tap_fd, or ('error') cannot be had. */
void network_gateway_ready(struct network *network, const struct error *error);
void network_kill_later(struct network *network, uint64_t usec);

/* Tell the sinks, save the status. */
void network_event(struct network *network, const char *detail);
/* 0 or -errno: it has been logged, and the next daemon finds what was kept before. */
int network_save_status(struct network *network);

/* All ports are linked anew (the worker is new), or lose their links (it is gone for good). */
void network_link_all(struct network *network);
void network_unlink_all(struct network *network);
/* A port that another daemon made. NULL: no memory, or the number is taken. */
struct network_port *network_port_adopt(
	struct network *network, unsigned number, const uint8_t domain[16], unsigned nic);
void network_free_ports(struct network *network);
void network_port_free(struct network_port *port);
struct network_port *network_find_number(const struct network *network, unsigned number);
/* A port that is not linked yet gets its star, if both ends are there. */
void network_link_port(struct network_port *port);
/* The network's worker and the peers of direct links forget the port. */
void network_unlink_port(struct network_port *port);
/* Port 'number' uses this address. */
void network_note_address(struct network *network, unsigned number, const uint8_t mac[NET_MAC_LEN],
	const struct net_ip *ip);
/* What the worker tells of its uplinks: all of it, each time. */
void network_uplinks_are(struct network *network, const struct net_team_state *state);
void network_uplinks_end(struct network *network);
/* The worker's numbers of uplinks: those of the configuration when it starts. The name of one, or "". The number of one: -ENOENT. */
void network_uplinks_begin(struct network *network);
const char *network_uplink_name(const struct network *network, unsigned member);
int network_uplink_number(const struct network *network, const char *ifname);
/* What runs gets or loses an uplink: 'added', opened as 'fd' (which is the worker's then), with a name that is new; or 'removed',
 * which goes back to the host. */
void network_uplink_add_live(struct network *network, const struct net_uplink *added, int fd);
void network_uplink_remove_live(struct network *network, const struct net_uplink *removed);
/* The vNIC of this port gets its configuration, with its link down if the uplinks are; again later if that fails. */
void network_tell_guest(const struct network_port *port);
/* The files and bells of a link. End 0 is the network's, or the first domain's; end 1 the (other) domain's. */
struct network_link_fds {
	int own[2], peer[2], bell[2];
};
int network_link_fds_make(struct network_link_fds *ret);
void network_link_fds_close(struct network_link_fds *fds);
/* Those of one end, as LINK_ADD and PORT_ADD want them; they stay 'fds''. */
void network_link_end(const struct network_link_fds *fds, unsigned end, int ret[PROTO_LINK_FDS]);
static inline bool network_can_ask(const struct worker *worker)
{
	return worker && worker_is_connected(worker);
}
/* Guests are asked to announce themselves: the team announced the addresses that are seen here, and they know the rest. */
void network_announce_guests(const struct network *network);
/* Two ports exchange many frames: give them a link of their own. */
void network_pair(struct network *network, unsigned a, unsigned b);
/* What 'asked' for vNIC number 'nic' of 'domain' comes to in this network. -ENOENT: it has no such portgroup. */
int network_resolve_port(const struct network *network, const struct domain *domain, unsigned nic,
	const struct net_port_config *asked, struct net_port_config *ret);
/* Mirrors: the definition sends copies to vNIC 'nic' of 'domain'; copies of what this port sends or is given; PORT_ADD's part, with
 * the ports that are linked by now. */
bool network_is_mirror_target(
	const struct network *network, const struct domain *domain, unsigned nic);
bool network_is_mirrored(const struct network_port *port);
void network_fill_mirrors(const struct network_port *port, struct proto_port *message);
/* Direct links of a port go back to the star and end: its peers are to check by another configuration; or the port goes. */
void network_drop_directs(const struct network_port *port);
void network_end_directs(const struct network_port *port);
/* Give back the ports whose domains do not run. */
void network_drop_dead_ports(struct network *network);
/* Start the worker of a network that ought to run. */
void network_revive(struct network *network);
