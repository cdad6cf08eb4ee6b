/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Roles: what a caller may do in general. Each has what the one before it has:
 *
 *	none		only what is open to everybody, and what an owner may do with domains of his own (auth.h)
 *	reader		look at everything
 *	operator	start, stop and reset domains, use their consoles: nothing that names or changes something of the host's
 *	administrator	all; a domain may use any file of the host's, so that this is as good as being root
 *
 * A method needs one (api.h). Who has which: on the system bus polkit says so, by an action for each role; on a unix socket the
 * groups of the caller do. One table has both.
 *
 * Tested by tests/unit/test-role.c.
 */
#pragma once

#include <stdbool.h>

enum api_role {
	API_ROLE_ASK, /* of a caller: the transport does not know it. Of a method: never */
	API_ROLE_NONE,
	API_ROLE_READER,
	API_ROLE_OPERATOR,
	API_ROLE_ADMINISTRATOR,
	API_ROLE_X_MAX
};

/* "none", "reader", "operator", "administrator" */
const char *api_role_name(enum api_role role);
/* One of these names: 0 with '*ret_role', or -EINVAL. */
int api_role_parse(const char *name, enum api_role *ret_role);
/* polkit's action for who has the role; NULL for API_ROLE_NONE. */
const char *api_role_action(enum api_role role);
/* The group of the host's whose members have the role; NULL for API_ROLE_NONE. */
const char *api_role_group(enum api_role role);
