/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus without a bus between: who is let in, that calls, answers, descriptors and events are the bus's, and how a connection ends. */
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon-fixture.h"
#include "daemon/dbus-direct.h"
#include "daemon/dbus.h"
#include "daemon/rpc.h"
#include "vmm-core/base/names.h"

#define ADMINISTRATOR                                                                              \
	(&(const struct api_peer){                                                                 \
		.role = API_ROLE_ADMINISTRATOR, .user = {.uid_known = true, .uid = 4711}})

static struct dbus_direct *direct;
static char path[100];
static sd_bus *client;
static unsigned n_answers, n_events;
static char answer[512];

static int setup(void **state)
{
	struct fixture *f;
	int fd;

	fixture_setup(state);
	f = *state;
	assert_true(snprintf(path, sizeof(path), "%s/dbus.sock", f->runtime) < (int)sizeof(path));
	fd = rpc_open_socket(path, 0660, 0);
	assert_true(fd >= 0);
	assert_int_equal(dbus_direct_new(f->manager, fd, 0, &direct), 0);
	n_answers = n_events = 0;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client = sd_bus_close_unref(client);
	direct = dbus_direct_free(direct);
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	return fixture_teardown(state);
}

static sd_bus *connect_to(struct fixture *f, int fd)
{
	sd_bus *bus;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
	assert_true(sd_bus_negotiate_fds(bus, true) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	assert_true(sd_bus_attach_event(bus, f->event, 0) >= 0);
	return bus;
}

static int connect_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* An end of a connection whose other end is 'peer's. */
static int accept_pair(const struct api_peer *peer, int want)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(dbus_direct_accept(direct, pair[0], peer), want);
	return pair[1];
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	const sd_bus_error *error = sd_bus_message_get_error(m);
	const char *text = "";
	int fd = -1;

	(void)userdata;
	(void)e;
	n_answers++;
	if (error)
		text = error->name;
	else if (sd_bus_message_has_signature(m, "s"))
		(void)sd_bus_message_read(m, "s", &text);
	else if (sd_bus_message_has_signature(m, "h") && sd_bus_message_read(m, "h", &fd) > 0)
		text = fcntl(fd, F_GETFD) >= 0 ? "(fd)" : "(no fd)";
	snprintf(answer, sizeof(answer), "%s", text);
	return 0;
}

#define CALL(f, method, ...)                                                                       \
	({                                                                                         \
		unsigned before_ = n_answers;                                                      \
                                                                                                   \
		assert_true(                                                                       \
			sd_bus_call_method_async(client, NULL, NULL, VMMD_BUS_PATH,                \
				VMMD_BUS_INTERFACE, method, on_answer, NULL, __VA_ARGS__) >= 0);   \
		RUN_UNTIL(f, n_answers > before_);                                                 \
		answer;                                                                            \
	})

static int on_event(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	(void)m;
	(void)userdata;
	(void)e;
	n_events++;
	return 0;
}

/* The methods of the table, with answers, errors, descriptors and events. */
static void test_calls(void **state)
{
	struct fixture *f = *state;

	client = connect_to(f, connect_socket());
	assert_string_equal(CALL(f, "Ping", ""), "");
	assert_int_equal(dbus_direct_n_connections(direct), 1);
	assert_true(sd_bus_match_signal(client, NULL, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
			    "DomainEvent", on_event, NULL) >= 0);
	fixture_define(f, "a", "", "");
	RUN_UNTIL(f, n_events == 1);
	assert_string_equal(CALL(f, "StartDomain", "su", "a", 0), "");
	assert_int_equal(manager_find_name(f->manager, "a")->phase, DOMAIN_ACTIVE);
	assert_string_equal(CALL(f, "OpenConsole", "ssu", "a", "", 0), "(fd)");
	assert_non_null(strstr(CALL(f, "GetDomainXml", "su", "a", 0), "<name>a</name>"));
	assert_string_equal(CALL(f, "GetDomain", "s", "x"), VMMD_ERROR_PREFIX "NoDomain");
	assert_string_equal(CALL(f, "DestroyDomain", "su", "a", 0), "");
}

/* With the role of the socket's peer, and under his name; others are sent away, and no polkit is asked. */
static void test_who(void **state)
{
	static const struct api_peer other = {
		.role = API_ROLE_OPERATOR, .user = {.uid_known = true, .uid = 4712}};
	struct fixture *f = *state;
	char byte;
	int fd = accept_pair(&other, -EACCES);

	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	client = connect_to(f, accept_pair(ADMINISTRATOR, 0));
	fixture_define(f, "a", "fake=no-reply", "");
	assert_true(sd_bus_call_method_async(client, NULL, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
			    "StartDomain", on_answer, NULL, "su", "a", 0) >= 0);
	RUN_UNTIL(f, manager_find_name(f->manager, "a")->phase == DOMAIN_STARTING);
	assert_string_equal(CALL(f, "CancelJob", "t", UINT64_C(1)), "");
	RUN_UNTIL(f, n_answers == 2);
	assert_string_equal(answer, VMMD_ERROR_PREFIX "Cancelled");
}

/* A sender's name is given by a bus: who writes one himself is who he was, and is not asked about. */
static void test_sender(void **state)
{
	sd_bus_message *m = NULL;
	struct fixture *f = *state;

	client = connect_to(f, accept_pair(ADMINISTRATOR, 0));
	assert_string_equal(CALL(f, "Ping", ""), "");
	fixture_define(f, "a", "", "");
	assert_true(sd_bus_message_new_method_call(client, &m, NULL, VMMD_BUS_PATH,
			    VMMD_BUS_INTERFACE, "StartDomain") >= 0);
	assert_true(sd_bus_message_append(m, "su", "a", 0) >= 0);
	assert_true(sd_bus_message_set_sender(m, ":1.1") >= 0);
	assert_true(sd_bus_call_async(client, NULL, m, on_answer, NULL, 0) >= 0);
	sd_bus_message_unref(m);
	RUN_UNTIL(f, n_answers == 2);
	assert_string_equal(answer, "");
	assert_int_equal(manager_find_name(f->manager, "a")->phase, DOMAIN_ACTIVE);
	assert_string_equal(CALL(f, "DestroyDomain", "su", "a", 0), "");
}

/* Who goes is forgotten, whatever he has asked for; who is one too many is sent away. */
static void test_ends(void **state)
{
	struct fixture *f = *state;
	int fds[DBUS_DIRECT_MAX];

	client = connect_to(f, connect_socket());
	assert_string_equal(CALL(f, "Ping", ""), "");
	fixture_define(f, "a", "fake=no-reply", "");
	assert_true(sd_bus_call_method_async(client, NULL, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
			    "StartDomain", on_answer, NULL, "su", "a", 0) >= 0);
	RUN_UNTIL(f, manager_find_name(f->manager, "a")->phase == DOMAIN_STARTING);
	client = sd_bus_close_unref(client);
	RUN_UNTIL(f, dbus_direct_n_connections(direct) == 0);
	assert_int_equal(
		domain_destroy(manager_find_name(f->manager, "a"), 0, NULL, NULL, NULL), 0);
	for (unsigned i = 0; i < DBUS_DIRECT_MAX; i++)
		fds[i] = accept_pair(ADMINISTRATOR, 0);
	close(accept_pair(ADMINISTRATOR, -EBUSY));
	for (unsigned i = 0; i < DBUS_DIRECT_MAX; i++)
		close(fds[i]);
	RUN_UNTIL(f, dbus_direct_n_connections(direct) == 0);
}

/* The daemon has no file descriptor left: who comes is sent away, and does not keep it awake. */
static void test_no_fds(void **state)
{
	struct pollfd p = {.fd = connect_socket(), .events = POLLIN};
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct fixture *f = *state;
	struct rlimit all, few;
	char byte;

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = all.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_true(sd_event_run(f->event, 0) >= 0);
	assert_true(sd_event_run(f->event, 0) >= 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(read(p.fd, &byte, 1), 0);
	close(p.fd);
	assert_int_equal(dbus_direct_n_connections(direct), 0);
	client = connect_to(f, connect_socket());
	assert_string_equal(CALL(f, "Ping", ""), "");
}

/* Who reads nothing is closed, before what waits for him is much. */
static void test_reads_nothing(void **state)
{
	struct fixture *f = *state;
	struct pollfd p;
	sd_bus *mute;

	mute = connect_to(f, connect_socket());
	client = connect_to(f, connect_socket());
	assert_string_equal(CALL(f, "Ping", ""), "");
	RUN_UNTIL(f, sd_bus_is_ready(mute) > 0);
	assert_int_equal(dbus_direct_n_connections(direct), 2);
	assert_true(sd_bus_detach_event(mute) >= 0);
	fixture_define(f, "a", "", "");
	for (unsigned i = 0; i < 64 * DBUS_DIRECT_QUEUE && dbus_direct_n_connections(direct) == 2;
		i++) {
		manager_emit(f->manager, EVENT_REBOOT, manager_find_name(f->manager, "a"), "", "");
		if (i % 64 == 0)
			assert_true(sd_event_run(f->event, 0) >= 0);
	}
	assert_int_equal(dbus_direct_n_connections(direct), 1);
	p = (struct pollfd){.fd = sd_bus_get_fd(mute), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_string_equal(CALL(f, "Ping", ""), "");
	mute = sd_bus_close_unref(mute);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sender, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_nothing, setup, teardown),
	};

	log_init("test", LOG_CRIT, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
