/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPUs that come and go, as the vm keeps them: what is switched when, what is told, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/vm.h"

#define N_VCPUS 70

struct fixture {
	struct vm vm;
	struct vm_owner owner;
	struct device device;
	struct vcpu vcpus[N_VCPUS];
	bool present[N_VCPUS];
	unsigned n_set, n_changed, n_switched;
};

static struct fixture *fixture;

void vcpu_switch(struct vcpu *vcpu, bool on)
{
	assert_true(vcpu->off == on);
	vcpu->off = !on;
	fixture->n_switched++;
}

/* More come at once; fewer when the test says so. */
static void set(struct device *dev, unsigned n)
{
	assert_ptr_equal(dev, &fixture->device);
	fixture->n_set++;
	for (unsigned i = 0; i < n; i++)
		fixture->present[i] = true;
}

static bool is_present(const struct device *dev, unsigned vcpu)
{
	assert_ptr_equal(dev, &fixture->device);
	return fixture->present[vcpu];
}

static const struct machine_cpu_ops ops = {set, is_present};

static void on_vcpus(void *opaque)
{
	assert_ptr_equal(opaque, fixture);
	fixture->n_changed++;
}

static int setup(void **state)
{
	struct fixture *f = fixture = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->vm.config.vcpus = 2;
	f->vm.config.vcpus_max = f->vm.n_vcpus = N_VCPUS;
	f->vm.vcpus = f->vcpus;
	for (unsigned i = 0; i < N_VCPUS; i++) {
		f->vcpus[i].off = i >= 2;
		f->present[i] = i < 2;
	}
	f->owner = (struct vm_owner){.vcpus_changed = on_vcpus, .opaque = f};
	f->vm.owner = &f->owner;
	f->vm.state = PROTO_VM_RUNNING;
	f->vm.machine.cpu_hotplug = &f->device;
	f->vm.machine.cpu_ops = &ops;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void expect_words(struct fixture *f, uint32_t first, uint32_t second, uint32_t third)
{
	uint32_t words[PROTO_VCPU_WORDS];

	vm_vcpus(&f->vm, words);
	assert_true(words[0] == first && words[1] == second && words[2] == third);
	for (unsigned i = 3; i < PROTO_VCPU_WORDS; i++)
		assert_int_equal(words[i], 0);
}

static void test_set(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	expect_words(f, 3, 0, 0);
	assert_int_equal(vm_vcpus_set(&f->vm, 34, reason), 0);
	expect_words(f, UINT32_MAX, 3, 0);
	assert_int_equal(f->n_changed, 1);
	assert_int_equal(f->n_switched, 32);
	assert_int_equal(f->vm.config.vcpus, 34);
	/* The guest is only asked. */
	assert_int_equal(vm_vcpus_set(&f->vm, 1, reason), 0);
	assert_int_equal(f->n_changed, 1);
	assert_int_equal(f->vm.config.vcpus, 1);
	f->present[5] = f->present[33] = false;
	vm_collect_vcpus(&f->vm);
	expect_words(f, UINT32_MAX & ~(1U << 5), 1, 0);
	assert_int_equal(f->n_changed, 2);
	vm_collect_vcpus(&f->vm);
	assert_int_equal(f->n_changed, 2);
	assert_int_equal(vm_vcpus_set(&f->vm, N_VCPUS, reason), 0);
	expect_words(f, UINT32_MAX, UINT32_MAX, 0x3f);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	assert_int_equal(vm_vcpus_set(&f->vm, 0, reason), -EINVAL);
	assert_int_equal(vm_vcpus_set(&f->vm, N_VCPUS + 1, reason), -EINVAL);
	f->vm.state = PROTO_VM_STOPPED;
	assert_int_equal(vm_vcpus_set(&f->vm, 1, reason), -EINVAL);
	assert_non_null(strstr(reason, "stopped"));
	f->vm.state = PROTO_VM_PAUSED;
	f->vm.machine.cpu_ops = NULL;
	assert_int_equal(vm_vcpus_set(&f->vm, 1, reason), -ENOTSUP);
	assert_non_null(strstr(reason, "ACPI"));
	vm_collect_vcpus(&f->vm);
	assert_int_equal(f->n_set + f->n_switched + f->n_changed, 0);
	assert_int_equal(f->vm.config.vcpus, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_set),
		T(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
