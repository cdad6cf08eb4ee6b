/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vNICs that come to and go from one of our own guests while it runs, by the shipped worker under /dev/kvm.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "tests/guest/guests.h"

static int nic_add(struct harness *h, unsigned number)
{
	struct proto_nic_add add = {.nic = number,
		.config = {.port.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)(number + 1)}}};
	uint32_t seq;
	int r = harness_send(h, PROTO_NIC_ADD, &add, sizeof(add), NULL, 0, &seq);

	return r < 0 ? r : harness_wait_reply(h, seq, WAIT_MS);
}

static int nic_remove(struct harness *h, unsigned number)
{
	struct proto_nic_id id = {number};
	uint32_t seq;
	int r = harness_send(h, PROTO_NIC_REMOVE, &id, sizeof(id), NULL, 0, &seq);

	return r < 0 ? r : harness_wait_reply(h, seq, WAIT_MS);
}

static unsigned count_fds(const struct harness *h)
{
	struct dirent *e;
	char path[64];
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", h->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += *e->d_name != '.';
	(void)closedir(d);
	return n;
}

/* A vNIC comes, outlives a reset, goes when the guest lets it, and comes again; the sandbox is closed all the while. */
static void test_hotplug(void **state)
{
	struct harness h;
	unsigned n_fds;

	(void)state;
	boot(&h, "hotplug", "");
	expect_ok(&h, harness_expect(&h, "waiting\n", WAIT_MS, NULL));
	n_fds = count_fds(&h);
	expect_ok(&h, nic_add(&h, 3));
	assert_int_equal(nic_add(&h, 3), -EEXIST);
	expect_ok(&h, harness_expect(&h, "came\n", WAIT_MS, NULL));
	expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	assert_int_equal(h.state.nics, 0); /* of the last STATE, before it came */
	expect_ok(&h, harness_expect(&h, "found\n", WAIT_MS, NULL));
	assert_int_equal(nic_remove(&h, 2), -ENODEV);
	expect_ok(&h, nic_remove(&h, 3));
	expect_ok(&h, harness_expect(&h, "waiting\n", WAIT_MS, NULL));
	/* A STATE that says it is gone says so after it is. */
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	expect_ok(&h, harness_wait_nics(&h, 0, WAIT_MS));
	assert_int_equal(count_fds(&h), n_fds);
	/* While it is paused, too. */
	expect_ok(&h, nic_add(&h, 0));
	expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
	assert_int_equal(h.state.nics, 1);
	expect_ok(&h, harness_expect(&h, "came\n", WAIT_MS, NULL));
	expect_ok(&h, nic_remove(&h, 0));
	/* The guest has seen that nothing is there any more: the next may get the same slot. */
	expect_ok(&h, harness_expect(&h, "gone\n", WAIT_MS, NULL));
	expect_ok(&h, harness_wait_nics(&h, 0, WAIT_MS));
	expect_ok(&h, nic_add(&h, 1));
	expect_ok(&h, harness_expect(&h, "came\n", WAIT_MS, NULL));
	expect_ok(&h, nic_remove(&h, 1));
	expect_ok(&h, harness_expect(&h, "waiting\n", WAIT_MS, NULL));
	assert_int_equal(count_fds(&h), n_fds);
	expect_ok(&h, nic_add(&h, 15));
	expect_exit(&h, 0);
}

/* A guest that does not answer keeps its vNICs, those of the start and later ones, until it is reset. */
static void test_hotplug_unheard(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "spin", "");
	h.config.n_nics = 1;
	h.config.nics[0].port.mac[0] = 2;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	expect_ok(&h, nic_add(&h, 7));
	expect_ok(&h, nic_add(&h, 8));
	expect_ok(&h, nic_remove(&h, 0));
	expect_ok(&h, nic_remove(&h, 7));
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	assert_int_equal(h.state.nics, 1 | 1U << 7 | 1U << 8);
	expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	expect_ok(&h, harness_wait_nics(&h, 1U << 8, WAIT_MS));
	/* Their numbers and slots are free. */
	expect_ok(&h, nic_add(&h, 0));
	expect_ok(&h, nic_add(&h, 7));
	harness_done(&h);
	prepare(&h, "spin", "");
	h.config.acpi = 0;
	expect_ok(&h, harness_start(&h));
	assert_int_equal(nic_add(&h, 0), -ENOTSUP);
	harness_done(&h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hotplug),
		cmocka_unit_test(test_hotplug_unheard),
	};

	return guests_main(argc, argv, tests);
}
