/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a gateway is told and what it tells: checks, the files of dnsmasq, scripts and rules (goldens of
 * tests/data/dnsmasq), leases. With UPDATE_GOLDENS=1 the goldens are written instead of compared. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "daemon/gateway-internal.h"
#include "tests/unit/gateway-fixture.h"
#include "vmm-core/base/fdio.h"

static void assert_golden(const char *name, char *text)
{
	_cleanup_(freep) char *want = NULL;
	char path[512];

	(void)snprintf(path, sizeof(path), TESTS_DATA_DIR "/dnsmasq/%s", name);
	if (getenv("UPDATE_GOLDENS")) {
		FILE *f = fopen(path, "we");

		assert_non_null(f);
		assert_true(fputs(text, f) >= 0);
		assert_int_equal(fclose(f), 0);
	}
	if (read_file(AT_FDCWD, path, MIB(1), &want, NULL) < 0)
		fail_msg("%s is missing", path);
	assert_string_equal(text, want);
	free(text);
}

/* Everything that there is. */
static struct gateway_config *full_config(void)
{
	struct gateway_config *c = fixture_config(GATEWAY_NAT, "virbr0");
	struct gateway_host *h;

	fixture_add_ip(c, "192.168.122.1", 24);
	fixture_add_ip(c, "10.9.0.1", 16);
	fixture_add_ip(c, "fd01::1", 64);
	fixture_add_ip(c, "fd02::1", 64);
	fixture_add_range(c, "192.168.122.2", "192.168.122.254");
	fixture_add_range(c, "fd01::100", "fd01::1ff");
	c->ranges[0].lease_s = 7200;
	c->ranges[1].lease_s = GATEWAY_LEASE_INFINITE;
	fixture_add_host(c, "52:54:00:00:00:05", "web", "192.168.122.5");
	fixture_add_host(c, "52:54:00:00:00:06", "db", "10.9.3.4");
	h = &c->hosts[c->n_hosts++];
	(void)str_copy(h->id, sizeof(h->id), "00:01:00:01:2d");
	(void)str_copy(h->name, sizeof(h->name), "six");
	h->ip = fixture_ip("fd01::5", 0);
	h->lease_s = 600;
	c->mtu = 9000;
	(void)str_copy(c->bootp_file, sizeof(c->bootp_file), "pxe \"a\\b\",#.0");
	(void)str_copy(c->bootp_server, sizeof(c->bootp_server), "192.168.122.9");
	(void)str_copy(c->tftp_root, sizeof(c->tftp_root), "/srv/tftp boot");
	c->dns = true;
	(void)str_copy(c->domain, sizeof(c->domain), "red.test");
	c->domain_local_only = true;
	fixture_add_dns_host(c, "192.168.122.5", "www.red.test");
	c->dns_hosts[0].n_names = 2;
	(void)str_copy(c->dns_hosts[0].names[1], sizeof(c->dns_hosts[0].names[1]), "www");
	fixture_add_dns_host(c, "fd01::5", "six.red.test");
	c->srv[c->n_srv++] = (struct gateway_srv){.service = "ldap",
		.protocol = "tcp",
		.domain = "red.test",
		.target = "dc.red.test",
		.port = 389,
		.priority = 10,
		.weight = 5};
	c->srv[c->n_srv++] = (struct gateway_srv){.service = "none", .protocol = "udp"};
	c->srv[c->n_srv++] = (struct gateway_srv){
		.service = "plain", .protocol = "tcp", .target = "dc.red.test"};
	c->srv[c->n_srv++] = (struct gateway_srv){
		.service = "weighed", .protocol = "tcp", .target = "dc.red.test", .weight = 7};
	c->txt[c->n_txt++] =
		(struct gateway_txt){.name = "note.red.test", .value = "a, \"b\" # c\\"};
	c->forwarders[c->n_forwarders++] = (struct gateway_forwarder){
		.ip = fixture_ip("192.0.2.53", 0), .domain = "corp.test"};
	c->forwarders[c->n_forwarders++] = (struct gateway_forwarder){.domain = "nowhere.test"};
	fixture_add_forward(c, GATEWAY_TCP, 8080, "192.168.122.5", 80);
	fixture_add_forward(c, GATEWAY_UDP, 53, "192.168.122.5", 53);
	fixture_add_forward(c, GATEWAY_TCP, 8022, "fd01::5", 22);
	fixture_add_forward(c, GATEWAY_UDP, 53, "fd01::5", 54);
	c->forwards[0].host = fixture_ip("203.0.113.2", 0);
	return c;
}

static struct gateway_config *plain_config(void)
{
	struct gateway_config *c = fixture_config(GATEWAY_NAT, "virbr0");

	fixture_add_ip(c, "192.168.122.1", 24);
	fixture_add_range(c, "192.168.122.2", "192.168.122.254");
	c->dns = true;
	return c;
}

static struct gateway_config *isolated_config(void)
{
	struct gateway_config *c = fixture_config(GATEWAY_ISOLATED, "virbr1");

	fixture_add_ip(c, "10.0.5.1", 24);
	fixture_add_ip(c, "fd05::1", 64);
	fixture_add_range(c, "10.0.5.10", "10.0.5.20");
	return c;
}

static void add_route(
	struct gateway_config *c, const char *net, unsigned prefix, const char *gateway)
{
	c->routes[c->n_routes++] =
		(struct gateway_route){fixture_ip(net, prefix), fixture_ip(gateway, 0), 0};
}

/* Of the host, with a network behind a guest. */
static struct gateway_config *host_config(enum gateway_kind kind)
{
	struct gateway_config *c = fixture_config(kind, "virbr2");

	fixture_add_ip(c, "192.168.100.1", 24);
	fixture_add_ip(c, "2001:db8:ca2:2::1", 64);
	fixture_add_range(c, "192.168.100.128", "192.168.100.254");
	add_route(c, "10.1.2.3", 8, "192.168.100.3");
	c->routes[0].metric = 7;
	add_route(c, "2001:db8:ca2:4::", 64, "2001:db8:ca2:2::4");
	c->local_ptr[0] = c->local_ptr[1] = true;
	c->dns = true;
	return c;
}

static struct gateway_config *dev_config(enum gateway_kind kind)
{
	struct gateway_config *c = host_config(kind);

	(void)str_copy(c->dev, sizeof(c->dev), "eth7");
	return c;
}

/* All that NAT by the kernel can be told. */
static struct gateway_config *range_config(void)
{
	struct gateway_config *c = host_config(GATEWAY_MASQUERADE);

	c->nat_first = fixture_ip("203.0.113.10", 0);
	c->nat_last = fixture_ip("203.0.113.20", 0);
	c->nat_port_first = 5000;
	c->nat_port_last = 6000;
	c->nat_ipv6 = true;
	fixture_add_forward(c, GATEWAY_TCP, 8080, "192.168.100.5", 80);
	fixture_add_forward(c, GATEWAY_UDP, 53, "192.168.100.5", 53);
	fixture_add_forward(c, GATEWAY_TCP, 8081, "2001:db8:ca2:2::5", 80);
	c->forwards[0].host = fixture_ip("203.0.113.2", 0);
	return c;
}

static void check_goldens(const char *name, struct gateway_config *c)
{
	static const struct gateway_paths paths = {
		"/run", "/var/lib/vmmd/a b.leases", "/run/resolv/stub-resolv.conf"};
	char file[64], *text;
	struct error error;

	if (gateway_config_validate(c, &error) < 0)
		fail_msg("%s", error.message);
	(void)snprintf(file, sizeof(file), "%s.conf", name);
	assert_int_equal(gateway_dnsmasq_conf(c, &paths, "dnsmasq", &text), 0);
	assert_golden(file, text);
	(void)snprintf(file, sizeof(file), "%s.hosts", name);
	assert_int_equal(gateway_dnsmasq_hosts(c, &text), 0);
	assert_golden(file, text);
	(void)snprintf(file, sizeof(file), "%s.dhcp-hosts", name);
	assert_int_equal(gateway_dnsmasq_dhcp_hosts(c, &text), 0);
	assert_golden(file, text);
	for (unsigned family = 4; family <= 6; family += 2) {
		(void)snprintf(file, sizeof(file), "%s.ip%u", name, family);
		assert_int_equal(gateway_ip_batch(c, c->ifname, family, &text), 0);
		assert_golden(file, text);
	}
	(void)snprintf(file, sizeof(file), "%s.nft", name);
	if (c->kind == GATEWAY_NAT)
		assert_int_equal(gateway_nft_rules(c, c->ifname, &text), 0);
	else if (gateway_has_rules(c))
		assert_int_equal(gateway_host_rules(c, c->ifname, &text), 0);
	if (c->kind == GATEWAY_NAT || gateway_has_rules(c))
		assert_golden(file, text);
	free(c);
}

static void test_goldens(void **state)
{
	(void)state;
	check_goldens("full", full_config());
	check_goldens("plain", plain_config());
	check_goldens("isolated", isolated_config());
	check_goldens("route", host_config(GATEWAY_ROUTE));
	check_goldens("route-dev", dev_config(GATEWAY_ROUTE));
	check_goldens("open", host_config(GATEWAY_OPEN));
	check_goldens("masquerade-dev", dev_config(GATEWAY_MASQUERADE));
	check_goldens("masquerade-range", range_config());
}

static char *join(const struct gateway_args *args)
{
	static char text[4096];

	text[0] = 0;
	for (unsigned i = 0; i < args->n; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			i ? " " : "", args->argv[i]);
	assert_null(args->argv[args->n]);
	return text;
}

static void test_arguments(void **state)
{
	struct gateway_config *c = full_config();
	struct gateway_args args;

	(void)state;
	gateway_pasta_args(c, "/proc/7/ns/net", true, &args);
	assert_non_null(strstr(join(&args), " -t 203.0.113.2/8080:20000 -t ::/8022:20002"));
	assert_non_null(strstr(join(&args), " -u 53:20001 --netns /proc/7/ns/net"));
	assert_non_null(strstr(join(&args), " --no-map-gw -T none -U none "));
	/* Without IPv6 on the host pasta would end, and with it the forwards of IPv4. */
	gateway_pasta_args(c, "/proc/7/ns/net", false, &args);
	assert_non_null(
		strstr(join(&args), " -4 -t 203.0.113.2/8080:20000 -u 0.0.0.0/53:20001 --n"));
	assert_null(strstr(join(&args), "20002"));
	gateway_slirp_args(c, "/proc/7/ns/net", &args);
	assert_non_null(strstr(join(&args), "--enable-ipv6 /proc/7/ns/net vmmd-out"));
	assert_non_null(strstr(join(&args), "--disable-host-loopback"));
	c->n_forwards = 0;
	gateway_pasta_args(c, "x", true, &args);
	assert_non_null(strstr(join(&args), " -t none -u none"));
	/* As many as there can be. */
	for (unsigned i = 0; i < GATEWAY_MAX_FORWARDS; i++)
		fixture_add_forward(c, GATEWAY_TCP, 1000 + i, "192.168.122.5", 80);
	gateway_pasta_args(c, "x", true, &args);
	assert_true(args.n < GATEWAY_MAX_ARGS);
	free(c);
}

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		struct gateway_config *c = full_config();                                          \
		struct error error = {0};                                                          \
		change;                                                                            \
		if (gateway_config_validate(c, &error) >= 0)                                       \
			fail_msg("accepted: %s", #change);                                         \
		assert_non_null(strstr(error.message, "network '"));                               \
		free(c);                                                                           \
	} while (0)
#define PUT(field, text) assert_int_equal(str_copy(field, sizeof(field), text), 0)

/* Nothing adds a line, a field, a comment. */
static void test_refused(void **state)
{
	(void)state;
	REFUSED(PUT(c->hosts[0].name, "a\nconf-file=/etc/shadow"));
	REFUSED(PUT(c->hosts[0].name, "a,ignore"));
	REFUSED(PUT(c->hosts[0].name, "-a"));
	REFUSED(PUT(c->hosts[2].id, "*"));
	REFUSED(memset(c->hosts[0].name, 'a', sizeof(c->hosts[0].name)));
	REFUSED(c->hosts[0].ip = fixture_ip("192.168.123.5", 0));
	REFUSED(c->hosts[0].has_mac = false; c->hosts[0].name[0] = 0);
	REFUSED(PUT(c->dns_hosts[0].names[1], "a b"));
	REFUSED(PUT(c->dns_hosts[0].names[1], ""));
	REFUSED(c->dns_hosts[0].n_names = GATEWAY_MAX_DNS_NAMES + 1);
	REFUSED(PUT(c->domain, "red/#"));
	REFUSED(PUT(c->txt[0].value, "a\nb"));
	REFUSED(PUT(c->txt[0].name, "a,b"));
	REFUSED(PUT(c->txt[0].value, "\xff"));
	REFUSED(PUT(c->srv[0].service, "a b"));
	REFUSED(PUT(c->srv[0].target, "a,b"));
	REFUSED(PUT(c->forwarders[0].domain, "a/"));
	REFUSED(c->forwarders[1].domain[0] = 0);
	REFUSED(PUT(c->bootp_file, "a\nb"));
	REFUSED(PUT(c->bootp_server, "a,b"));
	REFUSED(PUT(c->tftp_root, "relative"));
	REFUSED(PUT(c->ifname, "a\"b"));
	REFUSED(PUT(c->ifname, "vmmd-out"));
	REFUSED(PUT(c->ifname, "v%d"));
	REFUSED(PUT(c->ifname, ""));
	REFUSED(PUT(c->dev, "a b"));
	REFUSED(PUT(c->name, "a/b"));
	REFUSED(PUT(c->name, ""));
	REFUSED(c->ips[0].prefix = 33);
	REFUSED(c->ips[0].family = 5);
	REFUSED(c->n_ips = GATEWAY_MAX_IPS + 1);
	REFUSED(c->n_hosts = GATEWAY_MAX_HOSTS + 1);
	REFUSED(c->ranges[0].last = fixture_ip("192.168.123.1", 0));
	REFUSED(c->ranges[0].last = fixture_ip("192.168.122.1", 0));
	REFUSED(c->forwards[0].guest = fixture_ip("192.168.9.9", 0));
	REFUSED(c->forwards[0].host = fixture_ip("fd00::1", 0));
	REFUSED(c->forwards[0].guest_port = 0);
	REFUSED(c->forwards[0].proto = 2);
	REFUSED(c->forwards[1] = c->forwards[0]; c->forwards[1].host.family = 0);
	REFUSED(c->forwards[1].host = fixture_ip("203.0.113.2", 0));
	REFUSED(c->kind = GATEWAY_ROUTE);
	REFUSED(c->kind = GATEWAY_KIND_X_MAX);
	REFUSED(c->n_routes = GATEWAY_MAX_ROUTES + 1);
	REFUSED(add_route(c, "10.0.0.0", 8, "192.168.123.5"));
	REFUSED(add_route(c, "10.0.0.0", 33, "192.168.122.5"));
	REFUSED(add_route(c, "fd09::", 64, "192.168.122.5"));
	REFUSED(PUT(c->dev, "eth7"));
	REFUSED(c->nat_ipv6 = true);
	REFUSED(c->nat_port_first = c->nat_port_last = 1);
	REFUSED(c->local_ptr[0] = true; c->ips[0].prefix = 20);
}

/* The same for what only the kernel does. */
static void test_refused_ways(void **state)
{
	static const struct {
		const char *first, *last;
		unsigned port_first, port_last;
	} rows[] = {
		{"203.0.113.20", "203.0.113.10", 0, 0},
		{"fd00::1", "fd00::2", 0, 0},
		{"203.0.113.20", NULL, 0, 0},
		{NULL, NULL, 5, 4},
		{NULL, NULL, 0, 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct gateway_config *c = host_config(GATEWAY_MASQUERADE);
		struct error error;

		assert_int_equal(gateway_config_validate(c, &error), 0);
		if (rows[i].first)
			c->nat_first = fixture_ip(rows[i].first, 0);
		if (rows[i].last)
			c->nat_last = fixture_ip(rows[i].last, 0);
		c->nat_port_first = (uint16_t)rows[i].port_first;
		c->nat_port_last = (uint16_t)rows[i].port_last;
		if (gateway_config_validate(c, &error) >= 0)
			fail_msg("row %zu is accepted", i);
		free(c);
	}
}

static void test_table_names(void **state)
{
	static const struct {
		const char *name, *table;
	} rows[] = {
		{"red", "vmmd_red"},
		{"a-b_c.9", "vmmd_a-b_c.9"},
		{"a b", "vmmd_11111111-1111-1111-1111-111111111111"},
		{"a{", "vmmd_11111111-1111-1111-1111-111111111111"},
	};
	struct gateway_config *c = isolated_config();
	char table[GATEWAY_TABLE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		PUT(c->name, rows[i].name);
		gateway_table(c, table);
		assert_string_equal(table, rows[i].table);
	}
	free(c);
}

/* Chains of others: what `nft list chains` says of them. */
static void test_drops(void **state)
{
	static const char docker[] = "table ip nat {\n\tchain POSTROUTING {\n\t\ttype nat hook "
				     "postrouting priority srcnat; policy "
				     "drop;\n\t}\n}\n"
				     "table ip filter {\n\tchain DOCKER {\n\t}\n\tchain FORWARD "
				     "{\n\t\ttype filter hook forward "
				     "priority filter; policy drop;\n\t}\n\tchain INPUT "
				     "{\n\t\ttype filter hook input priority "
				     "filter; policy accept;\n\t}\n}\n";
	static const char others[] = "table inet firewalld {\n\tchain filter_INPUT {\n\t\ttype "
				     "filter hook input priority filter + 10; "
				     "policy accept;\n\t}\n}\n"
				     "table inet own {\n\tchain fwd {\n\t\ttype filter hook "
				     "forward priority filter; policy "
				     "drop;\n\t}\n}\n";
	char text[512];

	(void)state;
	assert_true(gateway_find_drop_in(docker, "forward", "virbr3", text, sizeof(text)));
	assert_non_null(strstr(text, "nothing is forwarded for 'virbr3'"));
	assert_non_null(strstr(text, "iptables -I FORWARD -i virbr3 -j ACCEPT"));
	assert_false(gateway_find_drop_in(docker, "input", "virbr3", text, sizeof(text)));
	assert_false(gateway_find_drop_in(docker, "postrouting", "virbr3", text, sizeof(text)));
	assert_true(gateway_find_drop_in(others, "input", "virbr3", text, sizeof(text)));
	assert_non_null(strstr(text, "firewall-cmd --zone=trusted --add-interface=virbr3"));
	assert_true(gateway_find_drop_in(others, "forward", "virbr3", text, sizeof(text)));
	assert_non_null(strstr(text, "nft insert rule inet own fwd iifname virbr3 accept"));
	assert_false(gateway_find_drop_in("", "forward", "virbr3", text, sizeof(text)));
	assert_false(gateway_find_drop_in("table", "forward", "virbr3", text, sizeof(text)));
}

static void test_counted_names(void **state)
{
	struct gateway_config *c = isolated_config();
	struct error error;

	(void)state;
	PUT(c->ifname, "vmmd%d");
	assert_int_equal(gateway_config_validate(c, &error), 0);
	PUT(c->ifname, "vmmd%d%d");
	assert_true(gateway_config_validate(c, &error) < 0);
	free(c);
}

#define PARSE(text) gateway_leases_parse(text, strlen(text), leases, ARRAY_SIZE(leases))

static void test_leases(void **state)
{
	static const char text[] =
		"1714000000 52:54:00:11:22:33 192.168.122.10 web 01:52:54:00:11:22:33\n"
		"0 52:54:00:11:22:34 192.168.122.11 * *\n"
		"duid 00:01:00:01:2d:aa\n"
		"1714000001 T1122867 fd00::10 six 00:01:00:01:2d:bb\n";
	struct gateway_lease leases[4];

	(void)state;
	assert_int_equal(PARSE(text), 3);
	assert_int_equal(leases[0].expiry_s, 1714000000);
	assert_true(leases[0].has_mac && leases[0].mac[5] == 0x33);
	assert_int_equal(leases[0].ip.bytes[3], 10);
	assert_string_equal(leases[0].hostname, "web");
	assert_string_equal(leases[0].client_id, "01:52:54:00:11:22:33");
	assert_int_equal(leases[1].expiry_s, 0);
	assert_string_equal(leases[1].hostname, "");
	assert_string_equal(leases[1].client_id, "");
	assert_int_equal(leases[2].ip.family, 6);
	assert_false(leases[2].has_mac);
	assert_string_equal(leases[2].iaid, "T1122867");
	/* No more than there is room for. */
	assert_int_equal(gateway_leases_parse(text, strlen(text), leases, 2), 2);
}

static void test_hostile_leases(void **state)
{
	static const char *const bad[] = {
		"",
		"\n\n\n",
		"1 52:54:00:11:22:33 192.168.122.10 web",
		"1 52:54:00:11:22:33 192.168.122.10 web 01",        /* half a line */
		"1 52:54:00:11:22:33 192.168.122.10 web 01 more\n", /* a field too many */
		"x 52:54:00:11:22:33 192.168.122.10 web 01\n",
		"-1 52:54:00:11:22:33 192.168.122.10 web 01\n",
		"99999999999999999999 52:54:00:11:22:33 192.168.122.10 web 01\n",
		"1 52:54:00:11:22 192.168.122.10 web 01\n",
		"1 52:54:00:11:22:33 192.168.122.300 web 01\n",
		"1 52:54:00:11:22:33 192.168.122.10 w\033[2Jb 01\n",
		"1 52:54:00:11:22:33 192.168.122.10 w\xc3\xa4 01\n",
		"1 1234567890123456789012345 fd00::1 web 01\n",
	};
	char longer[2048], zero[] = "1 52:54:00:11:22:33 192.168.122.10 w\0b 01\n";
	struct gateway_lease leases[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (PARSE(bad[i]) != 0)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(gateway_leases_parse(zero, sizeof(zero) - 1, leases, 4), 0);
	/* A name that is too long takes its line with it, and no other. */
	(void)snprintf(longer, sizeof(longer),
		"1 52:54:00:11:22:33 192.168.122.10 %0999d 01\n"
		"1 52:54:00:11:22:34 192.168.122.11 ok 01\n",
		1);
	assert_int_equal(PARSE(longer), 1);
	assert_string_equal(leases[0].hostname, "ok");
}

/* A gateway as far as its leases go, and dnsmasq's hand at the file. */
struct leases {
	struct gateway g;
	unsigned n_writes;
	char heard[256];
};

static void on_lease(void *opaque, const struct gateway_lease *lease, bool gone)
{
	struct leases *l = opaque;
	size_t len = strlen(l->heard);

	(void)snprintf(l->heard + len, sizeof(l->heard) - len, "%c%u ", gone ? '-' : '+',
		lease->ip.bytes[3]);
}

static const struct gateway_ops lease_ops = {.lease = on_lease};

static void leases_open(struct leases *l, char *dir)
{
	*l = (struct leases){.g = {.ops = &lease_ops, .opaque = l}};
	assert_non_null(mkdtemp(dir));
	PUT(l->g.state_path, dir);
	l->g.state_fd = open(dir, O_DIRECTORY | O_CLOEXEC);
	assert_true(l->g.state_fd >= 0);
	l->g.config = fixture_config(GATEWAY_NAT, "virbr0");
	assert_int_equal(sd_event_new(&l->g.event), 0);
	assert_int_equal(gateway_leases_watch(&l->g), 0);
}

static void leases_close(struct leases *l)
{
	gateway_leases_done(&l->g);
	assert_int_equal(gateway_remove_leases(l->g.state_fd, l->g.config->uuid), 0);
	assert_int_equal(rmdir(l->g.state_path), 0);
	(void)safe_close(l->g.state_fd);
	free(l->g.config);
	(void)sd_event_unref(l->g.event);
}

/* Each character of 'which' is a lease: its address ends in it. */
static void leases_write(struct leases *l, const char *which)
{
	char name[64];
	int fd;

	gateway_lease_name(l->g.config->uuid, name, sizeof(name));
	fd = openat(l->g.state_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	for (const char *p = which; *p; p++)
		assert_true(dprintf(fd, "0 52:54:00:11:22:%02x 192.168.122.%d * *\n", *p, *p) > 0);
	(void)safe_close(fd);
	l->n_writes++;
}

static void leases_hear(struct leases *l, const char *which, const char *want)
{
	l->heard[0] = 0;
	leases_write(l, which);
	for (unsigned i = 0; i < 100 && !l->heard[0]; i++)
		assert_true(sd_event_run(l->g.event, 100000) >= 0);
	assert_string_equal(l->heard, want);
}

/* What is told is the difference, whatever the order. */
static void test_leases_told(void **state)
{
	char dir[] = "/tmp/vmmd-leases-XXXXXX";
	struct leases l;

	(void)state;
	leases_open(&l, dir);
	leases_hear(&l, "\1\2\3", "+1 +2 +3 ");
	leases_hear(&l, "\4\1\3", "-2 +4 ");
	leases_hear(&l, "\3\4\5\1", "+5 ");
	leases_hear(&l, "", "-3 -4 -5 -1 ");
	leases_hear(&l, "\5", "+5 ");
	leases_close(&l);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct leases *l = userdata;

	(void)usec;
	leases_write(l, "\1");
	return sd_event_source_set_time_relative(source, 10000);
}

/* A guest that has them written all the time keeps nobody from hearing of them. */
static void test_leases_never_settle(void **state)
{
	char dir[] = "/tmp/vmmd-leases-XXXXXX";
	sd_event_source *tick = NULL;
	struct leases l;

	(void)state;
	leases_open(&l, dir);
	assert_int_equal(
		sd_event_add_time_relative(l.g.event, &tick, CLOCK_MONOTONIC, 0, 1, on_tick, &l),
		0);
	assert_int_equal(sd_event_source_set_enabled(tick, SD_EVENT_ON), 0);
	while (!l.heard[0] && l.n_writes < 500)
		assert_true(sd_event_run(l.g.event, UINT64_MAX) >= 0);
	assert_string_equal(l.heard, "+1 ");
	(void)sd_event_source_disable_unref(tick);
	leases_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_ways),
		cmocka_unit_test(test_table_names),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_counted_names),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_hostile_leases),
		cmocka_unit_test(test_leases_told),
		cmocka_unit_test(test_leases_never_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
