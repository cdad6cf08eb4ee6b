/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Authorization with a fake polkit at the other end of a socketpair: yes, no, challenge, error, nonsense, silence's end. */
#include "daemon/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "vmm-core/base/log.h"

enum mood { YES, NO, CHALLENGE, FAIL, UNKNOWN_SERVICE, NONSENSE, HANG_UP };

struct fixture {
	sd_event *event;
	sd_bus *daemon, *polkit;
	struct auth auth;
	enum mood mood;
	unsigned asked, answers;
	bool allowed;
	char why[128], action[64], subject[64];
	uint32_t flags;
};

static int on_polkit(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	struct fixture *f = userdata;
	const char *kind, *key, *name, *action;

	if (!sd_bus_message_is_method_call(
		    m, "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization"))
		return 0;
	f->asked++;
	assert_true(sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &name, &action) > 0);
	assert_true(sd_bus_message_skip(m, "a{ss}") > 0);
	assert_true(sd_bus_message_read(m, "u", &f->flags) > 0);
	assert_string_equal(kind, "system-bus-name");
	snprintf(f->subject, sizeof(f->subject), "%s", name);
	snprintf(f->action, sizeof(f->action), "%s", action);
	switch (f->mood) {
	case FAIL:
		return sd_bus_error_set(
			e, "org.freedesktop.PolicyKit1.Error.Failed", "no such action");
	case UNKNOWN_SERVICE:
		return sd_bus_error_set(e, SD_BUS_ERROR_SERVICE_UNKNOWN, "not there");
	case NONSENSE:
		return sd_bus_reply_method_return(m, "s", "perhaps");
	case HANG_UP:
		sd_bus_close(f->polkit);
		return 1;
	default:
		return sd_bus_reply_method_return(
			m, "(bba{ss})", f->mood == YES, f->mood == CHALLENGE, 0);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	sd_id128_t id;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(&f->polkit) >= 0);
	assert_true(sd_bus_set_fd(f->polkit, pair[0], pair[0]) >= 0);
	assert_true(sd_bus_set_server(f->polkit, true, id) >= 0);
	assert_true(sd_bus_start(f->polkit) >= 0);
	assert_true(sd_bus_attach_event(f->polkit, f->event, 0) >= 0);
	assert_true(sd_bus_add_filter(f->polkit, NULL, on_polkit, f) >= 0);
	assert_true(sd_bus_new(&f->daemon) >= 0);
	assert_true(sd_bus_set_fd(f->daemon, pair[1], pair[1]) >= 0);
	assert_true(sd_bus_start(f->daemon) >= 0);
	assert_true(sd_bus_attach_event(f->daemon, f->event, 0) >= 0);
	f->auth = (struct auth){.bus = f->daemon, .own_uid = 500};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sd_bus_close_unref(f->daemon);
	sd_bus_close_unref(f->polkit);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void on_done(void *userdata, bool allowed, const char *why)
{
	struct fixture *f = userdata;

	f->answers++;
	f->allowed = allowed;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

static void ask(struct fixture *f, bool known, uid_t uid, const char *sender, bool interactive)
{
	struct api_peer peer = {.uid_known = known, .uid = uid, .interactive = interactive};
	unsigned before = f->answers;

	snprintf(peer.sender, sizeof(peer.sender), "%s", sender);
	f->allowed = false;
	auth_check(&f->auth, &peer, API_ROLE_ADMINISTRATOR, on_done, f);
	for (unsigned i = 0; i < 100 && f->answers == before; i++)
		assert_true(sd_event_run(f->event, 100000) >= 0);
	assert_int_equal(f->answers, before + 1);
}

static void test_root_and_own_user(void **state)
{
	struct fixture *f = *state;

	ask(f, true, 0, ":1.1", false);
	assert_true(f->allowed);
	ask(f, true, 500, "", false);
	assert_true(f->allowed);
	assert_int_equal(f->asked, 0);
}

static void test_unknown_is_denied(void **state)
{
	struct fixture *f = *state;

	f->mood = YES;
	ask(f, false, 0, ":1.1", false); /* uid 0, but nobody vouches for it */
	assert_false(f->allowed);
	ask(f, true, 1000, "", false); /* no name that polkit could look at */
	assert_false(f->allowed);
	f->auth.bus = NULL;
	ask(f, true, 1000, ":1.1", false);
	assert_false(f->allowed);
	assert_int_equal(f->asked, 0);
}

static void test_polkit_decides(void **state)
{
	struct fixture *f = *state;

	f->mood = YES;
	ask(f, true, 1000, ":1.7", false);
	assert_true(f->allowed);
	assert_string_equal(f->subject, ":1.7");
	assert_string_equal(f->action, "org.vmmd1.manage");
	assert_int_equal(f->flags, 0);
	ask(f, true, 1000, ":1.7", true);
	assert_int_equal(f->flags, 1);
	f->mood = NO;
	ask(f, true, 1000, ":1.7", false);
	assert_false(f->allowed);
	assert_string_equal(f->why, "polkit said no");
	f->mood = CHALLENGE;
	ask(f, true, 1000, ":1.7", false);
	assert_false(f->allowed);
	assert_string_equal(f->why, "authentication is required");
}

static void test_trouble_is_a_no(void **state)
{
	static const enum mood moods[] = {FAIL, UNKNOWN_SERVICE, NONSENSE, HANG_UP};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(moods); i++) {
		f->mood = moods[i];
		ask(f, true, 1000, ":1.7", false);
		assert_false(f->allowed);
		assert_true(strlen(f->why) > 0);
	}
	/* The connection is gone now. */
	ask(f, true, 1000, ":1.7", false);
	assert_false(f->allowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_root_and_own_user),
		T(test_unknown_is_denied),
		T(test_polkit_decides),
		T(test_trouble_is_a_no),
	};

	log_init("test-auth", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
