/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which packets of the daemon reach a handler, and where the fds of START go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/proto-check.h"

static int checked(unsigned type, uint32_t payload, size_t len, unsigned n_fds)
{
	const struct proto_header header = {
		.version = PROTO_VERSION, .type = (uint16_t)type, .seq = 1, .len = payload};

	return proto_check(&header, len, n_fds);
}

static int request(unsigned type, size_t payload, unsigned n_fds)
{
	return checked(type, (uint32_t)payload, sizeof(struct proto_header) + payload, n_fds);
}

/* What each request carries; the table of proto-check.c, written a second time. */
static const struct {
	unsigned type;
	size_t len;
	unsigned min_fds, max_fds;
} known[] = {
	{PROTO_START, sizeof(struct proto_start), 1, PROTO_MAX_FDS},
	{PROTO_PAUSE, 0, 0, 0},
	{PROTO_RESUME, 0, 0, 0},
	{PROTO_RESET, 0, 0, 0},
	{PROTO_POWER_BUTTON, 0, 0, 0},
	{PROTO_QUIT, 0, 0, 0},
	{PROTO_CONSOLE_ATTACH, sizeof(struct proto_console), 1, 1},
	{PROTO_INJECT_NMI, 0, 0, 0},
	{PROTO_CONSOLE_RESIZE, sizeof(struct proto_console_size), 0, 0},
	{PROTO_NIC_SET, sizeof(struct proto_nic), 0, 0},
	{PROTO_NIC_ANNOUNCE, sizeof(struct proto_nic_id), 0, 0},
	{PROTO_LINK_ADD, sizeof(struct proto_link), PROTO_LINK_FDS, PROTO_LINK_FDS},
	{PROTO_LINK_USE, sizeof(struct proto_link_id), 0, 0},
	{PROTO_LINK_REMOVE, sizeof(struct proto_link_id), 0, 0},
	{PROTO_START_NETWORK, sizeof(struct proto_start), 1, PROTO_MAX_FDS},
	{PROTO_PORT_ADD, sizeof(struct proto_port), PROTO_LINK_FDS, PROTO_LINK_FDS},
	{PROTO_PORT_SET, sizeof(struct proto_port), 0, 0},
	{PROTO_PORT_REMOVE, sizeof(struct proto_port_id), 0, 0},
	{PROTO_UPLINK_ADD, sizeof(struct proto_uplink), 1, 1},
	{PROTO_UPLINK_REMOVE, sizeof(struct proto_uplink_id), 0, 0},
	{PROTO_NIC_ADD, sizeof(struct proto_nic_add), 0, 1},
	{PROTO_NIC_REMOVE, sizeof(struct proto_nic_id), 0, 0},
	{PROTO_CAPTURE, sizeof(struct proto_capture), PROTO_CAPTURE_FDS, PROTO_CAPTURE_FDS},
	{PROTO_TEAM_LOOK, 0, 0, 0},
	{PROTO_TEAM_TEST, sizeof(struct proto_team_test), 0, 0},
	{PROTO_LINK_LIST, sizeof(struct proto_nic_id), 0, 0},
	{PROTO_BALLOON_SET, sizeof(struct proto_balloon), 0, 0},
	{PROTO_BALLOON_STATS, 0, 0, 0},
	{PROTO_PING, 0, 0, 0},
	{PROTO_VCPU_SET, sizeof(struct proto_vcpu_set), 0, 0},
	{PROTO_MMU_STATS, 0, 0, 0},
	{PROTO_IOTHREAD, sizeof(struct proto_iothread), 0, 0},
	{PROTO_MEMORY_SET, sizeof(struct proto_memory_set), 0, 0},
	{PROTO_MEMORY_ADD, sizeof(struct proto_memory_add), 0, 0},
	{PROTO_MEMORY_REMOVE, sizeof(struct proto_memory_id), 0, 0},
};
/* From TEAM_STATE to LINKS are workers', and VCPUS, MEMORIES and CPUID are; new numbers are at the end, since workers of an earlier version may be running. */
static_assert(ARRAY_SIZE(known) ==
		(PROTO_TEAM_STATE - PROTO_START) + (PROTO_TYPE_X_MAX - PROTO_LINKS - 4),
	"a new request: add a row");
static_assert(PROTO_LINKS == PROTO_TEAM_STATE + 2, "of workers");

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		unsigned type = known[i].type;

		assert_true(known[i].len <= PROTO_MAX_PAYLOAD);
		assert_int_equal(request(type, known[i].len, known[i].min_fds), 0);
		assert_int_equal(request(type, known[i].len, known[i].max_fds), 0);
		assert_int_equal(request(type, known[i].len, known[i].max_fds + 1), -EINVAL);
		if (known[i].min_fds)
			assert_int_equal(
				request(type, known[i].len, known[i].min_fds - 1), -EINVAL);
		assert_int_equal(request(type, known[i].len + 1, known[i].min_fds), -EINVAL);
		if (known[i].len)
			assert_int_equal(
				request(type, known[i].len - 1, known[i].min_fds), -EINVAL);
	}
}

static void test_no_requests(void **state)
{
	const size_t header_len = sizeof(struct proto_header);
	const struct proto_header other = {.version = PROTO_VERSION + 1, .type = PROTO_PAUSE};

	(void)state;
	for (unsigned type = 0; type < PROTO_START; type++)
		assert_int_equal(request(type, 0, 0), -ENOSYS);
	for (unsigned type = PROTO_TEAM_STATE; type <= PROTO_LINKS; type++)
		assert_int_equal(request(type, 0, 0), -ENOSYS);
	assert_int_equal(request(PROTO_TYPE_X_MAX, 0, 0), -ENOSYS);
	assert_int_equal(request(UINT16_MAX, 0, 0), -ENOSYS);
	assert_int_equal(checked(PROTO_PAUSE, 0, header_len - 1, 0), -EBADMSG);
	assert_int_equal(checked(PROTO_PAUSE, 0, 0, 0), -EBADMSG);
	assert_int_equal(checked(PROTO_PAUSE, 1, header_len, 0), -EBADMSG);
	assert_int_equal(checked(PROTO_PAUSE, 0, header_len + 1, 0), -EBADMSG);
	assert_int_equal(checked(PROTO_PAUSE, UINT32_MAX, header_len - 1, 0), -EBADMSG);
	assert_int_equal(proto_check(&other, header_len, 0), -EBADMSG);
}

struct start {
	struct proto_start start;
	int fds[PROTO_MAX_FDS];
	struct vm_fds places;
	char reason[PROTO_REASON_MAX];
};

static void add(struct start *s, unsigned kind, unsigned index, unsigned flags)
{
	unsigned i = s->start.n_fds++;

	s->start.fds[i] = (struct proto_fd){
		.kind = (uint8_t)kind, .index = (uint8_t)index, .flags = (uint8_t)flags};
	s->fds[i] = 100 + (int)i;
}

static void init(struct start *s)
{
	memset(s, 0, sizeof(*s));
	memset(&s->places, 0xff, sizeof(s->places));
	add(s, PROTO_FD_CONFIG, 0, 0);
}

static int place(struct start *s)
{
	return proto_place_fds(&s->start, s->fds, s->start.n_fds, &s->places, s->reason);
}

static void test_places(void **state)
{
	struct start s;

	(void)state;
	init(&s);
	add(&s, PROTO_FD_KVM, 0, 0);
	add(&s, PROTO_FD_RAM, 0, 0);
	add(&s, PROTO_FD_STATS, 0, 0);
	add(&s, PROTO_FD_KERNEL, 0, 0);
	add(&s, PROTO_FD_INITRD, 0, 0);
	add(&s, PROTO_FD_DISK, VM_MAX_DISKS - 1, 0);
	add(&s, PROTO_FD_SERIAL, VM_MAX_SERIALS - 1, PROTO_FD_LISTENING);
	add(&s, PROTO_FD_CONSOLE, VM_MAX_CONSOLES - 1, 0);
	add(&s, PROTO_FD_CHANNEL, VM_MAX_CHANNELS - 1, PROTO_FD_LISTENING);
	add(&s, PROTO_FD_RNG, 0, 0);
	add(&s, PROTO_FD_RAM, VM_MAX_CELLS - 1, 0);
	s.start.flags = PROTO_START_PAUSED | PROTO_START_STOP_ON_RESET | PROTO_START_STOP_ON_PANIC;
	assert_int_equal(place(&s), 0);
	assert_int_equal(s.places.kvm, 101);
	assert_int_equal(s.places.ram[0], 102);
	assert_int_equal(s.places.stats, 103);
	assert_int_equal(s.places.kernel, 104);
	assert_int_equal(s.places.initrd, 105);
	assert_int_equal(s.places.devices.disks[VM_MAX_DISKS - 1], 106);
	assert_int_equal(s.places.serials[VM_MAX_SERIALS - 1], 107);
	assert_int_equal(s.places.serial_flags[VM_MAX_SERIALS - 1], PROTO_FD_LISTENING);
	assert_int_equal(s.places.consoles[VM_MAX_CONSOLES - 1], 108);
	assert_int_equal(s.places.console_flags[VM_MAX_CONSOLES - 1], 0);
	assert_int_equal(s.places.channels[VM_MAX_CHANNELS - 1], 109);
	assert_int_equal(s.places.channel_flags[VM_MAX_CHANNELS - 1], PROTO_FD_LISTENING);
	assert_int_equal(s.places.devices.rng, 110);
	assert_int_equal(s.places.ram[VM_MAX_CELLS - 1], 111);
	assert_int_equal(s.fds[0], 100);
	for (unsigned i = 1; i < s.start.n_fds; i++)
		assert_true(s.fds[i] < 0);
}

/* One fd too many or out of place: refused, and what was placed before it is in its place only. */
static void test_out_of_place(void **state)
{
	static const struct {
		unsigned kind, index, flags;
	} wrong[] = {
		{PROTO_FD_CONFIG, 0, 0},
		{PROTO_FD_KVM, 0, 0},
		{PROTO_FD_RAM, VM_MAX_CELLS, 0},
		{PROTO_FD_DISK, VM_MAX_DISKS, 0},
		{PROTO_FD_DISK, 0, PROTO_FD_LISTENING},
		{PROTO_FD_SERIAL, VM_MAX_SERIALS, 0},
		{PROTO_FD_SERIAL, 0, PROTO_FD_LISTENING << 1},
		{PROTO_FD_CONSOLE, VM_MAX_CONSOLES, 0},
		{PROTO_FD_CHANNEL, VM_MAX_CHANNELS, 0},
		{PROTO_FD_KIND_X_MAX, 0, 0},
		{UINT8_MAX, UINT8_MAX, UINT8_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct start s;

		init(&s);
		add(&s, PROTO_FD_KVM, 0, 0);
		add(&s, wrong[i].kind, wrong[i].index, wrong[i].flags);
		assert_int_equal(place(&s), -EINVAL);
		assert_non_null(strstr(s.reason, "fd 2 of kind"));
		assert_int_equal(s.places.kvm, 101);
		assert_int_equal(s.fds[1], -EBADF);
		assert_int_equal(s.fds[2], 102);
	}
}

static void test_wrong_start(void **state)
{
	struct start s;

	(void)state;
	init(&s);
	s.start.flags = 1U << 31;
	assert_int_equal(place(&s), -EINVAL);
	assert_non_null(strstr(s.reason, "unknown flags 0x80000000"));
	init(&s);
	assert_int_equal(proto_place_fds(&s.start, s.fds, 2, &s.places, s.reason), -EINVAL);
	s.start.n_fds = 0;
	assert_int_equal(place(&s), -EINVAL);
	s.start.n_fds = PROTO_MAX_FDS + 1;
	assert_int_equal(place(&s), -EINVAL);
	init(&s);
	s.start.fds[0].kind = PROTO_FD_KVM;
	assert_int_equal(place(&s), -EINVAL);
	assert_string_equal(s.reason, "START came with the wrong fds");
	assert_int_equal(s.fds[0], 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_no_requests),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_out_of_place),
		cmocka_unit_test(test_wrong_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
