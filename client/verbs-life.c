/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verbs that change what a domain does: start, stop, pause, autostart, and its console.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/console.h"
#include "client/progress.h"
#include "client/remote.h"
#include "client/verb-option.h"
#include "client/watch.h"
#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

const struct verb_option autostart_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("disable", "disable autostarting"),
	{},
};

const struct verb_option console_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	STRING("devname", "character device name"),
	FLAG("force", "force console connection (disconnect already connected sessions)"),
	FLAG("safe", "only connect if safe console handling is supported (it always is)"),
	NUMBER("timeout",
		"when standard input has ended, leave after that many seconds of silence"),
	{},
};

const struct verb_option create_options[] = {
	{.name = "file",
		.type = OPTION_DATA,
		.completion = COMPLETE_FILE,
		.required = true,
		.help = "file containing an XML domain description; - for standard input"},
	FLAG("console", "attach to console after creation"),
	FLAG("paused", "leave the guest paused after creation"),
	FLAG("validate", "refuse elements that vmmd does not know"),
	{},
};

const struct verb_option destroy_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	FLAG("graceful", "terminate gracefully"),
	{},
};

const struct verb_option mode_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	STRING("mode", "shutdown mode: acpi"),
	{},
};

const struct verb_option shutdown_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	STRING("mode", "shutdown mode: acpi"),
	FLAG("wait", "return when the domain is shut off"),
	NUMBER("timeout", "with --wait: fail after that many seconds"),
	{},
};

const struct verb_option start_options[] = {
	{.name = "domain",
		.type = OPTION_DATA,
		.completion = COMPLETE_INACTIVE_DOMAIN,
		.required = true,
		.help = "name of the inactive domain"},
	FLAG("console", "attach to console after creation"),
	FLAG("paused", "leave the guest paused after creation"),
	FLAG("force-boot", "force fresh boot by discarding any managed save"),
	FLAG("wait", "return when the domain is running"),
	NUMBER("timeout", "with --wait: fail after that many seconds"),
	{},
};

const struct verb_option undefine_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("managed-save", "remove domain managed state file"),
	FLAG("snapshots-metadata", "remove all domain snapshot metadata"),
	FLAG("checkpoints-metadata", "remove all domain checkpoint metadata"),
	FLAG("nvram", "remove nvram file"),
	FLAG("keep-nvram", "keep nvram file"),
	{},
};

#define MAX_TIMEOUT_SEC 31536000

#define START_PAUSED   2U
#define CREATE_STRICT  1U
#define CREATE_PAUSED  2U
#define CONSOLE_FORCE  1U
#define DESTROY_GENTLY 1U

/* Verbs that are one call and one sentence. */
static const struct simple {
	const char *verb, *method;
	const char *flag;   /* an option that is bit 0 of the flags argument; NULL: see has_flags */
	bool has_flags;     /* the method takes flags */
	const char *action; /* for --json */
	const char *sentence; /* after "Domain 'x' " */
	const char *failure;  /* before " domain 'x'" */
} simples[] = {
	{"destroy", "DestroyDomain", "graceful", true, "destroyed", "destroyed", "destroy"},
	{"reboot", "RebootDomain", NULL, false, "reboot", "is being rebooted", "reboot"},
	{"reset", "ResetDomain", NULL, false, "reset", "was reset", "reset"},
	{"resume", "ResumeDomain", NULL, false, "resumed", "resumed", "resume"},
	{"suspend", "SuspendDomain", NULL, false, "suspended", "suspended", "suspend"},
	{"undefine", "UndefineDomain", NULL, true, "undefined", "has been undefined", "undefine"},
};

static int check_mode(struct ctl *ctl, const char *mode)
{
	if (!mode || streq(mode, "acpi"))
		return 0;
	if (streq(mode, "agent") || streq(mode, "initctl") || streq(mode, "signal") ||
		streq(mode, "paravirt"))
		return ctl_error(ctl,
			"Operation not supported: shutdown mode '%s'; vmmd knows 'acpi'", mode);
	return ctl_error(ctl, "Unknown mode %s value, expecting 'acpi'", mode);
}

int verb_simple(struct ctl *ctl, const struct args *args)
{
	const struct simple *s;
	uint32_t flags = 0;
	const char *name;
	int r;

	FOREACH_ELEMENT (s, simples)
		if (streq(s->verb, args->verb->name))
			break;
	assert(s < simples + ARRAY_SIZE(simples));
	r = ctl_domain_option(ctl, args, &name);
	if (r >= 0 && streq(s->verb, "reboot"))
		r = check_mode(ctl, args_string(args, "mode"));
	if (r < 0)
		return r;
	if (s->flag && args_flag(args, s->flag))
		flags |= DESTROY_GENTLY;
	if (s->has_flags)
		r = remote_call(ctl, s->method, CTL_CALL_TIMEOUT_USEC, NULL, "su", name, flags);
	else
		r = remote_call(ctl, s->method, CTL_CALL_TIMEOUT_USEC, NULL, "s", name);
	if (r < 0)
		return ctl_fail_domain(ctl, name, "Failed to %s domain '%s'", s->failure, name);
	return ctl_changed(ctl, name, s->action, "Domain '%s' %s\n", name, s->sentence);
}

int verb_autostart(struct ctl *ctl, const struct args *args)
{
	bool on = !args_flag(args, "disable");
	const char *name;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	r = remote_call(ctl, "SetAutostart", CTL_CALL_TIMEOUT_USEC, NULL, "sb", name, on);
	if (r < 0)
		return ctl_fail_domain(ctl, name,
			on ? "Failed to mark domain '%s' as autostarted"
			   : "Failed to unmark domain '%s' as autostarted",
			name);
	return ctl_changed(ctl, name, on ? "autostart" : "no-autostart",
		on ? "Domain '%s' marked as autostarted\n"
		   : "Domain '%s' unmarked as autostarted\n",
		name);
}

static void print_escape(FILE *out, unsigned char escape)
{
	if (escape < 0x20)
		(void)fprintf(
			out, "Escape character is ^%c (Ctrl + %c)\n", escape + '@', escape + '@');
	else
		(void)fprintf(out, "Escape character is %c\n", escape);
}

struct session {
	struct ctl *ctl;
	const char *name, *device;
};

static void on_resized(void *opaque, unsigned cols, unsigned rows)
{
	const struct session *s = opaque;

	remote_resize_console(s->ctl, s->name, s->device, cols, rows);
}

static int run_session(struct session *s, int fd, unsigned timeout_sec)
{
	struct ctl *ctl = s->ctl;
	struct console_options options = {.in_fd = STDIN_FILENO,
		.out_fd = STDOUT_FILENO,
		.escape = ctl->escape,
		.quiet_timeout_sec = timeout_sec,
		.resized = on_resized,
		.opaque = s,
		.pump = remote_pump(ctl)};
	bool terminal = isatty(STDIN_FILENO), to_terminal = isatty(STDOUT_FILENO);
	FILE *out = to_terminal ? stdout : stderr;
	enum console_end end;
	int r;

	if (!ctl->quiet) {
		(void)fprintf(out, "Connected to domain '%s'\n", s->name);
		if (terminal)
			print_escape(out, ctl->escape);
	}
	(void)fflush(NULL);
	ctl->bare_output = !to_terminal;
	r = console_run(fd, &options, &end);
	if (r < 0)
		return ctl_error(ctl, "the console failed: %s", strerror(-r));
	return 0;
}

static int open_and_run(
	struct ctl *ctl, const char *name, const char *device, bool force, unsigned timeout_sec)
{
	struct session s = {ctl, name, device};
	int fd = -EBADF, r;

	if (remote_open_console(ctl, name, device, force ? CONSOLE_FORCE : 0, &fd) < 0)
		return ctl_report_domain(ctl, name);
	r = run_session(&s, fd, timeout_sec);
	if (remote_close(ctl, fd) < 0 && r == 0)
		r = ctl_report(ctl);
	return r;
}

int verb_console(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	const char *name, *device = args_string(args, "devname");
	uint64_t timeout;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	r = ctl_number_option(ctl, args, "timeout", MAX_TIMEOUT_SEC, 0, &timeout);
	if (r < 0)
		return r;
	if (ctl->json)
		return ctl_error(ctl, "a console has no JSON form");
	if (remote_get_domain(ctl, name, &d) < 0)
		return ctl_report_domain(ctl, name);
	if (streq(json_string(d, "state", ""), "shut off"))
		return ctl_error(ctl, "The domain is not running");
	return open_and_run(ctl, json_string(d, "name", name), device ?: "",
		args_flag(args, "force"), (unsigned)timeout);
}

/* --wait of start and shutdown. */
struct waiter {
	const char *uuid;
	const char *wanted; /* the lifecycle event that ends it */
	bool crashed;
};

static bool on_event(const struct watch_event *e, void *opaque)
{
	struct waiter *w = opaque;

	if (!streq(e->event, "lifecycle") || !streq(e->uuid, w->uuid))
		return false;
	if (streq(e->detail, "Crashed"))
		w->crashed = true;
	return w->crashed || streq(e->detail, w->wanted) || streq(e->detail, "Stopped");
}

static int wait_for(struct ctl *ctl, struct watch *watch, const char *name, uint64_t timeout_sec,
	const char *what)
{
	enum watch_end end;

	if (watch_run(watch, timeout_sec, &end) < 0 || end == WATCH_LOST)
		return ctl_fail(ctl, "Failed to wait for domain '%s' to %s", name, what);
	if (end == WATCH_TIMED_OUT) {
		(void)ctl_set_error(ctl, "Timeout",
			"Timed out during operation: domain '%s' did not %s within %llu s", name,
			what, (unsigned long long)timeout_sec);
		return ctl_report(ctl);
	}
	if (end == WATCH_INTERRUPTED)
		return ctl_error(ctl, "interrupted");
	return 0;
}

static int wait_options(struct ctl *ctl, const struct args *args, uint64_t *ret_timeout)
{
	if (args_flag(args, "timeout") && !args_flag(args, "wait"))
		return ctl_error(ctl, "Option --wait is required by option --timeout");
	return ctl_number_option(ctl, args, "timeout", MAX_TIMEOUT_SEC, 0, ret_timeout);
}

static int shutdown_and_wait(struct ctl *ctl, const char *name, uint64_t timeout_sec)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	_cleanup_(watch_freep) struct watch *watch = NULL;
	struct waiter w = {.wanted = "Stopped"};
	int r;

	if (remote_get_domain(ctl, name, &d) < 0)
		return ctl_report_domain(ctl, name);
	w.uuid = json_string(d, "uuid", "");
	if (watch_new(ctl, WATCH_DOMAINS, on_event, &w, &watch) < 0)
		return ctl_fail(ctl, "Failed to shutdown domain '%s'", name);
	r = remote_call(ctl, "ShutdownDomain", CTL_CALL_TIMEOUT_USEC, NULL, "s", name);
	if (r < 0)
		return ctl_fail_domain(ctl, name, "Failed to shutdown domain '%s'", name);
	ctl_extra(ctl, "Domain '%s' is being shutdown\n", name);
	(void)fflush(stdout);
	r = wait_for(ctl, watch, name, timeout_sec, "shut off");
	if (r < 0)
		return r;
	if (w.crashed)
		return ctl_error(ctl, "domain '%s' crashed while shutting down", name);
	return ctl_changed(ctl, name, "shut off", "Domain '%s' is shut off\n", name);
}

int verb_shutdown(struct ctl *ctl, const struct args *args)
{
	const char *name;
	uint64_t timeout;

	if (ctl_domain_option(ctl, args, &name) < 0 || wait_options(ctl, args, &timeout) < 0 ||
		check_mode(ctl, args_string(args, "mode")) < 0)
		return -EINVAL;
	if (args_flag(args, "wait"))
		return shutdown_and_wait(ctl, name, timeout);
	if (remote_call(ctl, "ShutdownDomain", CTL_CALL_TIMEOUT_USEC, NULL, "s", name) < 0)
		return ctl_fail_domain(ctl, name, "Failed to shutdown domain '%s'", name);
	return ctl_changed(ctl, name, "shutdown", "Domain '%s' is being shutdown\n", name);
}

static int wait_running(struct ctl *ctl, struct watch *watch, struct waiter *w, const char *name,
	uint64_t timeout_sec)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	int r;

	if (remote_get_domain(ctl, w->uuid, &d) < 0)
		return ctl_report_domain(ctl, name);
	if (streq(json_string(d, "state", ""), "running"))
		return 0;
	r = wait_for(ctl, watch, name, timeout_sec, "start");
	if (r < 0)
		return r;
	json_putp(&d);
	if (remote_get_domain(ctl, w->uuid, &d) < 0)
		return ctl_report_domain(ctl, name);
	if (!streq(json_string(d, "state", ""), "running"))
		return ctl_error(ctl, "domain '%s' is %s (%s)", name,
			json_string(d, "state", "no state"), json_string(d, "reason", "unknown"));
	return 0;
}

static int do_start(struct ctl *ctl, const struct args *args, const char *name, const char *uuid,
	uint64_t timeout_sec)
{
	_cleanup_(watch_freep) struct watch *watch = NULL;
	struct waiter w = {.uuid = uuid, .wanted = "Started"};
	struct progress progress;
	int r;

	if (args_flag(args, "wait") && watch_new(ctl, WATCH_DOMAINS, on_event, &w, &watch) < 0)
		return ctl_fail(ctl, "Failed to start domain '%s'", name);
	progress_start(ctl, uuid, &progress);
	r = remote_call(ctl, "StartDomain", CTL_START_TIMEOUT_USEC, NULL, "su", uuid,
		args_flag(args, "paused") ? START_PAUSED : 0);
	progress_stop(&progress);
	if (r < 0)
		return ctl_fail_domain(ctl, name, "Failed to start domain '%s'", name);
	return watch ? wait_running(ctl, watch, &w, name, timeout_sec) : 0;
}

int verb_start(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	const char *name;
	uint64_t timeout;
	int r;

	if (ctl_domain_option(ctl, args, &name) < 0 || wait_options(ctl, args, &timeout) < 0 ||
		ctl_exclusive(ctl, args, "wait", "paused") < 0)
		return -EINVAL;
	if (args_flag(args, "console") && ctl->json)
		return ctl_error(ctl, "a console has no JSON form");
	if (remote_get_domain(ctl, name, &d) < 0)
		return ctl_report_domain(ctl, name);
	if (json_number(d, "id", -1) >= 0)
		return ctl_error(ctl, "Domain is already active");
	name = json_string(d, "name", name);
	r = do_start(ctl, args, name, json_string(d, "uuid", name), timeout);
	if (r >= 0)
		r = ctl_changed(ctl, name, "started", "Domain '%s' started\n", name);
	if (r >= 0 && args_flag(args, "console"))
		r = open_and_run(ctl, name, "", false, 0);
	return r;
}

int verb_create(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *reply = NULL;
	_cleanup_(freep) char *xml = NULL;
	const char *file = args_string(args, "file"), *name;
	uint32_t flags = 0;
	int r;

	if (args_flag(args, "console") && ctl->json)
		return ctl_error(ctl, "a console has no JSON form");
	if (args_flag(args, "validate"))
		flags |= CREATE_STRICT;
	if (args_flag(args, "paused"))
		flags |= CREATE_PAUSED;
	r = xml_file_read(ctl, file, &xml);
	if (r < 0)
		return r;
	r = remote_call(ctl, "CreateDomain", CTL_START_TIMEOUT_USEC, &reply, "ssu", xml,
		xml_file_source(file), flags);
	if (r < 0)
		return ctl_fail(ctl, "Failed to create domain from %s", file);
	name = json_object_get_string(json_object_array_get_idx(reply, 0)) ?: "";
	report_notes(ctl, json_object_array_get_idx(reply, 1), file);
	r = ctl_changed(ctl, name, "created", "Domain '%s' created from %s\n", name, file);
	if (r >= 0 && args_flag(args, "console"))
		r = open_and_run(ctl, name, "", false, 0);
	return r;
}
