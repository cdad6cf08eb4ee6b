/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What domains may have of the host's memory: how a limit is written, what counts, and who is refused. */
#include "daemon/memory-limit.h"

#include "daemon-fixture.h"
#include "daemon/host.h"

/* Of a domain of the fixture's: 16 MiB, and the worker's 64. */
#define ONE_KIB (80 * UINT64_C(1024))

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t kib;
	} good[] = {
		{"none", 0},
		{"1K", 1},
		{"65536M", UINT64_C(64) << 20},
		{"48G", UINT64_C(48) << 20},
		{"2T", UINT64_C(2) << 30},
		{"100%", 1000},
		{"90%", 900},
		{"150%", 1500},
		{"16777215T", UINT64_C(16777215) << 30},
	};
	static const char *const bad[] = {"", "0", "1", "K", "%", "0G", "0%", "-1G", "+1G", "1.5G",
		"1 G", " 1G", "1GiB", "1g", "10001%", "16777216T", "18446744073709551616K",
		"111111111111111111111111111111G", "NONE", "1P"};
	uint64_t kib;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		kib = 77;
		assert_int_equal(memory_limit_parse(good[i].text, 1000, &kib), 0);
		assert_int_equal(kib, good[i].kib);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		kib = 77;
		if (memory_limit_parse(bad[i], 1000, &kib) != -EINVAL)
			fail_msg("'%s' is taken for a limit", bad[i]);
		assert_int_equal(kib, 77);
	}
	/* Of what is not known there is no part; a part is never nothing, which would be no limit. */
	assert_int_equal(memory_limit_parse("50%", 0, &kib), -EINVAL);
	assert_int_equal(memory_limit_parse("1%", 50, &kib), 0);
	assert_int_equal(kib, 1);
}

static void test_need(void **state)
{
	struct domain_config *config = domain_config_new();

	(void)state;
	config->vm.memory_kib = 1 << 20;
	assert_int_equal(memory_need_kib(config), (1 << 20) + 65536);
	/* A balloon makes it no less. */
	config->vm.current_memory_kib = 1 << 18;
	assert_int_equal(memory_need_kib(config), (1 << 20) + 65536);
	config->memtune.hard_kib = 1 << 19;
	assert_int_equal(memory_need_kib(config), 1 << 19);
	config->memtune.hard_kib = DOMAIN_MEMTUNE_UNLIMITED_KIB;
	assert_int_equal(memory_need_kib(config), (1 << 20) + 65536);
	config->vm.hugepage_kib = 2048;
	assert_int_equal(memory_need_kib(config), 65536);
	(void)domain_config_free(config);
}

static void refused(struct fixture *f, struct domain *d, const char *text)
{
	char path[256], uuid[UUID_STRING_LEN + 1];

	f->error = (struct error){0};
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_int_equal(f->error.code, ERROR_RESOURCE_BUSY);
	if (!strstr(f->error.message, text))
		fail_msg("'%s' has no '%s'", f->error.message, text);
	/* Nothing has been made. */
	assert_false(domain_is_active(d));
	uuid_format(d->uuid, uuid);
	snprintf(path, sizeof(path), "%s/domains/%s", f->runtime, uuid);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", ""), *b = fixture_define(f, "b", "", "");
	struct domain *c = fixture_define(
		f, "c", "", "<memtune><hard_limit unit='MiB'>20</hard_limit></memtune>");
	struct memory_use use;

	f->manager->options.memory_limit_kib = ONE_KIB - 1;
	refused(f, a,
		"domain 'a' needs 80 MiB, and of the 79 MiB that domains may have 79 MiB are free: "
		"stop another one, or raise vmmd --memory-limit");
	f->manager->options.memory_limit_kib = ONE_KIB + 20480;
	fixture_start(f, a);
	memory_use_read(f->manager, &use);
	assert_int_equal(use.used_kib, ONE_KIB);
	refused(f, b, "needs 80 MiB, and of the 100 MiB that domains may have 20 MiB are free");
	fixture_start(f, c);
	/* Another daemon counts what it finds, though it does not answer yet. */
	manager_free(f->manager);
	fixture_open_manager(f);
	memory_use_read(f->manager, &use);
	assert_int_equal(use.used_kib, ONE_KIB + 20480);
	assert_int_equal(use.locked_kib, 0);
	f->manager->options.memory_limit_kib = ONE_KIB;
	b = manager_find_name(f->manager, "b");
	refused(f, b, "of the 80 MiB that domains may have 0 MiB are free");
	f->manager->options.memory_limit_kib = 0;
	fixture_start(f, b);
}

/* What ends makes room; one that starts again has its own. */
static void test_end_and_restart(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", "<on_crash>restart</on_crash>");
	struct domain *b = fixture_define(f, "b", "", "");
	pid_t pid;

	f->manager->options.memory_limit_kib = ONE_KIB;
	fixture_start(f, a);
	pid = worker_pid(a->worker);
	worker_kill(a->worker);
	RUN_UNTIL(f, a->phase == DOMAIN_ACTIVE && worker_pid(a->worker) != pid);
	refused(f, b, "0 MiB are free");
	fixture_wait(f, domain_destroy(a, 0, fixture_done, f, &f->error));
	fixture_start(f, b);
}

static void test_locked(void **state)
{
	struct fixture *f = *state;
	struct domain_config *config = domain_config_new();
	uint64_t host = host_memory_kib();
	struct domain *d;

	assert_true(host > 65536);
	strcpy(config->vm.name, "big");
	config->vm.memory_kib = host;
	assert_int_equal(memory_limit_check(f->manager, config, &f->error), 0);
	config->vm.memory_locked = 1;
	assert_int_equal(memory_limit_check(f->manager, config, &f->error), 0);
	d = fixture_define(f, "a", "", "");
	fixture_start(f, d);
	/* As if it had been locked: the host of the test may not allow it. */
	d->live->vm.memory_locked = 1;
	assert_int_equal(memory_limit_check(f->manager, config, &f->error), -EBUSY);
	assert_non_null(strstr(f->error.message, "domain 'big' is to have "));
	/* What is allocated at the start counts like that. */
	d->live->vm.memory_locked = config->vm.memory_locked = 0;
	assert_int_equal(memory_limit_check(f->manager, config, &f->error), 0);
	d->live->vm.memory_allocation = VM_ALLOCATION_IMMEDIATE;
	config->vm.memory_allocation = VM_ALLOCATION_ON_DEMAND;
	assert_int_equal(memory_limit_check(f->manager, config, &f->error), 0);
	config->vm.memory_allocation = VM_ALLOCATION_IMMEDIATE;
	assert_int_equal(memory_limit_check(f->manager, config, &f->error), -EBUSY);
	/* Huge pages are set aside already, and not locked. */
	config->vm.hugepage_kib = 2048;
	assert_int_equal(memory_limit_check(f->manager, config, &f->error), 0);
	(void)domain_config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_need),
		cmocka_unit_test_setup_teardown(test_limit, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_end_and_restart, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_locked, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
