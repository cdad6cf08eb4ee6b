/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of a gateway whose tap is an interface of the host: what is forwarded and what is translated. What it means
 * is in gateway.h.
 *
 * Tested by tests/unit/test-gateway.c (goldens) and tests/unit/test-gateway-host.c.
 */
#include <stdio.h>
#include <string.h>

#include "config/net-addr.h"
#include "daemon/gateway-internal.h"
#include "vmm-core/base/strutil.h"

#define REJECT "reject with icmpx type admin-prohibited\n"

void gateway_table(const struct gateway_config *c, char ret_name[GATEWAY_TABLE_MAX])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	char uuid[UUID_STRING_LEN + 1];

	uuid_format(c->uuid, uuid);
	(void)snprintf(ret_name, GATEWAY_TABLE_MAX, "vmmd_%s",
		strspn(c->name, letters) == strlen(c->name) ? c->name : uuid);
}

static const char *ip_word(unsigned family)
{
	return family == 4 ? "ip" : "ip6";
}

/* Network 'i' of those that guests are in: the gateway's own ones, then those that guests lead to. */
static bool get_network(
	const struct gateway_config *c, unsigned i, struct net_ip *ret, char text[64])
{
	char ip[NET_IP_STRING_SIZE];

	if (i >= c->n_ips + c->n_routes)
		return false;
	*ret = gateway_network(i < c->n_ips ? &c->ips[i] : &c->routes[i - c->n_ips].net);
	net_ip_format(ret, ip);
	(void)snprintf(text, 64, "%s/%u", ip, ret->prefix);
	return true;
}

static bool is_translated(const struct gateway_config *c, unsigned family)
{
	return c->kind == GATEWAY_MASQUERADE && (family == 4 || c->nat_ipv6);
}

/* "oifname "eth0" ", or nothing: the way out, or in. */
static const char *way(const struct gateway_config *c, const char *word, char text[64])
{
	if (c->dev[0])
		(void)snprintf(text, 64, "%s \"%s\" ", word, c->dev);
	else
		text[0] = 0;
	return text;
}

static void put_networks(FILE *f, const struct gateway_config *c, const char *ifname)
{
	char net[64], out[64], in[64];
	struct net_ip ip;

	(void)way(c, "oifname", out);
	(void)way(c, "iifname", in);
	for (unsigned i = 0; get_network(c, i, &ip, net); i++) {
		fprintf(f, "\t\tiifname \"%s\" %s%s saddr %s accept\n", ifname, out,
			ip_word(ip.family), net);
		fprintf(f, "\t\toifname \"%s\" %s%s daddr %s %saccept\n", ifname, in,
			ip_word(ip.family), net,
			is_translated(c, ip.family) ? "ct state established,related " : "");
	}
}

static void put_forward(FILE *f, const struct gateway_config *c, const char *ifname)
{
	fputs("\tchain forward {\n\t\ttype filter hook forward priority 0\n", f);
	fprintf(f, "\t\tiifname \"%s\" oifname \"%s\" accept\n", ifname, ifname);
	if (c->n_forwards)
		fputs("\t\tct status dnat accept\n", f);
	if (gateway_leads_out(c))
		put_networks(f, c, ifname);
	fprintf(f, "\t\tiifname \"%s\" " REJECT "\t\toifname \"%s\" " REJECT "\t}\n", ifname,
		ifname);
}

/* Which packets are for forward 'w'. What guests ask of the gateway itself it answers. */
static void put_match(FILE *f, const struct gateway_config *c, const struct gateway_forward *w,
	const char *ifname, bool from_host)
{
	const char *ip = ip_word(w->guest.family);
	char host[NET_IP_STRING_SIZE];

	fputs("\t\t", f);
	if (!from_host && gateway_is_own_port(c, w))
		fprintf(f, "iifname != \"%s\" ", ifname);
	net_ip_format(&w->host, host);
	if (w->host.family)
		fprintf(f, "%s daddr %s ", ip, host);
	else
		fprintf(f, "fib daddr type local %s daddr != %s ", ip,
			w->guest.family == 4 ? "127.0.0.0/8" : "::1");
	fprintf(f, "%s dport %u ", w->proto == GATEWAY_TCP ? "tcp" : "udp", w->host_port);
	gateway_put_target(f, w);
}

static void put_port_forwards(FILE *f, const struct gateway_config *c, const char *ifname)
{
	fputs("\tchain came_in {\n\t\ttype nat hook prerouting priority -100\n", f);
	for (unsigned i = 0; i < c->n_forwards; i++)
		put_match(f, c, &c->forwards[i], ifname, false);
	fputs("\t}\n\tchain from_host {\n\t\ttype nat hook output priority -100\n", f);
	for (unsigned i = 0; i < c->n_forwards; i++)
		put_match(f, c, &c->forwards[i], ifname, true);
	fputs("\t}\n", f);
}

/* "snat ip to FIRST-LAST:PORT-PORT", or "masquerade to :PORT-PORT". */
static void put_translation(FILE *f, const struct gateway_config *c, unsigned family, bool ports)
{
	char first[NET_IP_STRING_SIZE], last[NET_IP_STRING_SIZE];
	bool own = family == 4 && c->nat_first.family;

	net_ip_format(&c->nat_first, first);
	net_ip_format(&c->nat_last, last);
	if (own)
		fprintf(f, "snat ip to %s", first);
	else
		fprintf(f, "masquerade%s", ports ? " to " : "");
	if (own && !streq(first, last))
		fprintf(f, "-%s", last);
	if (ports)
		fprintf(f, ":%u-%u", c->nat_port_first ? c->nat_port_first : 1024,
			c->nat_port_first ? c->nat_port_last : 65535);
	fputc('\n', f);
}

static void put_leave(FILE *f, const struct gateway_config *c, const char *ifname)
{
	char net[64], out[64];
	struct net_ip ip;

	(void)way(c, "oifname", out);
	fputs("\tchain leave {\n\t\ttype nat hook postrouting priority 100\n", f);
	for (unsigned i = 0; get_network(c, i, &ip, net); i++) {
		const char *word = ip_word(ip.family);

		/* Hairpin: the guest that answers must answer to the host. */
		if (c->n_forwards)
			fprintf(f, "\t\toifname \"%s\" ct status dnat %s saddr %s masquerade\n",
				ifname, word, net);
		if (!is_translated(c, ip.family))
			continue;
		for (unsigned ports = 2; ports-- > 0;) {
			fprintf(f, "\t\toifname != \"%s\" %s%s saddr %s %s", ifname, out, word, net,
				ports ? "meta l4proto { tcp, udp } " : "");
			put_translation(f, c, ip.family, ports);
		}
	}
	fputs("\t}\n", f);
}

int gateway_host_rules(const struct gateway_config *c, const char *ifname, char **ret_text)
{
	char *text = NULL, table[GATEWAY_TABLE_MAX];
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool failed;

	if (!f)
		return -ENOMEM;
	gateway_table(c, table);
	fprintf(f, "table inet %s {\n\tflags owner\n", table);
	put_forward(f, c, ifname);
	if (c->n_forwards)
		put_port_forwards(f, c, ifname);
	if (c->kind == GATEWAY_MASQUERADE)
		put_leave(f, c, ifname);
	fputs("}\n", f);
	failed = ferror(f);
	if (fclose(f) != 0 || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	return 0;
}
