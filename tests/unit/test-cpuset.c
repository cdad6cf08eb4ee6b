/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPU sets: libvirt's grammar in and out, what is no set, and a thread that is put on one. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/base/cpuset.h"
#include "vmm-core/base/macro.h"

static void test_texts(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *canonical;
	} rows[] = {
		{"0", 0, "0"},
		{"0-3,^2,7", 0, "0-1,3,7"},
		{"0,1", 0, "0-1"},
		{"7,5,6,1", 0, "1,5-7"},
		{"1-1", 0, "1"},
		{"3,^3,3", 0, "3"},
		{"^3,3", 0, "3"},
		{"0,^9", 0, "0"},
		{" 0 - 2 , 63-64 ", 0, "0-2,63-64"},
		{"0-1023", 0, "0-1023"},
		{"007", 0, "7"},
		{"", -EINVAL, NULL},
		{" ", -EINVAL, NULL},
		{",", -EINVAL, NULL},
		{"0,", -EINVAL, NULL},
		{",0", -EINVAL, NULL},
		{"0,,1", -EINVAL, NULL},
		{"3-1", -EINVAL, NULL},
		{"1-", -EINVAL, NULL},
		{"-1", -EINVAL, NULL},
		{"1-2-3", -EINVAL, NULL},
		{"^0-1", -EINVAL, NULL},
		{"^", -EINVAL, NULL},
		{"^^1", -EINVAL, NULL},
		{"0 1", -EINVAL, NULL},
		{"0x1", -EINVAL, NULL},
		{"all", -EINVAL, NULL},
		{"0\xc2\xa0", -EINVAL, NULL},
		{"1024", -ERANGE, NULL},
		{"0-1024", -ERANGE, NULL},
		{"18446744073709551616", -ERANGE, NULL},
		{"^1024", -ERANGE, NULL},
		{"0-3,^0,^1,^2,^3", -ENODATA, NULL},
		{"^1", -ENODATA, NULL},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t set[CPUSET_WORDS], again[CPUSET_WORDS];
		char text[CPUSET_TEXT_MAX];
		int r;

		memset(set, 0xa5, sizeof(set));
		memcpy(again, set, sizeof(set));
		r = cpuset_parse(rows[i].text, set);
		if (r != rows[i].result)
			fail_msg("'%s': %d", rows[i].text, r);
		if (r < 0) {
			assert_memory_equal(set, again, sizeof(set));
			continue;
		}
		cpuset_format(set, text);
		assert_string_equal(text, rows[i].canonical);
		assert_int_equal(cpuset_parse(text, again), 0);
		assert_memory_equal(set, again, sizeof(set));
	}
}

/* The longest text there is: every second CPU. */
static void test_longest(void **state)
{
	uint64_t set[CPUSET_WORDS], again[CPUSET_WORDS];
	char text[CPUSET_TEXT_MAX];

	(void)state;
	memset(set, 0x55, sizeof(set));
	cpuset_format(set, text);
	assert_int_equal(cpuset_parse(text, again), 0);
	assert_memory_equal(set, again, sizeof(set));
	memset(set, 0, sizeof(set));
	cpuset_format(set, text);
	assert_string_equal(text, "");
	assert_true(cpuset_is_empty(set));
}

static void test_outside(void **state)
{
	uint64_t set[CPUSET_WORDS], host[CPUSET_WORDS];

	(void)state;
	assert_int_equal(cpuset_parse("0-3,70", set), 0);
	assert_int_equal(cpuset_parse("0-127", host), 0);
	assert_int_equal(cpuset_first_outside(set, host), -1);
	assert_int_equal(cpuset_parse("0-2,70", host), 0);
	assert_int_equal(cpuset_first_outside(set, host), 3);
	assert_int_equal(cpuset_parse("0-69", host), 0);
	assert_int_equal(cpuset_first_outside(set, host), 70);
}

/* The thread, and one that it makes, run where they should. */

static void *affinity(void *opaque)
{
	assert_int_equal(sched_getaffinity(0, sizeof(cpu_set_t), opaque), 0);
	return NULL;
}

static void *placed(void *opaque)
{
	const uint64_t *set = opaque;
	uint64_t none[CPUSET_WORDS] = {0};
	cpu_set_t mine, childs;
	pthread_t child;

	assert_int_equal(cpuset_apply(none), -EINVAL);
	assert_int_equal(cpuset_apply(set), 0);
	(void)affinity(&mine);
	assert_int_equal(pthread_create(&child, NULL, affinity, &childs), 0);
	assert_int_equal(pthread_join(child, NULL), 0);
	assert_int_equal(CPU_COUNT(&mine), 1);
	assert_true(CPU_EQUAL(&mine, &childs));
	for (unsigned cpu = 0; cpu < CPUSET_MAX_CPUS; cpu++)
		assert_int_equal(!!CPU_ISSET(cpu, &mine), set[cpu / 64] >> cpu % 64 & 1);
	return NULL;
}

static void test_apply(void **state)
{
	uint64_t set[CPUSET_WORDS] = {0};
	cpu_set_t all;
	pthread_t thread;
	unsigned cpu = CPUSET_MAX_CPUS;

	(void)state;
	(void)affinity(&all);
	while (cpu && !CPU_ISSET(cpu - 1, &all))
		cpu--;
	assert_true(cpu > 0);
	cpu--;
	set[cpu / 64] = UINT64_C(1) << cpu % 64;
	assert_int_equal(pthread_create(&thread, NULL, placed, set), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_apply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
