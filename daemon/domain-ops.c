/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to a running domain: each goes to the worker with a deadline and answers through a callback.
 *
 * Tested by tests/unit/test-domain.c.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "daemon/reach.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

struct op {
	struct domain *domain; /* valid: pending requests are answered before a domain is freed */
	const char *what;      /* "suspend" */
	void (*worked)(struct domain *domain);
	domain_done_fn done;
	domain_fd_fn done_fd;
	void *userdata;
	int fd; /* console: our end */
};

static void op_finish(struct op *op, const struct error *error)
{
	if (op->done_fd)
		op->done_fd(op->userdata, error ? -EBADF : TAKE_FD(op->fd), error);
	else if (op->done)
		op->done(op->userdata, error);
	(void)safe_close(op->fd);
	free(op);
}

static void on_reply(void *userdata, int error, const char *text)
{
	struct op *op = userdata;
	struct error e = {0};

	if (error == 0) {
		if (op->worked)
			op->worked(op->domain);
		op_finish(op, NULL);
		return;
	}
	/* Is it only this that takes so long? */
	if (error == -ETIMEDOUT)
		(void)worker_probe(op->domain->worker);
	if (error == -ETIMEDOUT)
		(void)error_set(&e, ERROR_TIMEOUT, "the worker of domain '%s' does not answer",
			op->domain->name);
	else if (error == -ECONNRESET)
		(void)error_set(&e, ERROR_OPERATION_FAILED, "domain '%s' ended before it could %s",
			op->domain->name, op->what);
	else if (error == -EBUSY && op->done_fd)
		(void)error_set(&e, ERROR_OPERATION_FAILED,
			"Active console session exists for this domain");
	else if (error == -ENOTSUP)
		(void)error_set(&e, ERROR_NOT_SUPPORTED, "domain '%s' cannot %s%s%s",
			op->domain->name, op->what, *text ? ": " : "", text);
	else
		(void)error_set_errno(&e, error, "domain '%s' did not %s%s%s", op->domain->name,
			op->what, *text ? ": " : "", text);
	op_finish(op, &e);
}

static int check_running(const struct domain *d, struct error *error)
{
	if (d->phase != DOMAIN_ACTIVE)
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	if (d->degraded)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of domain '%s' does not answer", d->name);
	return 0;
}

/* Send the request; takes 'template' apart only on success. */
static int send_op(const struct op *template, enum proto_type type, const void *payload, size_t len,
	const int *fds, unsigned n_fds, uint64_t timeout_usec, struct error *error)
{
	struct domain *d = template->domain;
	struct op *op = malloc(sizeof(*op));
	int r;

	if (!op)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*op = *template;
	r = worker_request(d->worker, type, payload, len, fds, n_fds, timeout_usec, on_reply, op);
	if (r < 0) {
		free(op);
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of domain '%s' takes no requests: %s", d->name, strerror(-r));
	}
	return 0;
}

static int simple_op(struct domain *d, enum proto_type type, const char *what,
	void (*worked)(struct domain *), domain_done_fn done, void *userdata, struct error *error)
{
	struct op op = {
		.domain = d,
		.what = what,
		.worked = worked,
		.done = done,
		.userdata = userdata,
		.fd = -EBADF,
	};
	int r = check_running(d, error);

	if (r < 0)
		return r;
	return send_op(&op, type, NULL, 0, NULL, 0, DOMAIN_REQUEST_USEC, error);
}

int domain_request(struct domain *d, enum proto_type type, const char *what, const void *payload,
	size_t len, domain_done_fn done, void *userdata, struct error *error)
{
	struct op op = {
		.domain = d, .what = what, .done = done, .userdata = userdata, .fd = -EBADF};
	int r = check_running(d, error);

	return r < 0 ? r : send_op(&op, type, payload, len, NULL, 0, DOMAIN_REQUEST_USEC, error);
}

/* The worker also says STATE, before or after its answer: whichever comes first makes the event. */
static void suspended(struct domain *d)
{
	if (d->state != DOMAIN_STATE_RUNNING)
		return;
	domain_set_state(d, DOMAIN_STATE_PAUSED, DOMAIN_PAUSED_USER);
	domain_event(d, "Suspended", "Paused");
}

static void resumed(struct domain *d)
{
	if (d->state != DOMAIN_STATE_PAUSED)
		return;
	domain_set_state(d, DOMAIN_STATE_RUNNING, DOMAIN_RUNNING_UNPAUSED);
	domain_event(d, "Resumed", "Unpaused");
}

int domain_suspend(struct domain *d, domain_done_fn done, void *userdata, struct error *error)
{
	return simple_op(d, PROTO_PAUSE, "suspend", suspended, done, userdata, error);
}

int domain_resume(struct domain *d, domain_done_fn done, void *userdata, struct error *error)
{
	if (d->phase == DOMAIN_ACTIVE && d->state == DOMAIN_STATE_RUNNING)
		return error_set(error, ERROR_OPERATION_INVALID, "domain is already running");
	return simple_op(d, PROTO_RESUME, "resume", resumed, done, userdata, error);
}

int domain_reset(struct domain *d, domain_done_fn done, void *userdata, struct error *error)
{
	return simple_op(d, PROTO_RESET, "reset", NULL, done, userdata, error);
}

static void shutting_down(struct domain *d)
{
	/* libvirt goes on to say "running" until the guest obeys. */
	d->reboot_pending = false;
}

static void rebooting(struct domain *d)
{
	d->reboot_pending = true;
}

int domain_shutdown(struct domain *d, domain_done_fn done, void *userdata, struct error *error)
{
	return simple_op(d, PROTO_POWER_BUTTON, "shut down", shutting_down, done, userdata, error);
}

int domain_reboot(struct domain *d, domain_done_fn done, void *userdata, struct error *error)
{
	return simple_op(d, PROTO_POWER_BUTTON, "reboot", rebooting, done, userdata, error);
}

static void on_quit_answer(void *userdata, int error, const char *text)
{
	(void)userdata;
	(void)error;
	(void)text; /* gone() or the kill timer is what counts */
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct domain *d = userdata;
	struct error e = {0};

	(void)source;
	(void)usec;
	d->kill_timer = sd_event_source_disable_unref(d->kill_timer);
	d->destroying = false;
	(void)error_set(&e, ERROR_RESOURCE_BUSY,
		"the worker of domain '%s' did not end in time; destroy without --graceful",
		d->name);
	domain_finish_waits(&d->stop_waits, &e);
	return 0;
}

int domain_destroy(
	struct domain *d, unsigned flags, domain_done_fn done, void *userdata, struct error *error)
{
	bool asked;

	if (!domain_is_active(d))
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	if (domain_add_wait(&d->stop_waits, done, userdata) < 0)
		return error_set(error, ERROR_NO_MEMORY, "request");
	if (d->destroying && !(flags & DOMAIN_DESTROY_GRACEFUL) && d->kill_timer)
		return 0; /* under way already */
	d->destroying = true;
	d->reboot_pending = false;
	if (d->run->reach) {
		reach_cancel(d->run->reach);
		return 0;
	}
	asked = d->phase == DOMAIN_ACTIVE && !d->degraded && !d->stop_seen &&
		worker_request(d->worker, PROTO_QUIT, NULL, 0, NULL, 0, DOMAIN_QUIT_USEC,
			on_quit_answer, NULL) == 0;
	if (!asked && !(flags & DOMAIN_DESTROY_GRACEFUL)) {
		worker_kill(d->worker);
		return 0;
	}
	if (!(flags & DOMAIN_DESTROY_GRACEFUL)) {
		domain_kill_later(d, DOMAIN_QUIT_USEC);
		return 0;
	}
	d->kill_timer = sd_event_source_disable_unref(d->kill_timer);
	(void)sd_event_add_time_relative(d->manager->event, &d->kill_timer, CLOCK_MONOTONIC,
		DOMAIN_REQUEST_USEC, 0, on_grace_over, d);
	return 0;
}

/* "serial1" with prefix "serial" and max 4: 1. */
static int device_index(const char *device, const char *prefix, uint32_t n)
{
	size_t len = strlen(prefix);
	uint64_t index;

	if (strncmp(device, prefix, len) != 0 ||
		parse_u64(device + len, n ? n - 1 : 0, &index) < 0 || !n)
		return -ENODEV;
	return (int)index;
}

/* The console that 'device' names, as proto.h numbers it; flags 0. */
static int find_console(
	const struct domain *d, const char *device, struct proto_console *ret, struct error *error)
{
	const struct vm_config *vm = &d->live->vm;
	bool any = !*device;
	int i;

	if (any)
		device = vm->n_serials ? "serial0" : "console0";
	i = device_index(device, "serial", vm->n_serials);
	if (i >= 0) {
		*ret = (struct proto_console){PROTO_CONSOLE_SERIAL, (uint32_t)i, 0};
		return 0;
	}
	i = device_index(device, "console", vm->n_consoles);
	if (i >= 0 && vm->consoles[i].target == VM_CONSOLE_TARGET_VIRTIO) {
		*ret = (struct proto_console){PROTO_CONSOLE_VIRTIO, (uint32_t)i, 0};
		return 0;
	}
	/* The alias of the serial port. */
	if (i >= 0 && vm->n_serials) {
		*ret = (struct proto_console){PROTO_CONSOLE_SERIAL, 0, 0};
		return 0;
	}
	if (any)
		return error_set(error, ERROR_INTERNAL, "cannot find character device");
	return error_set(error, ERROR_INVALID_ARGUMENT, "domain '%s' has no character device '%s'",
		d->name, device);
}

static void console_attached(struct domain *d)
{
	manager_emit(d->manager, EVENT_CONSOLE, d, "", "attached");
}

int domain_open_console(struct domain *d, const char *device, unsigned flags, domain_fd_fn done,
	void *userdata, struct error *error)
{
	_cleanup_(closep) int theirs = -EBADF, ours = -EBADF;
	struct op op = {
		.domain = d,
		.what = "open its console",
		.worked = console_attached,
		.done_fd = done,
		.userdata = userdata,
	};
	struct proto_console console;
	int pair[2], r;

	r = check_running(d, error);
	if (r >= 0)
		r = find_console(d, device, &console, error);
	if (r < 0)
		return r;
	if (flags & DOMAIN_CONSOLE_FORCE)
		console.flags |= PROTO_CONSOLE_FORCE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return error_set_errno(error, errno, "cannot make a socket");
	ours = op.fd = pair[0];
	theirs = pair[1];
	r = send_op(&op, PROTO_CONSOLE_ATTACH, &console, sizeof(console), &theirs, 1,
		DOMAIN_REQUEST_USEC, error);
	if (r == 0)
		(void)TAKE_FD(ours);
	return r;
}

struct nic_change {
	struct list link; /* of domain->nic_changes, in the order in which they were asked */
	struct net_port_config config;
	unsigned nic;
	domain_done_fn done;
	void *userdata;
	struct domain *domain;
};

const struct net_port_config *domain_nic_asked(const struct domain *d, unsigned index)
{
	const struct net_port_config *asked = &d->live->vm.nics[index].port;
	struct list *pos;

	list_for_each (pos, &d->nic_changes) {
		const struct nic_change *change = list_entry(pos, struct nic_change, link);

		/* Of one that was detached and had that number, too, there may be some. */
		if (change->nic == d->live->nics[index].number &&
			memcmp(change->config.mac, asked->mac, NET_MAC_LEN) == 0)
			asked = &change->config;
	}
	return asked;
}

/* Of the configuration only what can change while it runs: the rest has been put together with the portgroup's and the network's.
 * change->nic is an index here. */
static int edit_nic(struct domain_config *config, const void *what)
{
	const struct nic_change *change = what;
	const struct net_port_config *port = &change->config;
	struct net_port_config *own;

	if (change->nic >= config->vm.n_nics)
		return -ENOENT;
	own = &config->vm.nics[change->nic].port;
	own->bandwidth = port->bandwidth;
	own->flags = (own->flags & ~NET_PORT_LINK_DOWN) | (port->flags & NET_PORT_LINK_DOWN);
	return 0;
}

static void on_nic_changed(void *userdata, const struct error *error)
{
	struct nic_change *change = userdata;
	struct domain *d = change->domain;
	int i = domain_nic_index(d, change->nic), r = 0;

	list_del(&change->link);
	if (!error && i >= 0) {
		d->live->vm.nics[i].port = change->config;
		change->nic = (unsigned)i;
		r = domain_edit_running(d, edit_nic, change);
	}
	if (r < 0)
		log_warning("domain '%s': a change of its vNIC is not in its XML: %s", d->name,
			strerror(-r));
	change->done(change->userdata, error);
	free(change);
}

int domain_set_nic(struct domain *d, unsigned nic, const struct net_port_config *config,
	domain_done_fn done, void *userdata, struct error *error)
{
	struct proto_nic message = {.nic = nic, .port = *config};
	struct nic_change *change;
	struct op op = {.domain = d, .what = "change its vNIC", .fd = -EBADF};
	int r = check_running(d, error);

	if (r < 0)
		return r;
	change = malloc(sizeof(*change));
	if (!change)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*change = (struct nic_change){
		.config = *config, .nic = nic, .done = done, .userdata = userdata, .domain = d};
	list_add_tail(&d->nic_changes, &change->link);
	op.done = on_nic_changed;
	op.userdata = change;
	r = send_op(
		&op, PROTO_NIC_SET, &message, sizeof(message), NULL, 0, DOMAIN_REQUEST_USEC, error);
	if (r < 0) {
		list_del(&change->link);
		free(change);
	}
	return r;
}

int domain_resize_console(struct domain *d, const char *device, uint32_t cols, uint32_t rows,
	domain_done_fn done, void *userdata, struct error *error)
{
	struct op op = {
		.domain = d,
		.what = "resize its console",
		.done = done,
		.userdata = userdata,
		.fd = -EBADF,
	};
	struct proto_console_size size;
	struct proto_console console;
	int r;

	if (cols < 1 || cols > UINT16_MAX || rows < 1 || rows > UINT16_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"a console of %u columns and %u rows; both are 1 to 65535", cols, rows);
	r = check_running(d, error);
	if (r >= 0)
		r = find_console(d, device, &console, error);
	if (r < 0)
		return r;
	size = (struct proto_console_size){
		console.kind, console.index, (uint16_t)cols, (uint16_t)rows};
	return send_op(&op, PROTO_CONSOLE_RESIZE, &size, sizeof(size), NULL, 0, DOMAIN_REQUEST_USEC,
		error);
}
