/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPUs that a domain gets and gives back: what changes where, a guest that refuses or takes its time, and what another daemon
 * finds. The worker is tests/fakes/fake-worker.h. */
#include "daemon/domain-internal.h"

#include <poll.h>
#include <signal.h>

#include "daemon-fixture.h"

#define BOTH (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)

static bool reached;

static void on_done(void *userdata, bool done, const struct error *error)
{
	reached = done;
	fixture_done(userdata, error);
}

static int set(struct fixture *f, struct domain *d, uint32_t n, unsigned flags)
{
	unsigned n_done = f->n_done;
	int r;

	f->error = f->done_error = (struct error){0};
	reached = false;
	r = domain_set_vcpus(d, n, flags, on_done, f, &f->error);
	if (r == 0)
		RUN_UNTIL(f, f->n_done > n_done);
	return r;
}

static void refused(
	struct fixture *f, struct domain *d, uint32_t n, unsigned flags, const char *why)
{
	assert_true(set(f, d, n, flags) < 0);
	if (!strstr(f->error.message, why))
		fail_msg("'%s' has no '%s'", f->error.message, why);
}

/* Four at most, of which one is there. */
static struct domain *start(struct fixture *f, const char *cmdline, const char *extra)
{
	char text[256];
	struct domain *d;

	(void)snprintf(text, sizeof(text), "<features><acpi/></features>%s", extra);
	d = fixture_define(f, "vm", cmdline, text);
	if (domain_set_vcpus(
		    d, 4, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM, on_done, f, &f->error) != 1)
		fail_msg("%s", f->error.message);
	assert_int_equal(set(f, d, 1, 0), 1);
	fixture_start(f, d);
	return d;
}

static bool has(const struct definition *definition, const char *text)
{
	return strstr(definition->xml, text);
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");

	assert_int_equal(set(f, d, 1, 0), 1);
	assert_true(has(d->definition, "current='1'>2</vcpu>"));
	refused(f, d, 3, 0,
		"requested vcpus is greater than max allowable vcpus for the persistent domain: 3 "
		"> 2");
	refused(f, d, 0, 0, "one vCPU at least");
	refused(f, d, 1, DOMAIN_AFFECT_LIVE, "domain is not running");
	assert_int_equal(set(f, d, 8, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM), 1);
	assert_true(has(d->definition, "current='1'>8</vcpu>"));
	assert_int_equal(set(f, d, 8, DOMAIN_AFFECT_CONFIG), 1);
	assert_true(has(d->definition, ">8</vcpu>") && !has(d->definition, "current="));
	/* What is on is not more than what there can be. */
	assert_int_equal(set(f, d, 2, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM), 1);
	assert_true(has(d->definition, ">2</vcpu>") && !has(d->definition, "current="));
	refused(f, d, 256, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM, "256 > 255");
	d = fixture_define(
		f, "top", "", "<cpu><topology sockets='1' cores='2' threads='1'/></cpu>");
	refused(f, d, 3, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM, "topology");
	assert_true(has(d->definition, ">2</vcpu>"));
	/* Of cells: new ones are the first one's, and none leaves its cell. */
	d = fixture_define(f, "cells", "",
		"<features><acpi/></features><cpu><numa><cell cpus='0' memory='8192'/>"
		"<cell cpus='1' memory='8192'/></numa></cpu>");
	assert_int_equal(set(f, d, 4, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM), 1);
	assert_true(has(d->definition, "<cell id='0' cpus='0,2-3' memory='8192'"));
	refused(f, d, 3, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM,
		"Number of CPUs in <numa> exceeds the desired maximum vcpu count");
}

static void test_live(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "", "");

	assert_int_equal(d->live->vm.vcpus, 1);
	assert_true(domain_vcpu_is_online(d, 0) && !domain_vcpu_is_online(d, 1));
	assert_int_equal(set(f, d, 3, 0), 0);
	assert_true(reached && !f->done_error.code);
	assert_int_equal(d->live->vm.vcpus, 3);
	assert_true(has(d->running, "current='3'>4</vcpu>"));
	assert_true(has(d->definition, "current='1'>4</vcpu>"));
	assert_true(fixture_saw(f, "device-added vm  vcpu1") &&
		fixture_saw(f, "device-added vm  vcpu2"));
	assert_int_equal(set(f, d, 2, BOTH), 0);
	assert_true(reached && !f->done_error.code);
	assert_true(fixture_saw(f, "device-removed vm  vcpu2"));
	assert_true(has(d->running, "current='2'>4</vcpu>"));
	assert_true(has(d->definition, "current='2'>4</vcpu>"));
	assert_true(domain_vcpu_is_online(d, 1) && !domain_vcpu_is_online(d, 2));
	refused(f, d, 5, DOMAIN_AFFECT_LIVE, "for the live domain: 5 > 4");
	refused(f, d, 5, BOTH, "5 > 4");
	refused(f, d, 4, DOMAIN_AFFECT_LIVE | DOMAIN_VCPU_MAXIMUM,
		"maximum vcpu count of a live domain can't be modified");
	/* Nothing to do is done. */
	assert_int_equal(set(f, d, 2, 0), 0);
	assert_true(reached);
	/* Another daemon finds as many. */
	manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "vm");
	RUN_UNTIL(f, d->phase == DOMAIN_ACTIVE && domain_vcpu_is_online(d, 1));
	assert_int_equal(d->live->vm.vcpus, 2);
	assert_false(domain_vcpu_is_online(d, 2));
}

/* The line 'text' on the worker's console. */
static void type(struct fixture *f, struct domain *d, const char *text)
{
	fixture_wait(
		f, domain_open_console(d, "", DOMAIN_CONSOLE_FORCE, fixture_done_fd, f, &f->error));
	assert_int_equal(write(f->done_fd, text, strlen(text)), strlen(text));
}

/* A guest that takes its time: who asked hears that it has not happened yet, and it happens later. */
static void test_slow(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "fake=keep-vcpus", "");

	assert_int_equal(set(f, d, 2, 0), 0);
	assert_int_equal(set(f, d, 1, BOTH), 0);
	assert_false(reached);
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(d->live->vm.vcpus, 2);
	type(f, d, "release\n");
	RUN_UNTIL(f, d->live->vm.vcpus == 1);
	assert_true(fixture_saw(f, "device-removed vm  vcpu1"));
	assert_true(has(d->definition, "current='1'>4</vcpu>"));
}

/* The definition follows as it is when the guest has let go, not as it was when it was asked. */
static void test_defined_meanwhile(void **state)
{
	struct fixture *f = *state;
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d = start(f, "fake=keep-vcpus", "");
	unsigned n;

	assert_int_equal(set(f, d, 2, 0), 0);
	assert_int_equal(domain_set_vcpus(d, 1, BOTH, on_done, f, &f->error), 0);
	assert_int_equal(definition_parse(d->definition, &config), 0);
	strcpy(config->title, "new");
	assert_int_equal(manager_redefine(f->manager, d, config, &f->error), 0);
	type(f, d, "release\n");
	n = f->n_done;
	RUN_UNTIL(f, f->n_done > n);
	assert_true(reached);
	assert_true(has(d->definition, "<title>new</title>"));
	assert_true(has(d->definition, "current='1'>4</vcpu>"));
}

/* A worker with more than what the daemon can read lives on, and its limits are not touched. */
static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "", "");
	char path[512], uuid[UUID_STRING_LEN + 1];
	pid_t pid;

	assert_int_equal(set(f, d, 3, 0), 0);
	assert_int_equal(set(f, d, 2, DOMAIN_AFFECT_CONFIG | DOMAIN_VCPU_MAXIMUM), 1);
	pid = worker_pid(d->worker);
	uuid_format(d->uuid, uuid);
	manager_free(f->manager);
	(void)snprintf(path, sizeof(path), "%s/domains/%s/live.xml", f->runtime, uuid);
	assert_int_equal(unlink(path), 0);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "vm");
	RUN_UNTIL(f, !domain_is_active(d) || domain_vcpu_is_online(d, 2));
	assert_true(domain_is_active(d));
	assert_int_equal(worker_pid(d->worker), pid);
	assert_int_equal(d->live->vm.vcpus_max, 2);
	assert_true(d->guessed);
}

static void test_refusal(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "fake=refuse-vcpus", "");

	assert_int_equal(set(f, d, 4, 0), 0);
	assert_true(reached);
	assert_int_equal(set(f, d, 1, BOTH), 0);
	assert_false(reached);
	assert_non_null(strstr(f->done_error.message, "vcpu unplug request was refused"));
	assert_int_equal(d->live->vm.vcpus, 4);
	assert_true(has(d->definition, "current='1'>4</vcpu>"));
}

/* It ends while somebody waits. */
static void test_end(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "fake=keep-vcpus", "");
	unsigned n;

	assert_int_equal(set(f, d, 2, 0), 0);
	n = f->n_done;
	assert_int_equal(domain_set_vcpus(d, 1, BOTH, on_done, f, &f->error), 0);
	worker_kill(d->worker);
	RUN_UNTIL(f, f->n_done > n && !domain_is_active(d));
	assert_int_equal(f->n_done, n + 1);
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
	assert_true(has(d->definition, "current='1'>4</vcpu>"));
}

static bool seen(struct domain *d, uint32_t first)
{
	uint32_t bits[PROTO_VCPU_WORDS] = {first};

	return domain_vcpus_seen(d, bits);
}

/* What a worker says is believed as far as it can be: what nobody asked for does not come, and what was given back stays away. */
static void test_lies(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "fake=keep-vcpus", "");
	uint32_t bits[PROTO_VCPU_WORDS];

	assert_false(seen(d, 0));
	memset(bits, 0xff, sizeof(bits));
	assert_false(domain_vcpus_seen(d, bits));
	assert_false(seen(d, 3));
	assert_int_equal(d->live->vm.vcpus, 1);
	assert_false(domain_vcpu_is_online(d, 4) || domain_vcpu_is_online(d, 255) ||
		domain_vcpu_is_online(d, UINT32_MAX));
	assert_int_equal(set(f, d, 4, 0), 0);
	RUN_UNTIL(f, list_empty(&d->vcpu_waits)); /* answered */
	/* What a guest leaves may have holes. Which come back only when they are asked for. */
	assert_true(seen(d, 0xb));
	assert_int_equal(d->live->vm.vcpus, 3);
	assert_true(domain_vcpu_is_online(d, 3) && !domain_vcpu_is_online(d, 2));
	assert_false(seen(d, 0xf));
	assert_true(seen(d, 0xb) && seen(d, 1));
	assert_false(seen(d, 2 | 1));
	assert_int_equal(d->live->vm.vcpus, 1);
	domain_vcpu_refused(d, UINT32_MAX);
}

/* Until it has answered it may have any of what was asked for, and no more. */
static void test_unanswered(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "", "");

	assert_int_equal(kill(worker_pid(d->worker), SIGSTOP), 0);
	assert_int_equal(domain_set_vcpus(d, 3, 0, on_done, f, &f->error), 0);
	assert_int_equal(domain_set_vcpus(d, 2, 0, on_done, f, &f->error), 0);
	assert_false(seen(d, 0xf));
	assert_true(seen(d, 7) && seen(d, 3) && seen(d, 7));
	assert_int_equal(kill(worker_pid(d->worker), SIGCONT), 0);
	RUN_UNTIL(f, list_empty(&d->vcpu_waits));
	assert_int_equal(d->live->vm.vcpus, 2);
	assert_false(seen(d, 7));
}

/* Asked by one daemon, told to the next, which believes that much of it. */
static void test_told_to_another(void **state)
{
	struct fixture *f = *state;
	struct domain *d = start(f, "", "");
	pid_t pid = worker_pid(d->worker);

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(domain_set_vcpus(d, 3, 0, on_done, f, &f->error), 0);
	manager_free(f->manager);
	assert_int_equal(kill(pid, SIGCONT), 0);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "vm");
	RUN_UNTIL(f, worker_is_connected(d->worker));
	/* The worker may have read it, or given up who asked before. */
	assert_true(seen(d, 7));
	assert_int_equal(d->live->vm.vcpus, 3);
	assert_false(seen(d, 0xf));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_config),
		T(test_live),
		T(test_slow),
		T(test_defined_meanwhile),
		T(test_unreadable),
		T(test_refusal),
		T(test_end),
		T(test_lies),
		T(test_unanswered),
		T(test_told_to_another),
	};

	log_init("test-domain-vcpu", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
