/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state machine of a vm: see vm.h. vm-build.c makes what this file drives. */
#include "vmm-core/vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

/* How often devices that are still busy are asked again while a pause, reset or stop is under way. */
#define DRAIN_INTERVAL_NS NSEC_PER_MSEC

static void set_state(struct vm *vm, enum proto_vm_state state, enum proto_vm_reason reason,
	int code, const char *text)
{
	vm->state = state;
	vm->reason = reason;
	vm->code = code;
	(void)snprintf(vm->text, sizeof(vm->text), "%s", text);
	vm->owner->state(vm->owner->opaque, state, reason, code, vm->text);
}

static void set_aim(
	struct vm *vm, enum vm_aim aim, enum proto_vm_reason reason, int code, const char *text)
{
	vm->aim = aim;
	vm->aim_reason = reason;
	vm->aim_code = code;
	(void)snprintf(vm->aim_text, sizeof(vm->aim_text), "%s", text);
}

static void unpark(struct vm *vm, bool reset)
{
	for (unsigned i = 0; i < vm->n_devices; i++)
		device_resume(vm->devices[i]);
	vcpus_unpark(vm->vcpus, vm->n_vcpus, &vm->gate, reset ? &vm->entry : NULL);
}

void vm_start(struct vm *vm, bool paused)
{
	assert(vm->state == PROTO_VM_NEW);
	vm->aim = VM_AIM_START;
	vm->aim_reason = PROTO_REASON_USER;
	vm->run_after = !paused;
	vcpus_park(vm->vcpus, vm->n_vcpus, &vm->gate);
}

/* Out of START or RESET: on to running, or to the pause that was asked for. */
static void go_on(struct vm *vm, bool reset)
{
	if (vm->run_after) {
		if (vm->state != PROTO_VM_RUNNING)
			set_state(vm, PROTO_VM_RUNNING, PROTO_REASON_NONE, 0, "");
		unpark(vm, reset);
		return;
	}
	if (reset)
		vcpus_reset_later(vm->vcpus, vm->n_vcpus, &vm->gate, &vm->entry);
	if (vm->state != PROTO_VM_PAUSED)
		set_state(vm, PROTO_VM_PAUSED, vm->aim_reason, vm->aim_code, vm->aim_text);
}

static bool devices_quiet(struct vm *vm)
{
	bool quiet = true;

	for (unsigned i = 0; i < vm->n_devices; i++)
		quiet &= device_quiesce(vm->devices[i]);
	return quiet;
}

/* What the old life asked for while it was being stopped is void. How much memory it had is told: who tells does it once, and a reset that
 * changes nothing of it tells nothing. Iothreads and disks that are broken are not the guest's. */
static void forget_requests(struct vm *vm)
{
	(void)pthread_mutex_lock(&vm->request_lock);
	vm->requests &= UINT32_C(1) << MACHINE_IOTHREADS | UINT32_C(1) << MACHINE_MEMORY |
		UINT32_C(1) << MACHINE_BALLOON | UINT32_C(1) << MACHINE_DISK_ERRORS;
	vm->failed = false;
	(void)pthread_mutex_unlock(&vm->request_lock);
}

static int do_reset(struct vm *vm)
{
	char reason[PROTO_REASON_MAX];
	int r;

	forget_requests(vm);
	for (unsigned i = 0; i < vm->n_devices; i++)
		device_reset(vm->devices[i]);
	vm_collect_vcpus(vm);
	r = vm_load_boot(vm, reason);
	if (r < 0) {
		set_aim(vm, VM_AIM_NONE, PROTO_REASON_CRASHED, 0, reason);
		set_state(vm, PROTO_VM_STOPPED, PROTO_REASON_CRASHED, 0, reason);
		return r;
	}
	vm->owner->notice(vm->owner->opaque, PROTO_NOTICE_GUEST_RESET, 0, "");
	go_on(vm, /* reset= */ true);
	return 0;
}

/* 'aim' is reached (0), or never will be; and with it the pause that was to follow. */
static void settle(struct vm *vm, enum vm_aim aim, int error)
{
	bool pausing = vm->pausing;

	vm->pausing = false;
	vm->owner->settled(vm->owner->opaque, aim, error);
	if (pausing)
		vm->owner->settled(vm->owner->opaque, VM_AIM_PAUSE, error);
}

/* If the vCPUs are parked and the devices quiet, the aim is reached. */
static void try_settle(struct vm *vm)
{
	enum vm_aim aim = vm->aim;
	int r = 0;

	if (aim == VM_AIM_NONE || !vcpus_all_parked(&vm->gate))
		return;
	if (!devices_quiet(vm)) {
		(void)loop_timer_set(&vm->drain_timer, loop_now_ns(vm->loop) + DRAIN_INTERVAL_NS);
		return;
	}
	vm->aim = VM_AIM_NONE;
	switch (aim) {
	case VM_AIM_NONE:
		break;
	case VM_AIM_START:
		go_on(vm, /* reset= */ false);
		break;
	case VM_AIM_PAUSE:
		set_state(vm, PROTO_VM_PAUSED, vm->aim_reason, vm->aim_code, vm->aim_text);
		break;
	case VM_AIM_RESET:
		r = do_reset(vm);
		break;
	case VM_AIM_STOP:
		set_state(vm, PROTO_VM_STOPPED, vm->aim_reason, vm->aim_code, vm->aim_text);
		break;
	}
	settle(vm, aim, r);
}

static void on_drain(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	try_settle(container_of(timer, struct vm, drain_timer));
}

static void on_gate(void *opaque, uint32_t events)
{
	struct vm *vm = opaque;
	uint64_t count;

	(void)events;
	(void)!read(vm->gate.event_fd, &count, sizeof(count));
	try_settle(vm);
}

/* One aim is under way already. */
static int change_aim(
	struct vm *vm, enum vm_aim aim, enum proto_vm_reason reason, int code, const char *text)
{
	enum vm_aim old = vm->aim;

	if (aim == old)
		return 0;
	if (old == VM_AIM_STOP)
		return -EINVAL;
	switch (aim) {
	case VM_AIM_PAUSE: /* of START or RESET: that goes on and ends paused */
		if (vm->state == PROTO_VM_PAUSED)
			return -EALREADY;
		if (vm->run_after)
			set_aim(vm, old, reason, code, text);
		vm->run_after = false;
		vm->pausing = true;
		return 0;
	case VM_AIM_RESET:
		if (old == VM_AIM_START)
			return -EALREADY; /* nothing has run yet */
		/* Of PAUSE: the reset ends paused, for the reason that the pause has. */
		vm->aim = VM_AIM_RESET;
		vm->run_after = false;
		vm->pausing = true;
		return 0;
	default:
		set_aim(vm, aim, reason, code, text);
		settle(vm, old, -ECANCELED);
		return 0;
	}
}

bool vm_is_pausing(const struct vm *vm)
{
	return vm->aim == VM_AIM_PAUSE || vm->pausing;
}

int vm_aim(struct vm *vm, enum vm_aim aim, enum proto_vm_reason reason, int code, const char *text)
{
	int r;

	assert(aim == VM_AIM_PAUSE || aim == VM_AIM_RESET || aim == VM_AIM_STOP);
	if (vm->state == PROTO_VM_STOPPED)
		return aim == VM_AIM_STOP ? -EALREADY : -EINVAL;
	if (vm->aim != VM_AIM_NONE) {
		r = change_aim(vm, aim, reason, code, text);
		if (r < 0)
			return r;
	} else {
		if (aim == VM_AIM_PAUSE && vm->state == PROTO_VM_PAUSED)
			return -EALREADY;
		vm->run_after = vm->state == PROTO_VM_RUNNING;
		set_aim(vm, aim, reason, code, text);
	}
	vcpus_park(vm->vcpus, vm->n_vcpus, &vm->gate);
	return 0;
}

int vm_resume(struct vm *vm)
{
	if (vm->state != PROTO_VM_PAUSED || vm->aim != VM_AIM_NONE)
		return -EINVAL;
	set_state(vm, PROTO_VM_RUNNING, PROTO_REASON_USER, 0, "");
	unpark(vm, /* reset= */ false);
	return 0;
}

int vm_power_button(struct vm *vm)
{
	if (!vm->machine.acpi_pm || !vm->machine.power_button)
		return -ENOTSUP;
	vm->machine.power_button(vm->machine.acpi_pm);
	return 0;
}

int vm_inject_nmi(struct vm *vm)
{
	if (vm->state != PROTO_VM_RUNNING)
		return -EINVAL;
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (!vm->vcpus[i].off)
			vcpu_inject_nmi(&vm->vcpus[i]);
	return 0;
}

/* What the guest or KVM asked for. machine_request() only notes it: the caller may be on any thread. */

static void note_request(void *opaque, enum machine_request request, int arg)
{
	struct vm *vm = opaque;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&vm->request_lock);
	if (request == MACHINE_DISK_ERRORS && vm->requests & UINT32_C(1) << request)
		arg |= vm->request_args[request];
	vm->requests |= UINT32_C(1) << request;
	vm->request_args[request] = arg;
	(void)pthread_mutex_unlock(&vm->request_lock);
	(void)!write(vm->request_fd, &one, sizeof(one));
}

static void note_failure(void *opaque, const struct vcpu_failure *failure)
{
	struct vm *vm = opaque;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&vm->request_lock);
	if (!vm->failed)
		vm->failure = *failure;
	vm->failed = true;
	(void)pthread_mutex_unlock(&vm->request_lock);
	(void)!write(vm->request_fd, &one, sizeof(one));
}

/* The guest has crashed and is kept as it is: what its other code still does on the way is not its will. */
static bool is_kept(const struct vm *vm)
{
	if (vm->aim == VM_AIM_NONE)
		return vm->state == PROTO_VM_PAUSED && vm->reason == PROTO_REASON_PANICKED;
	return vm->aim == VM_AIM_PAUSE && vm->aim_reason == PROTO_REASON_PANICKED;
}

static void request_reset(struct vm *vm, int arg)
{
	(void)arg;
	if (is_kept(vm))
		return;
	if (vm->stop_on_reset)
		(void)vm_aim(vm, VM_AIM_STOP, PROTO_REASON_GUEST_RESET, 0, "");
	else
		(void)vm_aim(vm, VM_AIM_RESET, PROTO_REASON_GUEST_RESET, 0, "");
}

static void request_poweroff(struct vm *vm, int arg)
{
	(void)arg;
	if (is_kept(vm))
		return;
	(void)vm_aim(vm, VM_AIM_STOP, PROTO_REASON_GUEST_POWEROFF, 0, "");
}

static void request_panicked(struct vm *vm, int arg)
{
	enum vm_aim aim = vm->stop_on_panic ? VM_AIM_STOP : VM_AIM_PAUSE;

	(void)arg;
	/* A reset that is under way ends the life that this comes from. */
	if (aim == VM_AIM_STOP || vm->aim != VM_AIM_RESET)
		(void)vm_aim(vm, aim, PROTO_REASON_PANICKED, 0, "the guest panicked");
}

static void request_crashloaded(struct vm *vm, int arg)
{
	(void)arg;
	vm->owner->notice(vm->owner->opaque, PROTO_NOTICE_CRASHLOADED, 0, "");
}

static void request_debug_exit(struct vm *vm, int arg)
{
	(void)vm_aim(vm, VM_AIM_STOP, PROTO_REASON_DEBUG_EXIT, arg, "");
}

static void request_io_error(struct vm *vm, int arg)
{
	if (vm->aim != VM_AIM_RESET)
		(void)vm_aim(vm, VM_AIM_PAUSE, PROTO_REASON_IO_ERROR, arg, "");
}

static void request_eject(struct vm *vm, int arg)
{
	(void)arg;
	vm_collect_ejected(vm);
}

static void request_balloon(struct vm *vm, int arg)
{
	vm->owner->notice(vm->owner->opaque, PROTO_NOTICE_BALLOON, (unsigned)arg, "");
}

static void request_balloon_stats(struct vm *vm, int arg)
{
	(void)arg;
	vm->owner->notice(vm->owner->opaque, PROTO_NOTICE_BALLOON_STATS, 0, "");
}

static void request_vcpus(struct vm *vm, int arg)
{
	(void)arg;
	vm_collect_vcpus(vm);
}

static void request_memory(struct vm *vm, int arg)
{
	(void)arg;
	vm_collect_memories(vm);
}

static void request_vcpu_refused(struct vm *vm, int arg)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "the guest does not let go of vCPU %d", arg);
	vm->owner->notice(vm->owner->opaque, PROTO_NOTICE_VCPU_REFUSED, (unsigned)arg, text);
}

static void request_handed_over(struct vm *vm, int arg)
{
	(void)arg;
	for (unsigned i = 0; i < vm->n_devices; i++)
		device_take_over(vm->devices[i]);
}

static void request_iothreads(struct vm *vm, int arg)
{
	(void)arg;
	vm_collect_iothreads(vm);
}

static void request_disk_errors(struct vm *vm, int arg)
{
	static_assert(VM_MAX_DISKS <= 32, "a bit each");
	for (unsigned disks = (unsigned)arg; disks; disks &= disks - 1)
		vm->owner->notice(vm->owner->opaque, PROTO_NOTICE_IO_ERROR,
			(unsigned)__builtin_ctz(disks), "");
}

static void (*const request_handlers[MACHINE_REQUEST_X_MAX])(struct vm *vm, int arg) = {
	[MACHINE_RESET] = request_reset,
	[MACHINE_POWEROFF] = request_poweroff,
	[MACHINE_PANICKED] = request_panicked,
	[MACHINE_CRASHLOADED] = request_crashloaded,
	[MACHINE_DEBUG_EXIT] = request_debug_exit,
	[MACHINE_IO_ERROR] = request_io_error,
	[MACHINE_EJECT] = request_eject,
	[MACHINE_BALLOON] = request_balloon,
	[MACHINE_BALLOON_STATS] = request_balloon_stats,
	[MACHINE_VCPUS] = request_vcpus,
	[MACHINE_MEMORY] = request_memory,
	[MACHINE_VCPU_REFUSED] = request_vcpu_refused,
	[MACHINE_HANDED_OVER] = request_handed_over,
	[MACHINE_IOTHREADS] = request_iothreads,
	[MACHINE_DISK_ERRORS] = request_disk_errors,
};

/* Of the requests that have come, and a failure: taken out, and done. */
static void do_requests(struct vm *vm)
{
	int args[MACHINE_REQUEST_X_MAX];
	struct vcpu_failure failure;
	uint32_t requests;
	bool failed;

	(void)pthread_mutex_lock(&vm->request_lock);
	requests = vm->requests;
	failed = vm->failed;
	failure = vm->failure;
	memcpy(args, vm->request_args, sizeof(args));
	vm->requests = 0;
	vm->failed = false;
	(void)pthread_mutex_unlock(&vm->request_lock);
	for (unsigned i = 0; i < MACHINE_REQUEST_X_MAX; i++)
		if (requests & UINT32_C(1) << i)
			request_handlers[i](vm, args[i]);
	if (failed)
		(void)vm_aim(vm, VM_AIM_STOP, PROTO_REASON_CRASHED, 0, failure.text);
}

static void on_request(void *opaque, uint32_t events)
{
	struct vm *vm = opaque;
	uint64_t count;

	(void)events;
	(void)!read(vm->request_fd, &count, sizeof(count));
	do_requests(vm);
}

static int enter_vcpu_sandbox(void *opaque)
{
	struct vm *vm = opaque;

	return vm->owner->enter_vcpu_sandbox(vm->owner->opaque);
}

static int enter_io_sandbox(void *opaque)
{
	struct vm *vm = opaque;

	return vm->owner->enter_io_sandbox(vm->owner->opaque);
}

int vm_init_events(struct vm *vm)
{
	static const struct machine_ops machine_ops = {
		.request = note_request,
		.enter_io_thread = enter_io_sandbox,
	};

	(void)pthread_mutex_init(&vm->request_lock, NULL);
	vm->request_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->request_fd < 0)
		return -errno;
	vm->machine.ops = &machine_ops;
	vm->machine.ops_opaque = vm;
	vm->vcpu_host = (struct vcpu_host){
		.bus = vm->machine.bus,
		.irq = vm->machine.irq,
		.loop = vm->loop,
		.gate = &vm->gate,
		.request = note_request,
		.failed = note_failure,
		.enter_sandbox = enter_vcpu_sandbox,
		.opaque = vm,
	};
	loop_timer_init(&vm->drain_timer, vm->loop, on_drain);
	return loop_add_fd(vm->loop, vm->request_fd, EPOLLIN, on_request, vm, &vm->request_source);
}

int vm_start_threads(struct vm *vm, char *ret_reason)
{
	int r;

	r = loop_add_fd(vm->loop, vm->gate.event_fd, EPOLLIN, on_gate, vm, &vm->gate_source);
	if (r < 0)
		(void)snprintf(ret_reason, PROTO_REASON_MAX, "the vCPU gate: %s", strerror(-r));
	for (unsigned i = 0; r >= 0 && i < vm->n_vcpus; i++) {
		r = vcpu_start_thread(&vm->vcpus[i]);
		if (r < 0)
			(void)snprintf(ret_reason, PROTO_REASON_MAX, "the thread of vCPU %u: %s", i,
				strerror(-r));
	}
	vm_iothreads_wait(vm);
	return r;
}
