/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VLANs of a port (struct net_vlan), digested: which VLAN a frame belongs to when it comes in, whether it may go out
 * here, and with which tag. IEEE 802.1Q-2018, 6.9 and 8.6.2 with ingress filtering on.
 *
 *	mode	in: untagged or priority-tagged	in: tagged	out
 *	ANY	VLAN 0, tag kept		its VLAN	tagged; VLAN 0 as it came
 *	ACCESS	tags[0]				refused		untagged
 *	TRUNK	native, or refused		if a member	tagged; native untagged, unless native_tagged
 *
 * Priority and drop eligibility of a tag go with the frame as long as it is tagged.
 *
 * A frame with a second tag inside is never sent untagged by an ACCESS or a TRUNK port: the next switch would take the
 * inner tag for the outer one, and the sender would have chosen a VLAN that is not its own.
 *
 * On a link to another process (wire) the VLAN is always said by a tag, whatever the owner of the port sees: both ends must
 * understand a frame the same way, though each knows it by the rules of another port.
 *
 * Threads: none of its own; read-only once made.
 */
#pragma once

#include "devices/net/frame.h"

#define VLAN_NONE   0xffff /* no VLAN */
#define VLAN_VID    0xfff  /* of a TCI */
#define VLAN_WORDS  64
#define VLAN_N_VIDS (NET_VID_MAX + 1) /* with 0 */

struct vlan {
	uint16_t untagged; /* where frames without a VID belong; VLAN_NONE: nowhere */
	uint16_t stripped; /* sent without a tag; VLAN_NONE: none is */
	bool takes_tagged;
	uint64_t members[VLAN_WORDS];
};

/* 'wire': see above. Returns 0 or -EINVAL: unknown mode, too many tags, a VID that is none, ACCESS without exactly one tag. */
int vlan_init(struct vlan *v, const struct net_vlan *config, bool wire);
/* They have a VLAN in common. */
bool vlan_overlaps(const struct vlan *a, const struct vlan *b);

static inline bool vlan_has(const struct vlan *v, unsigned vid)
{
	return vid <= NET_VID_MAX && v->members[vid / 64] >> (vid % 64) & 1;
}

/* The VLAN of a frame that came in here. False: it has none. */
static inline bool vlan_ingress(const struct vlan *v, const struct frame *f, uint16_t *ret_vid)
{
	uint16_t vid = f->tagged ? f->tci & VLAN_VID : 0;

	if (vid == 0)
		vid = v->untagged;
	else if (!v->takes_tagged || !vlan_has(v, vid))
		return false;
	if (vid == VLAN_NONE)
		return false;
	*ret_vid = vid;
	return true;
}

/* Is there a tag in the bytes, where the outer one would be? 802.1Q or 802.1ad. */
static inline bool vlan_has_inner_tag(const struct frame *f)
{
	const uint8_t *type = f->head + 2 * NET_MAC_LEN;

	return (type[0] == 0x81 && type[1] == 0x00) || (type[0] == 0x88 && type[1] == 0xa8);
}

/* The tag (TCI, or -1 for none) with which a frame of VLAN f->vid goes out here. False: it does not. */
static inline bool vlan_egress(const struct vlan *v, const struct frame *f, int32_t *ret_tci)
{
	uint16_t priority = f->tagged ? f->tci & ~VLAN_VID : 0;

	if (!vlan_has(v, f->vid))
		return false;
	if (f->vid == v->stripped) {
		if (vlan_has_inner_tag(f))
			return false;
		*ret_tci = -1;
	} else if (f->vid == 0) {
		*ret_tci = f->tagged ? priority : -1;
	} else {
		*ret_tci = priority | f->vid;
	}
	return true;
}
