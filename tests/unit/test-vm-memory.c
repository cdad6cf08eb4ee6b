/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory devices that come and go, as the vm keeps them: numbers, regions, configuration, and what a failure leaves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/guest-plug.h"
#include "vmm-core/vm.h"

struct fixture {
	struct vm vm;
	struct vm_owner owner;
	struct vm_stats_page stats;
	struct device hotplug;
	struct device *out[VM_MAX_MEMORIES]; /* that the guest let go of */
	unsigned n_out, n_kept, n_changed, n_notices, noticed;
	int add_error, plug_error, set_error;
	uint64_t size[VM_MAX_MEMORIES];
};

static struct fixture *fixture;

/* Devices: what they are does not matter here. */

static void memory_unrealize(struct device *dev)
{
	fixture->vm.machine.memories[dev->instance] = NULL;
}

static const struct device_ops memory_ops = {.unrealize = memory_unrealize};
static const struct device_class memory_class = {
	.name = "memory", .size = sizeof(struct device), .ops = &memory_ops};

int vm_add_device(struct vm *vm, const char *class_name, unsigned instance, struct device **ret_dev,
	char *ret_reason)
{
	assert_string_equal(class_name, "virtio-mem-pci");
	assert_true(instance < vm->config.n_memories);
	/* Its region is there. */
	assert_non_null(guest_plug_find(&vm->mem, instance));
	if (fixture->add_error < 0) {
		(void)strcpy(ret_reason, "no");
		return fixture->add_error;
	}
	assert_int_equal(device_new(&memory_class, &vm->machine, instance, ret_dev), 0);
	vm->devices[vm->n_devices++] = *ret_dev;
	vm->machine.memories[instance] = *ret_dev;
	return 0;
}

static int set(struct device *dev, uint64_t bytes)
{
	(void)bytes;
	assert_ptr_equal(dev, fixture->vm.machine.memories[dev->instance]);
	return fixture->set_error;
}

static uint64_t size(const struct device *dev)
{
	return fixture->size[dev->instance];
}

static const struct machine_memory_ops ops = {set, size};

static int plug(struct device *hotplug, struct device *card)
{
	(void)card;
	assert_ptr_equal(hotplug, &fixture->hotplug);
	return fixture->plug_error;
}

static void unplug(struct device *hotplug, struct device *card)
{
	(void)hotplug;
	fixture->out[fixture->n_out++] = card;
}

static struct device *ejected(struct device *hotplug)
{
	(void)hotplug;
	return fixture->n_out ? fixture->out[--fixture->n_out] : NULL;
}

static int keep(struct device *hotplug, struct device *card)
{
	(void)hotplug;
	for (unsigned i = 0; i < fixture->n_out; i++)
		if (fixture->out[i] == card)
			return -ENODEV;
	fixture->n_kept++;
	return 0;
}

static const struct machine_hotplug_ops hotplug_ops = {plug, unplug, keep, ejected};

static void on_memories(void *opaque)
{
	((struct fixture *)opaque)->n_changed++;
}

static void on_notice(void *opaque, enum proto_notice_kind kind, unsigned index, const char *text)
{
	struct fixture *f = opaque;

	assert_int_equal(kind, PROTO_NOTICE_MEMORY);
	assert_string_equal(text, "");
	f->n_notices++;
	f->noticed = index;
}

static int setup(void **state)
{
	const struct guest_file room = {.fd = -EBADF, .size = GIB(10), .page_len = 4096};
	struct fixture *f = fixture = calloc(1, sizeof(*f));

	assert_non_null(f);
	vm_config_init(&f->vm.config);
	(void)strcpy(f->vm.config.name, "m");
	f->vm.config.uuid[0] = 1;
	f->vm.config.memory_kib = f->vm.config.current_memory_kib = 65536;
	f->vm.config.max_memory_kib = 65536 + 4194304;
	f->vm.config.memory_slots = 4;
	f->vm.config.vcpus = f->vm.config.vcpus_max = 1;
	f->owner = (struct vm_owner){
		.memories_changed = on_memories, .notice = on_notice, .opaque = f};
	f->vm.owner = &f->owner;
	f->vm.stats = &f->stats;
	f->vm.state = PROTO_VM_RUNNING;
	f->vm.machine.hotplug = &f->hotplug;
	f->vm.machine.hotplug_ops = &hotplug_ops;
	f->vm.machine.memory_ops = &ops;
	assert_int_equal(guest_mem_init(&f->vm.mem, -EBADF, MIB(64)), 0);
	assert_int_equal(guest_plug_init(&f->vm.mem, &room, NULL, NULL), 0);
	assert_int_equal(KIB(vm_config_plug_room_kib(&f->vm.config)), GIB(10));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	while (f->vm.n_devices)
		(void)device_free(f->vm.devices[--f->vm.n_devices]);
	guest_mem_done(&f->vm.mem);
	free(f);
	return 0;
}

static int add(struct fixture *f, unsigned number, uint64_t size_mib, char *reason)
{
	struct vm_memory memory = {
		.size_kib = size_mib * 1024, .requested_kib = 2048, .block_kib = 2048};

	*reason = 0;
	return vm_memory_add(&f->vm, number, &memory, reason);
}

static void test_come_and_go(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	assert_int_equal(add(f, 3, 512, reason), 0);
	assert_int_equal(add(f, 0, 1024, reason), 0);
	assert_int_equal(vm_memories(&f->vm), 9);
	assert_int_equal(guest_plug_find(&f->vm.mem, 3)->size, MIB(512));
	assert_int_equal(guest_plug_find(&f->vm.mem, 3)->usable, MIB(128));
	/* What is to be there, or is, is not pulled out. */
	assert_int_equal(vm_memory_remove(&f->vm, 3, reason), -EBUSY);
	assert_int_equal(vm_memory_set(&f->vm, 3, 0, reason), 0);
	f->size[3] = MIB(2);
	assert_int_equal(vm_memory_remove(&f->vm, 3, reason), -EBUSY);
	f->size[3] = 0;
	assert_int_equal(vm_memory_remove(&f->vm, 3, reason), 0);
	assert_int_equal(f->n_changed, 0);
	assert_non_null(guest_plug_find(&f->vm.mem, 3));
	vm_collect_ejected(&f->vm);
	assert_int_equal(f->n_changed, 1);
	assert_int_equal(vm_memories(&f->vm), 1);
	assert_null(guest_plug_find(&f->vm.mem, 3));
	vm_collect_ejected(&f->vm);
	assert_int_equal(f->n_changed, 1);
	/* Its place, its number, and what it had of the limit are free. */
	assert_int_equal(add(f, 1, 3072, reason), 0);
	assert_int_equal(add(f, 3, 2, reason), -EINVAL);
	assert_non_null(strstr(reason, "maxMemory"));
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	assert_int_equal(add(f, 2, 512, reason), 0);
	assert_int_equal(add(f, 2, 512, reason), -EEXIST);
	assert_int_equal(add(f, VM_MAX_MEMORIES, 512, reason), -EEXIST);
	assert_int_equal(add(f, UINT32_MAX, 512, reason), -EEXIST);
	assert_int_equal(add(f, 3, 3, reason), -EINVAL);
	assert_int_equal(add(f, 3, 0, reason), -EINVAL);
	assert_int_equal(vm_memory_remove(&f->vm, 3, reason), -ENODEV);
	assert_int_equal(vm_memory_set(&f->vm, 3, 0, reason), -ENODEV);
	assert_int_equal(vm_memory_set(&f->vm, UINT32_MAX, 0, reason), -ENODEV);
	assert_int_equal(vm_memory_set(&f->vm, 2, UINT64_MAX, reason), -EINVAL);
	f->set_error = -EINVAL;
	assert_int_equal(vm_memory_set(&f->vm, 2, 4096, reason), -EINVAL);
	assert_int_equal(f->vm.config.memories[2].requested_kib, 2048);
	f->set_error = 0;
	f->vm.state = PROTO_VM_STOPPED;
	assert_int_equal(add(f, 3, 512, reason), -EINVAL);
	f->vm.state = PROTO_VM_RUNNING;
	f->vm.machine.hotplug_ops = NULL;
	assert_int_equal(add(f, 3, 512, reason), -ENOTSUP);
	assert_int_equal(vm_memory_remove(&f->vm, 2, reason), -ENOTSUP);
	assert_int_equal(vm_memories(&f->vm), 4);
}

static void test_failures(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	f->add_error = -ENOSPC;
	assert_int_equal(add(f, 1, 512, reason), -ENOSPC);
	assert_string_equal(reason, "no");
	assert_null(guest_plug_find(&f->vm.mem, 1));
	f->add_error = 0;
	f->plug_error = -ENOSPC;
	assert_int_equal(add(f, 1, 512, reason), -ENOSPC);
	assert_int_equal(f->vm.n_devices, 0);
	assert_null(guest_plug_find(&f->vm.mem, 1));
	f->plug_error = 0;
	assert_int_equal(add(f, 2, 4096, reason), 0);
}

/* Who is to have some of it keeps it, asked for or not. */
static void test_kept(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	assert_int_equal(add(f, 1, 512, reason), 0);
	assert_int_equal(vm_memory_set(&f->vm, 1, 0, reason), 0);
	assert_int_equal(f->n_kept, 0);
	assert_int_equal(vm_memory_set(&f->vm, 1, 2048, reason), 0);
	assert_int_equal(f->n_kept, 1);
	f->set_error = -ENOMEM;
	assert_int_equal(vm_memory_set(&f->vm, 1, 4096, reason), -ENOMEM);
	assert_int_equal(f->n_kept, 1);
	f->set_error = 0;
	assert_int_equal(vm_memory_set(&f->vm, 1, 0, reason), 0);
	assert_int_equal(vm_memory_remove(&f->vm, 1, reason), 0);
	/* Too late: here a guest lets go at once. */
	assert_int_equal(vm_memory_set(&f->vm, 1, 2048, reason), -ENODEV);
	assert_non_null(strstr(reason, "let go"));
	assert_int_equal(f->vm.config.memories[1].requested_kib, 0);
}

/* Those whose size is another one than was told. */
static void test_notices(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	assert_int_equal(add(f, 1, 512, reason), 0);
	assert_int_equal(add(f, 2, 512, reason), 0);
	vm_collect_memories(&f->vm);
	assert_int_equal(f->n_notices, 0);
	f->size[2] = MIB(2);
	vm_collect_memories(&f->vm);
	assert_int_equal(f->n_notices, 1);
	assert_int_equal(f->noticed, 2);
	vm_collect_memories(&f->vm);
	assert_int_equal(f->n_notices, 1);
	f->size[1] = f->size[2] = MIB(4);
	vm_collect_memories(&f->vm);
	assert_int_equal(f->n_notices, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_come_and_go),
		TEST(test_refusals),
		TEST(test_failures),
		TEST(test_kept),
		TEST(test_notices),
	};

	return cmocka_run_group_tests_name("vm-memory", tests, NULL, NULL);
}
