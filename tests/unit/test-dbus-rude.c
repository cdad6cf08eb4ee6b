/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * D-Bus messages that no friend sends: each method of the table with arguments of other types, with too few and too many, deep variants,
 * file descriptors that nobody asked for, messages of megabytes, calls of objects and interfaces that are not there, and callers that
 * are gone before the answer: an error of D-Bus each, no descriptor is kept, and the next call is answered. Counted, and printed.
 * Who a sender is the bus says (daemon/auth.c, test-auth.c), not the message: over a connection without a bus there is none.
 */
#include <sys/socket.h>

#include "daemon-fixture.h"
#include "daemon/api.h"
#include "daemon/dbus.h"
#include "vmm-core/base/names.h"
#include "tests/unit/tally.h"

#define N_DEEP   60 /* variants in variants; D-Bus allows 64 levels */
#define N_FDS    16
#define HUGE_LEN (8U * 1024 * 1024)

static sd_bus *client, *server_bus;
static struct dbus *server;
static unsigned n_messages, n_errors;

static void connect_client(struct fixture *f)
{
	sd_id128_t id;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(&server_bus) >= 0 && sd_bus_new(&client) >= 0);
	assert_true(sd_bus_set_fd(server_bus, pair[0], pair[0]) >= 0);
	assert_true(sd_bus_set_server(server_bus, true, id) >= 0);
	assert_true(sd_bus_negotiate_fds(server_bus, true) >= 0);
	assert_true(sd_bus_start(server_bus) >= 0);
	assert_true(sd_bus_attach_event(server_bus, f->event, 0) >= 0);
	assert_true(dbus_new(f->manager, server_bus, false, &server) >= 0);
	assert_true(sd_bus_set_fd(client, pair[1], pair[1]) >= 0);
	assert_true(sd_bus_negotiate_fds(client, true) >= 0);
	assert_true(sd_bus_start(client) >= 0);
	assert_true(sd_bus_attach_event(client, f->event, 0) >= 0);
}

static void disconnect(void)
{
	client = sd_bus_close_unref(client);
	server = dbus_free(server);
	server_bus = sd_bus_close_unref(server_bus);
}

static int setup(void **state)
{
	fixture_setup(state);
	connect_client(*state);
	return 0;
}

static int teardown(void **state)
{
	disconnect();
	return fixture_teardown(state);
}

static sd_bus_message *message(const char *method)
{
	sd_bus_message *m = NULL;

	assert_true(sd_bus_message_new_method_call(
			    client, &m, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, method) >= 0);
	return m;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	(void)e;
	*(sd_bus_message **)userdata = sd_bus_message_ref(m);
	return 0;
}

/* Send it and take its answer: is it an error? */
static bool is_refused(struct fixture *f, sd_bus_message *m)
{
	sd_bus_message *answer = NULL;
	bool refused;

	assert_true(sd_bus_call_async(client, NULL, m, on_answer, &answer, 0) >= 0);
	sd_bus_message_unref(m);
	RUN_UNTIL(f, answer);
	refused = sd_bus_message_is_method_error(answer, NULL);
	sd_bus_message_unref(answer);
	n_messages++;
	n_errors += refused;
	return refused;
}

static void check_alive(struct fixture *f)
{
	assert_false(is_refused(f, message("Ping")));
}

static void fill_wrong(sd_bus_message *m, unsigned way)
{
	static const uint8_t bytes[] = {0, 255, 1};

	switch (way) {
	case 0:
		assert_true(sd_bus_message_append(m, "d", 1e300) >= 0);
		break;
	case 1:
		assert_true(sd_bus_message_append_array(m, 'y', bytes, sizeof(bytes)) >= 0);
		break;
	case 2:
		assert_true(sd_bus_message_append(m, "a{sv}", 1, "domain", "s", "a") >= 0);
		break;
	case 3:
		assert_true(sd_bus_message_append(m, "(ss)", "a", "b") >= 0);
		break;
	case 4:
		assert_true(sd_bus_message_append(
				    m, "ssssssssss", "", "", "", "", "", "", "", "", "", "") >= 0);
		break;
	case 5:
		assert_true(sd_bus_message_append(m, "o", "/") >= 0);
		break;
	case 6:
		for (unsigned i = 0; i < N_FDS; i++)
			assert_true(sd_bus_message_append(m, "h", STDERR_FILENO) >= 0);
		break;
	default:
		for (unsigned i = 0; i < N_DEEP; i++)
			assert_true(sd_bus_message_open_container(
					    m, 'v', i + 1 < N_DEEP ? "v" : "s") >= 0);
		assert_true(sd_bus_message_append(m, "s", "deep") >= 0);
		for (unsigned i = 0; i < N_DEEP; i++)
			assert_true(sd_bus_message_close_container(m) >= 0);
	}
}

static void test_arguments(void **state)
{
	struct fixture *f = *state;
	unsigned n_fds;

	check_alive(f);
	n_fds = fixture_count_fds();
	for (size_t i = 0; i < n_api_methods; i++)
		for (unsigned way = 0; way < 8; way++) {
			sd_bus_message *m = message(api_methods[i].name);

			fill_wrong(m, way);
			assert_true(is_refused(f, m));
		}
	for (size_t i = 0; i < n_api_methods; i++)
		if (*api_methods[i].in)
			assert_true(is_refused(f, message(api_methods[i].name)));
	check_alive(f);
	assert_int_equal(fixture_count_fds(), n_fds);
	assert_int_equal(f->manager->n_domains + f->manager->n_networks, 0);
	print_message("%u messages, %u refused\n", n_messages, n_errors);
	tally(TALLY_MALFORMED, n_errors);
}

/* As long as D-Bus lets it be, in a place for a name and in one for XML. */
static void test_huge(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(HUGE_LEN + 1);

	memset(text, 'x', HUGE_LEN);
	text[HUGE_LEN] = 0;
	for (unsigned i = 0; i < 3; i++) {
		sd_bus_message *m = message(i == 0 ? "GetDomain" : "DefineDomain");

		assert_true((i == 0 ? sd_bus_message_append(m, "s", text)
				    : sd_bus_message_append(m, "ssu", i == 1 ? text : "<domain/>",
					      i == 1 ? "" : text, 0)) >= 0);
		assert_true(is_refused(f, m));
	}
	free(text);
	check_alive(f);
}

static void test_no_such_place(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {"/", "/org", VMMD_BUS_PATH "/domains/none",
		VMMD_BUS_PATH "/domains/_", VMMD_BUS_PATH "/networks/none"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned k = 0; k < 2; k++) {
			sd_bus_message *m = NULL;

			assert_true(
				sd_bus_message_new_method_call(client, &m, NULL, paths[i],
					k ? VMMD_BUS_INTERFACE : "org.freedesktop.DBus.Properties",
					k ? "ListDomains" : "GetAll") >= 0);
			assert_true(
				sd_bus_message_append(m, k ? "u" : "s", k ? 0 : "no.such") >= 0);
			(void)is_refused(f, m);
		}
	check_alive(f);
}

/* The caller, or the bus, is gone in the middle of a call: the call ends by itself, and who comes next is served. */
static void test_gone(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");

	for (unsigned i = 0; i < 20; i++) {
		sd_bus_message *m = message("StartDomain");

		assert_true(sd_bus_message_append(m, "su", "a", 0) >= 0);
		assert_true(sd_bus_send(client, m, NULL) >= 0);
		sd_bus_message_unref(m);
		RUN_UNTIL(f, d->phase != DOMAIN_IDLE);
		disconnect();
		RUN_UNTIL(f, d->phase == DOMAIN_ACTIVE);
		assert_int_equal(d->state, DOMAIN_STATE_RUNNING);
		connect_client(f);
		check_alive(f);
		fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_arguments),
		T(test_huge),
		T(test_no_such_place),
		T(test_gone),
	};

	log_init("test", LOG_CRIT, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
