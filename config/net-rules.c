/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows that domain XML and network XML share: see net-rules.h. Tested by tests/unit/test-network-xml.c. */
#include "config/net-rules.h"

#include <stdlib.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

const struct xml_word net_yes_words[] = {
	{.word = "yes", .value = 1},
	{.word = "no", .value = 0},
	{0},
};
const struct xml_word net_trunk_words[] = {
	{.word = "yes", .value = NET_VLAN_TRUNK},
	{.word = "no", .value = NET_VLAN_ACCESS},
	{0},
};

const char *net_check_ifname(const char *name)
{
	return net_ifname_is_valid(name)
		? NULL
		: "no name of a network interface; write 1 to 15 letters, digits, '-', '_' or '.'";
}

/* 'place' is that of a <tag>: the struct around its item. */
static struct net_vlan *vlan_of_tag(const struct xml_place *place)
{
	uint16_t *tags = (uint16_t *)place->base[0] - place->index;

	return (void *)((char *)tags - offsetof(struct net_vlan, tags));
}

static void format_native(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct net_vlan *vlan = vlan_of_tag(place);

	(void)f;
	(void)rule;
	(void)depth;
	if (vlan->native && vlan->native == vlan->tags[place->index])
		xml_buf_attr(out, "nativeMode", vlan->native_tagged ? "tagged" : "untagged");
}

const struct xml_rule net_tag_rows[] = {
	{.name = "@id",
		.kind = XML_UINT,
		.flags = XML_REQUIRED | XML_ALWAYS,
		.offset = 0,
		.size = sizeof(uint16_t)},
	{.name = "@nativeMode", .kind = XML_CUSTOM, .format = format_native},
	{0},
};

bool net_vlan_is_trunk(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct net_vlan *vlan = xml_field(place, place->rule);

	(void)f;
	return vlan->mode == NET_VLAN_TRUNK;
}

int net_after_tag(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	_cleanup_(freep) char *native = xml_attribute(node, "nativeMode");
	struct net_vlan *vlan = vlan_of_tag(place);
	unsigned line = p->report->entries[place->entry].line;

	if (!native)
		return 0;
	if (!streq(native, "tagged") && !streq(native, "untagged"))
		return xml_fail(p, line, place->path, "@nativeMode",
			"'%.*s' is wrong; write tagged or untagged", xml_shown(native), native);
	if (vlan->native)
		return xml_fail(p, line, place->path, "@nativeMode",
			"given twice; remove one: a trunk has one native VLAN");
	vlan->native = vlan->tags[place->index];
	vlan->native_tagged = streq(native, "tagged");
	return 0;
}

int net_after_vlan(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct net_vlan *vlan = xml_field(place, place->rule);

	(void)p;
	(void)node;
	if (vlan->mode == NET_VLAN_ANY)
		vlan->mode = vlan->n_tags > 1 || vlan->native ? NET_VLAN_TRUNK : NET_VLAN_ACCESS;
	return 0;
}
