/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs that a domain gets and gives back, in what runs, in the definition, or in both.
 *
 *	more	VCPU_SET → VCPUS, then its answer: they are there
 *	fewer	VCPU_SET: the guest is asked → VCPUS, soon, later or never, or a notice that it will not
 *
 * What there is is what the last VCPUS says; the live configuration follows it, also for a daemon that was away in between. It is
 * believed as far as it can be: a vCPU comes when somebody asked for it and not otherwise, for a quota grows with them. The worker obeys
 * in the order in which it was asked, and says VCPUS before it answers: with an answer all that was asked before is over. What was asked
 * in vain (a deadline passed) may still come.
 * The definition follows when what runs has done so.
 *
 * Tested by tests/unit/test-domain-vcpu.c.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "vmm-core/base/log.h"

/* Somebody waits for the guest. */
struct vcpu_wait {
	struct list link;
	struct domain *domain;
	uint32_t n;
	bool asked;     /* the worker has answered */
	bool to_config; /* the definition is to follow */
	sd_event_source *timer;
	domain_detached_fn done; /* NULL: answered */
	void *userdata;
};

static void wait_free(struct vcpu_wait *wait)
{
	list_del(&wait->link);
	(void)sd_event_source_disable_unref(wait->timer);
	free(wait);
}

static int prepare_config(const struct domain *d, uint32_t n, bool maximum,
	struct domain_config **ret, struct error *error);

/* As it is now: it may be another one than when the guest was asked. */
static int change_definition(struct domain *d, uint32_t n, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int r;

	/* What was defined meanwhile comes first. */
	manager_commit(d->manager);
	r = prepare_config(d, n, /* maximum= */ false, &config, error);
	return r < 0 ? r : manager_redefine(d->manager, d, config, error);
}

static void finish_wait(struct vcpu_wait *wait, bool done, const struct error *error)
{
	struct domain *d = wait->domain;
	struct error e = {0};

	if (done && wait->done && wait->to_config && d->definition &&
		change_definition(d, wait->n, &e) < 0)
		error = &e;
	if (wait->done)
		wait->done(wait->userdata, done && !error, error);
	/* Who asked has been answered; the worker's answer may yet come for this. */
	wait->done = NULL;
	wait->timer = sd_event_source_disable_unref(wait->timer);
	if (wait->asked)
		wait_free(wait);
}

static void finish_waits(struct domain *d, bool done, const struct error *error)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &d->vcpu_waits) {
		struct vcpu_wait *wait = list_entry(pos, struct vcpu_wait, link);

		if (!done || wait->n == d->live->vm.vcpus)
			finish_wait(wait, done, error);
	}
}

void domain_end_vcpu_waits(struct domain *d)
{
	struct error e = {0};

	(void)error_set(&e, ERROR_OPERATION_FAILED,
		"domain '%s' ended before the guest had released its vCPUs", d->name);
	finish_waits(d, false, &e);
}

void domain_drop_vcpu_waits(struct domain *d)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &d->vcpu_waits)
		wait_free(list_entry(pos, struct vcpu_wait, link));
}

void domain_vcpu_refused(struct domain *d, uint32_t vcpu)
{
	struct error e = {0};

	/* A guest may say so as often as it likes: it is heard while somebody asks. */
	if (!d->live || vcpu >= d->live->vm.vcpus_max || list_empty(&d->vcpu_waits))
		return;
	log_notice("domain '%s': the guest does not release vCPU %u", d->name, vcpu);
	(void)error_set(&e, ERROR_OPERATION_FAILED,
		"vcpu unplug request was refused: the guest does not release vCPU %u", vcpu);
	finish_waits(d, false, &e);
}

/* What there is. */

bool domain_vcpu_is_online(const struct domain *d, uint32_t vcpu)
{
	return vcpu < VM_MAX_VCPUS && d->vcpus[vcpu / 32] >> vcpu % 32 & 1;
}

void domain_reset_vcpus(struct domain *d)
{
	memset(d->vcpus, 0, sizeof(d->vcpus));
	for (uint32_t i = 0; i < MIN(d->live->vm.vcpus, (uint32_t)VM_MAX_VCPUS); i++)
		d->vcpus[i / 32] |= UINT32_C(1) << i % 32;
	d->vcpus_wanted = 0;
}

uint32_t domain_vcpus_end(const struct domain *d)
{
	uint32_t end = VM_MAX_VCPUS;

	while (end > 1 && !domain_vcpu_is_online(d, end - 1))
		end--;
	return MAX(end, d->vcpus_wanted);
}

/* An answer came: of what was asked, what has none yet is left. */
static void note_answer(struct domain *d)
{
	struct list *pos;

	d->vcpus_wanted = 0;
	list_for_each (pos, &d->vcpu_waits) {
		const struct vcpu_wait *wait = list_entry(pos, struct vcpu_wait, link);

		if (!wait->asked)
			d->vcpus_wanted = MAX(d->vcpus_wanted, wait->n);
	}
}

static int edit_count(struct domain_config *config, const void *what)
{
	config->vm.vcpus = *(const uint32_t *)what;
	return 0;
}

static void tell(const struct domain *d, uint32_t vcpu, bool online)
{
	char alias[16];

	(void)snprintf(alias, sizeof(alias), "vcpu%u", vcpu);
	log_info("domain '%s': vCPU %u %s", d->name, vcpu, online ? "was added" : "is gone");
	manager_emit(d->manager, online ? EVENT_DEVICE_ADDED : EVENT_DEVICE_REMOVED, d, "", alias);
}

/* vCPU 0 is always there, nothing is beyond the last, and nothing comes that nobody wanted. */
static bool is_possible(const struct domain *d, const uint32_t bits[PROTO_VCPU_WORDS], uint32_t max)
{
	for (uint32_t i = 0; i < 32 * PROTO_VCPU_WORDS; i++) {
		bool known = d->guessed || i < d->vcpus_wanted || domain_vcpu_is_online(d, i);

		if (bits[i / 32] >> i % 32 & 1 && (i >= max || !known))
			return false;
	}
	return bits[0] & 1;
}

bool domain_vcpus_seen(struct domain *d, const uint32_t bits[PROTO_VCPU_WORDS])
{
	uint32_t old[PROTO_VCPU_WORDS], max, n = 0;
	int r;

	if (!d->live)
		return false;
	/* A worker is not to blame for what we cannot read. */
	max = d->guessed ? VM_MAX_VCPUS : MIN(d->live->vm.vcpus_max, (uint32_t)VM_MAX_VCPUS);
	if (!is_possible(d, bits, max))
		return false;
	if (d->guessed) {
		memcpy(d->vcpus, bits, sizeof(d->vcpus));
		return true;
	}
	if (memcmp(bits, d->vcpus, sizeof(d->vcpus)) == 0)
		return true;
	memcpy(old, d->vcpus, sizeof(old));
	memset(d->vcpus, 0, sizeof(d->vcpus));
	for (uint32_t i = 0; i < max; i++) {
		bool online = bits[i / 32] >> i % 32 & 1;

		n += online;
		d->vcpus[i / 32] |= (uint32_t)online << i % 32;
		if (online != (old[i / 32] >> i % 32 & 1))
			tell(d, i, online);
	}
	d->live->vm.vcpus = n;
	r = domain_edit_running(d, edit_count, &n);
	if (r < 0)
		(void)log_error_errno(
			r, "domain '%s': its live XML has another number of vCPUs: %m", d->name);
	domain_limits_changed(d);
	manager_changed(d->manager, d);
	finish_waits(d, true, NULL);
	return true;
}

/* Asking. */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	/* The guest takes its time. If it lets go later, they go then. */
	finish_wait(userdata, false, NULL);
	return 0;
}

static void on_asked(void *userdata, int error, const char *text)
{
	struct vcpu_wait *wait = userdata;
	struct domain *d = wait->domain;
	struct error e = {0};

	wait->asked = true;
	if (error != -ETIMEDOUT)
		note_answer(d);
	if (error == 0 && wait->done && d->live->vm.vcpus != wait->n)
		return;
	if (error == -ECONNRESET)
		(void)error_set(&e, ERROR_OPERATION_FAILED,
			"domain '%s' ended before its vCPUs were changed", d->name);
	else if (error == -ETIMEDOUT)
		(void)error_set(
			&e, ERROR_TIMEOUT, "the worker of domain '%s' does not answer", d->name);
	else if (error < 0)
		(void)error_set(&e,
			error == -ENOTSUP ? ERROR_NOT_SUPPORTED : ERROR_OPERATION_FAILED,
			"domain '%s': the number of vCPUs cannot be changed: %s", d->name,
			*text ? text : strerror(-error));
	finish_wait(wait, error == 0, error < 0 ? &e : NULL);
}

/* Before it is asked: the next daemon believes no more than what was saved, and must not think that it is lied to. */
static int note_wanted(struct domain *d, uint32_t n, struct error *error)
{
	uint32_t end = domain_vcpus_end(d), before = d->vcpus_wanted;
	int r;

	d->vcpus_wanted = MAX(before, n);
	r = domain_vcpus_end(d) > end ? domain_save_status(d) : 0;
	if (r < 0) {
		d->vcpus_wanted = before;
		return error_set_errno(error, r, "cannot save the status of '%s'", d->name);
	}
	return 0;
}

static int set_live(struct domain *d, uint32_t n, bool to_config, domain_detached_fn done,
	void *userdata, struct error *error)
{
	struct proto_vcpu_set set = {n};
	struct vcpu_wait *wait;
	int r = note_wanted(d, n, error);

	if (r < 0)
		return r;
	wait = calloc(1, sizeof(*wait));
	if (!wait)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*wait = (struct vcpu_wait){.domain = d, .n = n, .done = done, .userdata = userdata};
	list_add_tail(&d->vcpu_waits, &wait->link);
	r = sd_event_add_time_relative(d->manager->event, &wait->timer, CLOCK_MONOTONIC,
		DOMAIN_DETACH_USEC, 0, on_timer, wait);
	if (r >= 0)
		r = worker_request(d->worker, PROTO_VCPU_SET, &set, sizeof(set), NULL, 0,
			DOMAIN_REQUEST_USEC, on_asked, wait);
	if (r < 0) {
		wait_free(wait);
		note_answer(d);
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of domain '%s' takes no requests: %s", d->name, strerror(-r));
	}
	wait->to_config = to_config;
	return 0;
}

static int check_count(uint32_t n, uint32_t max, const char *which, struct error *error)
{
	if (n < 1)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a domain has one vCPU at least");
	if (n > max)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"requested vcpus is greater than max allowable vcpus for the %s domain: "
			"%u > %u",
			which, n, max);
	return 0;
}

/* New ones are the first cell's, as when none is named; those of cells stay. */
static int set_maximum(struct vm_config *vm, uint32_t n, struct error *error)
{
	if (vm->n_cells && n < vm->vcpus_max)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"Number of CPUs in <numa> exceeds the desired maximum vcpu count");
	for (uint32_t i = vm->vcpus_max; vm->n_cells && i < n; i++)
		vm->cells[0].cpus[i / 64] |= UINT64_C(1) << i % 64;
	vm->vcpus_max = n;
	return 0;
}

/* The definition with another number, or maximum. */
static int prepare_config(const struct domain *d, uint32_t n, bool maximum,
	struct domain_config **ret, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	char reason[256];
	int r;

	if (definition_parse(d->definition, &config) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	r = check_count(n, maximum ? VM_MAX_VCPUS : config->vm.vcpus_max, "persistent", error);
	if (r < 0)
		return r;
	if (maximum)
		r = set_maximum(&config->vm, n, error);
	if (r < 0)
		return r;
	config->vm.vcpus = maximum ? MIN(config->vm.vcpus, n) : n;
	if (vm_config_validate(&config->vm, reason, sizeof(reason)) < 0)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED, "%s", reason);
	*ret = TAKE_PTR(config);
	return 0;
}

int domain_set_vcpus(struct domain *d, uint32_t n, unsigned flags, domain_detached_fn done,
	void *userdata, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	bool maximum = flags & DOMAIN_VCPU_MAXIMUM, to_live, to_config;
	int r;

	r = domain_settle_flags(d, flags & (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG), &to_live,
		&to_config, error);
	if (r < 0)
		return r;
	if (maximum && to_live)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"maximum vcpu count of a live domain can't be modified");
	r = to_live ? check_count(n, d->live->vm.vcpus_max, "live", error) : 0;
	if (r == 0 && to_config)
		r = prepare_config(d, n, maximum, &config, error);
	if (r < 0)
		return r;
	if (to_live)
		return set_live(d, n, to_config, done, userdata, error);
	r = manager_redefine(d->manager, d, config, error);
	return r < 0 ? r : 1;
}
