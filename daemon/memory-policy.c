/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's memory policy: see memory-policy.h. */
#include "daemon/memory-policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "daemon/host.h"
#include "daemon/journal.h"
#include "daemon/psi.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define MARK          "memory-policy"
#define ANSWER_USEC   (DOMAIN_STATS_USEC + UINT64_C(100000)) /* when all have answered, or are late */
#define FIRST_S       2 /* after the daemon's start: workers have been found by then */
#define ROW_OF_SWAP   0 /* of domain_memory_stats */
#define ROW_OF_FAULTS 2
#define ROW_OF_UNUSED 4
#define ROW_OF_USABLE 6

static_assert(DOMAIN_WEIGHT_MAX == SHARE_MAX_WEIGHT, "one range");

enum step { STEP_IDLE, STEP_LOOK, STEP_ANSWERS }; /* what the timer is for */

struct memory_policy {
	struct manager *manager;
	bool on;
	int error;
	sd_event_source *trigger, *timer;
	enum step step;
	bool pressed, is_episode;
	unsigned n_waits;
	uint64_t foreign_s; /* when that was recorded last; 0: never */
	struct share share;
	struct share_host host;
	uint32_t pressure;
	struct memory_decision *decisions; /* [MEMORY_POLICY_DECISIONS], a ring; NULL: never on */
	uint64_t n_decisions;
	uint64_t counts[MEMORY_ACTION_X_MAX];
};

const char *memory_action_name(enum memory_action action)
{
	static const char *const names[MEMORY_ACTION_X_MAX] = {
		[MEMORY_ON] = "on",
		[MEMORY_OFF] = "off",
		[MEMORY_PRESSURE] = "pressure",
		[MEMORY_FOREIGN] = "not-ours",
		[MEMORY_OVER] = "over",
		[MEMORY_TOOK] = "took",
		[MEMORY_GAVE] = "gave",
	};

	return names[action];
}

static uint64_t second_usec(const struct memory_policy *p)
{
	return p->manager->options.policy_second_usec ?: UINT64_C(1000000);
}

static uint64_t now_s(const struct memory_policy *p)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000) / second_usec(p);
}

/* Decisions. */

static void write_record(const struct memory_decision *m, const struct domain *d)
{
	char before[24], after[24], usable[24] = "", available[24], pressure[16];
	char uuid[UUID_STRING_LEN + 1] = "";
	const struct journal_field fields[] = {{"VMMD_ACTION", memory_action_name(m->action)},
		{"VMMD_REASON", m->reason}, {"VMMD_DOMAIN", m->domain}, {"VMMD_DOMAIN_UUID", uuid},
		{"VMMD_BEFORE_KIB", d ? before : ""}, {"VMMD_AFTER_KIB", d ? after : ""},
		{"VMMD_USABLE_KIB", usable}, {"VMMD_AVAILABLE_KIB", available},
		{"VMMD_PRESSURE", pressure}};

	if (d)
		uuid_format(d->uuid, uuid);
	(void)snprintf(before, sizeof(before), "%" PRIu64, m->before_kib);
	(void)snprintf(after, sizeof(after), "%" PRIu64, m->after_kib);
	if (m->usable_known)
		(void)snprintf(usable, sizeof(usable), "%" PRIu64, m->usable_kib);
	(void)snprintf(available, sizeof(available), "%" PRIu64, m->available_kib);
	(void)snprintf(pressure, sizeof(pressure), "%u.%02u", m->pressure / 100, m->pressure % 100);
	if (d)
		journal_write(JOURNAL_MEMORY_MOVED, fields, ARRAY_SIZE(fields),
			"memory policy: %s '%s' %" PRIu64 " MiB (%s): it is to do with %" PRIu64
			" MiB",
			m->action == MEMORY_TOOK ? "took from" : "gave", m->domain,
			(MAX(m->before_kib, m->after_kib) - MIN(m->before_kib, m->after_kib)) /
				1024,
			m->reason, m->after_kib / 1024);
	else
		journal_write(JOURNAL_MEMORY_POLICY, fields, ARRAY_SIZE(fields),
			"memory policy: %s (pressure %s %%, %" PRIu64 " MiB of the host available)",
			memory_action_name(m->action), pressure, m->available_kib / 1024);
}

/* 'd' and 'g' NULL: about the host. */
static void note(struct memory_policy *p, enum memory_action action, const char *reason,
	const struct domain *d, const struct share_guest *g)
{
	struct memory_decision m = {
		.action = action,
		.reason = reason,
		.available_kib = p->host.available,
		.pressure = p->pressure,
	};
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	m.time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (d) {
		(void)str_copy(m.domain, sizeof(m.domain), d->name);
		m.before_kib = g->target;
		m.after_kib = g->wanted;
		m.usable_known = g->known;
		m.usable_kib = g->usable;
	}
	p->counts[action]++;
	write_record(&m, d);
	if (!p->decisions)
		p->decisions = calloc(MEMORY_POLICY_DECISIONS, sizeof(*p->decisions));
	if (p->decisions)
		p->decisions[p->n_decisions++ % MEMORY_POLICY_DECISIONS] = m;
}

size_t memory_policy_n_decisions(const struct memory_policy *p)
{
	return (size_t)MIN(p->n_decisions, (uint64_t)MEMORY_POLICY_DECISIONS);
}

const struct memory_decision *memory_policy_decision(const struct memory_policy *p, size_t i)
{
	uint64_t first = p->n_decisions - memory_policy_n_decisions(p);

	assert(i < memory_policy_n_decisions(p));
	return &p->decisions[(first + i) % MEMORY_POLICY_DECISIONS];
}

const uint64_t *memory_policy_counts(const struct memory_policy *p)
{
	return p->counts;
}

/* What is. */

static void path_of(const struct memory_policy *p, const char *path, char ret[static 512])
{
	const char *root = p->manager->options.proc_root ?: "";

	(void)snprintf(ret, 512, "%s%s", root, path);
}

static void read_host(struct memory_policy *p)
{
	struct psi psi = {0};
	char path[512];

	path_of(p, PSI_HOST_MEMORY, path);
	(void)psi_read(path, &psi);
	p->pressure = psi.lines[PSI_SOME].avg10;
	path_of(p, HOST_MEMINFO, path);
	p->host = (struct share_host){.pressed = p->pressed};
	(void)host_read_meminfo(path, &p->host.total, &p->host.available);
}

static const char *why_not(const struct domain *d, const struct domain_balloon *balloon, bool has)
{
	const struct vm_config *vm = d->live ? &d->live->vm : NULL;

	if (!vm)
		return "it does not run";
	if (vm->balloon.model == VM_BALLOON_NONE)
		return "it has no balloon";
	if (vm->hugepage_kib)
		return "its memory is on huge pages";
	if (vm->memory_locked)
		return "its memory is locked";
	if (vm->memory_allocation == VM_ALLOCATION_IMMEDIATE)
		return "its memory is allocated at the start";
	if (d->guessed || !has || !balloon->ceiling_kib)
		return "its worker's numbers are not to be had";
	return NULL;
}

/* What its guest says, if that was just now. */
static void read_guest(const struct domain *d, struct share_guest *ret)
{
	struct domain_memory m;
	struct timespec now;
	uint64_t now_ns;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
	if (!domain_read_memory_stats(d, &m) || m.updated_ns > now_ns ||
		now_ns - m.updated_ns > MEMORY_POLICY_FRESH_NS)
		return;
	for (unsigned row = ROW_OF_USABLE; row >= ROW_OF_UNUSED; row -= 2)
		if (m.known >> domain_memory_stats[row].tag & 1) {
			ret->known = true;
			ret->usable = m.values[row];
			break;
		}
	if (d->run->policy.seen && m.values[ROW_OF_SWAP] > d->run->policy.swapped_in_kib)
		ret->swapped_in = m.values[ROW_OF_SWAP] - d->run->policy.swapped_in_kib;
	if (d->run->policy.seen && m.values[ROW_OF_FAULTS] > d->run->policy.major_faults)
		ret->major_faults = m.values[ROW_OF_FAULTS] - d->run->policy.major_faults;
}

bool memory_policy_read(const struct domain *d, struct share_guest *ret, const char **ret_why)
{
	struct domain_balloon balloon;
	bool has = domain_read_balloon(d, &balloon);

	*ret = (struct share_guest){0};
	*ret_why = why_not(d, &balloon, has);
	if (*ret_why)
		return false;
	*ret = (struct share_guest){
		.ceiling = balloon.ceiling_kib,
		.floor = d->live->memtune.min_kib ?: share_default_floor(balloon.ceiling_kib),
		.weight = (unsigned)MIN(d->live->memtune.weight ?: SHARE_DEFAULT_WEIGHT,
			(uint64_t)SHARE_MAX_WEIGHT),
		.target = balloon.target_kib,
		.has = balloon.has_kib,
		.waited = d->run->policy.waited,
	};
	ret->floor = MIN(ret->floor, ret->ceiling);
	read_guest(d, ret);
	return true;
}

static bool is_taken(const struct domain *d)
{
	struct share_guest g;
	const char *why;

	return domain_is_active(d) && memory_policy_read(d, &g, &why) && g.target + 4 <= g.ceiling;
}

static bool any_taken(const struct memory_policy *p)
{
	struct list *pos;

	list_for_each (pos, &p->manager->domains)
		if (is_taken(list_entry(pos, struct domain, link)))
			return true;
	return false;
}

/* Something can be said to it now. */
static bool takes_orders(const struct domain *d)
{
	return d->phase == DOMAIN_ACTIVE && !d->degraded && !d->n_balloon_wishes;
}

/* What is done. */

static void on_told(void *userdata, const struct error *error)
{
	(void)userdata;
	(void)error; /* it has not done as it was told: the next look sees that */
}

static void tell(struct memory_policy *p, const struct share_guest *g, const char *reason)
{
	struct domain *d = g->who;
	struct error e = {0};

	if (domain_set_balloon(d, g->wanted, on_told, NULL, &e) < 0) {
		log_debug("memory policy: domain '%s': %s", d->name, e.message);
		return;
	}
	note(p, g->wanted < g->target ? MEMORY_TOOK : MEMORY_GAVE, reason, d, g);
}

/* All back, at once: it is off. */
static void release_all(struct memory_policy *p)
{
	struct list *pos;

	list_for_each (pos, &p->manager->domains) {
		struct domain *d = list_entry(pos, struct domain, link);
		struct share_guest g;
		const char *why;

		if (!is_taken(d) || !takes_orders(d) || !memory_policy_read(d, &g, &why))
			continue;
		g.who = d;
		g.wanted = g.ceiling;
		tell(p, &g, "off");
	}
}

/* What the next look compares with. */
static void remember(const struct share_guest *g)
{
	struct domain *d = g->who;
	struct domain_memory m;

	d->run->policy.waited = g->waited;
	if (!g->known || !domain_read_memory_stats(d, &m))
		return;
	d->run->policy.seen = true;
	d->run->policy.swapped_in_kib = m.values[ROW_OF_SWAP];
	d->run->policy.major_faults = m.values[ROW_OF_FAULTS];
}

/* Everybody who takes part: the caller frees them. NULL: none, or no memory. */
static struct share_guest *gather(const struct memory_policy *p, size_t *ret_n)
{
	struct share_guest *guests = calloc(p->manager->n_domains + 1, sizeof(*guests));
	struct list *pos;
	size_t n = 0;

	list_for_each (pos, &p->manager->domains) {
		struct domain *d = list_entry(pos, struct domain, link);
		const char *why;

		if (!guests || !takes_orders(d) || !memory_policy_read(d, &guests[n], &why))
			continue;
		guests[n].who = d;
		guests[n++].known &= d->state == DOMAIN_STATE_RUNNING;
	}
	*ret_n = n;
	return guests;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void wait_for(struct memory_policy *p, enum step step, uint64_t usec)
{
	p->timer = sd_event_source_disable_unref(p->timer);
	p->step = step;
	if (step != STEP_IDLE &&
		sd_event_add_time_relative(
			p->manager->event, &p->timer, CLOCK_MONOTONIC, usec, 0, on_timer, p) < 0) {
		log_warning("memory policy: there is no timer to be had");
		p->step = STEP_IDLE;
	}
}

static void end_look(struct memory_policy *p, unsigned after_s)
{
	if (!after_s && any_taken(p))
		after_s = SHARE_SLOW_S;
	if (!after_s && p->is_episode) {
		note(p, MEMORY_OVER, "", NULL, NULL);
		p->is_episode = false;
	}
	wait_for(p, after_s ? STEP_LOOK : STEP_IDLE, after_s * second_usec(p));
}

static void note_foreign(struct memory_policy *p)
{
	uint64_t now = now_s(p);

	if (p->foreign_s && now - p->foreign_s < MEMORY_POLICY_FOREIGN_S)
		return;
	p->foreign_s = now;
	note(p, MEMORY_FOREIGN, "", NULL, NULL);
}

/* All have answered, or are late. */
static void decide(struct memory_policy *p)
{
	struct share_guest *guests;
	unsigned after_s;
	size_t n;

	read_host(p);
	p->pressed = false;
	guests = gather(p, &n);
	after_s = share_look(&p->share, now_s(p), &p->host, guests, guests ? n : 0);
	if (p->share.foreign)
		note_foreign(p);
	for (size_t i = 0; guests && i < n; i++) {
		remember(&guests[i]);
		if (guests[i].reason)
			tell(p, &guests[i], share_reason_name(guests[i].reason));
	}
	free(guests);
	end_look(p, after_s);
}

static void on_answer(void *userdata, const struct error *error)
{
	struct memory_policy *p = userdata;

	(void)error;
	if (p->step == STEP_ANSWERS && p->n_waits && !--p->n_waits)
		wait_for(p, STEP_ANSWERS, 0);
}

static void ask_all(struct memory_policy *p)
{
	struct list *pos;

	p->n_waits = 0;
	list_for_each (pos, &p->manager->domains) {
		struct domain *d = list_entry(pos, struct domain, link);
		struct share_guest g;
		const char *why;

		if (takes_orders(d) && memory_policy_read(d, &g, &why) &&
			domain_ask_stats(d, on_answer, p) == 0)
			p->n_waits++;
	}
	wait_for(p, STEP_ANSWERS, p->n_waits ? ANSWER_USEC : 0);
}

/* Who is hung, starting or busy is told later. */
static void give_all_back(struct memory_policy *p)
{
	release_all(p);
	wait_for(p, any_taken(p) ? STEP_LOOK : STEP_IDLE, SHARE_SLOW_S * second_usec(p));
}

static void look(struct memory_policy *p)
{
	read_host(p);
	if (!p->on) {
		give_all_back(p);
		return;
	}
	/* Guests that cannot help are not woken for that. */
	if (share_is_foreign(&p->host) && !any_taken(p)) {
		if (p->pressed)
			note_foreign(p);
		p->pressed = false;
		end_look(p, 0);
		return;
	}
	if (p->pressed && !p->is_episode) {
		p->is_episode = true;
		note(p, MEMORY_PRESSURE, "", NULL, NULL);
	}
	ask_all(p);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct memory_policy *p = userdata;

	(void)source;
	(void)usec;
	if (p->step == STEP_ANSWERS)
		decide(p);
	else
		look(p);
	return 0;
}

void memory_policy_fire(struct memory_policy *p)
{
	p->pressed = true;
	if (p->on && p->step != STEP_ANSWERS)
		look(p);
}

/* The switch. */

static int on_trigger(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)fd;
	/* The control group or the file is gone: it would never end. */
	if (events & EPOLLERR && !(events & EPOLLPRI))
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	else
		memory_policy_fire(userdata);
	return 0;
}

int memory_policy_watch(struct memory_policy *p, int fd)
{
	int r;

	p->trigger = sd_event_source_disable_unref(p->trigger);
	r = sd_event_add_io(p->manager->event, &p->trigger, fd, EPOLLPRI, on_trigger, p);
	if (r >= 0)
		r = sd_event_source_set_io_fd_own(p->trigger, true);
	if (r < 0)
		(void)safe_close(fd);
	/* A file that cannot be watched is a test's, which says itself when it fires. */
	return r == -EPERM && p->manager->options.proc_root ? 0 : r;
}

static int open_trigger(struct memory_policy *p)
{
	char path[512];
	int fd;

	path_of(p, PSI_HOST_MEMORY, path);
	fd = psi_open_trigger(path, MEMORY_POLICY_STALL_US);
	return fd < 0 ? fd : memory_policy_watch(p, fd);
}

static void switch_off(struct memory_policy *p)
{
	p->trigger = sd_event_source_disable_unref(p->trigger);
	p->on = p->pressed = p->is_episode = false;
	p->error = 0;
	p->share = (struct share){0};
	read_host(p);
	note(p, MEMORY_OFF, "", NULL, NULL);
	give_all_back(p);
}

int memory_policy_set(struct memory_policy *p, bool on, struct error *error)
{
	int r;

	if (on == p->on && !p->error)
		return 0;
	r = on ? open_trigger(p) : 0;
	if (r < 0)
		return error_set(error, ERROR_NOT_SUPPORTED,
			"the memory policy cannot be switched on: %s", psi_why_not(r));
	r = store_put_mark(p->manager->store, MARK, on);
	if (r < 0) {
		if (on)
			p->trigger = sd_event_source_disable_unref(p->trigger);
		return error_set_errno(error, r, "cannot keep the memory policy's switch");
	}
	if (!on) {
		switch_off(p);
		return 0;
	}
	p->on = true;
	p->error = 0;
	read_host(p);
	note(p, MEMORY_ON, "", NULL, NULL);
	return 0;
}

void memory_policy_load(struct memory_policy *p)
{
	struct list *pos;
	bool any = false;

	p->on = store_has_mark(p->manager->store, MARK);
	p->error = p->on ? MIN(open_trigger(p), 0) : 0;
	if (p->error)
		log_warning("the memory policy is on and does nothing: %s", psi_why_not(p->error));
	list_for_each (pos, &p->manager->domains)
		any |= domain_is_active(list_entry(pos, struct domain, link));
	/* The one before us may have taken something. */
	if (any)
		wait_for(p, STEP_LOOK, FIRST_S * second_usec(p));
}

bool memory_policy_is_on(const struct memory_policy *p)
{
	return p->on;
}

int memory_policy_error(const struct memory_policy *p)
{
	return p->error;
}

bool memory_policy_is_busy(const struct memory_policy *p)
{
	return p->step != STEP_IDLE;
}

int memory_policy_new(struct manager *manager, struct memory_policy **ret)
{
	struct memory_policy *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->manager = manager;
	*ret = p;
	return 0;
}

struct memory_policy *memory_policy_free(struct memory_policy *p)
{
	if (!p)
		return NULL;
	(void)sd_event_source_disable_unref(p->trigger);
	(void)sd_event_source_disable_unref(p->timer);
	free(p->decisions);
	free(p);
	return NULL;
}
