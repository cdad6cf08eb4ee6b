/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The D-Bus transport of the method table: see dbus.h. The domains' objects are dbus-domain.c's. */
#include "daemon/dbus.h"

#include <stdio.h>
#include <string.h>

#include "daemon/api-signature.h"
#include "daemon/api.h"
#include "daemon/auth.h"
#include "daemon/dbus-internal.h"
#include "daemon/job.h"
#include "daemon/network.h"
#include "daemon/dbus-json.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

/* What a call needs to be answered. Outlives a lost connection: it holds the message, not the struct dbus. */
struct transport {
	sd_bus_message *message;
	struct dbus_count *count;
	struct list link; /* of count->of_uids */
	uid_t uid;
};

static int read_args(struct api_call *call, struct json_object **ret_in, struct error *error)
{
	struct transport *t = call->transport;
	int r;

	r = dbus_json_read(t->message, call->method->in, call->method->names, ret_in);
	if (r < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s takes (%s): %s",
			call->method->name, call->method->in, strerror(-r));
	return 0;
}

static void fail(struct api_call *call, const struct error *error)
{
	struct transport *t = call->transport;
	char name[128];

	(void)snprintf(name, sizeof(name), VMMD_ERROR_PREFIX "%s", error_code_name(error->code));
	(void)sd_bus_reply_method_errorf(t->message, name, "%s", error->message);
}

static void reply(struct api_call *call, struct json_object *out, int fd)
{
	struct transport *t = call->transport;
	sd_bus_message *m = NULL;
	struct error e = {0};
	int r;

	r = sd_bus_message_new_method_return(t->message, &m);
	if (r >= 0)
		r = dbus_json_append(m, call->method->out, api_out(call->method).names, out, fd);
	if (r >= 0)
		r = sd_bus_send(NULL, m, NULL);
	sd_bus_message_unref(m);
	/* Its caller has gone: nobody misses it. */
	if (r == -ENOTCONN)
		return;
	if (r < 0) {
		(void)log_error_errno(r, "cannot answer %s: %m", call->method->name);
		(void)error_set(&e, ERROR_INTERNAL, "the answer cannot be sent");
		fail(call, &e);
	}
}

static void release(struct api_call *call)
{
	struct transport *t = call->transport;

	list_del(&t->link);
	t->count->calls--;
	dbus_count_unref(t->count);
	sd_bus_message_unref(t->message);
	free(t);
}

static const struct api_call_ops call_ops = {
	.read_args = read_args,
	.reply = reply,
	.fail = fail,
	.release = release,
};

struct asking {
	struct dbus *dbus;
	struct api_call *call;
	sd_bus_slot *slot;
	struct list link;
};

static void remember(struct dbus *d, const char *sender, uid_t uid)
{
	struct dbus_known *k = &d->known[d->n_known++ % DBUS_MAX_KNOWN];

	(void)snprintf(k->sender, sizeof(k->sender), "%s", sender);
	k->uid = uid;
}

static void free_asking(struct asking *a)
{
	list_del(&a->link);
	sd_bus_slot_unref(a->slot);
	free(a);
}

/* It is known who calls, or never will be. One user does not take the room of all others. */
static void dispatch(struct dbus *d, struct api_call *call)
{
	struct transport *t = call->transport;
	struct error e = {0};
	struct list *pos;
	unsigned n = 0;

	t->uid = call->peer.user.uid_known ? call->peer.user.uid : (uid_t)-1;
	list_for_each (pos, &t->count->of_uids)
		n += list_entry(pos, struct transport, link)->uid == t->uid;
	list_add_tail(&t->count->of_uids, &t->link);
	if (n < DBUS_MAX_UID_CALLS || auth_has(&d->auth, &call->peer, API_ROLE_ADMINISTRATOR)) {
		api_dispatch(call, &d->auth);
		return;
	}
	(void)error_set(&e, ERROR_RESOURCE_BUSY, "%u calls of this user are being worked on", n);
	api_call_fail(call, &e);
	(void)api_call_unref(call);
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct asking *a = userdata;
	struct api_call *call = a->call;
	struct dbus *d = a->dbus;
	uint32_t uid;

	(void)ret_error;
	free_asking(a);
	if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "u", &uid) > 0) {
		call->peer.user.uid_known = true;
		call->peer.user.uid = uid;
		remember(d, call->peer.sender, uid);
	}
	dispatch(d, call);
	return 0;
}

/* The caller's uid: from the socket, from memory (unique names are never used twice), or asked of the bus. */
static void identify(struct dbus *d, struct api_call *call)
{
	struct asking *a;

	if (!call->peer.sender[0]) {
		call->peer.user.uid_known = d->peer_uid_known;
		call->peer.user.uid = d->peer_uid;
		call->peer.role = d->peer_role;
		memcpy(call->peer.address, d->peer_address, sizeof(call->peer.address));
		dispatch(d, call);
		return;
	}
	for (size_t i = 0; i < DBUS_MAX_KNOWN; i++)
		if (streq(d->known[i].sender, call->peer.sender)) {
			call->peer.user.uid_known = true;
			call->peer.user.uid = d->known[i].uid;
			dispatch(d, call);
			return;
		}
	a = calloc(1, sizeof(*a));
	if (a) {
		a->dbus = d;
		a->call = call;
		list_add_tail(&d->asking, &a->link);
		if (sd_bus_call_method_async(d->bus, &a->slot, "org.freedesktop.DBus",
			    "/org/freedesktop/DBus", "org.freedesktop.DBus",
			    "GetConnectionUnixUser", on_uid, a, "s", call->peer.sender) >= 0)
			return;
		free_asking(a);
	}
	dispatch(d, call);
}

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	const struct api_method *method = api_find_method(sd_bus_message_get_member(m));
	struct dbus *d = userdata;
	/* Without a bus between it is what the caller says of himself. */
	const char *sender = sd_bus_is_bus_client(d->bus) > 0 ? sd_bus_message_get_sender(m) : NULL;
	struct transport *t;
	struct api_call *call;

	if (!method)
		return 0;
	if (d->count->calls >= API_MAX_CALLS)
		return sd_bus_error_set(ret_error, VMMD_ERROR_PREFIX "ResourceBusy",
			"resource busy: too many calls are being worked on");
	t = calloc(1, sizeof(*t));
	call = t ? api_call_new(method, d->manager, &call_ops, t) : NULL;
	if (!call) {
		free(t);
		return -ENOMEM;
	}
	list_init(&t->link);
	t->message = sd_bus_message_ref(m);
	t->count = dbus_count_ref(d->count);
	t->count->calls++;
	call->peer.transport = "dbus";
	if (sender)
		(void)str_copy(call->peer.sender, sizeof(call->peer.sender), sender);
	call->peer.interactive = sd_bus_message_get_allow_interactive_authorization(m) > 0;
	identify(d, call);
	return 1;
}

static int append_fields(sd_bus_message *m, const struct event *event)
{
	int r = sd_bus_message_open_container(m, 'a', "{ss}");

	for (unsigned i = 0; i < event->n_fields && r >= 0; i++)
		if (*event->fields[i].value)
			r = sd_bus_message_append(
				m, "{ss}", event->fields[i].name, event->fields[i].value);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The fields say whose job it is. */
static void emit_job_event(struct dbus *d, const struct event *event)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r = sd_bus_message_new_signal(
		d->bus, &m, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, "JobEvent");

	if (r >= 0)
		r = sd_bus_message_append(m, "ts", event->job->id, event->detail);
	if (r >= 0)
		r = append_fields(m, event);
	if (r >= 0)
		r = sd_bus_message_append(m, "t", event->sequence);
	if (r >= 0)
		(void)sd_bus_send(d->bus, m, NULL);
}

static void emit_network_event(struct dbus *d, const struct event *event)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	char uuid[UUID_STRING_LEN + 1];
	int r;

	uuid_format(event->network->uuid, uuid);
	r = sd_bus_message_new_signal(
		d->bus, &m, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, "NetworkEvent");
	if (r >= 0)
		r = sd_bus_message_append(m, "ssss", event_kind_name(event->kind),
			event->network->name, uuid, event->detail);
	if (r >= 0)
		r = append_fields(m, event);
	if (r >= 0)
		r = sd_bus_message_append(m, "t", event->sequence);
	if (r >= 0)
		(void)sd_bus_send(d->bus, m, NULL);
}

static void on_event(struct event_sink *sink, const struct event *event)
{
	struct dbus *d = container_of(sink, struct dbus, sink);
	char uuid[UUID_STRING_LEN + 1];

	if (event->job) {
		emit_job_event(d, event);
		return;
	}
	if (event->network) {
		emit_network_event(d, event);
		return;
	}
	uuid_format(event->domain->uuid, uuid);
	(void)sd_bus_emit_signal(d->bus, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, "DomainEvent", "ssssst",
		event_kind_name(event->kind), event->domain->name, uuid, event->detail,
		event->reason, event->sequence);
}

/* Rows of the vtable: start, a method each, the signals, end. */
static int make_vtable(struct dbus *d)
{
	const sd_bus_vtable start[] = {SD_BUS_VTABLE_START(0)};
	const sd_bus_vtable tail[] = {
		SD_BUS_SIGNAL_WITH_NAMES("DomainEvent", "ssssst",
			SD_BUS_PARAM(event) SD_BUS_PARAM(name) SD_BUS_PARAM(uuid)
				SD_BUS_PARAM(detail) SD_BUS_PARAM(reason) SD_BUS_PARAM(sequence),
			0),
		SD_BUS_SIGNAL_WITH_NAMES("NetworkEvent", "ssssa{ss}t",
			SD_BUS_PARAM(event) SD_BUS_PARAM(name) SD_BUS_PARAM(uuid)
				SD_BUS_PARAM(detail) SD_BUS_PARAM(fields) SD_BUS_PARAM(sequence),
			0),
		SD_BUS_SIGNAL_WITH_NAMES("JobEvent", "tsa{ss}t",
			SD_BUS_PARAM(job) SD_BUS_PARAM(detail) SD_BUS_PARAM(fields)
				SD_BUS_PARAM(sequence),
			0),
		SD_BUS_VTABLE_END,
	};
	sd_bus_vtable *v = calloc(n_api_methods + 5, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v[0] = start[0];
	for (size_t i = 0; i < n_api_methods; i++) {
		const struct api_method *row = &api_methods[i];
		const sd_bus_vtable one[] = {SD_BUS_METHOD_WITH_NAMES(row->name, row->in,
			row->names, row->out, , on_method, SD_BUS_VTABLE_UNPRIVILEGED)};

		v[1 + i] = one[0];
	}
	memcpy(&v[1 + n_api_methods], tail, sizeof(tail));
	d->vtable = v;
	return 0;
}

struct dbus_count *dbus_count_ref(struct dbus_count *count)
{
	count->n_ref++;
	return count;
}

void dbus_count_unref(struct dbus_count *count)
{
	if (count && --count->n_ref == 0)
		free(count);
}

static int add_objects(struct dbus *d)
{
	int r = make_vtable(d);

	if (r >= 0)
		r = sd_bus_add_object_vtable(
			d->bus, &d->slot, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, d->vtable, d);
	if (r >= 0)
		r = dbus_domain_add(d);
	return r;
}

static void know_peer(struct dbus *d)
{
	sd_bus_creds *creds = NULL;

	if (sd_bus_is_bus_client(d->bus) > 0)
		return;
	if (sd_bus_get_owner_creds(d->bus, SD_BUS_CREDS_EUID, &creds) >= 0 &&
		sd_bus_creds_get_euid(creds, &d->peer_uid) >= 0)
		d->peer_uid_known = true;
	sd_bus_creds_unref(creds);
}

int dbus_new(struct manager *manager, sd_bus *bus, bool system, struct dbus **ret_dbus)
{
	_cleanup_(dbus_freep) struct dbus *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	list_init(&d->asking);
	list_init(&d->sink.link);
	d->manager = manager;
	d->bus = sd_bus_ref(bus);
	d->auth = (struct auth){.bus = system ? bus : NULL, .own_uid = geteuid()};
	d->count = calloc(1, sizeof(*d->count));
	if (!d->count)
		return -ENOMEM;
	d->count->n_ref = 1;
	list_init(&d->count->of_uids);
	know_peer(d);
	r = add_objects(d);
	if (r < 0)
		return r;
	d->sink.event = on_event;
	d->sink.changed = dbus_domain_changed;
	list_add_tail(&manager->sinks, &d->sink.link);
	*ret_dbus = TAKE_PTR(d);
	return 0;
}

int dbus_new_direct(
	struct manager *manager, sd_bus *bus, const struct api_peer *peer, struct dbus **ret_dbus)
{
	int r = dbus_new(manager, bus, false, ret_dbus);

	if (r < 0)
		return r;
	(*ret_dbus)->peer_role = peer->role;
	(*ret_dbus)->peer_uid_known = peer->user.uid_known;
	(*ret_dbus)->peer_uid = peer->user.uid;
	memcpy((*ret_dbus)->peer_address, peer->address, sizeof((*ret_dbus)->peer_address));
	return 0;
}

struct dbus *dbus_free(struct dbus *d)
{
	struct list *pos, *tmp;

	if (!d)
		return NULL;
	list_del(&d->sink.link);
	list_for_each_safe (pos, tmp, &d->asking) {
		struct asking *a = list_entry(pos, struct asking, link);

		(void)api_call_unref(a->call);
		free_asking(a);
	}
	sd_bus_slot_unref(d->slot);
	sd_bus_slot_unref(d->domain_slot);
	sd_bus_slot_unref(d->enumerator_slot);
	sd_bus_unref(d->bus);
	dbus_count_unref(d->count);
	free(d->vtable);
	free(d);
	return NULL;
}
