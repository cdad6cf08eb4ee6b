/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All domains of an instance: see manager.h. */
#include "daemon/manager.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/cgroup.h"
#include "daemon/huge-pages.h"
#include "daemon/jail.h"
#include "daemon/job.h"
#include "daemon/journal.h"
#include "daemon/memory-policy.h"
#include "daemon/mounts.h"
#include "daemon/network.h"
#include "daemon/once.h"
#include "daemon/plan-soon.h"
#include "daemon/reach.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

static uint32_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)now.tv_sec;
}

static void prepare_jail(struct manager *m)
{
	_cleanup_(freep) char *subuid = NULL;
	struct stat st;
	uint32_t base = m->options.uid_base ? m->options.uid_base : JAIL_UID_BASE;

	if (m->options.no_jail)
		return;
	if (fstat(m->store->runtime_fd, &st) == 0)
		m->cgroup_root = cgroup_root_new("/sys/fs/cgroup", st.st_ino);
	if (geteuid() != 0) {
		m->user_ns_allowed = jail_probe_user_ns(m->store->runtime_dir);
		if (!m->user_ns_allowed)
			log_warning(
				"this user may make no user namespaces: workers run with limits "
				"and no_new_privs only, as uid %u",
				geteuid());
		return;
	}
	if (read_file(AT_FDCWD, "/etc/subuid", 1024 * 1024, &subuid, NULL) == 0 &&
		jail_range_overlaps(subuid, base, JAIL_UID_SLOTS))
		log_warning("the workers' uids %u to %u overlap a range of /etc/subuid", base,
			base + JAIL_UID_SLOTS - 1);
}

/* Go on where an earlier daemon was. Instances of one host begin at different places, so that they do not meet. */
static int prepare_slots(struct manager *m)
{
	struct stat st;

	m->slots_rest_until = calloc(JAIL_UID_SLOTS, sizeof(*m->slots_rest_until));
	if (!m->slots_rest_until)
		return -ENOMEM;
	if (store_get_next_slot(m->store, &m->next_slot) < 0 &&
		fstat(m->store->runtime_fd, &st) == 0)
		m->next_slot = (uint32_t)(st.st_ino * UINT64_C(0x9e3779b97f4a7c15) >> 40);
	m->next_slot %= JAIL_UID_SLOTS;
	return 0;
}

int manager_new(sd_event *event, const struct manager_options *options,
	struct manager **ret_manager, struct error *error)
{
	_cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return error_set(error, ERROR_NO_MEMORY, "manager");
	m->event = sd_event_ref(event);
	m->options = *options;
	(void)sd_event_now(event, CLOCK_REALTIME, &m->start_time_usec);
	list_init(&m->domains);
	for (unsigned i = 0; i < MANAGER_BUCKETS; i++) {
		list_init(&m->by_name[i]);
		list_init(&m->by_uuid[i]);
	}
	list_init(&m->defining);
	list_init(&m->plannings);
	list_init(&m->committing);
	list_init(&m->waiters);
	list_init(&m->parked);
	list_init(&m->reaches);
	list_init(&m->reach_queue);
	list_init(&m->networks);
	list_init(&m->directs);
	list_init(&m->sinks);
	m->worker_path = strdup(options->worker_path);
	if (!m->worker_path)
		return error_set(error, ERROR_NO_MEMORY, "manager");
	r = store_open(options->state_dir, options->runtime_dir, &m->store, error);
	if (r < 0)
		return r;
	/* The caller's strings may go. */
	m->options.state_dir = m->store->state_dir;
	m->options.runtime_dir = m->store->runtime_dir;
	m->options.worker_path = m->worker_path;
	if (prepare_slots(m) < 0 || jobs_new(m, &m->jobs) < 0 ||
		mounts_new(event, "/proc/self/mountinfo", &m->mounts) < 0 ||
		memory_policy_new(m, &m->memory_policy) < 0 || manager_watch_store(m) < 0)
		return error_set(error, ERROR_NO_MEMORY, "manager");
	prepare_jail(m);
	*ret_manager = TAKE_PTR(m);
	return 0;
}

struct manager *manager_free(struct manager *m)
{
	struct list *pos, *tmp;

	if (!m)
		return NULL;
	huge_pages_end(m);
	plans_end(m);
	if (m->store) {
		manager_commit(m);
		manager_drop_waiters(m);
		/* Who looks at the files now finds all in them, also a vmmd that knows no journal. */
		(void)store_checkpoint_now(m->store);
	}
	list_for_each_safe (pos, tmp, &m->domains)
		(void)domain_free(list_entry(pos, struct domain, link));
	reach_end(m);
	list_for_each_safe (pos, tmp, &m->networks)
		(void)network_free(list_entry(pos, struct network, link));
	network_free_directs(m);
	(void)memory_policy_free(m->memory_policy);
	(void)jobs_free(m->jobs);
	(void)mounts_free(m->mounts);
	(void)once_free(m->once);
	(void)sd_event_source_disable_unref(m->guests_timer);
	(void)sd_event_source_disable_unref(m->store_timer);
	(void)sd_event_source_disable_unref(m->store_retry_timer);
	(void)sd_event_source_disable_unref(m->store_source);
	(void)sd_event_source_disable_unref(m->define_source);
	(void)sd_event_source_disable_unref(m->define_timer);
	(void)cgroup_root_free(m->cgroup_root);
	(void)store_free(m->store);
	free(m->slots_rest_until);
	(void)domain_config_free(m->reading);
	free(m->api_counts);
	free(m->worker_path);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}

/* FNV-1a. */
static unsigned bucket(const void *key, size_t len)
{
	const uint8_t *p = key;
	uint32_t hash = 0x811c9dc5;

	while (len--)
		hash = (hash ^ *p++) * 0x01000193;
	return (hash ^ hash >> 16) % MANAGER_BUCKETS;
}

struct domain *manager_add(
	struct manager *m, const uint8_t uuid[16], const char *name, struct error *error)
{
	struct domain *d;

	if (m->n_domains >= VMMD_MAX_DOMAINS) {
		(void)error_set(error, ERROR_OPERATION_FAILED, "there are %u domains already",
			m->n_domains);
		return NULL;
	}
	d = domain_new(m, uuid, name);
	if (!d) {
		(void)error_set(error, ERROR_NO_MEMORY, "domain");
		return NULL;
	}
	list_add_tail(&m->domains, &d->link);
	list_add_tail(&m->by_name[bucket(d->name, strlen(d->name))], &d->name_link);
	list_add_tail(&m->by_uuid[bucket(d->uuid, sizeof(d->uuid))], &d->uuid_link);
	m->n_domains++;
	return d;
}

void manager_remove(struct manager *m, struct domain *d)
{
	(void)store_forget_cpuid(m->store, d->uuid);
	m->n_domains--;
	(void)domain_free(d);
}

/* All definitions are read into one config, in turn. */
struct load {
	struct manager *manager;
	struct domain_config *config;
};

static void load_one(void *opaque, const uint8_t uuid[16], const char *xml, int error)
{
	_cleanup_(freep) char *text = NULL;
	char uuid_text[UUID_STRING_LEN + 1], source[UUID_STRING_LEN + 8];
	_cleanup_(definition_freep) struct definition *definition = NULL;
	struct load *load = opaque;
	struct domain_config *config = load->config;
	struct manager *m = load->manager;
	struct domain *d = NULL;
	struct error e = {0};
	int r = error;

	uuid_format(uuid, uuid_text);
	(void)snprintf(source, sizeof(source), "%s.xml", uuid_text);
	if (xml)
		r = domain_xml_parse_into(
			xml, strlen(xml), source, XML_STORED, NULL, config, NULL, &text);
	if (r == 0 && memcmp(config->vm.uuid, uuid, 16) != 0)
		text = strdup("its <uuid> is not the file's name");
	else if (r == 0 && manager_find_name(m, config->vm.name))
		text = strdup("its name is taken by another definition");
	else if (r == 0)
		r = definition_new(config, &definition);
	if (r == 0 && definition)
		d = manager_add(m, uuid, config->vm.name, &e);
	if (!d) {
		char file[4096];

		(void)snprintf(file, sizeof(file), "%s/domains/%s", m->store->state_dir, source);
		journal_write(JOURNAL_DEFINITION_LEFT_OUT,
			&(struct journal_field){"VMMD_FILE", file}, 1,
			"%s is left out, and kept as it is: %s", file,
			text                 ? text
				: *e.message ? e.message
					     : strerror(-r));
		return;
	}
	d->definition = TAKE_PTR(definition);
	domain_note_owner(d);
	d->autostart = store_get_autostart(&m->store->domains, uuid);
}

static void adopt_one(void *opaque, const uint8_t uuid[16])
{
	domain_adopt(opaque, uuid);
}

int manager_load(struct manager *m, struct error *error)
{
	struct load load = {.manager = m, .config = domain_config_new()};
	int r = load.config ? 0 : -ENOMEM;

	if (m->store->left_out)
		manager_tell_left_out(m);
	if (r == 0)
		r = store_each(&m->store->domains, load_one, &load);
	domain_config_free(load.config);
	/* Before what runs is found again: then what has ended meanwhile leaves no trace. */
	if (r == 0)
		r = once_new(m, &m->once);
	if (r == 0)
		r = store_each_runtime(&m->store->domains, adopt_one, m);
	if (r < 0)
		return error_set_errno(error, r, "cannot read the definitions");
	r = network_load_all(m, error);
	if (r < 0)
		return r;
	network_adopt_all(m);
	once_settle(m->once);
	memory_policy_load(m->memory_policy);
	manager_tend_store(m);
	log_info("%u domains, %u networks in %s", m->n_domains, m->n_networks, m->store->state_dir);
	return 0;
}

struct domain *manager_find_uuid(const struct manager *m, const uint8_t uuid[16])
{
	struct list *pos;

	list_for_each (pos, &m->by_uuid[bucket(uuid, 16)]) {
		struct domain *d = list_entry(pos, struct domain, uuid_link);

		if (memcmp(d->uuid, uuid, 16) == 0)
			return d;
	}
	return NULL;
}

struct domain *manager_find_name(struct manager *m, const char *name)
{
	struct list *pos;

	list_for_each (pos, &m->by_name[bucket(name, strlen(name))]) {
		struct domain *d = list_entry(pos, struct domain, name_link);

		if (streq(d->name, name))
			return d;
	}
	return NULL;
}

static struct domain *find_id(struct manager *m, uint64_t id)
{
	struct list *pos;

	list_for_each (pos, &m->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		if (d->id > 0 && (uint64_t)d->id == id)
			return d;
	}
	return NULL;
}

/* 'd', if it is there and seen. */
static struct domain *if_seen(struct domain *d, const struct user *only)
{
	return d && (!only || owner_is(&d->owner, only)) ? d : NULL;
}

struct domain *manager_find_seen(
	struct manager *m, const char *key, const struct user *only, struct error *error)
{
	struct domain *d = NULL;
	uint8_t uuid[16];
	uint64_t id;

	if (parse_u64(key, INT32_MAX, &id) == 0)
		d = if_seen(find_id(m, id), only);
	if (!d)
		d = if_seen(manager_find_name(m, key), only);
	if (!d && uuid_parse(key, uuid) == 0) {
		d = if_seen(manager_find_uuid(m, uuid), only);
		if (!d)
			(void)error_set(
				error, ERROR_NO_DOMAIN, "no domain with matching uuid '%s'", key);
	} else if (!d) {
		(void)error_set(error, ERROR_NO_DOMAIN, "no domain with matching name '%s'", key);
	}
	return d;
}

struct domain *manager_find(struct manager *m, const char *key, struct error *error)
{
	return manager_find_seen(m, key, NULL, error);
}

static void emit(struct manager *m, struct event *event)
{
	struct list *pos;

	event->sequence = ++m->sequence;
	list_for_each (pos, &m->sinks) {
		struct event_sink *sink = list_entry(pos, struct event_sink, link);

		sink->event(sink, event);
	}
}

void manager_emit(struct manager *m, enum event_kind kind, const struct domain *d,
	const char *detail, const char *reason)
{
	struct event event = {.kind = kind, .domain = d, .detail = detail, .reason = reason};

	emit(m, &event);
}

void manager_changed(struct manager *m, const struct domain *d)
{
	struct list *pos;

	list_for_each (pos, &m->sinks) {
		struct event_sink *sink = list_entry(pos, struct event_sink, link);

		if (sink->changed)
			sink->changed(sink, d);
	}
}

void manager_emit_network(struct manager *m, enum event_kind kind, const struct network *n,
	const char *detail, const struct event_field *fields, unsigned n_fields)
{
	struct event event = {
		.kind = kind,
		.network = n,
		.detail = detail,
		.reason = "",
		.fields = fields,
		.n_fields = n_fields,
	};

	emit(m, &event);
}

void manager_emit_job(struct manager *m, const struct job *job, const char *detail,
	const struct event_field *fields, unsigned n_fields)
{
	struct event event = {
		.kind = EVENT_JOB,
		.job = job,
		.detail = detail,
		.reason = "",
		.fields = fields,
		.n_fields = n_fields,
	};

	emit(m, &event);
}

int manager_make_jail(struct manager *m, int exe_fd, uint32_t slot, struct jail_env *env,
	struct jail_plan *ret, struct error *error)
{
	env->euid = geteuid();
	env->egid = getegid();
	env->user_ns_allowed = m->user_ns_allowed;
	env->exe_is_static = jail_exe_is_static(exe_fd);
	env->uid_base = m->options.uid_base ? m->options.uid_base : JAIL_UID_BASE;
	env->slot = slot;
	env->mount_dir = m->store->runtime_dir;
	if (jail_plan_make(env, ret) < 0)
		return error_set(error, ERROR_INTERNAL, "the runtime folder's path is too long");
	if (ret->namespaces && !ret->empty_root && !m->warned_static) {
		log_warning("the worker '%s' is not a static program: it keeps the host's root",
			m->worker_path);
		m->warned_static = true;
	}
	return 0;
}

uint32_t manager_take_link_id(struct manager *m)
{
	if (!m->last_link_id)
		m->last_link_id = now_s()
			<< 12; /* 4096 a second, and a daemon does not restart faster */
	do
		m->last_link_id++;
	while (m->last_link_id == PROTO_LINK_STAR || m->last_link_id == PROTO_LINK_ALL);
	return m->last_link_id;
}

int manager_take_id(struct manager *m)
{
	do {
		if (m->last_id == INT32_MAX)
			m->last_id = 0;
		m->last_id++;
	} while (find_id(m, (uint64_t)m->last_id)); /* they went round */
	return m->last_id;
}

void manager_return_id(struct manager *m, int id)
{
	if (m->last_id == id)
		m->last_id--;
}

void manager_note_id(struct manager *m, int id)
{
	m->last_id = MAX(m->last_id, id);
}

static bool slot_is_used(struct manager *m, uint32_t slot)
{
	struct list *pos;

	list_for_each (pos, &m->networks) {
		const struct network *n = list_entry(pos, struct network, link);

		if (network_is_active(n) && n->slot == slot)
			return true;
	}

	list_for_each (pos, &m->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		if (domain_is_active(d) && d->slot == slot)
			return true;
	}
	return false;
}

/* Somebody outside this instance, or a worker that would not die, has the uid. */
static bool uid_is_used(struct manager *m, uint32_t slot)
{
	uint32_t base = m->options.uid_base ? m->options.uid_base : JAIL_UID_BASE;

	if (m->options.no_jail || geteuid() != 0)
		return false;
	errno = 0;
	return getpriority(PRIO_USER, base + slot) != -1 || errno != ESRCH;
}

int manager_take_slot(struct manager *m, uint32_t *ret_slot)
{
	uint32_t now = now_s();

	for (uint32_t i = 0; i < JAIL_UID_SLOTS; i++) {
		uint32_t slot = (m->next_slot + i) % JAIL_UID_SLOTS;

		if (m->slots_rest_until[slot] > now || slot_is_used(m, slot) ||
			uid_is_used(m, slot))
			continue;
		m->next_slot = (slot + 1) % JAIL_UID_SLOTS;
		if (store_set_next_slot(m->store, m->next_slot) < 0)
			log_notice("cannot note the next uid of workers: a new vmmd may begin "
				   "with one that was used just before");
		*ret_slot = slot;
		return 0;
	}
	return -ENOSPC;
}

void manager_rest_slot(struct manager *m, uint32_t slot)
{
	if (slot < JAIL_UID_SLOTS)
		m->slots_rest_until[slot] = now_s() + MANAGER_SLOT_REST_S;
}
