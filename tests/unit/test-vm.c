/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state machine of a vm: every aim while every other one is under way, the guest's own wishes, what is answered and
 * where it ends. The vCPUs and the loader are fakes that do what they are told when the test says so.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm-core/vm.h"

struct fixture {
	struct vm vm;
	struct vcpu vcpus[2];
	struct device device;
	bool busy;        /* the device has a request in flight */
	bool was_resumed; /* since the last look */
	unsigned n_resets, n_boots, n_states, n_notices;
	int boot_error;
	unsigned notice, notice_index; /* the last one */
	/* Answers: how often each aim was settled, and with what the last time. */
	unsigned n_settled[VM_AIM_STOP + 1];
	int error[VM_AIM_STOP + 1];
};

/* The vCPUs: n_parked is the test's. */

void vcpus_park(struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate)
{
	uint64_t one = 1;

	(void)vcpus;
	(void)n;
	gate->open = false;
	if (gate->n_parked == gate->n_vcpus)
		(void)!write(gate->event_fd, &one, sizeof(one));
}

bool vcpus_all_parked(struct vcpu_gate *gate)
{
	return !gate->open && gate->n_parked == gate->n_vcpus;
}

void vcpus_reset_later(
	struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate, const struct boot_entry *reset_to)
{
	(void)gate;
	assert_non_null(reset_to);
	for (unsigned i = 0; i < n; i++)
		vcpus[i].reset_pending = true;
}

void vcpus_unpark(
	struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate, const struct boot_entry *reset_to)
{
	if (reset_to)
		vcpus_reset_later(vcpus, n, gate, reset_to);
	gate->open = true;
	gate->n_parked = 0;
}

static unsigned n_threads_left = UINT_MAX;

int vcpu_start_thread(struct vcpu *vcpu)
{
	(void)vcpu;
	return n_threads_left-- ? 0 : -EAGAIN;
}

void vcpu_inject_nmi(struct vcpu *vcpu)
{
	atomic_store(&vcpu->nmi, true);
}

static unsigned n_collected, n_collected_vcpus, n_collected_iothreads, n_collected_memories;

void vm_iothreads_wait(struct vm *vm)
{
	(void)vm;
}

void vm_collect_iothreads(struct vm *vm)
{
	(void)vm;
	n_collected_iothreads++;
}

void vm_collect_ejected(struct vm *vm)
{
	(void)vm;
	n_collected++;
}

void vm_collect_memories(struct vm *vm)
{
	(void)vm;
	n_collected_memories++;
}

void vm_collect_vcpus(struct vm *vm)
{
	(void)vm;
	n_collected_vcpus++;
}

static struct fixture *fixture_of(struct vm *vm)
{
	return container_of(vm, struct fixture, vm);
}

int vm_load_boot(struct vm *vm, char *ret_reason)
{
	struct fixture *f = fixture_of(vm);

	f->n_boots++;
	if (f->boot_error < 0)
		(void)strcpy(ret_reason, "the kernel has gone");
	return f->boot_error;
}

static void park_all(struct fixture *f)
{
	uint64_t one = 1;

	if (f->vm.gate.open)
		return;
	f->vm.gate.n_parked = f->vm.gate.n_vcpus;
	assert_int_equal(write(f->vm.gate.event_fd, &one, sizeof(one)), sizeof(one));
}

static void turn(struct fixture *f)
{
	for (unsigned i = 0; i < 4; i++)
		assert_true(loop_run_once(f->vm.loop, 0) >= 0);
}

/* The owner and the device. */

static void on_state(void *opaque, enum proto_vm_state state, enum proto_vm_reason reason, int code,
	const char *text)
{
	struct fixture *f = opaque;

	(void)state;
	(void)reason;
	(void)code;
	assert_non_null(text);
	f->n_states++;
}

static void on_notice(void *opaque, enum proto_notice_kind kind, unsigned index, const char *text)
{
	struct fixture *f = opaque;

	(void)text;
	f->n_notices++;
	f->notice = kind;
	f->notice_index = index;
}

static void on_settled(void *opaque, enum vm_aim aim, int error)
{
	struct fixture *f = opaque;

	f->n_settled[aim]++;
	f->error[aim] = error;
}

static bool quiesce(struct device *dev)
{
	return !container_of(dev, struct fixture, device)->busy;
}

static void resume(struct device *dev)
{
	container_of(dev, struct fixture, device)->was_resumed = true;
}

static void reset(struct device *dev)
{
	container_of(dev, struct fixture, device)->n_resets++;
}

static const struct device_ops device_ops = {.quiesce = quiesce, .resume = resume, .reset = reset};
static const struct device_class device_class = {.name = "probe", .ops = &device_ops};

static const struct vm_owner owner = {
	.state = on_state, .notice = on_notice, .settled = on_settled};

static int setup(void **state)
{
	static struct vm_owner mine;
	struct fixture *f = calloc(1, sizeof(*f));
	char reason[PROTO_REASON_MAX];

	assert_non_null(f);
	mine = owner;
	mine.opaque = f;
	assert_int_equal(loop_new_fake(1000, &f->vm.loop), 0);
	f->vm.owner = &mine;
	f->vm.vcpus = f->vcpus;
	f->vm.n_vcpus = f->vm.gate.n_vcpus = 2;
	f->vm.gate.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)pthread_mutex_init(&f->vm.gate.lock, NULL);
	f->device.class = &device_class;
	f->vm.devices[f->vm.n_devices++] = &f->device;
	assert_int_equal(vm_init_events(&f->vm), 0);
	n_threads_left = UINT_MAX;
	assert_int_equal(vm_start_threads(&f->vm, reason), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->vm.gate_source = loop_source_remove(f->vm.gate_source);
	f->vm.request_source = loop_source_remove(f->vm.request_source);
	loop_timer_stop(&f->vm.drain_timer);
	(void)close(f->vm.gate.event_fd);
	(void)close(f->vm.request_fd);
	(void)loop_free(f->vm.loop);
	free(f);
	return 0;
}

static int aim(struct fixture *f, enum vm_aim what)
{
	return vm_aim(&f->vm, what, PROTO_REASON_USER, 0, "");
}

static void start(struct fixture *f, bool paused)
{
	vm_start(&f->vm, paused);
	park_all(f);
	turn(f);
	assert_int_equal(f->n_settled[VM_AIM_START], 1);
	assert_int_equal(f->vm.state, paused ? PROTO_VM_PAUSED : PROTO_VM_RUNNING);
	f->n_settled[VM_AIM_START] = 0;
	f->n_states = 0;
}

static void settle(struct fixture *f)
{
	park_all(f);
	turn(f);
	assert_int_equal(f->vm.aim, VM_AIM_NONE);
}

static void expect_answers(struct fixture *f, enum vm_aim what, unsigned n, int error)
{
	assert_int_equal(f->n_settled[what], n);
	assert_int_equal(f->error[what], error);
}

static void test_start(void **state)
{
	struct fixture *f = *state;

	start(f, /* paused= */ true);
	assert_int_equal(f->vm.reason, PROTO_REASON_USER);
	assert_false(f->vm.gate.open);
	assert_int_equal(aim(f, VM_AIM_PAUSE), -EALREADY);
	f->was_resumed = false;
	assert_int_equal(vm_resume(&f->vm), 0);
	assert_true(f->vm.gate.open && f->was_resumed);
	assert_int_equal(vm_resume(&f->vm), -EINVAL);
}

static void test_pause_waits_for_devices(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	f->busy = true;
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	park_all(f);
	turn(f);
	loop_fake_advance(f->vm.loop, 10 * NSEC_PER_MSEC);
	assert_int_equal(f->vm.state, PROTO_VM_RUNNING);
	f->busy = false;
	loop_fake_advance(f->vm.loop, 10 * NSEC_PER_MSEC);
	assert_int_equal(f->vm.state, PROTO_VM_PAUSED);
	expect_answers(f, VM_AIM_PAUSE, 1, 0);
}

static void test_pause_during_start(void **state)
{
	struct fixture *f = *state;

	vm_start(&f->vm, /* paused= */ false);
	assert_int_equal(aim(f, VM_AIM_RESET), -EALREADY); /* nothing has run */
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	assert_int_equal(f->n_settled[VM_AIM_PAUSE], 0);
	settle(f);
	expect_answers(f, VM_AIM_START, 1, 0);
	expect_answers(f, VM_AIM_PAUSE, 1, 0);
	assert_int_equal(f->vm.state, PROTO_VM_PAUSED);
	assert_false(f->vm.gate.open);
}

static void test_stop_during_start(void **state)
{
	struct fixture *f = *state;

	vm_start(&f->vm, /* paused= */ false);
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	assert_int_equal(aim(f, VM_AIM_STOP), 0);
	expect_answers(f, VM_AIM_START, 1, -ECANCELED);
	expect_answers(f, VM_AIM_PAUSE, 1, -ECANCELED);
	settle(f);
	expect_answers(f, VM_AIM_STOP, 1, 0);
	assert_int_equal(f->vm.state, PROTO_VM_STOPPED);
}

/* In either order the reset is done and the vm ends paused, and can be let go again. */
static void test_pause_and_reset(void **state)
{
	for (unsigned reset_first = 0; reset_first < 2; reset_first++) {
		struct fixture *f = *state;

		if (!reset_first)
			start(f, false);
		memset(f->n_settled, 0, sizeof(f->n_settled));
		assert_int_equal(aim(f, reset_first ? VM_AIM_RESET : VM_AIM_PAUSE), 0);
		assert_int_equal(aim(f, reset_first ? VM_AIM_PAUSE : VM_AIM_RESET), 0);
		assert_int_equal(f->n_settled[VM_AIM_PAUSE] + f->n_settled[VM_AIM_RESET], 0);
		settle(f);
		expect_answers(f, VM_AIM_RESET, 1, 0);
		expect_answers(f, VM_AIM_PAUSE, 1, 0);
		assert_int_equal(f->n_resets, reset_first + 1);
		assert_int_equal(f->vm.state, PROTO_VM_PAUSED);
		assert_int_equal(f->vm.reason, PROTO_REASON_USER);
		assert_false(f->vm.gate.open);
		assert_true(f->vcpus[0].reset_pending && f->vcpus[1].reset_pending);
		assert_int_equal(vm_resume(&f->vm), 0);
		assert_true(f->vm.gate.open);
	}
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	assert_int_equal(aim(f, VM_AIM_RESET), 0);
	assert_int_equal(aim(f, VM_AIM_RESET), 0);
	settle(f);
	assert_int_equal(f->n_resets, 1);
	assert_int_equal(f->n_notices, 1);
	assert_int_equal(f->n_states, 0);
	assert_true(f->vm.gate.open && f->vcpus[1].reset_pending);
	expect_answers(f, VM_AIM_RESET, 1, 0);
	/* Of a paused vm: it stays paused. */
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	settle(f);
	assert_int_equal(aim(f, VM_AIM_RESET), 0);
	assert_int_equal(aim(f, VM_AIM_PAUSE), -EALREADY);
	settle(f);
	assert_int_equal(f->vm.state, PROTO_VM_PAUSED);
	expect_answers(f, VM_AIM_RESET, 2, 0);
	expect_answers(f, VM_AIM_PAUSE, 1, 0);
}

static void test_reset_fails(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	f->boot_error = -EIO;
	assert_int_equal(aim(f, VM_AIM_RESET), 0);
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	settle(f);
	assert_int_equal(f->vm.state, PROTO_VM_STOPPED);
	assert_int_equal(f->vm.reason, PROTO_REASON_CRASHED);
	assert_string_equal(f->vm.text, "the kernel has gone");
	expect_answers(f, VM_AIM_RESET, 1, -EIO);
	expect_answers(f, VM_AIM_PAUSE, 1, -EIO);
	assert_false(f->vm.gate.open);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	assert_int_equal(aim(f, VM_AIM_RESET), 0);
	assert_int_equal(aim(f, VM_AIM_STOP), 0);
	expect_answers(f, VM_AIM_RESET, 1, -ECANCELED);
	assert_int_equal(aim(f, VM_AIM_STOP), 0); /* both are answered when it is done */
	assert_int_equal(aim(f, VM_AIM_PAUSE), -EINVAL);
	assert_int_equal(aim(f, VM_AIM_RESET), -EINVAL);
	settle(f);
	expect_answers(f, VM_AIM_STOP, 1, 0);
	assert_int_equal(f->n_resets, 0);
	assert_int_equal(aim(f, VM_AIM_STOP), -EALREADY);
	assert_int_equal(aim(f, VM_AIM_PAUSE), -EINVAL);
	assert_int_equal(vm_resume(&f->vm), -EINVAL);
	assert_int_equal(vm_inject_nmi(&f->vm), -EINVAL);
}

/* The guest's wishes, which vCPUs may utter together before the gate has closed. */

static void wish(struct fixture *f, enum machine_request request)
{
	machine_request(&f->vm.machine, request, 7);
}

static void test_panic_is_kept(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	/* At once, while it parks, and just after: what panicked stays to be looked at. */
	wish(f, MACHINE_RESET);
	wish(f, MACHINE_PANICKED);
	turn(f);
	assert_int_equal(f->vm.aim, VM_AIM_PAUSE);
	wish(f, MACHINE_POWEROFF);
	turn(f);
	wish(f, MACHINE_RESET);
	settle(f);
	turn(f);
	assert_int_equal(f->vm.state, PROTO_VM_PAUSED);
	assert_int_equal(f->vm.reason, PROTO_REASON_PANICKED);
	assert_int_equal(f->n_resets, 0);
	/* But the operator may. */
	assert_int_equal(aim(f, VM_AIM_RESET), 0);
	settle(f);
	assert_int_equal(f->n_resets, 1);
}

static void test_guest_reset_during_pause(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	wish(f, MACHINE_RESET);
	turn(f);
	settle(f);
	assert_int_equal(f->vm.state, PROTO_VM_PAUSED);
	assert_int_equal(f->n_resets, 1);
	expect_answers(f, VM_AIM_PAUSE, 1, 0);
	assert_int_equal(vm_resume(&f->vm), 0);
}

static void test_old_life_is_void(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	wish(f, MACHINE_RESET);
	turn(f);
	wish(f, MACHINE_IO_ERROR);
	turn(f);
	wish(f, MACHINE_RESET);
	settle(f);
	turn(f);
	assert_int_equal(f->vm.state, PROTO_VM_RUNNING);
	assert_int_equal(f->n_resets, 1);
}

/* But what became of its memory is told, though the reset comes first: devices tell each size once. */
static void test_old_life_is_told(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	n_collected_memories = 0;
	f->n_notices = 0;
	assert_int_equal(aim(f, VM_AIM_RESET), 0);
	park_all(f);
	wish(f, MACHINE_MEMORY);
	wish(f, MACHINE_BALLOON);
	wish(f, MACHINE_PANICKED);
	turn(f);
	assert_int_equal(f->n_resets, 1);
	assert_int_equal(f->vm.state, PROTO_VM_RUNNING);
	assert_int_equal(n_collected_memories, 1);
	/* The balloon's size, and the reset. */
	assert_int_equal(f->n_notices, 2);
}

/* Of each disk whose guest was given errors, however many there were meanwhile. */
static void test_disk_errors(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	f->n_notices = 0;
	for (unsigned i = 0; i < 3; i++) {
		machine_request(&f->vm.machine, MACHINE_DISK_ERRORS, 1 << 2);
		machine_request(&f->vm.machine, MACHINE_DISK_ERRORS, INT_MIN);
	}
	turn(f);
	assert_int_equal(f->n_notices, 2);
	assert_int_equal(f->notice, PROTO_NOTICE_IO_ERROR);
	assert_int_equal(f->notice_index, 31);
	machine_request(&f->vm.machine, MACHINE_DISK_ERRORS, 1 << 1);
	turn(f);
	assert_int_equal(f->n_notices, 3);
	assert_int_equal(f->notice_index, 1);
	assert_int_equal(f->vm.state, PROTO_VM_RUNNING);
}

/* Cards that the guest let go of are collected whatever is under way, and by nobody else. */
static void test_eject(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	n_collected = 0;
	wish(f, MACHINE_EJECT);
	assert_int_equal(n_collected, 0);
	turn(f);
	assert_int_equal(n_collected, 1);
	assert_int_equal(f->vm.state, PROTO_VM_RUNNING);
	f->busy = true;
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	wish(f, MACHINE_EJECT);
	turn(f);
	assert_int_equal(n_collected, 2);
}

/* Who has no thread is named: it is not the sandbox. */
static void test_no_thread(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX] = "";

	f->vm.gate_source = loop_source_remove(f->vm.gate_source);
	n_threads_left = 1;
	assert_int_equal(vm_start_threads(&f->vm, reason), -EAGAIN);
	assert_string_equal(reason, "the thread of vCPU 1: Resource temporarily unavailable");
}

static void test_failure(void **state)
{
	static const struct vcpu_failure failure = {"KVM gave up"};
	struct fixture *f = *state;

	start(f, false);
	assert_int_equal(aim(f, VM_AIM_PAUSE), 0);
	f->vm.vcpu_host.failed(f->vm.vcpu_host.opaque, &failure);
	f->vm.vcpu_host.failed(f->vm.vcpu_host.opaque, &(struct vcpu_failure){"later"});
	settle(f);
	assert_int_equal(f->vm.state, PROTO_VM_STOPPED);
	assert_int_equal(f->vm.reason, PROTO_REASON_CRASHED);
	assert_string_equal(f->vm.text, "KVM gave up");
	assert_int_equal(f->n_settled[VM_AIM_PAUSE], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_start),
		TEST(test_pause_waits_for_devices),
		TEST(test_pause_during_start),
		TEST(test_stop_during_start),
		TEST(test_pause_and_reset),
		TEST(test_reset),
		TEST(test_reset_fails),
		TEST(test_stop),
		TEST(test_panic_is_kept),
		TEST(test_guest_reset_during_pause),
		TEST(test_eject),
		TEST(test_old_life_is_void),
		TEST(test_old_life_is_told),
		TEST(test_disk_errors),
		TEST(test_no_thread),
		TEST(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
