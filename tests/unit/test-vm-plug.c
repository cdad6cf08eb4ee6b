/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vNICs that come and go, as the vm keeps them: numbers, configuration, statistics, and what a failure leaves. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/vm.h"

struct fixture {
	struct vm vm;
	struct vm_owner owner;
	struct vm_stats_page stats;
	struct device hotplug;
	struct device *out[VM_MAX_NICS]; /* that the guest let go of */
	unsigned n_out, n_asked, n_changed, n_freed;
	int add_error, plug_error;
	bool takes_tap;
	int tap;
};

static struct fixture *fixture;

/* Devices: what they are does not matter here. */

static void nic_unrealize(struct device *dev)
{
	fixture->vm.machine.nics[dev->instance] = NULL;
	fixture->n_freed++;
}

static const struct device_ops nic_ops = {.unrealize = nic_unrealize};
static const struct device_class nic_class = {
	.name = "nic", .size = sizeof(struct device), .ops = &nic_ops};

int vm_add_device(struct vm *vm, const char *class_name, unsigned instance, struct device **ret_dev,
	char *ret_reason)
{
	int r;

	assert_string_equal(class_name, "virtio-net-pci");
	assert_true(instance < vm->config.n_nics);
	if (fixture->add_error < 0) {
		(void)strcpy(ret_reason, "no");
		return fixture->add_error;
	}
	r = device_new(&nic_class, &vm->machine, instance, ret_dev);
	assert_int_equal(r, 0);
	vm->devices[vm->n_devices++] = *ret_dev;
	vm->machine.nics[instance] = *ret_dev;
	if (fixture->takes_tap)
		fixture->tap = TAKE_FD(vm->fds.devices.nics[instance]);
	return 0;
}

static int plug(struct device *hotplug, struct device *card)
{
	assert_ptr_equal(hotplug, &fixture->hotplug);
	assert_ptr_equal(fixture->vm.machine.nics[card->instance], card);
	return fixture->plug_error;
}

static void unplug(struct device *hotplug, struct device *card)
{
	assert_ptr_equal(hotplug, &fixture->hotplug);
	fixture->n_asked++;
	fixture->out[fixture->n_out++] = card;
}

static struct device *ejected(struct device *hotplug)
{
	assert_ptr_equal(hotplug, &fixture->hotplug);
	return fixture->n_out ? fixture->out[--fixture->n_out] : NULL;
}

static const struct machine_hotplug_ops hotplug_ops = {
	.plug = plug, .unplug = unplug, .ejected = ejected};

static void on_nics(void *opaque)
{
	assert_ptr_equal(opaque, fixture);
	fixture->n_changed++;
}

static void vm_fds_init_none(struct fixture *f)
{
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		f->vm.fds.devices.nics[i] = -EBADF;
}

static int setup(void **state)
{
	struct fixture *f = fixture = calloc(1, sizeof(*f));

	assert_non_null(f);
	vm_fds_init_none(f);
	vm_config_init(&f->vm.config);
	(void)strcpy(f->vm.config.name, "n");
	f->vm.config.uuid[0] = 1;
	f->vm.config.memory_kib = f->vm.config.current_memory_kib = 65536;
	f->vm.config.vcpus = f->vm.config.vcpus_max = 1;
	f->owner = (struct vm_owner){.nics_changed = on_nics, .opaque = f};
	f->vm.owner = &f->owner;
	f->vm.stats = &f->stats;
	f->vm.state = PROTO_VM_RUNNING;
	f->vm.machine.hotplug = &f->hotplug;
	f->vm.machine.hotplug_ops = &hotplug_ops;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	while (f->vm.n_devices)
		(void)device_free(f->vm.devices[--f->vm.n_devices]);
	free(f);
	return 0;
}

static int add(struct fixture *f, unsigned number, uint8_t mac, char *reason)
{
	struct vm_nic nic = {.port.mac = {0x52, 0x54, 0, 0, 0, mac}};

	*reason = 0;
	return vm_nic_add(&f->vm, number, &nic, -EBADF, reason);
}

static void test_come_and_go(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	atomic_store(&f->stats.nics[5].rx_bytes, 7);
	assert_int_equal(vm_nics(&f->vm), 0);
	assert_int_equal(add(f, 5, 5, reason), 0);
	assert_int_equal(add(f, 0, 1, reason), 0);
	assert_int_equal(add(f, VM_MAX_NICS - 1, 2, reason), 0);
	assert_int_equal(vm_nics(&f->vm), 1U << 5 | 1 | 1U << (VM_MAX_NICS - 1));
	assert_int_equal(f->vm.config.nics[5].port.mac[5], 5);
	assert_int_equal(f->vm.config.nics[0].port.mac[5], 1);
	/* The counters of who was there before are not this one's. */
	assert_int_equal(atomic_load(&f->stats.nics[5].rx_bytes), 0);
	assert_int_equal(vm_nic_remove(&f->vm, 5, reason), 0);
	assert_int_equal(f->n_asked, 1);
	assert_int_equal(f->n_freed, 0);
	assert_int_equal(f->vm.n_devices, 3);
	vm_collect_ejected(&f->vm);
	assert_int_equal(f->n_freed, 1);
	assert_int_equal(f->n_changed, 1);
	assert_int_equal(f->vm.n_devices, 2);
	assert_int_equal(f->vm.devices[0]->instance, 0);
	assert_int_equal(f->vm.devices[1]->instance, VM_MAX_NICS - 1);
	assert_int_equal(vm_nics(&f->vm), 1 | 1U << (VM_MAX_NICS - 1));
	/* Nothing to be collected is nothing to be told. */
	vm_collect_ejected(&f->vm);
	assert_int_equal(f->n_changed, 1);
	/* Several at once are told once. */
	assert_int_equal(vm_nic_remove(&f->vm, 0, reason), 0);
	assert_int_equal(vm_nic_remove(&f->vm, VM_MAX_NICS - 1, reason), 0);
	vm_collect_ejected(&f->vm);
	assert_int_equal(f->n_changed, 2);
	assert_int_equal(vm_nics(&f->vm), 0);
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		assert_int_equal(add(f, i, (uint8_t)i, reason), 0);
	assert_int_equal(vm_nics(&f->vm), (1U << VM_MAX_NICS) - 1);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	assert_int_equal(add(f, 2, 1, reason), 0);
	assert_int_equal(add(f, 2, 2, reason), -EEXIST);
	assert_int_equal(add(f, VM_MAX_NICS, 2, reason), -EEXIST);
	assert_int_equal(add(f, UINT32_MAX, 2, reason), -EEXIST);
	/* The address of another one; none at all. The validator says so. */
	assert_int_equal(add(f, 3, 1, reason), -EINVAL);
	assert_non_null(strstr(reason, "52:54:00:00:00:01"));
	assert_int_equal(vm_nic_add(&f->vm, 3, &(struct vm_nic){0}, -EBADF, reason), -EINVAL);
	assert_int_equal(vm_nic_remove(&f->vm, 3, reason), -ENODEV);
	assert_int_equal(vm_nic_remove(&f->vm, VM_MAX_NICS, reason), -ENODEV);
	assert_int_equal(vm_nics(&f->vm), 1U << 2);
	f->vm.state = PROTO_VM_STOPPED;
	assert_int_equal(add(f, 3, 3, reason), -EINVAL);
	f->vm.state = PROTO_VM_PAUSED;
	assert_int_equal(add(f, 3, 3, reason), 0);
	f->vm.machine.hotplug_ops = NULL;
	assert_int_equal(add(f, 4, 4, reason), -ENOTSUP);
	assert_non_null(strstr(reason, "ACPI"));
	assert_int_equal(vm_nic_remove(&f->vm, 3, reason), -ENOTSUP);
	vm_collect_ejected(&f->vm);
}

static void test_failures(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	f->add_error = -EEXIST;
	assert_int_equal(add(f, 1, 1, reason), -EEXIST);
	assert_string_equal(reason, "no");
	f->add_error = 0;
	f->plug_error = -ENOSPC;
	assert_int_equal(add(f, 1, 1, reason), -ENOSPC);
	assert_int_equal(f->n_freed, 1);
	assert_int_equal(f->vm.n_devices, 0);
	assert_int_equal(vm_nics(&f->vm), 0);
	/* What failed is in nobody's way. */
	f->plug_error = 0;
	assert_int_equal(add(f, 2, 1, reason), 0);
	assert_int_equal(add(f, 1, 2, reason), 0);
}

/* A tap is the device's, or closed. */
static void test_tap(void **state)
{
	struct fixture *f = *state;
	struct vm_nic nic = {.port.mac = {0x52, 0x54, 0, 0, 0, 1}};
	char reason[PROTO_REASON_MAX];
	int fd = dup(0);

	assert_true(fd >= 0);
	f->takes_tap = true;
	assert_int_equal(vm_nic_add(&f->vm, 4, &nic, fd, reason), 0);
	assert_int_equal(f->tap, fd);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_true(f->vm.fds.devices.nics[4] < 0);
	/* The number is taken; the device does not want it; it fails. */
	assert_int_equal(vm_nic_add(&f->vm, 4, &nic, fd, reason), -EEXIST);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	nic.port.mac[5] = 2;
	f->takes_tap = false;
	fd = dup(0);
	assert_int_equal(vm_nic_add(&f->vm, 5, &nic, fd, reason), 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	nic.port.mac[5] = 3;
	f->add_error = -EIO;
	fd = dup(0);
	assert_int_equal(vm_nic_add(&f->vm, 6, &nic, fd, reason), -EIO);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_true(f->vm.fds.devices.nics[6] < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_come_and_go),
		TEST(test_refusals),
		TEST(test_failures),
		TEST(test_tap),
	};

	return cmocka_run_group_tests_name("vm-plug", tests, NULL, NULL);
}
