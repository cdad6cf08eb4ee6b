/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Documents (domains' and networks' XML) compared with what is defined and what runs: what would change, when each difference
 * takes effect, and what is refused. A plan changes nothing; apply.h carries one out.
 *
 * A document means the domain or network with its UUID and name; without a UUID, the one with its name, or a new one. What becomes of each:
 *
 *	create	it is new
 *	change	its definition is another, or what runs is another in something that can be changed while it runs
 *	same	nothing
 *	refuse	it is not valid, its name or UUID is another's, or another document is about the same
 *
 * and, with PLAN_PRUNE, of what is defined but in no document (of the kinds that the documents have: who gives only domains means no
 * network):
 *
 *	delete	it is inactive
 *	keep	it is active: it is left as it is
 *
 * When a difference takes effect:
 *
 *	now		of what is inactive; or of an interface of a running domain (its being there, its link, its bandwidth), or of a
 *			running network what net-update could change (DHCP, names, portgroups, port forwards)
 *	next boot	of what runs: when it is started the next time
 *	pending		no difference to the definition: what runs is older, and follows at its next boot
 *
 * plan_new() makes a plan in one turn of the loop: about as long as reading the documents at the daemon's start. plan-soon.h takes turns.
 *
 * A plan belongs to the turn of the loop that it was made in: it has pointers to domains and networks.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-apply.c.
 */
#pragma once

#include <json-c/json.h>

#include "config/xml-diff.h"
#include "daemon/digest.h"
#include "daemon/manager.h"
#include "daemon/network.h"

#define PLAN_MAX_DOCUMENTS 4096
#define PLAN_MAX_BYTES     (16 * 1024 * 1024) /* of all documents */
#define PLAN_MAX_CHANGES   16384              /* differences of all of them */

#define PLAN_STRICT (1U << 0) /* unknown elements are errors */
#define PLAN_PRUNE  (1U << 1)

struct plan_document {
	const char *xml, *source; /* 'source' names it in errors: a file's name */
};

enum plan_action {
	PLAN_SAME,
	PLAN_CREATE,
	PLAN_CHANGE,
	PLAN_DELETE,
	PLAN_KEEP,
	PLAN_REFUSE,
	PLAN_ACTION_X_MAX
};
enum plan_when { PLAN_NOW, PLAN_NEXT_BOOT, PLAN_PENDING, PLAN_WHEN_X_MAX };

/* What is done to what runs. */
enum plan_live { PLAN_NOTHING_LIVE, PLAN_DETACH, PLAN_ATTACH, PLAN_PORT, PLAN_NETWORK };

/* What came of it. */
enum plan_outcome {
	PLAN_PLANNED,
	PLAN_DONE,
	PLAN_FAILED,
	PLAN_ASKED, /* the guest was asked to release the device, and has not yet */
	PLAN_OUTCOME_X_MAX
};

struct plan_change {
	char *path, *old, *new; /* as in xml-diff.h */
	char *xml;              /* of an element that comes or goes */
	enum plan_when when;
	enum plan_live live;
	enum plan_outcome outcome;
	char *reason; /* of a failure; NULL */
};

struct plan_item {
	bool is_network;
	enum plan_action action;
	enum plan_outcome outcome;
	uint8_t uuid[16];
	char *name;         /* "": not known */
	char *source;       /* "": it is in no document */
	char *reason;       /* of refuse and keep; NULL */
	bool writes;        /* its definition changes */
	bool is_made;       /* apply.c's: 'domain' or 'network' was made for it */
	struct digest seen; /* plan.c's: what it was compared with */
	size_t n_changes;
	struct plan_change *changes;
	/* What it is, if it is there, and what it will be. */
	struct domain *domain;
	struct definition *definition;
	struct network *network;
	struct network_config *config;
	char *xml; /* of the network */
};

struct plan {
	size_t n_items, n_changes;
	size_t n_refused;
	const struct plan_item *refused; /* the first one */
	struct plan_item *items;
};

/* 0 with a plan, which may refuse some or all; or a negative errno with 'error' set: over a limit, no memory. */
int plan_new(struct manager *manager, const struct plan_document *documents, size_t n,
	unsigned flags, struct plan **ret_plan, struct error *error);
/* The same in steps, for plan-soon.c: 'documents' must stay. A step reads one document: 1, 0 when all are read, or -errno. The end, when all are
 * read, looks whether what they were compared with is still the same, and reads again those for which it is not; plan_refresh() does that for 'max'
 * of them, so that few are left for the end: 1, 0 when it found fewer, or -errno (ERROR_RESOURCE_BUSY: things change faster than they are read). */
struct plan_work;
int plan_begin(struct manager *manager, const struct plan_document *documents, size_t n,
	unsigned flags, struct plan_work **ret_work, struct error *error);
int plan_step(struct plan_work *work, struct error *error);
int plan_refresh(struct plan_work *work, unsigned max, struct error *error);
int plan_end(struct plan_work *work, struct plan **ret_plan, struct error *error);
struct plan_work *plan_work_free(struct plan_work *work);
DEFINE_CLEANUP(struct plan_work *, plan_work_free);

struct plan *plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan *, plan_free);

/* Some definition would change. */
bool plan_writes(const struct plan *plan);

/* An array with an object for each difference, and for each document without one (docs/api.md). */
struct json_object *plan_to_json(const struct plan *plan);
/* Two plans that would do the same have the same digest. */
void plan_digest(const struct plan *plan, char ret[DIGEST_TEXT_SIZE]);

/* For plan-diff.c: what differs between the definition 'old' (NULL: none), what runs (NULL: nothing) and 'new'; 'can_change': what
 * runs can be changed now. Sets action, writes and changes of 'item'. 0, -ENOMEM, -EBADMSG. */
int plan_compare(struct plan_item *item, const char *old, const char *running, const char *new,
	bool can_change);
