/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configurations of gateways, for test-gateway.c and gateway-world.c. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "config/net-addr.h"
#include "daemon/gateway.h"
#include "vmm-core/base/strutil.h"

static inline struct net_ip fixture_ip(const char *text, unsigned prefix)
{
	struct net_ip ip = {0};

	assert_int_equal(net_ip_parse(text, &ip), 0);
	if (prefix)
		ip.prefix = (uint8_t)prefix;
	return ip;
}

static inline struct gateway_config *fixture_config(enum gateway_kind kind, const char *ifname)
{
	struct gateway_config *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->kind = kind;
	memset(c->uuid, 0x11, sizeof(c->uuid));
	assert_int_equal(str_copy(c->name, sizeof(c->name), "red"), 0);
	assert_int_equal(str_copy(c->ifname, sizeof(c->ifname), ifname), 0);
	return c;
}

static inline void fixture_add_ip(struct gateway_config *c, const char *text, unsigned prefix)
{
	c->ips[c->n_ips++] = fixture_ip(text, prefix);
}

static inline void fixture_add_range(struct gateway_config *c, const char *first, const char *last)
{
	c->ranges[c->n_ranges++] =
		(struct gateway_range){.first = fixture_ip(first, 0), .last = fixture_ip(last, 0)};
}

static inline void fixture_add_host(
	struct gateway_config *c, const char *mac, const char *name, const char *ip)
{
	struct gateway_host *h = &c->hosts[c->n_hosts++];

	h->has_mac = true;
	assert_int_equal(net_mac_parse(mac, h->mac), 0);
	assert_int_equal(str_copy(h->name, sizeof(h->name), name), 0);
	h->ip = fixture_ip(ip, 0);
}

static inline void fixture_add_dns_host(struct gateway_config *c, const char *ip, const char *name)
{
	struct gateway_dns_host *h = &c->dns_hosts[c->n_dns_hosts++];

	h->ip = fixture_ip(ip, 0);
	h->n_names = 1;
	assert_int_equal(str_copy(h->names[0], sizeof(h->names[0]), name), 0);
}

static inline void fixture_add_forward(struct gateway_config *c, enum gateway_proto proto,
	unsigned host_port, const char *guest, unsigned guest_port)
{
	c->forwards[c->n_forwards++] = (struct gateway_forward){.proto = (uint8_t)proto,
		.host_port = (uint16_t)host_port,
		.guest = fixture_ip(guest, 0),
		.guest_port = (uint16_t)guest_port};
}
