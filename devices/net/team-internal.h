/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the team library share. Nobody else includes this. */
#pragma once

#include "devices/net/team.h"
#include "vmm-core/base/token-bucket.h"

#define TEAM_NONE           NET_TEAM_NO_MEMBER /* in maps */
#define TEAM_NEVER          UINT64_MAX
#define TEAM_MOVE_STEP_NS   NSEC_PER_MSEC /* how often a flow that moves is looked at */
#define TEAM_MIN_FRAME      60
#define TEAM_NOTIFY_BURST   50
#define TEAM_NOTIFY_STEP_NS (50 * NSEC_PER_MSEC)
#define TEAM_NOTIFY_MAX_NS  (550 * NSEC_PER_MSEC)

struct team_member {
	struct net_uplink uplink;
	bool present, link, full_duplex;
	bool send_failed;           /* transmit() said that the NIC is down */
	bool beacon_bad, probe_bad; /* convicted */
	bool lacp_link;             /* what lacp was told */
	bool active, was_up;
	enum team_member_state state;
	enum team_cause cause;
	uint64_t since_ns, up_since_ns;
	uint64_t deadline_ns;    /* RESTING, FAILING */
	uint64_t test_until_ns;  /* 0: no test */
	uint64_t bench_until_ns; /* only in place of another, until then */
	uint64_t detected_ns,
		failed_well_ns;     /* of its last failure; when it was well before that */
	uint64_t lost_mark;         /* tx_refused then */
	enum team_detector link_by; /* why the link was looked at when it changed */
	uint64_t well_ns;           /* the link was seen up */
	uint32_t failures[TEAM_DETECTOR_X_MAX];
	uint32_t mbps, flaps, weight;
	/* Of the same things, heard by the team: see team_is_deaf(). */
	uint64_t last_rx_ns, broadcasts_mark;
	/* Beacons: when one of another was heard here, and one of this was heard by another; the last heard of each. */
	uint64_t beacon_rx_ns, beacon_tx_ns;
	uint64_t beacon_seq[NET_MAX_UPLINKS];
	uint64_t target_ns[NET_MAX_TARGETS]; /* last answer, or since when it is waited for */
	uint64_t rx_frames, tx_frames, tx_bytes, tx_refused, reflected, duplicates, forged;
};

struct team_slot {
	bool used;     /* a port's; policies that count ports */
	bool was_used; /* lookups go on behind it */
	uint8_t home;  /* the member it belongs on when that works */
	uint32_t cookie;
	uint64_t moved_ns;    /* TEAM_NEVER: not yet */
	uint64_t drain_ns;    /* target[] was set */
	uint64_t bytes, rate; /* since the last look; per interval, smoothed */
	uint64_t dwell_until_ns;
};

struct team_address {
	uint8_t mac[NET_MAC_LEN];
	uint16_t vid;
	uint32_t cookie;
	unsigned round;
	uint64_t next_ns;
};

struct team_notify {
	struct team_address *entries;
	unsigned n, size;
	unsigned at; /* whose turn it is */
	uint64_t next_ns;
	struct token_bucket pace;
};

/* The change that is going on: from the first slot that moves until none does. */
struct team_event {
	bool going;
	struct net_team_report report;
	uint64_t lost_mark;
	unsigned n_moved;
	bool moved[TEAM_SLOTS];
	unsigned from[NET_MAX_UPLINKS + 1], to[NET_MAX_UPLINKS + 1]; /* slots; the last: none */
};

/* Why the map becomes another one. */
struct team_reason {
	enum team_cause cause;
	enum team_detector detector;
	uint64_t well_ns; /* 0: nothing failed */
	uint64_t detected_ns;
	uint64_t lost_mark; /* UINT64_MAX: nothing is counted */
};

struct team_policy_ops;

struct team {
	uint8_t map[TEAM_SLOTS];    /* the data path's: the member of each slot */
	uint8_t target[TEAM_SLOTS]; /* where it is about to move; TEAM_NONE: it stays */
	unsigned n_moving;
	const struct team_policy_ops *policy; /* in effect */
	struct net_team_config config;
	uint64_t seed[2];
	const struct team_ops *ops;
	void *opaque;
	unsigned n_members, n_active, n_usable;
	unsigned designated; /* TEAM_NO_MEMBER: none */
	bool guest_up;
	bool dirty;    /* something has happened in transmit() or lacp: team_poll() has to look */
	uint64_t lost; /* frames for which there was no member */
	uint64_t broadcasts;
	uint64_t rx_reflected, rx_duplicate;
	uint64_t move_ns, beacon_ns, probe_ns, rebalance_ns, lacp_ns; /* when next */
	uint64_t heal_ns; /* the next address announced for a stray frame, not before */
	bool beacon_ambiguous, probe_ambiguous; /* and reported */
	struct team_event event;
	uint64_t n_reports, n_changes;
	struct net_team_test test;
	uint64_t test_began_ns, test_ended_ns;
	uint64_t benches_ns[NET_MAX_UPLINKS]; /* bench_until_ns before the test */
	struct team_notify notify;
	struct lacp lacp;
	struct team_slot slots[TEAM_SLOTS];
	struct team_member members[NET_MAX_UPLINKS];
};

/* One row for each enum net_team_policy; team-policy.c. */
struct team_policy_ops {
	bool independent; /* the switch knows nothing: R2, R3, announcements */
	bool single;      /* one active member */
	bool by_port;     /* slots are ports */
	bool balances;    /* ports are moved for their load */
	bool negotiates;  /* LACP says who is usable */
	unsigned (*slot)(const struct team *t, const struct frame *frame, uint32_t cookie);
	/* The slot of all frames from this address; NULL: they have several. */
	unsigned (*address_slot)(const struct team *t, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
		uint32_t cookie);
};
extern const struct team_policy_ops team_policies[NET_TEAM_POLICY_X_MAX];

unsigned team_port_slot(const struct team *t, uint32_t cookie);

/* team-hash.c */
uint64_t team_hash(const uint64_t seed[2], const void *data, size_t len);
uint64_t team_flow_hash(const uint64_t seed[2], const struct frame *frame);

/* team-member.c: the states of members, and which are active. */
bool team_member_usable(const struct team *t, unsigned member);
/* May carry frames now: usable(), and lacp does not say otherwise. */
void team_update(struct team *t, uint64_t now_ns);
uint64_t team_member_deadline(const struct team *t);
/* 'member' is well as far as link and tests go: it takes part in beacons and probes. */
bool team_member_linked(const struct team_member *m, uint64_t now_ns);

/* team-map.c: which slot goes where, and the moves. */
void team_map_assign(const struct team *t, unsigned fresh, uint8_t ret_want[TEAM_SLOTS]);
uint8_t team_map_least(const struct team *t, bool by_port);
void team_map_apply(struct team *t, const uint8_t want[TEAM_SLOTS],
	const struct team_reason *reason, uint64_t now_ns);
/* One step of a slot that moves; true: nothing new for the old member now. */
bool team_move_step(struct team *t, unsigned slot, uint64_t now_ns);
void team_move_poll(struct team *t, uint64_t now_ns);

/* team-balance.c */
void team_balance_poll(struct team *t, uint64_t now_ns);
void team_balance_count(struct team *t, unsigned slot, uint32_t len, uint64_t now_ns);

/* team-beacon.c, team-probe.c: each answers whether the verdict on a member has changed. */
bool team_beacon_poll(struct team *t, uint64_t now_ns);
bool team_beacon_input(struct team *t, unsigned member, const struct frame *f, uint64_t now_ns,
	struct team_verdict *ret_verdict);
bool team_probe_poll(struct team *t, uint64_t now_ns);
bool team_probe_input(struct team *t, unsigned member, const struct frame *f, uint64_t now_ns);
void team_probe_reset(struct team *t, unsigned member, uint64_t now_ns);
/* Once, until '*said' is reset. */
void team_report_ambiguous(
	struct team *t, bool *said, enum team_detector detector, uint64_t now_ns);
/* Number it, and hand it out. */
void team_report(struct team *t, struct net_team_report *report);
/* When the member was last known to do what its failure is about. */
uint64_t team_beacon_well_ns(const struct team_member *m);
uint64_t team_probe_well_ns(const struct team *t, const struct team_member *m);

/* team-test.c */
void team_test_poll(struct team *t, uint64_t now_ns);
uint64_t team_test_deadline(const struct team *t);
/* Something has moved because of it. */
void team_test_switched(struct team *t, const struct net_team_report *report);
/* A frame of the slot went, or came, over 'member'. */
void team_test_frame(struct team *t, unsigned slot, unsigned member, bool in, uint64_t now_ns);

/* team-notify.c */
int team_notify_init(struct team *t);
void team_notify_done(struct team *t);
/* Begins to announce what moved: counts it in the report, and names it there. */
void team_notify_moved(struct team *t, const bool moved[TEAM_SLOTS], struct net_team_report *report,
	uint64_t now_ns);
void team_notify_one(struct team *t, const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint32_t cookie,
	uint64_t now_ns);
void team_notify_poll(struct team *t, uint64_t now_ns);

/* team-frame.c: frames of the team's own. 'dst' and 'src' first. */
struct team_packet {
	uint8_t bytes[TEAM_FRAME_LEN];
	unsigned len;
};
void team_packet_init(struct team_packet *p, const uint8_t dst[NET_MAC_LEN],
	const uint8_t src[NET_MAC_LEN], uint16_t ethertype);
void team_packet_put(struct team_packet *p, const void *data, size_t len);
void team_packet_put_be(struct team_packet *p, uint64_t value, unsigned bytes);
int team_packet_send(struct team *t, unsigned member, const struct team_packet *p, uint16_t vid);
void team_packet_arp(struct team_packet *p, const uint8_t src[NET_MAC_LEN], uint16_t ethertype,
	unsigned op, const uint8_t sender[4], const uint8_t target_mac[NET_MAC_LEN],
	const uint8_t target[4]);
void team_packet_nd(struct team_packet *p, const uint8_t dst[NET_MAC_LEN],
	const uint8_t src[NET_MAC_LEN], const uint8_t from[16], const uint8_t to[16], unsigned type,
	const uint8_t target[16]);
