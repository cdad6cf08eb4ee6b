/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Audit records: see api-audit.h. */
#include "daemon/api-audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "daemon/api.h"
#include "daemon/journal.h"
#include "daemon/network.h"
#include "vmm-core/base/strutil.h"

/* Whoever may do it could change something with it; but for what only looks. */
static bool leaves_record(const struct api_method *method)
{
	return method->role >= API_ROLE_OPERATOR && !method->only_looks;
}

static void note(struct api_audit *a, const char *name, const uint8_t uuid[16])
{
	(void)snprintf(a->object, sizeof(a->object), "%s", name);
	if (uuid)
		uuid_format(uuid, a->uuid);
}

void api_audit_begin(struct api_call *call)
{
	const char *key;

	if (!leaves_record(call->method))
		return;
	key = api_arg_string(call, "network");
	if (*key) {
		const struct network *n = network_find(call->manager, key, NULL);

		note(&call->audit, n ? n->name : key, n ? n->uuid : NULL);
		call->audit.is_claimed = !n;
		return;
	}
	key = api_arg_string(call, "domain");
	if (*key) {
		const struct domain *d = api_arg_domain(call, NULL);

		note(&call->audit, d ? d->name : key, d ? d->uuid : NULL);
		call->audit.is_claimed = !d;
	}
}

/* A caller's place; the one that was quiet for the longest time makes room. */
static struct audit_caller *find_caller(struct audit *audit, uid_t uid, const char *certificate)
{
	struct audit_caller *c, *oldest = audit->callers;

	FOREACH_ELEMENT (c, audit->callers) {
		if (c->n_denied && c->uid == uid && streq(c->certificate, certificate))
			return c;
		if (c->n_denied == 0 || c->since_usec < oldest->since_usec)
			oldest = c;
		if (c->n_denied == 0)
			break;
	}
	*oldest = (struct audit_caller){.uid = uid};
	(void)str_copy(oldest->certificate, sizeof(oldest->certificate), certificate);
	return oldest;
}

/* May there be one more record of a denial? '*ret_left_out' are those of this caller that had none. */
static bool has_room(const struct api_call *call, unsigned *ret_left_out)
{
	const struct user *user = &call->peer.user;
	struct audit_caller *c = find_caller(&call->manager->audit,
		user->uid_known ? user->uid : (uid_t)-1, call->peer.certificate);
	uint64_t now = 0;

	*ret_left_out = 0;
	(void)sd_event_now(call->manager->event, CLOCK_MONOTONIC, &now);
	if (c->n_denied == 0 || now - c->since_usec >= AUDIT_DENIED_USEC) {
		if (c->n_denied > AUDIT_DENIED_BURST)
			*ret_left_out = c->n_denied - AUDIT_DENIED_BURST;
		c->since_usec = now;
		c->n_denied = 0;
	}
	return ++c->n_denied <= AUDIT_DENIED_BURST;
}

/* "uid 1000", "user alice", or "cn:alice (user alice)". */
static void format_who(const struct api_peer *peer, char *ret, size_t size)
{
	if (*peer->certificate)
		(void)snprintf(ret, size, "%s%s%s%s", peer->certificate,
			*peer->user.name ? " (user " : "", peer->user.name,
			*peer->user.name ? ")" : "");
	else if (*peer->user.name)
		(void)snprintf(ret, size, "user %s", peer->user.name);
	else if (peer->user.uid_known)
		(void)snprintf(ret, size, "uid %u", (unsigned)peer->user.uid);
	else
		(void)snprintf(ret, size, "somebody");
}

static void write_record(struct api_call *call, const char *result, const struct error *error)
{
	const struct api_peer *peer = &call->peer;
	bool is_network =
		strstr(call->method->name, "Network") || strstr(call->method->name, "Team");
	const char *from = *peer->sender ? peer->sender : peer->address;
	bool is_claimed = call->audit.is_claimed;
	const char *object = call->audit.object;
	char who[API_CALLER_MAX + 96], uid[16] = "";
	/* Whoever looks for all about a domain finds nothing that somebody only says of one. */
	const struct journal_field fields[] = {
		{"VMMD_METHOD", call->method->name},
		{is_claimed ? "VMMD_CLAIMED" : "VMMD_OBJECT", object},
		{is_network ? "VMMD_NETWORK" : "VMMD_DOMAIN",
			is_claimed || call->audit.is_plain ? NULL : object},
		{is_network ? "VMMD_NETWORK_UUID" : "VMMD_DOMAIN_UUID", call->audit.uuid},
		{"VMMD_UID", uid},
		{"VMMD_USER", peer->user.name},
		{"VMMD_CERTIFICATE", peer->certificate},
		{"VMMD_PEER", from},
		{"VMMD_TRANSPORT", peer->transport},
		{"VMMD_RESULT", result},
		{"VMMD_ERROR", error ? error_code_name(error->code) : NULL},
	};

	if (peer->user.uid_known)
		(void)snprintf(uid, sizeof(uid), "%u", (unsigned)peer->user.uid);
	format_who(peer, who, sizeof(who));
	journal_write(JOURNAL_AUDIT, fields, ARRAY_SIZE(fields), "%s (%s%s%s): %s%s%s%s: %s%s%s",
		who, peer->transport ? peer->transport : "unknown", *from ? " " : "", from,
		call->method->name, *object ? " " : "", object, is_claimed ? " (so called)" : "",
		result, error ? ": " : "", error ? error->message : "");
}

void api_audit_end(struct api_call *call, struct json_object *out, const struct error *error)
{
	struct json_object *name;
	unsigned left_out;

	if (!leaves_record(call->method) || call->repeated)
		return;
	/* What was not there before has its name in the answer. */
	if (!*call->audit.object && out && json_object_object_get_ex(out, "name", &name))
		note(&call->audit, json_object_get_string(name), NULL);
	if (!call->denied) {
		write_record(call, error ? "failed" : "done", error);
		return;
	}
	if (!has_room(call, &left_out))
		return;
	if (left_out) {
		char who[API_CALLER_MAX + 96];

		format_who(&call->peer, who, sizeof(who));
		journal_write(JOURNAL_AUDIT, NULL, 0, "%s: %u denials left out", who, left_out);
	}
	write_record(call, "denied", error);
}
