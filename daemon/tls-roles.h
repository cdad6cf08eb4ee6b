/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map from certificates to what their holders may do: a text of lines, each empty, a comment (#), or
 *
 *	NAME = ROLE [USER]
 *
 * NAME is cn:…, dns:… or uri:… and exactly one of a certificate's names, the case of letters included: the common name of its subject, or
 * a dNSName or uniformResourceIdentifier of its subjectAltName. It may hold blanks and '=', for the line's last '=' is the one that
 * counts. ROLE is none, reader, operator or administrator; USER, by which domains' owners are compared (owner.h), a user's name.
 *
 * One line that is wrong makes the whole map wrong, and so do two of the same name: nobody gets less than a part of it would say, or more.
 *
 * Tested by tests/unit/test-tls-roles.c, fuzzed by tests/fuzz/fuzz-tls-roles.c.
 */
#pragma once

#include "daemon/owner.h"
#include "daemon/role.h"
#include "vmm-core/base/cleanup.h"

#define TLS_ROLES_MAX   1024
#define TLS_ROLES_BYTES (512U * 1024)
#define TLS_WHY_MAX     512

struct tls_role {
	char name[CERTIFICATE_NAME_MAX];
	enum api_role role;
	char user[DOMAIN_OWNER_MAX]; /* "": none */
	unsigned line;
};

struct tls_roles {
	unsigned n, size;
	struct tls_role *rows; /* by name */
};

/* 0 with '*ret_roles', -EINVAL with 'why' ("line 3: …"), or -ENOMEM with 'why'. */
int tls_roles_parse(
	const char *text, size_t len, struct tls_roles **ret_roles, char why[TLS_WHY_MAX]);
struct tls_roles *tls_roles_free(struct tls_roles *roles);
DEFINE_CLEANUP(struct tls_roles *, tls_roles_free);

/* NULL: there is none of this name. */
const struct tls_role *tls_roles_find(const struct tls_roles *roles, const char *name);
/* Say the same of their holders? */
bool tls_role_same(const struct tls_role *a, const struct tls_role *b);
