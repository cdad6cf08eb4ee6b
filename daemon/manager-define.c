/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions: define, undefine, create, check, autostart. The store is written before anything changes in memory.
 *
 * Tested by tests/unit/test-manager.c.
 */
#include <string.h>

#include "daemon/cpu-check.h"
#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define DEFINE_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 1)
#define DEFINE_USEC     UINT64_C(20000)
#define DEFINE_TOGETHER 64
#define DEFINE_WAITING  (4 * DEFINE_TOGETHER) /* more wait for the disk */

static int parse_into(const char *xml, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config *config,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(freep) char *text = NULL;
	int r;

	if (!*source)
		source = "domain.xml";
	r = domain_xml_parse_into(xml, strlen(xml), source,
		flags & MANAGER_DEFINE_STRICT ? XML_STRICT : 0, identify, config, &report, &text);
	if (r == 0)
		r = cpu_check(&config->vm.cpu, source, report, &text);
	if (ret_report)
		*ret_report = TAKE_PTR(report);
	return error_set_xml(error, r, text);
}

int manager_parse(const char *xml, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config **ret_config,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = domain_config_new();
	int r;

	if (!config)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	r = parse_into(xml, source, flags, identify, config, ret_report, error);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	return r;
}

/* What becomes a definition at once is read into one config that the manager keeps: the pages of a new one would be most of
 * the work. Taken out of it while in use, since whoever is told of a definition may define more. */
struct reading {
	struct manager *manager;
	struct domain_config *config;
};

static void reading_end(struct reading *reading)
{
	if (!reading->manager->reading)
		reading->manager->reading = TAKE_PTR(reading->config);
	(void)domain_config_free(reading->config);
}

static int reading_begin(struct reading *reading, const char *xml, const char *source,
	unsigned flags, struct contract_report **ret_report, struct error *error)
{
	reading->config = TAKE_PTR(reading->manager->reading);
	if (!reading->config)
		reading->config = domain_config_new();
	if (!reading->config)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	return parse_into(xml, source, flags, NULL, reading->config, ret_report, error);
}

int manager_check_identity(const char *what, enum error_code exists, const struct identity *by_name,
	const struct identity *by_uuid, struct error *error)
{
	const struct identity *one = by_name->name ? by_name : by_uuid;
	char uuid[UUID_STRING_LEN + 1];

	if (!one->name ||
		(by_name->name && by_uuid->name && memcmp(by_name->uuid, by_uuid->uuid, 16) == 0))
		return 0;
	uuid_format(one->uuid, uuid);
	return error_set(error, exists,
		one == by_name ? "%s '%s' already exists with uuid %s"
			       : "%s '%s' is already defined with uuid %s",
		what, one->name, uuid);
}

/* '*ret' is the domain with name and UUID of 'config', or NULL. */
static int check_identity(struct manager *m, const struct domain_config *config,
	struct domain **ret, struct error *error)
{
	const struct domain *by_uuid = manager_find_uuid(m, config->vm.uuid);
	struct domain *by_name = manager_find_name(m, config->vm.name);
	int r = manager_check_identity("domain", ERROR_DOMAIN_EXISTS,
		&(struct identity){by_name ? by_name->name : NULL, by_name ? by_name->uuid : NULL},
		&(struct identity){by_uuid ? by_uuid->name : NULL, by_uuid ? by_uuid->uuid : NULL},
		error);

	*ret = by_name;
	return r;
}

int manager_fail_definition(int r, struct error *error)
{
	if (r == -EFBIG)
		return error_set(error, ERROR_XML_ERROR,
			"the domain's XML is longer than %u bytes in its canonical form",
			VMMD_MAX_XML_BYTES);
	return error_set(error, ERROR_NO_MEMORY, "xml");
}

/* A definition that is to be durable with others'. */
struct defining {
	struct list link;
	uint8_t uuid[16];
	char name[VM_NAME_MAX];
	struct definition *definition;
	domain_done_fn done;
	void *userdata;
};

static struct defining *defining_free(struct defining *d)
{
	if (!d)
		return NULL;
	list_del(&d->link);
	(void)definition_free(d->definition);
	free(d);
	return NULL;
}
DEFINE_CLEANUP(struct defining *, defining_free);

/* It is on the disk. */
static int take(struct manager *m, struct defining *p, struct error *error)
{
	struct domain *old = manager_find_uuid(m, p->uuid);
	struct domain *d = old ? old : manager_add(m, p->uuid, p->name, error);

	if (!d) {
		(void)manager_change(m, CHANGESET_DELETE, CHANGESET_DOMAINS, p->uuid, p->name, NULL,
			&(struct error){0});
		return -ENOMEM;
	}
	manager_take_definition(m, d, TAKE_PTR(p->definition), !old);
	return 0;
}

static void settle(struct manager *m, struct defining *p, int r)
{
	char what[64 + VM_NAME_MAX];
	struct error e = {0};

	(void)snprintf(what, sizeof(what), "cannot save the definition of '%s'", p->name);
	if (r < 0)
		r = manager_fail_change(m, r, &e, what);
	else
		r = take(m, p, &e);
	p->done(p->userdata, r < 0 ? &e : NULL);
	(void)defining_free(p);
}

/* They go to the disk together. */
static void begin_group(struct manager *m)
{
	struct changeset_item items[DEFINE_TOGETHER];
	struct list *pos, *tmp;
	unsigned n = 0;

	list_for_each_safe (pos, tmp, &m->defining) {
		const struct defining *d = list_entry(pos, struct defining, link);

		if (n == DEFINE_TOGETHER)
			break;
		items[n] = (struct changeset_item){.verb = CHANGESET_SAVE,
			.kind = CHANGESET_DOMAINS,
			.xml = d->definition->xml};
		memcpy(items[n].uuid, d->uuid, sizeof(items[n].uuid));
		list_del(pos);
		list_add_tail(&m->committing, pos);
		n++;
	}
	m->n_defining -= n;
	m->n_committing = n;
	if (m->n_defining == 0) {
		(void)sd_event_source_set_enabled(m->define_source, SD_EVENT_OFF);
		(void)sd_event_source_set_enabled(m->define_timer, SD_EVENT_OFF);
	}
	m->define_result = store_change_begin(m->store, items, n);
}

/* The disk has answered 'r'. Whoever is told may define more. */
static void end_group(struct manager *m, int r)
{
	struct defining *group[DEFINE_TOGETHER];
	struct list *pos, *tmp;
	unsigned n = 0;

	list_for_each_safe (pos, tmp, &m->committing) {
		group[n++] = list_entry(pos, struct defining, link);
		list_del(pos);
	}
	m->n_committing = 0;
	manager_tend_store(m);
	for (unsigned i = 0; i < n; i++)
		settle(m, group[i], r);
}

/* Returns false when the disk is at work, and 'wait' is false. */
static bool go_on(struct manager *m, bool wait)
{
	while (m->n_committing || m->n_defining) {
		int r;

		if (!m->n_committing && !wait && store_is_carrying(m->store))
			return false;
		if (!m->n_committing)
			begin_group(m);
		r = m->define_result;
		if (r == 0)
			r = wait ? store_change_wait(m->store) : store_change_end(m->store);
		if (r == -EAGAIN)
			return false;
		end_group(m, r);
	}
	return true;
}

/* Those who came before the next definition. */
struct waiter {
	struct list link;
	void (*run)(void *userdata, bool is_end);
	void *userdata;
};

static void run_waiter(struct manager *m, bool is_end)
{
	struct waiter *w = list_entry(m->waiters.next, struct waiter, link);

	list_del(&w->link);
	w->run(w->userdata, is_end);
	free(w);
}

void manager_go_on_defining(struct manager *m)
{
	if (!go_on(m, false))
		return;
	while (!list_empty(&m->waiters) && !m->n_committing && !m->n_defining)
		run_waiter(m, false);
}

void manager_commit(struct manager *m)
{
	(void)go_on(m, true);
	if (!list_empty(&m->waiters))
		(void)sd_event_source_set_enabled(m->define_source, SD_EVENT_ONESHOT);
}

bool manager_is_defining(const struct manager *m)
{
	return m->n_committing || m->n_defining || !list_empty(&m->waiters);
}

bool manager_has_waiters(const struct manager *m)
{
	return !list_empty(&m->waiters);
}

int manager_wait(struct manager *m, void (*run)(void *userdata, bool is_end), void *userdata)
{
	struct waiter *w = malloc(sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct waiter){.run = run, .userdata = userdata};
	list_init(&w->link);
	list_add_tail(&m->waiters, &w->link);
	/* Who is waited for does not wait for company. */
	manager_go_on_defining(m);
	return 0;
}

void manager_drop_waiters(struct manager *m)
{
	while (!list_empty(&m->waiters))
		run_waiter(m, true);
}

static int on_define(sd_event_source *source, void *userdata)
{
	(void)source;
	manager_go_on_defining(userdata);
	return 0;
}

static int on_define_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	manager_go_on_defining(userdata);
	return 0;
}

/* When nothing else is to be done, everything that could be read with the first has been. Somebody may see to it that there
 * always is something else: then after a while. */
static int arm(struct manager *m)
{
	int r = 0;

	/* What is on its way goes on with it. */
	if (m->n_defining || m->n_committing)
		return 0;
	if (!m->define_source)
		r = sd_event_add_defer(m->event, &m->define_source, on_define, m);
	if (r >= 0)
		r = sd_event_source_set_priority(m->define_source, DEFINE_PRIORITY);
	if (r >= 0)
		r = sd_event_source_set_enabled(m->define_source, SD_EVENT_ONESHOT);
	if (r >= 0 && !m->define_timer)
		return sd_event_add_time_relative(m->event, &m->define_timer, CLOCK_MONOTONIC,
			DEFINE_USEC, 1, on_define_timer, m);
	if (r >= 0)
		r = sd_event_source_set_time_relative(m->define_timer, DEFINE_USEC);
	return r < 0 ? r : sd_event_source_set_enabled(m->define_timer, SD_EVENT_ONESHOT);
}

static bool has_clash(const struct list *list, const struct domain_config *config)
{
	struct list *pos;

	list_for_each (pos, list) {
		const struct defining *d = list_entry(pos, struct defining, link);

		if (streq(d->name, config->vm.name) ||
			memcmp(d->uuid, config->vm.uuid, sizeof(d->uuid)) == 0)
			return true;
	}
	return false;
}

/* The same name or UUID is on its way: in their order, then. */
static bool clashes(const struct manager *m, const struct domain_config *config)
{
	return has_clash(&m->defining, config) || has_clash(&m->committing, config);
}

static int check_room(struct manager *m, struct error *error)
{
	/* Those that wait may be of domains that are there. */
	if (m->n_domains + m->n_defining + m->n_committing >= VMMD_MAX_DOMAINS)
		manager_commit(m);
	if (m->n_domains < VMMD_MAX_DOMAINS)
		return 0;
	return error_set(
		error, ERROR_OPERATION_FAILED, "there are %u domains already", m->n_domains);
}

static int defining_new(const struct domain_config *config, domain_done_fn done, void *userdata,
	struct defining **ret, struct error *error)
{
	_cleanup_(defining_freep) struct defining *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return error_set(error, ERROR_NO_MEMORY, "definition");
	list_init(&d->link);
	memcpy(d->uuid, config->vm.uuid, sizeof(d->uuid));
	(void)str_copy(d->name, sizeof(d->name), config->vm.name);
	d->done = done;
	d->userdata = userdata;
	r = definition_new(config, &d->definition);
	if (r < 0)
		return manager_fail_definition(r, error);
	*ret = TAKE_PTR(d);
	return 0;
}

int manager_define_soon(struct manager *m, const char *xml, const char *source, unsigned flags,
	domain_done_fn done, void *userdata, const char **ret_name,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(reading_end) struct reading reading = {.manager = m};
	_cleanup_(defining_freep) struct defining *d = NULL;
	const struct domain_config *config;
	struct domain *old;
	int r = reading_begin(&reading, xml, source, flags, ret_report, error);

	if (r < 0)
		return r;
	config = reading.config;
	if (m->n_defining == DEFINE_WAITING || clashes(m, config))
		manager_commit(m);
	r = check_identity(m, config, &old, error);
	if (r == 0 && !old)
		r = check_room(m, error);
	if (r == 0)
		r = defining_new(config, done, userdata, &d, error);
	if (r < 0)
		return r;
	r = arm(m);
	if (r < 0)
		return error_set_errno(error, r, "cannot save the definition of '%s'", d->name);
	*ret_name = d->name;
	list_add_tail(&m->defining, &d->link);
	m->n_defining++;
	TAKE_PTR(d);
	return 0;
}

int manager_define(struct manager *m, const char *xml, const char *source, unsigned flags,
	struct domain **ret_domain, struct contract_report **ret_report, struct error *error)
{
	_cleanup_(definition_freep) struct definition *definition = NULL;
	_cleanup_(reading_end) struct reading reading = {.manager = m};
	const struct domain_config *config;
	struct domain *d, *old;
	int r;

	manager_commit(m);
	r = reading_begin(&reading, xml, source, flags, ret_report, error);
	if (r < 0)
		return r;
	config = reading.config;
	r = check_identity(m, config, &old, error);
	if (r < 0)
		return r;
	r = definition_new(config, &definition);
	if (r < 0)
		return manager_fail_definition(r, error);
	d = old ? old : manager_add(m, config->vm.uuid, config->vm.name, error);
	if (!d)
		return -ENOMEM;
	r = manager_change(
		m, CHANGESET_SAVE, CHANGESET_DOMAINS, d->uuid, d->name, definition->xml, error);
	if (r < 0) {
		if (!old)
			manager_remove(m, d);
		return r;
	}
	manager_take_definition(m, d, TAKE_PTR(definition), !old);
	*ret_domain = d;
	return 0;
}

void manager_take_definition(
	struct manager *m, struct domain *d, struct definition *definition, bool is_new)
{
	(void)definition_free(d->definition);
	d->definition = definition;
	domain_note_owner(d);
	manager_changed(m, d);
	manager_emit(m, EVENT_LIFECYCLE, d, "Defined", is_new ? "Added" : "Updated");
}

int manager_redefine(struct manager *m, struct domain *d, const struct domain_config *config,
	struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *again = NULL;
	_cleanup_(definition_freep) struct definition *definition = NULL;
	int r = definition_new(config, &definition);

	if (r < 0)
		return manager_fail_definition(r, error);
	/* What the next daemon could not read is never written. */
	if (definition_parse(definition, &again) < 0)
		return error_set(error, ERROR_INTERNAL,
			"the definition of '%s' could not be read with this change: it stays as it "
			"is",
			d->name);
	r = manager_change(
		m, CHANGESET_SAVE, CHANGESET_DOMAINS, d->uuid, d->name, definition->xml, error);
	if (r < 0)
		return r;
	manager_take_definition(m, d, TAKE_PTR(definition), false);
	return 0;
}

int manager_undefine(struct manager *m, struct domain *d, struct error *error)
{
	int r;

	if (!domain_is_persistent(d))
		return error_set(
			error, ERROR_OPERATION_INVALID, "cannot undefine transient domain");
	r = manager_change(m, CHANGESET_DELETE, CHANGESET_DOMAINS, d->uuid, d->name, NULL, error);
	if (r < 0)
		return r;
	manager_drop_definition(m, d);
	return 0;
}

void manager_drop_definition(struct manager *m, struct domain *d)
{
	d->autostart = false;
	d->definition = definition_free(d->definition);
	manager_emit(m, EVENT_LIFECYCLE, d, "Undefined", "Removed");
	domain_note_owner(d);
	if (domain_is_active(d))
		manager_changed(m, d); /* runs on, transient from now */
	else
		manager_remove(m, d);
}

int manager_create(struct manager *m, const char *xml, const char *source, unsigned flags,
	unsigned start_flags, domain_done_fn done, void *userdata, struct domain **ret_domain,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d, *old;
	int r;

	/* Calls have waited for what is on its way; others have not. */
	manager_commit(m);
	r = manager_parse(xml, source, flags, NULL, &config, ret_report, error);
	if (r < 0)
		return r;
	r = check_identity(m, config, &old, error);
	if (r < 0)
		return r;
	if (old && domain_is_active(old))
		return error_set(
			error, ERROR_OPERATION_INVALID, "domain '%s' is already active", old->name);
	d = old ? old : manager_add(m, config->vm.uuid, config->vm.name, error);
	if (!d)
		return -ENOMEM;
	r = domain_set_live(d, config);
	if (r < 0) {
		r = manager_fail_definition(r, error);
	} else {
		(void)TAKE_PTR(config);
		r = domain_start(d, start_flags, done, userdata, error);
	}
	if (r < 0) {
		if (!old)
			manager_remove(m, d);
		return r;
	}
	*ret_domain = d;
	return 0;
}

int manager_set_autostart(struct manager *m, struct domain *d, bool on, struct error *error)
{
	int r;

	if (!domain_is_persistent(d))
		return error_set(error, ERROR_OPERATION_INVALID,
			"cannot set autostart for transient domain");
	r = manager_change(m, on ? CHANGESET_FLAG : CHANGESET_UNFLAG, CHANGESET_DOMAINS, d->uuid,
		d->name, NULL, error);
	if (r < 0)
		return r;
	d->autostart = on;
	manager_changed(m, d);
	return 0;
}

int manager_check(const char *xml, const char *source, unsigned flags,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;

	return manager_parse(xml, source, flags, NULL, &config, ret_report, error);
}
