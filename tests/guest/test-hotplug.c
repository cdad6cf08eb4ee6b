/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vNICs and memory that come to and go from one of our own guests while it runs, by the shipped worker under /dev/kvm.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/guest/guests.h"

static int request(struct harness *h, enum proto_type type, const void *payload, size_t len)
{
	uint32_t seq;
	int r = harness_send(h, type, payload, len, NULL, 0, &seq);

	return r < 0 ? r : harness_wait_reply(h, seq, WAIT_MS);
}

static int nic_add(struct harness *h, unsigned number)
{
	struct proto_nic_add add = {.nic = number,
		.config = {.port.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)(number + 1)}}};

	return request(h, PROTO_NIC_ADD, &add, sizeof(add));
}

static int nic_remove(struct harness *h, unsigned number)
{
	struct proto_nic_id id = {number};

	return request(h, PROTO_NIC_REMOVE, &id, sizeof(id));
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

#define BLOCK MIB(2)

static int memory_set(struct harness *h, unsigned number, uint64_t kib)
{
	struct proto_memory_set set = {.number = number, .kib = kib};

	return request(h, PROTO_MEMORY_SET, &set, sizeof(set));
}

static int memory_add(struct harness *h, unsigned number, const struct vm_memory *memory)
{
	struct proto_memory_add add = {.number = number, .config = *memory};

	return request(h, PROTO_MEMORY_ADD, &add, sizeof(add));
}

static int memory_remove(struct harness *h, unsigned number)
{
	struct proto_memory_id id = {number};

	return request(h, PROTO_MEMORY_REMOVE, &id, sizeof(id));
}

static uint64_t plug_bytes(const struct harness *h)
{
	struct stat st;

	assert_int_equal(fstat(h->plug, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Memory that a guest plugs in and out, with memory slots that come and go in the closed sandbox. */
static void test_memory(void **state)
{
	const struct vm_memory memory = {.size_kib = 262144, .block_kib = 2048};
	struct harness h;

	(void)state;
	prepare(&h, "memory", "");
	h.config.max_memory_kib = h.config.memory_kib + 1048576;
	h.config.memory_slots = 2;
	h.config.n_memories = 1;
	h.config.memories[0] = memory;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "ready\n", WAIT_MS, NULL));
	assert_int_equal(plug_bytes(&h), 0);
	assert_int_equal(memory_set(&h, 0, 262144 + 2048), -EINVAL);
	assert_int_equal(memory_set(&h, 1, 2048), -ENODEV);
	expect_ok(&h, memory_set(&h, 0, 4 * 2048));
	expect_ok(&h, harness_expect(&h, "plugged\n", WAIT_MS, NULL));
	expect_ok(&h, harness_wait_notice(&h, PROTO_NOTICE_MEMORY, 1, WAIT_MS));
	assert_int_equal(h.stats->memories[0].plugged, 4 * BLOCK);
	assert_in_range(plug_bytes(&h), 4 * 4096, 4 * BLOCK);
	assert_int_equal(memory_remove(&h, 0), -EBUSY);
	expect_ok(&h, memory_set(&h, 0, 0));
	expect_ok(&h, harness_expect(&h, "unplugged\n", WAIT_MS, NULL));
	assert_int_equal(plug_bytes(&h), 0);
	/* One that comes meanwhile, and goes at a reset of the guest, which lets everything go. */
	expect_ok(&h, memory_add(&h, 1, &memory));
	assert_int_equal(memory_add(&h, 1, &memory), -EEXIST);
	expect_ok(&h, memory_remove(&h, 1));
	expect_ok(&h, memory_set(&h, 0, 2048));
	expect_ok(&h, harness_expect(&h, "again\n", WAIT_MS, NULL));
	assert_in_range(plug_bytes(&h), 4096, BLOCK);
	expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	assert_int_equal(plug_bytes(&h), 0);
	expect_ok(&h, harness_expect(&h, "plugged\n", WAIT_MS, NULL));
	expect_ok(&h, memory_set(&h, 0, 0));
	assert_int_equal(h.memories.bits, 1);
	expect_ok(&h, harness_expect(&h, "unplugged\n", WAIT_MS, NULL));
	expect_ok(&h, memory_set(&h, 0, 2048));
	expect_ok(&h, harness_expect(&h, "again\n", WAIT_MS, NULL));
	expect_ok(&h, memory_set(&h, 0, 0));
	expect_exit(&h, 0);
}

/* The device goes with memory that it could still have had: the guest's eject is a vCPU's, whose sandbox changes no memory slot. */
static void test_memory_ejected(void **state)
{
	const struct vm_memory memory = {.size_kib = 262144, .block_kib = 2048};
	struct harness h;

	(void)state;
	prepare(&h, "memory", "eject");
	h.config.max_memory_kib = h.config.memory_kib + 1048576;
	h.config.memory_slots = 2;
	h.config.n_memories = 1;
	h.config.memories[0] = memory;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "ready\n", WAIT_MS, NULL));
	expect_ok(&h, memory_set(&h, 0, 4 * 2048));
	expect_ok(&h, harness_expect(&h, "plugged\n", WAIT_MS, NULL));
	expect_ok(&h, memory_set(&h, 0, 0));
	expect_ok(&h, harness_expect(&h, "unplugged\n", WAIT_MS, NULL));
	expect_ok(&h, memory_remove(&h, 0));
	expect_exit(&h, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hotplug),
		cmocka_unit_test(test_hotplug_unheard),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_ejected),
	};

	return guests_main(argc, argv, tests);
}
