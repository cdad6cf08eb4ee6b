/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's binary statistics, of files that look like KVM's and of some that do not. */
#include "vmm-core/kvm-stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"

#define NAME_LEN 16
#define N_DESCS  4

static const char *const wanted[] = {"pages_4k", "missing", "pf_taken", "hist"};

struct file {
	struct kvm_stats_header header;
	struct {
		uint32_t flags;
		int16_t exponent;
		uint16_t size;
		uint32_t offset, bucket_size;
		char name[NAME_LEN];
	} descs[N_DESCS];
	uint64_t data[8];
};

static struct file good_file(void)
{
	struct file f = {
		.header = {.name_size = NAME_LEN,
			.num_desc = N_DESCS,
			.desc_offset = offsetof(struct file, descs),
			.data_offset = offsetof(struct file, data)},
		.descs = {{.size = 1, .offset = 8, .name = "pf_taken"},
			{.size = 1, .offset = 0, .name = "pages_4k"},
			{.size = 4, .offset = 16, .name = "hist"},
			{.size = 1, .offset = 48, .name = "pages_4k_and_mor"}},
		.data = {11, 22, 33, 44, 55, 66, 77, 88},
	};

	return f;
}

static int file_of(const struct file *f, size_t len)
{
	int fd = memfd_create("stats", MFD_CLOEXEC);

	assert_int_equal(write(fd, f, len), len);
	return fd;
}

static void test_good(void **state)
{
	uint64_t offsets[ARRAY_SIZE(wanted)], sums[ARRAY_SIZE(wanted)] = {100, 100, 100, 100};
	struct file f = good_file();
	int fd = file_of(&f, sizeof(f));

	(void)state;
	assert_int_equal(kvm_stats_find(fd, wanted, ARRAY_SIZE(wanted), offsets), 0);
	assert_int_equal(offsets[0], offsetof(struct file, data[0]));
	assert_int_equal(offsets[1], 0);
	assert_int_equal(offsets[2], offsetof(struct file, data[1]));
	assert_int_equal(offsets[3], 0); /* more than a number */
	assert_int_equal(kvm_stats_add(fd, offsets, ARRAY_SIZE(wanted), sums), 0);
	assert_int_equal(kvm_stats_add(fd, offsets, ARRAY_SIZE(wanted), sums), 0);
	assert_int_equal(sums[0], 122);
	assert_int_equal(sums[1], 100);
	assert_int_equal(sums[2], 144);
	assert_int_equal(sums[3], 100);
	close(fd);
}

static void test_bad(void **state)
{
	uint64_t offsets[ARRAY_SIZE(wanted)], sums[ARRAY_SIZE(wanted)] = {0};
	struct file f;

	(void)state;
#define BAD(change, len)                                                                           \
	do {                                                                                       \
		int fd_;                                                                           \
		f = good_file();                                                                   \
		change;                                                                            \
		fd_ = file_of(&f, len);                                                            \
		assert_int_equal(                                                                  \
			kvm_stats_find(fd_, wanted, ARRAY_SIZE(wanted), offsets), -EBADMSG);       \
		close(fd_);                                                                        \
	} while (0)
	BAD((void)0, sizeof(f.header) - 1);
	BAD((void)0, offsetof(struct file, data) - 1);
	BAD(f.header.num_desc = KVM_STATS_MAX_DESCRIPTORS + 1, sizeof(f));
	BAD(f.header.num_desc = N_DESCS + 100, sizeof(f));
	BAD(f.header.name_size = 0, sizeof(f));
	BAD(f.header.name_size = UINT32_MAX, sizeof(f));
	BAD(f.header.desc_offset = 8, sizeof(f));
	BAD(f.header.data_offset = 0, sizeof(f));
	assert_int_equal(kvm_stats_find(-1, wanted, 1, offsets), -EBADF);
	/* Data that is not there, or lies too far apart. */
	f = good_file();
	f.descs[0].offset = 1 << 20;
	{
		int fd = file_of(&f, sizeof(f));

		assert_int_equal(kvm_stats_find(fd, wanted, ARRAY_SIZE(wanted), offsets), 0);
		assert_int_equal(kvm_stats_add(fd, offsets, ARRAY_SIZE(wanted), sums), -EBADMSG);
		offsets[0] = 0;
		assert_int_equal(kvm_stats_add(fd, offsets, ARRAY_SIZE(wanted), sums), -EBADMSG);
		assert_int_equal(sums[0] + sums[2], 0);
		offsets[2] = 0;
		assert_int_equal(kvm_stats_add(fd, offsets, ARRAY_SIZE(wanted), sums), 0);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
