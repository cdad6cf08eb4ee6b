/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-update: one element of a network's XML is added, changed or removed, by libvirt's rules and in libvirt's words
 * (virNetworkUpdate()). The element is put into the canonical XML and all of it is parsed again, so that what comes out
 * has passed every check of network_xml_parse(), and what is kept for the round trip stays where it was.
 *
 * Pure; any thread.
 */
#pragma once

#include "config/network-xml.h"

/* Numbers of both as in libvirt's API. */
enum network_update_command {
	NETWORK_UPDATE_MODIFY = 1,
	NETWORK_UPDATE_DELETE,
	NETWORK_UPDATE_ADD_LAST,
	NETWORK_UPDATE_ADD_FIRST,
	NETWORK_UPDATE_X_MAX
};
enum network_section {
	NETWORK_SECTION_BRIDGE = 1,
	NETWORK_SECTION_DOMAIN,
	NETWORK_SECTION_IP,
	NETWORK_SECTION_IP_DHCP_HOST,
	NETWORK_SECTION_IP_DHCP_RANGE,
	NETWORK_SECTION_FORWARD,
	NETWORK_SECTION_FORWARD_INTERFACE,
	NETWORK_SECTION_FORWARD_PF,
	NETWORK_SECTION_PORTGROUP,
	NETWORK_SECTION_DNS_HOST,
	NETWORK_SECTION_DNS_TXT,
	NETWORK_SECTION_DNS_SRV,
	NETWORK_SECTION_PORT_FORWARD = 1000, /* <vmmd:forward>: ours */
};

struct network_update {
	unsigned command; /* any number may come */
	unsigned section;
	int parent_index; /* of the <ip>, from 0; -1: the one with <dhcp>, or else the first */
	const char *xml;  /* the element, 'len' bytes */
	size_t len;
	const char *source; /* names 'xml' in errors */
};

/* 'config' with the change, in a new '*ret_config'. Returns 0, or with '*ret_error' set (the caller frees it) as
 * network_xml_parse(), or
 *	-ESRCH	 there is no such entry, or already one, or its <ip> is missing
 *	-EPERM	 this section cannot be modified, only added to and deleted from
 *	-ENOSYS	 this section is not changed one by one
 * -ENOMEM sets none. */
int network_update(const struct network_config *config, const struct network_update *update,
	struct network_config **ret_config, char **ret_error);

/* The section's word ("ip-dhcp-host"), or NULL. */
const char *network_section_name(unsigned section);
