/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A team: several NICs (its members) that a network uses as one uplink. It decides over which member a frame goes
 * out, which of the frames that come in are to be believed, and what happens when a member fails. A pure library: frames,
 * links and the time come in as arguments; frames and changes go out by the owner's functions. No sockets, no clock, no
 * threads.
 *
 * What holds whatever happens:
 *  - a frame that came in over a member never goes out over another: team_input() sends nothing of it;
 *  - the MAC addresses of guests are never changed, and no other frame carries them but announcements of themselves;
 *  - a broadcast from outside is delivered once, and one of a guest's own never comes back;
 *  - the frames of one flow stay in order while members work: a flow leaves a working member only when that has sent all
 *    it was given, or after TEAM_DRAIN_NS; a failed member is left at once;
 *  - only what was carried by a failed member moves, and as little as possible when one comes (back).
 *
 * The data path. Each policy (team-policy.c, one row each) gives a frame a slot, 0 … 255: that of its port, or of a hash.
 * map[slot] is the member. All changes of members are changes of that map.
 *
 * Members. One is usable when its link is up, the probes that are configured say so, and it has rested: up_delay_ms
 * while another one works, doubled with each failure soon after coming up (at most TEAM_MAX_HOLD_MS). Of the usable ones
 * the first are active: one for "explicit", else as many as have role active; those with role standby come last. A member
 * that failed and is well again is used at once, after failback_ms, or (failback no) only in place of another.
 *
 * Probes convict a member only while another one passes them: when all fail, the members are not to blame. So beacons
 * need three members; of two that do not hear each other it cannot be said which, which is reported once as
 * TEAM_CAUSE_AMBIGUOUS.
 *
 * What comes in (enum team_verdict; R1 … R3, and R4 is that there is no way out):
 *  R1  source is a local address: our own frame, reflected (NET_DROP_REFLECTED);
 *  R2  to a group: only over the designated member, an active one (NET_DROP_DUPLICATE);
 *  R3  to one: only over the member of the destination's slot, and for TEAM_GRACE_NS after a move over any.
 * A member that is deaf (others heard broadcasts and it heard nothing for TEAM_DEAF_NS) is not waited for. R2 and R3 are
 * for policies of which the switch knows nothing; with ip-hash and LACP the switch itself sends each frame once.
 *
 * Ownership: 'ops' must outlive the team. Threads: one at a time. The owner's functions may not call the team back, but
 * for team_deadline(). Of them guest_link() is never called by team_transmit(), which runs in the middle of a flood; all
 * others may be.
 */
#pragma once

#include <limits.h>

#include "config/net-team.h"
#include "devices/net/frame.h"
#include "devices/net/lacp.h"

#define TEAM_SLOTS     256
#define TEAM_NO_MEMBER UINT_MAX

#define TEAM_DRAIN_NS                                                                              \
	(10 * NSEC_PER_MSEC) /* a move waits so long for the old member to be idle … */
#define TEAM_HOLD_NS      (5 * NSEC_PER_MSEC) /* … and in the last part of it gives it nothing new */
#define TEAM_GRACE_NS     NSEC_PER_SEC
#define TEAM_DEAF_NS      NSEC_PER_SEC
#define TEAM_DEAF_FRAMES  3
#define TEAM_MAX_HOLD_MS  300000
#define TEAM_FLAP_NS      (60 * NSEC_PER_SEC) /* up for less than this, or twice its delay: a flap */
#define TEAM_DWELL_NS     (30 * NSEC_PER_SEC) /* a port is not moved for its load again before */
#define TEAM_MIN_LOAD_BPS UINT64_C(1000000)   /* less difference is no reason to move a port */
#define TEAM_MAX_NOTIFY   4096 /* addresses that wait to be announced; more are not */
#define TEAM_NOTIFY_PPS   1000
#define TEAM_NOTIFY_IPS   8 /* announced of one address */

#define TEAM_TEST_BACK_NS (15 * NSEC_PER_SEC) /* after a test a member is waited for so long */

#define TEAM_BEACON_TYPE 0x88b5 /* IEEE 802 local experimental */
#define TEAM_FRAME_LEN   86     /* the longest frame that a team makes itself (ND) */

struct team_ops {
	/* Send over the member; 'tci' as of port_ops.transmit(). 0 or -errno; -ENETDOWN, -ENXIO and -ENODEV say that the
	 * NIC is down, before any poll does. */
	int (*transmit)(void *opaque, unsigned member, const struct frame *frame, int32_t tci);
	/* Guests' link: no member can be used; one can again. Never called with guest_link_up. May be NULL: it is in
	 * team_state() as well. */
	void (*guest_link)(void *opaque, bool up);
	/* Something else carries the traffic; 'number' is set. */
	void (*report)(void *opaque, const struct net_team_report *report);
	/* Bytes given to the member that have not left yet. */
	uint32_t (*pending)(void *opaque, unsigned member);
	/* Is there a port with this address (and in this VLAN)? Then also its cookie. */
	bool (*is_local)(
		void *opaque, const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint32_t *ret_cookie);
	/* Tell all local addresses, each with each VLAN (0: untagged) it is used in. */
	void (*each_address)(void *opaque,
		void (*found)(
			void *arg, uint32_t cookie, const uint8_t mac[NET_MAC_LEN], uint16_t vid),
		void *arg);
	/* IP addresses of a local address, at most TEAM_NOTIFY_IPS. Returns their number. May be NULL: none are known. */
	unsigned (*each_ip)(void *opaque, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
		struct net_ip ips[TEAM_NOTIFY_IPS]);
};

enum team_verdict_kind { TEAM_DELIVER, TEAM_DROP, TEAM_CONSUMED };
struct team_verdict {
	enum team_verdict_kind kind;
	enum net_drop reason; /* of TEAM_DROP */
};

struct team;

/* All members present, with their links down. 'config' and 'uplinks' are copied, and were checked
 * (net_config_validate()). 'seed': random per boot; keys of hashes and beacons. Returns 0, -EINVAL or -ENOMEM. */
int team_new(const struct net_team_config *config, const struct net_uplink *uplinks,
	unsigned n_uplinks, const uint64_t seed[2], const struct team_ops *ops, void *opaque,
	struct team **ret_team);
/* Takes NULL; answers NULL; calls nothing. */
struct team *team_free(struct team *team);

/* What was seen of the link, and why it was looked at ('by': POLL, NETLINK or SOCKET); the same again changes nothing, but
 * that it was well then. 'mbps' 0: unknown. A member that does not exist is ignored, here and below. */
void team_set_link(struct team *team, unsigned member, bool up, uint32_t mbps, bool full_duplex,
	enum team_detector by, uint64_t now_ns);
/* The NIC is gone, or there (again), with its link down; 'uplink' (NULL: as it was) is copied. A member beyond the last
 * is a new one; one of another name in the place of one that is gone has none of its history. Returns 0, -EINVAL or -EEXIST (it is not gone). */
void team_member_gone(struct team *team, unsigned member, enum team_detector by, uint64_t now_ns);
int team_member_added(
	struct team *team, unsigned member, const struct net_uplink *uplink, uint64_t now_ns);
/* Exercise the team: the member is out of use for 'ms', as if its link were down, and then in use again without resting, as
 * it was before, whatever failback says. Its link is not touched, and what it brings in meanwhile is dropped. 'ms' 0 ends
 * the test of the member. What was measured is in team_state(). Returns 0, -EINVAL (no such member, or no test of it to
 * end), -EALREADY (another test goes on), -ENETDOWN (it does not work anyhow) or, unless 'force', -EBUSY: without it no
 * traffic could go on. */
int team_test(struct team *team, unsigned member, uint32_t ms, bool force, uint64_t now_ns);

/* Ports of the switch, for policies that count them. A frame of a port that was never added is carried as well. Returns
 * 0, -EEXIST or -ENOSPC. */
int team_port_added(struct team *team, uint32_t cookie);
void team_port_removed(struct team *team, uint32_t cookie);

/* Send a guest's frame ('frame->vid' is its VLAN). Returns 0, -EAGAIN (its flow is about to move: again in a
 * millisecond, or later), -ENETDOWN (no member can be used) or what the member said. */
int team_transmit(struct team *team, const struct frame *frame, int32_t tci, uint32_t cookie,
	uint64_t now_ns);

/* A frame came in over the member; 'frame->vid' is set. Delivering is the caller's. */
struct team_verdict team_input(
	struct team *team, unsigned member, const struct frame *frame, uint64_t now_ns);

/* Do what is due. Returns team_deadline(): when to call again, and UINT64_MAX if nothing is armed. Any other call may
 * make it earlier. */
uint64_t team_poll(struct team *team, uint64_t now_ns);
uint64_t team_deadline(const struct team *team);

bool team_is_up(const struct team *team);
/* All of it, as the daemon is told. */
void team_state(const struct team *team, struct net_team_state *ret_state);
/* Goes up whenever team_state() says something else, counters of frames and LACPDUs aside. */
uint64_t team_n_changes(const struct team *team);
