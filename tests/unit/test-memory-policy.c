/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory policy of a whole daemon: fake guests, and a host whose pressure and memory are files. What it decides is
 * test-memory-share.c's. */
#include "daemon/memory-policy.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "daemon-fixture.h"
#include "daemon/psi.h"
#include "daemon/worker-internal.h"
#include "journal-fixture.h"

#define MIB_KIB 1024

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void path_of(struct fixture *f, const char *name, char ret[256])
{
	snprintf(ret, 256, "%s/%s", f->dir, name);
}

/* What the host has, and what of it could be had. */
static void set_host(struct fixture *f, unsigned available_mib)
{
	char path[256], text[256];

	path_of(f, "proc/meminfo", path);
	snprintf(text, sizeof(text), "MemTotal: %d kB\nMemFree: 1 kB\nMemAvailable: %u kB\n",
		16 * 1024 * MIB_KIB, available_mib * MIB_KIB);
	write_file(path, text);
	path_of(f, "proc/pressure/memory", path);
	write_file(path,
		available_mib < 1000 ? "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\nfull "
				       "avg10=1.00 avg60=0.00 avg300=0.00 total=1\n"
				     : "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull "
				       "avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
}

static void set_use(struct fixture *f, const char *name, unsigned mib)
{
	char path[256], text[32];

	path_of(f, name, path);
	snprintf(text, sizeof(text), "%u\n", mib);
	write_file(path, text);
}

static void open_manager(struct fixture *f)
{
	static char root[64];
	struct manager_options options = {.state_dir = f->state,
		.runtime_dir = f->runtime,
		.worker_path = f->worker,
		.session = true,
		.no_jail = true,
		.no_kvm = true,
		.proc_root = root,
		.policy_second_usec = 20000};

	strcpy(root, f->dir);
	assert_int_equal(manager_new(f->event, &options, &f->manager, &f->error), 0);
	assert_int_equal(manager_load(f->manager, &f->error), 0);
	f->sink = (struct event_sink){.event = fixture_on_event};
	list_add_tail(&f->manager->sinks, &f->sink.link);
}

static int setup(void **state)
{
	char command[256];
	struct fixture *f;

	assert_int_equal(fixture_setup(state), 0);
	f = *state;
	snprintf(command, sizeof(command), "mkdir -p %s/proc/pressure", f->dir);
	assert_int_equal(system(command), 0);
	set_host(f, 8000);
	manager_free(f->manager);
	open_manager(f);
	return 0;
}

static struct domain *start(
	struct fixture *f, const char *name, unsigned uses_mib, const char *more)
{
	struct domain *d = NULL;
	char xml[2048];

	set_use(f, name, uses_mib);
	snprintf(xml, sizeof(xml),
		"<domain type='kvm'><name>%s</name><memory unit='MiB'>4096</memory>"
		"<currentMemory unit='MiB'>4000</currentMemory><vcpu>1</vcpu>"
		"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel>"
		"<cmdline>fake=uses:%s/%s</cmdline></os>%s<devices><serial "
		"type='null'/></devices></domain>",
		name, f->kernel, f->dir, name, more);
	if (manager_define(f->manager, xml, "test.xml", 0, &d, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_start(f, d);
	/* The real one begins there. */
	fixture_wait(f, domain_set_balloon(d, 4000 * MIB_KIB, fixture_done, f, &f->error));
	return d;
}

static uint64_t target(const struct domain *d)
{
	struct domain_balloon b;

	assert_true(domain_read_balloon(d, &b));
	assert_true(b.target_kib <= b.ceiling_kib);
	return b.target_kib;
}

static unsigned count(struct fixture *f, enum memory_action action)
{
	return (unsigned)memory_policy_counts(f->manager->memory_policy)[action];
}

static const struct memory_decision *last(struct fixture *f, enum memory_action action)
{
	const struct memory_policy *p = f->manager->memory_policy;

	for (size_t i = memory_policy_n_decisions(p); i; i--)
		if (memory_policy_decision(p, i - 1)->action == action)
			return memory_policy_decision(p, i - 1);
	fail_msg("it never %s", memory_action_name(action));
	return NULL;
}

static void switch_it(struct fixture *f, bool on)
{
	if (memory_policy_set(f->manager->memory_policy, on, &f->error) < 0)
		fail_msg("%s", f->error.message);
}

/* Off: nothing happens whatever is the matter. On: nothing either, until there is pressure. */
static void test_idle(void **state)
{
	struct fixture *f = *state;
	struct memory_policy *p = f->manager->memory_policy;
	struct domain *d = start(f, "a", 500, "");

	set_host(f, 500);
	memory_policy_fire(p);
	assert_false(memory_policy_is_busy(p));
	assert_int_equal(memory_policy_n_decisions(p), 0);
	switch_it(f, true);
	assert_false(memory_policy_is_busy(p));
	assert_int_equal(target(d), 4000 * MIB_KIB);
	switch_it(f, true);
	assert_int_equal(count(f, MEMORY_ON), 1);
	/* Pressure on a host that has memory is some control group's: nobody is asked. */
	set_host(f, 8000);
	memory_policy_fire(p);
	memory_policy_fire(p);
	assert_false(memory_policy_is_busy(p));
	assert_int_equal(count(f, MEMORY_FOREIGN), 1);
	assert_int_equal(last(f, MEMORY_FOREIGN)->available_kib, 8000 * MIB_KIB);
}

/* What the guests do not use, by weight, above the floor; and what setmem said, and the XML says, stays. */
static void test_take_and_give(void **state)
{
	struct fixture *f = *state;
	struct memory_policy *p = f->manager->memory_policy;
	struct domain *floor = start(f, "floor", 500,
		"<memtune><min_guarantee unit='MiB'>3900</min_guarantee></memtune>");
	struct domain *light = start(f, "light", 500, "");
	struct domain *heavy = start(f, "heavy", 500,
		"<metadata><vmmd:memoryPolicy xmlns:vmmd='urn:vmmd:domain:1' "
		"weight='300'/></metadata>");
	struct domain *full = start(f, "full", 3950, "");
	struct domain *locked = start(f, "locked", 500, "");
	_cleanup_(freep) char *xml = NULL;
	const struct memory_decision *m;
	struct journald journald;
	char text[64];

	locked->live->vm.memory_locked = 1; /* as if: the test's user may not lock */
	journald_open(&journald, f->dir);
	switch_it(f, true);
	set_host(f, 700);
	memory_policy_fire(p);
	assert_true(memory_policy_is_busy(p));
	RUN_UNTIL(f, target(heavy) < 4000 * MIB_KIB);
	RUN_UNTIL(f, target(floor) < 4000 * MIB_KIB && target(light) < 4000 * MIB_KIB);
	assert_true(target(floor) >= 3900 * MIB_KIB);
	assert_in_range(4000 * MIB_KIB - target(light), 3 * (4000 * MIB_KIB - target(heavy)) - 4096,
		3 * (4000 * MIB_KIB - target(heavy)) + 4096);
	assert_int_equal(target(full), 4000 * MIB_KIB);
	assert_int_equal(target(locked), 4000 * MIB_KIB);
	assert_int_equal(count(f, MEMORY_PRESSURE), 1);
	m = last(f, MEMORY_TOOK);
	while (!streq(journald_field(&journald, "VMMD_ACTION") ?: "", "took"))
		assert_true(journald_take(&journald));
	assert_string_equal(
		journald_field(&journald, "MESSAGE_ID"), journal_message_id(JOURNAL_MEMORY_MOVED));
	assert_string_equal(journald_field(&journald, "VMMD_BEFORE_KIB"), "4096000");
	assert_string_equal(journald_field(&journald, "VMMD_PRESSURE"), "12.34");
	assert_string_equal(journald_field(&journald, "VMMD_REASON"), "pressure");
	assert_string_equal(m->reason, "pressure");
	assert_true(m->usable_known && m->usable_kib && m->before_kib == 4000 * MIB_KIB);
	assert_int_equal(m->available_kib, 700 * MIB_KIB);
	assert_int_equal(m->pressure, 1234);
	/* What runs shows what it has; what it may have is remembered. */
	RUN_UNTIL(f, domain_current_memory_kib(light) == target(light));
	assert_int_equal(domain_format_xml(light, false, &xml, &f->error), 0);
	snprintf(text, sizeof(text), "<currentMemory unit='KiB'>%u</currentMemory>",
		(unsigned)target(light));
	assert_non_null(strstr(xml, text));
	assert_int_equal(light->live->vm.current_memory_kib, 4000 * MIB_KIB);
	/* The host has room, and no pressure for a while: all of it comes back, and then nobody looks. */
	set_host(f, 8000);
	RUN_UNTIL(f, !memory_policy_is_busy(p));
	assert_int_equal(target(floor) + target(light) + target(heavy), 3 * 4000 * MIB_KIB);
	assert_string_equal(last(f, MEMORY_GAVE)->reason, "room");
	assert_int_equal(count(f, MEMORY_OVER), 1);
	journald_close(&journald);
}

/* A guest that uses more again, while the host has nothing: the others pay for it. */
static void test_short(void **state)
{
	struct fixture *f = *state;
	struct memory_policy *p = f->manager->memory_policy;
	struct domain *a = start(f, "a", 500, ""), *b = start(f, "b", 500, "");
	uint64_t before;

	switch_it(f, true);
	set_host(f, 100);
	RUN_UNTIL(f, (memory_policy_fire(p), count(f, MEMORY_TOOK) >= 4));
	before = target(a);
	set_use(f, "a", (unsigned)(before / 1024) + 50);
	RUN_UNTIL(f, target(a) > before);
	assert_string_equal(last(f, MEMORY_GAVE)->domain, "a");
	assert_string_equal(last(f, MEMORY_GAVE)->reason, "swaps");
	assert_true(target(b) < 4000 * MIB_KIB);
}

/* setmem's word counts at once, also below what the policy has left. */
static void test_setmem(void **state)
{
	struct fixture *f = *state;
	struct memory_policy *p = f->manager->memory_policy;
	struct domain *d = start(f, "a", 500, "");

	switch_it(f, true);
	set_host(f, 700);
	memory_policy_fire(p);
	RUN_UNTIL(f, target(d) < 4000 * MIB_KIB);
	fixture_wait(f, domain_set_memory(d, 1200 * MIB_KIB, fixture_done, f, &f->error));
	assert_int_equal(d->live->vm.current_memory_kib, 1200 * MIB_KIB);
	assert_true(target(d) <= 1200 * MIB_KIB);
	assert_int_equal(
		domain_set_balloon(d, 1201 * MIB_KIB, fixture_done, f, &f->error), -EINVAL);
	set_host(f, 8000);
	RUN_UNTIL(f, !memory_policy_is_busy(p));
	assert_int_equal(target(d), 1200 * MIB_KIB);
	assert_int_equal(d->n_balloon_wishes, 0);
}

/* The daemon ends. What workers had not answered is answered first, as nobody else would give it back. */
static void end_manager(struct fixture *f)
{
	struct list *pos;

	list_for_each (pos, &f->manager->domains)
		worker_disconnect(list_entry(pos, struct domain, link)->worker, -ECONNRESET);
	f->manager = manager_free(f->manager);
}

/* Off gives all back; a daemon that is started again goes on, or gives back what another has left behind. */
static void test_restart(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "a", 500, "");
	char mark[256];

	switch_it(f, true);
	set_host(f, 700);
	memory_policy_fire(f->manager->memory_policy);
	RUN_UNTIL(f, target(d) < 4000 * MIB_KIB);
	end_manager(f);
	set_host(f, 8000);
	open_manager(f);
	assert_true(memory_policy_is_on(f->manager->memory_policy));
	d = manager_find_name(f->manager, "a");
	RUN_UNTIL(f, target(d) == 4000 * MIB_KIB);
	assert_string_equal(last(f, MEMORY_GAVE)->reason, "room");
	/* Again, and off. */
	set_host(f, 700);
	memory_policy_fire(f->manager->memory_policy);
	RUN_UNTIL(f, target(d) < 4000 * MIB_KIB);
	switch_it(f, false);
	RUN_UNTIL(f, target(d) == 4000 * MIB_KIB);
	assert_string_equal(last(f, MEMORY_GAVE)->reason, "off");
	RUN_UNTIL(f, !memory_policy_is_busy(f->manager->memory_policy));
	/* A daemon that ended right then. */
	fixture_wait(f, domain_set_balloon(d, 2000 * MIB_KIB, fixture_done, f, &f->error));
	end_manager(f);
	path_of(f, "state/memory-policy", mark);
	assert_int_equal(access(mark, F_OK), -1);
	open_manager(f);
	assert_false(memory_policy_is_on(f->manager->memory_policy));
	d = manager_find_name(f->manager, "a");
	RUN_UNTIL(f, target(d) == 4000 * MIB_KIB);
	RUN_UNTIL(f, !memory_policy_is_busy(f->manager->memory_policy));
}

/* A kernel without PSI: refused, and said by a daemon that was on before. */
static void test_no_psi(void **state)
{
	struct fixture *f = *state;
	char path[256];

	path_of(f, "proc/pressure/memory", path);
	switch_it(f, true);
	assert_int_equal(unlink(path), 0);
	end_manager(f);
	open_manager(f);
	assert_true(memory_policy_is_on(f->manager->memory_policy));
	assert_int_equal(memory_policy_error(f->manager->memory_policy), -ENOENT);
	assert_true(memory_policy_set(f->manager->memory_policy, true, &f->error) < 0);
	assert_int_equal(f->error.code, ERROR_NOT_SUPPORTED);
	assert_non_null(strstr(f->error.message, "CONFIG_PSI"));
	switch_it(f, false);
	assert_true(memory_policy_set(f->manager->memory_policy, true, &f->error) < 0);
	assert_false(memory_policy_is_on(f->manager->memory_policy));
	set_host(f, 8000);
	switch_it(f, true);
	assert_int_equal(memory_policy_error(f->manager->memory_policy), 0);
}

/* A socket's urgent data is what the kernel's trigger looks like. */
static void test_trigger(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), a, b;
	struct domain *d = start(f, "a", 500, "");
	char byte;

	assert_int_equal(bind(server, (void *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server, 1), 0);
	assert_int_equal(getsockname(server, (void *)&address, &len), 0);
	a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(a, (void *)&address, sizeof(address)), 0);
	b = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	assert_true(b >= 0);
	switch_it(f, true);
	assert_int_equal(memory_policy_watch(f->manager->memory_policy, b), 0);
	set_host(f, 700);
	/* Other bytes are no pressure. */
	assert_int_equal(send(a, "x", 1, 0), 1);
	assert_true(sd_event_run(f->event, 0) >= 0);
	assert_int_equal(count(f, MEMORY_PRESSURE), 0);
	assert_int_equal(send(a, "!", 1, MSG_OOB), 1);
	RUN_UNTIL(f, count(f, MEMORY_PRESSURE) == 1);
	assert_int_equal(recv(b, &byte, 1, MSG_OOB), 1);
	RUN_UNTIL(f, target(d) < 4000 * MIB_KIB);
	close(a);
	close(server);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_idle),
		T(test_take_and_give),
		T(test_short),
		T(test_setmem),
		T(test_restart),
		T(test_no_psi),
		T(test_trigger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
