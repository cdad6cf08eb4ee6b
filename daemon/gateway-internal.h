/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the files of gateway: gateway.c (life), gateway-update.c (changes), gateway-files.c (its folder), gateway-process.c (start, watch, start again), gateway-keeper.c (tap
 * and namespace), gateway-sysctl.c, gateway-nft.c (what it sets), gateway-config.c (checks), gateway-dnsmasq.c,
 * gateway-netns.c and gateway-rules.c (texts for the programs), gateway-lease.c (leases), gateway-status.c (what
 * outlives the daemon). */
#pragma once

#include <stdio.h>
#include <sys/types.h>

#include "daemon/gateway.h"
#include "vmm-core/base/list.h"

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

/* In /run as dnsmasq and pasta see it: the host's resolv.conf, if that is in /run; the namespace, where the AppArmor
 * profile of pasta lets it look (by /proc/PID/ns/net it would need ptrace). */
#define GATEWAY_RESOLV "/run/resolv"
#define GATEWAY_NETNS  "/run/user/0/netns/vmmd"

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
	char trouble[128]; /* how it ended when it had not lived for GATEWAY_WELL_USEC; "" */
};

struct gateway {
	sd_event *event;
	struct gateway_config *config;
	const struct gateway_ops *ops;
	void *opaque;
	int runtime_fd, dir_fd, state_fd; /* dir: RUNTIME/gateway */
	char dir_path[4096], state_path[4096];
	char ip_program[GATEWAY_TEXT_MAX];
	char dnsmasq_user[32];
	char resolv_dir[GATEWAY_TEXT_MAX]; /* below /run, shown to dnsmasq as GATEWAY_RESOLV; "" */

	struct gateway_process processes[GATEWAY_PROCESS_X_MAX];
	struct worker_log *log;
	int log_fd; /* what the programs write on */
	int tap_fd;
	int netns_fd;  /* GATEWAY_NAT */
	int rules_fd;  /* the socket that the table belongs to */
	int keeper_fd; /* the keeper's answer, until it came */
	sd_event_source *keeper_source, *setup_timer;
	sd_event_source *pid_watch; /* dnsmasq.pid appears */
	bool ready;

	/* gateway-follow.c */
	struct list waits;
	sd_event_source *read_watch, *tick;
	unsigned changed; /* bits of enum gateway_process_kind: what has to follow */
	unsigned unread;  /* bits: files that dnsmasq was told to read, and has not */

	sd_event_source *lease_watch, *lease_timer;
	uint64_t lease_latest_usec; /* when the timer is due at the latest */
	unsigned n_leases;
	struct gateway_lease *leases;
	bool *alive; /* set to false by gateway_free() while leases are told; or NULL */
};

/* gateway-config.c */

/* Its tap is an interface of the host. */
bool gateway_is_on_host(const struct gateway_config *config);
/* Something is forwarded: not isolated. */
bool gateway_leads_out(const struct gateway_config *config);
/* It has a table in the host's namespace. */
bool gateway_has_rules(const struct gateway_config *config);
/* How many fds the keeper keeps. */
unsigned gateway_n_fds(const struct gateway_config *config);
/* 'ip' without its host's part. */
struct net_ip gateway_network(const struct net_ip *ip);
bool gateway_has_dhcp(const struct gateway_config *config, unsigned family);
/* Something for dnsmasq to do. */
bool gateway_wants_dnsmasq(const struct gateway_config *config);
bool gateway_has_family(const struct gateway_config *config, unsigned family);
/* The gateway's address in the network of 'ip', or NULL. */
const struct net_ip *gateway_network_of(
	const struct gateway_config *config, const struct net_ip *ip);

/* gateway-dnsmasq.c: the content of dnsmasq's files. Pure; the caller frees. Return 0 or -ENOMEM. */

/* As dnsmasq sees them. */
struct gateway_paths {
	const char *run;    /* the gateway's folder */
	const char *leases; /* the lease file */
	const char *resolv; /* the host's resolv.conf */
};
int gateway_dnsmasq_conf(const struct gateway_config *config, const struct gateway_paths *paths,
	const char *user, char **ret_text);
int gateway_dnsmasq_hosts(const struct gateway_config *config, char **ret_text);
int gateway_dnsmasq_dhcp_hosts(const struct gateway_config *config, char **ret_text);

/* gateway-netns.c: the same for ip -batch and nft -f, and command lines. */

/* 'ifname' is what the tap has become. 'family' 4 or 6: ip(8) takes rules of one family at a time. */
int gateway_ip_batch(
	const struct gateway_config *config, const char *ifname, unsigned family, char **ret_text);
/* What leads in alone, for a gateway that had no port forwards when it was made. */
int gateway_ip_batch_in(const struct gateway_config *config, unsigned family, char **ret_text);
int gateway_nft_rules(const struct gateway_config *config, const char *ifname, char **ret_text);

/* gateway-rules.c: the same for a table in the host's namespace. */

#define GATEWAY_TABLE_MAX (NET_NAME_MAX + 8)
/* "vmmd_NAME", with the UUID if the name has other characters than letters, digits, '-', '_' and '.'. */
void gateway_table(const struct gateway_config *config, char ret_name[GATEWAY_TABLE_MAX]);
int gateway_host_rules(const struct gateway_config *config, const char *ifname, char **ret_text);
/* Which port the gateway itself answers on. */
bool gateway_is_own_port(
	const struct gateway_config *config, const struct gateway_forward *forward);
/* "dnat … to …", a line. */
void gateway_put_target(FILE *f, const struct gateway_forward *forward);

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

/* gateway-files.c. Return 0 or -errno. */

/* dir_fd and its like; 'create': make the folder. */
int gateway_open_dirs(struct gateway *gateway, const struct gateway_place *place, bool create);
/* What dnsmasq is told: dnsmasq_user; resolv_dir, and the path of resolv.conf as it sees it. */
void gateway_find_user(struct gateway *gateway);
void gateway_find_resolv(struct gateway *gateway, char *ret_path, size_t size);
/* Everything that the programs will want to find, by 'config'; of it dnsmasq.conf. */
int gateway_write_files(struct gateway *gateway, const struct gateway_config *config);
int gateway_format_conf(
	struct gateway *gateway, const struct gateway_config *config, char **ret_text);
void gateway_remove_files(const struct gateway *gateway);

/* gateway-sysctl.c, in the keeper. Return 0, or a negative errno with 'error' set. */

/* Of the namespace that the caller is alone in. */
int gateway_set_inside(struct error *error);
/* Of the host: what the tap takes, and forwarding. Before the tap has addresses. */
int gateway_set_host(const struct gateway_config *config, const char *ifname, struct error *error);

/* gateway-nft.c, in the keeper, in the namespace of the caller. */

/* Run these commands of nft(8), all or none. '*ret_fd', if wanted, is the socket that did it: a table with 'flags owner'
 * lives as long as it. */
int gateway_load_rules(const char *rules, int *ret_fd, struct error *error);
/* Is there a chain of this hook that drops what it has no rule for? Says so, and what to do about it for 'ifname', as
 * text without an end of line. */
bool gateway_find_drop(const char *hook, const char *ifname, char *ret_text, size_t size);
/* The same in the output of `nft list chains`. Pure. */
bool gateway_find_drop_in(
	const char *list, const char *hook, const char *ifname, char *ret_text, size_t size);

/* gateway-keeper.c */

/* The keeper's answer, with the fd of the tap, and of namespace or rules, when r is 0; 'text' is a warning then. */
struct gateway_keeper_reply {
	int32_t r;
	char text[ERROR_MESSAGE_MAX];
};
/* The child. Never returns. Keeps g->tap_fd, netns_fd and rules_fd if there are any, else makes them. */
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
/* It has not lived for GATEWAY_WELL_USEC since it ended by itself. */
bool gateway_process_is_troubled(const struct gateway_process *process);
/* Forget it; it runs on. */
void gateway_process_release(struct gateway_process *process);
/* In a child: default signals but for SIGPIPE, a session of its own, standard fds ('log_fd' negative: /dev/null), and
 * nothing open above 'keep_fd'. Returns 0 or -errno. */
int gateway_child_begin(int log_fd, int keep_fd);

/* gateway.c: a process ended ('how': in words); it has been reaped, and will be started again unless this frees it.
 * Answers true when the gateway is gone. */
bool gateway_on_death(
	struct gateway *gateway, enum gateway_process_kind kind, const char *how, int status);
/* Wait for the answer on keeper_fd. */
int gateway_watch_keeper(struct gateway *gateway);
/* dnsmasq says that it serves. */
void gateway_check_ready(struct gateway *gateway);

/* gateway-update.c: the changer has ended. Answers true, as gateway_on_death(). */
bool gateway_rules_changed(struct gateway *gateway, int status);

/* gateway-follow.c */

/* dnsmasq is about to be told that its files have changed. */
void gateway_expect_reading(struct gateway *gateway);
/* Who waits for it is told how it failed: "ended with …". */
void gateway_follow_failed(
	struct gateway *gateway, enum gateway_process_kind kind, const char *how);
/* The gateway goes. Copes with one that is half made. */
void gateway_follow_end(struct gateway *gateway);

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
