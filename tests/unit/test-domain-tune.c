/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a worker's threads run and what its control group may use: at the start, when it changes, and for another daemon. The
 * worker is tests/fakes/fake-worker.h, the control group a folder that looks like one. */
#include "daemon/domain-internal.h"

#include <sys/socket.h>
#include "daemon-fixture.h"
#include "daemon/process.h"

#define BOTH (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)

/* A CPU that this process, and so the worker, may use. */
static unsigned first_cpu(void)
{
	uint64_t mine[CPUSET_WORDS];
	unsigned cpu = 0;

	assert_int_equal(cpuset_of_thread(0, mine), 0);
	while (!(mine[cpu / 64] >> cpu % 64 & 1))
		cpu++;
	return cpu;
}

static bool is_pinned(const uint64_t cpus[CPUSET_WORDS])
{
	uint64_t one[CPUSET_WORDS] = {0};
	unsigned cpu = first_cpu();

	one[cpu / 64] = UINT64_C(1) << cpu % 64;
	return memcmp(cpus, one, sizeof(one)) == 0;
}

/* Threads of vCPUs 0 and 1, and all others, that are pinned to the first CPU: a bit each. */
static unsigned pinned(const struct domain *d)
{
	struct process_vcpu v[2];
	uint64_t main_thread[CPUSET_WORDS];

	assert_int_equal(process_vcpus(worker_pid(d->worker), v, 2), 0);
	assert_int_equal(cpuset_of_thread(worker_pid(d->worker), main_thread), 0);
	assert_true(v[0].tid && v[1].tid);
	return (unsigned)is_pinned(v[0].cpus) | (unsigned)is_pinned(v[1].cpus) << 1 |
		(unsigned)is_pinned(main_thread) << 2;
}

/* Where one CPU is all there is, every thread is pinned to it. */
static unsigned as_far_as_can_be_seen(unsigned want)
{
	uint64_t mine[CPUSET_WORDS];

	assert_int_equal(cpuset_of_thread(0, mine), 0);
	return is_pinned(mine) ? 7 : want;
}

static const char *cputune(const char *format)
{
	static char text[512];

	(void)snprintf(text, sizeof(text), format, first_cpu(), first_cpu());
	return text;
}

struct set {
	uint32_t vcpu; /* UINT32_MAX: the emulator's */
	bool on;
	uint64_t shares;
	int64_t quota_us;
	uint64_t hard_kib;
	bool far; /* vCPU 1 where there is no CPU */
};

static int change(struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	struct domain_cputune *tune = &config->cputune;
	const struct set *set = what;
	unsigned cpu = first_cpu();
	uint64_t *cpus = tune->pins[0].cpus;

	if (set->quota_us == 1)
		return error_set(error, ERROR_INVALID_ARGUMENT, "not in the %s",
			is_live ? "live one" : "definition");
	tune->shares = set->shares;
	tune->vcpu.quota_us = set->quota_us;
	config->memtune.hard_kib = set->hard_kib;
	tune->n_pins = 0;
	memset(tune->emulator_pin, 0, sizeof(tune->emulator_pin));
	if (set->on && set->vcpu == UINT32_MAX) {
		cpus = tune->emulator_pin;
	} else if (set->on) {
		tune->n_pins = 1;
		tune->pins[0] = (struct domain_pin){.vcpu = set->vcpu};
	}
	if (set->on)
		cpus[cpu / 64] = UINT64_C(1) << cpu % 64;
	if (set->far)
		tune->pins[tune->n_pins++] =
			(struct domain_pin){.vcpu = 1, .cpus[CPUSET_WORDS - 1] = UINT64_C(1) << 63};
	return 0;
}

static int tune(struct fixture *f, struct domain *d, unsigned flags, const struct set *set)
{
	unsigned n = f->n_done;
	int r;

	f->error = (struct error){0};
	r = domain_tune(d, flags, change, set, sizeof(*set), fixture_done, f, &f->error);
	if (r == 0)
		RUN_UNTIL(f, f->n_done > n);
	return r;
}

static bool has(const struct definition *definition, const char *text)
{
	return strstr(definition->xml, text);
}

/* Threads are where they are to be when the guest begins; the worker was started paused for that, and went on. */
static void test_start(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=threads",
		cputune("<cputune><vcpupin vcpu='1' cpuset='%u'/><emulatorpin cpuset='%u'/>"
			"</cputune>"));

	fixture_start(f, d);
	assert_int_equal(pinned(d), as_far_as_can_be_seen(6));
	assert_int_equal(d->state, DOMAIN_STATE_RUNNING);
	assert_int_equal(d->reason, DOMAIN_RUNNING_BOOTED);
	assert_true(fixture_saw(f, "lifecycle vm Started Booted"));
	assert_false(fixture_saw(f, "lifecycle vm Resumed Unpaused"));
	assert_false(d->pinning);
	/* Another daemon finds what runs where. */
	manager_free(f->manager);
	f->n_events = 0;
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "vm");
	RUN_UNTIL(f, d->phase == DOMAIN_ACTIVE && !d->degraded);
	assert_int_equal(d->live->cputune.n_pins, 1);
	assert_int_equal(tune(f, d, 0, &(struct set){.vcpu = 0, .on = true}), 1);
	assert_int_equal(pinned(d), as_far_as_can_be_seen(1));
}

/* To be started paused it stays paused. */
static void test_start_paused(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=threads",
		cputune("<cputune><vcpupin vcpu='0' cpuset='%u'/></cputune>"));

	fixture_wait(f, domain_start(d, DOMAIN_START_PAUSED, fixture_done, f, &f->error));
	assert_int_equal(d->state, DOMAIN_STATE_PAUSED);
	assert_int_equal(pinned(d), as_far_as_can_be_seen(1));
}

/* What cannot be done ends the start, and says why. */
static void test_start_fails(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(
		f, "vm", "", cputune("<cputune><vcpupin vcpu='0' cpuset='%u'/></cputune>"));

	fixture_wait(f, domain_start(d, 0, fixture_done, f, &f->error));
	assert_non_null(strstr(f->done_error.message, "vCPU 0 cannot be pinned"));
	assert_false(domain_is_active(d));
	d = fixture_define(f, "far", "", "<cputune><vcpupin vcpu='0' cpuset='1023'/></cputune>");
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "cputune/vcpupin[1]: the host has no CPU 1023"));
	/* One that the machine does not have yet waits for it. */
	d = fixture_define(f, "later", "", "<cputune><vcpupin vcpu='2' cpuset='1023'/></cputune>");
	fixture_start(f, d);
}

static void test_change(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=threads", "");

	assert_true(tune(f, d, DOMAIN_AFFECT_LIVE, &(struct set){0}) < 0);
	assert_non_null(strstr(f->error.message, "domain is not running"));
	assert_int_equal(tune(f, d, 0, &(struct set){.vcpu = 1, .on = true}), 1);
	assert_true(has(d->definition, "<vcpupin vcpu='1'"));
	assert_int_equal(tune(f, d, 0, &(struct set){0}), 1);
	assert_false(has(d->definition, "cputune"));
	fixture_start(f, d);
	assert_int_equal(pinned(d), as_far_as_can_be_seen(0));
	assert_int_equal(tune(f, d, 0, &(struct set){.vcpu = 0, .on = true}), 1);
	assert_int_equal(pinned(d), as_far_as_can_be_seen(1));
	assert_true(has(d->running, "<vcpupin vcpu='0'"));
	assert_false(has(d->definition, "cputune"));
	/* From one to the other, in both. */
	assert_int_equal(tune(f, d, BOTH, &(struct set){.vcpu = UINT32_MAX, .on = true}), 1);
	assert_int_equal(pinned(d), as_far_as_can_be_seen(4));
	assert_true(has(d->running, "<emulatorpin") && !has(d->running, "<vcpupin"));
	assert_true(has(d->definition, "<emulatorpin"));
	assert_true(fixture_saw(f, "lifecycle vm Defined Updated"));
	/* What is refused changes nothing. */
	assert_true(tune(f, d, BOTH, &(struct set){.quota_us = 1}) < 0);
	assert_non_null(strstr(f->error.message, "not in the live one"));
	assert_int_equal(pinned(d), as_far_as_can_be_seen(4));
	assert_true(tune(f, d, BOTH, &(struct set){.shares = 7}) < 0);
	assert_non_null(strstr(f->error.message, "no control group"));
	assert_true(has(d->definition, "<emulatorpin"));
}

/* One thread can be moved, another cannot: none has been. */
static void test_half(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=threads", "");

	fixture_start(f, d);
	assert_true(tune(f, d, 0, &(struct set){.vcpu = 0, .on = true, .far = true}) < 0);
	assert_non_null(strstr(f->error.message, "vCPU 1 cannot be pinned"));
	assert_int_equal(pinned(d), as_far_as_can_be_seen(0));
	assert_int_equal(tune(f, d, 0, &(struct set){.vcpu = 0, .on = true}), 1);
	assert_true(tune(f, d, 0, &(struct set){.vcpu = UINT32_MAX, .on = true, .far = true}) < 0);
	assert_int_equal(pinned(d), as_far_as_can_be_seen(1));
	/* All threads could be moved, but the limits that come with it cannot be had. */
	assert_true(tune(f, d, 0, &(struct set){.vcpu = 1, .on = true, .shares = 7}) < 0);
	assert_non_null(strstr(f->error.message, "no control group"));
	assert_int_equal(pinned(d), as_far_as_can_be_seen(1));
	assert_true(has(d->running, "<vcpupin vcpu='0'") && !has(d->running, "vcpupin vcpu='1'"));
}

static void expect_file(const char *dir, const char *file, const char *content)
{
	char path[256], *text;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	assert_int_equal(read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	assert_int_equal(strncmp(text, content, strlen(content)), 0);
	free(text);
}

static void give_group(struct fixture *f, struct domain *d, char *group, size_t size)
{
	char command[640], path[160];

	snprintf(path, sizeof(path), "%s/cgroup", f->dir);
	snprintf(group, size, "%s/vmmd-1/g", path);
	snprintf(command, sizeof(command),
		"mkdir -p %s && cd %s && touch ../../cgroup.controllers memory.max memory.high "
		"memory.swap.max pids.max cpu.weight cpu.max cpuset.mems && echo %d >cgroup.procs",
		group, group, (int)worker_pid(d->worker));
	assert_int_equal(system(command), 0);
	f->manager->cgroup_root = cgroup_root_new(path, 1);
	assert_int_equal(cgroup_new(f->manager->cgroup_root, "g", &(struct cgroup_limits){0}, NULL,
				 &d->cgroup),
		0);
	cgroup_adopted(d->cgroup, d->id, worker_pid(d->worker));
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	char group[192];

	fixture_start(f, d);
	give_group(f, d, group, sizeof(group));
	assert_int_equal(
		tune(f, d, BOTH,
			&(struct set){.shares = 300, .quota_us = 30000, .hard_kib = 32768}),
		1);
	expect_file(group, "cpu.weight", "300\n");
	expect_file(group, "cpu.max", "60000 100000\n");
	expect_file(group, "memory.max", "33554432\n");
	assert_true(has(d->running, "<shares>300</shares>") &&
		has(d->running, "<quota>30000</quota>") &&
		has(d->definition, "<hard_limit unit='KiB'>32768</hard_limit>"));
	assert_true(tune(f, d, 0, &(struct set){.shares = 10001}) < 0);
	assert_non_null(strstr(f->error.message, "take 1 to 10000"));
	assert_int_equal(tune(f, d, 0, &(struct set){0}), 1);
	expect_file(group, "cpu.weight", "100\n");
	expect_file(group, "cpu.max", "max 100000\n");
	expect_file(group, "memory.max", "83886080\n"); /* 16 MiB and the worker's own */
	assert_false(has(d->running, "cputune"));
}

/* More shares than this host can express are as many as it can, now and when something else changes. */
static void test_too_many_shares(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "<cputune><shares>20000</shares></cputune>");
	char group[192];

	fixture_start(f, d);
	give_group(f, d, group, sizeof(group));
	assert_int_equal(tune(f, d, 0, &(struct set){.shares = 20000, .quota_us = 30000}), 1);
	expect_file(group, "cpu.weight", "10000\n");
	expect_file(group, "cpu.max", "60000 100000\n");
	/* What follows from the number of vCPUs does so too. */
	expect_file(group, "memory.max", "83886080\n");
	assert_int_equal(truncate(strcat(group, "/cpu.weight"), 0), 0);
	domain_limits_changed(d);
	*strrchr(group, '/') = 0;
	expect_file(group, "cpu.weight", "10000\n");
	assert_true(has(d->running, "<shares>20000</shares>"));
	assert_true(tune(f, d, 0, &(struct set){.shares = 20001}) < 0);
}

static int change_nodes(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	(void)is_live;
	(void)error;
	memcpy(config->numatune.nodes, what, sizeof(config->numatune.nodes));
	return 0;
}

/* Of a restrictive domain the group has the nodes, and a change of them while it runs; a host that cannot do that does not start it. */
static void test_nodes(void **state)
{
	static const uint64_t both[CPUSET_WORDS] = {3};
	struct fixture *f = *state;
	struct domain *d = fixture_define(
		f, "vm", "", "<numatune><memory mode='restrictive' nodeset='0'/></numatune>");
	char group[192], command[320];

	if (domain_start(d, 0, fixture_done, f, &f->error) == 0)
		RUN_UNTIL(f, f->n_done > 0);
	assert_false(domain_is_active(d));
	assert_non_null(strstr(f->error.code ? f->error.message : f->done_error.message,
		"numatune/memory: mode 'restrictive' needs a cpuset controller"));
	snprintf(command, sizeof(command),
		"mkdir %s/cgroup && echo cpuset >%s/cgroup/cgroup.controllers", f->dir, f->dir);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "%s/cgroup", f->dir);
	f->manager->cgroup_root = cgroup_root_new(command, 1);
	fixture_start(f, d);
	d->cgroup = cgroup_free(d->cgroup, false);
	f->manager->cgroup_root = cgroup_root_free(f->manager->cgroup_root);
	give_group(f, d, group, sizeof(group));
	assert_int_equal(
		domain_tune(d, BOTH, change_nodes, both, sizeof(both), fixture_done, f, &f->error),
		1);
	expect_file(group, "cpuset.mems", "0-1\n");
	assert_true(has(d->running, "<memory mode='restrictive' nodeset='0-1'/>"));
	assert_true(has(d->definition, "<memory mode='restrictive' nodeset='0-1'/>"));
}

/* A systemd that answers when it is told to. */

struct systemd {
	sd_bus *server, *client;
	sd_bus_message *calls[8]; /* that are not answered */
	unsigned n_calls;
	uint64_t weight, memory, quota; /* as it was told last; UINT64_MAX: the default */
};

static int on_systemd(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct systemd *s = userdata;
	const char *unit, *key;
	int runtime;

	(void)error;
	if (!sd_bus_message_is_method_call(
		    m, "org.freedesktop.systemd1.Manager", "SetUnitProperties"))
		return 0;
	assert_true(sd_bus_message_read(m, "sb", &unit, &runtime) > 0);
	assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		uint64_t value;

		assert_true(sd_bus_message_read_basic(m, 's', &key) > 0);
		assert_true(sd_bus_message_read(m, "v", "t", &value) > 0);
		if (streq(key, "CPUWeight"))
			s->weight = value;
		else if (streq(key, "MemoryMax"))
			s->memory = value;
		else if (streq(key, "CPUQuotaPerSecUSec"))
			s->quota = value;
		assert_true(sd_bus_message_exit_container(m) > 0);
	}
	assert_true(s->n_calls < ARRAY_SIZE(s->calls));
	s->calls[s->n_calls++] = sd_bus_message_ref(m);
	return 1;
}

/* The oldest of them. */
static void answer(struct systemd *s, const char *refusal)
{
	assert_true(s->n_calls > 0);
	if (refusal)
		assert_true(sd_bus_reply_method_errorf(
				    s->calls[0], SD_BUS_ERROR_FAILED, "%s", refusal) >= 0);
	else
		assert_true(sd_bus_reply_method_return(s->calls[0], "") >= 0);
	sd_bus_message_unref(s->calls[0]);
	memmove(s->calls, s->calls + 1, --s->n_calls * sizeof(s->calls[0]));
}

static void give_systemd(struct fixture *f, struct domain *d, struct systemd *s)
{
	sd_id128_t id;
	int pair[2];

	*s = (struct systemd){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(&s->server) >= 0 && sd_bus_new(&s->client) >= 0);
	assert_true(sd_bus_set_fd(s->server, pair[0], pair[0]) >= 0);
	assert_true(sd_bus_set_server(s->server, true, id) >= 0);
	assert_true(sd_bus_set_fd(s->client, pair[1], pair[1]) >= 0);
	assert_true(sd_bus_start(s->server) >= 0 && sd_bus_start(s->client) >= 0);
	assert_true(sd_bus_attach_event(s->server, f->event, 0) >= 0);
	assert_true(sd_bus_attach_event(s->client, f->event, 0) >= 0);
	assert_true(sd_bus_add_filter(s->server, NULL, on_systemd, s) >= 0);
	f->manager->cgroup_root = cgroup_root_new("/nonexistent", 1);
	cgroup_root_set_bus(f->manager->cgroup_root, s->client);
	assert_int_equal(cgroup_new(f->manager->cgroup_root, "g", &(struct cgroup_limits){0}, NULL,
				 &d->cgroup),
		0);
	cgroup_adopted(d->cgroup, d->id, worker_pid(d->worker));
}

static void end_systemd(struct fixture *f, struct systemd *s)
{
	cgroup_root_set_bus(f->manager->cgroup_root, NULL);
	while (s->n_calls)
		sd_bus_message_unref(s->calls[--s->n_calls]);
	sd_bus_close_unref(s->client);
	sd_bus_close_unref(s->server);
}

struct one {
	size_t offset; /* in domain_config, 64 bits */
	uint64_t value;
};

static int change_one(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	const struct one *one = what;

	(void)is_live;
	(void)error;
	memcpy((char *)config + one->offset, &one->value, sizeof(one->value));
	return 0;
}

#define SHARES offsetof(struct domain_config, cputune.shares)
#define QUOTA  offsetof(struct domain_config, cputune.vcpu.quota_us)
#define HARD   offsetof(struct domain_config, memtune.hard_kib)

static int set_one(
	struct fixture *f, struct domain *d, unsigned flags, size_t offset, uint64_t value)
{
	const struct one one = {offset, value};

	return domain_tune(d, flags, change_one, &one, sizeof(one), fixture_done, f, &f->error);
}

/* Each is made of what the one before it has left, and systemd is asked for one at a time. */
static void test_one_after_the_other(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct systemd s;
	unsigned n;

	fixture_start(f, d);
	n = f->n_done;
	give_systemd(f, d, &s);
	assert_int_equal(set_one(f, d, BOTH, SHARES, 300), 0);
	assert_int_equal(set_one(f, d, BOTH, QUOTA, 30000), 0);
	assert_int_equal(set_one(f, d, DOMAIN_AFFECT_LIVE, HARD, 32768), 0);
	RUN_UNTIL(f, s.n_calls > 0);
	assert_int_equal(s.weight, 300);
	assert_int_equal(s.quota, UINT64_MAX);
	/* The definition waits for nobody, and keeps it. */
	assert_int_equal(set_one(f, d, DOMAIN_AFFECT_CONFIG, HARD, 65536), 1);
	assert_int_equal(f->n_done, n);
	answer(&s, NULL);
	RUN_UNTIL(f, f->n_done == n + 1 && s.n_calls > 0);
	assert_int_equal(s.n_calls, 1);
	assert_int_equal(s.weight, 300);
	assert_int_equal(s.quota, 600000); /* of two vCPUs, in a second */
	assert_true(has(d->running, "<shares>300</shares>"));
	answer(&s, NULL);
	RUN_UNTIL(f, f->n_done == n + 2 && s.n_calls > 0);
	answer(&s, NULL);
	RUN_UNTIL(f, f->n_done == n + 3);
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(s.weight, 300);
	assert_int_equal(s.quota, 600000);
	assert_int_equal(s.memory, MIB(32));
	assert_true(has(d->running, "<shares>300</shares>") &&
		has(d->running, "<quota>30000</quota>") &&
		has(d->running, "<hard_limit unit='KiB'>32768</hard_limit>"));
	assert_true(has(d->definition, "<shares>300</shares>") &&
		has(d->definition, "<quota>30000</quota>") &&
		has(d->definition, "<hard_limit unit='KiB'>65536</hard_limit>"));
	assert_true(list_empty(&d->tunes));
	end_systemd(f, &s);
}

/* Whatever else changes the limits meanwhile does not undo it; and what is refused leaves none of it. */
static void test_limits_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "<cputune><quota>30000</quota></cputune>");
	struct systemd s;
	unsigned n;

	fixture_start(f, d);
	n = f->n_done;
	give_systemd(f, d, &s);
	assert_int_equal(set_one(f, d, 0, SHARES, 300), 0);
	domain_limits_changed(d);
	RUN_UNTIL(f, s.n_calls == 2);
	assert_int_equal(s.weight, 300);
	answer(&s, NULL);
	answer(&s, NULL);
	RUN_UNTIL(f, f->n_done == n + 1);
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(set_one(f, d, 0, SHARES, 400), 0);
	assert_int_equal(set_one(f, d, 0, QUOTA, 40000), 0);
	domain_limits_changed(d);
	RUN_UNTIL(f, s.n_calls == 2);
	assert_int_equal(s.weight, 400);
	answer(&s, "not today");
	answer(&s, NULL);
	RUN_UNTIL(f, s.n_calls == 2);
	assert_non_null(strstr(f->done_error.message, "not today"));
	assert_int_equal(s.weight, 300);
	assert_int_equal(s.quota, 800000);
	answer(&s, NULL);
	answer(&s, NULL);
	RUN_UNTIL(f, f->n_done == n + 3);
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_true(
		has(d->running, "<shares>300</shares>") && has(d->running, "<quota>40000</quota>"));
	end_systemd(f, &s);
}

/* Without an answer nobody waits for ever: the bus is given up, or breaks. */
static void test_bus_gone(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct systemd s;

	fixture_start(f, d);
	for (unsigned breaks = 0; breaks < 2; breaks++) {
		unsigned n = f->n_done;

		give_systemd(f, d, &s);
		assert_int_equal(set_one(f, d, 0, SHARES, 300), 0);
		assert_int_equal(set_one(f, d, 0, QUOTA, 30000), 0);
		RUN_UNTIL(f, s.n_calls == 1);
		if (breaks)
			sd_bus_close(s.server);
		else
			cgroup_root_set_bus(f->manager->cgroup_root, NULL);
		RUN_UNTIL(f, f->n_done == n + 2);
		assert_int_not_equal(f->done_error.code, ERROR_NONE);
		assert_true(list_empty(&d->tunes));
		assert_false(has(d->running, "cputune"));
		end_systemd(f, &s);
		d->cgroup = cgroup_free(d->cgroup, false);
		f->manager->cgroup_root = cgroup_root_free(f->manager->cgroup_root);
	}
}

/* The run ends first: all are told, and the answer that comes then is nobody's. */
static void test_run_ends(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct systemd s;
	unsigned n;

	fixture_start(f, d);
	give_systemd(f, d, &s);
	n = f->n_done;
	assert_int_equal(set_one(f, d, BOTH, SHARES, 300), 0);
	assert_int_equal(set_one(f, d, BOTH, QUOTA, 30000), 0);
	RUN_UNTIL(f, s.n_calls == 1);
	worker_kill(d->worker);
	RUN_UNTIL(f, f->n_done == n + 2);
	assert_non_null(strstr(f->done_error.message, "ended before the change was made"));
	RUN_UNTIL(f, !domain_is_active(d));
	answer(&s, NULL);
	assert_int_equal(set_one(f, d, 0, SHARES, 500), 1);
	for (unsigned i = 0; i < 5; i++)
		assert_true(sd_event_run(f->event, 10000) >= 0);
	assert_int_equal(f->n_done, n + 2);
	assert_true(has(d->definition, "<shares>500</shares>") && !has(d->definition, "<quota>"));
	end_systemd(f, &s);
}

/* No more than so many wait. */
static void test_too_many_wait(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct systemd s;
	unsigned n;

	fixture_start(f, d);
	give_systemd(f, d, &s);
	n = f->n_done;
	for (unsigned i = 0; i < DOMAIN_MAX_TUNES; i++)
		assert_int_equal(set_one(f, d, 0, SHARES, 300), 0);
	assert_true(set_one(f, d, 0, SHARES, 300) < 0);
	assert_int_equal(f->error.code, ERROR_RESOURCE_BUSY);
	/* The others want what there is already: they are done with the first one. */
	RUN_UNTIL(f, s.n_calls == 1);
	answer(&s, NULL);
	RUN_UNTIL(f, f->n_done == n + DOMAIN_MAX_TUNES);
	assert_int_equal(s.n_calls, 0);
	end_systemd(f, &s);
}

/* Memory that a device may have is not taken from it by a change of something else. */
static void test_granted_memory(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	char group[192];

	fixture_start(f, d);
	give_group(f, d, group, sizeof(group));
	d->live->vm.n_memories = 1;
	d->live->memories[0].granted_kib = 65536;
	assert_int_equal(tune(f, d, 0, &(struct set){.shares = 300}), 1);
	expect_file(group, "memory.max", "150994944\n"); /* 16 MiB, 64 MiB, and the worker's own */
	d->live->vm.n_memories = 0;
}

/* One limit out of three. */
static void test_sums(void **state)
{
	static const struct {
		struct domain_quota vcpu, emulator, global;
		uint64_t quota_us, period_us;
	} rows[] = {
		{.quota_us = 0, .period_us = 0},
		{.vcpu = {0, -1}, .global = {0, -1}},
		{.vcpu = {0, 25000}, .quota_us = 75000, .period_us = 100000},
		{.vcpu = {50000, 25000}, .quota_us = 75000, .period_us = 50000},
		{.vcpu = {50000, 25000},
			.emulator = {100000, 10000},
			.quota_us = 80000,
			.period_us = 50000},
		{.emulator = {100000, 10000}}, /* nothing to add it to */
		{.global = {200000, 100000}, .quota_us = 100000, .period_us = 200000},
		/* The tighter one counts, in the vCPUs' period. */
		{.vcpu = {50000, 25000},
			.global = {100000, 50000},
			.quota_us = 25000,
			.period_us = 50000},
		{.vcpu = {50000, 5000},
			.global = {100000, 50000},
			.quota_us = 15000,
			.period_us = 50000},
		{.vcpu = {0, DOMAIN_QUOTA_MAX_US},
			.quota_us = 3 * (uint64_t)DOMAIN_QUOTA_MAX_US,
			.period_us = 100000},
		/* The kernel takes no less. */
		{.vcpu = {1000, 1000},
			.global = {1000000, 1000},
			.quota_us = 1000,
			.period_us = 1000},
	};
	struct domain_config *config = domain_config_new();
	struct cgroup_limits l;

	(void)state;
	config->vm.vcpus = 3;
	config->vm.vcpus_max = 4;
	config->vm.memory_kib = 65536;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		config->cputune.vcpu = rows[i].vcpu;
		config->cputune.emulator = rows[i].emulator;
		config->cputune.global = rows[i].global;
		domain_limits(config, NULL, &l);
		if (l.quota_us != rows[i].quota_us || l.period_us != rows[i].period_us)
			fail_msg("row %zu: %llu in %llu", i, (unsigned long long)l.quota_us,
				(unsigned long long)l.period_us);
	}
	assert_int_equal(l.memory_bytes, MIB(64) + cgroup_memory_extra(KIB(64)));
	config->memtune =
		(struct domain_memtune){.hard_kib = DOMAIN_MEMTUNE_UNLIMITED_KIB, .soft_kib = 1024};
	domain_limits(config, NULL, &l);
	assert_true(l.memory_bytes == CGROUP_UNLIMITED && l.memory_soft_bytes == MIB(1));
	/* One group for all cells; what is bound otherwise is not the group's. */
	config->numatune = (struct domain_numatune){.mode = DOMAIN_NUMA_RESTRICTIVE,
		.nodes = {1},
		.n_memnodes = 1,
		.memnodes = {{.mode = DOMAIN_NUMA_RESTRICTIVE, .nodes = {8}}}};
	domain_limits(config, NULL, &l);
	assert_int_equal(l.nodes, 9);
	config->numatune.mode = DOMAIN_NUMA_STRICT;
	domain_limits(config, NULL, &l);
	assert_int_equal(l.nodes, 0);
	domain_config_free(config);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_start),
		T(test_start_paused),
		T(test_start_fails),
		T(test_change),
		T(test_half),
		T(test_limits),
		T(test_too_many_shares),
		T(test_nodes),
		T(test_one_after_the_other),
		T(test_limits_meanwhile),
		T(test_bus_gone),
		T(test_run_ends),
		T(test_too_many_wait),
		T(test_granted_memory),
		cmocka_unit_test(test_sums),
	};

	log_init("test-domain-tune", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
