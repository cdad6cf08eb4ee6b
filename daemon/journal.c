/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records for the journal: see journal.h. */
#include "daemon/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/domain.h"
#include "daemon/error.h"
#include "daemon/network.h"
#include "vmm-core/base/strutil.h"

/* The log belongs to the process, as log.c's does. */
static struct {
	int fd;
	struct sockaddr_un address;
} journal = {.fd = -1};

static const struct {
	const char *id;
	int level;
} kinds[JOURNAL_KIND_X_MAX] = {
	[JOURNAL_AUDIT] = {"c5c867ddcb2644ee915fc09de61fed00", LOG_NOTICE},
	[JOURNAL_DOMAIN_STARTED] = {"84fcf6f5c3af4ddfa9a66a3999f05556", LOG_INFO},
	[JOURNAL_DOMAIN_START_FAILED] = {"9f3ff42b9f484100ad351fc88bb13290", LOG_WARNING},
	[JOURNAL_DOMAIN_STOPPED] = {"e609af3e22214fa683ca89cdf714c84a", LOG_INFO},
	[JOURNAL_DOMAIN_CRASHED] = {"82fa887d3520430d91a4f33a63d79642", LOG_WARNING},
	[JOURNAL_DOMAIN_OUT_OF_MEMORY] = {"ad57854be0064bb595f974060852eb41", LOG_WARNING},
	[JOURNAL_DOMAIN_FOUND] = {"f707387ecace4319ad1ffd5ea72c02e2", LOG_INFO},
	[JOURNAL_DOMAIN_SILENT] = {"22250a2725ff474cb8d87e5bb7b09dfd", LOG_WARNING},
	[JOURNAL_NETWORK_STARTED] = {"c258c50d5f9e4d28b1e759ae69873f45", LOG_INFO},
	[JOURNAL_NETWORK_START_FAILED] = {"6d525c25fed44f1b872d3c3ab4c272ee", LOG_WARNING},
	[JOURNAL_NETWORK_STOPPED] = {"f8d3a7f7555e4344b994e0fd729a65de", LOG_INFO},
	[JOURNAL_NETWORK_LOST_WORKER] = {"667c5194a47b4467951a0109b1bcf9e0", LOG_WARNING},
	[JOURNAL_NETWORK_FOUND] = {"cba1690f9db14cd3abdf9ee60a5f872b", LOG_INFO},
	[JOURNAL_FAILOVER] = {"e1887d5bb5e3454ebab0dc46494db94c", LOG_NOTICE},
	[JOURNAL_MEMORY_POLICY] = {"457d4b9062da4f56b61ffad1fb1e59f3", LOG_NOTICE},
	[JOURNAL_MEMORY_MOVED] = {"5b1a9c20845641a5934fc7f9de20d1ba", LOG_INFO},
	[JOURNAL_DEFINITION_LEFT_OUT] = {"e2aa333fdf3f4089b2ea703e455e5afa", LOG_ERR},
	[JOURNAL_DEFINITION_STUCK] = {"dc2c2ebacdb542029b67f192cc9b25bc", LOG_ERR},
	[JOURNAL_TLS_REFUSED] = {"439ff431e0a84981bc92b9222067abd5", LOG_NOTICE},
};

const char *journal_message_id(enum journal_kind kind)
{
	assert(kind < JOURNAL_KIND_X_MAX);
	return kinds[kind].id;
}

void journal_close(void)
{
	if (journal.fd >= 0)
		(void)close(journal.fd);
	journal.fd = -1;
}

void journal_open(const char *socket_path)
{
	journal_close();
	journal.address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!socket_path ||
		str_copy(journal.address.sun_path, sizeof(journal.address.sun_path), socket_path) <
			0)
		return;
	journal.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A record, one NAME=value a line. */
struct record {
	char data[JOURNAL_MAX_RECORD];
	size_t len;
};

/* Whole, or not at all. A value is one line. */
static void add(struct record *r, const char *name, const char *value)
{
	size_t room = sizeof(r->data) - r->len;
	int n = snprintf(r->data + r->len, room, "%s=%s", name, value);

	if (n < 0 || (size_t)n + 1 >= room)
		return;
	text_clean(r->data + r->len);
	r->len += (size_t)n;
	r->data[r->len++] = '\n';
}

static int send_record(enum journal_kind kind, const struct journal_field *fields,
	unsigned n_fields, const char *text)
{
	struct record r = {.len = 0};
	char priority[2] = {(char)('0' + kinds[kind].level)};

	if (journal.fd < 0)
		return -ENOTCONN;
	add(&r, "MESSAGE", text);
	add(&r, "MESSAGE_ID", kinds[kind].id);
	add(&r, "PRIORITY", priority);
	add(&r, "SYSLOG_IDENTIFIER", "vmmd");
	for (unsigned i = 0; i < n_fields; i++)
		if (fields[i].value && *fields[i].value)
			add(&r, fields[i].name, fields[i].value);
	if (sendto(journal.fd, r.data, r.len, MSG_NOSIGNAL | MSG_DONTWAIT,
		    (const struct sockaddr *)&journal.address, sizeof(journal.address)) < 0)
		return -errno;
	return 0;
}

static void write_v(enum journal_kind kind, const struct journal_field *fields, unsigned n_fields,
	const char *format, va_list ap)
{
	char text[2048];

	assert(kind < JOURNAL_KIND_X_MAX);
	if (kind != JOURNAL_AUDIT && kinds[kind].level > log_max_level())
		return;
	(void)vsnprintf(text, sizeof(text), format, ap);
	if (send_record(kind, fields, n_fields, text) < 0)
		(void)log_full(kinds[kind].level, 0, "%s", text);
}

void journal_write(enum journal_kind kind, const struct journal_field *fields, unsigned n_fields,
	const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	write_v(kind, fields, n_fields, format, ap);
	va_end(ap);
}

void journal_domain(enum journal_kind kind, const struct domain *d, const char *format, ...)
{
	char uuid[UUID_STRING_LEN + 1];
	const struct journal_field fields[] = {
		{"VMMD_DOMAIN", d->name}, {"VMMD_DOMAIN_UUID", uuid}};
	va_list ap;

	uuid_format(d->uuid, uuid);
	va_start(ap, format);
	write_v(kind, fields, ARRAY_SIZE(fields), format, ap);
	va_end(ap);
}

void journal_network(enum journal_kind kind, const struct network *n, const char *format, ...)
{
	char uuid[UUID_STRING_LEN + 1];
	const struct journal_field fields[] = {
		{"VMMD_NETWORK", n->name}, {"VMMD_NETWORK_UUID", uuid}};
	va_list ap;

	uuid_format(n->uuid, uuid);
	va_start(ap, format);
	write_v(kind, fields, ARRAY_SIZE(fields), format, ap);
	va_end(ap);
}
