/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a team of NICs (devices/net/team.h) says of itself: the words of its states and causes, the report that each change
 * of the way leaves, and the whole of its state. Plain old data as struct net_config: filled by the network's worker,
 * which is hostile, sent to the daemon (vmm-core/proto.h, TEAM_REPORT and TEAM_STATE), checked there by the validators
 * below before anybody looks at it.
 *
 * Members are indices into net_config.uplinks; NET_TEAM_NO_MEMBER stands for none. Times are of CLOCK_MONOTONIC, which is
 * one for all processes of a host; 0: never, or not.
 */
#pragma once

#include "config/net-config.h"

#define NET_TEAM_NO_MEMBER   0xff
#define NET_TEAM_BUCKETS     256 /* of hash policies; also the most port numbers */
#define NET_TEAM_REPORT_MACS 32  /* addresses that a report names; it counts all */
static_assert(NET_TEAM_BUCKETS >= NET_MAX_PORTS, "one map for both");

/* Why a member's state changed, or a flow's member. The words are team_cause_to_string()'s. */
enum team_cause {
	TEAM_CAUSE_NONE,
	TEAM_CAUSE_LINK,      /* "link": carrier lost or come */
	TEAM_CAUSE_SEND,      /* "send": the NIC refuses frames */
	TEAM_CAUSE_BEACON,    /* "beacon": others hear each other, not this one */
	TEAM_CAUSE_PROBE,     /* "probe": targets answer others, not this one */
	TEAM_CAUSE_LACP,      /* "lacp": partner */
	TEAM_CAUSE_TEST,      /* "test": team_test() */
	TEAM_CAUSE_ADDED,     /* "added" */
	TEAM_CAUSE_REMOVED,   /* "removed" */
	TEAM_CAUSE_FAILBACK,  /* "failback": a better or further member is used (again) */
	TEAM_CAUSE_REBALANCE, /* "rebalance": load */
	TEAM_CAUSE_MIN_LINKS, /* "min-links": too few are left to use any */
	TEAM_CAUSE_AMBIGUOUS, /* "ambiguous": probes fail, and it cannot be said for whom */
	TEAM_CAUSE_X_MAX
};

/* Who noticed it first. The words are team_detector_to_string()'s. */
enum team_detector {
	TEAM_BY_TEAM,    /* "team": nothing failed; the team planned it */
	TEAM_BY_POLL,    /* "poll": the link was looked at, when it was time */
	TEAM_BY_NETLINK, /* "netlink": the kernel's word made it look */
	TEAM_BY_SOCKET,  /* "socket": an error on the NIC's socket did */
	TEAM_BY_SEND,    /* "send": the NIC refused a frame */
	TEAM_BY_BEACON,  /* "beacon" */
	TEAM_BY_TARGET,  /* "target": ARP and ND targets */
	TEAM_BY_LACP,    /* "lacp": the partner, or its silence */
	TEAM_BY_ADMIN,   /* "administrator": vmctl team-test */
	TEAM_DETECTOR_X_MAX
};
#define TEAM_DETECTOR_SLOTS 12
static_assert(TEAM_DETECTOR_X_MAX <= TEAM_DETECTOR_SLOTS, "wire format");

enum team_member_state {
	TEAM_MEMBER_ABSENT, /* the NIC is gone */
	TEAM_MEMBER_DOWN,
	TEAM_MEMBER_RESTING, /* well, and waits for its up delay */
	TEAM_MEMBER_UP,
	TEAM_MEMBER_FAILING, /* in use, until its down delay is over */
	TEAM_MEMBER_STATE_X_MAX
};

/* States of LACP's machines; the paragraphs are of IEEE 802.1AX-2014. */

enum lacp_rx_state { /* 6.4.12 */
	LACP_RX_INITIALIZE,
	LACP_RX_PORT_DISABLED,
	LACP_RX_LACP_DISABLED,
	LACP_RX_EXPIRED,
	LACP_RX_DEFAULTED,
	LACP_RX_CURRENT,
	LACP_RX_X_MAX
};

enum lacp_periodic_state { /* 6.4.13 */
	LACP_PERIODIC_NONE,
	LACP_PERIODIC_FAST,
	LACP_PERIODIC_SLOW,
	LACP_PERIODIC_TX,
	LACP_PERIODIC_X_MAX
};

enum lacp_selected { /* 6.4.14 */
	LACP_UNSELECTED,
	LACP_STANDBY,
	LACP_SELECTED,
	LACP_SELECTED_X_MAX
};

enum lacp_mux_state { /* 6.4.15 */
	LACP_MUX_DETACHED,
	LACP_MUX_WAITING,
	LACP_MUX_ATTACHED,
	LACP_MUX_COLLECTING,
	LACP_MUX_DISTRIBUTING,
	LACP_MUX_X_MAX
};

enum lacp_churn_state { /* 6.4.17 */
	LACP_CHURN_MONITOR,
	LACP_CHURN_NONE,
	LACP_CHURN,
	LACP_CHURN_X_MAX
};

/* One end of a link: actor or partner. */
struct lacp_info {
	uint16_t system_priority;
	uint8_t system[NET_MAC_LEN];
	uint16_t key;
	uint16_t port_priority;
	uint16_t port; /* the actor's: index + 1 */
	uint8_t state; /* LACP_STATE_* (devices/net/lacp.h), the octet of 6.4.2.3 */
	uint8_t pad;
};
static_assert(sizeof(struct lacp_info) == 16, "wire format");

/* Since lacp_member_add(). The first seven are those of 7.3.3 (dot3adAggPortStats). */
struct lacp_counters {
	uint64_t rx_lacpdu;          /* good ones, whether or not the receive machine ran */
	uint64_t rx_marker;          /* markers from the partner */
	uint64_t rx_marker_response; /* answers to markers; we send none */
	uint64_t rx_unknown;         /* another slow protocol, or not one at all */
	uint64_t rx_illegal;         /* short, wrong lengths, impossible subtype */
	uint64_t tx_lacpdu;
	uint64_t tx_marker_response;
	uint64_t tx_errors;         /* transmit() failed */
	uint64_t tx_limited;        /* LACPDUs that had to wait for the limit of LACP_MAX_TX */
	uint64_t marker_limited;    /* markers unanswered because of LACP_MAX_MARKER */
	uint64_t n_expired;         /* CURRENT -> EXPIRED: the partner went silent */
	uint64_t n_defaulted;       /* entries into DEFAULTED */
	uint64_t n_partner_changes; /* another partner, port or key behind the link than before */
	uint64_t n_sync_changes;    /* of the actor's SYNC bit */
	uint64_t n_actor_churn;     /* entries into LACP_CHURN */
	uint64_t n_partner_churn;
};
static_assert(sizeof(struct lacp_counters) == 16 * 8, "wire format");

/* Wire. */

#define NET_TEAM_LACP_LOOPBACK     (1U << 0) /* the partner is this system */
#define NET_TEAM_LACP_HEARD        (1U << 1) /* a partner, since the link came up */
#define NET_TEAM_LACP_COLLECTING   (1U << 2)
#define NET_TEAM_LACP_DISTRIBUTING (1U << 3)
#define NET_TEAM_LACP_FLAGS        0xfU

struct net_team_lacp {
	uint8_t rx, periodic, selected, mux, actor_churn, partner_churn; /* enum lacp_… */
	uint8_t flags;
	uint8_t pad;
	struct lacp_info actor, partner; /* partner: all zero but TIMEOUT while none is known */
	struct lacp_counters counters;
};

#define NET_TEAM_LINK        (1U << 0)
#define NET_TEAM_FULL_DUPLEX (1U << 1)
#define NET_TEAM_ACTIVE      (1U << 2) /* carries frames */
#define NET_TEAM_DESIGNATED  (1U << 3) /* broadcasts from outside are taken from it */
#define NET_TEAM_BENCHED     (1U << 4) /* well, but used only in place of another (failback) */
#define NET_TEAM_HAS_LACP    (1U << 5) /* 'lacp' says something */
#define NET_TEAM_FLAGS       0x3fU

struct net_team_member {
	uint8_t state; /* enum team_member_state */
	uint8_t cause; /* enum team_cause, of the state */
	uint8_t role;  /* enum net_uplink_role, not DEFAULT */
	uint8_t flags;
	uint32_t mbps; /* 0: unknown */
	uint32_t flaps;
	uint32_t ports; /* or buckets */
	uint64_t since_ns;
	uint64_t deadline_ns; /* end of resting, failing, the bench or a test; 0: none */
	uint64_t rx_frames, tx_frames, tx_bytes, tx_refused, reflected, duplicates, forged;
	uint32_t failures[TEAM_DETECTOR_SLOTS]; /* how often it went out of use, by who noticed */
	struct net_team_lacp lacp;
};

enum net_team_test_phase {
	NET_TEST_NONE,      /* there was none */
	NET_TEST_OUT,       /* the member is out of use */
	NET_TEST_RETURNING, /* it may be used again, but is not yet */
	NET_TEST_DONE,
	NET_TEST_PHASE_X_MAX
};

/* The last test. Delays are from its beginning, but for 'back'; UINT64_MAX: that did not happen. */
struct net_team_test {
	uint64_t number; /* goes up with each test of this worker */
	uint8_t phase, member;
	uint8_t was_active; /* otherwise nothing moves */
	uint8_t pad[5];
	uint64_t switched_ns;  /* the last port or bucket had another member */
	uint64_t first_out_ns; /* the first frame of one that moved left by another member … */
	uint64_t first_in_ns;  /* … and the first one came in for it */
	uint64_t back_ns;      /* from the end of the test until the member was in use again */
	uint64_t frames_lost;
	uint32_t moved; /* ports or buckets */
	uint32_t pad2;
};

struct net_team_state {
	uint8_t policy; /* in effect: enum net_team_policy, never DEFAULT; EXPLICIT while LACP has no partner */
	uint8_t n_members;
	uint8_t guests_up; /* what guests' links are to be */
	uint8_t by_port;   /* map[] is by port number, otherwise by bucket */
	uint32_t n_active, n_usable;
	uint32_t announcing; /* addresses */
	uint64_t rx_reflected, rx_duplicate;
	uint64_t n_reports; /* made so far; the number of the last one */
	struct net_team_test test;
	uint8_t map[NET_TEAM_BUCKETS]; /* a member each; NO_MEMBER: none, or no such port */
	struct net_team_member members[NET_MAX_UPLINKS];
};
static_assert(sizeof(struct net_team_state) <= 3584, "fits a message");

struct net_team_address {
	uint8_t mac[NET_MAC_LEN];
	uint16_t vid; /* 0: untagged */
};

/* One change of what carries the traffic. */
struct net_team_report {
	uint64_t number;         /* from 1; goes up by one */
	uint64_t well_ns;        /* the last sign that what failed had worked; 0: nothing failed */
	uint64_t detected_ns;    /* the first sign that it had not; of a planned move: decided */
	uint64_t switched_ns;    /* the last slot had its new member */
	uint64_t frames_lost;    /* refused by 'from' since detected_ns, or for want of a member */
	uint32_t ports_moved;    /* ports or, of a hash, buckets */
	uint32_t macs_announced; /* addresses whose announcement has begun */
	uint8_t from, to;        /* several: that of most slots */
	uint8_t cause;           /* enum team_cause */
	uint8_t detector;        /* enum team_detector */
	uint8_t n_macs;          /* of macs[]: the first of them */
	uint8_t pad[3];
	struct net_team_address macs[NET_TEAM_REPORT_MACS];
};
static_assert(sizeof(struct net_team_report) == 56 + 8 * NET_TEAM_REPORT_MACS, "wire format");

/* Every byte that has a meaning is in its range, times are in their order and none of them is after 'now_ns'. 'n_uplinks':
 * of the network. False: it was made by nobody honest. */
bool net_team_report_is_valid(
	const struct net_team_report *report, unsigned n_uplinks, uint64_t now_ns);
/* 'max_uplinks': the worker may not have heard of the last of them yet. */
bool net_team_state_is_valid(const struct net_team_state *state, unsigned max_uplinks);

/* Words for messages, status and JSON. Never NULL: "unknown" beyond the last. */
const char *team_cause_to_string(enum team_cause cause);
const char *team_detector_to_string(enum team_detector detector);
const char *team_member_state_to_string(enum team_member_state state);

/* "current", "slow-periodic", "standby", "collecting", "churn", … */
const char *lacp_rx_name(enum lacp_rx_state state);
const char *lacp_periodic_name(enum lacp_periodic_state state);
const char *lacp_selected_name(enum lacp_selected selected);
const char *lacp_mux_name(enum lacp_mux_state state);
const char *lacp_churn_name(enum lacp_churn_state state);
