/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Room for memory that comes and goes: places, slots, blocks, and that the rest of guest memory knows of it. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/guest-plug.h"
#include "vmm-core/layout.h"

#define BLOCK MIB(2)

static struct {
	unsigned slot;
	uint64_t gpa, size;
} calls[64];
static unsigned n_calls, n_good_calls = UINT_MAX;

static int set_slot(void *opaque, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	assert_ptr_equal(opaque, calls);
	assert_non_null(host);
	assert_true(n_calls < ARRAY_SIZE(calls));
	if (size && n_calls == n_good_calls)
		return -ENOMEM;
	calls[n_calls].slot = slot;
	calls[n_calls].gpa = gpa;
	calls[n_calls++].size = size;
	return 0;
}

static const struct guest_plug_ops ops = {.set_slot = set_slot};

static void begin(struct guest_mem *mem, uint64_t ram, uint64_t room)
{
	const struct guest_file file = {.fd = -EBADF, .size = room, .page_len = 4096};

	n_calls = 0;
	assert_int_equal(guest_mem_init(mem, -EBADF, ram), 0);
	if (room)
		assert_int_equal(guest_plug_init(mem, &file, &ops, calls), 0);
}

static uint64_t base_of(const struct guest_mem *mem, unsigned number)
{
	return guest_plug_find(mem, number)->base;
}

/* Each has a place of its own, above RAM and below the PCI window; one that goes leaves room for others. */
static void test_places(void **state)
{
	const struct guest_file odd = {.fd = -EBADF, .size = GIB(1), .page_len = 4096};
	struct guest_mem mem;

	(void)state;
	begin(&mem, GIB(5), GIB(8));
	assert_int_equal(layout_pci64_base(GIB(5), GIB(8)), GIB(14));
	assert_int_equal(guest_plug_add(&mem, 0, GIB(1), BLOCK), 0);
	assert_int_equal(guest_plug_add(&mem, 1, GIB(3), BLOCK), 0);
	assert_int_equal(guest_plug_add(&mem, 1, GIB(1), BLOCK), -EEXIST);
	assert_int_equal(guest_plug_add(&mem, 2, GIB(3), BLOCK), -ENOSPC);
	assert_int_equal(guest_plug_add(&mem, 2, GIB(2), BLOCK), 0);
	assert_int_equal(base_of(&mem, 0), GIB(6));
	assert_int_equal(base_of(&mem, 1), GIB(8));
	assert_int_equal(base_of(&mem, 2), GIB(12));
	assert_int_equal(guest_plug_add(&mem, 3, BLOCK, BLOCK), -ENOSPC);
	guest_plug_remove(&mem, 1);
	guest_plug_remove(&mem, 1);
	assert_int_equal(guest_plug_add(&mem, 3, GIB(5), BLOCK), -ENOSPC);
	assert_int_equal(guest_plug_add(&mem, 3, BLOCK, BLOCK), 0);
	assert_int_equal(base_of(&mem, 3), GIB(8));
	assert_int_equal(guest_plug_add(&mem, 1, GIB(2), BLOCK), 0);
	assert_int_equal(base_of(&mem, 1), GIB(10));
	guest_mem_done(&mem);
	/* Without room there is none. */
	begin(&mem, MIB(16), 0);
	assert_int_equal(guest_plug_add(&mem, 0, BLOCK, BLOCK), -ENOSPC);
	assert_null(guest_plug_find(&mem, 0));
	guest_plug_remove(&mem, 0);
	assert_int_equal(guest_plug_init(&mem, &odd, &ops, calls), -EINVAL);
	guest_mem_done(&mem);
}

/* Slots join, grow with what is usable, go from the end, and are never more than there may be. */
static void test_slots(void **state)
{
	struct guest_mem mem;
	uint64_t base;

	(void)state;
	begin(&mem, MIB(16), GIB(64));
	assert_int_equal(guest_plug_add(&mem, 1, MIB(300), BLOCK), 0);
	base = base_of(&mem, 1);
	assert_int_equal(n_calls, 0);
	assert_int_equal(guest_plug_grow(&mem, 1, BLOCK), 0);
	assert_int_equal(n_calls, 1);
	assert_int_equal(calls[0].slot, GUEST_PLUG_FIRST_SLOT + GUEST_PLUG_MAX_SLOTS);
	assert_int_equal(calls[0].gpa, base);
	assert_int_equal(calls[0].size, MIB(128));
	assert_int_equal(guest_plug_grow(&mem, 1, MIB(128)), 0);
	assert_int_equal(n_calls, 1);
	assert_int_equal(guest_plug_grow(&mem, 1, MIB(300)), 0);
	assert_int_equal(n_calls, 3);
	assert_int_equal(calls[2].gpa, base + MIB(256));
	assert_int_equal(calls[2].size, MIB(44));
	assert_int_equal(guest_plug_find(&mem, 1)->usable, MIB(300));
	guest_plug_shrink(&mem, 1, MIB(129));
	assert_int_equal(n_calls, 4);
	assert_int_equal(calls[3].slot, calls[2].slot);
	assert_int_equal(calls[3].size, 0);
	assert_int_equal(guest_plug_find(&mem, 1)->usable, MIB(256));
	guest_plug_remove(&mem, 1);
	assert_int_equal(n_calls, 6);
	/* 60 GiB in at most 32 slots. */
	n_calls = 0;
	assert_int_equal(guest_plug_add(&mem, 7, GIB(60), BLOCK), 0);
	assert_int_equal(guest_plug_grow(&mem, 7, GIB(60)), 0);
	assert_in_range(n_calls, 16, GUEST_PLUG_MAX_SLOTS);
	assert_true(calls[n_calls - 1].slot <
		GUEST_PLUG_FIRST_SLOT + VM_MAX_MEMORIES * GUEST_PLUG_MAX_SLOTS);
	guest_mem_done(&mem);
	/* A large machine's guest has large memory blocks; a block is never cut. */
	begin(&mem, GIB(64), GIB(16));
	assert_int_equal(guest_plug_add(&mem, 0, GIB(8), BLOCK), 0);
	assert_int_equal(guest_plug_find(&mem, 0)->extent, GIB(2));
	assert_int_equal(guest_plug_add(&mem, 1, GIB(8), GIB(1)), 0);
	assert_int_equal(guest_plug_find(&mem, 1)->extent, GIB(2));
	guest_mem_done(&mem);
	begin(&mem, MIB(16), GIB(16));
	assert_int_equal(guest_plug_add(&mem, 1, GIB(8), GIB(1)), 0);
	assert_int_equal(guest_plug_find(&mem, 1)->extent, GIB(1));
	guest_mem_done(&mem);
}

/* What cannot be made usable as a whole is not made usable in part: nobody would tell the guest. */
static void test_no_slot(void **state)
{
	struct guest_mem mem;

	(void)state;
	begin(&mem, MIB(16), GIB(2));
	assert_int_equal(guest_plug_add(&mem, 0, GIB(1), BLOCK), 0);
	assert_int_equal(guest_plug_grow(&mem, 0, MIB(128)), 0);
	n_good_calls = 3;
	assert_int_equal(guest_plug_grow(&mem, 0, GIB(1)), -ENOMEM);
	n_good_calls = UINT_MAX;
	assert_int_equal(guest_plug_find(&mem, 0)->usable, MIB(128));
	/* Two more came, and went. */
	assert_int_equal(n_calls, 5);
	for (unsigned i = 3; i < 5; i++)
		assert_int_equal(calls[i].size, 0);
	guest_mem_done(&mem);
}

/* Only what is plugged is memory, to whoever asks. */
static void test_blocks(void **state)
{
	struct guest_mem mem;
	uint64_t base;
	uint8_t *host, byte = 7;

	(void)state;
	begin(&mem, MIB(16), GIB(2));
	assert_int_equal(guest_plug_add(&mem, 0, 200 * BLOCK, BLOCK), 0);
	base = base_of(&mem, 0);
	assert_int_equal(guest_plug_grow(&mem, 0, 200 * BLOCK), 0);
	assert_null(guest_mem_ptr(&mem, GPA(base), 1));
	guest_plug_mark(&mem, 0, 60, 70, true);
	assert_int_equal(guest_plug_find(&mem, 0)->plugged, 70 * BLOCK);
	assert_null(guest_mem_ptr(&mem, GPA(base + 60 * BLOCK - 1), 2));
	host = guest_mem_ptr(&mem, GPA(base + 60 * BLOCK), 70 * BLOCK);
	assert_ptr_equal(host, mem.plug->host + 60 * BLOCK);
	assert_null(guest_mem_ptr(&mem, GPA(base + 60 * BLOCK), 70 * BLOCK + 1));
	assert_null(guest_mem_ptr(&mem, GPA(base + 130 * BLOCK), 0));
	assert_non_null(guest_mem_ptr(&mem, GPA(base + 130 * BLOCK - 1), 0));
	assert_int_equal(
		guest_mem_span(&mem, GPA(base + 61 * BLOCK + 3), UINT64_MAX), 69 * BLOCK - 3);
	assert_int_equal(guest_mem_span(&mem, GPA(base + 59 * BLOCK), UINT64_MAX), 0);
	/* Nobody counts all of it to learn of a page. */
	assert_int_equal(guest_mem_span(&mem, GPA(base + 61 * BLOCK + 3), 4096), BLOCK - 3);
	assert_int_equal(guest_mem_span(&mem, GPA(base + 62 * BLOCK - 3), 4096), BLOCK + 3);
	assert_int_equal(guest_mem_write(&mem, GPA(base + 129 * BLOCK), &byte, 1), 0);
	assert_int_equal(guest_mem_write(&mem, GPA(base + 130 * BLOCK), &byte, 1), -EFAULT);
	assert_int_equal(guest_plug_state(&mem, 0, 60, 70), GUEST_PLUGGED);
	assert_int_equal(guest_plug_state(&mem, 0, 59, 2), GUEST_PLUG_MIXED);
	assert_int_equal(guest_plug_state(&mem, 0, 0, 60), GUEST_UNPLUGGED);
	guest_plug_mark(&mem, 0, 0, 200, false);
	assert_int_equal(guest_plug_find(&mem, 0)->plugged, 0);
	assert_int_equal(guest_plug_discard(&mem, 0, 0, 200), 0);
	assert_int_equal(host[69 * BLOCK], 0);
	assert_int_equal(guest_plug_populate(&mem, 0, 0, 2), 0);
	guest_mem_done(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_no_slot),
		cmocka_unit_test(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
