/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Are the definitions where they belong? See doctor.h. Tested by tests/unit/test-manager-store.c. */
#include <string.h>

#include "daemon/doctor.h"
#include "daemon/manager-store.h"

static const char again[] =
	"Free space there, or look at the file (lsattr, modes) and at the disk. vmmd tries again.";

static unsigned check_stuck(struct doctor *d)
{
	unsigned n = 0;

	for (const struct store_stuck *s = d->manager->store->stuck; s; s = s->after) {
		struct stuck_text t;

		manager_stuck_text(d->manager, s, &t);
		doctor_say(d, DOCTOR_PROBLEM, t.name, again, "%s (%s)", t.text, t.file);
		n++;
	}
	return n;
}

void doctor_check_definitions(struct doctor *d)
{
	const struct store *store = d->manager->store;
	unsigned n = check_stuck(d);

	if (store->left_out) {
		doctor_say(d, DOCTOR_PROBLEM, store->left_out_name,
			"Compare the definitions, and move the file away; see the log.",
			"%s/%s is damaged or of a newer vmmd: definitions do not change",
			store->state_dir, store->left_out_name);
		n++;
	}
	if (store->journal.failure) {
		doctor_say(d, DOCTOR_PROBLEM, store->state_dir, again,
			"the files of definitions do not follow, what was defined is in the "
			"journal "
			"of %s%s: %s",
			store->state_dir, store_is_full(store) ? ", which is full" : "",
			strerror(-store->journal.failure));
		n++;
	}
	if (!n)
		doctor_say(
			d, DOCTOR_OK, store->state_dir, "", "all definitions are in their files");
}
