/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/guest/guests.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *worker_path, *guest_dir;

const char *guests_dir(void)
{
	return guest_dir;
}

static char *guest_path(const char *name)
{
	static char path[4096];

	(void)snprintf(path, sizeof(path), "%s/guest-%s.elf", guest_dir, name);
	return path;
}

void expect_ok(const struct harness *h, int r)
{
	if (r < 0)
		fail_msg("error %d: %s (the vm: state %u, reason %u, code %d)", r, h->error,
			h->state.state, h->state.reason, h->state.code);
}

void prepare_kernel(struct harness *h, const char *kernel)
{
	harness_init(h, worker_path, kernel);
}

void prepare(struct harness *h, const char *guest, const char *cmdline)
{
	harness_init(h, worker_path, guest_path(guest));
	(void)snprintf(h->config.cmdline, sizeof(h->config.cmdline), "%s", cmdline);
}

void boot(struct harness *h, const char *guest, const char *cmdline)
{
	prepare(h, guest, cmdline);
	expect_ok(h, harness_start(h));
}

void expect_exit(struct harness *h, int code)
{
	int status;

	expect_ok(h, harness_wait(h, PROTO_VM_STOPPED, WAIT_MS));
	if (h->state.reason != PROTO_REASON_DEBUG_EXIT)
		fail_msg("stopped for reason %u: %s", h->state.reason, h->state.text);
	assert_int_equal(h->state.code, code);
	expect_ok(h, harness_reap(h, WAIT_MS, &status));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	harness_done(h);
}

void run(const char *guest, const char *cmdline, int code)
{
	struct harness h;

	boot(&h, guest, cmdline);
	expect_exit(&h, code);
}

int guests_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	if (argc < 3) {
		fprintf(stderr, "usage: %s WORKER GUESTS [FILTER]\n", *argv);
		return 2;
	}
	worker_path = argv[1];
	guest_dir = argv[2];
	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		printf("no /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return _cmocka_run_group_tests(*argv, tests, n, NULL, NULL);
}
