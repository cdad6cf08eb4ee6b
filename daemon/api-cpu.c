/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of vCPUs, where threads run, and what a domain may use. Tested by tests/unit/test-dbus.c. */
#include <inttypes.h>
#include <string.h>

#include "daemon/api-cpu.h"
#include "daemon/cgroup.h"
#include "daemon/memory-limit.h"
#include "daemon/process.h"
#include "vmm-core/base/strutil.h"

#define AFFECT (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)

/* libvirt's numbers. */
enum { VCPU_OFFLINE, VCPU_RUNNING, VCPU_BLOCKED };

static void add(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_signed(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

void api_add_cpus(struct json_object *o, const char *key, const uint64_t set[CPUSET_WORDS])
{
	uint64_t online[CPUSET_WORDS] = {0};
	char text[CPUSET_TEXT_MAX];

	if (cpuset_is_empty(set) && resources_host_cpus(online) == 0)
		set = online;
	cpuset_format(set, text);
	json_object_object_add(o, key, json_object_new_string(text));
}

void api_source_done(struct api_source *s)
{
	(void)domain_config_free(s->owned);
}

int api_source_init(struct api_source *ret, struct api_call *call, struct error *error)
{
	*ret = (struct api_source){.domain = api_arg_domain(call, error)};
	if (!ret->domain || api_check_flags(call, AFFECT, error) < 0)
		return -EINVAL;
	return domain_read_config(
		ret->domain, api_arg_uint(call, "flags"), &ret->owned, &ret->config, error);
}

static struct json_object *result(const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	return out;
}

/* Changes: what they all do. */

int api_tune(struct api_call *call, domain_change_fn fn, const void *what, size_t what_size,
	struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, AFFECT, error) < 0)
		return -EINVAL;
	r = domain_tune(d, api_arg_uint(call, "flags"), fn, what, what_size, api_done,
		api_call_ref(call), error);
	if (r > 0)
		api_call_reply(call, NULL);
	if (r != 0)
		api_call_unref(call);
	return MIN(r, 0);
}

/* vCPUs and pins. */

static int vcpu_state(const struct domain *d, bool online)
{
	if (!online)
		return VCPU_OFFLINE;
	return d->state == DOMAIN_STATE_RUNNING ? VCPU_RUNNING : VCPU_BLOCKED;
}

static void add_thread(struct json_object *o, const struct domain *d, bool online,
	const struct process_vcpu *thread, uint64_t run_ns)
{
	add_signed(o, "state", vcpu_state(d, online));
	if (!thread->tid)
		return;
	add_signed(o, "cpu", thread->cpu);
	add(o, "cpu_time", run_ns);
	api_add_cpus(o, "affinity", thread->cpus);
}

int api_list_vcpus(struct api_call *call, struct error *error)
{
	struct process_times times[VM_MAX_VCPUS] = {0};
	struct process_vcpu *threads = NULL;
	struct json_object *array;
	struct api_source s;
	unsigned n;
	int r = api_source_init(&s, call, error);

	if (r < 0)
		return r;
	n = MIN(s.config->vm.vcpus_max, (uint32_t)VM_MAX_VCPUS);
	if (!s.owned && s.domain->worker) {
		threads = calloc(VM_MAX_VCPUS, sizeof(*threads));
		if (!threads) {
			api_source_done(&s);
			return error_set(error, ERROR_NO_MEMORY, "vcpus");
		}
		(void)process_vcpus(worker_pid(s.domain->worker), threads, n);
		(void)process_vcpu_times(worker_pid(s.domain->worker), times, n, false);
	}
	array = json_object_new_array();
	for (unsigned i = 0; i < n; i++) {
		struct json_object *o = json_object_new_object();
		bool online = s.owned || !domain_is_active(s.domain)
			? i < s.config->vm.vcpus
			: domain_vcpu_is_online(s.domain, i);

		add(o, "vcpu", i);
		json_object_object_add(o, "online", json_object_new_boolean(online));
		api_add_cpus(o, "pin", domain_pin_of(s.config, PROCESS_VCPU(i)));
		if (threads)
			add_thread(o, s.domain, online, &threads[i], times[i].run_ns);
		json_object_array_add(array, o);
	}
	free(threads);
	api_source_done(&s);
	api_call_reply(call, result("vcpus", array));
	return 0;
}

static void reply_done(struct api_call *call, bool done)
{
	api_call_reply(call, result("done", json_object_new_boolean(done)));
}

static void on_vcpus_set(void *userdata, bool done, const struct error *error)
{
	struct api_call *call = userdata;

	if (error)
		api_call_fail(call, error);
	else
		reply_done(call, done);
	api_call_unref(call);
}

int api_set_vcpus(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, AFFECT | DOMAIN_VCPU_MAXIMUM, error) < 0)
		return -EINVAL;
	r = domain_set_vcpus(d, api_arg_uint(call, "count"), api_arg_uint(call, "flags"),
		on_vcpus_set, api_call_ref(call), error);
	if (r > 0)
		reply_done(call, true);
	if (r != 0)
		api_call_unref(call);
	return MIN(r, 0);
}

int api_read_pin(const struct api_call *call, struct api_pin *ret, struct error *error)
{
	const char *text = api_arg_string(call, "cpuset");
	uint64_t online[CPUSET_WORDS];
	char all[CPUSET_TEXT_MAX];
	int cpu;

	*ret = (struct api_pin){.none = !*text};
	if (ret->none)
		return 0;
	if (cpuset_parse(text, ret->cpus) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"'%.64s' are no host CPUs; write for example 0-3,^2,7", text);
	if (resources_host_cpus(online) < 0)
		return 0;
	cpu = cpuset_first_outside(ret->cpus, online);
	if (cpu < 0)
		return 0;
	cpuset_format(online, all);
	return error_set(error, ERROR_INVALID_ARGUMENT,
		"the host has no CPU %d, or it is offline; write some of %.64s", cpu, all);
}

static int change_vcpu_pin(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	struct domain_cputune *tune = &config->cputune;
	const struct api_pin *pin = what;
	uint32_t i = 0;

	if (pin->number >= config->vm.vcpus_max)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"vcpu %u is out of range of %s cpu count %u", pin->number,
			is_live ? "live" : "persistent", config->vm.vcpus_max);
	/* They are in any order in a document. */
	while (i < tune->n_pins && tune->pins[i].vcpu != pin->number)
		i++;
	if (i < tune->n_pins) {
		tune->n_pins--;
		memmove(&tune->pins[i], &tune->pins[i + 1],
			(tune->n_pins - i) * sizeof(*tune->pins));
	}
	if (pin->none)
		return 0;
	if (tune->n_pins >= VM_MAX_VCPUS)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED, "too many pins");
	for (i = 0; i < tune->n_pins && tune->pins[i].vcpu < pin->number; i++)
		;
	memmove(&tune->pins[i + 1], &tune->pins[i], (tune->n_pins - i) * sizeof(*tune->pins));
	tune->pins[i].vcpu = pin->number;
	memcpy(tune->pins[i].cpus, pin->cpus, sizeof(pin->cpus));
	tune->n_pins++;
	return 0;
}

int api_set_vcpu_pin(struct api_call *call, struct error *error)
{
	struct api_pin pin;
	int r = api_read_pin(call, &pin, error);

	if (r < 0)
		return r;
	pin.number = api_arg_uint(call, "vcpu");
	return api_tune(call, change_vcpu_pin, &pin, sizeof(pin), error);
}

static int change_emulator_pin(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	const struct api_pin *pin = what;

	(void)is_live;
	(void)error;
	memcpy(config->cputune.emulator_pin, pin->cpus, sizeof(pin->cpus));
	return 0;
}

int api_set_emulator_pin(struct api_call *call, struct error *error)
{
	struct api_pin pin;
	int r = api_read_pin(call, &pin, error);

	return r < 0 ? r : api_tune(call, change_emulator_pin, &pin, sizeof(pin), error);
}

/* Settings: "name=value". */

enum setting_kind {
	SETTING_SHARES,
	SETTING_PERIOD,
	SETTING_QUOTA,
	SETTING_KIB,
	SETTING_FLOOR,
	SETTING_WEIGHT
};

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset; /* in domain_config, 64 bits */
};

static const struct setting cpu_settings[] = {
	{"cpu_shares", SETTING_SHARES, offsetof(struct domain_config, cputune.shares)},
	{"vcpu_period", SETTING_PERIOD, offsetof(struct domain_config, cputune.vcpu.period_us)},
	{"vcpu_quota", SETTING_QUOTA, offsetof(struct domain_config, cputune.vcpu.quota_us)},
	{"emulator_period", SETTING_PERIOD,
		offsetof(struct domain_config, cputune.emulator.period_us)},
	{"emulator_quota", SETTING_QUOTA,
		offsetof(struct domain_config, cputune.emulator.quota_us)},
	{"global_period", SETTING_PERIOD, offsetof(struct domain_config, cputune.global.period_us)},
	{"global_quota", SETTING_QUOTA, offsetof(struct domain_config, cputune.global.quota_us)},
	{"iothread_period", SETTING_PERIOD,
		offsetof(struct domain_config, cputune.iothread.period_us)},
	{"iothread_quota", SETTING_QUOTA,
		offsetof(struct domain_config, cputune.iothread.quota_us)},
};

static const struct setting memory_settings[] = {
	{"hard_limit", SETTING_KIB, offsetof(struct domain_config, memtune.hard_kib)},
	{"soft_limit", SETTING_KIB, offsetof(struct domain_config, memtune.soft_kib)},
	{"swap_hard_limit", SETTING_KIB, offsetof(struct domain_config, memtune.swap_hard_kib)},
	{"min_guarantee", SETTING_FLOOR, offsetof(struct domain_config, memtune.min_kib)},
	{"weight", SETTING_WEIGHT, offsetof(struct domain_config, memtune.weight)},
};

static int64_t setting_value(const struct domain_config *config, const struct setting *setting)
{
	int64_t value;

	memcpy(&value, (const char *)config + setting->offset, sizeof(value));
	return value;
}

static int check_setting(const struct setting *setting, int64_t value, struct error *error)
{
	static const struct {
		int64_t min, max;
	} ranges[] = {
		[SETTING_SHARES] = {1, DOMAIN_SHARES_MAX},
		[SETTING_PERIOD] = {DOMAIN_PERIOD_MIN_US, DOMAIN_PERIOD_MAX_US},
		[SETTING_QUOTA] = {DOMAIN_QUOTA_MIN_US, DOMAIN_QUOTA_MAX_US},
		[SETTING_KIB] = {1, INT64_MAX},
		[SETTING_FLOOR] = {1, INT64_MAX},
		[SETTING_WEIGHT] = {1, DOMAIN_WEIGHT_MAX},
	};
	int64_t min = ranges[setting->kind].min, max = ranges[setting->kind].max;

	/* 0: not given any more. Quotas have no limit below it, memory not at -1. */
	if (value == 0 || (value >= min && value <= max) ||
		(value < 0 && setting->kind == SETTING_QUOTA) ||
		(value == -1 && setting->kind == SETTING_KIB))
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT,
		"value of '%s' is out of range [%" PRId64 ", %" PRId64 "]", setting->name, min,
		max);
}

struct settings {
	const struct setting *rows;
	size_t n_rows;
	struct json_object *array;
};

static int apply_setting(struct domain_config *config, const struct settings *settings,
	const char *text, struct error *error)
{
	const char *value = strchr(text, '=');
	size_t len = value ? (size_t)(value - text) : 0;
	int64_t number;

	for (size_t i = 0; i < settings->n_rows; i++) {
		const struct setting *s = &settings->rows[i];
		int r;

		if (strlen(s->name) != len || strncmp(s->name, text, len) != 0)
			continue;
		if (parse_i64(value + 1, INT64_MIN, INT64_MAX, &number) < 0)
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"'%.64s' has no number behind '='", text);
		r = check_setting(s, number, error);
		if (r < 0)
			return r;
		if (s->kind == SETTING_KIB && number == -1)
			number = (int64_t)DOMAIN_MEMTUNE_UNLIMITED_KIB;
		memcpy((char *)config + s->offset, &number, sizeof(number));
		return 0;
	}
	return error_set(error, ERROR_INVALID_ARGUMENT, "'%.64s' is no setting; write %s=NUMBER",
		text, settings->rows[0].name);
}

static int apply_settings(
	struct domain_config *config, const struct settings *settings, struct error *error)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_object_array_length(settings->array); i++)
		r = apply_setting(config, settings,
			json_object_get_string(json_object_array_get_idx(settings->array, i)),
			error);
	return r;
}

static int change_cpu_tune(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	(void)is_live;
	return apply_settings(config, what, error);
}

static uint64_t limit_of(uint64_t kib)
{
	return kib ?: DOMAIN_MEMTUNE_UNLIMITED_KIB;
}

static int change_memory_tune(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	const struct domain_memtune *m = &config->memtune;
	int r = apply_settings(config, what, error);

	(void)is_live;
	if (r < 0)
		return r;
	if (limit_of(m->hard_kib) > limit_of(m->swap_hard_kib))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"memory hard_limit tunable value must be lower than or equal to "
			"swap_hard_limit");
	return 0;
}

static int set_tune(struct api_call *call, const struct setting *rows, size_t n_rows,
	domain_change_fn fn, struct error *error)
{
	struct settings settings = {rows, n_rows, json_object_object_get(call->in, "settings")};

	return api_tune(call, fn, &settings, sizeof(settings), error);
}

int api_set_cpu_tune(struct api_call *call, struct error *error)
{
	return set_tune(call, cpu_settings, ARRAY_SIZE(cpu_settings), change_cpu_tune, error);
}

int api_set_memory_tune(struct api_call *call, struct error *error)
{
	return set_tune(
		call, memory_settings, ARRAY_SIZE(memory_settings), change_memory_tune, error);
}

/* What runs has the host's defaults where nothing was given. */
static int64_t live_default(const struct domain *d, enum setting_kind kind)
{
	switch (kind) {
	case SETTING_SHARES:
		return d->manager->cgroup_root
			? (int64_t)cgroup_shares_default(d->manager->cgroup_root)
			: 0;
	case SETTING_PERIOD:
		return DOMAIN_PERIOD_DEFAULT_US;
	case SETTING_QUOTA:
		return -1;
	case SETTING_KIB:
		return (int64_t)DOMAIN_MEMTUNE_UNLIMITED_KIB;
	case SETTING_FLOOR:
	case SETTING_WEIGHT:
		return 0; /* GetMemoryPolicy has what counts */
	}
	return 0;
}

static void add_settings(struct json_object *o, const struct api_source *s,
	const struct setting *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		int64_t value = setting_value(s->config, &rows[i]);

		if (!value && (!s->owned || rows[i].kind == SETTING_KIB))
			value = live_default(s->domain, rows[i].kind);
		add_signed(o, rows[i].name, value);
	}
}

int api_get_cpu_tune(struct api_call *call, struct error *error)
{
	struct json_object *o;
	struct api_source s;
	int r = api_source_init(&s, call, error);

	if (r < 0)
		return r;
	o = json_object_new_object();
	add_settings(o, &s, cpu_settings, ARRAY_SIZE(cpu_settings));
	api_add_cpus(o, "emulator_pin", domain_pin_of(s.config, PROCESS_OTHERS));
	api_source_done(&s);
	api_call_reply(call, result("tune", o));
	return 0;
}

int api_get_memory_tune(struct api_call *call, struct error *error)
{
	struct json_object *o;
	struct api_source s;
	int r = api_source_init(&s, call, error);

	if (r < 0)
		return r;
	o = json_object_new_object();
	add_settings(o, &s, memory_settings, ARRAY_SIZE(memory_settings));
	/* A worker is never without one. */
	if (!s.owned && !s.config->memtune.hard_kib)
		add(o, "hard_limit",
			memory_granted_kib(s.config) +
				cgroup_memory_extra(memory_granted_kib(s.config)) / 1024);
	api_source_done(&s);
	api_call_reply(call, result("tune", o));
	return 0;
}
