/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Documents compared with what is there: see plan.h. */
#include "daemon/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/network-internal.h"
#include "daemon/plan-index.h"
#include "vmm-core/base/strutil.h"

static const char *const action_names[PLAN_ACTION_X_MAX] = {
	"same", "create", "change", "delete", "keep", "refuse"};
static const char *const when_names[PLAN_WHEN_X_MAX] = {"now", "next boot", "pending"};
static const char *const outcome_names[PLAN_OUTCOME_X_MAX] = {"", "done", "failed", "asked"};

/* One document. */
struct reader {
	struct manager *manager;
	unsigned flags;
	struct plan *plan;
	bool has_kind[2]; /* domains, networks */
};

static int refuse(struct plan_item *item, const char *reason)
{
	item->action = PLAN_REFUSE;
	item->writes = false;
	free(item->reason);
	item->reason = strdup(reason);
	return item->reason ? 0 : -ENOMEM;
}

static int name_item(struct plan_item *item, const char *name, const uint8_t uuid[16])
{
	free(item->name);
	item->name = strdup(name);
	memcpy(item->uuid, uuid, 16);
	return item->name ? 0 : -ENOMEM;
}

/* What a domain's document does not say. */
struct known {
	struct manager *manager;
	struct domain_config *config; /* of the domain that it means; NULL: it is new */
};

static void find_domain_uuid(void *opaque, const char *name, uint8_t uuid[16])
{
	const struct known *known = opaque;
	const struct domain *d = manager_find_name(known->manager, name);

	if (d)
		memcpy(uuid, d->uuid, 16);
}

static const struct vm_config *find_known(void *opaque, const uint8_t uuid[16])
{
	struct known *known = opaque;
	const struct domain *d = manager_find_uuid(known->manager, uuid);
	const struct definition *definition = !d ? NULL
		: d->definition                  ? d->definition
						 : d->running;

	if (!definition || (!known->config && definition_parse(definition, &known->config) < 0))
		return NULL;
	return &known->config->vm;
}

static void find_network_uuid(void *opaque, const char *name, uint8_t uuid[16])
{
	const struct network *n = network_find_name(opaque, name);

	if (n)
		memcpy(uuid, n->uuid, 16);
}

static int read_domain(struct reader *r, const struct plan_document *document,
	struct plan_item *item, struct error *error)
{
	struct known known = {r->manager, NULL};
	const struct xml_identify identify = {find_domain_uuid, find_known, &known};
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	const struct domain *by_uuid, *by_name;
	int e;

	e = manager_parse(document->xml, document->source,
		r->flags & PLAN_STRICT ? MANAGER_DEFINE_STRICT : 0, &identify, &config, NULL,
		error);
	(void)domain_config_free(known.config);
	if (e < 0)
		return e;
	if (name_item(item, config->vm.name, config->vm.uuid) < 0)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	by_uuid = manager_find_uuid(r->manager, item->uuid);
	by_name = manager_find_name(r->manager, item->name);
	e = manager_check_identity("domain", ERROR_DOMAIN_EXISTS,
		&(struct identity){by_name ? by_name->name : NULL, by_name ? by_name->uuid : NULL},
		&(struct identity){by_uuid ? by_uuid->name : NULL, by_uuid ? by_uuid->uuid : NULL},
		error);
	if (e < 0)
		return e;
	item->domain = manager_find_uuid(r->manager, item->uuid);
	e = definition_new(config, &item->definition);
	return e < 0 ? manager_fail_definition(e, error) : 0;
}

static int compare_domain(struct plan_item *item)
{
	const struct domain *d = item->domain;

	return plan_compare(item, d && d->definition ? d->definition->xml : NULL,
		d && d->running ? d->running->xml : NULL, item->definition->xml,
		d && d->phase == DOMAIN_ACTIVE && !d->degraded);
}

static int read_network(struct reader *r, const struct plan_document *document,
	struct plan_item *item, struct error *error)
{
	const struct xml_identify identify = {find_network_uuid, NULL, r->manager};
	const struct network *by_uuid, *by_name;
	int e;

	e = network_parse(document->xml, document->source,
		r->flags & PLAN_STRICT ? MANAGER_DEFINE_STRICT : 0, &identify, &item->config, NULL,
		error);
	if (e < 0)
		return e;
	if (name_item(item, item->config->net.name, item->config->net.uuid) < 0)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	by_uuid = network_find_uuid(r->manager, item->uuid);
	by_name = network_find_name(r->manager, item->name);
	e = manager_check_identity("network", ERROR_NETWORK_EXISTS,
		&(struct identity){by_name ? by_name->name : NULL, by_name ? by_name->uuid : NULL},
		&(struct identity){by_uuid ? by_uuid->name : NULL, by_uuid ? by_uuid->uuid : NULL},
		error);
	if (e < 0)
		return e;
	item->network = network_find_uuid(r->manager, item->uuid);
	return network_canonical_xml(item->config, &item->xml, error);
}

static int compare_network(struct plan_item *item)
{
	const struct network *n = item->network;
	_cleanup_(freep) char *running = NULL;

	if (n && network_is_active(n) && network_xml_format(n->config, NULL, &running) < 0)
		return -ENOMEM;
	return plan_compare(item, n ? n->xml : NULL, running, item->xml,
		n && n->phase == NETWORK_ACTIVE && worker_is_connected(n->worker));
}

/* Another document about the same, if there is one. */
static int check_twin(const struct plan_index *index, struct plan_item *item)
{
	const struct plan_item *twin = plan_index_twin(index, item);
	char reason[512];

	if (!twin || item->action == PLAN_REFUSE)
		return 0;
	(void)snprintf(reason, sizeof(reason), "'%.200s' is about %s, too", twin->source,
		streq(twin->name, item->name) ? "the same name" : "the same UUID");
	return refuse(item, reason);
}

static int root_of(const struct plan_document *document, char ret[32], struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	int r = xml_root_name(
		document->xml, strlen(document->xml), document->source, ret, 32, &text);

	if (r < 0)
		return error_set_xml(error, r, text);
	if (streq(ret, "domain") || streq(ret, "network"))
		return 0;
	return error_set(error, ERROR_XML_ERROR, "%s:1: neither a <domain> nor a <network>",
		document->source);
}

static int read_document(struct reader *r, const struct plan_document *document,
	struct plan_item *item, struct error *error)
{
	char root[32];
	int e = root_of(document, root, error);

	if (e < 0)
		return e;
	item->is_network = streq(root, "network");
	r->has_kind[item->is_network] = true;
	e = item->is_network ? read_network(r, document, item, error)
			     : read_domain(r, document, item, error);
	if (e == 0)
		e = item->is_network ? compare_network(item) : compare_domain(item);
	if (e < 0 && error->code == ERROR_NONE)
		(void)error_set_errno(error, e, "cannot compare '%s'", document->source);
	return e;
}

/* What a document is compared with: when that is another, so may be what comes of it. */
static struct digest add_text(struct digest digest, const char *text)
{
	return digest_more(digest, text ? text : "", text ? strlen(text) + 1 : 1);
}

static struct digest look_at_domain(struct manager *m, const struct plan_item *item)
{
	const struct domain *d = manager_find_uuid(m, item->uuid);
	const struct domain *by_name = manager_find_name(m, item->name);
	char state[2] = {d && d->phase == DOMAIN_ACTIVE && !d->degraded ? 'a' : 'i', 0};
	struct digest digest = digest_of(state, 1);

	digest = add_text(digest, d ? d->name : NULL);
	digest = add_text(digest, d && d->definition ? d->definition->xml : NULL);
	digest = add_text(digest, d && d->running ? d->running->xml : NULL);
	return by_name ? digest_more(digest, (const char *)by_name->uuid, 16) : digest;
}

static struct digest look_at_network(struct manager *m, const struct plan_item *item)
{
	const struct network *n = network_find_uuid(m, item->uuid);
	const struct network *by_name = network_find_name(m, item->name);
	bool connected = n && n->phase == NETWORK_ACTIVE && worker_is_connected(n->worker);
	_cleanup_(freep) char *running = NULL;
	struct digest digest = digest_of(connected ? "a" : "i", 1);

	if (n && network_is_active(n))
		(void)network_xml_format(n->config, NULL, &running);
	digest = add_text(digest, n ? n->name : NULL);
	digest = add_text(digest, n ? n->xml : NULL);
	digest = add_text(digest, running);
	return by_name ? digest_more(digest, (const char *)by_name->uuid, 16) : digest;
}

static struct digest look_at(struct manager *m, const struct plan_item *item)
{
	/* One that is not valid is so whatever there is. */
	if (!item->name)
		return (struct digest){0};
	return item->is_network ? look_at_network(m, item) : look_at_domain(m, item);
}

/* An item of the plan; a document that is not valid is one, too. */
static int add_document(struct reader *r, const struct plan_document *document,
	struct plan_item *item, struct error *error)
{
	struct error e = {0};
	int err;

	item->source = strdup(document->source);
	if (!item->source)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	err = read_document(r, document, item, &e);
	if (err < 0 && e.code == ERROR_NO_MEMORY)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	if (err < 0 && refuse(item, e.message) < 0)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	item->seen = look_at(r->manager, item);
	r->plan->n_changes += item->n_changes;
	if (r->plan->n_changes > PLAN_MAX_CHANGES)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"more than %u differences; give fewer documents at once", PLAN_MAX_CHANGES);
	return 0;
}

/* Prune. */

static int add_rest(
	struct reader *r, bool is_network, const uint8_t uuid[16], const char *name, bool is_active)
{
	struct plan_item *item = &r->plan->items[r->plan->n_items++];

	item->is_network = is_network;
	item->action = is_active ? PLAN_KEEP : PLAN_DELETE;
	item->writes = !is_active;
	item->source = strdup("");
	if (is_active)
		item->reason = strdup("it is active");
	if (!item->source || (is_active && !item->reason))
		return -ENOMEM;
	return name_item(item, name, uuid);
}

static int add_prunes(struct reader *r, const struct plan_index *index)
{
	struct manager *m = r->manager;
	struct list *pos;
	int e = 0;

	list_for_each (pos, &m->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		if (e < 0 || !r->has_kind[0] || !domain_is_persistent(d) ||
			plan_index_find(index, false, d->uuid))
			continue;
		e = add_rest(r, false, d->uuid, d->name, domain_is_active(d));
		r->plan->items[r->plan->n_items - 1].domain = d;
	}
	list_for_each (pos, &m->networks) {
		struct network *n = list_entry(pos, struct network, link);

		if (e < 0 || !r->has_kind[1] || !network_is_persistent(n) ||
			plan_index_find(index, true, n->uuid))
			continue;
		e = add_rest(r, true, n->uuid, n->name, network_is_active(n));
		r->plan->items[r->plan->n_items - 1].network = n;
	}
	return e;
}

/* What documents have to do with each other, and what none of them is about. */
static int look_at_all(struct reader *r)
{
	struct plan *plan = r->plan;
	struct plan_index index;
	int e = plan_index_init(&index, plan);

	if (e < 0)
		return e;
	for (size_t i = 0; e == 0 && i < plan->n_items; i++)
		e = check_twin(&index, &plan->items[i]);
	if (e == 0 && r->flags & PLAN_PRUNE)
		e = add_prunes(r, &index);
	plan_index_done(&index);
	return e;
}

/* There must be room for what is new; what goes makes some only afterwards. */
static int check_room(struct reader *r)
{
	unsigned n[2] = {r->manager->n_domains, r->manager->n_networks};
	const unsigned max[2] = {VMMD_MAX_DOMAINS, NETWORK_MAX};
	char reason[128];

	for (size_t i = 0; i < r->plan->n_items; i++) {
		struct plan_item *item = &r->plan->items[i];

		if (item->action != PLAN_CREATE || item->domain || item->network)
			continue;
		if (++n[item->is_network] <= max[item->is_network])
			continue;
		(void)snprintf(reason, sizeof(reason), "there would be more than %u %s",
			max[item->is_network], item->is_network ? "networks" : "domains");
		if (refuse(item, reason) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int check_size(const struct plan_document *documents, size_t n, struct error *error)
{
	size_t size = 0;

	if (n > PLAN_MAX_DOCUMENTS)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%zu documents; at most %u at once",
			n, PLAN_MAX_DOCUMENTS);
	for (size_t i = 0; i < n; i++)
		size += strlen(documents[i].xml);
	if (size > PLAN_MAX_BYTES)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"documents of %zu bytes together; at most %u at once", size,
			PLAN_MAX_BYTES);
	return 0;
}

static void item_done(struct plan_item *item)
{
	for (size_t i = 0; i < item->n_changes; i++) {
		free(item->changes[i].path);
		free(item->changes[i].old);
		free(item->changes[i].new);
		free(item->changes[i].xml);
		free(item->changes[i].reason);
	}
	free(item->changes);
	free(item->name);
	free(item->source);
	free(item->reason);
	free(item->xml);
	(void)definition_free(item->definition);
	(void)network_config_free(item->config);
}

#define AGAIN_MAX 4 /* times that all documents are read again in one plan */

struct plan_work {
	struct reader reader;
	const struct plan_document *documents;
	size_t n;
	size_t next, n_again; /* plan_refresh()'s: where it goes on, how many it has read again */
};

struct plan_work *plan_work_free(struct plan_work *work)
{
	if (!work)
		return NULL;
	(void)plan_free(work->reader.plan);
	free(work);
	return NULL;
}

int plan_begin(struct manager *m, const struct plan_document *documents, size_t n, unsigned flags,
	struct plan_work **ret_work, struct error *error)
{
	_cleanup_(plan_work_freep) struct plan_work *work = NULL;
	int r = check_size(documents, n, error);

	if (r < 0)
		return r;
	work = calloc(1, sizeof(*work));
	if (work)
		work->reader.plan = calloc(1, sizeof(*work->reader.plan));
	if (!work || !work->reader.plan)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	work->reader.manager = m;
	work->reader.flags = flags;
	work->documents = documents;
	work->n = n;
	work->reader.plan->items = calloc(n + 1, sizeof(*work->reader.plan->items));
	if (!work->reader.plan->items)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	*ret_work = TAKE_PTR(work);
	return 0;
}

int plan_step(struct plan_work *work, struct error *error)
{
	struct plan *plan = work->reader.plan;
	size_t i = plan->n_items;
	int r;

	if (i == work->n)
		return 0;
	plan->n_items++;
	r = add_document(&work->reader, &work->documents[i], &plan->items[i], error);
	return r < 0 ? r : 1;
}

/* What was there when it was read may be gone, or another: then it is read again. 1: it was, 0, or -errno. */
static int refresh_one(struct plan_work *work, size_t i, struct error *error)
{
	struct reader *r = &work->reader;
	struct plan_item *item = &r->plan->items[i];
	struct digest now = look_at(r->manager, item);
	int e;

	if (now.high == item->seen.high && now.low == item->seen.low) {
		/* The same, though perhaps in another place. */
		if (item->domain)
			item->domain = manager_find_uuid(r->manager, item->uuid);
		if (item->network)
			item->network = network_find_uuid(r->manager, item->uuid);
		return 0;
	}
	r->plan->n_changes -= item->n_changes;
	item_done(item);
	*item = (struct plan_item){0};
	e = add_document(r, &work->documents[i], item, error);
	return e < 0 ? e : 1;
}

int plan_refresh(struct plan_work *work, unsigned max, struct error *error)
{
	unsigned n = 0;

	for (size_t looked = 0; looked < work->n; looked++) {
		int r = refresh_one(work, work->next, error);

		if (r < 0)
			return r;
		work->next = (work->next + 1) % work->n;
		n += (unsigned)r;
		if (n == max)
			break;
	}
	work->n_again += n;
	if (work->n_again > AGAIN_MAX * work->n + max)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"what is defined changes faster than %zu documents are compared with it; "
			"try again",
			work->n);
	return n == max;
}

static int refresh(struct plan_work *work, struct error *error)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < work->n; i++)
		r = refresh_one(work, i, error);
	return MIN(r, 0);
}

/* For what no document is about. */
static int make_room(struct plan_work *work)
{
	const struct manager *m = work->reader.manager;
	struct plan *plan = work->reader.plan;
	size_t n = work->n + m->n_domains + m->n_networks + 1;
	struct plan_item *items = realloc(plan->items, n * sizeof(*items));

	if (!items)
		return -ENOMEM;
	memset(items + plan->n_items, 0, (n - plan->n_items) * sizeof(*items));
	plan->items = items;
	return 0;
}

int plan_end(struct plan_work *work, struct plan **ret_plan, struct error *error)
{
	struct reader *reader = &work->reader;
	struct plan *plan = reader->plan;
	int r = refresh(work, error);

	assert(plan->n_items == work->n);
	if (r < 0)
		return r;
	if (make_room(work) < 0 || look_at_all(reader) < 0 || check_room(reader) < 0)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	for (size_t i = plan->n_items; i-- > 0;)
		if (plan->items[i].action == PLAN_REFUSE) {
			plan->n_refused++;
			plan->refused = &plan->items[i];
		}
	*ret_plan = TAKE_PTR(reader->plan);
	return 0;
}

int plan_new(struct manager *m, const struct plan_document *documents, size_t n, unsigned flags,
	struct plan **ret_plan, struct error *error)
{
	_cleanup_(plan_work_freep) struct plan_work *work = NULL;
	int r = plan_begin(m, documents, n, flags, &work, error);

	if (r < 0)
		return r;
	do
		r = plan_step(work, error);
	while (r > 0);
	return r < 0 ? r : plan_end(work, ret_plan, error);
}

struct plan *plan_free(struct plan *plan)
{
	if (!plan)
		return NULL;
	for (size_t i = 0; i < plan->n_items; i++)
		item_done(&plan->items[i]);
	free(plan->items);
	free(plan);
	return NULL;
}

bool plan_writes(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_items; i++)
		if (plan->items[i].writes)
			return true;
	return false;
}

/* JSON. */

static void put(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text ? text : ""));
}

static void put_row(
	struct json_object *array, const struct plan_item *item, const struct plan_change *change)
{
	struct json_object *o = json_object_new_object();
	enum plan_outcome outcome = change ? change->outcome : item->outcome;
	char uuid[UUID_STRING_LEN + 1] = "";

	/* One that is new may get another each time that it is planned. */
	if (item->name && (item->action != PLAN_CREATE || item->outcome == PLAN_DONE))
		uuid_format(item->uuid, uuid);
	put(o, "object", item->is_network ? "network" : "domain");
	put(o, "name", item->name);
	put(o, "uuid", uuid);
	put(o, "source", item->source);
	put(o, "action", action_names[item->action]);
	put(o, "path", change ? change->path : "");
	put(o, "old", change ? change->old : "");
	put(o, "new", change ? change->new : "");
	json_object_object_add(
		o, "added", json_object_new_boolean(change && change->new && !change->old));
	json_object_object_add(
		o, "removed", json_object_new_boolean(change && change->old && !change->new));
	if (change)
		put(o, "when", when_names[change->when]);
	else
		put(o, "when",
			item->action == PLAN_REFUSE                                      ? "refused"
				: item->action == PLAN_SAME || item->action == PLAN_KEEP ? ""
											 : "now");
	put(o, "reason", change && change->reason ? change->reason : change ? "" : item->reason);
	put(o, "outcome", outcome_names[outcome]);
	json_object_array_add(array, o);
}

struct json_object *plan_to_json(const struct plan *plan)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < plan->n_items; i++) {
		const struct plan_item *item = &plan->items[i];

		if (item->action != PLAN_CHANGE)
			put_row(array, item, NULL);
		for (size_t j = 0; j < item->n_changes && item->action != PLAN_REFUSE; j++)
			put_row(array, item, &item->changes[j]);
	}
	return array;
}

void plan_digest(const struct plan *plan, char ret[DIGEST_TEXT_SIZE])
{
	struct json_object *array = plan_to_json(plan);
	const char *text = json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN);

	digest_format(digest_of(text, strlen(text)), ret);
	json_object_put(array);
}
