/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest memory: the hole, the ends, overflow. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm-core/guest-mem.h"
#include "vmm-core/layout.h"

static void test_small(void **state)
{
	struct guest_mem mem;
	uint32_t v = 0x12345678, back = 0;

	(void)state;
	assert_int_equal(guest_mem_init(&mem, -EBADF, 0), -EINVAL);
	assert_int_equal(guest_mem_init(&mem, -EBADF, 5000), -EINVAL);
	assert_int_equal(guest_mem_init(&mem, -EBADF, MIB(1)), 0);
	assert_int_equal(mem.n_regions, 1);
	assert_non_null(guest_mem_ptr(&mem, GPA(0), MIB(1)));
	assert_null(guest_mem_ptr(&mem, GPA(0), MIB(1) + 1));
	assert_null(guest_mem_ptr(&mem, GPA(1), MIB(1)));
	assert_null(guest_mem_ptr(&mem, GPA(MIB(1)), 0));
	assert_null(guest_mem_ptr(&mem, GPA(MIB(1) - 1), UINT64_MAX));
	assert_null(guest_mem_ptr(&mem, GPA(UINT64_MAX), 1));
	assert_int_equal(guest_mem_span(&mem, GPA(MIB(1) - 3)), 3);
	assert_int_equal(guest_mem_span(&mem, GPA(MIB(1))), 0);
	assert_int_equal(guest_mem_write(&mem, GPA(100), &v, sizeof(v)), 0);
	assert_int_equal(guest_mem_read(&mem, GPA(100), &back, sizeof(back)), 0);
	assert_int_equal(back, v);
	assert_int_equal(guest_mem_write(&mem, GPA(MIB(1) - 3), &v, sizeof(v)), -EFAULT);
	guest_mem_done(&mem);
	guest_mem_done(&mem);
}

static void test_hole(void **state)
{
	struct guest_mem mem;
	int fd = memfd_create("ram", MFD_CLOEXEC);
	uint8_t *low, *high;
	uint8_t c = 0;

	(void)state;
	/* Sparse: nothing of the 5 GiB is touched but two pages. */
	assert_true(fd >= 0 && ftruncate(fd, (off_t)GIB(5)) == 0);
	assert_int_equal(guest_mem_init(&mem, fd, GIB(5)), 0);
	assert_int_equal(mem.n_regions, 2);
	assert_null(guest_mem_ptr(&mem, GPA(LAYOUT_LOW_RAM_MAX), 1));
	assert_null(guest_mem_ptr(&mem, GPA(LAYOUT_LOW_RAM_MAX - 1), 2));
	assert_null(guest_mem_ptr(&mem, GPA(LAYOUT_HIGH_RAM_BASE - 1), 2));
	assert_null(guest_mem_ptr(&mem, GPA(LAYOUT_LAPIC_BASE), 4));
	high = guest_mem_ptr(&mem, GPA(LAYOUT_HIGH_RAM_BASE), GIB(2));
	assert_non_null(high);
	assert_null(guest_mem_ptr(&mem, GPA(LAYOUT_HIGH_RAM_BASE), GIB(2) + 1));
	low = guest_mem_ptr(&mem, GPA(LAYOUT_LOW_RAM_MAX - 1), 1);
	assert_non_null(low);
	*low = 1;
	*high = 2;
	/* High memory goes on in the file where low memory ends. */
	assert_int_equal(pread(fd, &c, 1, (off_t)LAYOUT_LOW_RAM_MAX), 1);
	assert_int_equal(c, 2);
	guest_mem_done(&mem);
}

static uint64_t locked_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %llu", &kib) == 1)
			break;
	(void)fclose(f);
	return kib;
}

/* In a child: a lowered limit stays, and root has none before it gave up its rights. */
static void test_lock(void **state)
{
	const struct rlimit limit = {MIB(2), MIB(2)};
	struct guest_mem mem, large;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(guest_mem_init(&mem, memfd_create("ram", MFD_CLOEXEC), MIB(1)), 0);
	assert_int_equal(ftruncate(mem.fd, (off_t)MIB(1)), 0);
	assert_int_equal(guest_mem_init(&large, -EBADF, MIB(4)), 0);
	pid = fork();
	if (pid == 0) {
		uint64_t before = locked_kib();

		if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
			(geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
			_exit(2);
		if (guest_mem_lock(&mem) < 0 || locked_kib() != before + 1024)
			_exit(3);
		if (guest_mem_lock(&large) != -ENOMEM)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	guest_mem_done(&mem);
	guest_mem_done(&large);
}

/* All of it takes memory, at both sides of the hole and with parts that do not divide evenly; what was there stays. */
static void test_populate(void **state)
{
	static const unsigned threads[] = {1, 3, 256};
	uint64_t size = MIB(3) + 4096;
	struct guest_mem mem;
	struct stat st;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
		int fd = memfd_create("ram", MFD_CLOEXEC);
		uint8_t *p;

		assert_int_equal(ftruncate(fd, (off_t)size), 0);
		assert_int_equal(guest_mem_init(&mem, fd, size), 0);
		/* As on a host with the hole: two regions. */
		mem.n_regions = 2;
		mem.regions[1] = mem.regions[0];
		mem.regions[0].size = MIB(1);
		mem.regions[1].base = GPA(MIB(1));
		mem.regions[1].host += MIB(1);
		mem.regions[1].size -= MIB(1);
		p = guest_mem_ptr(&mem, GPA(MIB(2)), 1);
		*p = 7;
		guest_mem_want_huge(&mem);
		assert_int_equal(guest_mem_populate(&mem, threads[i]), 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true((uint64_t)st.st_blocks * 512 >= size);
		assert_int_equal(*p, 7);
		guest_mem_done(&mem);
	}
	assert_int_equal(guest_mem_init(&mem, -EBADF, MIB(1)), 0);
	assert_int_equal(guest_mem_populate(&mem, 2), 0);
	guest_mem_done(&mem);
}

/* A file that is shorter than its mapping: the error of one thread is the answer. */
static void test_populate_fails(void **state)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);
	struct guest_mem mem;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)MIB(1)), 0);
	assert_int_equal(guest_mem_init(&mem, fd, MIB(4)), 0);
	assert_true(guest_mem_populate(&mem, 4) < 0);
	assert_true(guest_mem_populate(&mem, 1) < 0);
	guest_mem_done(&mem);
}

/* What is given back takes no memory and reads as zeroes, in either region; parts of pages stay. */
static void test_discard(void **state)
{
	uint64_t size = LAYOUT_LOW_RAM_MAX + MIB(1);
	const struct gpa gpas[] = {GPA(MIB(16)), GPA(LAYOUT_HIGH_RAM_BASE)};
	int fd = memfd_create("ram", MFD_CLOEXEC);
	struct guest_mem mem;
	struct stat st;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(guest_mem_init(&mem, fd, size), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(gpas); i++) {
		uint8_t *p = guest_mem_ptr(&mem, gpas[i], 3 * 4096);

		memset(p, 1, 3 * 4096);
		assert_int_equal(guest_mem_discard(&mem, p + 1, 3 * 4096 - 1), 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_blocks * 512, 4096);
		assert_int_equal(p[0], 1);
		assert_int_equal(p[4096] + p[3 * 4096 - 1], 0);
		assert_int_equal(guest_mem_discard(&mem, p, 4096), 0);
		assert_int_equal(guest_mem_discard(&mem, p + 4096, 2 * 4096), 0);
		assert_int_equal(guest_mem_discard(&mem, p, 0), 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_blocks, 0);
	}
	assert_int_equal(guest_mem_discard(&mem, &mem, 4096), -EFAULT);
	assert_int_equal(guest_mem_discard(&mem, mem.regions[1].host, MIB(2)), -EFAULT);
	guest_mem_done(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_populate),
		cmocka_unit_test(test_populate_fails),
		cmocka_unit_test(test_discard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
