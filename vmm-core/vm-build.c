/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Building a vm: the one place that fixes the order of construction (kvm.h says why it matters), and its end.
 *
 * Tested by tests/guest/test-guests.c.
 */
#include "vmm-core/vm-build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm-core/acpi/acpi.h"
#include "vmm-core/chardev.h"
#include "vmm-core/guest-plug.h"
#include "vmm-core/smbios.h"

/* Life of the fds. */

void vm_fds_init(struct vm_fds *fds)
{
	*fds = (struct vm_fds){
		.kvm = -EBADF,
		.plug = -EBADF,
		.stats = -EBADF,
		.kernel = -EBADF,
		.initrd = -EBADF,
		.devices.rng = -EBADF,
	};
	for (unsigned i = 0; i < VM_MAX_CELLS; i++)
		fds->ram[i] = -EBADF;
	for (unsigned i = 0; i < VM_MAX_SERIALS; i++)
		fds->serials[i] = -EBADF;
	for (unsigned i = 0; i < VM_MAX_CONSOLES; i++)
		fds->consoles[i] = -EBADF;
	for (unsigned i = 0; i < VM_MAX_CHANNELS; i++)
		fds->channels[i] = -EBADF;
	for (unsigned i = 0; i < VM_MAX_DISKS; i++)
		fds->devices.disks[i] = -EBADF;
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		fds->devices.nics[i] = -EBADF;
}

void vm_fds_done(struct vm_fds *fds)
{
	fds->kvm = safe_close(fds->kvm);
	fds->plug = safe_close(fds->plug);
	fds->stats = safe_close(fds->stats);
	fds->kernel = safe_close(fds->kernel);
	fds->initrd = safe_close(fds->initrd);
	fds->devices.rng = safe_close(fds->devices.rng);
	for (unsigned i = 0; i < VM_MAX_CELLS; i++)
		fds->ram[i] = safe_close(fds->ram[i]);
	for (unsigned i = 0; i < VM_MAX_SERIALS; i++)
		fds->serials[i] = safe_close(fds->serials[i]);
	for (unsigned i = 0; i < VM_MAX_CONSOLES; i++)
		fds->consoles[i] = safe_close(fds->consoles[i]);
	for (unsigned i = 0; i < VM_MAX_CHANNELS; i++)
		fds->channels[i] = safe_close(fds->channels[i]);
	for (unsigned i = 0; i < VM_MAX_DISKS; i++)
		fds->devices.disks[i] = safe_close(fds->devices.disks[i]);
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		fds->devices.nics[i] = safe_close(fds->devices.nics[i]);
}

int vm_build_failed(char *reason, int error, const char *what)
{
	(void)snprintf(reason, PROTO_REASON_MAX, "%s: %s", what, strerror(-error));
	return error;
}

/* Step by step, in vm_build()'s order. */

/* Before anything is made: what comes is the threads' and the memory's, which stay where they were first touched. */
static int build_placement(struct vm *vm, char *reason)
{
	char text[CPUSET_TEXT_MAX];
	int r;

	if (cpuset_is_empty(vm->config.cpuset))
		return 0;
	r = cpuset_apply(vm->config.cpuset);
	if (r < 0) {
		cpuset_format(vm->config.cpuset, text);
		(void)snprintf(reason, PROTO_REASON_MAX,
			"domain '%s': vcpu/@cpuset: none of the host CPUs %.64s can be used: %s",
			vm->config.name, text, strerror(-r));
	}
	return r;
}

static int build_kvm(struct vm *vm, char *reason)
{
	const char *stage;
	int r;

	if (vm->fds.kvm < 0)
		return vm_build_failed(reason, -EBADF, "no /dev/kvm was given");
	r = kvm_init(&vm->kvm, TAKE_FD(vm->fds.kvm), &stage);
	if (r >= 0)
		r = kvm_create_vm(&vm->kvm, &stage);
	if (r >= 0 && vm->config.halt_poll_us) {
		stage = "KVM_CAP_HALT_POLL";
		r = kvm_set_halt_poll(&vm->kvm,
			vm->config.halt_poll_us == VM_NO_HALT_POLL ? 0 : vm->config.halt_poll_us);
	}
	return r < 0 ? vm_build_failed(reason, r, stage) : 0;
}

void vm_note_boot(struct vm *vm, enum vm_boot_moment moment)
{
	vm->boot_ns[moment] = loop_now_ns(vm->loop);
	if (vm->stats)
		atomic_store_explicit(
			&vm->stats->boot_ns[moment], vm->boot_ns[moment], memory_order_relaxed);
}

static int map_stats(struct vm *vm, char *reason)
{
	struct stat st;
	void *p;

	if (vm->fds.stats < 0)
		return 0;
	if (fstat(vm->fds.stats, &st) < 0 || (uint64_t)st.st_size < sizeof(*vm->stats))
		return vm_build_failed(reason, -EINVAL, "the statistics page");
	p = mmap(NULL, sizeof(*vm->stats), PROT_READ | PROT_WRITE, MAP_SHARED, vm->fds.stats, 0);
	if (p == MAP_FAILED)
		return vm_build_failed(reason, -errno, "mapping the statistics page");
	vm->stats = p;
	vm->stats->magic = STATS_MAGIC;
	vm->stats->version = STATS_VERSION;
	for (unsigned i = 0; i < VM_BOOT_X_MAX; i++)
		atomic_store_explicit(&vm->stats->boot_ns[i], vm->boot_ns[i], memory_order_relaxed);
	loop_set_heartbeat(vm->loop, &vm->stats->heartbeat);
	loop_set_ledger(vm->loop, vm->stats->loop_ns);
	return 0;
}

static int set_routes(void *opaque, const struct irq_route *routes, unsigned n_routes)
{
	struct vm *vm = opaque;

	return kvm_set_routes(&vm->kvm, routes, n_routes);
}

static int irqfd(void *opaque, int event_fd, uint32_t gsi, bool on)
{
	struct vm *vm = opaque;

	return kvm_irqfd(&vm->kvm, event_fd, gsi, on);
}

static int signal_msi(void *opaque, uint64_t address, uint32_t data)
{
	struct vm *vm = opaque;

	return kvm_signal_msi(&vm->kvm, address, data);
}

static void extint(void *opaque, bool asserted)
{
	struct vm *vm = opaque;

	if (asserted && vm->n_vcpus)
		vcpu_kick(&vm->vcpus[0]);
}

static int doorbell(
	void *opaque, enum bus_space space, uint64_t addr, unsigned size, int event_fd, bool on)
{
	struct vm *vm = opaque;

	return kvm_ioeventfd(&vm->kvm, space, addr, size, event_fd, on);
}

static int build_bus(struct vm *vm, char *reason)
{
	static const struct irq_ops irq_ops = {
		.set_routes = set_routes,
		.irqfd = irqfd,
		.signal_msi = signal_msi,
		.extint = extint,
	};
	static const struct bus_doorbell_ops doorbell_ops = {.set = doorbell};
	int r;

	vm->machine.config = &vm->config;
	vm->machine.mem = &vm->mem;
	vm->machine.loop = vm->loop;
	vm->machine.fds = &vm->fds.devices;
	vm->machine.stats = vm->stats;
	vm->machine.bus = bus_new(vm->loop);
	vm->machine.irq = irq_new(&irq_ops, vm);
	if (!vm->machine.bus || !vm->machine.irq)
		return vm_build_failed(reason, -ENOMEM, "the bus");
	bus_set_doorbell_ops(vm->machine.bus, &doorbell_ops, vm);
	loop_set_locking(vm->loop, true);
	r = vm_init_events(vm);
	return r < 0 ? vm_build_failed(reason, r, "the event channel") : 0;
}

static int build_chardevs(struct vm *vm, char *reason)
{
	unsigned account = loop_set_account(vm->loop, VM_LEDGER_CONSOLES);
	const struct {
		unsigned n;
		int *fds;
		const uint8_t *flags;
		struct chardev **chardevs;
		bool replay;
	} rows[] = {
		{vm->config.n_serials, vm->fds.serials, vm->fds.serial_flags, vm->machine.serials,
			true},
		{vm->config.n_consoles, vm->fds.consoles, vm->fds.console_flags,
			vm->machine.consoles, true},
		{vm->config.n_channels, vm->fds.channels, vm->fds.channel_flags,
			vm->machine.channels, false},
	};

	for (unsigned row = 0; row < ARRAY_SIZE(rows); row++) {
		for (unsigned i = 0; i < rows[row].n; i++) {
			struct stat st;
			unsigned flags = rows[row].replay ? 0 : CHARDEV_NO_REPLAY;
			int fd = rows[row].fds[i], r;

			if (rows[row].flags[i] & PROTO_FD_LISTENING)
				flags |= CHARDEV_LISTENING;
			if (fd >= 0 && fstat(fd, &st) >= 0 && S_ISREG(st.st_mode))
				flags |= CHARDEV_FILE;
			r = chardev_new(vm->loop, fd, flags, &rows[row].chardevs[i]);
			if (r < 0) {
				(void)loop_set_account(vm->loop, account);
				return vm_build_failed(reason, r, "a character device");
			}
			rows[row].fds[i] = -EBADF;
		}
	}
	(void)loop_set_account(vm->loop, account);
	return 0;
}

/* What the guest finds in memory. */

int vm_load_boot(struct vm *vm, char *ret_reason)
{
	struct boot_params_in in = {
		.kernel_fd = vm->fds.kernel,
		.initrd_fd = vm->fds.initrd,
		.cmdline = vm->config.cmdline,
	};
	int r;

	if (vm->fds.kernel < 0)
		return vm_build_failed(ret_reason, -ENOENT,
			"no kernel: this vmmd boots kernels directly, so <os> needs <kernel>");
	r = acpi_build(&vm->mem, &vm->config,
		layout_pci64_base(vm->mem.size, vm->mem.plug ? vm->mem.plug->room : 0), &in.rsdp);
	if (r < 0)
		return vm_build_failed(ret_reason, r, "writing the ACPI tables");
	r = smbios_build(&vm->mem, &vm->config);
	if (r < 0)
		return vm_build_failed(ret_reason, r, "writing the SMBIOS tables");
	return boot_load(&vm->mem, &in, &vm->entry, ret_reason, PROTO_REASON_MAX);
}

static int build_power_on(struct vm *vm, char *reason)
{
	int r = vm_load_boot(vm, reason);

	for (unsigned i = 0; r >= 0 && i < vm->n_vcpus; i++) {
		const char *stage;

		vm->vcpus[i].entry = vm->entry;
		vm->vcpus[i].cpuid = &vm->cpuid;
		r = vcpu_reset(&vm->vcpus[i], VCPU_FRESH, &stage);
		if (r < 0)
			return vm_build_failed(reason, r, stage);
	}
	return r;
}

int vm_build(const struct vm_config *config, struct vm_fds *fds, struct loop *loop,
	int64_t wall_offset_s, const struct vm_owner *owner, struct vm **ret_vm, char *ret_reason)
{
	static const struct {
		int (*run)(struct vm *vm, char *reason);
		unsigned moment; /* enum vm_boot_moment that has come then; VM_BOOT_X_MAX: none */
	} steps[] = {
		{build_placement, VM_BOOT_RECEIVED},
		{build_kvm, VM_BOOT_KVM},          /* the vm, */
		{vm_build_memory, VM_BOOT_MEMORY}, /* its slots, then the interrupt chip, */
		{map_stats, VM_BOOT_X_MAX},
		{build_bus, VM_BOOT_X_MAX},
		{vm_build_vcpus, VM_BOOT_VCPUS}, /* then vCPUs, */
		{build_chardevs, VM_BOOT_X_MAX},
		{vm_iothreads_start, VM_BOOT_X_MAX},
		{vm_build_devices, VM_BOOT_DEVICES}, /* then irqfds and ioeventfds */
		{build_power_on, VM_BOOT_LOADED},
	};
	_cleanup_(vm_freep) struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm) {
		vm_fds_done(fds);
		return vm_build_failed(ret_reason, -ENOMEM, "the vm");
	}
	vm->config = *config;
	vm->fds = *fds;
	vm_fds_init(fds);
	vm->kvm.dev_fd = vm->kvm.vm_fd = -EBADF;
	vm->gate.event_fd = vm->request_fd = -EBADF;
	vm->loop = loop;
	vm->owner = owner;
	vm->machine.wall_offset_s = wall_offset_s;
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i].run(vm, ret_reason);

		if (r < 0)
			return r;
		if (steps[i].moment != VM_BOOT_X_MAX)
			vm_note_boot(vm, steps[i].moment);
	}
	/* From here on this process makes no other vm. */
	kvm_close_dev(&vm->kvm);
	*ret_vm = TAKE_PTR(vm);
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	if (!vm)
		return NULL;
	if (vm->n_vcpus)
		vcpus_quit(vm->vcpus, vm->n_vcpus, &vm->gate);
	vm_iothreads_stop(vm);
	loop_timer_stop(&vm->drain_timer);
	vm->gate_source = loop_source_remove(vm->gate_source);
	vm->request_source = loop_source_remove(vm->request_source);
	while (vm->n_devices)
		(void)device_free(vm->devices[--vm->n_devices]);
	vm_iothreads_free(vm);
	for (unsigned i = 0; i < VM_MAX_SERIALS; i++)
		(void)chardev_free(vm->machine.serials[i]);
	for (unsigned i = 0; i < VM_MAX_CONSOLES; i++)
		(void)chardev_free(vm->machine.consoles[i]);
	for (unsigned i = 0; i < VM_MAX_CHANNELS; i++)
		(void)chardev_free(vm->machine.channels[i]);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		vcpu_done(&vm->vcpus[i]);
	free(vm->vcpus);
	if (vm->gate.n_vcpus)
		vcpu_gate_done(&vm->gate);
	vm->request_fd = safe_close(vm->request_fd);
	(void)irq_free(vm->machine.irq);
	(void)bus_free(vm->machine.bus);
	loop_set_heartbeat(vm->loop, NULL);
	loop_set_ledger(vm->loop, NULL);
	if (vm->stats)
		(void)munmap(vm->stats, sizeof(*vm->stats));
	kvm_done(&vm->kvm);
	guest_mem_done(&vm->mem);
	vm_fds_done(&vm->fds);
	loop_set_locking(vm->loop, false);
	(void)pthread_mutex_destroy(&vm->request_lock);
	free(vm);
	return NULL;
}
