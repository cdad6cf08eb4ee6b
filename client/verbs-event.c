/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl event and net-event: print what happens to domains and networks, line by line, as virsh does. Tested by
 * tests/unit/test-verbs.c. */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <time.h>

#include "client/remote.h"
#include "client/suggest.h"
#include "client/verb-option.h"
#include "client/watch.h"
#include "vmm-core/base/strutil.h"

const struct verb_option event_options[] = {
	{.name = "domain",
		.type = OPTION_STRING,
		.completion = COMPLETE_DOMAIN,
		.help = "filter by domain name, id or uuid"},
	{.name = "event",
		.type = OPTION_STRING,
		.completion = COMPLETE_EVENT,
		.help = "which event type to wait for"},
	FLAG("all", "wait for all events instead of just one type"),
	FLAG("loop", "loop until timeout or interrupt, rather than one-shot"),
	NUMBER("timeout", "timeout seconds"),
	FLAG("list", "list valid event types"),
	FLAG("timestamp", "show timestamp for each printed event"),
	{},
};

const struct verb_option net_event_options[] = {
	{.name = "network",
		.type = OPTION_STRING,
		.completion = COMPLETE_NETWORK,
		.help = "filter by network name or uuid"},
	{.name = "event",
		.type = OPTION_STRING,
		.completion = COMPLETE_NETWORK_EVENT,
		.help = "which event type to wait for"},
	FLAG("all", "wait for all events instead of just one type"),
	FLAG("loop", "loop until timeout or interrupt, rather than one-shot"),
	NUMBER("timeout", "timeout seconds"),
	FLAG("list", "list valid event types"),
	FLAG("timestamp", "show timestamp for each printed event"),
	{},
};

#define EVENT_MAX_TIMEOUT_SEC 31536000

/* virsh's names, so that its scripts find them; then our own. */
const char *const event_names[] = {"lifecycle", "reboot", "rtc-change", "watchdog", "io-error",
	"graphics", "io-error-reason", "control-error", "block-job", "disk-change", "tray-change",
	"pm-wakeup", "pm-suspend", "balloon-change", "pm-suspend-disk", "device-removed",
	"block-job-2", "tunable", "agent-lifecycle", "device-added", "migration-iteration",
	"job-completed", "device-removal-failed", "metadata-change", "block-threshold",
	"memory-failure", "memory-device-size-change", "console", NULL};
const char *const net_event_names[] = {
	"lifecycle", "metadata-change", "lease", "link", "failover", NULL};

/* Whose events a verb prints. */
struct event_class {
	enum watch_what what;
	const char *noun;   /* also the name of the option that filters, and JSON's key */
	const char *format; /* of a line's beginning: event, name */
	const char *const *names;
	/* Has reported what went wrong. */
	int (*get)(struct ctl *ctl, const char *name, struct json_object **ret);
};

struct printer {
	struct ctl *ctl;
	const struct event_class *class;
	const char *event;          /* NULL: all */
	struct json_object *filter; /* the one; NULL: all */
	bool loop, timestamp;
	unsigned n_received;
};

static void format_now(char *ret, size_t size)
{
	struct timespec now;
	char date[32];
	struct tm tm;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	(void)snprintf(ret, size, "%s.%03ld+0000", date, now.tv_nsec / 1000000);
}

static void print_json(const struct printer *p, const struct watch_event *e, const char *now)
{
	struct json_object *o = json_object_new_object();

	(void)json_object_object_add(o, "event", json_object_new_string(e->event));
	(void)json_object_object_add(o, p->class->noun, json_object_new_string(e->name));
	(void)json_object_object_add(o, "uuid", json_object_new_string(e->uuid));
	(void)json_object_object_add(o, "detail", json_object_new_string(e->detail));
	if (e->fields)
		(void)json_object_object_add(o, "fields", json_object_get(e->fields));
	else
		(void)json_object_object_add(o, "reason", json_object_new_string(e->reason));
	(void)json_object_object_add(o, "sequence", json_object_new_uint64(e->sequence));
	(void)json_object_object_add(o, "time", json_object_new_string(now));
	(void)printf("%s\n",
		json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(o);
}

static void print_line(const struct printer *p, const struct watch_event *e)
{
	ctl_print(p->ctl, p->class->format, e->event, e->name);
	if (*e->detail)
		ctl_print(p->ctl, ": %s%s%s", e->detail, *e->reason ? " " : "", e->reason);
	if (e->fields) {
		json_object_object_foreach(e->fields, name, value)
			ctl_print(p->ctl, " %s=%s", name, json_object_get_string(value));
	}
	ctl_print(p->ctl, "\n");
}

static bool on_event(const struct watch_event *e, void *opaque)
{
	struct printer *p = opaque;
	char now[64];

	if (p->event && !streq(p->event, e->event))
		return false;
	if (p->filter && !streq(json_string(p->filter, "uuid", ""), e->uuid))
		return false;
	format_now(now, sizeof(now));
	p->n_received++;
	if (p->ctl->json) {
		print_json(p, e, now);
	} else {
		if (p->timestamp)
			ctl_print(p->ctl, "%s: ", now);
		print_line(p, e);
	}
	(void)fflush(stdout);
	return !p->loop;
}

static int list_events(struct ctl *ctl, const char *const *names)
{
	struct json_object *o;

	if (ctl->json) {
		o = json_object_new_array();
		for (size_t i = 0; names[i]; i++)
			(void)json_object_array_add(o, json_object_new_string(names[i]));
		return ctl_json(ctl, o);
	}
	for (size_t i = 0; names[i]; i++)
		ctl_print(ctl, "%s\n", names[i]);
	return 0;
}

static int check_name(struct ctl *ctl, const char *const *names, const char *name)
{
	struct suggestion near = {.word = name};

	for (size_t i = 0; names[i]; i++) {
		if (streq(names[i], name))
			return 0;
		suggestion_try(&near, names[i]);
	}
	(void)ctl_error(ctl, "unknown event type %s", name);
	if (near.best)
		ctl_note(ctl, "hint: did you mean '%s'?", near.best);
	return -EINVAL;
}

static int wait_for_events(struct printer *p, uint64_t timeout_sec)
{
	_cleanup_(watch_freep) struct watch *watch = NULL;
	enum watch_end end;

	if (watch_new(p->ctl, p->class->what, on_event, p, &watch) < 0 ||
		watch_run(watch, timeout_sec, &end) < 0)
		return ctl_report(p->ctl);
	if (end == WATCH_LOST)
		return ctl_report(p->ctl);
	if (end == WATCH_INTERRUPTED)
		ctl_print(p->ctl, "event loop interrupted\n");
	if (end == WATCH_TIMED_OUT)
		ctl_print(p->ctl, "event loop timed out\n");
	ctl_print(p->ctl, "events received: %u\n", p->n_received);
	if (p->n_received > 0)
		return 0;
	return ctl_set_error(p->ctl, "Timeout", "no event came");
}

static int run(struct printer *p, const struct args *args)
{
	const char *name = args_string(args, p->class->noun);
	uint64_t timeout;
	int r;

	if (ctl_number_option(p->ctl, args, "timeout", EVENT_MAX_TIMEOUT_SEC, 0, &timeout) < 0)
		return -EINVAL;
	if (args_flag(args, "timeout") && timeout == 0)
		return ctl_error(p->ctl, "invalid timeout 0: at least one second");
	if (name && (r = p->class->get(p->ctl, name, &p->filter)) < 0)
		return r;
	return wait_for_events(p, timeout);
}

static int print_events(struct ctl *ctl, const struct args *args, const struct event_class *class)
{
	struct printer p = {.ctl = ctl,
		.class = class,
		.event = args_string(args, "event"),
		.loop = args_flag(args, "loop"),
		.timestamp = args_flag(args, "timestamp")};
	int r;

	if (ctl_exclusive(ctl, args, "all", "event") < 0 ||
		ctl_exclusive(ctl, args, "list", "all") < 0 ||
		ctl_exclusive(ctl, args, "list", "event") < 0)
		return -EINVAL;
	if (args_flag(args, "list"))
		return list_events(ctl, class->names);
	if (!args_flag(args, "all") && !p.event)
		return ctl_error(ctl, "one of --list, --all, or --event <type> is required");
	if (p.event && check_name(ctl, class->names, p.event) < 0)
		return -EINVAL;
	r = run(&p, args);
	json_putp(&p.filter);
	return r;
}

static int get_domain(struct ctl *ctl, const char *name, struct json_object **ret)
{
	int r = remote_get_domain(ctl, name, ret);

	return r < 0 ? ctl_report_domain(ctl, name) : 0;
}

static int get_network(struct ctl *ctl, const char *name, struct json_object **ret)
{
	int r = remote_call_one(ctl, "GetNetwork", ret, "s", name);

	return r < 0 ? ctl_report_network(ctl, name) : 0;
}

int verb_event(struct ctl *ctl, const struct args *args)
{
	static const struct event_class domains = {
		.what = WATCH_DOMAINS,
		.noun = "domain",
		.format = "event '%s' for domain '%s'",
		.names = event_names,
		.get = get_domain,
	};

	return print_events(ctl, args, &domains);
}

int verb_net_event(struct ctl *ctl, const struct args *args)
{
	static const struct event_class networks = {
		.what = WATCH_NETWORKS,
		.noun = "network",
		.format = "event '%s' for network %s",
		.names = net_event_names,
		.get = get_network,
	};

	return print_events(ctl, args, &networks);
}
