/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The report of a start: stages in a row, and what a worker may lie about. */
#include "daemon/boot-report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"

#define MS NSEC_PER_MSEC

static struct boot_moments moments;
static struct vm_stats_page page;

/* The daemon's stages end at 1, 2, … 5 ms after 1000 ms, the worker's at 6 … 13, the answer at 14. */
static int setup(void **state)
{
	(void)state;
	memset(&page, 0, sizeof(page));
	for (unsigned i = 0; i < BOOT_X_MAX; i++)
		moments.ns[i] = (1000 + (i == BOOT_ANSWERED ? 14 : i)) * MS;
	for (unsigned i = 0; i < VM_BOOT_X_MAX; i++)
		page.boot_ns[i] = (1006 + i) * MS;
	return 0;
}

/* "resources:1000@2000 …|total" */
static const char *report(const struct vm_stats_page *p, uint64_t now_ms)
{
	static char text[1024];
	struct json_object *o = boot_report(&moments, p, now_ms * MS), *stages;
	size_t len = 0;

	assert_true(json_object_object_get_ex(o, "stages", &stages));
	*text = 0;
	for (size_t i = 0; i < json_object_array_length(stages); i++) {
		struct json_object *s = json_object_array_get_idx(stages, i);

		len += (size_t)sprintf(text + len, "%s:%d@%d ",
			json_object_get_string(json_object_object_get(s, "stage")),
			json_object_get_int(json_object_object_get(s, "took_us")) / 1000,
			json_object_get_int(json_object_object_get(s, "at_us")) / 1000);
	}
	sprintf(text + len, "|%d",
		json_object_get_int(json_object_object_get(o, "total_us")) / 1000);
	json_object_put(o);
	return text;
}

static void test_whole(void **state)
{
	(void)state;
	assert_string_equal(report(&page, 2000),
		"networks:1@1 resources:1@2 taps:1@3 jail:1@4 hello:1@5 receive:1@6 kvm:1@7 "
		"memory:1@8 vcpus:1@9 devices:1@10 load:1@11 sandbox:1@12 enter:1@13 answer:1@14 "
		"|13");
}

static void test_parts(void **state)
{
	(void)state;
	assert_string_equal(report(NULL, 2000),
		"networks:1@1 resources:1@2 taps:1@3 jail:1@4 hello:1@5 answer:9@14 |5");
	/* Started paused. */
	page.boot_ns[VM_BOOT_ENTERED] = 0;
	assert_non_null(strstr(report(&page, 2000), "sandbox:1@12 answer:2@14 |12"));
	/* By a daemon before this one. */
	memset(&moments, 0, sizeof(moments));
	assert_string_equal(report(&page, 2000),
		"kvm:1@1 memory:1@2 vcpus:1@3 devices:1@4 load:1@5 sandbox:1@6 |6");
	assert_string_equal(report(NULL, 2000), "|0");
}

static void test_lies(void **state)
{
	(void)state;
	page.boot_ns[VM_BOOT_KVM] = 1;
	page.boot_ns[VM_BOOT_DEVICES] = UINT64_MAX;
	page.boot_ns[VM_BOOT_ENTERED] = 1500 * MS;
	assert_string_equal(report(&page, 1400),
		"networks:1@1 resources:1@2 taps:1@3 jail:1@4 hello:1@5 receive:1@6 memory:2@8 "
		"vcpus:1@9 load:2@11 sandbox:1@12 answer:2@14 |12");
}

static void test_note(void **state)
{
	struct timespec ts;
	uint64_t now;

	(void)state;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	boot_note(&moments, BOOT_TAPS);
	assert_true(moments.ns[BOOT_TAPS] >= now);
	assert_int_equal(moments.ns[BOOT_RESOURCES], 1002 * MS);
	assert_int_equal(moments.ns[BOOT_SPAWNED], 0);
	assert_int_equal(moments.ns[BOOT_ANSWERED], 0);
	boot_note(&moments, BOOT_BEGUN);
	assert_int_equal(moments.ns[BOOT_RESOURCES], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_whole, setup),
		cmocka_unit_test_setup(test_parts, setup),
		cmocka_unit_test_setup(test_lies, setup),
		cmocka_unit_test_setup(test_note, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
