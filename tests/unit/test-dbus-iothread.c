/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Iothreads through the API: which there are, one more and one less, where they run. */
#include "dbus-fixture.h"

static struct json_object *list(struct fixture *f, unsigned flags, unsigned n)
{
	struct json_object *v = value_of(CALL(f, "ListIothreads", "su", "vm", flags), "aa{sv}");

	assert_int_equal(json_object_array_length(v), n);
	return v;
}

static void test_iothreads(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=threads",
		"<iothreads>1</iothreads><cputune><period>100000</period><quota>10000</quota></"
		"cputune>");
	uint64_t online[CPUSET_WORDS] = {0};
	char all[CPUSET_TEXT_MAX], text[16];
	struct json_object *v, *o;
	unsigned cpu = 0;

	assert_int_equal(resources_host_cpus(online), 0);
	cpuset_format(online, all);
	while (!(online[cpu / 64] >> cpu % 64 & 1))
		cpu++;
	(void)snprintf(text, sizeof(text), "%u", cpu);
	/* The definition. */
	ok(CALL(f, "AddIothread", "suu", "vm", 4, 0));
	ok(CALL(f, "SetIothreadPin", "susu", "vm", 4, text, 0));
	assert_non_null(strstr(d->definition->xml, "<iothreadpin iothread='4'"));
	v = list(f, 0, 2);
	o = json_object_array_get_idx(v, 1);
	expect_number(o, "iothread", 4);
	assert_string_equal(text_of(o, "pin"), text);
	assert_false(json_object_object_get_ex(o, "affinity", NULL));
	json_object_put(v);
	ok(CALL(f, "SetIothreadPin", "susu", "vm", 4, "", 2));
	assert_null(strstr(d->definition->xml, "<iothreadpin"));
	ok(CALL(f, "SetIothreadPin", "susu", "vm", 1, text, 2));
	fails(CALL(f, "SetIothreadPin", "susu", "vm", 2, text, 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "iothreadid 2 not found");
	fails(CALL(f, "SetIothreadPin", "susu", "vm", 1, "1-", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "'1-' are no host CPUs");
	fails(CALL(f, "SetIothreadPin", "susu", "vm", 1, text, 1),
		VMMD_ERROR_PREFIX "OperationInvalid", "domain is not running");
	fails(CALL(f, "AddIothread", "suu", "vm", 4, 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"an IOThread is already using iothread_id '4'");
	fails(CALL(f, "AddIothread", "suu", "vm", 0, 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"write 1 to 9999");
	fails(CALL(f, "AddIothread", "suu", "vm", 5, 4), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
	fails(CALL(f, "DeleteIothread", "suu", "vm", 5, 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"cannot find IOThread '5'");
	ok(CALL(f, "SetCpuTune", "sasu", "vm", 1, "iothread_quota=5000", 0));
	assert_non_null(strstr(d->definition->xml, "<iothread_quota>5000<"));
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "iothread_period=1", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "iothread_period");

	/* What runs: 1 is pinned since before the guest began. */
	fixture_start(f, d);
	v = list(f, 1, 2);
	o = json_object_array_get_idx(v, 0);
	assert_string_equal(text_of(o, "affinity"), text);
	assert_true(json_object_object_get_ex(o, "cpu", NULL));
	assert_true(json_object_object_get_ex(o, "cpu_time", NULL));
	json_object_put(v);
	has_number(CALL(f, "GetDomainStats", "asu", 1, "vm", 128), "iothread.count", 2);
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "vm", 2048), "overhead.iothread"));
	assert_true(
		has_key(CALL(f, "GetDomainStats", "asu", 1, "vm", 2048), "overhead.iothread.rest"));
	ok(CALL(f, "SetIothreadPin", "susu", "vm", 4, text, 1));
	assert_non_null(strstr(d->running->xml, "<iothreadpin iothread='4'"));
	fails(CALL(f, "SetIothreadPin", "susu", "vm", 3, text, 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "iothread 3 not found");
	ok(CALL(f, "AddIothread", "suu", "vm", 3, 3));
	json_object_put(list(f, 1, 3));
	json_object_put(list(f, 2, 3));
	ok(CALL(f, "DeleteIothread", "suu", "vm", 4, 1));
	assert_null(strstr(d->running->xml, "iothread='4'"));
	v = list(f, 0, 2);
	o = json_object_array_get_idx(v, 1);
	expect_number(o, "iothread", 3);
	assert_string_equal(text_of(o, "pin"), all);
	json_object_put(v);
	/* A quota of each is added to the vCPUs': what runs begins with it. */
	has_number(CALL(f, "GetCpuTune", "su", "vm", 0), "iothread_quota", 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_iothreads, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
