/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network's worker as the daemon runs it, and everything around it: vNICs on the test's side of its rings, NICs (veth
 * pairs) in a network namespace of the test's own, and probes on any of them, which record what passes. All of it on one
 * loop. The worker is the shipped one, in its sandbox.
 *
 *	world_topology(w, "link add p0 type veth peer name q0\n…");   ip(8) commands
 *	w->config.… = …; world_uplink(w, "p0");
 *	world_start(w);
 *	vm = world_add_vm(w, NULL);
 *	probe = world_probe(w, "q0");
 *
 * Failures end the test (cmocka).
 */
#pragma once

#include <sys/types.h>

#include "devices/net/nic.h"
#include "devices/net/port-packet.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

#define NET_TEST_TYPE 0x88b6 /* IEEE 802 local experimental: nothing of the kernel's */
#define RARP_TYPE     0x8035
#define MAX_VMS       8
#define MAX_PROBES    12
#define MAX_SEEN      16384
#define MAX_REPORTS   256

/* Commands of ip(8): a veth pair; a switch; a NIC into it. */
#define NET_LINK(a, b)                                                                             \
	"link add name " a " type veth peer name " b "\nlink set " a " up\nlink set " b " up\n"
#define NET_SWITCH(name)                                                                           \
	"link add name " name                                                                      \
	" type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set " name " up\n"
#define NET_INTO(nic, name) "link set " nic " master " name "\n"

/* The real filter, but for sanitizers, which make system calls of their own. */
#ifdef __SANITIZE_ADDRESS__
#define START_FLAGS PROTO_START_SECCOMP_OFF
#else
#define START_FLAGS 0
#endif

/* A frame that somebody was given. */
struct seen {
	uint64_t at_ns;
	uint8_t src[NET_MAC_LEN], dst[NET_MAC_LEN];
	uint16_t ethertype;
	int32_t tci;
	uint32_t len, number; /* number: the first 4 bytes of the payload */
	uint8_t gso_type;
};

/* Frames are counted in 'total', and kept as long as there is room. */
struct record {
	unsigned n, total;
	struct seen seen[MAX_SEEN];
};

struct vm {
	struct port port; /* first */
	struct net_port_counters counters;
	struct net_port_config config;
	struct nic *nic;
	struct loop *loop;
	unsigned number; /* of its port */
	struct record record;
};

struct probe {
	struct port_packet packet; /* first */
	struct net_port_counters counters;
	struct loop *loop;
	int fd;
	struct record record;
};

struct world {
	struct loop *loop;
	struct net_config config;
	struct net_stats_page *stats;
	pid_t pid;
	int control_fd;
	struct loop_source *control;
	uint32_t seq;
	struct {
		uint32_t seq;
		int error;
		char text[PROTO_REASON_MAX];
	} reply;
	struct net_team_state state; /* of the uplinks, as told last; n_states: how often */
	unsigned n_states;
	struct net_team_report reports[MAX_REPORTS];
	unsigned n_reports;
	int uplink_fds[NET_MAX_UPLINKS];
	struct vm *vms[MAX_VMS];
	unsigned n_vms;
	int own_ns, other_ns; /* the second: after world_split() */
	pid_t other_pid;
	struct probe *probes[MAX_PROBES];
	unsigned n_probes;
};

extern const char *worker_path;

/* A new namespace and a loop. world_free() kills the worker. */
struct world *world_new(void);
void world_free(struct world *w);

void world_topology(struct world *w, const char *commands);
/* ip(8) with these commands; false: it did not like them. */
bool try_ip(const char *commands);
void set_link(const char *ifname, bool up);

/* A second namespace, in which a process (other_pid) sleeps. A veth pair over both, whose ends have the same index, looks to
 * the kernel like two NICs and not like a device on top of another: it does not hurry to tell of its carrier. */
void world_split(struct world *w);
/* Be in the one or the other from now on. */
void world_enter(struct world *w, bool other);

/* One more member; its role and order are the caller's to set in w->config. */
void world_uplink(struct world *w, const char *ifname);
void world_start(struct world *w);
/* Send a request and wait for its answer. */
int world_request(struct world *w, enum proto_type type, const void *payload, size_t len,
	const int *fds, unsigned n_fds);
struct vm *world_add_vm(struct world *w, const struct net_port_config *config);
struct probe *world_probe(struct world *w, const char *ifname);

void world_run_ms(struct world *w, unsigned ms);
/* Until 'is' or the time is over; answers is(). */
bool world_until(struct world *w, unsigned ms, bool (*is)(void *arg), void *arg);
/* Wait for a report of a failover from one member to another, since report number 'since' (w->n_reports at some time).
 * NULL: there was none. */
const struct net_team_report *world_report(
	struct world *w, unsigned since, unsigned ms, unsigned from, unsigned to);
/* Wait until the worker has said that the links of guests, or of a member, are so. */
bool world_guests(struct world *w, unsigned ms, bool up);
bool world_link(struct world *w, unsigned ms, unsigned member, bool up);
void forget_all(struct world *w);

extern const uint8_t net_broadcast[NET_MAC_LEN];

/* A frame of 'len' bytes with 'number'; 'tci' -1: untagged. */
int vm_send(struct vm *vm, const uint8_t *dst, uint32_t number, size_t len, int32_t tci);
/* From another source address than the vNIC's own. */
void probe_send(struct probe *probe, const uint8_t *dst, const uint8_t *src, uint32_t number,
	size_t len, int32_t tci);
/* TCP over IPv4 of 'len' bytes in all, to be cut into segments of 1460. */
int vm_send_tso(struct vm *vm, const uint8_t *dst, size_t len);
void probe_send_tso(struct probe *probe, const uint8_t *dst, const uint8_t *src, size_t len);
/* How many of the recorded frames are of this type and from 'src' (NULL: anybody). */
unsigned count_seen(const struct record *r, uint16_t ethertype, const uint8_t *src);
