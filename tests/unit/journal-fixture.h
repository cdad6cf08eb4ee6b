/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A journald of the test's own: a datagram socket, and the fields of the last record that came. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/journal.h"

struct journald {
	int fd;
	struct sockaddr_un address;
	char record[JOURNAL_MAX_RECORD + 1];
};

static inline void journald_open(struct journald *j, const char *dir)
{
	*j = (struct journald){.address = {.sun_family = AF_UNIX}};
	snprintf(j->address.sun_path, sizeof(j->address.sun_path), "%s/journal", dir);
	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(j->fd, (struct sockaddr *)&j->address, sizeof(j->address)), 0);
	journal_open(j->address.sun_path);
}

static inline void journald_close(struct journald *j)
{
	journal_close();
	close(j->fd);
	unlink(j->address.sun_path);
}

/* Take the next record: false if there is none. */
static inline bool journald_take(struct journald *j)
{
	ssize_t n = recv(j->fd, j->record, sizeof(j->record) - 1, 0);

	j->record[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* The value of a field of the record; NULL: it has none. Good until the next call but three. */
static inline const char *journald_field(const struct journald *j, const char *name)
{
	static char values[4][2100];
	static unsigned turn;
	char *value = values[turn++ % 4];
	size_t len = strlen(name);

	for (const char *p = j->record; *p; p = strchr(p, '\n') + 1) {
		if (strncmp(p, name, len) != 0 || p[len] != '=')
			continue;
		snprintf(value, sizeof(values[0]), "%.*s", (int)strcspn(p + len + 1, "\n"),
			p + len + 1);
		return value;
	}
	return NULL;
}
