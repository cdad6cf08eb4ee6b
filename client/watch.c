/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events of vmmd on an sd-event loop: see watch.h. */
#include "client/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "client/remote-backend.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

struct watch {
	struct ctl *ctl;
	enum watch_what what;
	bool (*on_event)(const struct watch_event *event, void *opaque);
	void *opaque;
	sd_event *loop;
	sd_bus_slot *events, *disconnected, *owner;
	sigset_t old_mask;
	bool masked;
	enum watch_end end;
};

static int stop(struct watch *watch, enum watch_end end)
{
	watch->end = end;
	return sd_event_exit(watch->loop, 0);
}

static int on_domain_event(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct watch *watch = opaque;
	struct watch_event e = {0};
	int r;

	(void)error;
	if (sd_event_get_state(watch->loop) == SD_EVENT_FINISHED)
		return 0;
	r = sd_bus_message_read(m, "sssss", &e.event, &e.name, &e.uuid, &e.detail, &e.reason);
	if (r >= 0)
		r = sd_bus_message_read(m, "t", &e.sequence);
	if (r < 0)
		return 0; /* not the signal we know; a later vmmd may have grown one */
	if (watch->on_event(&e, watch->opaque))
		return stop(watch, WATCH_STOPPED);
	return 0;
}

static int read_fields(sd_bus_message *m, struct json_object **ret_fields)
{
	_cleanup_(json_putp) struct json_object *o = json_object_new_object();
	const char *name, *value;
	int r = sd_bus_message_enter_container(m, 'a', "{ss}");

	while (r >= 0 && (r = sd_bus_message_read(m, "{ss}", &name, &value)) > 0)
		(void)json_object_object_add(o, name, json_object_new_string(value));
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	if (r < 0)
		return r;
	*ret_fields = TAKE_PTR(o);
	return 0;
}

static int on_network_event(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(json_putp) struct json_object *fields = NULL;
	struct watch *watch = opaque;
	struct watch_event e = {.reason = ""};
	int r;

	(void)error;
	if (sd_event_get_state(watch->loop) == SD_EVENT_FINISHED)
		return 0;
	r = sd_bus_message_read(m, "ssss", &e.event, &e.name, &e.uuid, &e.detail);
	if (r >= 0)
		r = read_fields(m, &fields);
	if (r >= 0)
		r = sd_bus_message_read(m, "t", &e.sequence);
	if (r < 0)
		return 0;
	e.fields = fields;
	if (watch->on_event(&e, watch->opaque))
		return stop(watch, WATCH_STOPPED);
	return 0;
}

static int on_disconnected(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	(void)m;
	(void)error;
	return stop(opaque, WATCH_LOST);
}

static int on_owner_changed(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *name, *old_owner, *new_owner;

	(void)error;
	if (sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner) < 0 || *new_owner)
		return 0;
	return stop(opaque, WATCH_LOST);
}

/* What an event of JSON-RPC says beside its own members, as a network's event has it by D-Bus. */
static struct json_object *fields_of(struct json_object *params)
{
	static const char *const own[] = {
		"subscription", "sequence", "event", "network", "detail", "reason"};
	struct json_object *fields = json_object_new_object();

	json_object_object_foreach(params, key, v)
	{
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(own); i++)
			known |= streq(key, own[i]);
		if (!known)
			json_object_object_add(fields, key, json_object_get(v));
	}
	return fields;
}

/* Not an event: whoever follows them is to look at the state itself. */
static void tell_gap(const struct watch *watch, struct json_object *params)
{
	ctl_note(watch->ctl, "warning: the events %llu to %llu were lost",
		(unsigned long long)json_number(params, "from", 0),
		(unsigned long long)json_number(params, "to", 0));
}

/* True: the callback wants no more. */
static bool tell_event(struct watch *watch, struct json_object *message)
{
	const char *key = watch->what == WATCH_NETWORKS ? "network" : "domain";
	_cleanup_(json_putp) struct json_object *fields = NULL;
	struct json_object *params, *subject;
	struct watch_event e;

	if (!json_object_object_get_ex(message, "params", &params))
		return false;
	if (streq(json_string(message, "method", ""), "rpc.gap"))
		tell_gap(watch, params);
	/* Of the other kind (which may say the name of a domain among other things), or none; and of jobs only by JSON-RPC. */
	if (!json_object_object_get_ex(params, key, &subject) ||
		!json_object_is_type(subject, json_type_object) ||
		streq(json_string(params, "event", ""), "job"))
		return false;
	if (watch->what == WATCH_NETWORKS)
		fields = fields_of(params);
	e = (struct watch_event){
		.event = json_string(params, "event", ""),
		.name = json_string(subject, "name", ""),
		.uuid = json_string(subject, "uuid", ""),
		.detail = json_string(params, "detail", ""),
		.reason = json_string(params, "reason", ""),
		.fields = fields,
		.sequence = (uint64_t)json_number(params, "sequence", 0),
	};
	return watch->on_event(&e, watch->opaque);
}

static int take_rpc_events(struct watch *watch)
{
	for (;;) {
		_cleanup_(json_putp) struct json_object *message = NULL;
		int r = remote_rpc_take_event(watch->ctl, &message);

		if (r < 0)
			return stop(watch, WATCH_LOST);
		if (r == 0)
			return 0;
		if (tell_event(watch, message))
			return stop(watch, WATCH_STOPPED);
	}
}

static int on_rpc_input(sd_event_source *source, int fd, uint32_t revents, void *opaque)
{
	(void)source;
	(void)fd;
	(void)revents;
	return take_rpc_events(opaque);
}

/* What came before the loop runs, with answers to calls. */
static int on_rpc_kept(sd_event_source *source, void *opaque)
{
	(void)source;
	return take_rpc_events(opaque);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *opaque)
{
	(void)source;
	(void)info;
	return stop(opaque, WATCH_INTERRUPTED);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *opaque)
{
	(void)source;
	(void)usec;
	return stop(opaque, WATCH_TIMED_OUT);
}

static int subscribe_rpc(struct watch *watch)
{
	int r = remote_rpc_subscribe(watch->ctl);

	if (r < 0)
		return r;
	r = sd_event_add_io(
		watch->loop, NULL, remote_rpc_fd(watch->ctl), EPOLLIN, on_rpc_input, watch);
	return r < 0 ? r : sd_event_add_defer(watch->loop, NULL, on_rpc_kept, watch);
}

static int subscribe_bus(struct watch *watch)
{
	static const struct {
		const char *member;
		sd_bus_message_handler_t handler;
	} signals[] = {
		[WATCH_DOMAINS] = {"DomainEvent", on_domain_event},
		[WATCH_NETWORKS] = {"NetworkEvent", on_network_event},
	};
	struct ctl *ctl = watch->ctl;
	int r;

	r = sd_bus_match_signal(ctl->bus, &watch->events, ctl->peer ? NULL : VMMD_BUS_NAME,
		VMMD_BUS_PATH, VMMD_BUS_INTERFACE, signals[watch->what].member,
		signals[watch->what].handler, watch);
	if (r < 0)
		return r;
	r = sd_bus_match_signal(ctl->bus, &watch->disconnected, NULL, "/org/freedesktop/DBus/Local",
		"org.freedesktop.DBus.Local", "Disconnected", on_disconnected, watch);
	if (r < 0 || ctl->peer)
		return r;
	return sd_bus_add_match(ctl->bus, &watch->owner,
		"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
		"member='NameOwnerChanged',arg0='" VMMD_BUS_NAME "'",
		on_owner_changed, watch);
}

static int watch_init(struct watch *watch)
{
	sigset_t mask;
	int r;

	r = sd_event_new(&watch->loop);
	if (r < 0)
		return r;
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &mask, &watch->old_mask) < 0)
		return -errno;
	watch->masked = true;
	r = sd_event_add_signal(watch->loop, NULL, SIGINT, on_signal, watch);
	if (r < 0)
		return r;
	r = sd_event_add_signal(watch->loop, NULL, SIGTERM, on_signal, watch);
	if (r < 0)
		return r;
	if (watch->ctl->rpc)
		return subscribe_rpc(watch);
	r = subscribe_bus(watch);
	if (r < 0)
		return r;
	return sd_bus_attach_event(watch->ctl->bus, watch->loop, SD_EVENT_PRIORITY_NORMAL);
}

int watch_new(struct ctl *ctl, enum watch_what what,
	bool (*on_event)(const struct watch_event *event, void *opaque), void *opaque,
	struct watch **ret_watch)
{
	_cleanup_(watch_freep) struct watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return ctl_set_error(ctl, "NoMemory", "out of memory");
	watch->ctl = ctl;
	watch->what = what;
	watch->on_event = on_event;
	watch->opaque = opaque;
	r = watch_init(watch);
	if (r == -EREMOTEIO)
		return r; /* vmmd has said why */
	if (r < 0)
		return ctl_set_error(ctl, "Internal", "internal error: cannot wait for events: %s",
			strerror(-r));
	*ret_watch = TAKE_PTR(watch);
	return 0;
}

struct watch *watch_free(struct watch *watch)
{
	if (!watch)
		return NULL;
	(void)sd_bus_slot_unref(watch->events);
	(void)sd_bus_slot_unref(watch->disconnected);
	(void)sd_bus_slot_unref(watch->owner);
	if (watch->ctl->bus)
		(void)sd_bus_detach_event(watch->ctl->bus);
	(void)sd_event_unref(watch->loop);
	if (watch->masked)
		(void)sigprocmask(SIG_SETMASK, &watch->old_mask, NULL);
	free(watch);
	return NULL;
}

int watch_run(struct watch *watch, uint64_t timeout_sec, enum watch_end *ret_end)
{
	int r = 0;

	if (timeout_sec > 0)
		r = sd_event_add_time_relative(watch->loop, NULL, CLOCK_MONOTONIC,
			timeout_sec * 1000 * 1000, 1000, on_timeout, watch);
	if (r >= 0)
		r = sd_event_loop(watch->loop);
	if (r < 0)
		return ctl_set_error(watch->ctl, "Internal",
			"internal error: cannot wait for events: %s", strerror(-r));
	if (watch->end == WATCH_LOST)
		(void)ctl_set_error(watch->ctl, "Disconnected",
			"internal error: the connection to vmmd was lost");
	*ret_end = watch->end;
	return 0;
}
