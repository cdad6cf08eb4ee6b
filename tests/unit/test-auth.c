/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Authorization with a fake polkit at the other end of a socketpair: yes, no, challenge, error, nonsense, silence, and a caller who goes. */
#include "polkit-fixture.h"

#include "vmm-core/base/log.h"

struct fixture {
	sd_event *event;
	struct polkit polkit;
	struct auth auth;
	unsigned answers;
	bool allowed;
	char why[128];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_true(sd_event_new(&f->event) >= 0);
	polkit_open(&f->polkit, f->event);
	f->polkit.uid = 1000;
	f->auth = (struct auth){.bus = f->polkit.daemon, .own_uid = 500};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	polkit_close(&f->polkit);
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
	struct api_peer peer = {
		.user = {.uid_known = known, .uid = uid}, .interactive = interactive};
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
	assert_int_equal(f->polkit.asked, 0);
}

static void test_unknown_is_denied(void **state)
{
	struct fixture *f = *state;

	f->polkit.mood = YES;
	ask(f, false, 0, ":1.1", false); /* uid 0, but nobody vouches for it */
	assert_false(f->allowed);
	ask(f, true, 1000, "", false); /* no name that polkit could look at */
	assert_false(f->allowed);
	f->auth.bus = NULL;
	ask(f, true, 1000, ":1.1", false);
	assert_false(f->allowed);
	assert_int_equal(f->polkit.asked, 0);
}

static void test_polkit_decides(void **state)
{
	struct fixture *f = *state;

	f->polkit.mood = YES;
	ask(f, true, 1000, ":1.7", false);
	assert_true(f->allowed);
	assert_string_equal(f->polkit.subject, ":1.7");
	assert_string_equal(f->polkit.action, "org.vmmd1.manage");
	assert_int_equal(f->polkit.flags, 0);
	ask(f, true, 1000, ":1.7", true);
	assert_int_equal(f->polkit.flags, 1);
	f->polkit.mood = NO;
	ask(f, true, 1000, ":1.7", false);
	assert_false(f->allowed);
	assert_string_equal(f->why, "polkit said no");
	f->polkit.mood = CHALLENGE;
	ask(f, true, 1000, ":1.7", false);
	assert_false(f->allowed);
	assert_string_equal(f->why, "authentication is required");
}

/* Each role has its action. */
static void test_roles(void **state)
{
	struct fixture *f = *state;
	struct api_peer peer = {.user = {.uid_known = true, .uid = 1000}, .sender = ":1.7"};

	for (enum api_role has = API_ROLE_READER; has < API_ROLE_X_MAX; has++)
		for (enum api_role needed = API_ROLE_READER; needed < API_ROLE_X_MAX; needed++) {
			unsigned before = f->answers;

			f->polkit.grants = has;
			auth_check(&f->auth, &peer, needed, on_done, f);
			while (f->answers == before)
				assert_true(sd_event_run(f->event, 100000) >= 0);
			assert_int_equal(f->allowed, needed <= has);
			assert_string_equal(f->polkit.action, api_role_action(needed));
		}
}

/* Silence is a no after a while, and meanwhile others are answered. */
static void test_silence(void **state)
{
	struct fixture *f = *state;
	struct api_peer peer = {.user = {.uid_known = true, .uid = 1000}, .sender = ":1.7"};

	f->auth.polkit_usec = 100000;
	f->polkit.mood = SILENT;
	auth_check(&f->auth, &peer, API_ROLE_OPERATOR, on_done, f);
	ask(f, true, 0, ":1.8", false);
	assert_true(f->allowed);
	assert_int_equal(f->answers, 1);
	f->polkit.asked = 0;
	while (f->answers < 2)
		assert_true(sd_event_run(f->event, 1000000) >= 0);
	assert_false(f->allowed);
	assert_int_equal(f->polkit.asked, 1);
	assert_string_equal(f->why, "polkit did not answer");
}

/* polkit says yes about somebody who is not there any more, or not who he was. */
static void test_gone_caller(void **state)
{
	struct fixture *f = *state;

	f->polkit.mood = YES;
	f->polkit.gone = true;
	ask(f, true, 1000, ":1.7", false);
	assert_false(f->allowed);
	assert_string_equal(f->why, "the caller has gone");
	assert_int_equal(f->polkit.checked, 1);
	f->polkit.gone = false;
	f->polkit.uid = 1001;
	ask(f, true, 1000, ":1.7", false);
	assert_false(f->allowed);
	f->polkit.uid = 1000;
	ask(f, true, 1000, ":1.7", false);
	assert_true(f->allowed);
}

static void test_trouble_is_a_no(void **state)
{
	static const enum mood moods[] = {FAIL, UNKNOWN_SERVICE, NONSENSE, HANG_UP};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(moods); i++) {
		f->polkit.mood = moods[i];
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
		T(test_roles),
		T(test_silence),
		T(test_gone_caller),
		T(test_trouble_is_a_no),
	};

	log_init("test-auth", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
