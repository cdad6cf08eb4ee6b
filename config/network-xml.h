/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt network XML <-> struct network_config, and the contract report, by the same rules as domain-xml.h. What
 * libvirt has no words for (teams, port forwards, storm limits) is in namespace urn:vmmd:network:1, prefix vmmd.
 *
 * <interface dev=''> in <forward mode='bridge'> alone make a team with the default policy, one member each.
 */
#pragma once

#include "config/contract.h"
#include "config/network-config.h"
#include "config/xml-identify.h"
#include "vmm-core/base/cleanup.h"

/* As domain_xml_parse(): 0 with a validated network_config that has a UUID (and a MAC address for the host's port, if it
 * has one), or -EBADMSG, -EINVAL, -EOPNOTSUPP or -ENOMEM, and '*ret_error' "FILE:LINE: element/@attribute: what is
 * wrong; what to write instead". 'flags': XML_STRICT of domain-xml.h. The caller frees all three. */
int network_xml_parse(const char *xml, size_t len, const char *source, unsigned flags,
	struct network_config **ret_config, struct contract_report **ret_report, char **ret_error);
/* As domain_xml_parse_as(). */
int network_xml_parse_as(const char *xml, size_t len, const char *source, unsigned flags,
	const struct xml_identify *identify, struct network_config **ret_config,
	struct contract_report **ret_report, char **ret_error);

/* What only a running network has. */
struct network_live {
	const char *bridge;   /* the host's port, where the definition has no name; may be NULL */
	uint32_t connections; /* ports of guests */
	uint32_t uplink_connections[NET_MAX_UPLINKS]; /* guests whose frames take this uplink */
};

/* The canonical XML, ending in a newline; 'live' NULL gives the inactive form. Returns 0 or -ENOMEM. */
int network_xml_format(
	const struct network_config *config, const struct network_live *live, char **ret_xml);

struct network_config *network_config_new(void);
struct network_config *network_config_free(struct network_config *config);
DEFINE_CLEANUP(struct network_config *, network_config_free);
int network_config_copy(const struct network_config *config, struct network_config **ret_copy);
/* 'running' with what net-update changes in a running network (DHCP of the addresses that both have, names, portgroups, port
 * forwards) from 'config'. The two may not fit together: parse its XML to know. Returns 0 or -ENOMEM. */
int network_config_merge(const struct network_config *running, const struct network_config *config,
	struct network_config **ret_merged);

/* What a guest's port in this network is: what its <interface> says in 'own', over the portgroup's, over the network's.
 * 'portgroup' "" means the default one, if there is one. VLANs and bandwidth come whole from the first that has them,
 * flags from all three. Returns 0 or -ENOENT: no such portgroup. */
int network_config_port(const struct network_config *config, const char *portgroup,
	const struct net_port_config *own, struct net_port_config *ret_port);
