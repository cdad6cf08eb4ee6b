/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases: what dnsmasq writes into its lease file, and who hears of it.
 *
 *	1714000000 52:54:00:11:22:33 192.168.122.10 name 01:52:54:00:11:22:33
 *	duid 00:01:00:01:…
 *	1714000000 1122867 fd00::10 name 00:01:00:01:…
 *
 * dnsmasq empties the file and writes it again in place; GATEWAY_LEASE_SETTLE_USEC after the last change it is whole. Guests
 * decide how often that is: GATEWAY_LEASE_LATEST_USEC after the first change it is read as it is.
 *
 * Tested by tests/unit/test-gateway.c.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>

#include "config/net-addr.h"
#include "daemon/gateway-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define GATEWAY_LEASE_SETTLE_USEC UINT64_C(50000)
#define GATEWAY_LEASE_LATEST_USEC UINT64_C(500000)
#define GATEWAY_LEASE_FIELDS      5
#define GATEWAY_LEASE_MAX_BYTES   (4 * 1024 * 1024)

/* The next field of the line [*p, end) into ret[size]: printable characters up to a blank. */
static int take_field(const char **p, const char *end, char *ret, size_t size)
{
	size_t n = 0;

	while (*p < end && **p == ' ')
		(*p)++;
	for (; *p < end && **p != ' '; (*p)++) {
		if (n + 1 >= size || **p < '!' || **p > '~')
			return -EINVAL;
		ret[n++] = **p;
	}
	ret[n] = 0;
	return n ? 0 : -EINVAL;
}

/* dnsmasq's "*" for what it does not know. */
static int put_optional(char *dst, size_t size, const char *src)
{
	return str_copy(dst, size, streq(src, "*") ? "" : src);
}

static int parse_line(const char *p, const char *end, struct gateway_lease *ret)
{
	char fields[GATEWAY_LEASE_FIELDS][GATEWAY_ID_MAX];
	struct gateway_lease l = {0};
	const char *mac = fields[1];

	for (unsigned i = 0; i < GATEWAY_LEASE_FIELDS; i++)
		if (take_field(&p, end, fields[i], sizeof(fields[i])) < 0)
			return -EINVAL;
	if (p != end || parse_u64(fields[0], INT64_MAX, &l.expiry_s) < 0 ||
		net_ip_parse(fields[2], &l.ip) < 0)
		return -EINVAL;
	if (l.ip.family == 4) {
		/* "06-52:54:…": the type of the hardware, when it is not Ethernet. */
		l.has_mac = net_mac_parse(mac, l.mac) == 0;
		if (!l.has_mac)
			return -EINVAL;
	} else if (str_copy(l.iaid, sizeof(l.iaid), fields[1]) < 0) {
		return -EINVAL;
	}
	if (put_optional(l.hostname, sizeof(l.hostname), fields[3]) < 0 ||
		put_optional(l.client_id, sizeof(l.client_id), fields[4]) < 0)
		return -EINVAL;
	*ret = l;
	return 0;
}

unsigned gateway_leases_parse(
	const char *text, size_t len, struct gateway_lease *ret_leases, unsigned max)
{
	const char *p = text, *end = text + len;
	unsigned n = 0;

	while (p < end && n < max) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));

		/* A line without its end is half of one. */
		if (!eol)
			break;
		if (parse_line(p, eol, &ret_leases[n]) == 0)
			n++;
		p = eol + 1;
	}
	return n;
}

void gateway_lease_name(const uint8_t uuid[16], char *ret_name, size_t size)
{
	char text[UUID_STRING_LEN + 1];

	uuid_format(uuid, text);
	(void)snprintf(ret_name, size, "%s.leases", text);
}

int gateway_remove_leases(int state_fd, const uint8_t uuid[16])
{
	char name[UUID_STRING_LEN + 16];

	gateway_lease_name(uuid, name, sizeof(name));
	return unlinkat(state_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static bool same_owner(const struct gateway_lease *a, const struct gateway_lease *b)
{
	return memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 && streq(a->iaid, b->iaid) &&
		streq(a->hostname, b->hostname) && streq(a->client_id, b->client_id);
}

/* The order hardly changes: the next one is most often where *at, the end of the last one found, says. */
static const struct gateway_lease *find(
	const struct gateway_lease *leases, unsigned n, const struct net_ip *ip, unsigned *at)
{
	for (unsigned i = 0; i < n; i++) {
		const struct gateway_lease *l = &leases[(*at + i) % n];

		if (l->ip.family != ip->family || net_ip_compare(&l->ip, ip) != 0)
			continue;
		*at = (unsigned)(l - leases) + 1;
		return l;
	}
	return NULL;
}

static int read_leases(const struct gateway *g, struct gateway_lease **ret, unsigned *ret_n)
{
	_cleanup_(freep) char *text = NULL;
	struct gateway_lease *leases, *less;
	char name[UUID_STRING_LEN + 16];
	size_t len;
	int r;

	gateway_lease_name(g->config->uuid, name, sizeof(name));
	r = read_file(g->state_fd, name, GATEWAY_LEASE_MAX_BYTES, &text, &len);
	if (r < 0)
		return r;
	leases = calloc(GATEWAY_MAX_LEASES, sizeof(*leases));
	if (!leases)
		return -ENOMEM;
	*ret_n = gateway_leases_parse(text, len, leases, GATEWAY_MAX_LEASES);
	less = realloc(leases, MAX(*ret_n, 1U) * sizeof(*leases));
	*ret = less ? less : leases;
	return 0;
}

/* Tell what differs. The gateway may be freed while it is told: what it is told from is ours. */
static void tell(const struct gateway_ops *ops, void *opaque, const struct gateway_lease *old,
	unsigned n_old, const struct gateway_lease *now, unsigned n_now, const bool *alive)
{
	unsigned at_old = 0, at_now = 0;

	for (unsigned i = 0; i < n_old && *alive; i++)
		if (!find(now, n_now, &old[i].ip, &at_now))
			ops->lease(opaque, &old[i], true);
	for (unsigned i = 0; i < n_now && *alive; i++) {
		const struct gateway_lease *before = find(old, n_old, &now[i].ip, &at_old);

		if (!before || !same_owner(before, &now[i]))
			ops->lease(opaque, &now[i], false);
	}
}

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(freep) struct gateway_lease *old = NULL, *copy = NULL;
	struct gateway *g = userdata;
	unsigned n_old = g->n_leases, n = 0;
	struct gateway_lease *now = NULL;
	bool alive = true;
	int r;

	(void)source;
	(void)usec;
	g->lease_timer = sd_event_source_disable_unref(g->lease_timer);
	r = read_leases(g, &now, &n);
	if (r < 0) {
		(void)log_warning_errno(
			r, "network '%s': cannot read its leases: %m", g->config->name);
		return 0;
	}
	old = g->leases;
	g->leases = now;
	g->n_leases = n;
	copy = malloc(MAX(n, 1U) * sizeof(*copy));
	if (!copy || !g->ops->lease)
		return 0;
	memcpy(copy, now, n * sizeof(*copy));
	g->alive = &alive;
	tell(g->ops, g->opaque, old, n_old, copy, n, &alive);
	if (alive)
		g->alive = NULL;
	return 0;
}

static int on_change(sd_event_source *source, const struct inotify_event *change, void *userdata)
{
	struct gateway *g = userdata;
	uint64_t now_usec = 0, set_usec = 0, usec;

	(void)source;
	(void)change;
	(void)sd_event_now(g->event, CLOCK_MONOTONIC, &now_usec);
	if (!g->lease_timer)
		g->lease_latest_usec = now_usec + GATEWAY_LEASE_LATEST_USEC;
	usec = MIN(now_usec + GATEWAY_LEASE_SETTLE_USEC, g->lease_latest_usec);
	if (!g->lease_timer)
		return sd_event_add_time(
			g->event, &g->lease_timer, CLOCK_MONOTONIC, usec, 0, on_settled, g);
	/* Set again, it would no longer be due. */
	(void)sd_event_source_get_time(g->lease_timer, &set_usec);
	return usec == set_usec ? 0 : sd_event_source_set_time(g->lease_timer, usec);
}

int gateway_leases_watch(struct gateway *g)
{
	_cleanup_(closep) int fd = -EBADF;
	char name[UUID_STRING_LEN + 16], path[sizeof(g->state_path) + sizeof(name) + 1];
	int r;

	gateway_lease_name(g->config->uuid, name, sizeof(name));
	/* dnsmasq opens it as root, and keeps it open. */
	fd = openat(g->state_fd, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/%s", g->state_path, name);
	r = sd_event_add_inotify(
		g->event, &g->lease_watch, path, IN_MODIFY | IN_CLOSE_WRITE, on_change, g);
	if (r < 0)
		return r;
	/* What is there already is known, and no news. */
	r = read_leases(g, &g->leases, &g->n_leases);
	return r < 0 ? r : 0;
}

void gateway_leases_done(struct gateway *g)
{
	g->lease_watch = sd_event_source_disable_unref(g->lease_watch);
	g->lease_timer = sd_event_source_disable_unref(g->lease_timer);
	free(g->leases);
	g->leases = NULL;
	g->n_leases = 0;
	if (g->alive)
		*g->alive = false;
}
