/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May this caller do that? See auth.h. */
#include "daemon/auth.h"

#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/log.h"

#define POLKIT_NAME  "org.freedesktop.PolicyKit1"
#define POLKIT_PATH  "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_IFACE "org.freedesktop.PolicyKit1.Authority"

#define POLKIT_INTERACTIVE 1

struct question {
	auth_done_fn done;
	void *userdata;
	sd_bus *bus;
	char sender[64];
	uid_t uid;
};

static void answer(struct question *q, bool allowed, const char *why)
{
	q->done(q->userdata, allowed, why);
	sd_bus_unref(q->bus);
	free(q);
}

static const char *judge(sd_bus_message *m, bool *ret_allowed)
{
	int authorized, challenge;

	*ret_allowed = false;
	if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
		sd_bus_message_is_method_error(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
		return "there is no polkit to ask, and the caller is not root";
	if (sd_bus_message_is_method_error(m, NULL)) {
		log_warning("polkit: %s", sd_bus_message_get_error(m)->message);
		return "polkit did not answer";
	}
	if (sd_bus_message_enter_container(m, 'r', "bba{ss}") < 0 ||
		sd_bus_message_read(m, "bb", &authorized, &challenge) < 0)
		return "polkit's answer makes no sense";
	if (authorized) {
		*ret_allowed = true;
		return "";
	}
	return challenge ? "authentication is required" : "polkit said no";
}

/* Names of connections are never given twice: whoever has this one is the caller. */
static int on_still_there(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct question *q = userdata;
	uint32_t uid;
	bool there = !sd_bus_message_is_method_error(m, NULL) &&
		sd_bus_message_read(m, "u", &uid) > 0 && uid == q->uid;

	(void)ret_error;
	answer(q, there, there ? "" : "the caller has gone");
	return 0;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct question *q = userdata;
	bool allowed;
	const char *why = judge(m, &allowed);

	(void)ret_error;
	if (!allowed)
		answer(q, false, why);
	else if (sd_bus_call_method_async(q->bus, NULL, "org.freedesktop.DBus",
			 "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
			 on_still_there, q, "s", q->sender) < 0)
		answer(q, false, "the bus cannot be asked about the caller");
	return 0;
}

static int ask_polkit(
	struct auth *auth, const struct api_peer *peer, enum api_role role, struct question *q)
{
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(
		auth->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_IFACE, "CheckAuthorization");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s",
			peer->sender, api_role_action(role), 0,
			(uint32_t)(peer->interactive ? POLKIT_INTERACTIVE : 0), "");
	if (r >= 0)
		r = sd_bus_call_async(auth->bus, NULL, m, on_answer, q,
			auth->polkit_usec           ? auth->polkit_usec
				: peer->interactive ? AUTH_POLKIT_INTERACTIVE_USEC
						    : AUTH_POLKIT_USEC);
	sd_bus_message_unref(m);
	return r;
}

bool auth_has(const struct auth *auth, const struct api_peer *peer, enum api_role role)
{
	assert(role > API_ROLE_ASK && role < API_ROLE_X_MAX);
	if (peer->role != API_ROLE_ASK)
		return peer->role >= role;
	return role == API_ROLE_NONE ||
		(peer->user.uid_known && (peer->user.uid == 0 || peer->user.uid == auth->own_uid));
}

void auth_check(struct auth *auth, const struct api_peer *peer, enum api_role role,
	auth_done_fn done, void *userdata)
{
	struct question *q;

	if (auth_has(auth, peer, role)) {
		done(userdata, true, "");
		return;
	}
	if (peer->role != API_ROLE_ASK) {
		done(userdata, false, "the caller's role does not allow it");
		return;
	}
	if (!peer->user.uid_known) {
		done(userdata, false, "the caller's uid is not known");
		return;
	}
	if (!auth->bus || !peer->sender[0]) {
		done(userdata, false, "the caller is neither root nor the daemon's user");
		return;
	}
	q = malloc(sizeof(*q));
	if (q) {
		*q = (struct question){
			done, userdata, sd_bus_ref(auth->bus), .uid = peer->user.uid};
		memcpy(q->sender, peer->sender, sizeof(q->sender));
		if (ask_polkit(auth, peer, role, q) >= 0)
			return;
		sd_bus_unref(q->bus);
		free(q);
	}
	done(userdata, false, "polkit cannot be asked");
}
