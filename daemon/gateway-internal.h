/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the files of gateway: gateway.c (life), gateway-update.c (changes), gateway-process.c (start, watch, start again), gateway-keeper.c (tap
 * and namespace), gateway-config.c (checks), gateway-dnsmasq.c and gateway-netns.c (texts for the programs),
 * gateway-lease.c (leases), gateway-status.c (what outlives the daemon). */
#pragma once

#include <sys/types.h>

#include "daemon/gateway.h"

/* Inside the namespace. Link-local addresses: no network of a user's can be in their way. */
#define GATEWAY_OUT "vmmd-out"
#define GATEWAY_OUT_NET                                                                            \
	"169.254.76.0/24" /* slirp: .2 is its gateway, .3 the resolvers of the host */
#define GATEWAY_OUT_IP   "169.254.76.100"
#define GATEWAY_OUT_GW   "169.254.76.2"
#define GATEWAY_OUT_DNS  "169.254.76.3"
#define GATEWAY_OUT_NET6 "fd00::/64" /* libslirp knows no other */
#define GATEWAY_OUT_IP6  "fd00::100"
#define GATEWAY_OUT_GW6  "fe80::2"
#define GATEWAY_IN       "vmmd-in"
#define GATEWAY_IN_IP    "169.254.77.2"
#define GATEWAY_IN_GW    "169.254.77.1"
#define GATEWAY_IN_IP6   "fd76:6d6d:6400::2"
#define GATEWAY_IN_GW6   "fe80::1"
#define GATEWAY_IN_MARK  1   /* of connections that came in by pasta */
#define GATEWAY_IN_TABLE 100 /* the routes of their answers */
#define GATEWAY_WAN_MTU  65520

#define GATEWAY_MAX_ARGS (40 + 2 * GATEWAY_MAX_FORWARDS)

enum gateway_process_kind {
	GATEWAY_KEEPER,
	GATEWAY_DNSMASQ,
	GATEWAY_SLIRP,
	GATEWAY_PASTA,
	GATEWAY_CHANGER, /* a while: gateway-update.c */
	GATEWAY_PROCESS_X_MAX
};

struct gateway_process {
	struct gateway *gateway;
	enum gateway_process_kind kind;
	bool wanted, restarting;
	pid_t pid; /* 0: does not run */
	uint64_t start_time;
	int pidfd;
	sd_event_source *source, *retry;
	uint64_t started_usec, delay_usec;
	char program[GATEWAY_TEXT_MAX]; /* path */
};

struct gateway {
	sd_event *event;
	struct gateway_config *config;
	const struct gateway_ops *ops;
	void *opaque;
	int runtime_fd, dir_fd, state_fd; /* dir: RUNTIME/gateway */
	char dir_path[4096], state_path[4096];
	char ip_program[GATEWAY_TEXT_MAX], nft_program[GATEWAY_TEXT_MAX];
	char dnsmasq_user[32];

	struct gateway_process processes[GATEWAY_PROCESS_X_MAX];
	struct worker_log *log;
	int log_fd; /* what the programs write on */
	int tap_fd, netns_fd;
	int keeper_fd; /* the keeper's answer, until it came */
	sd_event_source *keeper_source, *setup_timer;
	sd_event_source *pid_watch; /* dnsmasq.pid appears */
	bool ready;

	sd_event_source *lease_watch, *lease_timer;
	unsigned n_leases;
	struct gateway_lease *leases;
	bool *alive; /* set to false by gateway_free() while leases are told; or NULL */
};

/* gateway-config.c */

bool gateway_has_dhcp(const struct gateway_config *config, unsigned family);
/* Something for dnsmasq to do. */
bool gateway_wants_dnsmasq(const struct gateway_config *config);
bool gateway_has_family(const struct gateway_config *config, unsigned family);
/* The gateway's address in the network of 'ip', or NULL. */
const struct net_ip *gateway_network_of(
	const struct gateway_config *config, const struct net_ip *ip);

/* gateway-dnsmasq.c: the content of dnsmasq's files. Pure; the caller frees. Return 0 or -ENOMEM. */

/* 'run' is the folder that dnsmasq sees the files in, 'lease_path' its lease file. */
int gateway_dnsmasq_conf(const struct gateway_config *config, const char *run,
	const char *lease_path, const char *user, char **ret_text);
int gateway_dnsmasq_hosts(const struct gateway_config *config, char **ret_text);
int gateway_dnsmasq_dhcp_hosts(const struct gateway_config *config, char **ret_text);

/* gateway-netns.c: the same for ip -batch and nft -f, and command lines. */

/* 'ifname' is what the tap has become. 'family' 4 or 6: ip(8) takes rules of one family at a time. */
int gateway_ip_batch(
	const struct gateway_config *config, const char *ifname, unsigned family, char **ret_text);
/* What leads in alone, for a gateway that had no port forwards when it was made. */
int gateway_ip_batch_in(const struct gateway_config *config, unsigned family, char **ret_text);
int gateway_nft_rules(const struct gateway_config *config, const char *ifname, char **ret_text);

struct gateway_args {
	unsigned n;
	const char *argv[GATEWAY_MAX_ARGS + 1];
	char specs[GATEWAY_MAX_FORWARDS][80]; /* of ports, among argv */
};
/* 'netns' is the namespace's path. The strings are the configuration's, constants, or in 'args'. 'ipv6': the host has a
 * way for it. */
void gateway_slirp_args(
	const struct gateway_config *config, const char *netns, struct gateway_args *ret_args);
void gateway_pasta_args(const struct gateway_config *config, const char *netns, bool ipv6,
	struct gateway_args *ret_args);

/* gateway-keeper.c */

/* The keeper's answer, with the fds of tap and namespace (GATEWAY_NAT) when r is 0. */
struct gateway_keeper_reply {
	int32_t r;
	char text[ERROR_MESSAGE_MAX];
};
/* The child. Never returns. Keeps g->tap_fd and netns_fd if there are any, else makes them. */
_noreturn_ void gateway_keeper(const struct gateway *gateway, int reply_fd);
/* Connect to the keeper that runs; it sends a reply. Returns the fd or -errno. */
int gateway_ask_keeper(int dir_fd);

/* The child that sets the rules of g->config in the namespace. Never returns. */
_noreturn_ void gateway_changer(const struct gateway *gateway);

/* gateway-process.c */

const char *gateway_process_name(enum gateway_process_kind kind);
/* Start it if it is wanted and does not run. A failure is logged and tried again later. */
void gateway_process_start(struct gateway_process *process);
int gateway_process_adopt(struct gateway_process *process, pid_t pid, uint64_t start_time);
void gateway_process_kill(struct gateway_process *process);
/* End it by 'signal', and start it again if it is wanted. */
void gateway_process_restart(struct gateway_process *process, int signal);
/* Forget it; it runs on. */
void gateway_process_release(struct gateway_process *process);
/* In a child: default signals but for SIGPIPE, a session of its own, standard fds ('log_fd' negative: /dev/null), and
 * nothing open above 'keep_fd'. Returns 0 or -errno. */
int gateway_child_begin(int log_fd, int keep_fd);

/* gateway.c: a process ended ('how': in words); it has been reaped, and will be started again unless this frees it.
 * Answers true when the gateway is gone. */
bool gateway_on_death(
	struct gateway *gateway, enum gateway_process_kind kind, const char *how, int status);
/* Everything that the programs will want to find, by 'config'. Return 0 or -errno. */
int gateway_write_files(struct gateway *gateway, const struct gateway_config *config);
int gateway_format_conf(
	struct gateway *gateway, const struct gateway_config *config, char **ret_text);
/* Wait for the answer on keeper_fd. */
int gateway_watch_keeper(struct gateway *gateway);
/* dnsmasq says that it serves. */
void gateway_check_ready(struct gateway *gateway);

/* gateway-update.c: the changer has ended. Answers true, as gateway_on_death(). */
bool gateway_rules_changed(struct gateway *gateway, int status);

/* gateway-lease.c */

int gateway_leases_watch(struct gateway *gateway);
void gateway_leases_done(struct gateway *gateway);
/* "UUID.leases" */
void gateway_lease_name(const uint8_t uuid[16], char *ret_name, size_t size);

/* gateway-status.c */

/* Old or new. Returns 0 or -errno. */
int gateway_write_file(int dir_fd, const char *name, const char *text, mode_t mode);
void gateway_save_status(const struct gateway *gateway);
struct gateway_status {
	pid_t pids[GATEWAY_PROCESS_X_MAX]; /* 0: none */
	uint64_t start_times[GATEWAY_PROCESS_X_MAX];
};
int gateway_load_status(int dir_fd, struct gateway_status *ret_status);
