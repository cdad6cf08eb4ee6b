/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls to a vmmd that misbehaves, the errors in our words, and D-Bus arguments as JSON. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/remote.h"
#include "tests/fakes/fake-vmmd.h"

static struct fake_vmmd fake;

static void connect_to_fake(struct ctl *ctl)
{
	assert_int_equal(fake_vmmd_start(&fake), 0);
	*ctl = (struct ctl){.connect = fake.address};
	assert_int_equal(remote_connect(ctl), 0);
}

static void test_errors(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {};
	_cleanup_(json_putp) struct json_object *value = NULL;

	(void)state;
	connect_to_fake(&ctl);
	assert_true(remote_get_domain(&ctl, "nosuch", &value) < 0);
	assert_string_equal(ctl.error_code, "NoDomain");
	assert_string_equal(
		ctl.error_message, "Domain not found: no domain with matching name 'nosuch'");
	assert_true(remote_get_domain(&ctl, "\xff\xfe", &value) < 0);
	assert_string_equal(ctl.error_code, "InvalidArgument");
	assert_true(remote_call(&ctl, "Frobnicate", CTL_CALL_TIMEOUT_USEC, NULL, "") < 0);
	assert_string_equal(ctl.error_code, "NotSupported");
	/* Not what the method answers: an error, not a crash. */
	assert_true(remote_call_one(&ctl, "Ping", &value, "") < 0);
	assert_string_equal(ctl.error_code, "Internal");
	assert_int_equal(remote_get_domain(&ctl, "t1", &value), 0);
	fake_vmmd_stop(&fake);
}

static void expect_text(int fd, const char *want)
{
	char text[64] = "";

	for (size_t n = 0; n < strlen(want);) {
		ssize_t got = read(fd, text + n, strlen(want) - n);

		assert_true(got > 0);
		n += (size_t)got;
	}
	assert_string_equal(text, want);
}

/* A console, and its size: nothing is waited for, and what is refused leaves no trace. */
static void test_console(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {};
	int fd;

	(void)state;
	connect_to_fake(&ctl);
	assert_int_equal(remote_open_console(&ctl, "t1", "serial0", 0, &fd), 0);
	expect_text(fd, "login: ");
	remote_resize_console(&ctl, "t1", "serial0", 132, 43);
	expect_text(fd, "serial0 of t1 is 132x43\n");
	remote_resize_console(&ctl, "nosuch", "", 1, 1);
	assert_null(ctl.error_code);
	remote_resize_console(&ctl, "t1", "", 80, 25);
	expect_text(fd, " of t1 is 80x25\n");
	fake_vmmd_kill(&fake);
	remote_resize_console(&ctl, "t1", "", 80, 25);
	assert_int_equal(close(fd), 0);
	fake_vmmd_stop(&fake);
}

static void test_no_answer(void **state)
{
	static const char xml[] = "<domain><name>mute</name></domain>";
	_cleanup_(ctl_done) struct ctl ctl = {};

	(void)state;
	connect_to_fake(&ctl);
	assert_int_equal(
		remote_call(&ctl, "DefineDomain", CTL_CALL_TIMEOUT_USEC, NULL, "ssu", xml, "x", 0),
		0);
	assert_true(remote_call(&ctl, "StartDomain", 100 * 1000, NULL, "su", "mute", 0) < 0);
	assert_string_equal(ctl.error_code, "Timeout");
	assert_string_equal(
		ctl.error_message, "Timed out during operation: vmmd did not answer StartDomain");
	fake_vmmd_kill(&fake);
	assert_true(remote_call(&ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, "") < 0);
	assert_string_equal(ctl.error_code, "Disconnected");
	fake_vmmd_stop(&fake);
}

static void test_where_to(void **state)
{
	static const struct {
		const char *connect, *uri;
	} rows[] = {{"system", "vmmd:///system"}, {"session", "vmmd:///session"},
		{"vmmd:///session", "vmmd:///session"}, {"unix:path=/x", "unix:path=/x"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ctl ctl = {.connect = rows[i].connect};

		assert_string_equal(remote_uri(&ctl), rows[i].uri);
	}
}

/* A message as it came in, to read from. */
static sd_bus_message *message_new(sd_bus *bus, const char *types, ...)
{
	sd_bus_message *m = NULL;
	va_list ap;

	assert_true(sd_bus_message_new_signal(bus, &m, "/x", "x.y", "Z") >= 0);
	va_start(ap, types);
	assert_true(sd_bus_message_appendv(m, types, ap) >= 0);
	va_end(ap);
	assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
	return m;
}

static void assert_json(sd_bus_message *m, const char *want)
{
	_cleanup_(json_putp) struct json_object *got = NULL;

	assert_int_equal(message_to_json(m, &got), 0);
	assert_string_equal(json_object_to_json_string_ext(got, JSON_C_TO_STRING_PLAIN), want);
	(void)sd_bus_message_unref(m);
}

static void test_json(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {};
	_cleanup_(json_putp) struct json_object *json = NULL;
	sd_bus_message *m;

	(void)state;
	connect_to_fake(&ctl);
	assert_json(message_new(ctl.bus, "sbiux", "a\"b", 1, -5, 5, INT64_MIN),
		"[\"a\\\"b\",true,-5,5,-9223372036854775808]");
	assert_json(message_new(ctl.bus, "t", UINT64_MAX), "[18446744073709551615]");
	assert_json(message_new(ctl.bus, "as", 2, "x", "y"), "[[\"x\",\"y\"]]");
	assert_json(message_new(ctl.bus, "aa{sv}", 2, 1, "k", "s", "v", 0), "[[{\"k\":\"v\"},{}]]");
	assert_json(
		message_new(ctl.bus, "a{sv}", 2, "d", "a{sv}", 1, "n", "d", 0.5, "l", "as", 1, "z"),
		"[{\"d\":{\"n\":0.5},\"l\":[\"z\"]}]");
	assert_json(message_new(ctl.bus, ""), "[]");
	/* An fd has no JSON form. */
	m = message_new(ctl.bus, "h", 0);
	assert_int_equal(message_to_json(m, &json), -EBADMSG);
	assert_null(json);
	(void)sd_bus_message_unref(m);
	fake_vmmd_stop(&fake);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_where_to),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
