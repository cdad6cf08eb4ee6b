/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What may go into the files of dnsmasq and into rules. Names are checked by a list of characters that are allowed,
 * so that none of them is a separator, a quote, a comment or the end of a line; the few free texts (TXT, boot files)
 * may hold what can be quoted (gateway-dnsmasq.c): everything but control characters.
 *
 * Tested by tests/unit/test-gateway.c.
 */
#include <string.h>

#include "config/net-addr.h"
#include "daemon/gateway-internal.h"
#include "vmm-core/base/strutil.h"

static bool ends(const char *s, size_t size)
{
	return memchr(s, 0, size);
}

/* A host name, or one label of it: RFC 1123, and '_' for services. */
static bool is_name(const char *s, size_t size)
{
	size_t len;

	if (!ends(s, size) || !s[0] || s[0] == '-' || s[0] == '.')
		return false;
	len = strlen(s);
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		len &&
		!strstr(s, "..") && s[len - 1] != '-';
}

static bool is_name_or_empty(const char *s, size_t size)
{
	return !s[0] || is_name(s, size);
}

static bool is_text(const char *s, size_t size)
{
	if (!ends(s, size) || !str_is_clean_utf8(s))
		return false;
	return !strpbrk(s, "\t\n");
}

static bool is_ip(const struct net_ip *ip)
{
	return net_ip_bits(ip->family) && ip->prefix <= net_ip_bits(ip->family);
}

bool gateway_is_on_host(const struct gateway_config *c)
{
	return c->kind != GATEWAY_NAT;
}

bool gateway_leads_out(const struct gateway_config *c)
{
	return c->kind != GATEWAY_ISOLATED;
}

bool gateway_has_rules(const struct gateway_config *c)
{
	return gateway_is_on_host(c) && c->kind != GATEWAY_OPEN;
}

unsigned gateway_n_fds(const struct gateway_config *c)
{
	return c->kind == GATEWAY_NAT || gateway_has_rules(c) ? 2 : 1;
}

struct net_ip gateway_network(const struct net_ip *ip)
{
	struct net_ip net = *ip;

	for (unsigned bit = ip->prefix; bit < net_ip_bits(ip->family); bit++)
		net.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return net;
}

bool gateway_has_family(const struct gateway_config *c, unsigned family)
{
	for (unsigned i = 0; i < c->n_ips; i++)
		if (c->ips[i].family == family)
			return true;
	return false;
}

bool gateway_has_dhcp(const struct gateway_config *c, unsigned family)
{
	for (unsigned i = 0; i < c->n_ranges; i++)
		if (c->ranges[i].first.family == family)
			return true;
	for (unsigned i = 0; i < c->n_hosts; i++)
		if (c->hosts[i].ip.family == family)
			return true;
	return false;
}

bool gateway_wants_dnsmasq(const struct gateway_config *c)
{
	return c->n_ips &&
		(c->dns || gateway_has_dhcp(c, 4) || gateway_has_family(c, 6) || c->tftp_root[0]);
}

const struct net_ip *gateway_network_of(const struct gateway_config *c, const struct net_ip *ip)
{
	for (unsigned i = 0; i < c->n_ips; i++)
		if (c->ips[i].family == ip->family && net_ip_within(ip, &c->ips[i]))
			return &c->ips[i];
	return NULL;
}

static int bad(struct error *error, const struct gateway_config *c, const char *what, unsigned i)
{
	return error_set(error, ERROR_XML_ERROR, "network '%.127s': %s %u is not valid",
		ends(c->name, sizeof(c->name)) ? c->name : "", what, i + 1);
}

static int check_dhcp(const struct gateway_config *c, struct error *error)
{
	for (unsigned i = 0; i < c->n_ranges; i++) {
		const struct gateway_range *r = &c->ranges[i];
		const struct net_ip *net = gateway_network_of(c, &r->first);

		if (!is_ip(&r->first) || !is_ip(&r->last) || r->first.family != r->last.family ||
			!net || net_ip_compare(&r->first, &r->last) > 0 ||
			!net_ip_within(&r->last, net))
			return bad(error, c, "the DHCP range", i);
	}
	for (unsigned i = 0; i < c->n_hosts; i++) {
		const struct gateway_host *h = &c->hosts[i];

		if (!is_name_or_empty(h->name, sizeof(h->name)) || !ends(h->id, sizeof(h->id)) ||
			strspn(h->id, "0123456789abcdefABCDEF:") != strlen(h->id) ||
			(!h->has_mac && !h->id[0] && !h->name[0]) || (h->has_mac && h->id[0]) ||
			(h->ip.family && (!is_ip(&h->ip) || !gateway_network_of(c, &h->ip))))
			return bad(error, c, "the DHCP host", i);
	}
	if (!is_text(c->bootp_file, sizeof(c->bootp_file)) ||
		!is_name_or_empty(c->bootp_server, sizeof(c->bootp_server)) ||
		!is_text(c->tftp_root, sizeof(c->tftp_root)) ||
		(c->tftp_root[0] && c->tftp_root[0] != '/'))
		return bad(error, c, "the boot file of <bootp> or <tftp>", 0);
	return 0;
}

static int check_dns_host(const struct gateway_dns_host *h)
{
	if (!is_ip(&h->ip) || !h->n_names || h->n_names > GATEWAY_MAX_DNS_NAMES)
		return -EINVAL;
	for (unsigned i = 0; i < h->n_names; i++)
		if (!is_name(h->names[i], sizeof(h->names[i])))
			return -EINVAL;
	return 0;
}

static int check_dns(const struct gateway_config *c, struct error *error)
{
	if (!is_name_or_empty(c->domain, sizeof(c->domain)))
		return bad(error, c, "the name of <domain>", 0);
	for (unsigned i = 0; i < c->n_dns_hosts; i++)
		if (check_dns_host(&c->dns_hosts[i]) < 0)
			return bad(error, c, "the DNS host", i);
	for (unsigned i = 0; i < c->n_srv; i++) {
		const struct gateway_srv *s = &c->srv[i];

		if (!is_name(s->service, sizeof(s->service)) ||
			!is_name(s->protocol, sizeof(s->protocol)) ||
			!is_name_or_empty(s->domain, sizeof(s->domain)) ||
			!is_name_or_empty(s->target, sizeof(s->target)))
			return bad(error, c, "the DNS service", i);
	}
	for (unsigned i = 0; i < c->n_txt; i++)
		if (!is_name(c->txt[i].name, sizeof(c->txt[i].name)) ||
			!is_text(c->txt[i].value, sizeof(c->txt[i].value)))
			return bad(error, c, "the DNS text", i);
	for (unsigned i = 0; i < c->n_forwarders; i++) {
		const struct gateway_forwarder *f = &c->forwarders[i];

		if ((f->ip.family && !is_ip(&f->ip)) || (!f->ip.family && !f->domain[0]) ||
			!is_name_or_empty(f->domain, sizeof(f->domain)))
			return bad(error, c, "the DNS forwarder", i);
	}
	return 0;
}

/* pasta listens on a port once: on one address, or on all of both families. */
static bool in_each_others_way(const struct gateway_forward *a, const struct gateway_forward *b)
{
	return a->proto == b->proto && a->host_port == b->host_port &&
		(a->guest.family == b->guest.family || a->host.family || b->host.family);
}

static bool translates(const struct gateway_config *c)
{
	return c->kind == GATEWAY_NAT || c->kind == GATEWAY_MASQUERADE;
}

static int check_forwards(const struct gateway_config *c, struct error *error)
{
	for (unsigned i = 0; i < c->n_forwards; i++) {
		const struct gateway_forward *f = &c->forwards[i];

		if (!translates(c) || f->proto > GATEWAY_UDP || !is_ip(&f->guest) ||
			!f->host_port || !f->guest_port || !gateway_network_of(c, &f->guest) ||
			(f->host.family && (!is_ip(&f->host) || f->host.family != f->guest.family)))
			return bad(error, c, "the port forward", i);
		for (unsigned j = 0; j < i; j++)
			if (in_each_others_way(f, &c->forwards[j]))
				return error_set(error, ERROR_XML_ERROR,
					"network '%s': port %u is forwarded twice; that is "
					"possible for "
					"IPv4 and IPv6 on all addresses only",
					c->name, f->host_port);
	}
	return 0;
}

static int check_ways(const struct gateway_config *c, struct error *error)
{
	const struct net_ip *first = &c->nat_first, *last = &c->nat_last;

	for (unsigned i = 0; i < c->n_routes; i++) {
		const struct gateway_route *r = &c->routes[i];

		if (!is_ip(&r->net) || !is_ip(&r->gateway) || r->net.family != r->gateway.family ||
			!gateway_network_of(c, &r->gateway))
			return bad(error, c, "the route", i);
	}
	if (c->kind != GATEWAY_MASQUERADE && (first->family || c->nat_port_first || c->nat_ipv6))
		return bad(error, c, "the way of <nat>", 0);
	if (first->family != last->family ||
		(first->family && (first->family != 4 || net_ip_compare(first, last) > 0)))
		return bad(error, c, "the range of addresses of <nat>", 0);
	if (c->nat_port_first > c->nat_port_last || (!c->nat_port_first && c->nat_port_last))
		return bad(error, c, "the range of ports of <nat>", 0);
	if (c->dev[0] && c->kind != GATEWAY_ROUTE && c->kind != GATEWAY_MASQUERADE)
		return bad(error, c, "the interface of <forward>", 0);
	return 0;
}

static int check_ifname(const struct gateway_config *c, struct error *error)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:";
	char plain[NET_IFNAME_MAX];
	char *count;

	if (!ends(c->ifname, sizeof(c->ifname)) || !ends(c->dev, sizeof(c->dev)) ||
		(c->dev[0] &&
			(!net_ifname_is_valid(c->dev) ||
				strspn(c->dev, letters) != strlen(c->dev))))
		return bad(error, c, "the name of interface", 0);
	memcpy(plain, c->ifname, sizeof(plain));
	count = gateway_is_on_host(c) ? strstr(plain, "%d") : NULL;
	if (count)
		memset(count, '0', 2);
	/* Names go into rules in quotes: only letters that need no thought. */
	if (!net_ifname_is_valid(plain) || strspn(plain, letters) != strlen(plain) ||
		streq(plain, GATEWAY_OUT) || streq(plain, GATEWAY_IN))
		return bad(error, c, "the name of interface", 0);
	return 0;
}

static bool counts_fit(const struct gateway_config *c)
{
	return c->n_ips <= GATEWAY_MAX_IPS && c->n_ranges <= GATEWAY_MAX_RANGES &&
		c->n_hosts <= GATEWAY_MAX_HOSTS && c->n_dns_hosts <= GATEWAY_MAX_DNS_HOSTS &&
		c->n_srv <= GATEWAY_MAX_RECORDS && c->n_txt <= GATEWAY_MAX_RECORDS &&
		c->n_forwarders <= GATEWAY_MAX_FORWARDERS &&
		c->n_forwards <= GATEWAY_MAX_FORWARDS && c->n_routes <= GATEWAY_MAX_ROUTES;
}

int gateway_config_validate(const struct gateway_config *c, struct error *error)
{
	int r;

	if (!ends(c->name, sizeof(c->name)) || !c->name[0] || !str_is_clean_utf8(c->name) ||
		strpbrk(c->name, "/\t\n") || c->kind >= GATEWAY_KIND_X_MAX || !counts_fit(c))
		return bad(error, c, "the network", 0);
	for (unsigned i = 0; i < c->n_ips; i++)
		if (!is_ip(&c->ips[i]) || !c->ips[i].prefix || net_ip_is_group(&c->ips[i]) ||
			net_ip_is_unspecified(&c->ips[i]) ||
			(c->local_ptr[i] && c->ips[i].prefix % (c->ips[i].family == 4 ? 8 : 4)))
			return bad(error, c, "the address <ip>", i);
	r = check_ifname(c, error);
	if (r == 0)
		r = check_dhcp(c, error);
	if (r == 0)
		r = check_dns(c, error);
	if (r == 0)
		r = check_ways(c, error);
	if (r == 0)
		r = check_forwards(c, error);
	return r;
}
