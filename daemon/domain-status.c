/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What outlives the daemon: RUNTIME/domains/UUID/status.json and live.xml, written at each change of state, and the
 * way back: domain_adopt() finds the worker that an earlier daemon left.
 *
 * A worker is never killed because something here cannot be read: a full or damaged RUNTIME costs knowledge, no vm.
 *
 * Tested by tests/unit/test-domain.c.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/domain-internal.h"
#include "daemon/domain-nic.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/stats-view.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define STATUS_VERSION 2

struct status {
	char name[VM_NAME_MAX];
	pid_t pid;
	uint64_t start_time;
	int id, state, reason;
	uint32_t slot;
	char serials[VM_MAX_SERIALS][RESOURCES_PATH_MAX];
	char consoles[VM_MAX_CONSOLES][RESOURCES_PATH_MAX];
	char channels[VM_MAX_CHANNELS][RESOURCES_PATH_MAX];
	unsigned n_nics;
	uint8_t nics[VM_MAX_NICS]; /* the numbers of the interfaces in live.xml */
	unsigned n_memories;
	uint8_t memories[VM_MAX_MEMORIES];     /* likewise, of memory devices */
	uint64_t granted_kib[VM_MAX_MEMORIES]; /* what they may have */
	uint32_t vcpus_end;                    /* domain_vcpus_end() */
};

static struct json_object *paths_to_json(char paths[][RESOURCES_PATH_MAX], size_t n)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, json_object_new_string(paths[i]));
	return array;
}

static struct json_object *numbers_to_json(const struct domain_config *config)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < config->vm.n_nics; i++)
		json_object_array_add(array, json_object_new_int(config->nics[i].number));
	return array;
}

static struct json_object *memories_to_json(const struct domain_config *config)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < config->vm.n_memories; i++)
		json_object_array_add(array, json_object_new_int(config->memories[i].number));
	return array;
}

static struct json_object *grants_to_json(const struct domain_config *config)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < config->vm.n_memories; i++)
		json_object_array_add(
			array, json_object_new_uint64(config->memories[i].granted_kib));
	return array;
}

static int save(struct domain *d)
{
	struct store_room *room = &d->manager->store->domains;
	struct json_object *o = json_object_new_object();
	int r;

	json_object_object_add(o, "version", json_object_new_int(STATUS_VERSION));
	json_object_object_add(o, "name", json_object_new_string(d->name));
	json_object_object_add(o, "pid", json_object_new_int(worker_pid(d->worker)));
	json_object_object_add(
		o, "start_time", json_object_new_uint64(worker_start_time(d->worker)));
	json_object_object_add(o, "id", json_object_new_int(d->id));
	json_object_object_add(o, "slot", json_object_new_int64(d->slot));
	json_object_object_add(o, "state", json_object_new_int((int)d->state));
	json_object_object_add(o, "reason", json_object_new_int(d->reason));
	json_object_object_add(
		o, "serials", paths_to_json(d->run->resources.serial_paths, VM_MAX_SERIALS));
	json_object_object_add(
		o, "consoles", paths_to_json(d->run->resources.console_paths, VM_MAX_CONSOLES));
	json_object_object_add(
		o, "channels", paths_to_json(d->run->resources.channel_paths, VM_MAX_CHANNELS));
	json_object_object_add(o, "nics", numbers_to_json(d->live));
	json_object_object_add(o, "memories", memories_to_json(d->live));
	json_object_object_add(o, "granted_kib", grants_to_json(d->live));
	json_object_object_add(o, "vcpus_end", json_object_new_int64(domain_vcpus_end(d)));
	/* The status last: by it the rest counts. */
	r = store_save_runtime(room, d->uuid, "live.xml", d->running->xml);
	if (r == 0)
		r = store_save_runtime(room, d->uuid, STORE_STATUS,
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
	return r;
}

int domain_save_status(struct domain *d)
{
	int r = d->worker && d->noted ? save(d) : 0;

	if (r < 0)
		(void)log_warning_errno(r,
			"cannot save the status of domain '%s' (a new daemon would find an older "
			"one): %m",
			d->name);
	return r;
}

int domain_note_run(struct domain *d)
{
	int r = save(d);

	d->noted = r == 0;
	return r;
}

/* A number of 'o' within [min, max]; false if it is not there or is something else. */
static bool get_number(
	struct json_object *o, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return false;
	*ret = json_object_get_int64(v);
	return *ret >= min && *ret <= max;
}

static void get_paths(
	struct json_object *o, const char *key, char paths[][RESOURCES_PATH_MAX], size_t max)
{
	struct json_object *array;

	if (!json_object_object_get_ex(o, key, &array) ||
		!json_object_is_type(array, json_type_array))
		return;
	for (size_t i = 0; i < max && i < json_object_array_length(array); i++) {
		const char *s = json_object_get_string(json_object_array_get_idx(array, i));

		if (s)
			(void)str_copy(paths[i], RESOURCES_PATH_MAX, s);
	}
}

/* Different numbers, each below 'max'. */
static bool get_numbers(
	struct json_object *o, const char *name, unsigned max, uint8_t *ret, unsigned *ret_n)
{
	struct json_object *array;
	uint32_t seen = 0;

	if (!json_object_object_get_ex(o, name, &array) ||
		!json_object_is_type(array, json_type_array) ||
		json_object_array_length(array) > max)
		return false;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		int64_t n = json_object_get_int64(json_object_array_get_idx(array, i));

		if (n < 0 || n >= max || seen >> n & 1)
			return false;
		seen |= UINT32_C(1) << n;
		ret[(*ret_n)++] = (uint8_t)n;
	}
	return true;
}

/* Earlier versions had none. */
static bool get_memories(struct json_object *o, struct status *ret)
{
	return !json_object_object_get_ex(o, "memories", NULL) ||
		get_numbers(o, "memories", VM_MAX_MEMORIES, ret->memories, &ret->n_memories);
}

/* Of a run that an earlier version noted nothing is known but what its worker says. */
static void get_grants(struct json_object *o, struct status *ret)
{
	struct json_object *array;
	size_t n = json_object_object_get_ex(o, "granted_kib", &array) &&
			json_object_is_type(array, json_type_array)
		? json_object_array_length(array)
		: 0;

	for (size_t i = 0; i < VM_MAX_MEMORIES; i++)
		ret->granted_kib[i] = i < n
			? json_object_get_uint64(json_object_array_get_idx(array, i))
			: UINT64_MAX;
}

static int parse_status(const char *text, struct status *ret)
{
	struct json_object *o = json_tokener_parse(text), *name;
	int64_t version, pid, start_time, id, slot, state, reason, end;
	int r = -EBADMSG;

	if (json_object_is_type(o, json_type_object) &&
		get_number(o, "version", STATUS_VERSION, STATUS_VERSION, &version) &&
		get_number(o, "pid", 2, INT32_MAX, &pid) &&
		get_number(o, "start_time", 0, INT64_MAX, &start_time) &&
		get_number(o, "id", 1, INT32_MAX, &id) &&
		get_number(o, "slot", 0, UINT32_MAX, &slot) &&
		get_number(o, "state", 0, DOMAIN_STATE_X_MAX - 1, &state) &&
		get_number(o, "reason", 0, 64, &reason) &&
		get_numbers(o, "nics", VM_MAX_NICS, ret->nics, &ret->n_nics) &&
		get_memories(o, ret) && json_object_object_get_ex(o, "name", &name) &&
		str_copy(ret->name, sizeof(ret->name), json_object_get_string(name)) == 0) {
		ret->pid = (pid_t)pid;
		ret->start_time = (uint64_t)start_time;
		ret->id = (int)id;
		ret->slot = (uint32_t)slot;
		/* Older ones have none. */
		ret->vcpus_end = get_number(o, "vcpus_end", 1, VM_MAX_VCPUS, &end) ? (uint32_t)end
										   : VM_MAX_VCPUS;
		ret->state = (int)state;
		ret->reason = (int)reason;
		get_grants(o, ret);
		get_paths(o, "serials", ret->serials, VM_MAX_SERIALS);
		get_paths(o, "consoles", ret->consoles, VM_MAX_CONSOLES);
		get_paths(o, "channels", ret->channels, VM_MAX_CHANNELS);
		r = 0;
	}
	json_object_put(o);
	return r;
}

/* What runs: live.xml, or else the definition, or else the bare name. */
static int read_live(struct domain *d, struct domain_config **ret)
{
	_cleanup_(freep) char *xml = NULL, *error = NULL;
	int r;

	r = store_load_runtime(
		&d->manager->store->domains, d->uuid, "live.xml", VMMD_MAX_XML_BYTES, &xml);
	if (r == 0)
		r = domain_xml_parse(xml, strlen(xml), "live.xml", XML_STORED, ret, NULL, &error);
	d->guessed = r < 0;
	if (r == 0)
		return 0;
	log_warning("domain '%s': what it runs cannot be read (%s)", d->name,
		error ? error : strerror(-r));
	if (d->definition && definition_parse(d->definition, ret) == 0)
		return 0;
	*ret = domain_config_new();
	if (!*ret)
		return -ENOMEM;
	(void)str_copy((*ret)->vm.name, sizeof((*ret)->vm.name), d->name);
	memcpy((*ret)->vm.uuid, d->uuid, 16);
	return 0;
}

static int load_live(struct domain *d)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int r = read_live(d, &config);

	if (r == 0)
		r = domain_set_live(d, config);
	if (r == 0)
		(void)TAKE_PTR(config);
	return r;
}

static struct domain *adopted_domain(
	struct manager *m, const uint8_t uuid[16], const struct status *status)
{
	struct domain *d = manager_find_uuid(m, uuid);
	struct error e = {0};

	if (!d)
		d = manager_add(m, uuid, status->name, &e);
	if (!d)
		log_error("domain '%s' cannot be taken over: %s", status->name, e.message);
	return d;
}

static void take_over(struct domain *d, const struct status *status)
{
	_cleanup_(closep) int dir_fd = -EBADF;
	char uuid[UUID_STRING_LEN + 1];

	d->phase = DOMAIN_ACTIVE;
	d->noted = true;
	d->id = status->id;
	d->slot = status->slot;
	d->state = (enum domain_state)status->state;
	d->reason = status->reason;
	for (unsigned i = 0; i < MIN(d->live->vm.n_nics, status->n_nics); i++)
		d->live->nics[i].number = status->nics[i];
	for (unsigned i = 0; i < d->live->vm.n_memories; i++) {
		d->live->memories[i].number =
			i < status->n_memories ? status->memories[i] : (uint8_t)i;
		d->live->memories[i].granted_kib = status->granted_kib[i];
	}
	memcpy(d->run->resources.serial_paths, status->serials, sizeof(status->serials));
	memcpy(d->run->resources.console_paths, status->consoles, sizeof(status->consoles));
	memcpy(d->run->resources.channel_paths, status->channels, sizeof(status->channels));
	domain_load_nics(d);
	domain_load_cpuid(d);
	domain_reset_vcpus(d);
	d->vcpus_wanted = status->vcpus_end;
	manager_note_id(d->manager, d->id);
	uuid_format(d->uuid, uuid);
	if (d->manager->cgroup_root)
		(void)cgroup_new(d->manager->cgroup_root, uuid, &(struct cgroup_limits){0}, NULL,
			&d->cgroup);
	cgroup_adopted(d->cgroup, d->id, worker_pid(d->worker));
	if (store_open_runtime(&d->manager->store->domains, d->uuid, false, &dir_fd) == 0)
		(void)worker_log_open(d->manager->event, d->manager->store->log_fd, d->name, dir_fd,
			&d->log, NULL);
	if (stats_view_find(STATS_VM, worker_pid(d->worker), &d->stats) < 0)
		log_notice("domain '%s': its statistics page cannot be reached again", d->name);
	domain_find_memories(d);
	journal_domain(JOURNAL_DOMAIN_FOUND, d, "domain '%s' runs on (id %d, worker %d)", d->name,
		d->id, (int)worker_pid(d->worker));
	manager_changed(d->manager, d);
}

/* The worker ended while no daemon looked: nobody knows how. */
static void found_dead(struct manager *m, const uint8_t uuid[16], const struct status *status)
{
	struct domain *d = manager_find_uuid(m, uuid);

	log_notice("domain '%s' ended while no vmmd ran", status->name);
	if (d && !domain_is_active(d)) {
		d->reason = DOMAIN_SHUTOFF_CRASHED;
		domain_event(d, "Stopped", "Crashed");
	}
	domain_sweep_nics(m, uuid);
	(void)store_remove_runtime(&m->store->domains, uuid);
}

/* A start that was cut short before START was sent. Its worker ends, or has ended, with the daemon that made it (worker.h): what is left
 * is what it would have used. */
static void sweep_unborn(struct manager *m, const uint8_t uuid[16])
{
	struct cgroup *cgroup = NULL;
	char text[UUID_STRING_LEN + 1];

	uuid_format(uuid, text);
	log_notice("the start of domain %s was cut short; nothing of it runs", text);
	domain_sweep_nics(m, uuid);
	if (m->cgroup_root)
		(void)cgroup_new(m->cgroup_root, text, &(struct cgroup_limits){0}, NULL, &cgroup);
	(void)cgroup_free(cgroup, true);
	(void)store_remove_runtime(&m->store->domains, uuid);
}

static int load_status(struct manager *m, const uint8_t uuid[16], struct status *ret)
{
	_cleanup_(freep) char *text = NULL;
	char uuid_text[UUID_STRING_LEN + 1];
	int r;

	r = store_load_runtime(
		&m->store->domains, uuid, STORE_STATUS, STORE_MAX_STATUS_BYTES, &text);
	if (r == 0)
		r = parse_status(text, ret);
	if (r < 0 && r != -ENOENT) {
		uuid_format(uuid, uuid_text);
		(void)log_warning_errno(r,
			"%s/domains/%s/status.json cannot be read, left as it is: %m",
			m->store->runtime_dir, uuid_text);
	}
	return r;
}

void domain_adopt(struct manager *m, const uint8_t uuid[16])
{
	_cleanup_(closep) int dir_fd = -EBADF;
	struct status status = {0};
	struct worker *worker = NULL;
	struct domain *d;
	int r;

	r = load_status(m, uuid, &status);
	if (r == -ENOENT)
		sweep_unborn(m, uuid);
	if (r < 0 || store_open_runtime(&m->store->domains, uuid, false, &dir_fd) < 0)
		return;
	d = adopted_domain(m, uuid, &status);
	if (!d)
		return;
	r = worker_adopt(m->event, uuid, status.pid, status.start_time, dir_fd, &domain_worker_ops,
		d, &worker);
	if (r == 0)
		r = load_live(d);
	if (r == 0) {
		d->worker = worker;
		take_over(d, &status);
		return;
	}
	(void)worker_free(worker);
	if (r == -ESRCH)
		found_dead(m, uuid, &status);
	else
		(void)log_error_errno(
			r, "domain '%s' may run, but cannot be taken over: %m", status.name);
	if (!domain_is_persistent(d))
		manager_remove(m, d);
}
