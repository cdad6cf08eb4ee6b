/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose a domain is: see owner.h. */
#include "daemon/owner.h"

#include <pwd.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

#define PASSWD_BUFFER 16384

void owner_set(struct domain_owner *owner, const char *user)
{
	struct passwd entry, *found = NULL;
	char buffer[PASSWD_BUFFER];
	uint64_t uid;

	*owner = (struct domain_owner){0};
	(void)str_copy(owner->user, sizeof(owner->user), user);
	if (!*owner->user)
		return;
	if (parse_u64(owner->user, UINT32_MAX - 1, &uid) == 0) {
		owner->uid = (uid_t)uid;
		owner->uid_known = true;
	} else if (getpwnam_r(owner->user, &entry, buffer, sizeof(buffer), &found) == 0 && found) {
		owner->uid = found->pw_uid;
		owner->uid_known = true;
	}
}

bool owner_is(const struct domain_owner *owner, const struct user *user)
{
	if (!*owner->user)
		return false;
	return (owner->uid_known && user->uid_known && owner->uid == user->uid) ||
		streq(owner->user, user->name);
}
