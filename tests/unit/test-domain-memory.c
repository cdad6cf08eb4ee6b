/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory devices of a domain that is defined or runs: what is requested, had and allowed, what comes and goes, and what another daemon
 * finds. The worker is tests/fakes/fake-worker.h. */
#include "config/domain-device.h"
#include "daemon/domain-internal.h"

#include "daemon-fixture.h"
#include "daemon/memory-limit.h"

#define BOTH (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)
#define ROOM "<features><acpi/></features><maxMemory slots='4' unit='MiB'>64</maxMemory>"
#define MEMORY(mib, requested_mib)                                                                 \
	"<memory model='virtio-mem'><target><size unit='MiB'>" #mib                                \
	"</size><requested unit='MiB'>" #requested_mib "</requested></target></memory>"

/* It has 16 MiB, 8 of them in a device of which it is to have 2. */
static struct domain *define(struct fixture *f, const char *name, const char *cmdline)
{
	struct domain *d;

	f->devices = MEMORY(8, 2);
	d = fixture_define(f, name, cmdline, ROOM);
	f->devices = NULL;
	return d;
}

static struct domain *start(struct fixture *f, const char *name, const char *cmdline)
{
	struct domain *d = define(f, name, cmdline);

	fixture_start(f, d);
	return d;
}

static bool has(const struct domain *d, bool inactive, const char *text)
{
	_cleanup_(freep) char *xml = NULL;

	assert_int_equal(domain_format_xml(d, inactive, &xml, NULL), 0);
	return strstr(xml, text);
}

static void finish(struct fixture *f, int r, unsigned n)
{
	if (r < 0)
		fail_msg("%s", f->error.message);
	if (r == 0)
		RUN_UNTIL(f, f->n_done > n);
	if (r == 0 && f->done_error.code)
		fail_msg("%s", f->done_error.message);
}

static int update(
	struct fixture *f, struct domain *d, const char *alias, uint64_t mib, unsigned flags)
{
	const struct domain_memory_wish wish = {.alias = alias, .node = -1, .kib = mib * 1024};

	f->error = (struct error){0};
	return domain_update_memory(d, &wish, flags, fixture_done, f, &f->error);
}

static void update_ok(
	struct fixture *f, struct domain *d, const char *alias, uint64_t mib, unsigned flags)
{
	unsigned n = f->n_done;

	finish(f, update(f, d, alias, mib, flags), n);
}

static void refused(struct fixture *f, int r, const char *text)
{
	if (r >= 0 || !strstr(f->error.message, text))
		fail_msg("%d '%s' has no '%s'", r, f->error.message, text);
}

static bool gone;

static void on_detached(void *userdata, bool is_gone, const struct error *error)
{
	gone = is_gone;
	fixture_done(userdata, error);
}

static int attach(struct fixture *f, struct domain *d, const char *xml, unsigned flags)
{
	f->error = (struct error){0};
	return domain_attach_device(d, xml, "m.xml", flags, fixture_done, f, NULL, &f->error);
}

static int detach(struct fixture *f, struct domain *d, const char *xml, unsigned flags)
{
	f->error = (struct error){0};
	gone = false;
	return domain_detach_device(d, xml, "m.xml", flags, on_detached, f, &f->error);
}

/* More and less, live and in the definition; the XML says what is requested and had, events what came of it. */
static void test_update(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", "");
	struct memory_use use;

	assert_int_equal(d->live->vm.memory_kib, 8192);
	assert_int_equal(domain_current_memory_kib(d), 10240);
	assert_true(has(d, false, "<memory unit='KiB'>16384</memory>"));
	assert_true(has(d, false, "<currentMemory unit='KiB'>10240</currentMemory>"));
	assert_true(has(d, false, "<current unit='KiB'>2048</current>"));
	assert_true(has(d, false, "<alias name='virtiomem0'/>"));
	assert_false(has(d, true, "<current "));
	memory_use_read(f->manager, &use);
	assert_int_equal(use.used_kib, 10240 + 65536);
	update_ok(f, d, "", 6, DOMAIN_AFFECT_LIVE);
	assert_true(has(d, false, "<requested unit='KiB'>6144</requested>"));
	assert_true(has(d, true, "<requested unit='KiB'>2048</requested>"));
	RUN_UNTIL(f, fixture_saw(f, "memory-device-size-change a 6144KiB virtiomem0"));
	assert_true(has(d, false, "<current unit='KiB'>6144</current>"));
	memory_use_read(f->manager, &use);
	assert_int_equal(use.used_kib, 14336 + 65536);
	update_ok(f, d, "virtiomem0", 0, BOTH);
	RUN_UNTIL(f, fixture_saw(f, "memory-device-size-change a 0KiB virtiomem0"));
	assert_true(has(d, true, "<requested unit='KiB'>0</requested>"));
	memory_use_read(f->manager, &use);
	assert_int_equal(use.used_kib, 8192 + 65536);
	update_ok(f, d, "", 4, DOMAIN_AFFECT_CONFIG);
	assert_true(has(d, true, "<requested unit='KiB'>4096</requested>"));
	assert_true(has(d, false, "<requested unit='KiB'>0</requested>"));
	/* By its XML, as update-device has it. */
	{
		const struct domain_memory_wish wish = {.xml = MEMORY(8, 8), .source = "m.xml"};
		unsigned n = f->n_done;

		finish(f, domain_update_memory(d, &wish, 0, fixture_done, f, &f->error), n);
		assert_true(has(d, false, "<requested unit='KiB'>8192</requested>"));
	}
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", ""), *b = start(f, "b", "fake=refuse-memory");
	struct domain *off = define(f, "off", "");

	refused(f, update(f, d, "", 3, 0), "integer multiple of block size");
	refused(f, update(f, d, "", 10, 0), "smaller than or equal to the size");
	refused(f, update(f, d, "virtiomem1", 4, 0), "no memory device found");
	refused(f, update(f, d, "net0", 4, 0), "no memory device found");
	refused(f, update(f, d, "virtiomem0x", 4, 0), "no memory device found");
	refused(f, update(f, off, "", 4, DOMAIN_AFFECT_LIVE), "domain is not running");
	update_ok(f, off, "", 4, 0);
	assert_true(has(off, true, "<requested unit='KiB'>4096</requested>"));
	/* The worker's answer counts. */
	fixture_wait(f, update(f, b, "", 4, BOTH));
	assert_non_null(strstr(f->done_error.message, "told to refuse"));
	assert_true(has(b, false, "<requested unit='KiB'>2048</requested>"));
	assert_true(has(b, true, "<requested unit='KiB'>2048</requested>"));
	assert_int_equal(b->live->memories[0].granted_kib, 2048);
	/* Below the host's limit only. */
	f->manager->options.memory_limit_kib = 2 * (10240 + 65536) + 1024;
	refused(f, update(f, d, "", 4, 0),
		"domain 'a' is to have 2 MiB more, and of the 149 MiB that domains may have 1 MiB "
		"are "
		"free");
	refused(f, attach(f, d, MEMORY(4, 4), 0), "domain 'a' is to have 4 MiB more");
	assert_int_equal(d->live->vm.n_memories, 1);
	update_ok(f, d, "", 0, 0);
	f->manager->options.memory_limit_kib += 1024;
	fixture_wait(f, attach(f, d, MEMORY(4, 4), 0));
	assert_int_equal(f->done_error.code, 0);
}

/* What the guest does not give back stays counted, also by another daemon. */
static void test_kept(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", "fake=keep-memory");
	struct memory_use use;

	update_ok(f, d, "", 8, 0);
	update_ok(f, d, "", 2, 0);
	memory_use_read(f->manager, &use);
	assert_int_equal(use.used_kib, 16384 + 65536);
	assert_int_equal(domain_current_memory_kib(d), 16384);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "a");
	RUN_UNTIL(f, !d->degraded && d->stats);
	memory_use_read(f->manager, &use);
	assert_int_equal(use.used_kib, 16384 + 65536);
	assert_true(has(d, false, "<requested unit='KiB'>2048</requested>"));
	assert_true(has(d, false, "<current unit='KiB'>8192</current>"));
	refused(f, detach(f, d, MEMORY(8, 0), 0), "it has 8192 KiB and is to have 2048 KiB");
}

static uint64_t granted_of(struct fixture *f, const char *name)
{
	return manager_find_name(f->manager, name)->live->memories[0].granted_kib;
}

static void open_another(struct fixture *f)
{
	struct list *pos;

	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	list_for_each (pos, &f->manager->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		RUN_UNTIL(f, !d->degraded && d->stats);
	}
}

/* A worker says that its guest has all: that raises nothing, and no more for the next daemon. What was granted is granted there, too. */
static void test_claims(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", "fake=claim-memory");
	_cleanup_(freep) char *status = NULL;
	unsigned n;
	int r;

	assert_int_equal(domain_current_memory_kib(d), 16384);
	assert_int_equal(granted_of(f, "a"), 2048);
	open_another(f);
	assert_int_equal(granted_of(f, "a"), 2048);
	/* Noted before the worker hears of it. */
	d = manager_find_name(f->manager, "a");
	n = f->n_done;
	r = update(f, d, "", 6, 0);
	assert_int_equal(r, 0);
	assert_int_equal(store_load_runtime(&f->manager->store->domains, d->uuid, STORE_STATUS,
				 STORE_MAX_STATUS_BYTES, &status),
		0);
	assert_non_null(strstr(strstr(status, "granted_kib"), "6144"));
	finish(f, r, n);
	update_ok(f, d, "", 2, 0);
	open_another(f);
	assert_int_equal(granted_of(f, "a"), 6144);
}

/* setmem means all that the guest has; the balloon takes from what is no device. */
static void test_balloon(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", "");
	struct domain_balloon b;

	f->error = (struct error){0};
	fixture_wait(f, domain_set_memory(d, 8192, fixture_done, f, &f->error));
	RUN_UNTIL(f, domain_current_memory_kib(d) == 8192);
	assert_int_equal(d->live->vm.current_memory_kib, 6144);
	/* What the policy compares. */
	assert_true(domain_read_balloon(d, &b));
	assert_true(b.has_kib == 6144 && b.target_kib == 6144 && b.ceiling_kib == 6144);
	refused(f, domain_set_memory(d, 10244, fixture_done, f, &f->error),
		"cannot set memory higher than max memory");
	refused(f, domain_set_memory(d, 2048, fixture_done, f, &f->error), "cannot do without");
}

static void test_attach_and_detach(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", "");
	unsigned n = f->n_done;

	finish(f, attach(f, d, MEMORY(16, 4), BOTH), n);
	assert_int_equal(d->live->vm.n_memories, 2);
	assert_int_equal(d->live->memories[1].number, 1);
	assert_true(fixture_saw(f, "device-added a  virtiomem1"));
	assert_true(has(d, false, "<memory unit='KiB'>32768</memory>"));
	assert_true(has(d, true, "<memory unit='KiB'>32768</memory>"));
	assert_true(has(d, false, "<alias name='virtiomem1'/>"));
	RUN_UNTIL(f, domain_plugged_kib(d) == 2048 + 4096);
	refused(f, update(f, d, "", 4, 0), "multiple memory devices found");
	/* The first goes when it is empty; the second keeps its number. */
	refused(f, detach(f, d, MEMORY(8, 0), 0), "request 0 first");
	update_ok(f, d, "virtiomem0", 0, 0);
	RUN_UNTIL(f, fixture_saw(f, "memory-device-size-change a 0KiB virtiomem0"));
	n = f->n_done;
	finish(f, detach(f, d, MEMORY(8, 0), BOTH), n);
	assert_true(gone);
	assert_true(fixture_saw(f, "device-removed a  virtiomem0"));
	assert_int_equal(d->live->vm.n_memories, 1);
	assert_int_equal(d->live->memories[0].number, 1);
	assert_true(has(d, false, "<memory unit='KiB'>24576</memory>"));
	assert_false(has(d, true, "<size unit='KiB'>8192</size>"));
	/* Another daemon knows the numbers. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "a");
	RUN_UNTIL(f, !d->degraded && d->stats);
	assert_int_equal(d->live->memories[0].number, 1);
	update_ok(f, d, "virtiomem1", 16, 0);
	RUN_UNTIL(f, domain_plugged_kib(d) == 16384);
	refused(f, detach(f, d, MEMORY(2, 0), 0), "no memory device matches");
	refused(f, attach(f, d, MEMORY(64, 0), 0), "maxMemory");
}

/* An alias is of what runs: in the definition it is the same device, not the same number. */
static void test_same_device(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	unsigned n = f->n_done;

	f->devices = MEMORY(4, 0) MEMORY(8, 0);
	d = fixture_define(f, "a", "", ROOM);
	f->devices = NULL;
	fixture_start(f, d);
	/* The definition loses the first, so that its numbers are others. */
	finish(f, detach(f, d, MEMORY(4, 0), DOMAIN_AFFECT_CONFIG), n);
	update_ok(f, d, "virtiomem1", 4, BOTH);
	assert_true(has(d, true, "<requested unit='KiB'>4096</requested>"));
	RUN_UNTIL(f, fixture_saw(f, "memory-device-size-change a 4096KiB virtiomem1"));
	refused(f, update(f, d, "virtiomem0", 2, BOTH),
		"the definition has no device like virtiomem0 of the running domain 'a' (4096 KiB "
		"in "
		"blocks of ");
	assert_true(has(d, true, "<requested unit='KiB'>4096</requested>"));
	/* Each has got another one as its third. */
	n = f->n_done;
	finish(f, attach(f, d, MEMORY(24, 0), DOMAIN_AFFECT_LIVE), n);
	finish(f, attach(f, d, MEMORY(12, 0), DOMAIN_AFFECT_CONFIG), n);
	refused(f, update(f, d, "virtiomem2", 2, BOTH), "no device like virtiomem2");
	update_ok(f, d, "virtiomem2", 2, DOMAIN_AFFECT_LIVE);
	assert_false(has(d, true, "<requested unit='KiB'>2048</requested>"));
}

/* Those that are alike otherwise are told apart by their addresses. */
static void test_alike(void **state)
{
	struct fixture *f = *state;
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d;
	unsigned n = f->n_done;

	f->devices = MEMORY(4, 0) MEMORY(4, 2);
	d = fixture_define(f, "a", "", ROOM);
	f->devices = NULL;
	fixture_start(f, d);
	update_ok(f, d, "virtiomem1", 4, BOTH);
	assert_true(has(d, true, "<requested unit='KiB'>4096</requested>"));
	update_ok(f, d, "virtiomem0", 2, BOTH);
	assert_true(has(d, true, "<requested unit='KiB'>2048</requested>"));
	assert_true(has(d, true, "<requested unit='KiB'>4096</requested>"));
	n = f->n_done;
	/* One more here, */
	finish(f, attach(f, d, MEMORY(4, 0), DOMAIN_AFFECT_LIVE), n);
	update_ok(f, d, "virtiomem1", 4, BOTH);
	/* and one less there. */
	assert_int_equal(
		domain_device_detach(d->definition->xml, DOMAIN_DEVICE_MEMORY, 0, &config), 0);
	assert_int_equal(manager_redefine(f->manager, d, config, &f->error), 0);
	refused(f, update(f, d, "virtiomem0", 0, BOTH), "no device like virtiomem0");
	assert_true(has(d, true, "<requested unit='KiB'>4096</requested>"));
	update_ok(f, d, "virtiomem1", 0, BOTH);
	assert_false(has(d, true, "<requested unit='KiB'>4096</requested>"));
}

static void test_attach_fails(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", "fake=refuse-memory");

	fixture_wait(f, attach(f, d, MEMORY(16, 4), BOTH));
	assert_non_null(strstr(f->done_error.message, "told to refuse"));
	assert_int_equal(d->live->vm.n_memories, 1);
	assert_false(has(d, false, "<size unit='KiB'>16384</size>"));
	assert_false(has(d, true, "<size unit='KiB'>16384</size>"));
	assert_int_equal(d->memories_plugging, 0);
	assert_int_equal(d->n_memory_changes, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_update),
		TEST(test_refusals),
		TEST(test_kept),
		TEST(test_claims),
		TEST(test_balloon),
		TEST(test_attach_and_detach),
		TEST(test_same_device),
		TEST(test_alike),
		TEST(test_attach_fails),
	};

	return cmocka_run_group_tests_name("domain-memory", tests, NULL, NULL);
}
