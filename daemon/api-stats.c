/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GetBootReport, and GetDomainStats: flat keys in virsh's order, from cached state, /proc and the shared page. Never waits.
 *
 * Tested by tests/unit/test-dbus.c.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/api-rows.h"
#include "daemon/cgroup.h"
#include "daemon/domain-nic.h"
#include "daemon/host.h"
#include "daemon/network.h"
#include "daemon/process.h"
#include "daemon/psi.h"
#include "daemon/sched-core.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/strutil.h"

#define MAX_NAMES 4096

enum {
	GROUP_STATE = 1 << 0,
	GROUP_CPU = 1 << 1,
	GROUP_BALLOON = 1 << 2,
	GROUP_VCPU = 1 << 3,
	GROUP_INTERFACE = 1 << 4,
	GROUP_BLOCK = 1 << 5,
	GROUP_VM = 1 << 6,
	GROUP_IOTHREAD = 1 << 7,
	/* vmmd's own, only when asked for: */
	GROUP_OVERHEAD = 1 << 11,
	GROUP_PRESSURE = 1 << 12,
	GROUPS_ON_DEMAND = GROUP_OVERHEAD | GROUP_PRESSURE,
	/* libvirt's perf, memory and dirtyrate have bits too, and nothing to say. */
};

static void add(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_indexed(
	struct json_object *o, const char *group, unsigned i, const char *key, uint64_t value)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s.%u.%s", group, i, key);
	add(o, name, value);
}

static void add_indexed_bool(
	struct json_object *o, const char *group, unsigned i, const char *key, bool value)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s.%u.%s", group, i, key);
	json_object_object_add(o, name, json_object_new_boolean(value));
}

static void add_state(struct json_object *o, const struct domain *d)
{
	add(o, "state.state", d->state);
	add(o, "state.reason", (uint64_t)d->reason);
}

static void add_cpu(struct json_object *o, const struct domain *d)
{
	struct process_usage usage;

	if (!d->worker || process_usage(worker_pid(d->worker), &usage) < 0)
		return;
	add(o, "cpu.time", usage.user_ns + usage.system_ns);
	add(o, "cpu.user", usage.user_ns);
	add(o, "cpu.system", usage.system_ns);
	add(o, "cpu.guest", usage.guest_ns);
}

static void add_balloon(struct json_object *o, const struct domain *d)
{
	const struct definition *current = domain_current(d);
	struct process_usage usage;
	struct domain_memory m;
	char name[64];

	if (domain_is_active(d))
		add(o, "balloon.current", domain_current_memory_kib(d));
	add(o, "balloon.maximum", current->memory_kib);
	if (domain_read_memory_stats(d, &m)) {
		for (size_t i = 0; i < DOMAIN_MEMORY_STATS; i++) {
			(void)snprintf(
				name, sizeof(name), "balloon.%s", domain_memory_stats[i].name);
			if (m.known >> domain_memory_stats[i].tag & 1)
				add(o, name, m.values[i]);
		}
		add(o, "balloon.last-update", m.updated_s);
	}
	if (d->worker && process_usage(worker_pid(d->worker), &usage) == 0)
		add(o, "balloon.rss", usage.resident_bytes / 1024);
	if (domain_is_active(d) && domain_read_memory_stats(d, &m)) {
		add(o, "balloon.given_back", m.given_back / 1024);
		add(o, "balloon.reported", m.reported / 1024);
	}
}

static void add_vcpus(struct json_object *o, const struct domain *d)
{
	const struct definition *current = domain_current(d);
	const struct vm_stats_page *page = d->stats ? stats_view_page(d->stats) : NULL;
	unsigned n = MIN(current->vcpus_max, (uint32_t)VM_MAX_VCPUS);
	struct process_times times[VM_MAX_VCPUS];

	add(o, "vcpu.current", current->vcpus);
	add(o, "vcpu.maximum", current->vcpus_max);
	if (!d->worker ||
		process_vcpu_times(worker_pid(d->worker), times, n, /* with_wait= */ true) < 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		const struct vm_stats_vcpu *v = page ? &page->vcpus[i] : NULL;

		if (!domain_vcpu_is_online(d, i))
			continue;
		add_indexed(o, "vcpu", i, "state", d->state == DOMAIN_STATE_RUNNING ? 1 : 2);
		add_indexed(o, "vcpu", i, "time", times[i].run_ns);
		add_indexed(o, "vcpu", i, "wait", times[i].wait_ns);
		if (v)
			add_indexed_bool(o, "vcpu", i, "halted", stat_read(&v->halted));
		add_indexed(o, "vcpu", i, "delay", times[i].delay_ns);
		if (!v)
			continue;
		add_indexed(o, "vcpu", i, "irq_window_exits.sum", stat_read(&v->irq_window_exits));
		add_indexed(o, "vcpu", i, "exits.sum", stat_read(&v->exits));
		add_indexed(o, "vcpu", i, "signal_exits.sum", stat_read(&v->signal_exits));
		add_indexed(o, "vcpu", i, "mmio_exits.sum", stat_read(&v->mmio_exits));
		add_indexed(o, "vcpu", i, "io_exits.sum", stat_read(&v->pio_exits));
		add_indexed(o, "vcpu", i, "eoi_exits.sum", stat_read(&v->eoi_exits));
		add_indexed(o, "vcpu", i, "other_exits.sum", stat_read(&v->other_exits));
	}
}

/* libvirt's keys; nothing here is an error but what was dropped. */
/* 'other' (may be NULL): the network's end of the cable, where frames are dropped as well. */
static void add_interface_counters(struct json_object *o, unsigned i,
	const struct net_port_counters *c, const struct net_port_counters *other)
{
	add_indexed(o, "net", i, "rx.bytes", stat_read(&c->rx_bytes));
	add_indexed(o, "net", i, "rx.pkts", stat_read(&c->rx_packets));
	add_indexed(o, "net", i, "rx.errs", 0);
	add_indexed(o, "net", i, "rx.drop",
		stat_read(&c->rx_dropped) + (other ? stat_read(&other->rx_dropped) : 0));
	add_indexed(o, "net", i, "tx.bytes", stat_read(&c->tx_bytes));
	add_indexed(o, "net", i, "tx.pkts", stat_read(&c->tx_packets));
	add_indexed(o, "net", i, "tx.errs", 0);
	add_indexed(o, "net", i, "tx.drop",
		stat_read(&c->tx_dropped) + (other ? stat_read(&other->tx_dropped) : 0));
}

static void add_interfaces(struct json_object *o, const struct domain *d)
{
	unsigned n = MIN(domain_current(d)->n_nics, (uint32_t)VM_MAX_NICS);

	add(o, "net.count", n);
	for (unsigned i = 0; i < n && d->live && d->stats; i++) {
		unsigned number = d->live->nics[i].number;
		const struct network_port *port = network_find_port(d->manager, d->uuid, number);
		char name[64];

		(void)snprintf(name, sizeof(name), "net.%u.name", i);
		json_object_object_add(
			o, name, json_object_new_string(domain_nic_target(d, number)));
		add_interface_counters(o, i, &stats_view_page(d->stats)->nics[number],
			port ? network_port_counters(port) : NULL);
	}
}

static void add_block_strings(
	struct json_object *o, unsigned i, const char *target, const char *path)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "block.%u.name", i);
	json_object_object_add(o, name, json_object_new_string(target));
	if (!*path)
		return;
	(void)snprintf(name, sizeof(name), "block.%u.path", i);
	json_object_object_add(o, name, json_object_new_string(path));
}

static void add_blocks(struct json_object *o, const struct domain *d)
{
	const struct definition *current = domain_current(d);
	const struct vm_stats_page *page = d->stats ? stats_view_page(d->stats) : NULL;

	add(o, "block.count", current->n_disks);
	for (unsigned i = 0; i < MIN(current->n_disks, (uint32_t)VM_MAX_DISKS); i++) {
		const struct vm_stats_disk *s;

		add_block_strings(o, i, current->disks[i].target, current->disks[i].path);
		if (!page)
			continue;
		s = &page->disks[i];
		add_indexed(o, "block", i, "rd.reqs", stat_read(&s->rd_reqs));
		add_indexed(o, "block", i, "rd.bytes", stat_read(&s->rd_bytes));
		add_indexed(o, "block", i, "rd.times", stat_read(&s->rd_ns));
		add_indexed(o, "block", i, "wr.reqs", stat_read(&s->wr_reqs));
		add_indexed(o, "block", i, "wr.bytes", stat_read(&s->wr_bytes));
		add_indexed(o, "block", i, "wr.times", stat_read(&s->wr_ns));
		add_indexed(o, "block", i, "fl.reqs", stat_read(&s->fl_reqs));
		add_indexed(o, "block", i, "fl.times", stat_read(&s->fl_ns));
		add_indexed(o, "block", i, "errors", stat_read(&s->errors));
		add_indexed(o, "block", i, "capacity", stat_read(&s->capacity));
	}
}

static void add_iothreads(struct json_object *o, const struct domain *d)
{
	if (domain_is_active(d))
		add(o, "iothread.count", d->live ? d->live->vm.n_iothreads : 0);
}

/* Accounts of the loop's thread, and those of disks that have an iothread. */
static void split_accounts(const struct domain *d, const struct vm_stats_page *page,
	stat_counter ret_loop[VM_LEDGER_X_MAX], stat_counter ret_iothreads[VM_LEDGER_X_MAX])
{
	for (unsigned i = 0; i < VM_LEDGER_X_MAX; i++) {
		unsigned disk = i - VM_LEDGER_DISKS;
		bool away = i >= VM_LEDGER_DISKS && disk < VM_MAX_DISKS && d->live &&
			d->live->vm.disks[disk].iothread;
		uint64_t ns = stat_read(&page->loop_ns[i]);

		ret_loop[i] = away ? 0 : ns;
		ret_iothreads[i] = away ? ns : 0;
	}
}

/* What of the loop's thread, and of iothreads, each account had. The worker measures time that passed: where that is more than the
 * threads ran, all get their share of what they did. */
static void add_loop_accounts(struct json_object *o, const struct domain *d,
	const struct vm_stats_page *page, uint64_t loop_ns, uint64_t iothread_ns)
{
	stat_counter loop[VM_LEDGER_X_MAX], iothreads[VM_LEDGER_X_MAX];
	static const char *const names[VM_LEDGER_DISKS] = {
		[VM_LEDGER_OTHER] = "overhead.loop.other",
		[VM_LEDGER_MACHINE] = "overhead.loop.machine",
		[VM_LEDGER_CONSOLES] = "overhead.loop.consoles",
		[VM_LEDGER_RNG] = "overhead.loop.rng",
		[VM_LEDGER_SWITCH] = "overhead.loop.switch",
	};
	unsigned n_disks = MIN(domain_current(d)->n_disks, (uint32_t)VM_MAX_DISKS);
	uint64_t ns[VM_LEDGER_X_MAX], away_ns[VM_LEDGER_X_MAX];

	split_accounts(d, page, loop, iothreads);
	add(o, "overhead.loop.rest", ledger_shares(loop, loop_ns, ns));
	add(o, "overhead.iothread.rest", ledger_shares(iothreads, iothread_ns, away_ns));
	for (unsigned i = 0; i < VM_LEDGER_DISKS; i++)
		add(o, names[i], ns[i]);
	for (unsigned i = 0; i < n_disks; i++)
		add_indexed(o, "overhead.block", i, "time",
			ns[VM_LEDGER_DISKS + i] + away_ns[VM_LEDGER_DISKS + i]);
	for (unsigned i = 0; d->live && i < d->live->vm.n_nics; i++)
		add_indexed(
			o, "overhead.net", i, "time", ns[VM_LEDGER_NICS + d->live->nics[i].number]);
}

/* The ledger: who had the CPU time, and how often a vCPU had to come out for what. */
static void add_overhead(struct json_object *o, const struct domain *d)
{
	const struct vm_stats_page *page = d->stats ? stats_view_page(d->stats) : NULL;
	unsigned n = MIN(domain_current(d)->vcpus_max, (uint32_t)VM_MAX_VCPUS);
	struct process_split s;

	if (!d->worker || process_split(worker_pid(d->worker), &s) < 0)
		return;
	add(o, "overhead.total", s.guest_ns + s.vcpu_ns + s.loop_ns + s.iothread_ns + s.io_ns);
	add(o, "overhead.guest", s.guest_ns);
	add(o, "overhead.vcpu", s.vcpu_ns);
	add(o, "overhead.loop", s.loop_ns);
	add(o, "overhead.iothread", s.iothread_ns);
	add(o, "overhead.io", s.io_ns);
	if (!page)
		return;
	add_loop_accounts(o, d, page, s.loop_ns, s.iothread_ns);
	for (size_t i = 0; i < ARRAY_SIZE(stats_exits); i++) {
		uint64_t sum = 0, ns = 0;
		char key[64];

		for (unsigned k = 0; k < n; k++) {
			const char *count = (const char *)&page->vcpus[k] + stats_exits[i].offset;

			sum += stat_read((const void *)count);
			ns += stat_read((const void *)(count + STATS_EXIT_NS));
		}
		(void)snprintf(key, sizeof(key), "overhead.exits.%s.sum", stats_exits[i].cause);
		add(o, key, sum);
		(void)snprintf(key, sizeof(key), "overhead.exits.%s.time", stats_exits[i].cause);
		add(o, key, ns);
	}
}

/* How long its threads waited, by its control group; and why there is nothing to be said of that. */
static void add_waits(struct json_object *o, const struct domain *d)
{
	static const char *const kinds[PSI_KIND_X_MAX] = {"some", "full"};
	struct psi psi;
	char name[64];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(psi_resources) && r == 0; i++) {
		(void)snprintf(name, sizeof(name), "%s.pressure", psi_resources[i]);
		r = cgroup_pressure(d->cgroup, name, &psi);
		for (unsigned k = 0; r == 0 && k < PSI_KIND_X_MAX; k++) {
			(void)snprintf(name, sizeof(name), "pressure.%s.%s.time", psi_resources[i],
				kinds[k]);
			if (psi.lines[k].known)
				add(o, name, psi.lines[k].total_us * 1000);
		}
	}
	if (r < 0)
		json_object_object_add(
			o, "pressure.missing", json_object_new_string(cgroup_pressure_why_not(r)));
}

/* What it waited for, and what KVM did not to let it wait. */
static void add_pressure(struct json_object *o, const struct domain *d)
{
	unsigned n = MIN(domain_current(d)->vcpus_max, (uint32_t)VM_MAX_VCPUS);
	struct process_times times[VM_MAX_VCPUS];
	struct host_halt_poll poll;
	uint64_t max_ns, steal_ns = 0;

	if (!d->worker || !d->live)
		return;
	add_waits(o, d);
	if (process_vcpu_times(worker_pid(d->worker), times, n, /* with_wait= */ false) == 0) {
		for (unsigned i = 0; i < n; i++)
			steal_ns += times[i].delay_ns;
		add(o, "pressure.steal.time", steal_ns);
	}
	if (d->live->vm.halt_poll_us)
		add(o, "cpu.haltpoll.max",
			d->live->vm.halt_poll_us == VM_NO_HALT_POLL
				? 0
				: d->live->vm.halt_poll_us * UINT64_C(1000));
	else if (host_halt_poll_max("", &max_ns) == 0)
		add(o, "cpu.haltpoll.max", max_ns);
	if (host_halt_poll_times("", worker_pid(d->worker), &poll) == 0) {
		add(o, "cpu.haltpoll.success.time", poll.success_ns);
		add(o, "cpu.haltpoll.fail.time", poll.fail_ns);
	}
	json_object_object_add(o, "cpu.core-scheduling",
		json_object_new_boolean(sched_core_is_set(worker_pid(d->worker))));
}

static void add_vm(struct json_object *o, const struct domain *d)
{
	if (!d->stats)
		return;
	add(o, "vm.needs_reset.sum", stat_read(&stats_view_page(d->stats)->needs_reset));
	add(o, "vm.loop_turns.sum", stat_read(&stats_view_page(d->stats)->heartbeat));
}

static const struct {
	unsigned group;
	void (*add)(struct json_object *o, const struct domain *d);
} groups[] = {
	{GROUP_STATE, add_state},
	{GROUP_CPU, add_cpu},
	{GROUP_BALLOON, add_balloon},
	{GROUP_VCPU, add_vcpus},
	{GROUP_INTERFACE, add_interfaces},
	{GROUP_BLOCK, add_blocks},
	{GROUP_IOTHREAD, add_iothreads},
	{GROUP_VM, add_vm},
	{GROUP_OVERHEAD, add_overhead},
	{GROUP_PRESSURE, add_pressure},
};

static struct json_object *stats_of(const struct domain *d, unsigned wanted)
{
	struct json_object *o = json_object_new_object(), *stats = json_object_new_object();
	char uuid[UUID_STRING_LEN + 1];

	uuid_format(d->uuid, uuid);
	json_object_object_add(o, "name", json_object_new_string(d->name));
	json_object_object_add(o, "uuid", json_object_new_string(uuid));
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if ((wanted ?: ~(unsigned)GROUPS_ON_DEMAND) & groups[i].group)
			groups[i].add(stats, d);
	json_object_object_add(o, "stats", stats);
	return o;
}

int api_get_domain_stats(struct api_call *call, struct error *error)
{
	struct json_object *names = json_object_object_get(call->in, "domains");
	unsigned wanted = api_arg_uint(call, "groups");
	size_t n = json_object_array_length(names);
	struct json_object *out, *rows;
	struct list *pos;
	int r;

	if (n > MAX_NAMES)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"%zu domains are named; name at most %d at once, or none for all", n,
			MAX_NAMES);
	out = json_object_new_object();
	rows = api_rows_add(call, out, "stats");
	r = rows ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct domain *d = api_find_domain(
			call, json_object_get_string(json_object_array_get_idx(names, i)), error);

		r = d ? api_rows_put(rows, stats_of(d, wanted)) : -ENOENT;
	}
	list_for_each (pos, &call->manager->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		if (r == 0 && !n && api_sees(call, d))
			r = api_rows_put(rows, stats_of(d, wanted));
	}
	if (r < 0) {
		json_object_put(out);
		return r == -ENOMEM ? error_set(error, ERROR_NO_MEMORY, "statistics") : r;
	}
	api_call_reply(call, out);
	return 0;
}

int api_get_boot_report(struct api_call *call, struct error *error)
{
	const struct domain *d = api_arg_domain(call, error);
	struct timespec ts;

	if (!d)
		return -ENOENT;
	if (d->phase != DOMAIN_ACTIVE)
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	api_call_reply(call,
		boot_report(&d->run->boot, d->stats ? stats_view_page(d->stats) : NULL,
			(uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec));
	return 0;
}
