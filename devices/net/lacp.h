/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Link aggregation control (LACP) of one team: IEEE 802.1AX-2014 clause 6.4, version 1 of the protocol, and the
 * marker responder of 6.5. A pure library: frames and the time come in as arguments, frames and changes go out by
 * two or three functions of the owner. No sockets, no clock, no threads, no allocation.
 *
 * A team is one aggregator with up to LACP_MAX_MEMBERS members, named by their index. Each member has the
 * standard's machines: receive, periodic, mux (independent control of collecting and distributing), transmit, and
 * churn detection for both ends. Selection is common to all (lacp-select.c): members with the same partner
 * system, keys and speed form a group, one group is the team's, its best max_links members are selected, and every
 * other member that hears a partner stands by, out of sync, so that its partner sends nothing over it.
 *
 * Never attached are: a link without a partner (the standard's defaulted partner counts as out of sync), a
 * half-duplex link (LACP does not run on it), a loop (the partner is this system itself). A link of which either end
 * is individual (no AGG bit) is a group of its own.
 *
 * What the owner has to do:
 *  - carry frames over a member out only while lacp_member_is_distributing(), and in only while
 *    lacp_member_is_collecting(). While lacp_fallback(), treat the team as active-backup instead;
 *  - give every frame of ethertype 0x8809 to lacp_input(), and nothing of it to anyone else;
 *  - call lacp_poll() at the time that the last lacp_poll() returned, and after each other call that takes a time.
 *
 * Time is monotonic, in nanoseconds; a step back is taken for no step. Nothing is armed that has nothing to do: a
 * team whose members are all down wants no wake-up.
 *
 * Ownership: struct lacp is embedded, its content is the library's own. Threads: none of it locks; one thread at a
 * time. The owner's functions may call what only reads (lacp_member_is_*, lacp_status, lacp_fallback, lacp_is_up),
 * nothing else.
 */
#pragma once

#include "config/net-team.h"
#include "vmm-core/base/macro.h"

#define LACP_MAX_MEMBERS 8
#define LACP_MAC_LEN     6
#define LACP_FRAME_LEN   124 /* of the frames sent: headers and 110 bytes, no checksum */

/* The times of 6.4.4. */
#define LACP_FAST_PERIODIC_NS  (1 * NSEC_PER_SEC)
#define LACP_SLOW_PERIODIC_NS  (30 * NSEC_PER_SEC)
#define LACP_SHORT_TIMEOUT_NS  (3 * NSEC_PER_SEC)
#define LACP_LONG_TIMEOUT_NS   (90 * NSEC_PER_SEC)
#define LACP_CHURN_NS          (60 * NSEC_PER_SEC)
#define LACP_AGGREGATE_WAIT_NS (2 * NSEC_PER_SEC)

/* Per member, in any LACP_FAST_PERIODIC_NS (6.4.16; for markers, the limit of slow protocols). */
#define LACP_MAX_TX     3
#define LACP_MAX_MARKER 5

/* Bits of lacp_info.state, as on the wire (6.4.2.3). */
#define LACP_STATE_ACTIVITY        0x01 /* sends without being asked */
#define LACP_STATE_TIMEOUT         0x02 /* wants to be sent to once a second */
#define LACP_STATE_AGGREGATION     0x04
#define LACP_STATE_SYNCHRONIZATION 0x08
#define LACP_STATE_COLLECTING      0x10
#define LACP_STATE_DISTRIBUTING    0x20
#define LACP_STATE_DEFAULTED       0x40
#define LACP_STATE_EXPIRED         0x80

/* Which group becomes the team's. A running group is only left for members that have waited their
 * LACP_AGGREGATE_WAIT_NS, so that a choice costs no traffic. */
enum lacp_select_policy {
	LACP_SELECT_STABLE, /* the one with most bandwidth; kept while any member of it hears its partner */
	LACP_SELECT_BANDWIDTH, /* always the one with most bandwidth */
	LACP_SELECT_COUNT,     /* always the one with most members */
	LACP_SELECT_X_MAX
};

struct lacp_config {
	uint16_t system_priority; /* less is better; 65535 where nobody cares */
	uint8_t system_mac[LACP_MAC_LEN];
	uint16_t key; /* from 1; the same on all ports that may be one link */
	bool active;  /* otherwise passive: silent until the partner speaks */
	bool fast; /* ask the partner for a frame a second: silence is noticed in 3 s, not in 90 s */
	bool individual; /* no aggregation: one member at most is in use */
	enum net_lacp_fallback fallback;
	uint8_t min_links; /* for lacp_is_up(); 0 means 1 */
	uint8_t max_links; /* the rest stands by; 0: no limit but LACP_MAX_MEMBERS */
	enum lacp_select_policy select;
};

struct lacp_ops {
	/* Send a whole Ethernet frame (LACP_FRAME_LEN bytes, to 01:80:c2:00:00:02, from the member's own MAC, without
	 * checksum). Returns 0 or -errno; a failed LACPDU is sent again later, a failed marker response is not. */
	int (*transmit)(void *opaque, unsigned member, const uint8_t *frame, size_t len);
	/* The member's collecting or distributing has changed. Called before the partner is told. */
	void (*changed)(void *opaque, unsigned member);
	/* lacp_fallback() has changed. May be NULL. */
	void (*fallback_changed)(void *opaque);
};

struct lacp_status {
	bool link_up, full_duplex;
	bool loopback; /* the partner is this system */
	bool heard;    /* a partner was heard since the link came up */
	bool collecting, distributing;
	uint32_t speed_mbps;
	enum lacp_rx_state rx;
	enum lacp_periodic_state periodic;
	enum lacp_selected selected;
	enum lacp_mux_state mux;
	enum lacp_churn_state actor_churn, partner_churn;
	struct lacp_info actor, partner; /* partner: all zero but TIMEOUT while none is known */
	struct lacp_counters counters;
};

/* The library's own. Deadlines are UINT64_MAX when not armed. */
struct lacp_member {
	bool used, link_up, full_duplex;
	bool port_moved, loopback, heard;
	bool ntt, ntt_limited; /* a frame is wanted; its having to wait is counted */
	bool ready_n;          /* has waited long enough to be attached */
	bool told_collecting, told_distributing; /* what the owner knows */
	uint8_t mac[LACP_MAC_LEN];
	uint32_t speed_mbps;
	enum lacp_rx_state rx;
	enum lacp_periodic_state periodic;
	enum lacp_selected selected;
	enum lacp_mux_state mux;
	enum lacp_churn_state actor_churn, partner_churn;
	struct lacp_info actor, partner; /* operational values */
	uint64_t current_while_ns, periodic_ns, wait_while_ns, actor_churn_ns, partner_churn_ns;
	/* When the last LACPDUs and answers to markers were sent: rings, the oldest at *_at. */
	uint64_t tx_ns[LACP_MAX_TX], marker_ns[LACP_MAX_MARKER];
	uint8_t tx_at, marker_at;
	uint64_t tx_retry_ns; /* after a failed transmit() */
	struct lacp_counters counters;
};

/* What members of one group have in common. */
struct lacp_group {
	uint16_t system_priority, partner_key, actor_key;
	uint8_t system[LACP_MAC_LEN];
	uint8_t individual; /* index + 1 of the only member; 0: a group of any number */
	uint32_t speed_mbps;
};

struct lacp {
	struct lacp_config config;
	const struct lacp_ops *ops;
	void *opaque;
	uint64_t now_ns;
	bool fallback;
	uint64_t fallback_ns; /* when it begins */
	bool has_group;
	struct lacp_group group; /* the team's */
	struct lacp_member members[LACP_MAX_MEMBERS];
};

/* A team without members. 'config' is copied; 'ops' (with transmit and changed) must stay valid. Returns 0, or -EINVAL
 * for a system MAC that is zero or a multicast one, key 0, an unknown policy or fallback, or link numbers above LACP_MAX_MEMBERS or
 * min_links above max_links. */
int lacp_init(
	struct lacp *l, const struct lacp_config *config, const struct lacp_ops *ops, void *opaque);
/* Forgets everything; no frame is sent and no function called. NULL and a zeroed struct are fine. */
void lacp_done(struct lacp *l);

/* Add a member, with its link down. 'key' 0 means config.key; members with different keys are never one group.
 * Returns 0, -EINVAL (index, or a MAC that is zero or a multicast one) or -EEXIST. */
int lacp_member_add(struct lacp *l, unsigned index, const uint8_t port_mac[LACP_MAC_LEN],
	uint16_t port_priority, uint16_t key);

/* Take a member out: it stops collecting and distributing (changed() is called), and its partner is told so, if the
 * limit of frames allows. Nothing happens if there is none. The functions below, too, ignore an index without
 * a member, and then return false. */
void lacp_member_remove(struct lacp *l, unsigned index, uint64_t now_ns);

/* What the link is now; also when nothing changed. An unknown speed is 0 and counts as a speed; an unknown duplex, as
 * virtual links have it, is given as full. Another speed of a link that stays up takes the member through
 * DETACHED. A link that goes down stops collecting and distributing at once. */
void lacp_member_link(struct lacp *l, unsigned index, bool up, uint32_t speed_mbps,
	bool full_duplex, uint64_t now_ns);

/* The same as a link that goes down, where the link itself stays as it is, and its partner could not know: it is told, as by
 * lacp_member_remove(), and sends nothing more over it. lacp_member_link() ends this. */
void lacp_member_withdraw(struct lacp *l, unsigned index, uint64_t now_ns);

/* A frame of ethertype 0x8809 (any frame, in fact) as it came in over the member, without checksum: LACPDUs go to the
 * receive machine, markers are answered, all else is counted. As the standard wants, version and types of TLVs
 * and whatever stands behind the collector's information are not looked at: later versions are understood as far
 * as version 1 goes. Their lengths are checked. */
void lacp_input(struct lacp *l, unsigned index, const uint8_t *frame, size_t len, uint64_t now_ns);

/* Do what is due. Returns when to call again at the latest (later than now_ns), or UINT64_MAX: nothing is armed. */
uint64_t lacp_poll(struct lacp *l, uint64_t now_ns);

/* Frames that come in over the member may be taken. */
bool lacp_member_is_collecting(const struct lacp *l, unsigned index);
/* Frames may be sent over the member. Implies collecting, and that the partner's last word was that it is in sync
 * and collecting. */
bool lacp_member_is_distributing(const struct lacp *l, unsigned index);

/* At least config.min_links members are distributing. */
bool lacp_is_up(const struct lacp *l);

/* The configuration says that a team without a partner shall work without LACP, as active-backup, and there is none:
 * some link has been up for LACP_SHORT_TIMEOUT_NS, and no member has heard a partner since its own link came up (this
 * system itself is no partner). But for NET_LACP_FALLBACK_STARTUP also at once when the last partner is given up (the
 * receive machine is DEFAULTED: LACP_SHORT_TIMEOUT_NS after it has expired), as the kernel's bonds and Open vSwitch have
 * it: if its end of the links is still an aggregate, that is its error, and with STARTUP nothing passes then. Ends with the
 * first LACPDU of a partner, and when all links are down. */
bool lacp_fallback(const struct lacp *l);

/* Everything about a member. Returns 0, -EINVAL (index) or -ENOENT. */
int lacp_status(const struct lacp *l, unsigned index, struct lacp_status *ret_status);
