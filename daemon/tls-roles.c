/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates and roles: see tls-roles.h. */
#include "daemon/tls-roles.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"

#define LINE_MAX_BYTES 1024
#define BLANKS         " \t"
#define USER_CHARS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-"

struct tls_roles *tls_roles_free(struct tls_roles *roles)
{
	if (!roles)
		return NULL;
	free(roles->rows);
	free(roles);
	return NULL;
}

/* Without the blanks at both ends, in place. */
static char *strip(char *s)
{
	size_t n;

	s += strspn(s, BLANKS);
	n = strlen(s);
	while (n && strchr(BLANKS, s[n - 1]))
		s[--n] = 0;
	return s;
}

static const char *take_name(struct tls_role *row, const char *name)
{
	static const char *const kinds[] = {"cn:", "dns:", "uri:"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i]);

		if (strncmp(name, kinds[i], n) != 0)
			continue;
		if (!name[n])
			return "the name is empty";
		return str_copy(row->name, sizeof(row->name), name) < 0 ? "the name is too long"
									: NULL;
	}
	return "a name begins with cn:, dns: or uri:";
}

static const char *take_right(struct tls_role *row, char *right)
{
	size_t n = strcspn(right, BLANKS);
	char *user = right + n;

	if (*user)
		*user++ = 0;
	user = strip(user);
	if (api_role_parse(right, &row->role) < 0)
		return "the role is none, reader, operator or administrator";
	if (!*user)
		return NULL;
	if (*user == '-' || user[strspn(user, USER_CHARS)])
		return "behind the role there is a user's name, and nothing else";
	return str_copy(row->user, sizeof(row->user), user) < 0 ? "the user's name is too long"
								: NULL;
}

/* One line, which is changed: 1 (a row), 0 (nothing in it), or -EINVAL. */
static int take_line(struct tls_role *row, char *line, const char **ret_why)
{
	char *equals;

	*ret_why = NULL;
	if (!str_is_clean_utf8(line)) {
		*ret_why = "it is not UTF-8, or has control characters";
		return -EINVAL;
	}
	line = strip(line);
	if (!*line || *line == '#')
		return 0;
	equals = strrchr(line, '=');
	if (!equals) {
		*ret_why = "it is not NAME = ROLE [USER]";
		return -EINVAL;
	}
	*equals = 0;
	*ret_why = take_name(row, strip(line));
	if (!*ret_why)
		*ret_why = take_right(row, strip(equals + 1));
	return *ret_why ? -EINVAL : 1;
}

static int add_row(struct tls_roles *roles, const struct tls_role *row, const char **ret_why)
{
	*ret_why = "there are too many lines";
	if (roles->n == TLS_ROLES_MAX)
		return -EINVAL;
	if (roles->n == roles->size) {
		unsigned size = roles->size ? 2 * roles->size : 16;
		struct tls_role *rows = realloc(roles->rows, size * sizeof(*rows));

		*ret_why = "out of memory";
		if (!rows)
			return -ENOMEM;
		roles->rows = rows;
		roles->size = size;
	}
	roles->rows[roles->n++] = *row;
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	const struct tls_role *ra = a, *rb = b;
	int r = strcmp(ra->name, rb->name);

	return r ? r : (int)ra->line - (int)rb->line;
}

static int find_twins(const struct tls_roles *roles, char why[TLS_WHY_MAX])
{
	for (unsigned i = 1; i < roles->n; i++) {
		const struct tls_role *a = &roles->rows[i - 1], *b = &roles->rows[i];

		if (!streq(a->name, b->name))
			continue;
		(void)snprintf(why, TLS_WHY_MAX, "line %u: '%s' is in line %u, too", b->line,
			b->name, a->line);
		return -EINVAL;
	}
	return 0;
}

/* Copies it, for it is changed. */
static int parse_line(struct tls_roles *roles, const char *text, size_t len, unsigned number,
	const char **ret_why)
{
	char line[LINE_MAX_BYTES];
	struct tls_role row = {.line = number};
	int r;

	*ret_why = "it is too long";
	if (len >= sizeof(line))
		return -EINVAL;
	memcpy(line, text, len);
	line[len] = 0;
	*ret_why = "it has a NUL byte";
	if (strlen(line) != len)
		return -EINVAL;
	r = take_line(&row, line, ret_why);
	return r > 0 ? add_row(roles, &row, ret_why) : r;
}

int tls_roles_parse(
	const char *text, size_t len, struct tls_roles **ret_roles, char why[TLS_WHY_MAX])
{
	_cleanup_(tls_roles_freep) struct tls_roles *roles = calloc(1, sizeof(*roles));
	unsigned number = 0;
	int r = 0;

	(void)snprintf(why, TLS_WHY_MAX, "out of memory");
	if (!roles)
		return -ENOMEM;
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at), *reason;
		size_t n = end ? (size_t)(end - text) - at : len - at;

		r = parse_line(roles, text + at, n, ++number, &reason);
		if (r < 0) {
			(void)snprintf(why, TLS_WHY_MAX, "line %u: %s", number, reason);
			return r;
		}
		at += n + 1;
	}
	if (roles->n)
		qsort(roles->rows, roles->n, sizeof(*roles->rows), compare_rows);
	r = find_twins(roles, why);
	if (r < 0)
		return r;
	*ret_roles = TAKE_PTR(roles);
	return 0;
}

static int compare_name(const void *key, const void *row)
{
	return strcmp(key, ((const struct tls_role *)row)->name);
}

const struct tls_role *tls_roles_find(const struct tls_roles *roles, const char *name)
{
	return roles->n ? bsearch(name, roles->rows, roles->n, sizeof(*roles->rows), compare_name)
			: NULL;
}

bool tls_role_same(const struct tls_role *a, const struct tls_role *b)
{
	return a->role == b->role && streq(a->user, b->user);
}
