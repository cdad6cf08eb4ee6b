/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vCPU's thread without KVM: one that cannot be reset says so once, and does not run. The rest is tests/guest/test-guests.c's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <poll.h>

#include <cmocka.h>

#include "vmm-core/base/loop.h"
#include "vmm-core/vcpu.h"

static int reset_result;
static _Atomic unsigned n_resets, n_failures;
static char first_failure[160];

int vcpu_reset(struct vcpu *vcpu, enum vcpu_reset kind, const char **ret_stage)
{
	(void)vcpu;
	(void)kind;
	n_resets++;
	*ret_stage = "KVM_SET_REGS";
	return reset_result;
}

static void on_failed(void *opaque, const struct vcpu_failure *failure)
{
	(void)opaque;
	if (n_failures++ == 0)
		(void)snprintf(first_failure, sizeof(first_failure), "%s", failure->text);
}

static int on_thread(void *opaque)
{
	(void)opaque;
	return 0;
}

static void wait_parked(struct vcpu_gate *gate)
{
	struct pollfd p = {.fd = gate->event_fd, .events = POLLIN};
	uint64_t n;

	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_int_equal(read(gate->event_fd, &n, sizeof(n)), sizeof(n));
	assert_true(vcpus_all_parked(gate));
}

static void test_reset_fails(void **state)
{
	static struct kvm_run run;
	struct boot_entry entry = {0};
	struct vcpu_gate gate;
	struct vcpu_host host = {.gate = &gate, .failed = on_failed, .enter_sandbox = on_thread};
	/* Not the first one, which looks for the PIC's interrupt. KVM is not there: to run it would be another failure. */
	struct vcpu vcpu = {
		.host = &host, .index = 1, .fd = -EBADF, .stats_fd = -EBADF, .run = &run};

	(void)state;
	assert_int_equal(loop_new(&host.loop), 0);
	assert_int_equal(vcpu_gate_init(&gate, 1), 0);
	assert_int_equal(vcpu_start_thread(&vcpu), 0);
	wait_parked(&gate);
	reset_result = -EIO;
	vcpus_unpark(&vcpu, 1, &gate, &entry);
	/* At the open gate. */
	while (n_failures == 0)
		(void)poll(NULL, 0, 1);
	vcpus_park(&vcpu, 1, &gate);
	wait_parked(&gate);
	assert_int_equal(n_resets, 1);
	assert_int_equal(n_failures, 1);
	assert_string_equal(first_failure, "cannot reset vCPU 1: KVM_SET_REGS: Input/output error");
	vcpus_quit(&vcpu, 1, &gate);
	vcpu_gate_done(&gate);
	(void)loop_free(host.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
