/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs that come to and go from one of our own guests while it runs, by the shipped worker under /dev/kvm.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/guest/guests.h"

static int vcpu_set(struct harness *h, unsigned n)
{
	struct proto_vcpu_set set = {n};
	uint32_t seq;
	int r = harness_send(h, PROTO_VCPU_SET, &set, sizeof(set), NULL, 0, &seq);

	return r < 0 ? r : harness_wait_reply(h, seq, WAIT_MS);
}

/* Threads that are called as vCPUs are. */
static unsigned count_threads(const struct harness *h)
{
	struct dirent *e;
	char path[96], name[32];
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", h->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		FILE *f;

		if (*e->d_name == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", h->pid, e->d_name);
		f = fopen(path, "re");
		n += f && fgets(name, sizeof(name), f) && strncmp(name, "CPU ", 4) == 0;
		if (f)
			(void)fclose(f);
	}
	(void)closedir(d);
	return n;
}

/* They come, are refused, go, come again and are started again; pauses and a reset go on as if nothing were. The sandbox is
 * closed all the while, so all threads are there from the start. */
static void test_vcpus(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "vcpus", "");
	h.config.vcpus_max = 3;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "one\n", WAIT_MS, NULL));
	assert_int_equal(count_threads(&h), 3);
	assert_int_equal(vcpu_set(&h, 0), -EINVAL);
	assert_int_equal(vcpu_set(&h, 4), -EINVAL);
	expect_ok(&h, vcpu_set(&h, 2));
	assert_int_equal(h.vcpus.bits[0], 3); /* VCPUS comes first */
	expect_ok(&h, harness_expect(&h, "came\n", WAIT_MS, NULL));
	expect_ok(&h, vcpu_set(&h, 1));
	expect_ok(&h, harness_expect(&h, "refused\n", WAIT_MS, NULL));
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	assert_int_equal(h.vcpus.bits[0], 3);
	assert_int_equal(h.n_notices, 1);
	assert_int_equal(h.notices[0].kind, PROTO_NOTICE_VCPU_REFUSED);
	assert_int_equal(h.notices[0].index, 1);
	/* Asked again, while it is paused. */
	expect_ok(&h, vcpu_set(&h, 1));
	expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
	expect_ok(&h, harness_expect(&h, "gone\n", WAIT_MS, NULL));
	expect_ok(&h, harness_wait_vcpus(&h, 1, WAIT_MS));
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
	expect_ok(&h, vcpu_set(&h, 3));
	expect_ok(&h, harness_expect(&h, "all\n", WAIT_MS, NULL));
	assert_int_equal(h.vcpus.bits[0], 7);
	/* Nobody listens any more: what was asked for and taken back is as it was, what is asked for comes with the reset. */
	expect_ok(&h, vcpu_set(&h, 1));
	expect_ok(&h, vcpu_set(&h, 2));
	expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	expect_ok(&h, harness_wait_vcpus(&h, 3, WAIT_MS));
	expect_ok(&h, harness_expect(&h, "again\n", WAIT_MS, NULL));
	expect_exit(&h, 0);
}

/* Without ACPI there is nothing to tell the guest by. */
static void test_no_acpi(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "spin", "");
	h.config.acpi = 0;
	h.config.vcpus_max = 2;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	assert_int_equal(vcpu_set(&h, 2), -ENOTSUP);
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	assert_int_equal(h.vcpus.bits[0], 0); /* never told */
	harness_done(&h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vcpus),
		cmocka_unit_test(test_no_acpi),
	};

	return guests_main(argc, argv, tests);
}
