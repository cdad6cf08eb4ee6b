/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A team with everything around it invented: members that remember what they sent, ports, time. */
#pragma once

#include "devices/net/team.h"

#define FAKE_TEAM_SENT   4096
#define FAKE_TEAM_LOCALS 512
#define FAKE_TEAM_PDUS   64

struct fake_sent {
	unsigned member;
	int32_t tci;
	uint64_t at_ns;
	uint16_t ethertype;
	uint8_t head[96];
	uint32_t len;
};

struct fake_local {
	uint32_t cookie;
	uint8_t mac[NET_MAC_LEN];
	uint16_t vid;
};

struct fake_team {
	struct team *team;
	struct net_team_config config;
	struct net_uplink uplinks[NET_MAX_UPLINKS];
	unsigned n_uplinks;
	uint64_t now_ns;
	/* What the team did. */
	struct fake_sent sent[FAKE_TEAM_SENT]; /* the first so many */
	unsigned n_sent;
	unsigned n_sent_by[NET_MAX_UPLINKS];
	struct net_team_report report;
	unsigned n_reports, n_guest_changes;
	bool guest_up;
	/* What it is told. */
	int result[NET_MAX_UPLINKS];
	uint32_t pending[NET_MAX_UPLINKS];
	struct fake_local locals[FAKE_TEAM_LOCALS];
	unsigned n_locals;
	struct net_ip ip;  /* of every local address, if family is not 0 */
	bool check_locals; /* frames out of it must be local ones' or the members' own */
	void (*hook)(struct fake_team *ft, unsigned member, const struct frame *f, int32_t tci);
	void *arg;
	/* The other end of an aggregate, whose LACPDUs it gets and which gets its. */
	struct fake_team *partner;
	struct {
		unsigned member;
		struct frame f;
	} pdus[FAKE_TEAM_PDUS]; /* from it, to be read */
	unsigned n_pdus;
};

/* 'n' members with links down; policy as given, all else default. Change config and uplinks before fake_team_start(). */
void fake_team_init(struct fake_team *ft, enum net_team_policy policy, unsigned n);
void fake_team_start(struct fake_team *ft);
void fake_team_done(struct fake_team *ft);
/* init, start, all links up with 1000 Mbit/s, and the first announcements over. */
void fake_team_up(struct fake_team *ft, enum net_team_policy policy, unsigned n);

/* After start: 'partner' is the switch at the other end of all links, which follows in time and in links. Both must be done with. */
void fake_team_add_partner(struct fake_team *ft, struct fake_team *partner);
/* The test has moved 'now_ns' itself: poll the team if it wants to be, and its partner. */
void fake_team_follow(struct fake_team *ft);

void fake_team_link(struct fake_team *ft, unsigned member, bool up);
/* Time passes; the team is polled whenever it wants to be. */
void fake_team_run_ms(struct fake_team *ft, uint64_t ms);
void fake_team_clear(struct fake_team *ft);

/* Port 'cookie' with the address of that number, in VLAN 'vid'. */
void fake_team_add_port(struct fake_team *ft, uint32_t cookie, uint16_t vid);
void fake_mac(uint32_t number, uint8_t mac[NET_MAC_LEN]);
extern const uint8_t fake_broadcast[NET_MAC_LEN];

/* IPv4, UDP, with source and destination port 'flow'. */
void fake_frame(struct frame *f, const uint8_t dst[NET_MAC_LEN], const uint8_t src[NET_MAC_LEN],
	uint16_t vid, uint16_t flow);
/* What came out as bytes, as it would come in elsewhere. */
void fake_frame_again(struct frame *f, const struct fake_sent *sent);
/* Send from the port to outside. The member, or -errno. */
int fake_team_send(struct fake_team *ft, uint32_t cookie, uint16_t flow);
struct team_verdict fake_team_receive(struct fake_team *ft, unsigned member,
	const uint8_t dst[NET_MAC_LEN], const uint8_t src[NET_MAC_LEN], uint16_t vid);
