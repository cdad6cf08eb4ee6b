/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon asks of a shipped worker under /dev/kvm, while one of our own guests runs, and what the worker refuses;
 * also when the daemon is busy, confused or gone.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/guest/guests.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/cpuset.h"
#include "vmm-core/base/fdio.h"

static void test_start_paused(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "exit", "3");
	h.flags = PROTO_START_PAUSED;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_wait(&h, PROTO_VM_PAUSED, WAIT_MS));
	/* A reset of a paused vm leaves it paused. */
	expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	assert_int_equal(h.state.state, PROTO_VM_PAUSED);
	expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
	expect_exit(&h, 3);
}

static void test_pause(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "spin", "");
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	for (unsigned i = 0; i < 20; i++) {
		expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
		assert_int_equal(h.state.state, PROTO_VM_PAUSED);
		expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS)); /* is so already */
		expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
		assert_int_equal(h.state.state, PROTO_VM_RUNNING);
		assert_int_equal(harness_request(&h, PROTO_RESUME, WAIT_MS), -EINVAL);
	}
	expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	(void)harness_request(&h, PROTO_QUIT, WAIT_MS);
	expect_ok(&h, harness_wait(&h, PROTO_VM_STOPPED, WAIT_MS));
	assert_int_equal(h.state.reason, PROTO_REASON_USER);
	harness_done(&h);
}

/* A reset while an access to a device is under way: nothing of the old life comes back. */
static void test_reset_in_access(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "mmio", "");
	expect_ok(&h, harness_expect(&h, "reading\n", WAIT_MS, NULL));
	for (unsigned i = 0; i < 50; i++) {
		expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
		expect_ok(&h, harness_expect(&h, "reading\n", WAIT_MS, NULL));
	}
	harness_done(&h);
}

/* Requests that follow each other without waiting: each has its one answer, and the vm is where the last word put it. */
static void test_overlaps(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "spin", "");
	for (unsigned i = 0; i < 40; i++) {
		enum proto_type first = i & 1 ? PROTO_RESET : PROTO_PAUSE;
		enum proto_type second = i & 1 ? PROTO_PAUSE : PROTO_RESET;
		uint32_t seqs[2];

		expect_ok(&h, harness_send(&h, first, NULL, 0, NULL, 0, &seqs[0]));
		expect_ok(&h, harness_send(&h, second, NULL, 0, NULL, 0, &seqs[1]));
		/* RESET is answered before the pause that follows it, also when the two became one. */
		expect_ok(&h, harness_wait_reply(&h, i & 1 ? seqs[0] : seqs[1], WAIT_MS));
		expect_ok(&h, harness_wait(&h, PROTO_VM_PAUSED, WAIT_MS));
		expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
		assert_int_equal(h.state.state, PROTO_VM_RUNNING);
	}
	harness_done(&h);
}

/* A guest that does nothing but reset, while the daemon is busy elsewhere: it stays in hand. */
static void test_reset_storm(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "reset", "forever");
	(void)usleep(1500000);
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	assert_int_equal(h.state.state, PROTO_VM_PAUSED);
	assert_true(h.n_notices > 0);
	harness_done(&h);
}

/* The loop's turns and nothing else move the heartbeat. */
static void test_heartbeat(void **state)
{
	struct harness h;
	uint64_t beats;

	(void)state;
	boot(&h, "spin", "halt");
	beats = h.stats->heartbeat;
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	assert_true(h.stats->heartbeat > beats);
	harness_done(&h);
}

/* What /proc says of a thread: the text behind 'name' in its status. */
static void read_status(pid_t pid, const char *tid, const char *name, char ret[256])
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", pid, tid);
	f = fopen(path, "re");
	assert_non_null(f);
	for (*ret = 0; fgets(ret, 256, f); *ret = 0)
		if (strncmp(ret, name, strlen(name)) == 0)
			break;
	(void)fclose(f);
	ret[strcspn(ret, "\n")] = 0;
	memmove(ret, ret + strcspn(ret, ":\t"), strlen(ret + strcspn(ret, ":\t")) + 1);
	memmove(ret, ret + strspn(ret, ":\t "), strlen(ret + strspn(ret, ":\t ")) + 1);
}

/* Every vCPU's thread is on the host CPUs of <vcpu cpuset=>, here one, and so is the loop's. */
static void test_cpuset(void **state)
{
	char expected[CPUSET_TEXT_MAX], path[64], text[256];
	unsigned cpu = CPU_SETSIZE, n = 0;
	struct dirent *e;
	struct harness h;
	cpu_set_t mine;
	DIR *d;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(mine), &mine), 0);
	while (cpu && !CPU_ISSET(cpu - 1, &mine))
		cpu--;
	assert_true(cpu > 0);
	cpu--;
	prepare(&h, "spin", "halt");
	h.config.vcpus = h.config.vcpus_max = 2;
	h.config.cpuset[cpu / 64] = UINT64_C(1) << cpu % 64;
	expect_ok(&h, harness_start(&h));
	/* What its processors are was told before START's answer. */
	assert_true(h.cpuid.n > 4 && h.cpuid.n <= VM_MAX_CPUID_LEAVES);
	assert_int_equal(h.cpuid.leaves[0].leaf, 0);
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	cpuset_format(h.config.cpuset, expected);
	(void)snprintf(path, sizeof(path), "/proc/%d/task", h.pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (*e->d_name == '.')
			continue;
		read_status(h.pid, e->d_name, "Name", text);
		/* The kernel's own threads in the process are its affair. */
		if (strncmp(text, "CPU ", 4) != 0 && atoi(e->d_name) != h.pid)
			continue;
		n++;
		read_status(h.pid, e->d_name, "Cpus_allowed_list", text);
		assert_string_equal(text, expected);
	}
	(void)closedir(d);
	assert_int_equal(n, 3);
	harness_done(&h);
}

static void expect_refused(struct harness *h, int error, const char *word)
{
	int status, r = harness_start(h);

	assert_int_equal(r, error);
	if (!strstr(h->error, word))
		fail_msg("'%s' does not say '%s'", h->error, word);
	expect_ok(h, harness_reap(h, WAIT_MS, &status));
	harness_done(h);
}

/* All of the guest's memory is there and locked before it runs. */
static void test_locked(void **state)
{
	char tid[16], text[256];
	struct rlimit limit;
	struct harness h;

	(void)state;
	prepare(&h, "spin", "halt");
	h.config.memory_locked = 1;
	h.flags = PROTO_START_PAUSED;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	/* A user's worker without the jail has the user's own limit. */
	if (geteuid() != 0 && limit.rlim_cur < KIB(h.config.memory_kib)) {
		expect_refused(&h, -ENOMEM, "': cannot lock 65536 KiB of guest memory: ");
		return;
	}
	expect_ok(&h, harness_start(&h));
	(void)snprintf(tid, sizeof(tid), "%d", h.pid);
	read_status(h.pid, tid, "VmLck", text);
	if (strtoull(text, NULL, 10) < h.config.memory_kib)
		fail_msg("%s of %llu KiB", text, (unsigned long long)h.config.memory_kib);
	harness_done(&h);
}

/* All of it is there before the guest runs, allocated by more threads than are allowed to be. */
static void test_allocated(void **state)
{
	char tid[16], text[256];
	struct harness h;

	(void)state;
	prepare(&h, "spin", "halt");
	h.config.memory_allocation = VM_ALLOCATION_IMMEDIATE;
	h.config.memory_allocators = 8;
	h.flags = PROTO_START_PAUSED;
	expect_ok(&h, harness_start(&h));
	(void)snprintf(tid, sizeof(tid), "%d", h.pid);
	read_status(h.pid, tid, "VmRSS", text);
	if (strtoull(text, NULL, 10) < h.config.memory_kib)
		fail_msg("%s of %llu KiB", text, (unsigned long long)h.config.memory_kib);
	harness_done(&h);
}

static void test_refusals(void **state)
{
	struct harness h;

	(void)state;
	prepare_kernel(&h, "/etc/passwd");
	expect_refused(&h, -ENOEXEC, "kernel");
	prepare(&h, "exit", "");
	h.config.magic++;
	expect_refused(&h, -EINVAL, "");
	prepare(&h, "exit", "");
	h.config.vcpus = 300;
	expect_refused(&h, -EINVAL, "vcpu");
	prepare(&h, "exit", "");
	h.config.cpu.mode = VM_CPU_MODE_CUSTOM;
	(void)strcpy(h.config.cpu.model, "no-such-model");
	expect_refused(&h, -EINVAL, "no-such-model");
	prepare(&h, "exit", "");
	h.config.cpuset[CPUSET_WORDS - 1] = UINT64_C(1) << 63;
	expect_refused(&h, -EINVAL, "vcpu/@cpuset: none of the host CPUs 1023 can be used");
}

/* Nonsense from a confused daemon does not end a running vm. */
static void test_bad_messages(void **state)
{
	struct harness h;
	uint8_t junk[PROTO_MAX_PAYLOAD + 100];
	uint32_t seq;
	unsigned random = 12345;

	(void)state;
	boot(&h, "spin", "halt");
	assert_int_equal(harness_request(&h, PROTO_START, WAIT_MS), -EINVAL);
	assert_int_equal(harness_request(&h, (enum proto_type)4711, WAIT_MS), -ENOSYS);
	assert_int_equal(harness_request(&h, PROTO_REPLY, WAIT_MS), -ENOSYS);
	assert_int_equal(harness_request(&h, PROTO_CONSOLE_ATTACH, WAIT_MS), -EINVAL);
	expect_ok(&h,
		harness_send(&h, PROTO_CONSOLE_ATTACH,
			&(struct proto_console){.kind = 99, .index = 99},
			sizeof(struct proto_console), (int[]){0}, 1, &seq));
	assert_int_equal(harness_wait_reply(&h, seq, WAIT_MS), -ENODEV);
	for (unsigned i = 0; i < 500; i++) {
		size_t len = i * 13 % sizeof(junk);
		int fds[3] = {0, 0, 0};

		for (size_t b = 0; b < len; b++)
			junk[b] = (uint8_t)(random = random * 1103515245 + 12345) >> 3;
		/* Not a request by chance. */
		if (len >= sizeof(struct proto_header))
			((struct proto_header *)(void *)junk)->version = 99;
		(void)send_packet(h.control_fd, junk, len ? len : 1, fds, i % 4);
	}
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	harness_done(&h);
}

/* A worker with a named control socket, as the daemon makes it. */
static void listen_at(struct harness *h, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(addr->sun_path, sizeof(addr->sun_path), "/tmp/vmmd-test-%d.sock", getpid());
	(void)unlink(addr->sun_path);
	h->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->listen_fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
	assert_int_equal(listen(h->listen_fd, 4), 0);
}

/* A guest that ends while no daemon is there: the next one learns how. */
static void test_end_unheard(void **state)
{
	struct sockaddr_un addr;
	struct harness h;

	(void)state;
	prepare(&h, "hello", "");
	listen_at(&h, &addr);
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "hello", WAIT_MS, NULL));
	h.control_fd = safe_close(h.control_fd);
	assert_int_equal(write(h.serial_fd, "\n", 1), 1);
	(void)usleep(300000);
	h.control_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(h.control_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	h.state.state = PROTO_VM_STATE_X_MAX;
	expect_exit(&h, 0);
	(void)unlink(addr.sun_path);
}

/* The daemon dies and comes back: the guest goes on, and HELLO tells how it fares. */
static void test_reconnect(void **state)
{
	struct sockaddr_un addr;
	struct harness h;
	int status;

	(void)state;
	prepare(&h, "hello", "again");
	listen_at(&h, &addr);
	expect_ok(&h, harness_start(&h));
	for (unsigned i = 0; i < 3; i++) {
		h.control_fd = safe_close(h.control_fd);
		h.control_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(h.control_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		h.state.state = PROTO_VM_STATE_X_MAX;
		expect_ok(&h, harness_wait(&h, PROTO_VM_RUNNING, WAIT_MS));
		assert_memory_equal(h.state.uuid, h.config.uuid, 16);
		expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
		expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
	}
	expect_ok(&h, harness_expect(&h, "hello again", WAIT_MS, NULL));
	assert_int_equal(write(h.serial_fd, "\n", 1), 1);
	expect_exit(&h, 0);
	(void)unlink(addr.sun_path);
	/* A worker that never got its START does not outlive its daemon. */
	prepare(&h, "exit", "");
	expect_ok(&h, harness_spawn(&h));
	expect_ok(&h, harness_wait(&h, PROTO_VM_NEW, WAIT_MS));
	h.control_fd = safe_close(h.control_fd);
	expect_ok(&h, harness_reap(&h, WAIT_MS, &status));
	harness_done(&h);
}

static void test_console_attach(void **state)
{
	struct proto_console what = {.kind = PROTO_CONSOLE_SERIAL};
	struct harness h;
	int pair[2], again[2];
	uint32_t seq;

	(void)state;
	boot(&h, "hello", "you");
	expect_ok(&h, harness_expect(&h, "hello you\n", WAIT_MS, NULL));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, again), 0);
	expect_ok(
		&h, harness_send(&h, PROTO_CONSOLE_ATTACH, &what, sizeof(what), &pair[1], 1, &seq));
	expect_ok(&h, harness_wait_reply(&h, seq, WAIT_MS));
	(void)close(pair[1]);
	/* The scrollback comes first. */
	(void)close(h.serial_fd);
	h.serial_fd = pair[0];
	expect_ok(&h, harness_expect(&h, "hello you\n", WAIT_MS, NULL));
	/* One at a time, unless by force. */
	expect_ok(&h,
		harness_send(&h, PROTO_CONSOLE_ATTACH, &what, sizeof(what), &again[1], 1, &seq));
	assert_int_equal(harness_wait_reply(&h, seq, WAIT_MS), -EBUSY);
	what.flags = PROTO_CONSOLE_FORCE;
	expect_ok(&h,
		harness_send(&h, PROTO_CONSOLE_ATTACH, &what, sizeof(what), &again[1], 1, &seq));
	expect_ok(&h, harness_wait_reply(&h, seq, WAIT_MS));
	(void)close(again[1]);
	(void)close(h.serial_fd);
	h.serial_fd = again[0];
	assert_int_equal(write(h.serial_fd, "typed\n", 6), 6);
	expect_ok(&h, harness_expect(&h, "typed\n", WAIT_MS, NULL));
	expect_exit(&h, 0);
}

static int resize(struct harness *h, struct proto_console_size size)
{
	uint32_t seq;

	expect_ok(h, harness_send(h, PROTO_CONSOLE_RESIZE, &size, sizeof(size), NULL, 0, &seq));
	return harness_wait_reply(h, seq, WAIT_MS);
}

/* What the worker makes of a terminal's size; that a driver hears it is test-virtio-console's. */
static void test_console_size(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "spin", "halt");
	h.config.n_consoles = 2;
	h.config.consoles[0].target = VM_CONSOLE_TARGET_SERIAL;
	h.config.consoles[1].target = VM_CONSOLE_TARGET_VIRTIO;
	h.config.consoles[1].port = 1;
	h.config.consoles[1].type = VM_CHARDEV_UNIX;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, resize(&h, (struct proto_console_size){PROTO_CONSOLE_VIRTIO, 1, 132, 43}));
	/* A serial port has no size. */
	expect_ok(&h, resize(&h, (struct proto_console_size){PROTO_CONSOLE_SERIAL, 0, 132, 43}));
	assert_int_equal(
		resize(&h, (struct proto_console_size){PROTO_CONSOLE_VIRTIO, 1, 0, 43}), -EINVAL);
	assert_int_equal(
		resize(&h, (struct proto_console_size){PROTO_CONSOLE_VIRTIO, 1, 80, 0}), -EINVAL);
	assert_int_equal(
		resize(&h, (struct proto_console_size){PROTO_CONSOLE_VIRTIO, 99, 80, 25}), -ENODEV);
	assert_int_equal(
		resize(&h, (struct proto_console_size){PROTO_CONSOLE_SERIAL, 1, 80, 25}), -ENODEV);
	assert_int_equal(resize(&h, (struct proto_console_size){99, 0, 80, 25}), -ENODEV);
	harness_done(&h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_paused),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_reset_in_access),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_reset_storm),
		cmocka_unit_test(test_heartbeat),
		cmocka_unit_test(test_cpuset),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_allocated),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_bad_messages),
		cmocka_unit_test(test_end_unheard),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_console_attach),
		cmocka_unit_test(test_console_size),
	};

	return guests_main(argc, argv, tests);
}
