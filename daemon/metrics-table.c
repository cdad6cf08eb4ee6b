/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* THE table of metrics, and how each row's number is found. To add a metric is to add a row (docs/metrics.md is made from them).
 * Tested by tests/unit/test-metrics.c. */
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/job.h"
#include "daemon/memory-policy.h"
#include "daemon/metrics-internal.h"
#include "daemon/rpc.h"
#include "daemon/stats-view.h"

#define GETTER(name)                                                                               \
	static bool name(const struct metric_subject *s, const struct metric *m, uint64_t *ret)

/* The subject is the number. */
GETTER(get_value)
{
	(void)m;
	*ret = *(const uint64_t *)s->at;
	return true;
}

/* … in a page, which a worker writes meanwhile. */
GETTER(get_counter)
{
	(void)m;
	*ret = stat_read(s->at);
	return true;
}

/* A counter within the subject, which is (a part of) a page; there may be none. */
GETTER(get_counter_at)
{
	if (!s->at)
		return false;
	*ret = stat_read((const void *)((const char *)s->at + m->offset));
	return true;
}

/* Members of structs of the daemon's own. */
GETTER(get_u64_at)
{
	*ret = *(const uint64_t *)((const char *)s->at + m->offset);
	return true;
}

GETTER(get_u32_at)
{
	*ret = *(const uint32_t *)((const char *)s->at + m->offset);
	return true;
}

GETTER(get_one)
{
	(void)s;
	(void)m;
	*ret = 1;
	return true;
}

/* The daemon. */

GETTER(get_daemon_cpu)
{
	(void)m;
	*ret = s->walk->host.daemon.usage.user_ns + s->walk->host.daemon.usage.system_ns;
	return s->walk->host.daemon.known;
}

GETTER(get_daemon_resident)
{
	(void)m;
	*ret = s->walk->host.daemon.usage.resident_bytes;
	return s->walk->host.daemon.known;
}

GETTER(get_daemon_max_fds)
{
	struct rlimit limit;

	(void)s;
	(void)m;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	*ret = limit.rlim_cur;
	return true;
}

GETTER(get_manager_at)
{
	*ret = *(const uint64_t *)((const char *)s->walk->source->manager + m->offset);
	return true;
}

GETTER(get_policy_on)
{
	(void)m;
	*ret = memory_policy_is_on(s->walk->source->manager->memory_policy);
	return true;
}

GETTER(get_connections)
{
	(void)m;
	if (!s->walk->source->rpc)
		return false;
	*ret = rpc_n_connections(s->walk->source->rpc);
	return true;
}

GETTER(get_subscriptions)
{
	(void)m;
	if (!s->walk->source->rpc)
		return false;
	*ret = rpc_n_subscriptions(s->walk->source->rpc);
	return true;
}

/* The host. */

GETTER(get_host_cpus)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	(void)s;
	(void)m;
	*ret = (uint64_t)n;
	return n > 0;
}

GETTER(get_ticks)
{
	(void)m;
	*ret = *(const uint64_t *)s->at * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
	return true;
}

/* Domains. */

GETTER(get_domain_vcpus)
{
	(void)m;
	*ret = domain_current(s->domain->domain)->vcpus;
	return true;
}

GETTER(get_domain_memory)
{
	(void)m;
	*ret = domain_current_memory_kib(s->domain->domain);
	return true;
}

GETTER(get_domain_memory_max)
{
	(void)m;
	*ret = domain_current(s->domain->domain)->memory_kib;
	return true;
}

GETTER(get_domain_taken)
{
	struct domain_balloon b;

	(void)m;
	if (!domain_read_balloon(s->domain->domain, &b))
		return false;
	*ret = b.ceiling_kib - MIN(b.target_kib, b.ceiling_kib);
	return true;
}

/* What the guest said last, if it knows that: 'offset' is in balloon.values. */
GETTER(get_guest_memory)
{
	const struct vm_stats_page *page = s->at;
	size_t tag =
		(m->offset - offsetof(struct vm_stats_page, balloon.values)) / sizeof(stat_counter);

	if (!page)
		return false;
	*ret = stat_read(&page->balloon.values[tag]);
	return stat_read(&page->balloon.known) >> tag & 1;
}

/* What KVM said last: 'offset' is in mmu.values. */
GETTER(get_mmu)
{
	const struct vm_stats_page *page = s->at;
	size_t i = (m->offset - offsetof(struct vm_stats_page, mmu.values)) / sizeof(stat_counter);

	if (!page)
		return false;
	*ret = stat_read(&page->mmu.values[i]);
	return stat_read(&page->mmu.known) >> i & 1;
}

GETTER(get_domain_resident)
{
	(void)m;
	*ret = s->domain->process.usage.resident_bytes;
	return s->domain->process.known;
}

GETTER(get_domain_threads)
{
	(void)m;
	*ret = s->domain->process.usage.threads;
	return s->domain->process.known;
}

GETTER(get_domain_restarts)
{
	(void)m;
	*ret = s->domain->domain->n_restarts;
	return true;
}

GETTER(get_domain_connected)
{
	(void)m;
	*ret = s->domain->domain->worker && worker_is_connected(s->domain->domain->worker);
	return true;
}

/* Networks. */

GETTER(get_network_active)
{
	(void)m;
	*ret = network_is_active(s->network->network);
	return true;
}

GETTER(get_network_ports)
{
	(void)m;
	*ret = network_n_ports(s->network->network);
	return true;
}

GETTER(get_network_restarts)
{
	(void)m;
	*ret = s->network->network->n_restarts;
	return network_is_active(s->network->network);
}

GETTER(get_network_resident)
{
	(void)m;
	*ret = s->network->process.usage.resident_bytes;
	return s->network->process.known;
}

/* Teams. */

GETTER(get_team_guests)
{
	const struct network_team *team = s->at;

	(void)m;
	*ret = team->state.guests_up;
	return true;
}

GETTER(get_team_members)
{
	const struct network_team *team = s->at;

	(void)m;
	*ret = team->state.n_members;
	return true;
}

/* offset: the flag. */
GETTER(get_member_flag)
{
	const struct net_team_member *member = s->at;

	*ret = member->flags & m->offset ? 1 : 0;
	return true;
}

GETTER(get_member_speed)
{
	const struct net_team_member *member = s->at;

	(void)m;
	*ret = member->mbps * UINT64_C(125000);
	return member->mbps;
}

#define GAUGE(metric_name, unit_of, scope_name, get_fn)                                            \
	.name = metric_name, .unit = (unit_of), .type = METRIC_GAUGE,                              \
	.scope = &metrics_scope_##scope_name, .get = (get_fn)
#define COUNTER(metric_name, unit_of, scope_name, get_fn)                                          \
	.name = metric_name, .unit = (unit_of), .type = METRIC_COUNTER,                            \
	.scope = &metrics_scope_##scope_name, .get = (get_fn)
#define INFO(metric_name, scope_name)                                                              \
	.name = metric_name, .type = METRIC_INFO, .scope = &metrics_scope_##scope_name,            \
	.get = get_one
#define AT(type, member) .offset = offsetof(struct type, member)

/* The counters that ports of all kinds have. 'who': receives what the first rows count. */
#define PORT_ROWS(prefix, scope_name, who)                                                         \
	{COUNTER(prefix "_receive_bytes", "bytes", scope_name, get_counter_at),                    \
		AT(net_port_counters, rx_bytes), .help = "Bytes that " who " was given."},         \
		{COUNTER(prefix "_receive_packets", NULL, scope_name, get_counter_at),             \
			AT(net_port_counters, rx_packets),                                         \
			.help = "Packets that " who " was given."},                                \
		{COUNTER(prefix "_receive_multicast_packets", NULL, scope_name, get_counter_at),   \
			AT(net_port_counters, rx_multicast),                                       \
			.help = "Multicast and broadcast packets among them."},                    \
		{COUNTER(prefix "_receive_gso_packets", NULL, scope_name, get_counter_at),         \
			AT(net_port_counters, rx_gso),                                             \
			.help = "Large packets among them, that stand for several."},              \
		{COUNTER(prefix "_receive_dropped_packets", NULL, scope_name##_drop, get_counter), \
			AT(net_port_counters, rx_drops),                                           \
			.help = "Packets that " who                                                \
				" should have been given, by why it was not."},                    \
		{COUNTER(prefix "_transmit_bytes", "bytes", scope_name, get_counter_at),           \
			AT(net_port_counters, tx_bytes), .help = "Bytes that " who " sent."},      \
		{COUNTER(prefix "_transmit_packets", NULL, scope_name, get_counter_at),            \
			AT(net_port_counters, tx_packets), .help = "Packets that " who " sent."},  \
		{COUNTER(prefix "_transmit_gso_packets", NULL, scope_name, get_counter_at),        \
			AT(net_port_counters, tx_gso),                                             \
			.help = "Large packets among them, that stand for several."},              \
	{                                                                                          \
		COUNTER(prefix "_transmit_dropped_packets", NULL, scope_name##_drop, get_counter), \
			AT(net_port_counters, tx_drops),                                           \
			.help = "Packets that " who " sent and that went no further, by why."      \
	}

const struct metric metrics[] = {
	{INFO("vmmd_build", build), .help = "The daemon's version, and that of its interface."},
	{COUNTER("vmmd_daemon_cpu_seconds", "seconds", daemon, get_daemon_cpu), .form = METRIC_NS,
		.help = "CPU time of the daemon."},
	{GAUGE("vmmd_daemon_resident_memory_bytes", "bytes", daemon, get_daemon_resident),
		.help = "Memory of the daemon's that is resident."},
	{GAUGE("vmmd_daemon_open_fds", NULL, daemon, get_u64_at), AT(metrics_host, daemon_fds),
		.help = "File descriptors that the daemon has open."},
	{GAUGE("vmmd_daemon_max_fds", NULL, daemon, get_daemon_max_fds),
		.help = "File descriptors that the daemon may have open."},
	{GAUGE("vmmd_daemon_start_time_seconds", "seconds", daemon, get_manager_at),
		AT(manager, start_time_usec), .form = METRIC_USEC,
		.help = "When the daemon started, in seconds since 1970."},
	{COUNTER("vmmd_daemon_loop_turns", NULL, daemon, get_manager_at), AT(manager, loop.turns),
		.help = "Turns of the daemon's event loop."},
	{COUNTER("vmmd_daemon_loop_busy_seconds", "seconds", daemon, get_manager_at),
		AT(manager, loop.busy_ns), .form = METRIC_NS,
		.help = "Time that the daemon's event loop was at work, and not waiting."},
	{COUNTER("vmmd_daemon_loop_slow_turns", NULL, daemon, get_manager_at),
		AT(manager, loop.slow_turns),
		.help = "Turns that took more than 0.1 s, for which every caller waited."},
	{COUNTER("vmmd_daemon_events", NULL, daemon, get_manager_at), AT(manager, sequence),
		.help = "Events of domains and networks that were told."},
	{COUNTER("vmmd_oom_kills", NULL, daemon, get_manager_at), AT(manager, n_oom_kills),
		.help = "Workers of domains that the kernel's OOM killer ended, since the daemon "
			"started."},
	{GAUGE("vmmd_rpc_connections", NULL, daemon, get_connections),
		.help = "Callers connected by JSON-RPC."},
	{GAUGE("vmmd_rpc_subscriptions", NULL, daemon, get_subscriptions),
		.help = "Subscriptions to events that they hold."},
	{COUNTER("vmmd_api_calls", NULL, call, get_value),
		.help = "Calls of the interface, by D-Bus and JSON-RPC, by method and class of "
			"error (OK: none)."},
	{GAUGE("vmmd_jobs", NULL, job, get_u64_at), AT(job_count, running),
		.help = "Jobs that run now, by operation."},
	{COUNTER("vmmd_jobs_ended", NULL, job_end, get_value),
		.help = "Jobs that are over, by operation and result."},
	{COUNTER("vmmd_job_seconds", "seconds", job, get_u64_at), AT(job_count, usec),
		.form = METRIC_USEC, .help = "Time that jobs which are over took, added up."},

	{GAUGE("vmmd_host_cpus", NULL, host, get_host_cpus), .help = "The host's CPUs."},
	{COUNTER("vmmd_host_cpu_seconds", "seconds", host_mode, get_ticks), .form = METRIC_NS,
		.help = "Time of all the host's CPUs; guests' is part of user."},
	{GAUGE("vmmd_host_memory_bytes", "bytes", host, get_u64_at), AT(metrics_host, memory_kib),
		.form = METRIC_KIB, .help = "The host's memory."},
	{GAUGE("vmmd_host_memory_available_bytes", "bytes", host, get_u64_at),
		AT(metrics_host, available_kib), .form = METRIC_KIB,
		.help = "Memory that can be had without swapping."},
	{GAUGE("vmmd_host_hugepages_bytes", "bytes", host, get_u64_at), AT(metrics_host, huge_kib),
		.form = METRIC_KIB,
		.help = "Memory set aside as huge pages of the host's default size."},
	{GAUGE("vmmd_host_hugepages_free_bytes", "bytes", host, get_u64_at),
		AT(metrics_host, huge_free_kib), .form = METRIC_KIB,
		.help = "What of it nobody has."},

	{COUNTER("vmmd_host_pressure_seconds", "seconds", host_pressure, get_value),
		.form = METRIC_USEC,
		.help = "Time in which some task of the host's, or all that could run, waited for "
			"the resource; where the kernel counts it (PSI)."},
	{GAUGE("vmmd_domains_memory_bytes", "bytes", host, get_u64_at),
		AT(metrics_host, domains_kib), .form = METRIC_KIB,
		.help = "What domains that are active may come to use of the host's memory: what "
			"--memory-limit limits."},
	{GAUGE("vmmd_domains_memory_limit_bytes", "bytes", daemon, get_manager_at),
		AT(manager, options.memory_limit_kib), .form = METRIC_KIB,
		.help = "vmmd --memory-limit; 0: none."},
	{GAUGE("vmmd_memory_policy_on", NULL, daemon, get_policy_on),
		.help = "1: the host's memory policy is on."},
	{COUNTER("vmmd_memory_policy_decisions", NULL, memory_action, get_value),
		.help = "Decisions of the host's memory policy since the daemon started."},
	{GAUGE("vmmd_domains", NULL, domains, get_value), .help = "Domains, by state."},
	{INFO("vmmd_domain", domain_info), .help = "Name and UUID of a domain."},
	{GAUGE("vmmd_domain_state", NULL, domain_state, get_one),
		.help = "1 for the state that the domain is in."},
	{GAUGE("vmmd_domain_vcpus", NULL, domain, get_domain_vcpus), .help = "vCPUs that are on."},
	{GAUGE("vmmd_domain_memory_bytes", "bytes", domain, get_domain_memory), .form = METRIC_KIB,
		.help = "Memory that the guest has now."},
	{GAUGE("vmmd_domain_memory_max_bytes", "bytes", domain, get_domain_memory_max),
		.form = METRIC_KIB, .help = "Memory that the guest may have."},
	{GAUGE("vmmd_domain_resident_memory_bytes", "bytes", domain, get_domain_resident),
		.help = "Memory of the worker's that is resident: the guest's, as far as it was "
			"touched, and its own."},
	{GAUGE("vmmd_domain_memory_taken_bytes", "bytes", domain, get_domain_taken),
		.form = METRIC_KIB,
		.help = "Memory of currentMemory that the host's memory policy has told the guest "
			"to do without."},
	{COUNTER("vmmd_domain_balloon_given_back_bytes", "bytes", domain, get_counter_at),
		AT(vm_stats_page, balloon.given_back),
		.help = "Memory that the host got back because the guest gave it up."},
	{COUNTER("vmmd_domain_balloon_reported_bytes", "bytes", domain, get_counter_at),
		AT(vm_stats_page, balloon.reported),
		.help = "Memory that the host got back because the guest reported it to be free."},
	{GAUGE("vmmd_domain_guest_memory_unused_bytes", "bytes", domain, get_guest_memory),
		AT(vm_stats_page, balloon.values[4]),
		.help = "Memory that is free in the guest, when it was asked last."},
	{GAUGE("vmmd_domain_guest_memory_usable_bytes", "bytes", domain, get_guest_memory),
		AT(vm_stats_page, balloon.values[6]),
		.help = "Memory that the guest could have for a new program without swapping, when "
			"it "
			"was asked last."},
	{GAUGE("vmmd_domain_mmu_small_pages", NULL, domain, get_mmu),
		AT(vm_stats_page, mmu.values[VM_MMU_PAGES_4K]),
		.help = "Pages of 4 KiB by which KVM maps the guest's memory, when somebody asked "
			"last (GetMmuStats)."},
	{GAUGE("vmmd_domain_mmu_large_pages", NULL, domain, get_mmu),
		AT(vm_stats_page, mmu.values[VM_MMU_PAGES_2M]), .help = "The same of 2 MiB."},
	{GAUGE("vmmd_domain_mmu_giant_pages", NULL, domain, get_mmu),
		AT(vm_stats_page, mmu.values[VM_MMU_PAGES_1G]), .help = "The same of 1 GiB."},
	{COUNTER("vmmd_domain_mmu_faults", NULL, domain, get_mmu),
		AT(vm_stats_page, mmu.values[VM_MMU_FAULTS]),
		.help = "Page faults of the guest that KVM took, when somebody asked last."},
	{COUNTER("vmmd_domain_cpu_seconds", "seconds", domain_mode, get_value), .form = METRIC_NS,
		.help = "CPU time of the worker: running the guest, and for it in user and kernel "
			"mode."},
	{GAUGE("vmmd_domain_threads", NULL, domain, get_domain_threads),
		.help = "Threads of the worker."},
	{GAUGE("vmmd_domain_worker_connected", NULL, domain, get_domain_connected),
		.help = "1 while the worker answers to the daemon."},
	{COUNTER("vmmd_domain_restarts", NULL, domain, get_domain_restarts),
		.help = "Starts by on_poweroff, on_reboot and on_crash since somebody started it."},
	{COUNTER("vmmd_domain_device_failures", NULL, domain, get_counter_at),
		AT(vm_stats_page, needs_reset),
		.help = "Devices that gave up because of their driver's mistakes."},
	{COUNTER("vmmd_domain_loop_turns", NULL, domain, get_counter_at),
		AT(vm_stats_page, heartbeat), .help = "Turns of the worker's event loop."},

	{COUNTER("vmmd_vcpu_cpu_seconds", "seconds", vcpu, get_u64_at), AT(process_times, run_ns),
		.form = METRIC_NS, .help = "CPU time of the vCPU's thread."},
	{COUNTER("vmmd_domain_pressure_seconds", "seconds", domain_pressure, get_value),
		.form = METRIC_USEC,
		.help = "Time in which some thread of the worker, or all that could run, waited "
			"for the resource; with control groups of version 2 (PSI)."},
	{COUNTER("vmmd_vcpu_delay_seconds", "seconds", vcpu, get_u64_at),
		AT(process_times, delay_ns), .form = METRIC_NS,
		.help = "Time that the thread was ready and the host had no CPU for it."},
	{COUNTER("vmmd_vcpu_exits", NULL, exit, get_counter),
		.help = "Exits from the guest to the worker, by cause."},

	{COUNTER("vmmd_disk_read_bytes", "bytes", disk, get_counter_at),
		AT(vm_stats_disk, rd_bytes), .help = "Bytes read."},
	{COUNTER("vmmd_disk_read_requests", NULL, disk, get_counter_at), AT(vm_stats_disk, rd_reqs),
		.help = "Read requests done."},
	{COUNTER("vmmd_disk_read_seconds", "seconds", disk, get_counter_at),
		AT(vm_stats_disk, rd_ns), .form = METRIC_NS,
		.help = "Time that they took, added up."},
	{COUNTER("vmmd_disk_written_bytes", "bytes", disk, get_counter_at),
		AT(vm_stats_disk, wr_bytes), .help = "Bytes written."},
	{COUNTER("vmmd_disk_write_requests", NULL, disk, get_counter_at),
		AT(vm_stats_disk, wr_reqs), .help = "Write requests done."},
	{COUNTER("vmmd_disk_write_seconds", "seconds", disk, get_counter_at),
		AT(vm_stats_disk, wr_ns), .form = METRIC_NS,
		.help = "Time that they took, added up."},
	{COUNTER("vmmd_disk_flush_requests", NULL, disk, get_counter_at),
		AT(vm_stats_disk, fl_reqs), .help = "Flush requests done."},
	{COUNTER("vmmd_disk_flush_seconds", "seconds", disk, get_counter_at),
		AT(vm_stats_disk, fl_ns), .form = METRIC_NS,
		.help = "Time that they took, added up."},
	{COUNTER("vmmd_disk_errors", NULL, disk, get_counter_at), AT(vm_stats_disk, errors),
		.help = "Requests that failed."},
	{GAUGE("vmmd_disk_capacity_bytes", "bytes", disk, get_counter_at),
		AT(vm_stats_disk, capacity), .help = "The disk's size."},

	PORT_ROWS("vmmd_interface", interface, "the guest"),

	{GAUGE("vmmd_network_active", NULL, network, get_network_active),
		.help = "1 while the network is active."},
	{GAUGE("vmmd_network_ports", NULL, network, get_network_ports),
		.help = "Ports for interfaces of domains."},
	{COUNTER("vmmd_network_worker_restarts", NULL, network, get_network_restarts),
		.help = "Times that the network's worker died and was started again since the "
			"network "
			"was started."},
	{GAUGE("vmmd_network_resident_memory_bytes", "bytes", network, get_network_resident),
		.help = "Memory of the network's worker that is resident."},
	{COUNTER("vmmd_network_cpu_seconds", "seconds", network_mode, get_value), .form = METRIC_NS,
		.help = "CPU time of the network's worker."},
	{COUNTER("vmmd_network_loop_turns", NULL, network, get_counter_at),
		AT(net_stats_page, heartbeat), .help = "Turns of the network worker's event loop."},
	PORT_ROWS("vmmd_port", port, "the port's owner"),
	PORT_ROWS("vmmd_uplink", uplink, "the uplink"),

	{GAUGE("vmmd_team_members", NULL, team, get_team_members), .help = "NICs of the team."},
	{GAUGE("vmmd_team_active_members", NULL, team, get_u32_at),
		AT(network_team, state.n_active), .help = "Members that carry frames."},
	{GAUGE("vmmd_team_usable_members", NULL, team, get_u32_at),
		AT(network_team, state.n_usable), .help = "Members that could."},
	{GAUGE("vmmd_team_guests_link_up", NULL, team, get_team_guests),
		.help = "1 while guests see their link up."},
	{COUNTER("vmmd_team_failovers", NULL, team, get_u64_at), AT(network_team, n_reports),
		.help = "Reports of flows that were moved, failures and planned moves alike."},
	{COUNTER("vmmd_team_reflected_packets", NULL, team, get_u64_at),
		AT(network_team, state.rx_reflected),
		.help = "Guests' own packets that came back and were dropped."},
	{COUNTER("vmmd_team_duplicate_packets", NULL, team, get_u64_at),
		AT(network_team, state.rx_duplicate),
		.help = "Packets that came by a second member and were dropped."},
	{GAUGE("vmmd_team_member_state", NULL, member_state, get_one),
		.help = "1 for the state that the member is in."},
	{GAUGE("vmmd_team_member_active", NULL, member, get_member_flag), .offset = NET_TEAM_ACTIVE,
		.help = "1 while the member carries frames."},
	{GAUGE("vmmd_team_member_link_up", NULL, member, get_member_flag), .offset = NET_TEAM_LINK,
		.help = "1 while the member has a carrier."},
	{GAUGE("vmmd_team_member_speed_bytes_per_second", "bytes_per_second", member,
		 get_member_speed),
		.help = "The link's speed, where the NIC knows it."},
	{GAUGE("vmmd_team_member_ports", NULL, member, get_u32_at), AT(net_team_member, ports),
		.help = "Ports, or buckets of a hash, that use the member."},
	{COUNTER("vmmd_team_member_flaps", NULL, member, get_u32_at), AT(net_team_member, flaps),
		.help = "Times that the carrier was lost."},
	{COUNTER("vmmd_team_member_failures", NULL, member_failure, get_value),
		.help = "Times that the member went out of use, by who noticed."},
	{COUNTER("vmmd_team_member_receive_packets", NULL, member, get_u64_at),
		AT(net_team_member, rx_frames), .help = "Packets that came by the member."},
	{COUNTER("vmmd_team_member_transmit_packets", NULL, member, get_u64_at),
		AT(net_team_member, tx_frames), .help = "Packets that left by the member."},
	{COUNTER("vmmd_team_member_transmit_bytes", "bytes", member, get_u64_at),
		AT(net_team_member, tx_bytes), .help = "Bytes that left by the member."},
	{COUNTER("vmmd_team_member_transmit_refused_packets", NULL, member, get_u64_at),
		AT(net_team_member, tx_refused), .help = "Packets that the NIC refused."},
};
const size_t n_metrics = ARRAY_SIZE(metrics);
