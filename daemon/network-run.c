/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network's run: its worker is started, heard, started again when it dies, and ended. The picture is in network.h.
 *
 * Tested by tests/unit/test-network.c and tests/unit/test-network-life.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/domain-internal.h"
#include "daemon/gateway.h"
#include "daemon/jail.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

/* Rings of all ports, and the worker itself. */
#define NETWORK_MEMORY (MIB(64) + NET_MAX_PORTS * (uint64_t)PROTO_RING_FILE)

static int spawn(struct network *n, int dir_fd, struct error *error)
{
	struct manager *m = n->manager;
	_cleanup_(closep) int exe_fd = worker_open_program(m->worker_path), log_fd = -EBADF;
	_cleanup_(closep) int listen_fd = exe_fd < 0 ? -EBADF : worker_listen(dir_fd);
	struct cgroup_limits limits = {.memory_bytes = NETWORK_MEMORY, .pids = 16};
	char name[NET_NAME_MAX + 8], uuid[UUID_STRING_LEN + 1];
	struct jail_plan jail;
	struct worker_spec spec = {
		.name = name,
		.uuid = n->uuid,
		.exe_fd = exe_fd,
		.listen_fd = listen_fd,
		.jail = m->options.no_jail ? NULL : &jail,
		.spawner = m->options.spawner,
	};
	int r;

	(void)snprintf(name, sizeof(name), "net:%s", n->name);
	if (exe_fd < 0)
		return error_set_errno(
			error, exe_fd, "cannot open the worker '%s'", m->worker_path);
	if (listen_fd < 0)
		return error_set_errno(error, listen_fd,
			"cannot make the control socket of network '%s'", n->name);
	r = manager_make_jail(m, exe_fd, n->slot,
		&(struct jail_env){.n_ports = NET_MAX_PORTS, .memory_bytes = NETWORK_MEMORY}, &jail,
		error);
	if (r < 0)
		return r;
	r = worker_log_open(m->event, m->store->log_fd, name, dir_fd, &n->log, &log_fd);
	if (r < 0)
		(void)log_warning_errno(r, "network '%s' has no log: %m", n->name);
	spec.log_fd = log_fd;
	uuid_format(n->uuid, uuid);
	if (spec.jail && m->cgroup_root &&
		cgroup_new(m->cgroup_root, uuid, &limits, &jail, &n->cgroup) < 0)
		log_warning("network '%s' has no control group", n->name);
	r = worker_spawn(m->event, &spec, &network_worker_ops, n, &n->worker, error);
	if (r == 0)
		cgroup_started(n->cgroup, 0, worker_pid(n->worker));
	return r;
}

static int start_worker(struct network *n, int dir_fd, struct error *error)
{
	int r = manager_take_slot(n->manager, &n->slot);

	if (r < 0)
		return error_set_errno(error, r, "cannot start the worker of '%s'", n->name);
	return spawn(n, dir_fd, error);
}

static int begin_run(struct network *n, struct error *error)
{
	_cleanup_(closep) int dir_fd = -EBADF;
	int r;

	n->destroying = false;
	n->start_error = (struct error){0};
	r = store_open_runtime(&n->manager->store->networks, n->uuid, true, &dir_fd);
	if (r < 0)
		return error_set_errno(
			error, r, "cannot make the runtime folder of network '%s'", n->name);
	/* The gateway first: it makes the tap. */
	if (!n->gateway && network_wants_gateway(n->config)) {
		r = network_start_gateway(n, dir_fd, error);
	} else {
		if (n->gateway)
			n->tap_fd = gateway_tap_fd(n->gateway);
		r = start_worker(n, dir_fd, error);
	}
	if (r < 0)
		return r;
	n->phase = NETWORK_STARTING;
	return 0;
}

static void end_worker(struct network *n)
{
	n->kill_timer = sd_event_source_disable_unref(n->kill_timer);
	network_uplinks_end(n);
	network_team_end(n, false);
	if (n->worker)
		manager_rest_slot(n->manager, n->slot);
	n->worker = worker_free(n->worker);
	n->log = worker_log_free(n->log);
	n->stats = stats_view_free(n->stats);
	n->cgroup = cgroup_free(n->cgroup, true);
	n->tap_fd = safe_close(n->tap_fd);
	n->phase = NETWORK_IDLE;
}

void network_end_run(struct network *n)
{
	end_worker(n);
	network_give_back_nics(n);
	network_team_end(n, true);
	n->gateway = gateway_free(n->gateway);
	(void)store_remove_runtime(&n->manager->store->networks, n->uuid);
}

/* What runs is no more: the definition is what counts again. */
static void reload_definition(struct network *n)
{
	_cleanup_(freep) char *text = NULL;
	struct network_config *config;

	if (!n->xml ||
		network_xml_parse(n->xml, strlen(n->xml), n->name, 0, &config, NULL, &text) < 0)
		return;
	(void)network_config_free(n->config);
	n->config = config;
}

int network_start(struct network *n, domain_done_fn done, void *userdata, struct error *error)
{
	int r;

	if (network_is_active(n))
		return error_set(error, ERROR_OPERATION_INVALID, "network is already active");
	n->n_restarts = 0;
	r = domain_add_wait(&n->start_waits, done, userdata);
	if (r < 0)
		return error_set(error, ERROR_NO_MEMORY, "network");
	r = begin_run(n, error);
	if (r == 0)
		return 0;
	journal_network(JOURNAL_NETWORK_START_FAILED, n, "network '%s' does not start: %s", n->name,
		error->message);
	domain_drop_waits(&n->start_waits);
	network_end_run(n);
	reload_definition(n); /* it was to run with another configuration (network_create) */
	return r;
}

static int on_kill_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct network *n = userdata;

	(void)source;
	(void)usec;
	worker_kill(n->worker);
	return 0;
}

void network_kill_later(struct network *n, uint64_t usec)
{
	n->kill_timer = sd_event_source_disable_unref(n->kill_timer);
	if (sd_event_add_time_relative(n->manager->event, &n->kill_timer, CLOCK_MONOTONIC, usec, 0,
		    on_kill_timer, n) < 0)
		worker_kill(n->worker);
}

/* Nothing runs any more, and nothing will: tell those who wait. */
static void end_of_run(struct network *n, bool was_active, const struct error *error)
{
	network_end_run(n);
	network_unlink_all(n);
	reload_definition(n);
	if (was_active || n->n_restarts) {
		network_event(n, "Stopped");
		journal_network(JOURNAL_NETWORK_STOPPED, n, "network '%s' stopped", n->name);
	}
	domain_finish_waits(&n->start_waits, error);
	domain_finish_waits(&n->stop_waits, NULL);
	if (!network_is_persistent(n) && !network_is_active(n))
		(void)network_free(n);
}

int network_destroy(struct network *n, domain_done_fn done, void *userdata, struct error *error)
{
	struct error e = {0};

	if (!network_is_active(n))
		return error_set(error, ERROR_OPERATION_INVALID, "network is not active");
	if (domain_add_wait(&n->stop_waits, done, userdata) < 0)
		return error_set(error, ERROR_NO_MEMORY, "network");
	n->destroying = true;
	network_unlink_all(n);
	if (!n->worker) {
		/* It waits for its gateway. */
		(void)error_set(&e, ERROR_OPERATION_FAILED, "network '%s' was destroyed", n->name);
		end_of_run(n, false, &e);
		return 0;
	}
	if (worker_request(n->worker, PROTO_QUIT, NULL, 0, NULL, 0, NETWORK_QUIT_USEC, NULL, NULL) <
		0)
		worker_kill(n->worker);
	else
		network_kill_later(n, NETWORK_QUIT_USEC);
	return 0;
}

/* What the worker says. */

static void fail_start(struct network *n, const struct error *error)
{
	n->start_error = *error;
	worker_kill(n->worker);
}

static void on_started(void *userdata, int error, const char *text)
{
	struct network *n = userdata;
	struct error e = {0};

	if (error == -ECONNRESET)
		return; /* gone() knows more */
	if (error < 0) {
		if (error == -ETIMEDOUT)
			(void)error_set(&e, ERROR_TIMEOUT,
				"the worker of network '%s' did not start", n->name);
		else
			(void)error_set(&e, ERROR_INTERNAL, "network '%s': %s", n->name,
				*text ? text : strerror(-error));
		fail_start(n, &e);
		return;
	}
	n->phase = NETWORK_ACTIVE;
	(void)network_save_status(n);
	network_link_all(n);
	if (n->n_restarts == 0) {
		journal_network(JOURNAL_NETWORK_STARTED, n, "network '%s' started (worker %d)",
			n->name, (int)worker_pid(n->worker));
		network_event(n, "Started");
	} else {
		log_notice(
			"network '%s' has a new worker (%d)", n->name, (int)worker_pid(n->worker));
	}
	domain_finish_waits(&n->start_waits, NULL);
}

static void send_start(struct network *n)
{
	struct network_resources res;
	struct proto_start start = {.flags = n->manager->options.start_flags};
	struct error e = {0};
	int r;

	network_uplinks_begin(n);
	if (network_open(n, &res, &e) < 0) {
		fail_start(n, &e);
		return;
	}
	start.n_fds = res.n;
	memcpy(start.fds, res.what, sizeof(start.fds));
	if (stats_view_map(STATS_NETWORK, res.stats_fd, &n->stats) < 0)
		log_warning("network '%s' has no statistics", n->name);
	/* A daemon that comes after this one finds the worker, whether it has read START by then or not. */
	r = network_save_status(n);
	if (r < 0) {
		network_resources_close(&res);
		(void)error_set_errno(&e, r, "cannot save the status of network '%s'", n->name);
		fail_start(n, &e);
		return;
	}
	r = worker_request(n->worker, PROTO_START_NETWORK, &start, sizeof(start), res.fds, res.n,
		NETWORK_START_USEC, on_started, n);
	network_resources_close(&res);
	if (r < 0) {
		(void)error_set_errno(&e, r, "cannot send START to the worker");
		fail_start(n, &e);
	}
}

static void on_hello(void *opaque, const struct proto_state *s)
{
	struct network *n = opaque;

	if (n->phase == NETWORK_STARTING) {
		send_start(n);
	} else if (s->state == PROTO_VM_NEW) {
		log_warning("network '%s': the daemon ended before it had sent START", n->name);
		worker_kill(n->worker);
	} else {
		network_drop_dead_ports(n); /* of domains that ended while no daemon looked */
	}
}

static void on_state(void *opaque, const struct proto_state *s)
{
	const struct network *n = opaque;

	if (s->text[0])
		log_info("network '%s': %s", n->name, s->text);
}

static void on_notice(void *opaque, const struct proto_notice *notice)
{
	const struct network *n = opaque;

	log_info("network '%s': %s", n->name, notice->text);
}

static void on_net_event(void *opaque, const struct proto_net_event *e)
{
	struct network *n = opaque;

	if (e->kind == PROTO_NET_PAIR)
		network_pair(n, e->a, e->b);
	else if (e->kind == PROTO_NET_ADDRESS)
		network_note_address(n, e->a, e->mac, &e->ip);
	else if (e->kind == PROTO_NET_LINK_BROKEN)
		log_warning("network '%s': port %u broke its ring and was cut off", n->name, e->a);
}

static bool on_team_state(void *opaque, const struct net_team_state *state)
{
	return network_team_state(opaque, state);
}

static bool on_team_report(void *opaque, const struct net_team_report *report)
{
	return network_team_reported(opaque, report);
}

static void on_silent(void *opaque)
{
	const struct network *n = opaque;

	log_warning("network '%s': its worker %d lives but does not answer; it is left alone",
		n->name, (int)worker_pid(n->worker));
}

static void on_hung(void *opaque, bool hung)
{
	const struct network *n = opaque;

	log_warning("network '%s': its worker %d %s", n->name, (int)worker_pid(n->worker),
		hung ? "lives but does not answer; it is left alone" : "answers again");
}

static bool restart_allowed(struct network *n)
{
	uint64_t now, *oldest = &n->restarts_usec[n->n_restarts % NETWORK_RESTART_BURST];

	if (sd_event_now(n->manager->event, CLOCK_MONOTONIC, &now) < 0)
		return false;
	if (n->n_restarts >= NETWORK_RESTART_BURST && now - *oldest < NETWORK_RESTART_USEC)
		return false;
	*oldest = now;
	n->n_restarts++;
	return true;
}

static bool try_restart(struct network *n)
{
	struct error e = {0};

	if (!restart_allowed(n)) {
		log_error(
			"the worker of network '%s' died %d times within %u s: the network is down",
			n->name, NETWORK_RESTART_BURST, (unsigned)(NETWORK_RESTART_USEC / 1000000));
		return false;
	}
	if (begin_run(n, &e) == 0)
		return true;
	journal_network(JOURNAL_NETWORK_START_FAILED, n, "network '%s' does not restart: %s",
		n->name, e.message);
	network_end_run(n);
	return false;
}

void network_revive(struct network *n)
{
	(void)try_restart(n);
}

static void on_gone(void *opaque, const struct worker_exit *how)
{
	struct network *n = opaque;
	bool was_active = n->phase == NETWORK_ACTIVE;
	struct error e = n->start_error;

	if (e.code == ERROR_NONE)
		(void)error_set(&e, ERROR_INTERNAL, "network '%s': %s", n->name, how->text);
	if (!n->destroying)
		journal_network(JOURNAL_NETWORK_LOST_WORKER, n, "network '%s' lost its worker: %s",
			n->name, how->text);
	end_worker(n);
	if ((was_active || n->n_restarts) && !n->destroying && try_restart(n))
		return;
	end_of_run(n, was_active, &e);
}

void network_gateway_ready(struct network *n, const struct error *error)
{
	_cleanup_(closep) int dir_fd = -EBADF;
	struct error e = {0};
	int r = 0;

	if (!error)
		r = store_open_runtime(&n->manager->store->networks, n->uuid, false, &dir_fd);
	if (r < 0)
		(void)error_set_errno(&e, r, "cannot open the runtime folder of '%s'", n->name);
	else if (!error)
		r = start_worker(n, dir_fd, &e);
	if (!error && r == 0)
		return;
	journal_network(JOURNAL_NETWORK_START_FAILED, n, "network '%s' does not start: %s", n->name,
		error ? error->message : e.message);
	end_of_run(n, n->n_restarts > 0, error ? error : &e);
}

const struct worker_ops network_worker_ops = {
	.hello = on_hello,
	.state = on_state,
	.notice = on_notice,
	.net_event = on_net_event,
	.team_state = on_team_state,
	.team_report = on_team_report,
	.hung = on_hung,
	.silent = on_silent,
	.gone = on_gone,
};
