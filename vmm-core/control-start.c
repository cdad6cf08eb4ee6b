/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * START: what came with it becomes a vm, or a network; the sandboxes are closed, and then it is answered.
 *
 * Tested by tests/guest/test-control.c and tests/net/test-uplinks.c.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/control-internal.h"
#include "vmm-core/proto-check.h"

static enum sandbox_mode mode_of(uint32_t flags)
{
	if (flags & PROTO_START_SECCOMP_OFF)
		return SANDBOX_OFF;
	return flags & PROTO_START_SECCOMP_ERRNO ? SANDBOX_ERRNO : SANDBOX_KILL;
}

static int build(struct control *control, struct message *m, const struct proto_start *what,
	struct vm **ret_vm, char *reason)
{
	/* Too large for a stack, and not for ever: the vm has a copy. */
	_cleanup_(freep) struct vm_config *config = malloc(sizeof(*config));
	struct vm_fds fds;
	int r;

	if (!config)
		return -ENOMEM;
	vm_fds_init(&fds);
	r = proto_place_fds(what, m->fds, m->n_fds, &fds, reason);
	if (r >= 0) {
		r = memfd_read_sealed(m->fds[0], config, sizeof(*config));
		if (r < 0)
			(void)snprintf(reason, PROTO_REASON_MAX, "START: the configuration: %s",
				strerror(-r));
	}
	if (r >= 0)
		r = vm_config_validate(config, reason, PROTO_REASON_MAX);
	if (r < 0) {
		vm_fds_done(&fds);
		return r;
	}
	return vm_build(
		config, &fds, control->loop, what->wall_offset_s, &control->owner, ret_vm, reason);
}

static int start(struct control *control, struct message *m, char *reason)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	struct proto_start what;
	int r;

	memcpy(&what, m->payload, sizeof(what));
	control->sandbox_mode = mode_of(what.flags);
	r = build(control, m, &what, &vm, reason);
	if (r < 0)
		return r;
	/* What took memory to build is built: a thousand that idle are not to keep it. */
	(void)malloc_trim(0);
	vm->stop_on_reset = what.flags & PROTO_START_STOP_ON_RESET;
	vm->stop_on_panic = what.flags & PROTO_START_STOP_ON_PANIC;
	r = control_add_pending(control, m->header.seq, VM_AIM_START);
	if (r >= 0)
		r = vm_start_threads(vm, reason);
	if (r < 0)
		return r;
	r = sandbox_enter_thread(SECCOMP_LOOP, control->sandbox_mode);
	if (r < 0) {
		(void)snprintf(reason, PROTO_REASON_MAX, "START: the sandbox: %s", strerror(-r));
		return r;
	}
	vm_note_boot(vm, VM_BOOT_CLOSED);
	memcpy(control->uuid, vm->config.uuid, sizeof(control->uuid));
	control->vm = TAKE_PTR(vm);
	vm_start(control->vm, what.flags & PROTO_START_PAUSED);
	return 0;
}

static int start_network(struct control *control, struct message *m, char *reason)
{
	static struct net_config config;
	_cleanup_(network_freep) struct network *network = NULL;
	struct proto_start what;
	struct network_fds fds;
	int r;

	memcpy(&what, m->payload, sizeof(what));
	network_fds_init(&fds);
	r = proto_place_network_fds(&what, m->fds, m->n_fds, &fds, reason);
	if (r >= 0) {
		r = memfd_read_sealed(m->fds[0], &config, sizeof(config));
		if (r < 0)
			(void)snprintf(reason, PROTO_REASON_MAX, "START: the configuration: %s",
				strerror(-r));
	}
	if (r >= 0)
		r = net_config_validate(&config, reason, PROTO_REASON_MAX);
	if (r < 0) {
		network_fds_done(&fds);
		return r;
	}
	control->sandbox_mode = mode_of(what.flags);
	r = network_new(&config, &fds, control->loop, &control->network_owner, &network, reason);
	if (r < 0)
		return r;
	r = sandbox_enter_thread(SECCOMP_NETWORK, control->sandbox_mode);
	if (r < 0) {
		(void)snprintf(reason, PROTO_REASON_MAX, "START: the sandbox: %s", strerror(-r));
		return r;
	}
	memcpy(control->uuid, config.uuid, sizeof(control->uuid));
	control->network = TAKE_PTR(network);
	return 1;
}

/* From now on it does not end with the daemon that made it (daemon/worker.h). */
static void outlive_daemon(void)
{
	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

/* Nothing half-made stays: a START that fails ends the process with its answer. */
static int answer_start(struct control *control, struct message *m, int r, const char *reason)
{
	if (r >= 0)
		return r;
	control_reply(control, m->header.seq, r, reason);
	loop_exit(control->loop, EXIT_FAILURE);
	return 0;
}

int control_handle_start(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	int r;

	if (control->vm || control->network)
		return -EALREADY;
	outlive_daemon();
	r = start(control, m, reason);
	if (r >= 0)
		control_tell_cpuid(control);
	return answer_start(control, m, r, reason);
}

int control_handle_start_network(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";

	if (control->vm || control->network)
		return -EALREADY;
	outlive_daemon();
	return answer_start(control, m, start_network(control, m, reason), reason);
}
