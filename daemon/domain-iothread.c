/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Iothreads that a domain gets and gives back, in what runs, in the definition, or in both. A running worker makes the
 * thread, and lets it end; one that a disk uses stays. Its answer comes when the thread is there, or has ended; then its pin is made, the live
 * configuration follows, and after that the definition.
 *
 * What the worker has already, or has no more (another daemon asked, and ended before it noted that), is no failure.
 *
 * Tested by tests/unit/test-domain-iothread.c.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "daemon/process.h"
#include "vmm-core/base/log.h"

struct change {
	struct domain *domain; /* valid: pending requests are answered before a domain is freed */
	uint32_t id;
	bool on, to_config;
	domain_done_fn done;
	void *userdata;
};

static int check_add(const struct vm_config *vm, uint32_t id, struct error *error)
{
	if (id < 1 || id > VM_MAX_IOTHREAD_ID)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"no iothread can have the id %u; write 1 to %d", id, VM_MAX_IOTHREAD_ID);
	if (vm_config_find_iothread(vm, id) >= 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"an IOThread is already using iothread_id '%u'", id);
	if (vm->n_iothreads >= VM_MAX_IOTHREADS)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"a domain has at most %d iothreads", VM_MAX_IOTHREADS);
	return 0;
}

static int check_remove(const struct vm_config *vm, uint32_t id, struct error *error)
{
	if (vm_config_find_iothread(vm, id) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"cannot find IOThread '%u' in iothreadids list", id);
	for (uint32_t i = 0; i < vm->n_disks; i++)
		if (vm->disks[i].iothread == id)
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"cannot remove IOThread %u since it is being used by disk '%s'", id,
				vm->disks[i].target);
	return 0;
}

static int check(const struct vm_config *vm, const struct change *change, struct error *error)
{
	return change->on ? check_add(vm, change->id, error) : check_remove(vm, change->id, error);
}

static void forget_pin(struct domain_cputune *tune, uint32_t id)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < tune->n_iothread_pins; i++)
		if (tune->iothread_pins[i].iothread != id)
			tune->iothread_pins[n++] = tune->iothread_pins[i];
	tune->n_iothread_pins = n;
}

/* It was checked, but maybe a while ago. */
static int edit(struct domain_config *config, const void *what)
{
	const struct change *change = what;
	struct vm_config *vm = &config->vm;
	int i = vm_config_find_iothread(vm, change->id);

	if (change->on && i < 0) {
		if (vm->n_iothreads >= VM_MAX_IOTHREADS)
			return -ENOSPC;
		vm->iothreads[vm->n_iothreads++] = change->id;
	}
	if (!change->on && i >= 0) {
		vm->n_iothreads--;
		memmove(&vm->iothreads[i], &vm->iothreads[i + 1],
			(vm->n_iothreads - (uint32_t)i) * sizeof(vm->iothreads[0]));
		forget_pin(&config->cputune, change->id);
	}
	config->iothreads = vm->n_iothreads;
	return 0;
}

static int change_definition(
	struct domain *d, const struct change *change, bool only_check, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int r;

	/* What was defined meanwhile comes first. */
	manager_commit(d->manager);
	if (definition_parse(d->definition, &config) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	r = check(&config->vm, change, error);
	if (r < 0 || only_check)
		return r;
	r = edit(config, change);
	return r < 0 ? error_set_errno(error, r, "cannot change the definition")
		     : manager_redefine(d->manager, d, config, error);
}

/* The worker has it so. */
static void note_live(struct domain *d, const struct change *change)
{
	struct process_pin pin = {.thread = PROCESS_IOTHREAD(change->id)};
	int r = edit(d->live, change);

	if (r == 0)
		r = domain_edit_running(d, edit, change);
	if (r < 0)
		(void)log_error_errno(
			r, "domain '%s': its live XML has other iothreads: %m", d->name);
	pin.cpus = domain_pin_of(domain_tuned(d), pin.thread);
	if (change->on && (process_pin(worker_pid(d->worker), &pin, 1) < 0 || pin.result < 0))
		log_warning("domain '%s': iothread %u was not moved to its host CPUs", d->name,
			change->id);
	domain_limits_changed(d);
	manager_changed(d->manager, d);
}

static int set_answer_error(
	const struct change *change, int error, const char *text, struct error *ret)
{
	const char *name = change->domain->name, *what = change->on ? "added" : "removed";

	if (error == -ETIMEDOUT)
		return error_set(
			ret, ERROR_TIMEOUT, "the worker of domain '%s' does not answer", name);
	if (error == -ECONNRESET)
		return error_set(ret, ERROR_OPERATION_FAILED,
			"domain '%s' ended before iothread %u was %s", name, change->id, what);
	return error_set(ret,
		error == -ENOSPC || error == -ENOSYS ? ERROR_NOT_SUPPORTED : ERROR_OPERATION_FAILED,
		"domain '%s': iothread %u cannot be %s: %s", name, change->id, what,
		*text ? text : strerror(-error));
}

static void on_answer(void *userdata, int error, const char *text)
{
	struct change *change = userdata;
	struct domain *d = change->domain;
	struct error e = {0};
	int r = 0;

	if (error == (change->on ? -EEXIST : -ENOENT))
		error = 0;
	if (error < 0)
		r = set_answer_error(change, error, text, &e);
	if (r == 0)
		note_live(d, change);
	if (r == 0 && change->to_config && d->definition)
		r = change_definition(d, change, /* only_check= */ false, &e);
	change->done(change->userdata, r < 0 ? &e : NULL);
	free(change);
}

static int ask_worker(struct domain *d, const struct change *template, struct error *error)
{
	struct proto_iothread what = {template->id, template->on};
	struct change *change = malloc(sizeof(*change));
	int r;

	if (!change)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*change = *template;
	r = worker_request(d->worker, PROTO_IOTHREAD, &what, sizeof(what), NULL, 0,
		DOMAIN_REQUEST_USEC, on_answer, change);
	if (r < 0) {
		free(change);
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of domain '%s' takes no requests: %s", d->name, strerror(-r));
	}
	return 0;
}

int domain_set_iothread(struct domain *d, uint32_t id, bool on, unsigned flags, domain_done_fn done,
	void *userdata, struct error *error)
{
	struct change change = {
		.domain = d, .id = id, .on = on, .done = done, .userdata = userdata};
	bool to_live;
	int r = domain_settle_flags(d, flags, &to_live, &change.to_config, error);

	if (r == 0 && to_live && d->guessed)
		return error_set(error, ERROR_OPERATION_INVALID,
			"what the domain runs with could not be read: its iothreads stay as they "
			"are");
	if (r == 0 && to_live)
		r = check(&d->live->vm, &change, error);
	if (r == 0 && change.to_config)
		r = change_definition(d, &change, /* only_check= */ to_live, error);
	if (r < 0)
		return r;
	return to_live ? ask_worker(d, &change, error) : 1;
}
