/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol client against the fake worker: each misbehaviour has its end, none hangs, no fd is lost. */
#include "daemon/worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "config/vm-config.h"
#include "daemon/jail.h"
#include "daemon/process.h"
#include "daemon/spawner.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"

#define SECONDS(n) ((n)*UINT64_C(1000000))

struct fixture {
	char dir[64];
	int dir_fd, listen_fd, exe_fd;
	unsigned n_fds;
	sd_event *event;
	struct worker *worker;
	struct spawner *spawner; /* NULL but in tests of it */
	unsigned hellos, states, notices, silents, gones, replies;
	struct proto_state last;
	struct worker_exit exit;
	int reply_error;
	char reply_text[PROTO_REASON_MAX];
};

static const uint8_t uuid[16] = {0xaa, 1};

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int open_fake(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

	assert_true(n > 0);
	path[n] = 0;
	strcpy(strrchr(path, '/'), "/fake-worker");
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->n_fds = count_fds();
	strcpy(f->dir, "/tmp/test-worker-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->listen_fd = worker_listen(f->dir_fd);
	assert_true(f->listen_fd >= 0);
	f->exe_fd = open_fake();
	assert_true(f->exe_fd >= 0);
	assert_int_equal(sd_event_new(&f->event), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	if (f->worker && !f->gones) {
		worker_kill(f->worker);
		while (!f->gones)
			sd_event_run(f->event, SECONDS(5));
	}
	worker_free(f->worker);
	spawner_free(f->spawner);
	sd_event_unref(f->event);
	close(f->dir_fd);
	close(f->listen_fd);
	close(f->exe_fd);
	assert_int_equal(count_fds(), f->n_fds);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void on_hello(void *opaque, const struct proto_state *s)
{
	struct fixture *f = opaque;

	f->hellos++;
	f->last = *s;
}

static void on_state(void *opaque, const struct proto_state *s)
{
	struct fixture *f = opaque;

	f->states++;
	f->last = *s;
}

static void on_notice(void *opaque, const struct proto_notice *n)
{
	(void)n;
	((struct fixture *)opaque)->notices++;
}

static bool on_vcpus(void *opaque, const struct proto_vcpus *vcpus)
{
	(void)opaque;
	(void)vcpus;
	return true;
}

static void on_cpuid(void *opaque, const struct proto_cpuid *cpuid)
{
	(void)opaque;
	(void)cpuid;
}

static void on_silent(void *opaque)
{
	((struct fixture *)opaque)->silents++;
}

static void on_gone(void *opaque, const struct worker_exit *exit)
{
	struct fixture *f = opaque;

	f->gones++;
	f->exit = *exit;
}

static const struct worker_ops ops = {
	.hello = on_hello,
	.state = on_state,
	.notice = on_notice,
	.vcpus = on_vcpus,
	.cpuid = on_cpuid,
	.silent = on_silent,
	.gone = on_gone,
};

static void on_reply(void *userdata, int error, const char *text)
{
	struct fixture *f = userdata;

	f->replies++;
	f->reply_error = error;
	snprintf(f->reply_text, sizeof(f->reply_text), "%s", text);
}

/* Run the loop until *what reaches n; fails after 8 s. */
static void run_until(struct fixture *f, const unsigned *what, unsigned n)
{
	uint64_t now, end;

	assert_int_equal(sd_event_now(f->event, CLOCK_MONOTONIC, &end) < 0, 0);
	end += SECONDS(8);
	while (*what < n) {
		sd_event_run(f->event, 200000);
		sd_event_now(f->event, CLOCK_MONOTONIC, &now);
		if (now > end)
			fail_msg("nothing happened in 8 s");
	}
}

static void spawn(struct fixture *f, const char *name, const struct jail_plan *jail)
{
	struct worker_spec spec = {
		.name = name,
		.uuid = uuid,
		.exe_fd = f->exe_fd,
		.listen_fd = f->listen_fd,
		.log_fd = -EBADF,
		.jail = jail,
		.spawner = f->spawner,
	};
	struct error e = {0};

	if (worker_spawn(f->event, &spec, &ops, f, &f->worker, &e) < 0)
		fail_msg("%s", e.message);
}

static int start_flags(struct fixture *f, const char *cmdline, uint64_t timeout, uint32_t flags)
{
	static struct vm_config config;
	struct proto_start start = {.n_fds = 1, .fds[0].kind = PROTO_FD_CONFIG, .flags = flags};
	_cleanup_(closep) int fd = -EBADF;

	memcpy(config.uuid, uuid, 16);
	snprintf(config.cmdline, sizeof(config.cmdline), "%s", cmdline);
	fd = memfd_from_data("config", &config, sizeof(config));
	assert_true(fd >= 0);
	run_until(f, &f->hellos, 1);
	return worker_request(
		f->worker, PROTO_START, &start, sizeof(start), &fd, 1, timeout, on_reply, f);
}

static void start(struct fixture *f, const char *cmdline)
{
	assert_int_equal(start_flags(f, cmdline, SECONDS(5), 0), 0);
}

static void test_start_pause_resume_quit(void **state)
{
	struct fixture *f = *state;

	spawn(f, "good", NULL);
	assert_false(worker_is_connected(f->worker));
	assert_int_equal(worker_request(f->worker, PROTO_PAUSE, NULL, 0, NULL, 0, 1, on_reply, f),
		-ENOTCONN);
	start(f, "");
	run_until(f, &f->replies, 1);
	assert_int_equal(f->reply_error, 0);
	worker_request(f->worker, PROTO_PAUSE, NULL, 0, NULL, 0, SECONDS(5), on_reply, f);
	run_until(f, &f->states, 1);
	assert_int_equal(f->last.state, PROTO_VM_PAUSED);
	worker_request(f->worker, PROTO_QUIT, NULL, 0, NULL, 0, SECONDS(5), on_reply, f);
	run_until(f, &f->gones, 1);
	assert_int_equal(f->replies, 3);
	assert_int_equal(f->last.state, PROTO_VM_STOPPED);
	assert_false(f->exit.violation);
	assert_string_equal(f->exit.text, "the worker ended with exit status 0");
}

static void test_failed_start_says_why(void **state)
{
	struct fixture *f = *state;

	spawn(f, "good", NULL);
	start(f, "fake=fail-start");
	run_until(f, &f->gones, 1);
	assert_int_equal(f->reply_error, -ENOMEM);
	assert_string_equal(f->reply_text, "KVM_CREATE_VM: Cannot allocate memory");
}

/* A deadline passes, the caller is told, and the late answer is no violation. */
static void test_deadline_and_late_answer(void **state)
{
	struct fixture *f = *state;

	spawn(f, "good", NULL);
	start(f, "");
	run_until(f, &f->replies, 1);
	assert_int_equal(kill(worker_pid(f->worker), SIGSTOP), 0);
	assert_int_equal(
		worker_request(f->worker, PROTO_PAUSE, NULL, 0, NULL, 0, 100000, on_reply, f), 0);
	run_until(f, &f->replies, 2);
	assert_int_equal(f->reply_error, -ETIMEDOUT);
	assert_int_equal(kill(worker_pid(f->worker), SIGCONT), 0);
	run_until(f, &f->states, 1);
	assert_int_equal(f->replies, 2);
	assert_int_equal(f->gones, 0);
}

/* A worker that never answers costs WORKER_MAX_PENDING places, then requests are refused at once. */
static void test_pending_is_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;
	int r;

	spawn(f, "good", NULL);
	start(f, "fake=mute");
	run_until(f, &f->replies, 1);
	while ((r = worker_request(f->worker, PROTO_PAUSE, NULL, 0, NULL, 0, 1000, on_reply, f)) ==
		0)
		n++;
	assert_int_equal(r, -EBUSY);
	assert_int_equal(n, WORKER_MAX_PENDING);
	run_until(f, &f->replies, 1 + WORKER_MAX_PENDING);
	worker_kill(f->worker);
	run_until(f, &f->gones, 1);
	assert_int_equal(f->replies, 1 + WORKER_MAX_PENDING);
	assert_true(f->exit.killed);
}

static void test_violations_are_the_end(void **state)
{
	static const struct {
		const char *name, *cmdline, *text;
	} cases[] = {
		{"garbage-hello", NULL, "a packet of the wrong length"},
		{"wrong-version", NULL, "another protocol version"},
		{"hello-fds", NULL, "carries fds"},
		{"good", "fake=garbage", "a packet of the wrong length"},
		{"good", "fake=bad-type", "an unknown message type"},
		{"good", "fake=cpuid-many", "leaves of CPUID that cannot be"},
		{"good", "fake=cpuid-short", "leaves of CPUID of the wrong length"},
		{"good", "fake=short", "a state of the wrong length"},
		{"good", "fake=fds", "carries fds"},
		{"good", "fake=wrong-seq", "a reply nobody asked for"},
		{"good", "fake=bad-text", "a text without an end"},
		{"good", "fake=back-to-new", "a state that goes back to new"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->hellos = f->gones = f->replies = 0;
		spawn(f, cases[i].name, NULL);
		if (cases[i].cmdline)
			start(f, cases[i].cmdline);
		run_until(f, &f->gones, 1);
		assert_true(f->exit.violation);
		if (!strstr(f->exit.text, cases[i].text))
			fail_msg("'%s' has no '%s'", f->exit.text, cases[i].text);
		if (cases[i].cmdline)
			assert_int_equal(f->replies, 1);
		f->worker = worker_free(f->worker);
	}
}

static void test_deaths(void **state)
{
	struct fixture *f = *state;

	spawn(f, "exit-early", NULL);
	run_until(f, &f->gones, 1);
	assert_string_equal(f->exit.text, "the worker ended with exit status 7");
	f->worker = worker_free(f->worker);
	f->gones = 0;
	spawn(f, "good", NULL);
	start(f, "fake=crash");
	run_until(f, &f->gones, 1);
	assert_int_equal(f->reply_error, -ECONNRESET);
	assert_string_equal(f->exit.text, "the worker was killed by signal 9 (Killed)");
}

/* 20000 notices at once: all are read or put off, other sources still get their turn. */
static void test_flood_is_put_off(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	spawn(f, "good", NULL);
	start(f, "fake=flood");
	run_until(f, &f->notices, WORKER_RATE_BURST / 2);
	assert_int_equal(f->gones, 0);
	/* One a turn: whatever it says, others had theirs in between. */
	n = f->notices;
	assert_true(sd_event_run(f->event, SECONDS(5)) > 0);
	assert_true(f->notices <= n + 1);
}

static void test_adoption(void **state)
{
	struct fixture *f = *state;
	uint64_t started;
	pid_t pid;

	spawn(f, "good", NULL);
	start(f, "");
	run_until(f, &f->replies, 1);
	pid = worker_pid(f->worker);
	started = worker_start_time(f->worker);
	f->worker = worker_free(f->worker);

	assert_int_equal(
		worker_adopt(f->event, uuid, pid, started + 1, f->dir_fd, &ops, f, &f->worker),
		-ESRCH);
	f->hellos = 0;
	assert_int_equal(
		worker_adopt(f->event, uuid, pid, started, f->dir_fd, &ops, f, &f->worker), 0);
	run_until(f, &f->hellos, 1);
	assert_int_equal(f->last.state, PROTO_VM_RUNNING);
	worker_request(f->worker, PROTO_PAUSE, NULL, 0, NULL, 0, SECONDS(5), on_reply, f);
	run_until(f, &f->states, 1);
	assert_int_equal(f->last.state, PROTO_VM_PAUSED);
	f->worker = worker_free(f->worker);

	/* The wrong uuid: the process answers as another vm, and is not trusted. */
	f->hellos = 0;
	assert_int_equal(worker_adopt(f->event, (const uint8_t[16]){9}, pid, started, f->dir_fd,
				 &ops, f, &f->worker),
		0);
	run_until(f, &f->gones, 1);
	assert_true(f->exit.violation);
}

/* Without its control socket it is watched, and told to be silent, but not killed. */
static void test_adoption_without_socket(void **state)
{
	struct fixture *f = *state;
	uint64_t started;
	pid_t pid;

	spawn(f, "good", NULL);
	start(f, "");
	run_until(f, &f->replies, 1);
	pid = worker_pid(f->worker);
	started = worker_start_time(f->worker);
	f->worker = worker_free(f->worker);
	assert_int_equal(unlinkat(f->dir_fd, "control", 0), 0);
	assert_int_equal(
		worker_adopt(f->event, uuid, pid, started, f->dir_fd, &ops, f, &f->worker), 0);
	run_until(f, &f->silents, 1);
	assert_int_equal(f->gones, 0);
	assert_false(worker_is_connected(f->worker));
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[256] = "";
	int fd, parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_int_equal(sscanf(strrchr(text, ')'), ") %*c %d", &parent), 1);
	return parent;
}

/* Made by another process, a worker is our child all the same, with its fds and its jail. */
static void test_spawner(void **state)
{
	struct jail_plan jail = {.n_cgroups = 1};
	struct fixture *f = *state;
	char joined[8] = "";
	int pipe_fds[2];

	assert_int_equal(spawner_new(&f->spawner), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	jail.cgroup_fds[0] = pipe_fds[1];
	for (unsigned i = 0; i < 2; i++) {
		f->hellos = f->replies = f->gones = 0;
		spawn(f, "good", &jail);
		assert_int_equal(parent_of(worker_pid(f->worker)), getpid());
		start(f, "");
		run_until(f, &f->replies, 1);
		assert_int_equal(f->reply_error, 0);
		assert_int_equal(read(pipe_fds[0], joined, sizeof(joined)), 2);
		assert_string_equal(joined, "0\n");
		worker_request(f->worker, PROTO_QUIT, NULL, 0, NULL, 0, SECONDS(5), on_reply, f);
		run_until(f, &f->gones, 1);
		assert_string_equal(f->exit.text, "the worker ended with exit status 0");
		f->worker = worker_free(f->worker);
	}
	/* What fails before exec is told. */
	jail.n_rlimits = 1;
	jail.rlimits[0].resource = 12345;
	f->gones = 0;
	spawn(f, "good", &jail);
	run_until(f, &f->gones, 1);
	assert_string_equal(f->exit.text, "cannot start the worker: setrlimit: Invalid argument");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* The C library's, for all that this test is linked with. */
static bool no_wait_allowed;

pid_t waitpid(pid_t pid, int *status, int options)
{
	if (no_wait_allowed && !(options & WNOHANG))
		fail_msg("waits for process %d to die", (int)pid);
	return wait4(pid, status, options, NULL);
}

/* Whatever becomes of it, there are workers; and nobody waits for it to die, which the kernel may not allow for long. */
static void test_spawner_that_is_gone(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	assert_int_equal(spawner_new(&f->spawner), 0);
	pid = spawner_pid(f->spawner);
	assert_int_equal(kill(pid, SIGKILL), 0);
	no_wait_allowed = true;
	log_init("test-worker", LOG_CRIT, false);
	for (unsigned i = 0; i < 2; i++) {
		f->gones = 0;
		spawn(f, "exit-early", NULL);
		run_until(f, &f->gones, 1);
		assert_string_equal(f->exit.text, "the worker ended with exit status 7");
		f->worker = worker_free(f->worker);
	}
	assert_int_equal(spawner_pid(f->spawner), 0);
	/* It had died when the second one was made. */
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	f->spawner = spawner_free(f->spawner);
	assert_int_equal(spawner_new(&f->spawner), 0);
	f->spawner = spawner_free(f->spawner);
	no_wait_allowed = false;
	log_init("test-worker", LOG_ERR, false);
}

/* A daemon that is killed has no time to end its spawner. */
static void test_spawner_ends_with_its_daemon(void **state)
{
	pid_t daemon, pid = 0;
	int pipe_fds[2], fd;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	daemon = fork();
	if (daemon == 0) {
		struct spawner *spawner = NULL;

		if (spawner_new(&spawner) == 0)
			pid = spawner_pid(spawner);
		(void)!write(pipe_fds[1], &pid, sizeof(pid));
		pause();
		_exit(1);
	}
	assert_int_equal(read(pipe_fds[0], &pid, sizeof(pid)), sizeof(pid));
	assert_true(pid > 0);
	fd = process_open(pid);
	assert_true(fd >= 0);
	assert_false(process_is_gone(fd));
	assert_int_equal(kill(daemon, SIGKILL), 0);
	assert_int_equal(waitpid(daemon, NULL, 0), daemon);
	assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 8000), 1);
	close(fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_start_pause_resume_quit),
		T(test_failed_start_says_why),
		T(test_deadline_and_late_answer),
		T(test_pending_is_bounded),
		T(test_violations_are_the_end),
		T(test_deaths),
		T(test_flood_is_put_off),
		T(test_adoption),
		T(test_adoption_without_socket),
		T(test_spawner),
		T(test_spawner_that_is_gone),
		T(test_spawner_ends_with_its_daemon),
	};

	log_init("test-worker", LOG_ERR, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
