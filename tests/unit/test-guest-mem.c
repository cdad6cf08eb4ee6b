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
	assert_int_equal(guest_mem_span(&mem, GPA(MIB(1) - 3), UINT64_MAX), 3);
	assert_int_equal(guest_mem_span(&mem, GPA(MIB(1)), UINT64_MAX), 0);
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
	assert_int_equal(ftruncate(mem.files[0].fd, (off_t)MIB(1)), 0);
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

static struct guest_file ram_file(uint64_t size, uint64_t page_len)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return (struct guest_file){.fd = fd, .size = size, .page_len = page_len};
}

/* Files of cells lie side by side: what a guest has in one piece is in one piece here, over the hole as well. */
static void test_files(void **state)
{
	struct guest_file files[] = {
		ram_file(GIB(2), 4096), ram_file(GIB(2), MIB(2)), ram_file(MIB(4), 4096)};
	const struct guest_file wrong[] = {
		{.fd = -EBADF, .size = MIB(1), .page_len = 4096}, files[1]};
	const struct guest_file odd[] = {
		files[0], {.fd = files[1].fd, .size = MIB(1) + 1, .page_len = 4096}};
	const struct guest_file vast[] = {
		files[0], {.fd = files[1].fd, .size = UINT64_C(1) << 60, .page_len = 4096}};
	struct guest_mem mem;
	uint8_t c = 0, *p;

	(void)state;
	assert_int_equal(guest_mem_init_files(&mem, wrong, 2), -EINVAL);
	guest_mem_done(&mem);
	/* What failed has taken nothing over. */
	assert_int_equal(guest_mem_init_files(&mem, odd, 2), -EINVAL);
	guest_mem_done(&mem);
	assert_int_equal(guest_mem_init_files(&mem, vast, 2), -ENOMEM);
	guest_mem_done(&mem);
	for (unsigned i = 0; i < 3; i++)
		assert_true(fcntl(files[i].fd, F_GETFD) >= 0);
	assert_int_equal(guest_mem_init_files(&mem, files, 3), 0);
	assert_int_equal(mem.size, GIB(4) + MIB(4));
	assert_int_equal(mem.page_len, MIB(2));
	assert_int_equal(mem.n_regions, 2);
	assert_int_equal((uintptr_t)mem.files[1].host % MIB(2), 0);
	p = guest_mem_ptr(&mem, GPA(GIB(2) - 1), 2);
	assert_non_null(p);
	p[0] = 1;
	p[1] = 2;
	assert_int_equal(pread(files[0].fd, &c, 1, (off_t)GIB(2) - 1), 1);
	assert_int_equal(c, 1);
	assert_int_equal(pread(files[1].fd, &c, 1, 0), 1);
	assert_int_equal(c, 2);
	/* The last one begins 1 GiB behind the hole. */
	p = guest_mem_ptr(&mem, GPA(LAYOUT_HIGH_RAM_BASE + GIB(1)), MIB(4));
	assert_non_null(p);
	assert_ptr_equal(p, mem.files[2].host);
	assert_null(guest_mem_ptr(&mem, GPA(LAYOUT_HIGH_RAM_BASE + GIB(1)), MIB(4) + 1));
	guest_mem_done(&mem);
}

/* Of each file whole pages of its size. */
static void test_discard_files(void **state)
{
	struct guest_file files[] = {ram_file(MIB(2), 4096), ram_file(MIB(6), MIB(2))};
	struct guest_mem mem;
	struct stat st;
	uint8_t *p;

	(void)state;
	assert_int_equal(guest_mem_init_files(&mem, files, 2), 0);
	assert_int_equal(guest_mem_populate_huge(&mem, 2), 0);
	assert_int_equal(fstat(files[0].fd, &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(fstat(files[1].fd, &st), 0);
	assert_int_equal(st.st_blocks * 512, MIB(6));
	p = guest_mem_ptr(&mem, GPA(0), MIB(8));
	memset(p, 1, MIB(2));
	assert_int_equal(guest_mem_discard(&mem, p + 4096, MIB(5)), MIB(2) - 4096 + MIB(2));
	assert_int_equal(fstat(files[0].fd, &st), 0);
	assert_int_equal(st.st_blocks * 512, 4096);
	assert_int_equal(fstat(files[1].fd, &st), 0);
	assert_int_equal(st.st_blocks * 512, MIB(4));
	assert_int_equal(guest_mem_discard(&mem, p + 1, MIB(8)), -EFAULT);
	assert_int_equal(guest_mem_discard(&mem, p - 1, 1), -EFAULT);
	guest_mem_done(&mem);
}

/* All of it takes memory, of each file and with parts that do not divide evenly; what was there stays. */
static void test_populate(void **state)
{
	static const unsigned threads[] = {1, 3, 256};
	struct guest_mem mem;
	struct stat st;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
		struct guest_file files[] = {ram_file(MIB(1), 4096), ram_file(MIB(2) + 4096, 4096)};
		uint8_t *p;

		assert_int_equal(guest_mem_init_files(&mem, files, 2), 0);
		p = guest_mem_ptr(&mem, GPA(MIB(2)), 1);
		*p = 7;
		guest_mem_want_huge(&mem);
		assert_int_equal(guest_mem_populate(&mem, threads[i]), 0);
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(fstat(files[k].fd, &st), 0);
			assert_true((uint64_t)st.st_blocks * 512 >= files[k].size);
		}
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
		assert_int_equal(guest_mem_discard(&mem, p + 1, 3 * 4096 - 1), 2 * 4096);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_blocks * 512, 4096);
		assert_int_equal(p[0], 1);
		assert_int_equal(p[4096] + p[3 * 4096 - 1], 0);
		assert_int_equal(guest_mem_discard(&mem, p, 4096), 4096);
		assert_int_equal(guest_mem_discard(&mem, p + 4096, 2 * 4096), 2 * 4096);
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
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_discard_files),
		cmocka_unit_test(test_populate),
		cmocka_unit_test(test_populate_fails),
		cmocka_unit_test(test_discard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
