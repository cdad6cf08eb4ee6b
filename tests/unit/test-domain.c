/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state machine with the fake worker: each way a run can go ends in the right state, without a hang and without
 * a lost fd (the fixture counts), and outlives the daemon. */
#include "daemon/domain.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon-fixture.h"
#include "daemon/process.h"

#define CONSOLES "<console type='pty'/><console type='pty'><target type='virtio'/></console>"

#define assert_state(d, s, r)                                                                      \
	do {                                                                                       \
		assert_string_equal(domain_state_name((d)->state), s);                             \
		assert_string_equal(domain_reason_name((d)->state, (d)->reason), r);               \
	} while (0)

/* Type a line on the fake's console, which tells it what to do. */
static void type(struct fixture *f, struct domain *d, const char *line)
{
	fixture_wait(
		f, domain_open_console(d, "", DOMAIN_CONSOLE_FORCE, fixture_done_fd, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(write(f->done_fd, line, strlen(line)), strlen(line));
}

static void test_lifecycle(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "good", "", "");

	assert_state(d, "shut off", "unknown");
	fixture_start(f, d);
	assert_state(d, "running", "booted");
	assert_int_equal(d->id, 1);
	assert_int_equal(domain_start(d, 0, fixture_done, f, &f->error), -ENOTCONN);
	assert_string_equal(
		f->error.message, "Requested operation is not valid: domain is already running");
	fixture_wait(f, domain_suspend(d, fixture_done, f, &f->error));
	assert_state(d, "paused", "user");
	fixture_wait(f, domain_resume(d, fixture_done, f, &f->error));
	assert_state(d, "running", "unpaused");
	fixture_wait(f, domain_shutdown(d, fixture_done, f, &f->error));
	RUN_UNTIL(f, !domain_is_active(d));
	assert_state(d, "shut off", "shutdown");
	assert_int_equal(d->id, -1);
	assert_true(fixture_saw(f, "lifecycle good Defined Added"));
	assert_true(fixture_saw(f, "lifecycle good Started Booted"));
	assert_true(fixture_saw(f, "lifecycle good Suspended Paused"));
	assert_true(fixture_saw(f, "lifecycle good Resumed Unpaused"));
	assert_true(fixture_saw(f, "lifecycle good Shutdown Finished"));
	assert_true(fixture_saw(f, "lifecycle good Stopped Shutdown"));
	assert_int_equal(f->n_events, 6);
	/* Ids go up. */
	fixture_start(f, d);
	assert_int_equal(d->id, 2);
}

static void test_start_paused_and_destroy(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "p", "", "");

	fixture_wait(f, domain_start(d, DOMAIN_START_PAUSED, fixture_done, f, &f->error));
	assert_state(d, "paused", "user");
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_state(d, "shut off", "destroyed");
	assert_true(fixture_saw(f, "lifecycle p Stopped Destroyed"));
	assert_int_equal(domain_destroy(d, 0, fixture_done, f, &f->error), -ENOTCONN);
	assert_string_equal(
		f->error.message, "Requested operation is not valid: domain is not running");
}

/* Every misbehaviour at start: the caller gets an error, the domain is off, what it said is in the text. */
static void test_failing_starts(void **state)
{
	static const struct {
		const char *name, *cmdline, *text;
	} cases[] = {
		{"exit-early", "", "the worker ended with exit status 7"},
		{"garbage-hello", "", "a packet of the wrong length"},
		{"wrong-version", "", "another protocol version"},
		{"hello-fds", "", "carries fds"},
		{"a", "fake=fail-start", "KVM_CREATE_VM: Cannot allocate memory"},
		{"b", "fake=crash", "killed by signal 9"},
		{"c", "fake=garbage", "wrong length"},
		{"d", "fake=bad-type", "unknown message type"},
		{"e", "fake=fds", "carries fds"},
		{"f", "fake=exit-quietly", "exit status 3"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct domain *d = fixture_define(f, cases[i].name, cases[i].cmdline, "");

		fixture_wait(f, domain_start(d, 0, fixture_done, f, &f->error));
		assert_int_equal(f->done_error.code, ERROR_INTERNAL);
		if (!strstr(f->done_error.message, cases[i].text))
			fail_msg("%s: '%s'", cases[i].name, f->done_error.message);
		assert_state(d, "shut off", "failed");
		assert_int_equal(d->id, -1);
	}
}

static void test_refused_before_anything_is_made(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "nokernel", "", "");
	char path[160];

	assert_int_equal(unlink(f->kernel), 0);
	assert_int_equal(domain_start(d, 0, fixture_done, f, &f->error), -ENOENT);
	assert_non_null(strstr(f->error.message, f->kernel));
	assert_non_null(strstr(f->error.message, "No such file"));
	assert_state(d, "shut off", "unknown");
	assert_int_equal(f->n_events, 1);
	snprintf(path, sizeof(path), "%s/domains", f->runtime);
	assert_int_equal(rmdir(path), 0); /* empty */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "nokernel");
	assert_int_equal(symlink("/dev/null", f->kernel), 0);
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "is not a regular file"));
	assert_int_equal(f->n_done, 0);
	/* Neither has used up an id. */
	assert_int_equal(d->id, -1);
	assert_int_equal(unlink(f->kernel), 0);
	fixture_write_kernel(f->kernel);
	fixture_start(f, d);
	assert_int_equal(d->id, 1);
}

static void test_crash_while_running(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "c", "", "");
	static const char *const ways[] = {"crash\n", "exit\n", "garbage\n"};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		fixture_start(f, d);
		type(f, d, ways[i]);
		RUN_UNTIL(f, !domain_is_active(d));
		assert_state(d, "shut off", "crashed");
	}
	assert_true(fixture_saw(f, "lifecycle c Stopped Crashed"));
}

static void test_stopped_worker_times_out(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "s", "", "");

	fixture_start(f, d);
	assert_int_equal(kill(worker_pid(d->worker), SIGSTOP), 0);
	/* QUIT is not answered: SIGKILL after DOMAIN_QUIT_USEC. */
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_state(d, "shut off", "destroyed");
}

static void test_failing_requests(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "r", "fake=fail-requests", "");

	fixture_start(f, d);
	fixture_wait(f, domain_suspend(d, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
	assert_non_null(strstr(f->done_error.message, "told to fail"));
	assert_state(d, "running", "booted");
	/* The worker's death answers what is pending. */
	d = fixture_define(f, "m", "fake=mute", "");
	fixture_start(f, d);
	assert_int_equal(domain_suspend(d, fixture_done, f, &f->error), 0);
	assert_int_equal(kill(worker_pid(d->worker), SIGKILL), 0);
	RUN_UNTIL(f, !domain_is_active(d));
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
}

static void test_panic_actions(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "d", "", "<on_crash>destroy</on_crash>");

	fixture_start(f, d);
	type(f, d, "panic\n");
	RUN_UNTIL(f, !domain_is_active(d));
	assert_state(d, "shut off", "crashed");
	assert_true(fixture_saw(f, "lifecycle d Crashed Panicked"));

	d = fixture_define(f, "pr", "", "<on_crash>preserve</on_crash>");
	fixture_start(f, d);
	type(f, d, "panic\n");
	RUN_UNTIL(f, d->state == DOMAIN_STATE_CRASHED);
	assert_state(d, "crashed", "panicked");
	assert_true(domain_is_active(d));

	d = fixture_define(f, "re", "", "<on_crash>restart</on_crash>");
	fixture_start(f, d);
	type(f, d, "panic\n");
	RUN_UNTIL(f, fixture_saw(f, "reboot re  "));
	assert_state(d, "running", "booted");
}

static void test_reboot(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "rb", "", "");
	pid_t first;
	int id;

	fixture_start(f, d);
	first = worker_pid(d->worker);
	id = d->id;
	fixture_wait(f, domain_reboot(d, fixture_done, f, &f->error));
	RUN_UNTIL(f, fixture_saw(f, "reboot rb  "));
	assert_state(d, "running", "booted");
	assert_int_equal(d->id, id);
	assert_int_not_equal(worker_pid(d->worker), first);
	/* Afterwards a power-off is a power-off again. */
	type(f, d, "poweroff\n");
	RUN_UNTIL(f, !domain_is_active(d));
	assert_state(d, "shut off", "shutdown");
}

static void test_reset_inside_and_on_reboot_destroy(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "in", "", "");
	pid_t first;

	fixture_start(f, d);
	first = worker_pid(d->worker);
	type(f, d, "reset\n");
	RUN_UNTIL(f, fixture_saw(f, "reboot in  "));
	assert_int_equal(worker_pid(d->worker), first);

	d = fixture_define(f, "ds", "", "<on_reboot>destroy</on_reboot>");
	fixture_start(f, d);
	type(f, d, "reset\n");
	RUN_UNTIL(f, !domain_is_active(d));
	assert_state(d, "shut off", "shutdown");
}

static unsigned count_events(struct fixture *f, const char *event)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_events && i < FIXTURE_MAX_EVENTS; i++)
		n += streq(f->events[i], event);
	return n;
}

/* A guest that switches itself off at once, with on_poweroff=restart, restarts DOMAIN_RESTART_BURST times. */
static void test_restart_limit(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "loop", "", "<on_poweroff>restart</on_poweroff>");

	fixture_start(f, d);
	for (unsigned i = 0; i < DOMAIN_RESTART_BURST; i++) {
		type(f, d, "poweroff\n");
		RUN_UNTIL(f, count_events(f, "reboot loop  ") == i + 1);
	}
	type(f, d, "poweroff\n");
	RUN_UNTIL(f, !domain_is_active(d));
	assert_state(d, "shut off", "shutdown");
	/* A start by hand begins anew. */
	fixture_start(f, d);
	type(f, d, "poweroff\n");
	RUN_UNTIL(f, count_events(f, "reboot loop  ") == DOMAIN_RESTART_BURST + 1);
}

static void test_io_error_pauses(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "io", "", "");

	fixture_start(f, d);
	type(f, d, "pause-io\n");
	RUN_UNTIL(f, d->state == DOMAIN_STATE_PAUSED);
	assert_state(d, "paused", "I/O error");
	fixture_wait(f, domain_resume(d, fixture_done, f, &f->error));
	assert_state(d, "running", "unpaused");
}

static void test_console(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "con", "", "");
	char buf[64] = "";
	int first;

	assert_int_equal(domain_open_console(d, "", 0, fixture_done_fd, f, &f->error), -ENOTCONN);
	fixture_start(f, d);
	fixture_wait(f, domain_open_console(d, "serial0", 0, fixture_done_fd, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	first = f->done_fd;
	f->done_fd = -EBADF;
	fd_set_nonblock(first, false);
	assert_int_equal(read(first, buf, sizeof(buf)), 14);
	assert_string_equal(buf, "fake console\r\n");
	fixture_wait(f, domain_open_console(d, "", 0, fixture_done_fd, f, &f->error));
	assert_string_equal(f->done_error.message,
		"operation failed: Active console session exists for this domain");
	assert_int_equal(
		domain_open_console(d, "serial7", 0, fixture_done_fd, f, &f->error), -EINVAL);
	close(first);
}

static void assert_resized(struct fixture *f, struct domain *d, const char *device, int fd,
	uint32_t cols, uint32_t rows, const char *want)
{
	char buf[64] = "";

	fixture_wait(f, domain_resize_console(d, device, cols, rows, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(read(fd, buf, sizeof(buf) - 1), strlen(want));
	assert_string_equal(buf, want);
}

static void test_console_size(void **state)
{
	static const uint32_t bad[][2] = {{0, 25}, {80, 0}, {65536, 25}, {80, 65536}};
	struct fixture *f = *state;
	struct domain *d;
	char buf[64];
	int fd;

	f->devices = CONSOLES;
	d = fixture_define(f, "size", "", "");
	assert_int_equal(
		domain_resize_console(d, "", 80, 25, fixture_done, f, &f->error), -ENOTCONN);
	fixture_start(f, d);
	fixture_wait(f, domain_open_console(d, "console1", 0, fixture_done_fd, f, &f->error));
	fd = f->done_fd;
	f->done_fd = -EBADF;
	fd_set_nonblock(fd, false);
	assert_int_equal(read(fd, buf, sizeof(buf)), 14);
	/* Kind and index as the worker counts: virtio console 1, and the serial port by both its names. */
	assert_resized(f, d, "console1", fd, 132, 65535, "1 1 is 132x65535\r\n");
	assert_resized(f, d, "console0", fd, 1, 1, "0 0 is 1x1\r\n");
	assert_resized(f, d, "", fd, 65535, 2, "0 0 is 65535x2\r\n");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(domain_resize_console(
					 d, "", bad[i][0], bad[i][1], fixture_done, f, &f->error),
			-EINVAL);
	assert_int_equal(
		domain_resize_console(d, "console2", 80, 25, fixture_done, f, &f->error), -EINVAL);
	assert_string_equal(f->error.message,
		"invalid argument: domain 'size' has no character device 'console2'");
	close(fd);
}

#define CHANNEL                                                                                    \
	"<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"

/* Where the running domain's channel listens, as its XML says; "" without. */
static void channel_path(const struct domain *d, char ret[128])
{
	_cleanup_(freep) char *xml = NULL;
	struct error e = {0};
	const char *at;

	*ret = 0;
	assert_int_equal(domain_format_xml(d, false, &xml, &e), 0);
	at = strstr(xml, "<source mode='bind' path='");
	if (at)
		(void)sscanf(at, "<source mode='bind' path='%127[^']", ret);
}

/* The live XML, also a later daemon's, is the only one to say where an unnamed socket is. */
static void test_channel_path(void **state)
{
	struct fixture *f = *state;
	char path[128], again[128];
	struct domain *d;
	uint8_t uuid[16];
	struct stat st;

	f->devices = CHANNEL;
	d = fixture_define(f, "agent", "", "");
	channel_path(d, path);
	assert_string_equal(path, "");
	fixture_start(f, d);
	channel_path(d, path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	memcpy(uuid, d->uuid, 16);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_uuid(f->manager, uuid);
	RUN_UNTIL(f, worker_is_connected(d->worker));
	channel_path(d, again);
	assert_string_equal(again, path);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(stat(path, &st), -1);
}

/* The daemon object goes, a new one comes: the worker never noticed. */
static void test_readoption(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "live", "", "");
	uint8_t uuid[16];
	pid_t pid;

	fixture_start(f, d);
	fixture_wait(f, domain_suspend(d, fixture_done, f, &f->error));
	pid = worker_pid(d->worker);
	memcpy(uuid, d->uuid, 16);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_uuid(f->manager, uuid);
	assert_non_null(d);
	assert_true(domain_is_active(d));
	assert_int_equal(worker_pid(d->worker), pid);
	assert_int_equal(d->id, 1);
	assert_state(d, "paused", "user");
	RUN_UNTIL(f, worker_is_connected(d->worker));
	assert_non_null(d->stats);
	fixture_wait(f, domain_resume(d, fixture_done, f, &f->error));
	assert_state(d, "running", "unpaused");
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_state(d, "shut off", "destroyed");
	/* Ids go on where they were. */
	fixture_start(f, d);
	assert_int_equal(d->id, 2);
}

static void test_readoption_of_the_transient_the_dead_and_the_silent(void **state)
{
	struct fixture *f = *state;
	struct domain *dead = fixture_define(f, "dead", "", ""), *silent, *d = NULL;
	unsigned n_done;
	pid_t silent_pid;

	fixture_start(f, dead);
	silent = fixture_define(f, "silent", "", "");
	fixture_start(f, silent);
	fixture_wait(f,
		manager_create(f->manager, fixture_xml(f, "tran", "", ""), "t.xml", 0, 0,
			fixture_done, f, &d, NULL, &f->error));
	silent_pid = worker_pid(silent->worker);
	assert_int_equal(kill(worker_pid(dead->worker), SIGKILL), 0);
	assert_int_equal(kill(silent_pid, SIGSTOP), 0);
	f->manager = manager_free(f->manager);
	usleep(20000);

	fixture_open_manager(f);
	d = manager_find_name(f->manager, "tran");
	assert_true(d && domain_is_active(d) && !domain_is_persistent(d));
	dead = manager_find_name(f->manager, "dead");
	assert_false(domain_is_active(dead));
	assert_state(dead, "shut off", "crashed");
	silent = manager_find_name(f->manager, "silent");
	assert_true(domain_is_active(silent));
	RUN_UNTIL(f, worker_is_connected(d->worker));
	/* A stopped worker is not killed; when it goes on, all is well, and it does what was asked meanwhile. */
	n_done = f->n_done;
	assert_int_equal(domain_suspend(silent, fixture_done, f, &f->error), 0);
	assert_false(worker_is_connected(silent->worker));
	assert_state(silent, "running", "booted");
	assert_int_equal(kill(silent_pid, SIGCONT), 0);
	RUN_UNTIL(f, f->n_done > n_done);
	assert_false(silent->degraded);
	assert_int_equal(f->done_error.code, 0);
	assert_state(silent, "paused", "user");
	/* The transient one is forgotten when it ends. */
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_null(manager_find_name(f->manager, "tran"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		T(test_lifecycle),
		T(test_start_paused_and_destroy),
		T(test_failing_starts),
		T(test_refused_before_anything_is_made),
		T(test_crash_while_running),
		T(test_stopped_worker_times_out),
		T(test_failing_requests),
		T(test_panic_actions),
		T(test_reboot),
		T(test_reset_inside_and_on_reboot_destroy),
		T(test_restart_limit),
		T(test_io_error_pauses),
		T(test_console),
		T(test_console_size),
		T(test_channel_path),
		T(test_readoption),
		T(test_readoption_of_the_transient_the_dead_and_the_silent),
	};

	log_init("test-domain", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
