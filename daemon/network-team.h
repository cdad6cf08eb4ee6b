/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon knows of a network's team of NICs: its state as the worker told it last, the last NETWORK_MAX_REPORTS
 * failovers, and the test that goes on. The worker's words are believed only as far as net-team.h's validators let them
 * pass; nothing but texts, guests' links and NICs that are opened anew hang on them.
 *
 * Reports live as long as the network is active: over deaths of its worker, and over restarts of the daemon, in
 * RUNTIME/networks/UUID/reports.json, which is written at most once in NETWORK_SAVE_USEC. What was not written yet when the
 * daemon died comes again from the worker, which keeps the last ones too.
 *
 * Ownership: a network's, from its first word of a team on. Threads: the daemon's one.
 *
 * Tested by tests/unit/test-network-team.c and tests/net/test-daemon.c.
 */
#pragma once

#include <systemd/sd-event.h>

#include "config/net-team.h"
#include "daemon/domain.h"

#define NETWORK_MAX_REPORTS 64
#define NETWORK_SAVE_USEC   UINT64_C(1000000)
#define NETWORK_TEST_MS     2000 /* how long a test takes a member out of use, unless told otherwise */
#define NETWORK_TEST_USEC                                                                          \
	UINT64_C(25000000) /* beside that time, until the worker must have ended the test */

struct network;

/* A failover, with names instead of numbers. */
struct network_report {
	uint64_t number;       /* from 1, of this network since it was started */
	int64_t detected_usec; /* CLOCK_REALTIME */
	uint64_t reaction_ns;  /* from detection until the last flow was switched */
	int64_t gap_ns; /* … from the last sign that the old way worked; at most so long was nothing carried. -1: a
			       * planned move, without a gap */
	uint64_t frames_lost;
	uint32_t ports_moved;
	uint32_t macs_announced, n_macs; /* n_macs: of macs[] */
	enum team_cause cause;
	enum team_detector detector;
	char from[NET_IFNAME_MAX], to[NET_IFNAME_MAX]; /* "": none */
	struct net_team_address macs[NET_TEAM_REPORT_MACS];
};

struct network_team {
	bool known; /* the state */
	struct net_team_state state;
	uint64_t state_ns;      /* CLOCK_MONOTONIC: when it came */
	uint64_t worker_number; /* of the worker's last report that is here */
	uint64_t n_reports;     /* ever; number k is at k % NETWORK_MAX_REPORTS */
	struct network_report reports[NETWORK_MAX_REPORTS];
	sd_event_source *save_timer;
	struct list looks; /* struct domain_wait: for the state of now */
	/* The test that somebody waits for. */
	struct list test_waits;
	bool test_began;      /* the worker has taken it, and called it … */
	uint64_t test_number; /* … so */
	char test_name[NET_IFNAME_MAX];
	sd_event_source *test_timer;
};

/* NULL: nothing is known yet. Reports are numbers n_reports - NETWORK_MAX_REPORTS + 1 … n_reports. */
const struct network_report *network_team_report(const struct network *network, uint64_t number);

/* Ask the worker for the state as it is; then 'done', and network->team->state is it. Each returns 0, or a negative errno
 * with 'error' set: then 'done' is never called. */
int network_team_look(
	struct network *network, domain_done_fn done, void *userdata, struct error *error);
/* Take a member out of use for 'ms' (0: NETWORK_TEST_MS); 'done' when it is in use again, or cannot be; then
 * network->team->state.test says what was measured. 'force': also when nothing else works. */
int network_team_test(struct network *network, const char *member, uint32_t ms, bool force,
	domain_done_fn done, void *userdata, struct error *error);
/* The index of a NIC among the network's; -ENOENT with 'error' set. */
int network_team_member(const struct network *network, const char *ifname, struct error *error);

/* For network-run.c. What the worker says; false: it cannot be. */
bool network_team_state(struct network *network, const struct net_team_state *state);
bool network_team_reported(struct network *network, const struct net_team_report *report);
/* The worker is gone, or ('over') the network is. */
void network_team_end(struct network *network, bool over);
/* A daemon before this one left reports; 'start_time': of the worker that is there. */
void network_team_load(struct network *network, uint64_t start_time);
void network_team_free(struct network *network);
