/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* THE table of roles: see role.h. */
#include "daemon/role.h"

#include <errno.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"

static const struct {
	const char *name, *action, *group;
} roles[API_ROLE_X_MAX] = {
	[API_ROLE_NONE] = {"none", NULL, NULL},
	[API_ROLE_READER] = {"reader", "org.vmmd1.read", "vmmd-readers"},
	[API_ROLE_OPERATOR] = {"operator", "org.vmmd1.operate", "vmmd-operators"},
	[API_ROLE_ADMINISTRATOR] = {"administrator", "org.vmmd1.manage", "vmmd"},
};

const char *api_role_name(enum api_role role)
{
	assert(role > API_ROLE_ASK && role < API_ROLE_X_MAX);
	return roles[role].name;
}

int api_role_parse(const char *name, enum api_role *ret_role)
{
	for (enum api_role role = API_ROLE_NONE; role < API_ROLE_X_MAX; role++) {
		if (!streq(roles[role].name, name))
			continue;
		*ret_role = role;
		return 0;
	}
	return -EINVAL;
}

const char *api_role_action(enum api_role role)
{
	assert(role > API_ROLE_ASK && role < API_ROLE_X_MAX);
	return roles[role].action;
}

const char *api_role_group(enum api_role role)
{
	assert(role > API_ROLE_ASK && role < API_ROLE_X_MAX);
	return roles[role].group;
}
