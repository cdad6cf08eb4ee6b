/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What lacp.c (the interface, order of events), lacp-pdu.c (bytes), lacp-select.c (which members) and lacp-machines.c
 * (state machines) share. */
#pragma once

#include "devices/net/lacp.h"

#define LACP_NEVER UINT64_MAX

/* lacp-pdu.c */

enum lacp_frame {
	LACP_FRAME_LACPDU,
	LACP_FRAME_MARKER,
	LACP_FRAME_MARKER_RESPONSE,
	LACP_FRAME_UNKNOWN,
	LACP_FRAME_ILLEGAL
};

struct lacp_pdu {
	struct lacp_info actor, partner;
};

/* What a frame is. Of LACPDU and the markers all fields are there and all lengths right. */
enum lacp_frame lacp_frame_kind(const uint8_t *frame, size_t len);
/* 'frame' is LACP_FRAME_LACPDU. */
void lacp_pdu_decode(const uint8_t *frame, struct lacp_pdu *ret_pdu);
void lacp_pdu_encode(const struct lacp_pdu *pdu, const uint8_t src[LACP_MAC_LEN],
	uint8_t ret_frame[LACP_FRAME_LEN]);
/* 'frame' is LACP_FRAME_MARKER. */
void lacp_marker_answer(
	const uint8_t *frame, const uint8_t src[LACP_MAC_LEN], uint8_t ret_frame[LACP_FRAME_LEN]);

/* lacp-machines.c; each runs one machine of one member until nothing moves at l->now_ns. */

/* BEGIN of 6.4: all machines at their start, the link down, no partner. */
void lacp_begin(struct lacp_member *m);
void lacp_rx_run(struct lacp *l, struct lacp_member *m);
void lacp_rx_pdu(struct lacp *l, struct lacp_member *m, const struct lacp_pdu *pdu);
void lacp_periodic_run(struct lacp *l, struct lacp_member *m);
/* Returns whether it moved: then selection may see things differently. */
bool lacp_mux_run(struct lacp *l, struct lacp_member *m);
void lacp_churn_run(struct lacp *l, struct lacp_member *m);
void lacp_transmit_run(struct lacp *l, struct lacp_member *m);
/* When the transmit machine wants to run again, or LACP_NEVER. */
uint64_t lacp_transmit_deadline(const struct lacp_member *m);

/* A place for one more frame in a ring of the 'n' last times: none of 'n' in any second. */
bool lacp_limit_allows(const uint64_t *ring, uint8_t at, uint64_t now_ns);
void lacp_limit_note(uint64_t *ring, uint8_t n, uint8_t *at, uint64_t now_ns);

/* lacp-select.c */

/* Selection logic of 6.4.14: sets the 'selected' of all members. */
void lacp_select(struct lacp *l);
/* The standard's Ready: nobody who was selected has to wait any longer. */
bool lacp_select_ready(struct lacp *l);

static inline unsigned lacp_index(const struct lacp *l, const struct lacp_member *m)
{
	return (unsigned)(m - l->members);
}

/* LACP_Enabled: only full-duplex links are surely links of two. */
static inline bool lacp_enabled(const struct lacp_member *m)
{
	return m->link_up && m->full_duplex;
}

static inline void lacp_set_state(struct lacp_info *info, uint8_t bits, bool on)
{
	info->state = (uint8_t)(on ? info->state | bits : info->state & ~bits);
}

/* The member after 'm', the first one after NULL; NULL after the last. */
static inline struct lacp_member *lacp_next(struct lacp *l, const struct lacp_member *m)
{
	for (unsigned i = m ? lacp_index(l, m) + 1 : 0; i < LACP_MAX_MEMBERS; i++)
		if (l->members[i].used)
			return &l->members[i];
	return NULL;
}
