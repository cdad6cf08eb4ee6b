/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VLANs of a port: see vlan.h. */
#include "devices/net/vlan.h"

#include <errno.h>
#include <string.h>

static bool is_vid(unsigned vid)
{
	return vid >= 1 && vid <= NET_VID_MAX;
}

static void add_member(struct vlan *v, unsigned vid)
{
	v->members[vid / 64] |= UINT64_C(1) << (vid % 64);
}

static void init_any(struct vlan *v)
{
	for (unsigned vid = 0; vid < VLAN_N_VIDS; vid++)
		add_member(v, vid);
	v->untagged = 0;
	v->takes_tagged = true;
}

static int init_access(struct vlan *v, const struct net_vlan *config)
{
	if (config->n_tags != 1 || config->native)
		return -EINVAL;
	v->untagged = v->stripped = config->tags[0];
	return 0;
}

static int init_trunk(struct vlan *v, const struct net_vlan *config)
{
	v->takes_tagged = true;
	if (!config->native)
		return 0;
	if (!is_vid(config->native))
		return -EINVAL;
	add_member(v, config->native);
	v->untagged = config->native;
	if (!config->native_tagged)
		v->stripped = config->native;
	return 0;
}

int vlan_init(struct vlan *v, const struct net_vlan *config, bool wire)
{
	struct vlan made = {.untagged = VLAN_NONE, .stripped = VLAN_NONE};
	int r = 0;

	if (config->mode >= NET_VLAN_X_MAX || config->n_tags > NET_MAX_VLANS)
		return -EINVAL;
	for (unsigned i = 0; i < config->n_tags; i++) {
		if (!is_vid(config->tags[i]))
			return -EINVAL;
		if (config->mode != NET_VLAN_ANY)
			add_member(&made, config->tags[i]);
	}
	if (config->mode == NET_VLAN_ANY)
		init_any(&made);
	else if (config->mode == NET_VLAN_ACCESS)
		r = init_access(&made, config);
	else
		r = init_trunk(&made, config);
	if (r < 0)
		return r;
	if (wire) {
		made.takes_tagged = true;
		made.stripped = VLAN_NONE;
		made.untagged = vlan_has(&made, 0) ? 0 : VLAN_NONE;
	}
	*v = made;
	return 0;
}

bool vlan_overlaps(const struct vlan *a, const struct vlan *b)
{
	for (unsigned i = 0; i < VLAN_WORDS; i++)
		if (a->members[i] & b->members[i])
			return true;
	return false;
}
