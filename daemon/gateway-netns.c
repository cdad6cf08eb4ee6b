/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ip(8) is told, and inside a namespace nft(8), slirp4netns(1) and pasta(1). The picture is in gateway.h.
 *
 * Tested by tests/unit/test-gateway-nat.c and tests/unit/test-network-gateway.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/net-addr.h"
#include "daemon/gateway-internal.h"

#define TEXT(x)  TEXT_(x)
#define TEXT_(x) #x

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

static void put_addresses(
	FILE *f, const struct gateway_config *c, const char *ifname, unsigned family)
{
	for (unsigned i = 0; i < c->n_ips; i++) {
		char text[NET_IP_STRING_SIZE];

		if (c->ips[i].family != family)
			continue;
		net_ip_format(&c->ips[i], text);
		fprintf(f, "addr add %s/%u dev %s%s\n", text, c->ips[i].prefix, ifname,
			family == 6 ? " nodad" : "");
	}
}

static const char in_tap[] = "tuntap add dev " GATEWAY_IN " mode tap\n"
			     "link set " GATEWAY_IN " mtu " TEXT(GATEWAY_WAN_MTU) " up\n";

static void put_taps(FILE *f, const struct gateway_config *c)
{
	fputs("link set lo up\n"
	      "tuntap add dev " GATEWAY_OUT " mode tap\n"
	      "link set " GATEWAY_OUT " mtu " TEXT(GATEWAY_WAN_MTU) " up\n",
		f);
	if (c->n_forwards)
		fputs(in_tap, f);
}

static void put_way(
	FILE *f, const char *ifname, const char *ip, const char *gateway, const char *table)
{
	fprintf(f, "addr add %s dev %s\nroute add default via %s dev %s%s\n", ip, ifname, gateway,
		ifname, table);
}

static void put_way_in(FILE *f, unsigned family)
{
	static const char in_table[] = " table " TEXT(GATEWAY_IN_TABLE);

	if (family == 4)
		put_way(f, GATEWAY_IN, GATEWAY_IN_IP "/29", GATEWAY_IN_GW, in_table);
	else
		put_way(f, GATEWAY_IN, GATEWAY_IN_IP6 "/64", GATEWAY_IN_GW6, in_table);
	fputs("rule add fwmark " TEXT(GATEWAY_IN_MARK) " lookup " TEXT(GATEWAY_IN_TABLE) "\n", f);
}

static void put_ways(FILE *f, const struct gateway_config *c, unsigned family)
{
	if (family == 4)
		put_way(f, GATEWAY_OUT, GATEWAY_OUT_IP "/24", GATEWAY_OUT_GW, "");
	else
		put_way(f, GATEWAY_OUT, GATEWAY_OUT_IP6 "/128", GATEWAY_OUT_GW6, "");
	if (c->n_forwards)
		put_way_in(f, family);
}

static void put_routes(FILE *f, const struct gateway_config *c, const char *ifname, unsigned family)
{
	for (unsigned i = 0; i < c->n_routes; i++) {
		const struct gateway_route *r = &c->routes[i];
		struct net_ip net = gateway_network(&r->net);
		char to[NET_IP_STRING_SIZE], via[NET_IP_STRING_SIZE];

		if (net.family != family)
			continue;
		net_ip_format(&net, to);
		net_ip_format(&r->gateway, via);
		fprintf(f, "route add %s/%u via %s dev %s metric %u proto static\n", to, net.prefix,
			via, ifname, r->metric ? r->metric : 1);
	}
}

int gateway_ip_batch(
	const struct gateway_config *c, const char *ifname, unsigned family, char **ret_text)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	if (c->kind == GATEWAY_NAT && family == 4)
		put_taps(f, c);
	put_addresses(f, c, ifname, family);
	put_routes(f, c, ifname, family);
	if (c->kind == GATEWAY_NAT && (family == 4 || gateway_has_family(c, 6)))
		put_ways(f, c, family);
	return finish(f, &text, ret_text);
}

int gateway_ip_batch_in(const struct gateway_config *c, unsigned family, char **ret_text)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	if (family == 4)
		fputs(in_tap, f);
	if (family == 4 || gateway_has_family(c, 6))
		put_way_in(f, family);
	return finish(f, &text, ret_text);
}

/* The port inside: the index of the first forward of this port of the host. pasta has one for each, so IPv4 and IPv6
 * share it. */
static unsigned inner_port(const struct gateway_config *c, const struct gateway_forward *w)
{
	for (unsigned i = 0; i < c->n_forwards; i++)
		if (c->forwards[i].proto == w->proto && c->forwards[i].host_port == w->host_port)
			return GATEWAY_FORWARD_PORT + i;
	return 0;
}

void gateway_put_target(FILE *f, const struct gateway_forward *w)
{
	char ip[NET_IP_STRING_SIZE];

	net_ip_format(&w->guest, ip);
	if (w->guest.family == 4)
		fprintf(f, "dnat ip to %s:%u\n", ip, w->guest_port);
	else
		fprintf(f, "dnat ip6 to [%s]:%u\n", ip, w->guest_port);
}

static const char *proto_name(const struct gateway_forward *w)
{
	return w->proto == GATEWAY_TCP ? "tcp" : "udp";
}

static const char *nfproto(unsigned family)
{
	return family == 4 ? "ipv4" : "ipv6";
}

bool gateway_is_own_port(const struct gateway_config *c, const struct gateway_forward *w)
{
	if (w->host_port == 53)
		return c->dns;
	return w->proto == GATEWAY_UDP &&
		(w->host_port == 67 || w->host_port == 69 || w->host_port == 547);
}

static void put_dnat(FILE *f, const struct gateway_config *c, const char *ifname)
{
	fputs("\tchain dnat_in {\n\t\ttype nat hook prerouting priority -100\n", f);
	for (unsigned i = 0; i < c->n_forwards; i++) {
		const struct gateway_forward *w = &c->forwards[i];

		fprintf(f, "\t\tiifname \"" GATEWAY_IN "\" meta nfproto %s %s dport %u ",
			nfproto(w->guest.family), proto_name(w), inner_port(c, w));
		gateway_put_target(f, w);
		if (gateway_is_own_port(c, w))
			continue;
		fprintf(f, "\t\tiifname \"%s\" meta nfproto %s fib daddr type local %s dport %u ",
			ifname, nfproto(w->guest.family), proto_name(w), w->host_port);
		gateway_put_target(f, w);
	}
	/* pasta connects from inside when a program of the host connects to 127.0.0.1. */
	fputs("\t}\n\tchain dnat_self {\n\t\ttype nat hook output priority -100\n", f);
	for (unsigned i = 0; i < c->n_forwards; i++) {
		const struct gateway_forward *w = &c->forwards[i];

		if (w->guest.family != 4)
			continue;
		fprintf(f, "\t\toifname \"lo\" ip daddr 127.0.0.1 %s dport %u ", proto_name(w),
			inner_port(c, w));
		gateway_put_target(f, w);
	}
	fputs("\t}\n", f);
}

static void put_masquerade(FILE *f, const struct gateway_config *c, const char *ifname)
{
	fputs("\tchain leave {\n\t\ttype nat hook postrouting priority 100\n"
	      "\t\toifname \"" GATEWAY_OUT "\" masquerade\n",
		f);
	if (c->n_forwards)
		fprintf(f, "\t\toifname \"%s\" ip saddr 127.0.0.0/8 masquerade\n", ifname);
	for (unsigned i = 0; c->n_forwards && i < c->n_ips; i++) {
		char ip[NET_IP_STRING_SIZE];

		/* Hairpin: the guest that answers must answer to the gateway. */
		net_ip_format(&c->ips[i], ip);
		fprintf(f, "\t\toifname \"%s\" ct status dnat %s saddr %s/%u masquerade\n", ifname,
			c->ips[i].family == 4 ? "ip" : "ip6", ip, c->ips[i].prefix);
	}
	fputs("\t}\n", f);
}

int gateway_nft_rules(const struct gateway_config *c, const char *ifname, char **ret_text)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	fputs("table inet vmmd {\n", f);
	fprintf(f,
		"\tchain came_in {\n\t\ttype filter hook prerouting priority -150\n"
		"\t\tiifname \"" GATEWAY_IN "\" ct state new ct mark set %d\n"
		"\t\tiifname \"%s\" ct mark %d ct direction reply meta mark set %d\n\t}\n",
		GATEWAY_IN_MARK, ifname, GATEWAY_IN_MARK, GATEWAY_IN_MARK);
	fputs("\tchain input {\n\t\ttype filter hook input priority 0\n"
	      "\t\tiifname { \"" GATEWAY_OUT "\", \"" GATEWAY_IN "\" } meta l4proto { tcp, udp }"
	      " ct state new drop\n\t}\n",
		f);
	fprintf(f,
		"\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop\n"
		"\t\tct state established,related accept\n"
		"\t\toifname \"" GATEWAY_OUT "\" ip daddr " GATEWAY_OUT_NET " drop\n"
		"\t\toifname \"" GATEWAY_OUT "\" ip6 daddr " GATEWAY_OUT_NET6 " drop\n"
		"\t\tiifname \"%s\" oifname { \"" GATEWAY_OUT "\", \"%s\" } accept\n"
		"\t\tiifname \"" GATEWAY_IN "\" ct status dnat accept\n\t}\n",
		ifname, ifname);
	if (c->n_forwards)
		put_dnat(f, c, ifname);
	put_masquerade(f, c, ifname);
	fputs("}\n", f);
	return finish(f, &text, ret_text);
}

static void add(struct gateway_args *args, const char *arg)
{
	assert(args->n < GATEWAY_MAX_ARGS);
	args->argv[args->n++] = arg;
	args->argv[args->n] = NULL;
}

static void add_all(struct gateway_args *args, const char *const *list)
{
	for (; *list; list++)
		add(args, *list);
}

void gateway_slirp_args(const struct gateway_config *c, const char *netns, struct gateway_args *ret)
{
	static const char *const fixed[] = {"slirp4netns", "--enable-sandbox", "--enable-seccomp",
		"--disable-host-loopback", "--cidr", GATEWAY_OUT_NET, "--mtu",
		TEXT(GATEWAY_WAN_MTU), "--netns-type", "path", NULL};
	memset(ret, 0, sizeof(*ret));
	add_all(ret, fixed);
	if (gateway_has_family(c, 6))
		add(ret, "--enable-ipv6");
	add(ret, netns);
	add(ret, GATEWAY_OUT);
}

static bool has_twin(const struct gateway_config *c, const struct gateway_forward *w)
{
	for (unsigned i = 0; i < c->n_forwards; i++)
		if (&c->forwards[i] != w && inner_port(c, &c->forwards[i]) == inner_port(c, w))
			return true;
	return false;
}

/* "ADDRESS/PORT:INNER", or "PORT:INNER" for both families. */
static void put_spec(const struct gateway_config *c, const struct gateway_forward *w, bool ipv6,
	char *spec, size_t size)
{
	char ip[NET_IP_STRING_SIZE] = "";

	net_ip_format(&w->host, ip);
	if (!ip[0] && !(ipv6 && has_twin(c, w)))
		(void)snprintf(ip, sizeof(ip), "%s", w->guest.family == 4 ? "0.0.0.0" : "::");
	(void)snprintf(
		spec, size, "%s%s%u:%u", ip, ip[0] ? "/" : "", w->host_port, inner_port(c, w));
}

/* -t or -u for each port of a protocol, or "none": pasta forwards what it finds otherwise. */
static void add_ports(
	struct gateway_args *args, const struct gateway_config *c, uint8_t proto, bool ipv6)
{
	const char *option = proto == GATEWAY_TCP ? "-t" : "-u";
	bool none = true;

	for (unsigned i = 0; i < c->n_forwards; i++) {
		const struct gateway_forward *w = &c->forwards[i];

		/* The second of a pair is in the first one's, if that is not left out itself. */
		if (w->proto != proto || (w->guest.family == 6 && !ipv6) ||
			(inner_port(c, w) != GATEWAY_FORWARD_PORT + i && ipv6))
			continue;
		put_spec(c, w, ipv6, args->specs[i], sizeof(args->specs[i]));
		add(args, option);
		add(args, args->specs[i]);
		none = false;
	}
	if (none) {
		add(args, option);
		add(args, "none");
	}
}

void gateway_pasta_args(
	const struct gateway_config *c, const char *netns, bool ipv6, struct gateway_args *ret)
{
	/* -T, -U none and --no-map-gw: nothing of the host's loopback is seen inside. */
	static const char *const fixed[] = {"pasta", "-f", "-q", "--runas", "0:0", "--netns-only",
		"-I", GATEWAY_IN, "-a", GATEWAY_IN_IP, "-n", "29", "-g", GATEWAY_IN_GW,
		"--no-map-gw", "-T", "none", "-U", "none", "--no-dhcp", "--no-dhcpv6", "--no-ra",
		"-D", "none", NULL};

	memset(ret, 0, sizeof(*ret));
	add_all(ret, fixed);
	if (ipv6) {
		add(ret, "-a");
		add(ret, GATEWAY_IN_IP6);
		add(ret, "-g");
		add(ret, GATEWAY_IN_GW6);
	} else {
		add(ret, "-4");
	}
	add_ports(ret, c, GATEWAY_TCP, ipv6);
	add_ports(ret, c, GATEWAY_UDP, ipv6);
	add(ret, "--netns");
	add(ret, netns);
}
