/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interfaces that are attached to a domain and detached from it, in what runs, in the definition, or in both.
 *
 *	attach	parse (config/domain-device.h) → live configuration → a port of its network or a tap (domain-nic.h) → status, so
 *		that a daemon which comes later knows of it → definition → NIC_ADD → its answer → the links. A failure takes
 *		all of it back
 *	detach	definition → NIC_REMOVE: the guest is asked → the worker says by STATE that the vNIC is gone, soon, later or
 *		never → port and live configuration go
 *
 * What the worker has is in the last STATE; a live configuration that names more loses it (domain_nics_seen()), so that also
 * a daemon that was away in between is right in the end.
 *
 * Tested by tests/unit/test-domain-plug.c.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/domain-device.h"
#include "config/net-addr.h"
#include "daemon/domain-internal.h"
#include "daemon/domain-nic.h"
#include "daemon/manager.h"
#include "daemon/network.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

/* Addresses to be tried for an interface that has none. */
#define MAX_MACS (64 * VM_MAX_NICS)

int domain_nic_index(const struct domain *d, unsigned number)
{
	for (unsigned i = 0; d->live && i < d->live->vm.n_nics; i++)
		if (d->live->nics[i].number == number)
			return (int)i;
	return -ENOENT;
}

static void emit(const struct domain *d, enum event_kind kind, unsigned number)
{
	char alias[16];

	(void)snprintf(alias, sizeof(alias), "net%u", number);
	manager_emit(d->manager, kind, d, "", alias);
}

int domain_device_error(int r, char *text, struct error *error)
{
	_cleanup_(freep) _unused_ char *owned = text;
	static const struct {
		int r;
		enum error_code code;
	} codes[] = {
		{-EOPNOTSUPP, ERROR_CONFIG_UNSUPPORTED},
		{-ENODEV, ERROR_NO_DEVICE},
		{-ENOTUNIQ, ERROR_OPERATION_FAILED},
	};

	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (r == codes[i].r)
			return error_set(error, codes[i].code, "%s", text ? text : strerror(-r));
	return error_set(error, ERROR_XML_ERROR, "%s", text ? text : strerror(-r));
}

/* The definition, of which an older state is kept until it is clear whether the new one stays. */

struct config_change {
	struct definition *old; /* NULL: there was no change, or it stays */
	char *new;              /* its text: a pointer may be another definition's by then */
};

static int change_definition(struct domain *d, struct definition **definition,
	struct config_change *ret, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	int r;

	if (!*definition)
		return 0;
	text = strdup((*definition)->xml);
	if (!text)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	r = manager_change(
		d->manager, CHANGESET_SAVE, CHANGESET_DOMAINS, d->uuid, d->name, text, error);
	if (r < 0)
		return r;
	ret->old = d->definition;
	ret->new = TAKE_PTR(text);
	d->definition = TAKE_PTR(*definition);
	manager_changed(d->manager, d);
	return 0;
}

static void keep_change(struct config_change *change)
{
	change->old = definition_free(change->old);
	free(change->new);
	change->new = NULL;
}

/* As it was, unless somebody has changed it again meanwhile. */
static void undo_change(struct domain *d, struct config_change *change)
{
	struct error e = {0};

	manager_commit(d->manager);
	if (!change->old || !d->definition || !streq(d->definition->xml, change->new)) {
		keep_change(change);
		return;
	}
	if (manager_change(d->manager, CHANGESET_SAVE, CHANGESET_DOMAINS, d->uuid, d->name,
		    change->old->xml, &e) < 0) {
		log_error("domain '%s': its definition keeps an interface that failed: %s", d->name,
			e.message);
		keep_change(change);
		return;
	}
	(void)definition_free(d->definition);
	d->definition = TAKE_PTR(change->old);
	keep_change(change);
	manager_changed(d->manager, d);
}

/* The live configuration. */

int domain_replace_live(
	struct domain *d, struct domain_config *next, int without_nic, int without_memory)
{
	struct definition *running;
	unsigned to = 0;
	int r = definition_new(next, &running);

	if (r < 0)
		return r;
	for (unsigned from = 0; from < d->live->vm.n_nics; from++) {
		if ((int)from == without_nic)
			continue;
		next->vm.nics[to].port = d->live->vm.nics[from].port;
		next->nics[to++].number = d->live->nics[from].number;
	}
	to = 0;
	for (unsigned from = 0; from < d->live->vm.n_memories; from++)
		if ((int)from != without_memory)
			next->memories[to++] = d->live->memories[from];
	domain_take_live(d, next, running);
	return 0;
}

static void finish_detaches(
	struct domain *d, unsigned number, bool gone, const struct error *error);

/* The worker does not have it (any more). */
static void drop_nic(struct domain *d, unsigned index)
{
	_cleanup_(domain_config_freep) struct domain_config *next = NULL;
	unsigned number = d->live->nics[index].number;
	int r;

	domain_nic_release(d, number);
	r = domain_device_detach(d->running->xml, DOMAIN_DEVICE_INTERFACE, index, &next);
	if (r == 0)
		r = domain_replace_live(d, next, (int)index, -1);
	if (r == 0)
		(void)TAKE_PTR(next);
	else
		(void)log_error_errno(
			r, "domain '%s': net%u is gone, but stays in its XML: %m", d->name, number);
	domain_save_status(d);
	manager_changed(d->manager, d);
}

void domain_nics_seen(struct domain *d, uint32_t present)
{
	for (unsigned number = 0; number < VM_MAX_NICS; number++) {
		int i = domain_nic_index(d, number);

		if (i < 0 || (present | d->nics_plugging) >> number & 1)
			continue;
		log_info("domain '%s': net%u was detached", d->name, number);
		drop_nic(d, (unsigned)i);
		emit(d, EVENT_DEVICE_REMOVED, number);
		finish_detaches(d, number, true, NULL);
	}
}

/* Which of the two is meant. */
int domain_settle_flags(const struct domain *d, unsigned flags, bool *ret_live, bool *ret_config,
	struct error *error)
{
	bool active = domain_is_active(d);

	*ret_live = flags & DOMAIN_AFFECT_LIVE || (!flags && active);
	*ret_config = flags & DOMAIN_AFFECT_CONFIG || (!flags && !active);
	if (*ret_live && d->phase != DOMAIN_ACTIVE)
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	if (*ret_live && d->degraded)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of domain '%s' does not answer", d->name);
	if (*ret_config && !domain_is_persistent(d))
		return error_set(error, ERROR_OPERATION_INVALID,
			"transient domains do not have any persistent config");
	return 0;
}

/* Attaching. */

static bool is_mac_known(const struct manager *m, const uint8_t mac[NET_MAC_LEN])
{
	struct list *pos;

	if (network_find_mac(m, mac))
		return true;
	list_for_each (pos, &m->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		if (definition_has_mac(d->definition, mac) || definition_has_mac(d->running, mac))
			return true;
	}
	return false;
}

static int choose_mac(const struct domain *d, uint8_t ret[NET_MAC_LEN], struct error *error)
{
	for (uint32_t n = 0; n < MAX_MACS; n++) {
		net_mac_derive(d->uuid, n, ret);
		if (!is_mac_known(d->manager, ret))
			return 0;
	}
	return error_set(error, ERROR_OPERATION_FAILED,
		"no free MAC address was found; write one: <mac address='52:54:00:…'/>");
}

struct device_xml {
	const char *xml, *source;
	struct domain_device_defaults defaults;
	struct contract_report **report; /* of the first that is parsed; NULL: not wanted */
};

/* '*ret' is the domain of 'base' with the interface; the next one gets the same address and place if it can. */
static int parse_attach(const struct definition *base, struct device_xml *device,
	struct domain_config **ret, struct error *error)
{
	const struct vm_nic *nic;
	char *text;
	int r;

	r = domain_device_attach(base->xml, device->xml, strlen(device->xml), device->source,
		&device->defaults, ret, device->report, &text);
	if (device->report && *device->report)
		device->report = NULL;
	if (r < 0)
		return domain_device_error(r, text, error);
	nic = &(*ret)->vm.nics[(*ret)->vm.n_nics - 1];
	memcpy(device->defaults.mac, nic->port.mac, NET_MAC_LEN);
	device->defaults.pci = nic->pci;
	return 0;
}

static int prepare_definition(
	const struct domain_config *config, struct definition **ret, struct error *error)
{
	int r = definition_new(config, ret);

	if (r == -EFBIG)
		return error_set(error, ERROR_XML_ERROR, "the domain's XML would be too long");
	return r < 0 ? error_set(error, ERROR_NO_MEMORY, "xml") : 0;
}

/* An attach that waits for the worker. */
struct plug {
	struct domain *domain;
	unsigned number;
	int tap_fd; /* until it is sent; -EBADF: none */
	struct config_change change;
	domain_done_fn done;
	void *userdata;
};

static void unplug_failed(struct plug *plug)
{
	struct domain *d = plug->domain;
	int i = domain_nic_index(d, plug->number);

	d->nics_plugging &= ~(UINT32_C(1) << plug->number);
	plug->tap_fd = safe_close(plug->tap_fd);
	if (i >= 0)
		drop_nic(d, (unsigned)i);
	undo_change(d, &plug->change);
}

/* Why the worker did not do as it was told. */
static void describe(
	const struct domain *d, int error, const char *text, const char *what, struct error *ret)
{
	if (error == -ECONNRESET)
		(void)error_set(ret, ERROR_OPERATION_FAILED,
			"domain '%s' ended before the interface was %sed", d->name, what);
	else if (error == -ETIMEDOUT)
		(void)error_set(
			ret, ERROR_TIMEOUT, "the worker of domain '%s' does not answer", d->name);
	else
		(void)error_set(ret,
			error == -ENOTSUP ? ERROR_NOT_SUPPORTED : ERROR_OPERATION_FAILED,
			"domain '%s': the interface cannot be %sed: %s", d->name, what,
			*text ? text : strerror(-error));
}

static void ask_to_remove(struct domain *d, unsigned number)
{
	struct proto_nic_id id = {number};

	(void)worker_request(d->worker, PROTO_NIC_REMOVE, &id, sizeof(id), NULL, 0,
		DOMAIN_REQUEST_USEC, NULL, NULL);
}

static void on_plugged(void *userdata, int error, const char *text)
{
	_cleanup_(freep) struct plug *plug = userdata;
	struct domain *d = plug->domain;
	struct error e = {0};

	if (error == 0) {
		d->nics_plugging &= ~(UINT32_C(1) << plug->number);
		keep_change(&plug->change);
		network_link_nic(d, plug->number);
		log_info("domain '%s': net%u was attached", d->name, plug->number);
		emit(d, EVENT_DEVICE_ADDED, plug->number);
		plug->done(plug->userdata, NULL);
		return;
	}
	if (error == -ETIMEDOUT)
		ask_to_remove(d, plug->number); /* it may have it all the same, some time */
	unplug_failed(plug);
	describe(d, error, text, "attach", &e);
	plug->done(plug->userdata, &e);
}

static int choose_number(const struct domain *d, struct error *error)
{
	for (unsigned number = 0; number < VM_MAX_NICS; number++)
		if (domain_nic_index(d, number) < 0)
			return (int)number;
	return error_set(error, ERROR_CONFIG_UNSUPPORTED,
		"domain '%s' has %d interfaces, and cannot have more", d->name, VM_MAX_NICS);
}

static int send_plug(struct plug *plug, struct error *error)
{
	struct domain *d = plug->domain;
	struct proto_nic_add add = {.nic = plug->number};
	int r;

	add.config = d->live->vm.nics[domain_nic_index(d, plug->number)];
	r = worker_request(d->worker, PROTO_NIC_ADD, &add, sizeof(add), &plug->tap_fd,
		plug->tap_fd >= 0, DOMAIN_REQUEST_USEC, on_plugged, plug);
	if (r < 0)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of domain '%s' takes no requests: %s", d->name, strerror(-r));
	plug->tap_fd = safe_close(plug->tap_fd);
	return 0;
}

/* The live configuration has it: all else follows, or it goes again. */
static int plug_in(struct plug *plug, struct definition **definition, struct error *error)
{
	struct domain *d = plug->domain;
	int r;

	d->nics_plugging |= UINT32_C(1) << plug->number;
	r = domain_nic_prepare(d, plug->number, error);
	if (r == 0)
		r = domain_nic_open(d, plug->number, &plug->tap_fd, error);
	if (r == 0) {
		domain_save_status(d);
		r = change_definition(d, definition, &plug->change, error);
	}
	if (r == 0)
		r = send_plug(plug, error);
	if (r < 0)
		unplug_failed(plug);
	return r;
}

static int attach_live(struct domain *d, struct domain_config **live,
	struct definition **definition, domain_done_fn done, void *userdata, struct error *error)
{
	_cleanup_(freep) struct plug *plug = calloc(1, sizeof(*plug));
	int r = plug ? choose_number(d, error) : error_set(error, ERROR_NO_MEMORY, "request");

	if (r < 0)
		return r;
	*plug = (struct plug){.domain = d,
		.number = (unsigned)r,
		.tap_fd = -EBADF,
		.done = done,
		.userdata = userdata};
	(*live)->nics[(*live)->vm.n_nics - 1].number = (uint8_t)plug->number;
	r = domain_replace_live(d, *live, -1, -1);
	if (r < 0)
		return error_set_errno(error, r, "cannot note the interface");
	(void)TAKE_PTR(*live);
	r = plug_in(plug, definition, error);
	if (r == 0)
		(void)TAKE_PTR(plug);
	return r;
}

/* Of which kind a device is. */
static int read_kind(const struct domain_memory_wish *device, struct error *error)
{
	char *text;
	int r = domain_device_kind(device->xml, strlen(device->xml), device->source, &text);

	return r < 0 ? domain_device_error(r, text, error) : r;
}

static int attach_interface(struct domain *d, const char *xml, const char *source, unsigned flags,
	domain_done_fn done, void *userdata, struct contract_report **ret_report,
	struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *live = NULL, *config = NULL;
	_cleanup_(definition_freep) struct definition *definition = NULL;
	struct device_xml device = {
		.xml = xml, .source = *source ? source : "device.xml", .report = ret_report};
	struct config_change change = {0};
	bool to_live, to_config;
	int r;

	r = domain_settle_flags(d, flags, &to_live, &to_config, error);
	if (r == 0)
		r = choose_mac(d, device.defaults.mac, error);
	if (r == 0 && to_live)
		r = parse_attach(d->running, &device, &live, error);
	if (r == 0 && to_config)
		r = parse_attach(d->definition, &device, &config, error);
	if (r == 0 && to_config)
		r = prepare_definition(config, &definition, error);
	if (r < 0)
		return r;
	if (to_live)
		return attach_live(d, &live, &definition, done, userdata, error);
	r = change_definition(d, &definition, &change, error);
	keep_change(&change);
	return r < 0 ? r : 1;
}

int domain_attach_device(struct domain *d, const char *xml, const char *source, unsigned flags,
	domain_done_fn done, void *userdata, struct contract_report **ret_report,
	struct error *error)
{
	const struct domain_memory_wish device = {
		.xml = xml, .source = *source ? source : "device.xml"};
	int r = read_kind(&device, error);

	if (r == DOMAIN_DEVICE_MEMORY)
		return domain_attach_memory(d, &device, flags, done, userdata, ret_report, error);
	return r < 0 ? r
		     : attach_interface(d, xml, source, flags, done, userdata, ret_report, error);
}

/* Detaching. */

/* Somebody waits for the guest to let go. */
struct detach {
	struct list link;
	struct domain *domain;
	unsigned number;
	bool asked; /* the worker has told the guest */
	struct config_change change;
	sd_event_source *timer;
	domain_detached_fn done;
	void *userdata;
};

static void detach_free(struct detach *detach)
{
	list_del(&detach->link);
	(void)sd_event_source_disable_unref(detach->timer);
	keep_change(&detach->change);
	free(detach);
}

static void finish_detach(struct detach *detach, bool gone, const struct error *error)
{
	if (error)
		undo_change(detach->domain, &detach->change);
	else
		keep_change(&detach->change);
	if (detach->done)
		detach->done(detach->userdata, gone, error);
	/* Who asked has been answered; the worker's answer may yet come for this. */
	detach->done = NULL;
	detach->timer = sd_event_source_disable_unref(detach->timer);
	if (detach->asked)
		detach_free(detach);
}

static void finish_detaches(struct domain *d, unsigned number, bool gone, const struct error *error)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &d->detaches) {
		struct detach *detach = list_entry(pos, struct detach, link);

		if (detach->number == number)
			finish_detach(detach, gone, error);
	}
}

void domain_end_detaches(struct domain *d)
{
	struct list *pos, *tmp;
	struct error e = {0};

	(void)error_set(&e, ERROR_OPERATION_FAILED,
		"domain '%s' ended before the guest had released the interface", d->name);
	list_for_each_safe (pos, tmp, &d->detaches)
		finish_detach(list_entry(pos, struct detach, link), false, &e);
}

void domain_drop_detaches(struct domain *d)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &d->detaches)
		detach_free(list_entry(pos, struct detach, link));
}

static int on_detach_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	/* The guest takes its time. If it lets go later, the interface goes then. */
	finish_detach(userdata, false, NULL);
	return 0;
}

static void on_asked(void *userdata, int error, const char *text)
{
	struct detach *detach = userdata;
	struct error e = {0};

	detach->asked = true;
	if (error == 0 && detach->done)
		return;
	if (error < 0)
		describe(detach->domain, error, text, "detach", &e);
	finish_detach(detach, false, error < 0 ? &e : NULL);
}

static int detach_live(struct domain *d, unsigned number, struct definition **definition,
	domain_detached_fn done, void *userdata, struct error *error)
{
	struct proto_nic_id id = {number};
	struct detach *detach;
	int r;

	if (d->nics_plugging >> number & 1)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"net%u of domain '%s' is just being attached", number, d->name);
	detach = calloc(1, sizeof(*detach));
	if (!detach)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*detach =
		(struct detach){.domain = d, .number = number, .done = done, .userdata = userdata};
	list_add_tail(&d->detaches, &detach->link);
	r = change_definition(d, definition, &detach->change, error);
	if (r == 0) {
		r = sd_event_add_time_relative(d->manager->event, &detach->timer, CLOCK_MONOTONIC,
			DOMAIN_DETACH_USEC, 0, on_detach_timer, detach);
		if (r >= 0)
			r = worker_request(d->worker, PROTO_NIC_REMOVE, &id, sizeof(id), NULL, 0,
				DOMAIN_REQUEST_USEC, on_asked, detach);
		if (r < 0)
			(void)error_set(error, ERROR_RESOURCE_BUSY,
				"the worker of domain '%s' takes no requests: %s", d->name,
				strerror(-r));
	}
	if (r < 0) {
		undo_change(d, &detach->change);
		detach_free(detach);
		return r;
	}
	return 0;
}

/* The definition without the interface that the XML means. */
static int prepare_detach(struct domain *d, const struct device_xml *device,
	struct definition **ret, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL, *next = NULL;
	unsigned index;
	char *text;
	int r;

	if (definition_parse(d->definition, &config) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	r = domain_device_find(
		&config->vm, device->xml, strlen(device->xml), device->source, &index, &text);
	if (r < 0)
		return domain_device_error(r, text, error);
	r = domain_device_detach(d->definition->xml, DOMAIN_DEVICE_INTERFACE, index, &next);
	if (r < 0)
		return error_set_errno(error, r, "cannot change the definition of '%s'", d->name);
	return prepare_definition(next, ret, error);
}

static int detach_interface(struct domain *d, const char *xml, const char *source, unsigned flags,
	domain_detached_fn done, void *userdata, struct error *error)
{
	_cleanup_(definition_freep) struct definition *definition = NULL;
	struct device_xml device = {.xml = xml, .source = *source ? source : "device.xml"};
	struct config_change change = {0};
	bool from_live, from_config;
	unsigned index = 0;
	char *text = NULL;
	int r;

	r = domain_settle_flags(d, flags, &from_live, &from_config, error);
	if (r == 0 && from_live) {
		r = domain_device_find(
			&d->live->vm, xml, strlen(xml), device.source, &index, &text);
		r = domain_device_error(r, text, error);
	}
	if (r == 0 && from_config)
		r = prepare_detach(d, &device, &definition, error);
	if (r < 0)
		return r;
	if (from_live)
		return detach_live(
			d, d->live->nics[index].number, &definition, done, userdata, error);
	r = change_definition(d, &definition, &change, error);
	keep_change(&change);
	return r < 0 ? r : 1;
}

int domain_detach_device(struct domain *d, const char *xml, const char *source, unsigned flags,
	domain_detached_fn done, void *userdata, struct error *error)
{
	const struct domain_memory_wish device = {
		.xml = xml, .source = *source ? source : "device.xml"};
	int r = read_kind(&device, error);

	if (r == DOMAIN_DEVICE_MEMORY)
		return domain_detach_memory(d, &device, flags, done, userdata, error);
	return r < 0 ? r : detach_interface(d, xml, source, flags, done, userdata, error);
}
