/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is wrong with the store, as it is told: in the log and the journal, once for each thing, and to who changes a definition.
 *
 * Tested by tests/unit/test-manager-store.c, tests/unit/test-manager.c and tests/unit/test-apply.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/journal.h"
#include "daemon/manager-store.h"
#include "daemon/network.h"
#include "vmm-core/base/log.h"

/* Why the journal takes nothing. */
static const char *reason(const struct store *store)
{
	return store->left_out == -EPROTONOSUPPORT
		? "is of a newer vmmd, which was killed or cannot be read by this one. Start that "
		  "one "
		  "once more, or compare the definitions and move the file away"
		: "is damaged: definitions that changed last may be old. Compare them, and move "
		  "the "
		  "file away";
}

void manager_tell_left_out(const struct manager *m)
{
	char file[4096];

	(void)snprintf(file, sizeof(file), "%s/%s", m->store->state_dir, m->store->left_out_name);
	journal_write(JOURNAL_DEFINITION_LEFT_OUT, &(struct journal_field){"VMMD_FILE", file}, 1,
		"%s is left out, and kept as it is: it %s. Until then definitions do not change",
		file, reason(m->store));
}

int manager_fail_change(struct manager *m, int r, struct error *error, const char *what)
{
	if (m->store->left_out && r == m->store->left_out)
		return error_set(error, ERROR_OPERATION_FAILED, "%s: %s/%s %s", what,
			m->store->state_dir, m->store->left_out_name, reason(m->store));
	if (r == m->store->journal.failure && store_is_full(m->store))
		return error_set(error, ERROR_OPERATION_FAILED,
			"%s: the journal of %s is full, as the files of definitions cannot be "
			"written: %s",
			what, m->store->state_dir, strerror(-r));
	if (r == -EFBIG)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"the definitions are more than %u bytes together; give fewer at once",
			CHANGESET_MAX_BYTES);
	return error_set_errno(error, r, "%s", what);
}

void manager_stuck_text(
	const struct manager *m, const struct store_stuck *s, struct stuck_text *ret)
{
	const bool is_network = s->kind == CHANGESET_NETWORKS;
	const struct network *n = is_network ? network_find_uuid(m, s->uuid) : NULL;
	const struct domain *d = is_network ? NULL : manager_find_uuid(m, s->uuid);
	const char *name = n ? n->name : d ? d->name : NULL;

	uuid_format(s->uuid, ret->uuid);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name ? name : ret->uuid);
	(void)snprintf(ret->file, sizeof(ret->file), "%s/%s/%s.xml", m->store->state_dir,
		is_network ? "networks" : "domains", ret->uuid);
	(void)snprintf(ret->text, sizeof(ret->text),
		"the definition of %s'%s' is safe in the journal of %s, but its file cannot be "
		"written: %s",
		is_network ? "network " : "", ret->name, m->store->state_dir, strerror(-s->why));
}

static void tell_one(struct manager *m, const struct store_stuck *s)
{
	struct stuck_text t;
	const bool is_network = s->kind == CHANGESET_NETWORKS;
	const struct journal_field fields[] = {
		{is_network ? "VMMD_NETWORK" : "VMMD_DOMAIN", t.name},
		{is_network ? "VMMD_NETWORK_UUID" : "VMMD_DOMAIN_UUID", t.uuid},
		{"VMMD_FILE", t.file},
	};

	manager_stuck_text(m, s, &t);
	journal_write(JOURNAL_DEFINITION_STUCK, fields, ARRAY_SIZE(fields),
		"%s. It is tried again; vmctl doctor knows more", t.text);
}

/* A disk that is full may be so for all of them. */
#define MAX_TOLD 16

static void tell_failure(struct manager *m)
{
	const int failure = m->store->journal.failure;

	if (failure == m->told_failure)
		return;
	m->told_failure = failure;
	if (failure)
		(void)log_error_errno(failure,
			"the files of definitions do not follow; they are safe in the journal of "
			"%s, which takes no more when it is full: %m",
			m->store->state_dir);
	else
		log_notice("the files of definitions follow again");
}

void manager_tell_stuck(struct manager *m)
{
	unsigned n = 0, n_told = 0;

	tell_failure(m);
	for (const struct store_stuck *s = m->store->stuck; s; s = s->after)
		n_told += s->is_told;
	for (struct store_stuck *s = m->store->stuck; s; s = s->after) {
		if (s->is_told || s->is_tried)
			continue;
		s->is_told = true;
		if (n_told + n++ < MAX_TOLD)
			tell_one(m, s);
		else if (n_told + n == MAX_TOLD + 1)
			log_error("more definitions are stuck in the journal of %s: see vmctl "
				  "doctor",
				m->store->state_dir);
	}
	if (m->any_stuck && !m->store->stuck)
		log_notice("the files of all definitions are written");
	m->any_stuck = m->store->stuck;
}
