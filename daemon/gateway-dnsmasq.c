/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dnsmasq's files, from a configuration that gateway_config_validate() has passed. See dnsmasq(8) for every word.
 *
 * Tested by tests/unit/test-gateway.c.
 */
#include <stdio.h>
#include <string.h>

#include "config/net-addr.h"
#include "daemon/gateway-internal.h"
#include "vmm-core/base/strutil.h"

/* In quotes dnsmasq takes commas and '#' as they are, and \" and \\ for " and \. */
static void put_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

static void put_ip(FILE *f, const struct net_ip *ip)
{
	char text[NET_IP_STRING_SIZE];

	net_ip_format(ip, text);
	fputs(text, f);
}

static void put_lease_time(FILE *f, uint32_t lease_s)
{
	if (lease_s == GATEWAY_LEASE_INFINITE)
		fputs(",infinite", f);
	else if (lease_s)
		fprintf(f, ",%u", lease_s);
}

static void put_netmask(FILE *f, unsigned prefix)
{
	uint32_t mask = prefix ? UINT32_MAX << (32 - prefix) : 0;

	fprintf(f, "%u.%u.%u.%u", mask >> 24, mask >> 16 & 255, mask >> 8 & 255, mask & 255);
}

static void put_ranges(FILE *f, const struct gateway_config *c)
{
	for (unsigned i = 0; i < c->n_ranges; i++) {
		const struct gateway_range *r = &c->ranges[i];
		const struct net_ip *net = gateway_network_of(c, &r->first);

		fputs("dhcp-range=", f);
		put_ip(f, &r->first);
		fputc(',', f);
		put_ip(f, &r->last);
		fputc(',', f);
		if (net->family == 4)
			put_netmask(f, net->prefix);
		else
			fprintf(f, "%u", net->prefix);
		put_lease_time(f, r->lease_s ? r->lease_s : GATEWAY_LEASE_DEFAULT);
		fputc('\n', f);
	}
}

/* Networks without a range: static hosts only, and for IPv6 advertisements in any case. */
static void put_bare_networks(FILE *f, const struct gateway_config *c)
{
	for (unsigned i = 0; i < c->n_ips; i++) {
		struct net_ip net = gateway_network(&c->ips[i]);
		bool has_range = false, has_host = false;

		for (unsigned j = 0; j < c->n_ranges; j++)
			has_range |= gateway_network_of(c, &c->ranges[j].first) == &c->ips[i];
		for (unsigned j = 0; j < c->n_hosts; j++)
			has_host |= gateway_network_of(c, &c->hosts[j].ip) == &c->ips[i];
		if (has_range || (net.family == 4 && !has_host))
			continue;
		fputs("dhcp-range=", f);
		put_ip(f, &net);
		fputs(has_host ? ",static" : ",ra-only", f);
		if (net.family == 4) {
			fputc(',', f);
			put_netmask(f, net.prefix);
		} else {
			fprintf(f, ",%u", net.prefix);
		}
		fputc('\n', f);
	}
}

/* How the default interval is written: 0. A lifetime of 0: not a way out. */
static void put_advertisements(FILE *f, const struct gateway_config *c)
{
	bool mtu = c->mtu && c->mtu != NET_MTU_DEFAULT;

	if (!gateway_has_family(c, 6))
		return;
	fputs("enable-ra\n", f);
	if (mtu)
		fprintf(f, "ra-param=*,mtu:%u,0%s\n", c->mtu, gateway_leads_out(c) ? "" : ",0");
	else if (!gateway_leads_out(c))
		fputs("ra-param=*,0,0\n", f);
}

static void put_dhcp(FILE *f, const struct gateway_config *c, const struct gateway_paths *paths)
{
	bool v4 = gateway_has_dhcp(c, 4), v6 = gateway_has_family(c, 6);

	if (v4 || v6) {
		fputs("dhcp-no-override\ndhcp-authoritative\n", f);
		fprintf(f, "dhcp-lease-max=%u\ndhcp-leasefile=", GATEWAY_MAX_LEASES);
		put_quoted(f, paths->leases);
		fprintf(f, "\ndhcp-hostsfile=%s/dhcp-hosts\n", paths->run);
	}
	put_ranges(f, c);
	put_bare_networks(f, c);
	if (v4 && !gateway_leads_out(c))
		fputs("dhcp-option=option:router\n", f);
	if (v4 && !c->dns)
		fputs("dhcp-option=option:dns-server\n", f);
	if (v4 && c->mtu && c->mtu != NET_MTU_DEFAULT)
		fprintf(f, "dhcp-option=option:mtu,%u\n", c->mtu);
	put_advertisements(f, c);
	if (c->bootp_file[0]) {
		fputs("dhcp-boot=", f);
		put_quoted(f, c->bootp_file);
		if (c->bootp_server[0])
			fprintf(f, ",,%s", c->bootp_server);
		fputc('\n', f);
	}
	if (c->tftp_root[0]) {
		fputs("enable-tftp\ntftp-root=", f);
		put_quoted(f, c->tftp_root);
		fputc('\n', f);
	}
}

static void put_resolvers(FILE *f, const struct gateway_config *c, const char *resolv)
{
	bool everything = false;

	for (unsigned i = 0; i < c->n_forwarders; i++) {
		const struct gateway_forwarder *w = &c->forwarders[i];

		everything |= !w->domain[0];
		fputs("server=", f);
		if (w->domain[0])
			fprintf(f, "/%s/", w->domain);
		put_ip(f, &w->ip);
		fputc('\n', f);
	}
	if (c->dns_local_only || everything)
		fputs("no-resolv\n", f);
	else if (c->kind == GATEWAY_NAT)
		fputs("no-resolv\nserver=" GATEWAY_OUT_DNS "\n", f);
	else
		fprintf(f, "resolv-file=%s\n", resolv);
}

static void put_records(FILE *f, const struct gateway_config *c)
{
	for (unsigned i = 0; i < c->n_srv; i++) {
		const struct gateway_srv *s = &c->srv[i];

		fprintf(f, "srv-host=_%s._%s", s->service, s->protocol);
		if (s->domain[0])
			fprintf(f, ".%s", s->domain);
		if (s->target[0])
			fprintf(f, ",%s", s->target);
		/* Without a port it is dnsmasq's default, 1. */
		if (s->target[0] && (s->port || s->priority || s->weight))
			fprintf(f, ",%u,%u,%u", s->port ? s->port : 1, s->priority, s->weight);
		fputc('\n', f);
	}
	for (unsigned i = 0; i < c->n_txt; i++) {
		fprintf(f, "txt-record=%s,", c->txt[i].name);
		put_quoted(f, c->txt[i].value);
		fputc('\n', f);
	}
}

/* The zone of a network's addresses, RFC 1035 3.5 and RFC 3596 2.5: whole bytes, or whole digits. */
static void put_reverse_zone(FILE *f, const struct net_ip *ip)
{
	static const char digits[] = "0123456789abcdef";

	fputs("local=/", f);
	if (ip->family == 4)
		for (unsigned i = ip->prefix / 8; i-- > 0;)
			fprintf(f, "%u.", ip->bytes[i]);
	else
		for (unsigned i = ip->prefix / 4; i-- > 0;)
			fprintf(f, "%c.", digits[ip->bytes[i / 2] >> (i % 2 ? 0 : 4) & 15]);
	fprintf(f, "%s/\n", ip->family == 4 ? "in-addr.arpa" : "ip6.arpa");
}

static void put_dns(FILE *f, const struct gateway_config *c, const struct gateway_paths *paths)
{
	if (c->domain[0])
		fprintf(f, "domain=%s\nexpand-hosts\n", c->domain);
	if (!c->dns) {
		fputs("port=0\nno-resolv\n", f);
		return;
	}
	if (!c->dns_hosts_file)
		fputs("no-hosts\n", f);
	fprintf(f, "strict-order\naddn-hosts=%s/hosts\n", paths->run);
	if (!c->dns_forward_plain)
		fputs("domain-needed\nlocal=//\n", f);
	if (c->domain[0] && c->domain_local_only)
		fprintf(f, "local=/%s/\n", c->domain);
	for (unsigned i = 0; i < c->n_ips; i++)
		if (c->local_ptr[i])
			put_reverse_zone(f, &c->ips[i]);
	put_resolvers(f, c, paths->resolv);
	put_records(f, c);
}

static int finish(FILE *f, char **text, char **ret_text)
{
	bool failed = ferror(f);

	if (fclose(f) != 0 || failed) {
		free(*text);
		return -ENOMEM;
	}
	*ret_text = *text;
	return 0;
}

int gateway_dnsmasq_conf(const struct gateway_config *c, const struct gateway_paths *paths,
	const char *user, char **ret_text)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	fputs("# Written by vmmd, and written again by the next start of the network.\n", f);
	fprintf(f, "user=%s\npid-file=%s/dnsmasq.pid\nlog-facility=-\n", user, paths->run);
	fprintf(f, "interface=%s\nexcept-interface=lo\nbind-dynamic\n", c->ifname);
	put_dns(f, c, paths);
	put_dhcp(f, c, paths);
	return finish(f, &text, ret_text);
}

int gateway_dnsmasq_hosts(const struct gateway_config *c, char **ret_text)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n_dns_hosts; i++) {
		const struct gateway_dns_host *h = &c->dns_hosts[i];

		put_ip(f, &h->ip);
		for (unsigned j = 0; j < h->n_names; j++)
			fprintf(f, "%c%s", j ? ' ' : '\t', h->names[j]);
		fputc('\n', f);
	}
	return finish(f, &text, ret_text);
}

int gateway_dnsmasq_dhcp_hosts(const struct gateway_config *c, char **ret_text)
{
	char *text = NULL, mac[NET_MAC_STRING_SIZE];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n_hosts; i++) {
		const struct gateway_host *h = &c->hosts[i];
		bool first = true;

		if (h->has_mac) {
			net_mac_format(h->mac, mac);
			fputs(mac, f);
			first = false;
		} else if (h->id[0]) {
			fprintf(f, "id:%s", h->id);
			first = false;
		}
		if (h->name[0])
			fprintf(f, "%s%s", first ? "" : ",", h->name);
		if (h->ip.family) {
			fputs(h->ip.family == 6 ? ",[" : ",", f);
			put_ip(f, &h->ip);
			fputs(h->ip.family == 6 ? "]" : "", f);
		}
		put_lease_time(f, h->lease_s);
		fputc('\n', f);
	}
	return finish(f, &text, ret_text);
}
