/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bus of two at the ends of a socketpair: the daemon's, and one that is polkit and the bus itself at once. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "daemon/auth.h"

enum mood { YES, NO, CHALLENGE, FAIL, UNKNOWN_SERVICE, NONSENSE, SILENT, HANG_UP };

struct polkit {
	sd_bus *daemon, *bus;
	enum mood mood;
	enum api_role
		grants; /* if not API_ROLE_ASK: it says yes to actions of roles up to this one, and no to others */
	bool gone;                        /* the caller is not on the bus any more */
	uid_t uid;                        /* of the caller, as the bus knows him */
	unsigned asked, checked, vouched; /* vouched: that the caller was there still */
	char action[64], subject[64];
	uint32_t flags;
};

static inline bool polkit_grants(const struct polkit *p)
{
	for (enum api_role role = API_ROLE_READER; role <= p->grants; role++)
		if (strcmp(api_role_action(role), p->action) == 0)
			return true;
	return false;
}

static inline int polkit_on_call(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	struct polkit *p = userdata;
	const char *kind, *key, *name, *action;

	if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus", "GetConnectionUnixUser")) {
		p->checked++;
		p->vouched += !p->gone;
		return p->gone ? sd_bus_error_set(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER, "nobody")
			       : sd_bus_reply_method_return(m, "u", p->uid);
	}
	if (!sd_bus_message_is_method_call(
		    m, "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization"))
		return 0;
	p->asked++;
	assert_true(sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &name, &action) > 0);
	assert_true(sd_bus_message_skip(m, "a{ss}") > 0);
	assert_true(sd_bus_message_read(m, "u", &p->flags) > 0);
	assert_string_equal(kind, "system-bus-name");
	snprintf(p->subject, sizeof(p->subject), "%s", name);
	snprintf(p->action, sizeof(p->action), "%s", action);
	if (p->grants != API_ROLE_ASK)
		p->mood = polkit_grants(p) ? YES : NO;
	switch (p->mood) {
	case FAIL:
		return sd_bus_error_set(
			e, "org.freedesktop.PolicyKit1.Error.Failed", "no such action");
	case UNKNOWN_SERVICE:
		return sd_bus_error_set(e, SD_BUS_ERROR_SERVICE_UNKNOWN, "not there");
	case NONSENSE:
		return sd_bus_reply_method_return(m, "s", "perhaps");
	case SILENT:
		return 1;
	case HANG_UP:
		sd_bus_close(p->bus);
		return 1;
	default:
		return sd_bus_reply_method_return(
			m, "(bba{ss})", p->mood == YES, p->mood == CHALLENGE, 0);
	}
}

static inline void polkit_open(struct polkit *p, sd_event *event)
{
	sd_id128_t id;
	int pair[2];

	*p = (struct polkit){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(&p->bus) >= 0);
	assert_true(sd_bus_set_fd(p->bus, pair[0], pair[0]) >= 0);
	assert_true(sd_bus_set_server(p->bus, true, id) >= 0);
	assert_true(sd_bus_start(p->bus) >= 0);
	assert_true(sd_bus_attach_event(p->bus, event, 0) >= 0);
	assert_true(sd_bus_add_filter(p->bus, NULL, polkit_on_call, p) >= 0);
	assert_true(sd_bus_new(&p->daemon) >= 0);
	assert_true(sd_bus_set_fd(p->daemon, pair[1], pair[1]) >= 0);
	assert_true(sd_bus_start(p->daemon) >= 0);
	assert_true(sd_bus_attach_event(p->daemon, event, 0) >= 0);
}

static inline void polkit_close(struct polkit *p)
{
	p->daemon = sd_bus_close_unref(p->daemon);
	p->bus = sd_bus_close_unref(p->bus);
}
