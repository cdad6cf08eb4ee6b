/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is to measure: one look at /proc, and a walk for each scope. Tested by tests/unit/test-metrics.c. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build-config.h"
#include "daemon/api.h"
#include "daemon/domain-nic.h"
#include "daemon/job.h"
#include "daemon/memory-limit.h"
#include "daemon/metrics-internal.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

static void look_at_process(pid_t pid, struct metrics_process *ret)
{
	ret->known = process_usage(pid, &ret->usage) == 0;
}

static void look_at_memory(struct metrics_host *host)
{
	_cleanup_(freep) char *text = NULL;
	uint64_t pages = 0, free_pages = 0, size_kib = 0;
	const struct {
		const char *key;
		uint64_t *ret;
	} keys[] = {{"MemTotal:", &host->memory_kib}, {"MemAvailable:", &host->available_kib},
		{"HugePages_Total:", &pages}, {"HugePages_Free:", &free_pages},
		{"Hugepagesize:", &size_kib}};

	if (read_file(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *p = strstr(text, keys[i].key);

		if (p)
			(void)sscanf(p + strlen(keys[i].key), " %" SCNu64, keys[i].ret);
	}
	host->huge_kib = pages * size_kib;
	host->huge_free_kib = free_pages * size_kib;
}

static void look_at_host(struct metrics_host *host)
{
	uint64_t *t = host->cpu_ticks;
	FILE *f = fopen("/proc/stat", "re");
	int n_fds = process_count_fds(getpid());

	look_at_process(getpid(), &host->daemon);
	host->daemon_fds = n_fds > 0 ? (uint64_t)n_fds : 0;
	look_at_memory(host);
	if (!f)
		return;
	(void)!fscanf(f,
		"cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		" %" SCNu64 " %" SCNu64,
		&t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]);
	(void)fclose(f);
}

static int look_at_domain(const struct domain *d, struct metrics_domain *ret)
{
	unsigned n = MIN(domain_current(d)->vcpus_max, (uint32_t)VM_MAX_VCPUS);

	ret->domain = d;
	if (!d->worker)
		return 0;
	look_at_process(worker_pid(d->worker), &ret->process);
	ret->vcpus = calloc(MAX(n, 1U), sizeof(*ret->vcpus));
	if (!ret->vcpus)
		return -ENOMEM;
	if (process_vcpu_times(worker_pid(d->worker), ret->vcpus, n, /* with_wait= */ false) == 0)
		ret->n_vcpus = n;
	return 0;
}

int metrics_look(struct metrics_walk *walk)
{
	const struct manager *m = walk->source->manager;
	struct memory_use use;
	struct list *pos;
	int r = 0;

	look_at_host(&walk->host);
	memory_use_read(m, &use);
	walk->host.domains_kib = use.used_kib;
	walk->domains = calloc(m->n_domains + 1, sizeof(*walk->domains));
	walk->networks = calloc(m->n_networks + 1, sizeof(*walk->networks));
	if (!walk->domains || !walk->networks)
		return -ENOMEM;
	list_for_each (pos, &m->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		if (r == 0 && domain_is_active(d) && domain_current(d))
			r = look_at_domain(d, &walk->domains[walk->n_domains++]);
	}
	list_for_each (pos, &m->networks) {
		struct metrics_network *n = &walk->networks[walk->n_networks++];

		n->network = list_entry(pos, struct network, link);
		if (n->network->worker)
			look_at_process(worker_pid(n->network->worker), &n->process);
	}
	return r;
}

void metrics_forget(struct metrics_walk *walk)
{
	for (unsigned i = 0; i < walk->n_domains; i++)
		free(walk->domains[i].vcpus);
	free(walk->domains);
	free(walk->networks);
}

/* The daemon and its host. */

static void each_one(struct metrics_walk *walk, const struct metric *m)
{
	metrics_emit(&(struct metric_subject){.walk = walk, .at = &walk->host}, m);
}

const struct metric_scope metrics_scope_daemon = {"daemon", {NULL}, each_one};
const struct metric_scope metrics_scope_host = {"host", {NULL}, each_one};

static void each_build(struct metrics_walk *walk, const struct metric *m)
{
	metrics_emit(
		&(struct metric_subject){.walk = walk, .values = {VMMD_VERSION, API_VERSION}}, m);
}

const struct metric_scope metrics_scope_build = {"build", {"version", "api"}, each_build};

static void each_call(struct metrics_walk *walk, const struct metric *m)
{
	const uint64_t *counts = walk->source->manager->api_counts;

	for (size_t i = 0; counts && i < n_api_methods; i++)
		for (unsigned code = 0; code < ERROR_CODE_X_MAX; code++) {
			const uint64_t *n = &counts[i * ERROR_CODE_X_MAX + code];

			if (*n)
				metrics_emit(&(struct metric_subject){.walk = walk,
						     .at = n,
						     .values = {api_methods[i].name,
							     code ? error_code_name(code) : "OK"}},
					m);
		}
}

const struct metric_scope metrics_scope_call = {"call", {"method", "result"}, each_call};

static void each_job(struct metrics_walk *walk, const struct metric *m)
{
	const struct jobs *jobs = walk->source->manager->jobs;

	for (size_t i = 0; jobs && i < n_job_kinds; i++)
		metrics_emit(&(struct metric_subject){.walk = walk,
				     .at = &jobs_counts(jobs)[i],
				     .values = {job_kinds[i].name}},
			m);
}

const struct metric_scope metrics_scope_job = {"kind of job", {"operation"}, each_job};

static void each_job_end(struct metrics_walk *walk, const struct metric *m)
{
	const struct jobs *jobs = walk->source->manager->jobs;

	for (size_t i = 0; jobs && i < n_job_kinds; i++)
		for (unsigned state = JOB_DONE; state < JOB_STATE_X_MAX; state++)
			metrics_emit(&(struct metric_subject){.walk = walk,
					     .at = &jobs_counts(jobs)[i].ended[state],
					     .values = {job_kinds[i].name, job_state_name(state)}},
				m);
}

const struct metric_scope metrics_scope_job_end = {
	"kind of job, and end", {"operation", "result"}, each_job_end};

static void each_host_mode(struct metrics_walk *walk, const struct metric *m)
{
	static const char *const modes[ARRAY_SIZE(walk->host.cpu_ticks)] = {
		"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		metrics_emit(
			&(struct metric_subject){
				.walk = walk, .at = &walk->host.cpu_ticks[i], .values = {modes[i]}},
			m);
}

const struct metric_scope metrics_scope_host_mode = {"host CPU mode", {"mode"}, each_host_mode};

/* Domains. */

static void each_domain_state_sum(struct metrics_walk *walk, const struct metric *m)
{
	uint64_t sums[DOMAIN_STATE_X_MAX] = {0};
	struct list *pos;

	list_for_each (pos, &walk->source->manager->domains)
		sums[list_entry(pos, struct domain, link)->state]++;
	for (unsigned i = DOMAIN_STATE_RUNNING; i < DOMAIN_STATE_X_MAX; i++)
		metrics_emit(
			&(struct metric_subject){
				.walk = walk, .at = &sums[i], .values = {domain_state_name(i)}},
			m);
}

const struct metric_scope metrics_scope_domains = {"domains", {"state"}, each_domain_state_sum};

static void each_domain_info(struct metrics_walk *walk, const struct metric *m)
{
	char uuid[UUID_STRING_LEN + 1];
	struct list *pos;

	list_for_each (pos, &walk->source->manager->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		uuid_format(d->uuid, uuid);
		metrics_emit(&(struct metric_subject){.walk = walk, .values = {d->name, uuid}}, m);
	}
}

const struct metric_scope metrics_scope_domain_info = {
	"every domain", {"domain", "uuid"}, each_domain_info};

static void each_domain_state(struct metrics_walk *walk, const struct metric *m)
{
	struct list *pos;

	list_for_each (pos, &walk->source->manager->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		metrics_emit(&(struct metric_subject){.walk = walk,
				     .values = {d->name, domain_state_name(d->state)}},
			m);
	}
}

const struct metric_scope metrics_scope_domain_state = {
	"every domain", {"domain", "state"}, each_domain_state};

static const void *page_of(const struct metrics_domain *d)
{
	return d->domain->stats ? stats_view_page(d->domain->stats) : NULL;
}

static void each_domain(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_domains; i++)
		metrics_emit(&(struct metric_subject){.walk = walk,
				     .domain = &walk->domains[i],
				     .at = page_of(&walk->domains[i]),
				     .values = {walk->domains[i].domain->name}},
			m);
}

const struct metric_scope metrics_scope_domain = {"active domain", {"domain"}, each_domain};

/* Of a process: what it does for itself, in the kernel, and as a guest. */
static void each_mode(
	struct metric_subject *s, const struct metrics_process *process, const struct metric *m)
{
	const struct process_usage *u = &process->usage;
	/* A tick may be counted between two of the numbers. */
	const struct {
		const char *name;
		uint64_t ns;
	} modes[] = {{"user", u->user_ns - MIN(u->guest_ns, u->user_ns)}, {"system", u->system_ns},
		{"guest", u->guest_ns}};

	for (size_t i = 0; process->known && i < ARRAY_SIZE(modes); i++) {
		s->at = &modes[i].ns;
		s->values[1] = modes[i].name;
		metrics_emit(s, m);
	}
}

static void each_domain_mode(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_domains; i++)
		each_mode(&(struct metric_subject){.walk = walk,
				  .values = {walk->domains[i].domain->name}},
			&walk->domains[i].process, m);
}

const struct metric_scope metrics_scope_domain_mode = {
	"active domain", {"domain", "mode"}, each_domain_mode};

static void each_vcpu(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_domains; i++)
		for (unsigned k = 0; k < walk->domains[i].n_vcpus; k++) {
			char number[16];

			if (!domain_vcpu_is_online(walk->domains[i].domain, k))
				continue;
			(void)snprintf(number, sizeof(number), "%u", k);
			metrics_emit(&(struct metric_subject){.walk = walk,
					     .at = &walk->domains[i].vcpus[k],
					     .values = {walk->domains[i].domain->name, number}},
				m);
		}
}

const struct metric_scope metrics_scope_vcpu = {
	"vCPU of an active domain", {"domain", "vcpu"}, each_vcpu};

static void each_exit(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_domains; i++) {
		const struct vm_stats_page *page = page_of(&walk->domains[i]);
		const struct domain *d = walk->domains[i].domain;
		unsigned n = MIN(domain_current(d)->vcpus_max, (uint32_t)VM_MAX_VCPUS);

		for (unsigned k = 0; page && k < n * ARRAY_SIZE(stats_exits); k++) {
			unsigned vcpu = k / ARRAY_SIZE(stats_exits),
				 cause = k % ARRAY_SIZE(stats_exits);
			char number[16];

			if (!domain_vcpu_is_online(d, vcpu))
				continue;
			(void)snprintf(number, sizeof(number), "%u", vcpu);
			metrics_emit(&(struct metric_subject){.walk = walk,
					     .at = (const char *)&page->vcpus[vcpu] +
						     stats_exits[cause].offset,
					     .values = {d->name, number, stats_exits[cause].cause}},
				m);
		}
	}
}

const struct metric_scope metrics_scope_exit = {
	"vCPU of an active domain, and cause", {"domain", "vcpu", "cause"}, each_exit};

static void each_disk(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_domains; i++) {
		const struct vm_stats_page *page = page_of(&walk->domains[i]);
		const struct definition *current = domain_current(walk->domains[i].domain);

		for (unsigned k = 0; page && k < MIN(current->n_disks, (uint32_t)VM_MAX_DISKS); k++)
			metrics_emit(&(struct metric_subject){.walk = walk,
					     .at = &page->disks[k],
					     .values = {walk->domains[i].domain->name,
						     current->disks[k].target}},
				m);
	}
}

const struct metric_scope metrics_scope_disk = {
	"disk of an active domain", {"domain", "disk"}, each_disk};

/* Ports of all kinds. */

typedef void (*port_fn)(struct metric_subject *s, const struct metric *m);

static void emit_port(struct metric_subject *s, const struct metric *m)
{
	metrics_emit(s, m);
}

/* 'at' is the counters of a port: each reason that there was, by direction. metric.offset: the array. */
static void emit_drops(struct metric_subject *s, const struct metric *m)
{
	const char *counters = s->at;

	for (unsigned i = 1; i < NET_DROP_X_MAX; i++) {
		const stat_counter *c = (const void *)(counters + m->offset);

		if (!stat_read(&c[i]))
			continue;
		s->at = &c[i];
		s->values[2] = net_drop_to_string((enum net_drop)i);
		metrics_emit(s, m);
	}
	s->at = counters;
}

static void walk_interfaces(struct metrics_walk *walk, const struct metric *m, port_fn emit)
{
	for (unsigned i = 0; i < walk->n_domains; i++) {
		const struct domain *d = walk->domains[i].domain;
		const struct vm_stats_page *page = page_of(&walk->domains[i]);

		for (unsigned k = 0; page && d->live && k < d->live->vm.n_nics; k++) {
			unsigned number = d->live->nics[k].number;
			char name[NET_IFNAME_MAX + 8];

			/* One that has lost its network still has counters. */
			(void)snprintf(name, sizeof(name), "%s", domain_nic_target(d, number));
			if (!*name)
				(void)snprintf(name, sizeof(name), "net%u", number);
			emit(&(struct metric_subject){.walk = walk,
				     .at = &page->nics[number],
				     .values = {d->name, name}},
				m);
		}
	}
}

static void each_interface(struct metrics_walk *walk, const struct metric *m)
{
	walk_interfaces(walk, m, emit_port);
}

static void each_interface_drop(struct metrics_walk *walk, const struct metric *m)
{
	walk_interfaces(walk, m, emit_drops);
}

const struct metric_scope metrics_scope_interface = {
	"interface of an active domain", {"domain", "interface"}, each_interface};
const struct metric_scope metrics_scope_interface_drop = {
	"interface of an active domain, and reason", {"domain", "interface", "reason"},
	each_interface_drop};

static const struct net_stats_page *net_page_of(const struct metrics_network *n)
{
	return n->network->stats ? stats_view_network(n->network->stats) : NULL;
}

static void walk_ports(struct metrics_walk *walk, const struct metric *m, port_fn emit)
{
	for (unsigned i = 0; i < walk->n_networks; i++) {
		const struct network *n = walk->networks[i].network;
		const struct net_stats_page *page = net_page_of(&walk->networks[i]);
		struct metric_subject s = {.walk = walk, .values = {n->name}};
		struct list *pos;

		if (!page)
			continue;
		s.at = &page->ports[0];
		s.values[1] = "host";
		emit(&s, m);
		list_for_each (pos, &n->ports) {
			const struct network_port *p = list_entry(pos, struct network_port, link);
			char number[16];

			s.at = &page->ports[p->number];
			(void)snprintf(number, sizeof(number), "port%u", p->number);
			s.values[1] = *p->ifname ? p->ifname : number;
			emit(&s, m);
		}
	}
}

static void each_port(struct metrics_walk *walk, const struct metric *m)
{
	walk_ports(walk, m, emit_port);
}

static void each_port_drop(struct metrics_walk *walk, const struct metric *m)
{
	walk_ports(walk, m, emit_drops);
}

const struct metric_scope metrics_scope_port = {
	"port of an active network", {"network", "port"}, each_port};
const struct metric_scope metrics_scope_port_drop = {
	"port of an active network, and reason", {"network", "port", "reason"}, each_port_drop};

static void walk_uplinks(struct metrics_walk *walk, const struct metric *m, port_fn emit)
{
	for (unsigned i = 0; i < walk->n_networks; i++) {
		const struct network *n = walk->networks[i].network;
		const struct net_stats_page *page = net_page_of(&walk->networks[i]);

		/* One that was removed has no name. */
		for (unsigned k = 0; page && k < n->n_members; k++)
			if (*network_uplink_name(n, k))
				emit(&(struct metric_subject){.walk = walk,
					     .at = &page->uplinks[k],
					     .values = {n->name, network_uplink_name(n, k)}},
					m);
	}
}

static void each_uplink(struct metrics_walk *walk, const struct metric *m)
{
	walk_uplinks(walk, m, emit_port);
}

static void each_uplink_drop(struct metrics_walk *walk, const struct metric *m)
{
	walk_uplinks(walk, m, emit_drops);
}

const struct metric_scope metrics_scope_uplink = {
	"uplink of an active network", {"network", "uplink"}, each_uplink};
const struct metric_scope metrics_scope_uplink_drop = {"uplink of an active network, and reason",
	{"network", "uplink", "reason"}, each_uplink_drop};

/* Networks and teams. */

static void each_network(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_networks; i++)
		metrics_emit(&(struct metric_subject){.walk = walk,
				     .network = &walk->networks[i],
				     .at = net_page_of(&walk->networks[i]),
				     .values = {walk->networks[i].network->name}},
			m);
}

const struct metric_scope metrics_scope_network = {"network", {"network"}, each_network};

static void each_network_mode(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_networks; i++)
		each_mode(&(struct metric_subject){.walk = walk,
				  .values = {walk->networks[i].network->name}},
			&walk->networks[i].process, m);
}

const struct metric_scope metrics_scope_network_mode = {
	"active network", {"network", "mode"}, each_network_mode};

static const struct network_team *team_of(const struct metrics_network *n)
{
	const struct network_team *team = n->network->team;

	return team && team->known ? team : NULL;
}

static void each_team(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_networks; i++)
		if (team_of(&walk->networks[i]))
			metrics_emit(&(struct metric_subject){.walk = walk,
					     .network = &walk->networks[i],
					     .at = team_of(&walk->networks[i]),
					     .values = {walk->networks[i].network->name}},
				m);
}

const struct metric_scope metrics_scope_team = {
	"network whose worker has told of its uplinks", {"network"}, each_team};

static void walk_members(struct metrics_walk *walk, const struct metric *m, port_fn emit)
{
	for (unsigned i = 0; i < walk->n_networks; i++) {
		const struct network *n = walk->networks[i].network;
		const struct network_team *team = team_of(&walk->networks[i]);

		for (unsigned k = 0; team && k < team->state.n_members; k++)
			if (*network_uplink_name(n, k))
				emit(&(struct metric_subject){.walk = walk,
					     .at = &team->state.members[k],
					     .values = {n->name, network_uplink_name(n, k)}},
					m);
	}
}

static void each_member(struct metrics_walk *walk, const struct metric *m)
{
	walk_members(walk, m, emit_port);
}

static void emit_member_state(struct metric_subject *s, const struct metric *m)
{
	const struct net_team_member *member = s->at;

	s->values[2] = team_member_state_to_string(member->state);
	metrics_emit(s, m);
}

static void each_member_state(struct metrics_walk *walk, const struct metric *m)
{
	walk_members(walk, m, emit_member_state);
}

static void emit_member_failures(struct metric_subject *s, const struct metric *m)
{
	const struct net_team_member *member = s->at;

	for (unsigned i = 0; i < TEAM_DETECTOR_X_MAX; i++) {
		uint64_t n = member->failures[i];

		if (!n)
			continue;
		s->at = &n;
		s->values[2] = team_detector_to_string((enum team_detector)i);
		metrics_emit(s, m);
	}
}

static void each_member_failure(struct metrics_walk *walk, const struct metric *m)
{
	walk_members(walk, m, emit_member_failures);
}

const struct metric_scope metrics_scope_member = {
	"member of a team", {"network", "uplink"}, each_member};
const struct metric_scope metrics_scope_member_state = {
	"member of a team, and state", {"network", "uplink", "state"}, each_member_state};
const struct metric_scope metrics_scope_member_failure = {
	"member of a team, and detector", {"network", "uplink", "detector"}, each_member_failure};
