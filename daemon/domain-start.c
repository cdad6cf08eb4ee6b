/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's start: what it needs is waited for (reach.h), opened and made; then the worker's process, and START. The picture is in
 * domain.h.
 *
 * Tested by tests/unit/test-domain.c, test-reach.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/domain-internal.h"
#include "daemon/domain-nic.h"
#include "daemon/jail.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/memory-limit.h"
#include "daemon/network.h"
#include "daemon/reach.h"
#include "daemon/sched-core.h"
#include "daemon/stats-view.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define KVM_PATH "/dev/kvm"

static uint32_t start_flags(const struct domain *d)
{
	uint32_t flags = d->manager->options.start_flags;

	if (d->start_paused || d->pinning)
		flags |= PROTO_START_PAUSED;
	/* A reset is done inside the worker, unless it is to end the domain. */
	if (!domain_action_restarts(domain_action_of(d->live, DOMAIN_STOP_RESET)))
		flags |= PROTO_START_STOP_ON_RESET;
	if (domain_action_of(d->live, DOMAIN_STOP_PANICKED) != DOMAIN_ACTION_PRESERVE)
		flags |= PROTO_START_STOP_ON_PANIC;
	return flags;
}

static const char *domain_of_pid(void *opaque, pid_t pid)
{
	struct manager *m = opaque;
	struct list *pos;

	list_for_each (pos, &m->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		if (d->worker && worker_pid(d->worker) == pid)
			return d->name;
	}
	return NULL;
}

static int open_resources(struct domain *d, int dir_fd, struct error *error)
{
	char uuid[UUID_STRING_LEN + 1], path[4352];
	uint64_t cpus[CPUSET_WORDS];
	struct resources_env env = {
		.kvm_path = d->manager->options.no_kvm ? NULL : KVM_PATH,
		.runtime_fd = dir_fd,
		.runtime_path = path,
		.available_kib = resources_available_kib(),
		.memlock_kib = resources_memlock_kib(),
		.host_cpus = resources_host_cpus(cpus) == 0 ? cpus : NULL,
		.can_restrict =
			d->manager->cgroup_root && cgroup_has_nodes(d->manager->cgroup_root),
		.domain_of_pid = domain_of_pid,
		.opaque = d->manager,
	};

	uuid_format(d->uuid, uuid);
	(void)snprintf(path, sizeof(path), "%s/domains/%s", d->manager->store->runtime_dir, uuid);
	return resources_open(d->live, &env, &d->run->resources, error);
}

static int make_jail(struct domain *d, int exe_fd, struct jail_plan *ret, struct error *error)
{
	struct jail_env env = {
		.n_vcpus = d->live->vm.vcpus_max,
		.n_disks = d->live->vm.n_disks,
		.n_iothreads = d->live->vm.n_iothreads,
		.n_ports = VM_MAX_NICS, /* some may come later */
		.memory_bytes = KIB(d->live->vm.memory_kib),
		.memory_locked = d->live->vm.memory_locked,
		.core_scheduling = d->live->core_scheduling == VM_TRISTATE_YES,
	};

	return manager_make_jail(d->manager, exe_fd, d->slot, &env, ret, error);
}

static void make_cgroup(struct domain *d, struct jail_plan *plan)
{
	struct cgroup_limits limits;
	char uuid[UUID_STRING_LEN + 1];

	if (!d->manager->cgroup_root)
		return;
	domain_limits(d->live, d->manager->cgroup_root, &limits);
	uuid_format(d->uuid, uuid);
	if (cgroup_new(d->manager->cgroup_root, uuid, &limits, plan, &d->cgroup) < 0)
		log_warning("domain '%s' has no control group", d->name);
}

static int spawn(struct domain *d, int dir_fd, struct error *error)
{
	struct manager *m = d->manager;
	_cleanup_(closep) int exe_fd = worker_open_program(m->worker_path), log_fd = -EBADF;
	_cleanup_(closep) int listen_fd = exe_fd < 0 ? -EBADF : worker_listen(dir_fd);
	struct jail_plan jail;
	struct worker_spec spec = {
		.name = d->name,
		.uuid = d->uuid,
		.exe_fd = exe_fd,
		.listen_fd = listen_fd,
		.jail = m->options.no_jail ? NULL : &jail,
		.spawner = m->options.spawner,
	};
	int r;

	if (exe_fd < 0)
		return error_set_errno(
			error, exe_fd, "cannot open the worker '%s'", m->worker_path);
	if (listen_fd < 0)
		return error_set_errno(
			error, listen_fd, "cannot make the control socket of '%s'", d->name);
	r = make_jail(d, exe_fd, &jail, error);
	if (r < 0)
		return r;
	r = worker_log_open(m->event, m->store->log_fd, d->name, dir_fd, &d->log, &log_fd);
	if (r < 0)
		(void)log_warning_errno(r, "domain '%s' has no log: %m", d->name);
	spec.log_fd = log_fd;
	if (spec.jail)
		make_cgroup(d, &jail);
	r = worker_spawn(m->event, &spec, &domain_worker_ops, d, &d->worker, error);
	if (r == 0)
		cgroup_started(d->cgroup, d->id, worker_pid(d->worker));
	return r;
}

/* Nobody is told that he has cores of his own when he has not. */
static int check_core_scheduling(const struct domain_config *config, struct error *error)
{
	int r = config->core_scheduling == VM_TRISTATE_YES ? sched_core_probe() : 0;

	/* Without hyperthreads nobody shares a core. */
	if (r == 0 || r == -ENODEV)
		return 0;
	return error_set(error, ERROR_CONFIG_UNSUPPORTED,
		"metadata/vmmd:cpuPolicy/@coreScheduling: domain '%s' is to share no core, and "
		"this "
		"kernel has no core scheduling (CONFIG_SCHED_CORE, Linux 5.14): remove it, or "
		"switch hyperthreads off",
		config->vm.name);
}

/* Nothing of an earlier run is left. */
static void reset_run(struct domain *d)
{
	d->noted = d->stop_seen = d->destroying = d->degraded = d->guessed = false;
	for (unsigned i = 0; i < d->live->vm.n_nics; i++)
		d->live->nics[i].number = (uint8_t)i;
	for (unsigned i = 0; i < d->live->vm.n_memories; i++)
		d->live->memories[i] = (struct domain_memory_device){.number = (uint8_t)i};
	domain_reset_memories(d);
	d->run->start_error = (struct error){0};
	domain_reset_vcpus(d);
}

/* Its files are there, or answer at once that they are not: open everything, make the process. */
static int go_on_beginning(struct domain *d, struct error *error)
{
	_cleanup_(closep) int dir_fd = -EBADF;
	int r = store_open_runtime(&d->manager->store->domains, d->uuid, true, &dir_fd);

	if (r < 0)
		return error_set_errno(error, r, "cannot make the runtime folder of '%s'", d->name);
	/* What networks and bridges decide of a vNIC is in the configuration that the worker gets. */
	r = domain_prepare_nics(d, error);
	boot_note(&d->run->boot, BOOT_NETWORKS);
	if (r == 0) {
		domain_recall_cpuid(d);
		r = open_resources(d, dir_fd, error);
		domain_end_recall(d);
	}
	boot_note(&d->run->boot, BOOT_RESOURCES);
	if (r == 0)
		r = domain_open_nics(d, error);
	boot_note(&d->run->boot, BOOT_TAPS);
	if (r == 0)
		r = manager_take_slot(d->manager, &d->slot);
	if (r == 0)
		r = spawn(d, dir_fd, error);
	if (r < 0) {
		if (error->code == ERROR_NONE)
			(void)error_set_errno(error, r, "cannot start the worker");
		return r;
	}
	if (stats_view_map(STATS_VM, d->run->resources.stats_fd, &d->stats) < 0)
		log_warning("domain '%s' has no statistics", d->name);
	boot_note(&d->run->boot, BOOT_SPAWNED);
	return 0;
}

/* Those who answer for its files have, or not in time, or the domain was destroyed meanwhile. */
static void on_reached(void *userdata, const struct error *error)
{
	struct domain *d = userdata;
	struct error e = {0};

	d->run->reach = NULL;
	if (d->destroying)
		(void)error_set(
			&e, ERROR_CANCELLED, "the start of domain '%s' was cancelled", d->name);
	else if (error)
		e = *error;
	else if (go_on_beginning(d, &e) == 0)
		return;
	domain_fail_run(d, &e);
}

int domain_begin_run(struct domain *d, bool patient, struct error *error)
{
	int r;

	boot_note(&d->run->boot, BOOT_BEGUN);
	reset_run(d);
	r = memory_limit_check(d->manager, d->live, error);
	if (r == 0)
		r = check_core_scheduling(d->live, error);
	if (r == 0)
		r = reach_domain(d->manager, d->live, d->owner.user,
			patient ? REACH_PATIENT_USEC : REACH_USEC, on_reached, d, &d->run->reach,
			error);
	if (r == 0)
		r = go_on_beginning(d, error);
	if (r < 0)
		return r;
	d->phase = DOMAIN_STARTING;
	return 0;
}

/* The definition becomes what runs. */
static int load_definition(struct domain *d, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int r = definition_parse(d->definition, &config);

	if (r == 0)
		r = domain_set_live(d, config);
	if (r < 0)
		return error_set_errno(error, r, "cannot read the definition of '%s'", d->name);
	(void)TAKE_PTR(config);
	return 0;
}

int domain_start(
	struct domain *d, unsigned flags, domain_done_fn done, void *userdata, struct error *error)
{
	int r;

	if (domain_is_active(d))
		return error_set(error, ERROR_OPERATION_INVALID, "domain is already running");
	r = d->live ? 0 : load_definition(d, error);
	if (r < 0)
		return r;
	d->start_paused = flags & DOMAIN_START_PAUSED;
	d->restarting = d->reboot_pending = false;
	d->n_restarts = 0;
	d->id = manager_take_id(d->manager);
	r = domain_add_wait(&d->start_waits, done, userdata);
	if (r == 0)
		r = domain_begin_run(d, flags & DOMAIN_START_PATIENT, error);
	if (r < 0) {
		if (error->code == ERROR_NONE)
			(void)error_set(error, ERROR_NO_MEMORY, "domain");
		journal_domain(JOURNAL_DOMAIN_START_FAILED, d, "domain '%s' does not start: %s",
			d->name, error->message);
		domain_drop_waits(&d->start_waits);
		domain_end_run(d);
		domain_clear_live(d);
		manager_return_id(d->manager, d->id);
		d->id = -1;
		return r;
	}
	domain_set_state(d, DOMAIN_STATE_PAUSED, DOMAIN_PAUSED_STARTING_UP);
	return 0;
}

void domain_fail_start(struct domain *d, const struct error *error)
{
	d->run->start_error = *error;
	worker_kill(d->worker);
}

static void on_started(void *userdata, int error, const char *text);

/* It was started paused, so that no thread has run where it must not: now it may. */
static void go_on_pinned(struct domain *d)
{
	struct error e = {0};
	int r;

	d->pinning = false;
	r = worker_request(
		d->worker, PROTO_RESUME, NULL, 0, NULL, 0, DOMAIN_REQUEST_USEC, on_started, d);
	if (r < 0) {
		(void)error_set_errno(&e, r, "cannot send RESUME to the worker");
		domain_fail_start(d, &e);
	}
}

/* Why the host cannot give what <cpu> or the clock asks for, by libvirt's class. False: it is something else. */
static bool set_cpu_error(const char *text, struct error *e)
{
	/* The first that fits; what is behind it is the message. */
	static const struct {
		const char *begin;
		enum error_code code;
	} kinds[] = {
		{"cpu: the CPU is incompatible with host CPU: ", ERROR_CPU_INCOMPATIBLE},
		{"cpu: operation failed: ", ERROR_OPERATION_FAILED},
		{"cpu: ", ERROR_CONFIG_UNSUPPORTED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i].begin);

		if (strncmp(text, kinds[i].begin, len) != 0)
			continue;
		(void)error_set(e, kinds[i].code, "%s", text + len);
		return true;
	}
	return false;
}

/* What a worker said that does not start. */
static void set_start_error(const struct domain *d, int error, const char *text, struct error *e)
{
	if (error == -ETIMEDOUT)
		(void)error_set(
			e, ERROR_TIMEOUT, "the worker of domain '%s' did not start", d->name);
	else if (error == -ENOTSUP && set_cpu_error(text, e))
		return;
	else if (*text)
		(void)error_set(e, ERROR_INTERNAL, "%s", text);
	else
		(void)error_set_errno(e, error, "the worker of domain '%s' did not start", d->name);
}

static void on_started(void *userdata, int error, const char *text)
{
	struct domain *d = userdata;
	struct error e = {0};

	if (error == -ECONNRESET)
		return; /* gone() knows more */
	if (error < 0)
		set_start_error(d, error, text, &e);
	if (error == 0)
		error = domain_pin_all(d, &e);
	if (error < 0) {
		domain_fail_start(d, &e);
		return;
	}
	if (d->pinning) {
		go_on_pinned(d);
		return;
	}
	boot_note(&d->run->boot, BOOT_ANSWERED);
	d->phase = DOMAIN_ACTIVE;
	if (d->start_paused)
		domain_set_state(d, DOMAIN_STATE_PAUSED, DOMAIN_PAUSED_USER);
	else
		domain_set_state(d, DOMAIN_STATE_RUNNING, DOMAIN_RUNNING_BOOTED);
	if (d->restarting) {
		manager_emit(d->manager, EVENT_REBOOT, d, "", "");
	} else {
		journal_domain(JOURNAL_DOMAIN_STARTED, d, "domain '%s' started (id %d, worker %d)",
			d->name, d->id, (int)worker_pid(d->worker));
		domain_event(d, "Started", "Booted");
	}
	domain_finish_waits(&d->start_waits, NULL);
}

void domain_send_start(struct domain *d)
{
	struct proto_start start = {
		.n_fds = d->run->resources.n,
		.wall_offset_s = d->run->resources.wall_offset_s,
	};
	uint64_t usec = DOMAIN_START_USEC;
	struct error e = {0};
	int r;

	d->pinning = !d->start_paused && domain_has_pins(d->live);
	start.flags = start_flags(d);
	if (d->live->vm.memory_locked || d->live->vm.memory_bound ||
		d->live->vm.memory_allocation == VM_ALLOCATION_IMMEDIATE)
		usec += DIV_ROUND_UP(d->live->vm.memory_kib, MIB(1)) * DOMAIN_LOCK_USEC;
	memcpy(start.fds, d->run->resources.what, sizeof(start.fds));
	r = domain_note_run(d);
	if (r < 0) {
		(void)error_set_errno(&e, r,
			"cannot note that domain '%s' runs, and a new vmmd would not find it",
			d->name);
		domain_fail_start(d, &e);
		return;
	}
	boot_note(&d->run->boot, BOOT_SENT);
	r = worker_request(d->worker, PROTO_START, &start, sizeof(start), d->run->resources.fds,
		d->run->resources.n, usec, on_started, d);
	resources_close(&d->run->resources);
	if (r < 0) {
		(void)error_set_errno(&e, r, "cannot send START to the worker");
		domain_fail_start(d, &e);
		return;
	}
	network_link_domain(d);
}
