/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of iothreads. Tested by tests/unit/test-dbus-iothread.c. */
#include <string.h>

#include "daemon/api-cpu.h"
#include "daemon/process.h"

/* Those of a configuration; with threads where it runs. */
static struct json_object *list_iothreads(
	const struct vm_config *vm, const struct domain_config *config, pid_t pid)
{
	struct process_vcpu threads[VM_MAX_IOTHREADS] = {0};
	struct json_object *array = json_object_new_array();
	unsigned n = MIN(vm->n_iothreads, (uint32_t)VM_MAX_IOTHREADS);

	if (pid > 0)
		(void)process_iothreads(pid, vm->iothreads, threads, n);
	for (unsigned i = 0; i < n; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "iothread", json_object_new_uint64(vm->iothreads[i]));
		api_add_cpus(o, "pin", domain_pin_of(config, PROCESS_IOTHREAD(vm->iothreads[i])));
		if (threads[i].tid) {
			json_object_object_add(o, "cpu", json_object_new_int64(threads[i].cpu));
			json_object_object_add(
				o, "cpu_time", json_object_new_uint64(threads[i].run_ns));
			api_add_cpus(o, "affinity", threads[i].cpus);
		}
		json_object_array_add(array, o);
	}
	return array;
}

int api_list_iothreads(struct api_call *call, struct error *error)
{
	struct json_object *out;
	struct api_source s;
	int r = api_source_init(&s, call, error);

	if (r < 0)
		return r;
	out = json_object_new_object();
	json_object_object_add(out, "iothreads",
		list_iothreads(&s.config->vm, s.config,
			!s.owned && s.domain->worker ? worker_pid(s.domain->worker) : 0));
	api_source_done(&s);
	api_call_reply(call, out);
	return 0;
}

static int set_iothread(struct api_call *call, bool on, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG, error) < 0)
		return -EINVAL;
	r = domain_set_iothread(d, api_arg_uint(call, "iothread"), on, api_arg_uint(call, "flags"),
		api_done, api_call_ref(call), error);
	if (r > 0)
		api_call_reply(call, NULL);
	if (r != 0)
		api_call_unref(call);
	return MIN(r, 0);
}

int api_add_iothread(struct api_call *call, struct error *error)
{
	return set_iothread(call, /* on= */ true, error);
}

int api_delete_iothread(struct api_call *call, struct error *error)
{
	return set_iothread(call, /* on= */ false, error);
}

static int change_pin(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	struct domain_cputune *tune = &config->cputune;
	const struct api_pin *pin = what;
	uint32_t i = 0;

	if (vm_config_find_iothread(&config->vm, pin->number) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s %u not found",
			is_live ? "iothread" : "iothreadid", pin->number);
	while (i < tune->n_iothread_pins && tune->iothread_pins[i].iothread != pin->number)
		i++;
	if (pin->none) {
		if (i < tune->n_iothread_pins)
			tune->iothread_pins[i] = tune->iothread_pins[--tune->n_iothread_pins];
		return 0;
	}
	/* One each, and no more iothreads than places. */
	if (i == tune->n_iothread_pins)
		tune->n_iothread_pins++;
	tune->iothread_pins[i].iothread = pin->number;
	memcpy(tune->iothread_pins[i].cpus, pin->cpus, sizeof(pin->cpus));
	return 0;
}

int api_set_iothread_pin(struct api_call *call, struct error *error)
{
	struct api_pin pin;
	int r = api_read_pin(call, &pin, error);

	if (r < 0)
		return r;
	pin.number = api_arg_uint(call, "iothread");
	return api_tune(call, change_pin, &pin, sizeof(pin), error);
}
