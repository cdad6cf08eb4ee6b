/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan carried out: see apply.h. */
#include "daemon/apply.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "config/net-addr.h"
#include "daemon/domain-internal.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define INTERFACE_PATH     "devices/interface["
#define INTERFACE_PATH_LEN (sizeof(INTERFACE_PATH) - 1)

struct apply {
	struct plan *plan;
	unsigned n_waiting; /* steps, and one for who makes them */
	apply_done_fn done;
	void *userdata;
};

/* Something that a worker was asked for. */
struct step {
	struct apply *apply;
	struct plan_item *item;
	struct plan_change *change;
	char mac[NET_MAC_STRING_SIZE]; /* of PLAN_PORT: all changes of this interface */
};

/* Definitions. */

static void forget_new(struct manager *m, struct plan *plan)
{
	for (size_t i = 0; i < plan->n_items; i++) {
		struct plan_item *item = &plan->items[i];

		if (!item->is_made)
			continue;
		if (item->domain)
			manager_remove(m, item->domain);
		(void)network_free(item->network);
		item->domain = NULL;
		item->network = NULL;
		item->is_made = false;
	}
}

/* What is new has its place, so that nothing can fail later. */
static int make_new(struct manager *m, struct plan *plan, struct error *error)
{
	for (size_t i = 0; i < plan->n_items; i++) {
		struct plan_item *item = &plan->items[i];

		if (item->action != PLAN_CREATE || item->domain || item->network)
			continue;
		if (item->is_network)
			item->network = network_new(m, item->uuid, item->name, error);
		else
			item->domain = manager_add(m, item->uuid, item->name, error);
		item->is_made = item->domain || item->network;
		if (!item->is_made) {
			forget_new(m, plan);
			return -ENOMEM;
		}
	}
	return 0;
}

static int commit(struct manager *m, const struct plan *plan, struct error *error)
{
	_cleanup_(freep) struct changeset_item *items = calloc(plan->n_items + 1, sizeof(*items));
	size_t n = 0;
	int r;

	if (!items)
		return error_set(error, ERROR_NO_MEMORY, "definitions");
	for (size_t i = 0; i < plan->n_items; i++) {
		const struct plan_item *item = &plan->items[i];

		if (!item->writes)
			continue;
		items[n].verb = item->action == PLAN_DELETE ? CHANGESET_DELETE : CHANGESET_SAVE;
		items[n].kind = item->is_network ? CHANGESET_NETWORKS : CHANGESET_DOMAINS;
		memcpy(items[n].uuid, item->uuid, 16);
		items[n++].xml = item->is_network ? item->xml
			: item->definition        ? item->definition->xml
						  : NULL;
	}
	if (n == 0)
		return 0;
	manager_commit(m);
	r = store_change(m->store, items, n);
	manager_tend_store(m);
	return r == 0 ? 0 : manager_fail_change(m, r, error, "cannot save the definitions");
}

static void take_item(struct manager *m, struct plan_item *item)
{
	bool is_new = item->action == PLAN_CREATE;

	if (item->writes && item->action == PLAN_DELETE) {
		if (item->is_network)
			network_drop_definition(item->network);
		else
			manager_drop_definition(m, item->domain);
		item->domain = NULL;
		item->network = NULL;
	} else if (item->writes && item->is_network) {
		network_take_definition(item->network, TAKE_PTR(item->xml), TAKE_PTR(item->config));
	} else if (item->writes) {
		manager_take_definition(m, item->domain, TAKE_PTR(item->definition), is_new);
	}
	item->outcome = item->writes ? PLAN_DONE : PLAN_PLANNED;
	for (size_t i = 0; i < item->n_changes; i++)
		item->changes[i].outcome =
			item->changes[i].when != PLAN_PENDING && !item->changes[i].live
			? PLAN_DONE
			: PLAN_PLANNED;
}

/* What runs. */

static void finish(struct apply *a)
{
	if (--a->n_waiting > 0)
		return;
	a->done(a->userdata, a->plan);
	free(a);
}

static bool is_of(const struct step *step, const struct plan_change *change)
{
	size_t len = strlen(step->mac);

	return change->live == PLAN_PORT &&
		strncasecmp(change->path + INTERFACE_PATH_LEN, step->mac, len) == 0;
}

static void set_outcome(
	struct plan_change *change, enum plan_outcome outcome, const struct error *error)
{
	change->outcome = error ? PLAN_FAILED : outcome;
	if (error)
		change->reason = strdup(error->message);
}

static void note(struct step *step, enum plan_outcome outcome, const struct error *error)
{
	if (step->change) {
		set_outcome(step->change, outcome, error);
		return;
	}
	for (size_t i = 0; i < step->item->n_changes; i++)
		if (is_of(step, &step->item->changes[i]))
			set_outcome(&step->item->changes[i], outcome, error);
}

static void end_step(struct step *step, enum plan_outcome outcome, const struct error *error)
{
	struct apply *a = step->apply;

	note(step, outcome, error);
	free(step);
	finish(a);
}

static void on_step(void *userdata, const struct error *error)
{
	end_step(userdata, PLAN_DONE, error);
}

static void on_detached(void *userdata, bool gone, const struct error *error)
{
	end_step(userdata, gone ? PLAN_DONE : PLAN_ASKED, error);
}

static struct step *step_new(struct apply *a, struct plan_item *item, struct plan_change *change)
{
	struct step *step = calloc(1, sizeof(*step));

	if (!step)
		return NULL;
	*step = (struct step){.apply = a, .item = item, .change = change};
	a->n_waiting++;
	return step;
}

/* 'r' as domain_attach_device() says. */
static void begun(struct step *step, int r, const struct error *error)
{
	if (r != 0)
		end_step(step, PLAN_DONE, r < 0 ? error : NULL);
}

/* In what runs it goes where there is room: its place in the definition may be that of one that leaves. */
static void cut_address(char *xml)
{
	char *begin = strstr(xml, "<address type='pci'"), *end = begin ? strstr(begin, "/>") : NULL;

	if (end)
		memset(begin, ' ', (size_t)(end - begin) + 2);
}

static void plug(struct apply *a, struct plan_item *item, struct plan_change *change)
{
	struct step *step = step_new(a, item, change);
	struct error error = {0};
	int r;

	if (!step) {
		(void)error_set(&error, ERROR_NO_MEMORY, "request");
		set_outcome(change, PLAN_FAILED, &error);
		return;
	}
	/* The running domain may have it elsewhere than the definition: its MAC address finds it. */
	cut_address(change->xml);
	if (change->live == PLAN_ATTACH) {
		r = domain_attach_device(item->domain, change->xml, item->source,
			DOMAIN_AFFECT_LIVE, on_step, step, NULL, &error);
	} else {
		r = domain_detach_device(item->domain, change->xml, item->source,
			DOMAIN_AFFECT_LIVE, on_detached, step, &error);
	}
	begun(step, r, &error);
}

static bool has_live(const struct plan_item *item, enum plan_live live)
{
	for (size_t i = 0; i < item->n_changes; i++)
		if (item->changes[i].live == live)
			return true;
	return false;
}

static void fail_all(struct plan_item *item, enum plan_live live, const struct error *error)
{
	for (size_t i = 0; i < item->n_changes; i++)
		if (item->changes[i].live == live)
			set_outcome(&item->changes[i], PLAN_FAILED, error);
}

/* The interface's link and bandwidth, as the definition has them. */
static void set_port(struct apply *a, struct plan_item *item, const struct vm_nic *defined)
{
	const struct domain *d = item->domain;
	struct step *step = step_new(a, item, NULL);
	struct net_port_config config;
	struct error error = {0};
	bool wanted = false;
	int index = -1;

	if (!step) {
		(void)error_set(&error, ERROR_NO_MEMORY, "request");
		fail_all(item, PLAN_PORT, &error);
		return;
	}
	net_mac_format(defined->port.mac, step->mac);
	for (unsigned i = 0; i < d->live->vm.n_nics; i++)
		if (memcmp(d->live->vm.nics[i].port.mac, defined->port.mac, NET_MAC_LEN) == 0)
			index = (int)i;
	if (index >= 0)
		config = *domain_nic_asked(d, (unsigned)index);
	for (size_t i = 0; index >= 0 && i < item->n_changes; i++) {
		const char *path = item->changes[i].path;

		if (!is_of(step, &item->changes[i]))
			continue;
		wanted = true;
		if (strstr(path, "]/bandwidth"))
			config.bandwidth = defined->port.bandwidth;
		else
			config.flags = (config.flags & ~NET_PORT_LINK_DOWN) |
				(defined->port.flags & NET_PORT_LINK_DOWN);
	}
	if (!wanted) {
		free(step);
		finish(a);
		return;
	}
	begun(step,
		network_update_port(
			item->domain, d->live->nics[index].number, &config, on_step, step, &error),
		&error);
}

static void set_ports(struct apply *a, struct plan_item *item)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct error error = {0};
	int r = definition_parse(item->domain->definition, &config);

	if (r < 0) {
		(void)error_set_errno(&error, r, "cannot read the definition");
		fail_all(item, PLAN_PORT, &error);
		return;
	}
	for (uint32_t i = 0; i < config->vm.n_nics; i++)
		set_port(a, item, &config->vm.nics[i]);
}

static void change_network(struct plan_item *item)
{
	_cleanup_(network_config_freep) struct network_config *config = NULL;
	struct error error = {0};
	int r = network_definition(item->network, &config, &error);

	if (r == 0)
		r = network_update_live(item->network, config, &error);
	for (size_t i = 0; i < item->n_changes; i++)
		if (item->changes[i].live == PLAN_NETWORK)
			set_outcome(&item->changes[i], PLAN_DONE, r < 0 ? &error : NULL);
}

/* What leaves makes room for what comes. */
static void change_running(struct apply *a, struct plan_item *item)
{
	static const enum plan_live order[] = {PLAN_DETACH, PLAN_ATTACH};

	for (size_t k = 0; k < ARRAY_SIZE(order); k++)
		for (size_t i = 0; i < item->n_changes; i++)
			if (item->changes[i].live == order[k])
				plug(a, item, &item->changes[i]);
	if (has_live(item, PLAN_PORT))
		set_ports(a, item);
	if (has_live(item, PLAN_NETWORK))
		change_network(item);
}

int apply_plan(struct manager *m, struct plan *plan, apply_done_fn done, void *userdata,
	struct error *error)
{
	struct apply *a;

	if (plan->n_refused)
		return error_set(error, ERROR_OPERATION_INVALID,
			"nothing has changed: %zu of the documents are refused; '%s': %s",
			plan->n_refused, plan->refused->source, plan->refused->reason);
	a = calloc(1, sizeof(*a));
	if (!a)
		return error_set(error, ERROR_NO_MEMORY, "request");
	if (make_new(m, plan, error) < 0) {
		free(a);
		return -ENOMEM;
	}
	if (commit(m, plan, error) < 0) {
		forget_new(m, plan);
		free(a);
		return -EIO;
	}
	for (size_t i = 0; i < plan->n_items; i++)
		take_item(m, &plan->items[i]);
	*a = (struct apply){.plan = plan, .n_waiting = 1, .done = done, .userdata = userdata};
	/* Networks first: interfaces may be for portgroups that are new. */
	for (int networks = 1; networks >= 0; networks--)
		for (size_t i = 0; i < plan->n_items; i++)
			if (plan->items[i].is_network == networks)
				change_running(a, &plan->items[i]);
	if (a->n_waiting == 1) {
		free(a);
		return 1;
	}
	finish(a);
	return 0;
}
