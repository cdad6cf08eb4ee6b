/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Building a vm: the one place that fixes the order of construction (kvm.h says why it matters), and the board: which
 * devices there are and where they answer.
 *
 * Tested by tests/guest/test-guests.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm-core/acpi/acpi-hw.h"
#include "vmm-core/acpi/acpi.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/chardev.h"
#include "vmm-core/cpu-topology.h"
#include "vmm-core/cpuid.h"
#include "vmm-core/guest-plug.h"
#include "vmm-core/ram-map.h"
#include "vmm-core/smbios.h"
#include "vmm-core/vm.h"

/* The board. */

#define MAX_REGIONS 3

struct board_row {
	const char *class;
	/* How many of them this configuration has. */
	unsigned (*count)(const struct vm_config *config);
	/* Where the regions of instance i answer; len 0 ends the list. */
	struct {
		enum bus_space space;
		uint64_t base, len;
	} regions[MAX_REGIONS];
};

static unsigned always(const struct vm_config *config)
{
	(void)config;
	return 1;
}

static unsigned with_acpi(const struct vm_config *config)
{
	return config->acpi != 0;
}

static unsigned with_panic(const struct vm_config *config)
{
	return config->panic_isa != 0;
}

static unsigned with_genid(const struct vm_config *config)
{
	return config->genid != 0;
}

static unsigned with_debug_exit(const struct vm_config *config)
{
	return config->debug_exit != 0;
}

static unsigned n_disks(const struct vm_config *config)
{
	return config->n_disks;
}

static unsigned n_nics(const struct vm_config *config)
{
	return config->n_nics;
}

static unsigned n_rngs(const struct vm_config *config)
{
	return config->rng.source != VM_RNG_NONE;
}

static unsigned n_balloons(const struct vm_config *config)
{
	return config->balloon.model != VM_BALLOON_NONE;
}

static unsigned n_memories(const struct vm_config *config)
{
	return config->n_memories;
}

static unsigned n_virtio_consoles(const struct vm_config *config)
{
	unsigned n = config->n_channels;

	for (unsigned i = 0; i < config->n_consoles; i++)
		n += config->consoles[i].target == VM_CONSOLE_TARGET_VIRTIO;
	return n != 0;
}

/* In order of construction: the interrupt controllers first, the PCI root before what sits on it. The PCI root and its
 * devices place themselves (0xcf9, the reset register, is the root's); the COM ports are in com_ports[]. */
static const struct board_row board[] = {
	{"ioapic", always, {{BUS_MMIO, LAYOUT_IOAPIC_BASE, 0x1000}}},
	{"i8259", always,
		{{BUS_PIO, LAYOUT_PIC_MASTER, 2}, {BUS_PIO, LAYOUT_PIC_SLAVE, 2},
			{BUS_PIO, LAYOUT_PIC_ELCR, 2}}},
	{"i8254", always, {{BUS_PIO, LAYOUT_PIT, 4}, {BUS_PIO, LAYOUT_PORT61, 1}}},
	{"mc146818", always, {{BUS_PIO, LAYOUT_RTC, 2}}},
	{"i8042", always, {{BUS_PIO, LAYOUT_I8042_DATA, 1}, {BUS_PIO, LAYOUT_I8042_STATUS, 1}}},
	{"acpi-pm", with_acpi,
		{{BUS_PIO, LAYOUT_ACPI_PM, 0x10}, {BUS_PIO, LAYOUT_ACPI_PM + 0x20, 4}}},
	{"pvpanic", with_panic, {{BUS_PIO, LAYOUT_PVPANIC, 1}}},
	{"debug-exit", with_debug_exit, {{BUS_PIO, LAYOUT_DEBUG_EXIT, 4}}},
	{"vmgenid", with_genid, {{0}}},
	{"q35-host", always, {{0}}},
	{"ich9-lpc", always, {{0}}},
	{"acpi-cpu-hotplug", with_acpi, {{BUS_PIO, LAYOUT_CPU_HOTPLUG, ACPI_CPU_HOTPLUG_LEN}}},
	{"acpi-pci-hotplug", with_acpi, {{BUS_PIO, LAYOUT_PCI_HOTPLUG, ACPI_PCI_HOTPLUG_LEN}}},
	{"virtio-blk-pci", n_disks, {{0}}},
	{"virtio-net-pci", n_nics, {{0}}},
	{"virtio-rng-pci", n_rngs, {{0}}},
	{"virtio-console-pci", n_virtio_consoles, {{0}}},
	{"virtio-balloon-pci", n_balloons, {{0}}},
	{"virtio-mem-pci", n_memories, {{0}}},
};

static const uint16_t com_ports[VM_MAX_SERIALS] = {
	LAYOUT_COM1, LAYOUT_COM2, LAYOUT_COM3, LAYOUT_COM4};

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

static int failed(char *reason, int error, const char *what)
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
		return failed(reason, -EBADF, "no /dev/kvm was given");
	r = kvm_init(&vm->kvm, TAKE_FD(vm->fds.kvm), &stage);
	if (r >= 0)
		r = kvm_create_vm(&vm->kvm, &stage);
	if (r >= 0 && vm->config.halt_poll_us) {
		stage = "KVM_CAP_HALT_POLL";
		r = kvm_set_halt_poll(&vm->kvm,
			vm->config.halt_poll_us == VM_NO_HALT_POLL ? 0 : vm->config.halt_poll_us);
	}
	return r < 0 ? failed(reason, r, stage) : 0;
}

/* Huge pages were reserved by the daemon and are never swapped out. */
static int lock_memory(struct vm *vm, char *reason)
{
	int r;

	if (!vm->config.memory_locked)
		return 0;
	r = guest_mem_lock(&vm->mem);
	if (r < 0)
		(void)snprintf(reason, PROTO_REASON_MAX,
			"domain '%s': cannot lock %llu KiB of guest memory: %s", vm->config.name,
			(unsigned long long)vm->config.memory_kib, strerror(-r));
	return r;
}

/* Before the sandbox, and before any vCPU has a thread: as many as will be there anyway may help. */
static int populate_memory(struct vm *vm, char *reason)
{
	unsigned n = MIN(MAX((uint32_t)vm->config.memory_allocators, 1U), vm->config.vcpus_max);
	int r;

	if (vm->config.memory_allocation == VM_ALLOCATION_IMMEDIATE)
		r = guest_mem_populate(&vm->mem, n);
	else if (vm->config.memory_bound)
		r = guest_mem_populate_huge(&vm->mem, n);
	else
		return 0;
	if (r < 0)
		(void)snprintf(reason, PROTO_REASON_MAX,
			"domain '%s': cannot allocate %llu KiB of guest memory: %s",
			vm->config.name, (unsigned long long)vm->config.memory_kib, strerror(-r));
	return r;
}

static int set_slot(void *opaque, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	struct vm *vm = opaque;

	return kvm_plug_memory(&vm->kvm, slot, gpa, size, host);
}

static int check_ram(int fd, uint64_t size)
{
	struct stat st;

	return fstat(fd, &st) < 0 || (uint64_t)st.st_size != size ||
			!(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK)
		? -EINVAL
		: 0;
}

/* One memory file for each cell, or one for all. */
static int map_memory(struct vm *vm, char *reason)
{
	const struct vm_config *config = &vm->config;
	struct guest_file files[VM_MAX_CELLS];
	unsigned n = ram_n_cells(config);
	int r;

	for (unsigned i = 0; i < n; i++) {
		uint32_t huge_kib =
			config->n_cells ? config->cells[i].hugepage_kib : config->hugepage_kib;

		files[i] = (struct guest_file){.fd = vm->fds.ram[i],
			.size = ram_cell_size(config, i),
			.page_len = huge_kib ? KIB(huge_kib) : 4096};
		r = check_ram(files[i].fd, files[i].size);
		if (r < 0)
			return failed(reason, r, "guest memory");
	}
	r = guest_mem_init_files(&vm->mem, files, n);
	if (r < 0)
		return failed(reason, r, "mapping guest memory");
	for (unsigned i = 0; i < n; i++)
		(void)TAKE_FD(vm->fds.ram[i]);
	guest_mem_want_huge(&vm->mem);
	return 0;
}

/* What can be plugged in, and the slots of what is to be there from the start on. */
static int build_plug(struct vm *vm, char *reason)
{
	static const struct guest_plug_ops ops = {.set_slot = set_slot};
	const struct guest_file file = {.fd = vm->fds.plug,
		.size = KIB(vm_config_plug_room_kib(&vm->config)),
		.page_len = vm->config.hugepage_kib ? KIB(vm->config.hugepage_kib) : 4096};
	int r;

	if (!file.size)
		return 0;
	r = check_ram(file.fd, file.size);
	if (r == 0)
		r = guest_plug_init(&vm->mem, &file, &ops, vm);
	if (r < 0)
		return failed(reason, r, "room for memory devices");
	(void)TAKE_FD(vm->fds.plug);
	for (unsigned i = 0; r >= 0 && i < vm->config.n_memories; i++)
		r = vm_memory_make(vm, i);
	return r < 0 ? failed(reason, r, "a memory device's region") : 0;
}

static int build_memory(struct vm *vm, char *reason)
{
	int r = map_memory(vm, reason);

	if (r < 0)
		return r;
	r = populate_memory(vm, reason);
	if (r == 0)
		r = lock_memory(vm, reason);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < vm->mem.n_regions; i++) {
		const struct guest_region *region = &vm->mem.regions[i];

		r = kvm_set_memory(&vm->kvm, i, region->base.v, region->size, region->host);
		if (r < 0)
			return failed(reason, r, "KVM_SET_USER_MEMORY_REGION");
	}
	r = build_plug(vm, reason);
	if (r < 0)
		return r;
	/* All slots are there: the interrupt chip may come. */
	r = kvm_split_irqchip(&vm->kvm, LAYOUT_IOAPIC_PINS);
	return r < 0 ? failed(reason, r, "KVM_CAP_SPLIT_IRQCHIP") : 0;
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
		return failed(reason, -EINVAL, "the statistics page");
	p = mmap(NULL, sizeof(*vm->stats), PROT_READ | PROT_WRITE, MAP_SHARED, vm->fds.stats, 0);
	if (p == MAP_FAILED)
		return failed(reason, -errno, "mapping the statistics page");
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
		return failed(reason, -ENOMEM, "the bus");
	bus_set_doorbell_ops(vm->machine.bus, &doorbell_ops, vm);
	loop_set_locking(vm->loop, true);
	r = vm_init_events(vm);
	return r < 0 ? failed(reason, r, "the event channel") : 0;
}

/* Does the host let a guest's MSR be set? KVM offers some that it then refuses. A new vCPU has what KVM supports. */
static bool msr_settable(struct vm *vm, uint32_t index, uint64_t *ret_value)
{
	*ret_value = 0;
	return kvm_vcpu_get_msr(vm->vcpus[0].fd, index, ret_value) == 0 &&
		kvm_vcpu_set_msr(vm->vcpus[0].fd, index, *ret_value) == 0;
}

static int build_cpuid(struct vm *vm, struct cpuid_table *ret_table, char *reason)
{
	struct kvm_cpuid_entry2 supported[KVM_MAX_CPUID_ENTRIES];
	struct cpuid_host host = {
		.supported = supported,
		.n_supported = KVM_MAX_CPUID_ENTRIES,
		.tsc_khz = vm->vcpus[0].tsc_khz,
		.tsc_deadline = vm->kvm.tsc_deadline,
		.msi_ext_dest_id = vm->kvm.x2apic_api,
	};
	struct cpuid_report report;
	int r;

	host.arch_capabilities = msr_settable(vm, 0x10a, &host.arch_capabilities_msr);
	r = kvm_supported_cpuid(&vm->kvm, supported, &host.n_supported);
	if (r < 0)
		return failed(reason, r, "KVM_GET_SUPPORTED_CPUID");
	r = cpuid_build(&host, &vm->config, ret_table, &report);
	if (r < 0) {
		(void)snprintf(reason, PROTO_REASON_MAX, "cpu: %.240s", report.text);
		return r;
	}
	if (report.n_dropped)
		log_info("The host's KVM lacks these CPU features: %s", report.dropped);
	return 0;
}

/* <timer name='tsc' frequency=>; each vCPU has its counter. */
static int set_tsc(struct vm *vm, struct vcpu *vcpu, char *reason)
{
	uint64_t wanted_hz = vm->config.tsc_hz;
	struct cpuid_report report;
	int r;

	if (!wanted_hz)
		return 0;
	r = cpuid_judge_tsc(wanted_hz, vcpu->tsc_khz, vm->kvm.tsc_control, &report);
	if (r < 0)
		(void)snprintf(reason, PROTO_REASON_MAX, "cpu: %.240s", report.text);
	if (r <= 0)
		return r;
	r = kvm_vcpu_set_tsc_khz(vcpu->fd, (uint32_t)(wanted_hz / 1000));
	if (r < 0)
		return failed(reason, r, "KVM_SET_TSC_KHZ");
	vcpu->tsc_khz = kvm_tsc_khz(&vm->kvm, vcpu->fd);
	return 0;
}

static int build_vcpus(struct vm *vm, char *reason)
{
	struct cpu_topology topology = cpu_topology_of(&vm->config);
	struct cpuid_table table, mine;
	unsigned n = vm->config.vcpus_max;
	const char *stage;
	int r;

	if (n > vm->kvm.max_vcpus) {
		(void)snprintf(reason, PROTO_REASON_MAX, "vcpu: this host's KVM runs at most %u",
			vm->kvm.max_vcpus);
		return -ENOTSUP;
	}
	r = vcpu_gate_init(&vm->gate, n);
	if (r < 0)
		return failed(reason, r, "the vCPU gate");
	vm->vcpus = calloc(n, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return failed(reason, -ENOMEM, "the vCPUs");
	vm->n_vcpus = n;
	/* What was not made is not closed when this fails. */
	for (unsigned i = 0; i < n; i++)
		vm->vcpus[i].fd = vm->vcpus[i].stats_fd = -EBADF;
	for (unsigned i = 0; i < n; i++) {
		uint32_t apic_id = cpu_apic_id(&topology, i);

		if (apic_id > 254 && !vm->kvm.x2apic_api)
			return failed(reason, -ENOTSUP, "APIC ids above 254");
		r = vcpu_init(&vm->vcpus[i], &vm->kvm, &vm->vcpu_host, i, apic_id, &stage);
		if (r < 0)
			return failed(reason, r, stage);
		r = set_tsc(vm, &vm->vcpus[i], reason);
		if (r < 0)
			return r;
		vm->vcpus[i].off = i >= vm->config.vcpus;
		if (vm->stats)
			vm->vcpus[i].stats = &vm->stats->vcpus[i];
		if (vm->stats && i == 0)
			vm->vcpus[i].entered = &vm->stats->boot_ns[VM_BOOT_ENTERED];
	}
	r = build_cpuid(vm, &table, reason);
	for (unsigned i = 0; r >= 0 && i < n; i++) {
		cpuid_vcpu(&table, &vm->config, i, &mine);
		r = kvm_vcpu_set_cpuid(vm->vcpus[i].fd, mine.entries, mine.n);
		if (r < 0)
			return failed(reason, r, "KVM_SET_CPUID2");
	}
	vm->cpuid = r >= 0 ? table : (struct cpuid_table){0};
	return r;
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
				return failed(reason, r, "a character device");
			}
			rows[row].fds[i] = -EBADF;
		}
	}
	(void)loop_set_account(vm->loop, account);
	return 0;
}

/* The account of the loop's time that a device's sources and timers have. */
static unsigned account_of(const char *class, unsigned instance)
{
	static const struct {
		const char *class;
		unsigned account, n;
	} rows[] = {
		{"virtio-blk-pci", VM_LEDGER_DISKS, VM_MAX_DISKS},
		{"virtio-net-pci", VM_LEDGER_NICS, VM_MAX_NICS},
		{"virtio-rng-pci", VM_LEDGER_RNG, 1},
		{"virtio-console-pci", VM_LEDGER_CONSOLES, 1},
		{"ns16550", VM_LEDGER_CONSOLES, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (streq(rows[i].class, class))
			return rows[i].account + MIN(instance, rows[i].n - 1);
	return VM_LEDGER_MACHINE;
}

/* A disk's iothread; NULL: the vm's loop. */
static struct loop *home_of(struct vm *vm, const char *class, unsigned instance)
{
	if (!streq(class, "virtio-blk-pci") || instance >= vm->config.n_disks)
		return NULL;
	return vm_iothread_loop(vm, vm->config.disks[instance].iothread);
}

int vm_add_device(struct vm *vm, const char *class_name, unsigned instance, struct device **ret_dev,
	char *reason)
{
	const struct device_class *class = device_class_find(class_name);
	char what[64];
	struct loop *home = home_of(vm, class_name, instance), *loop = home ?: vm->loop;
	unsigned account;
	int r;

	(void)snprintf(what, sizeof(what), "device %s.%u", class_name, instance);
	if (!class)
		return failed(reason, -ENODEV, what);
	if (vm->n_devices == VM_MAX_DEVICES)
		return failed(reason, -ENOSPC, what);
	loop_lock(loop);
	account = loop_set_account(loop, account_of(class_name, instance));
	r = device_new_at(home, class, &vm->machine, instance, ret_dev);
	(void)loop_set_account(loop, account);
	loop_unlock(loop);
	if (r < 0)
		return failed(reason, r, what);
	vm->devices[vm->n_devices++] = *ret_dev;
	return 0;
}

static int add_row(struct vm *vm, const struct board_row *row, unsigned instance, char *reason)
{
	struct device *dev;
	int r;

	r = vm_add_device(vm, row->class, instance, &dev, reason);
	for (unsigned i = 0; r >= 0 && i < MAX_REGIONS && row->regions[i].len; i++) {
		r = bus_add(vm->machine.bus, row->regions[i].space, row->regions[i].base,
			row->regions[i].len, dev, i);
		if (r < 0)
			return failed(reason, r, row->class);
	}
	return r;
}

static int build_devices(struct vm *vm, char *reason)
{
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < ARRAY_SIZE(board); i++)
		for (unsigned n = 0; r >= 0 && n < board[i].count(&vm->config); n++)
			r = add_row(vm, &board[i], n, reason);
	for (unsigned i = 0; r >= 0 && i < vm->config.n_serials; i++) {
		struct device *dev;

		r = vm_add_device(vm, "ns16550", i, &dev, reason);
		if (r < 0)
			return r;
		r = bus_add(
			vm->machine.bus, BUS_PIO, com_ports[vm->config.serials[i].port], 8, dev, 0);
		if (r < 0)
			return failed(reason, r, "a serial port");
	}
	for (unsigned i = 0; r >= 0 && i < vm->n_devices; i++) {
		r = device_machine_done(vm->devices[i]);
		if (r < 0)
			return failed(reason, r, vm->devices[i]->name);
	}
	return r;
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
		return failed(ret_reason, -ENOENT,
			"no kernel: this vmmd boots kernels directly, so <os> needs <kernel>");
	r = acpi_build(&vm->mem, &vm->config,
		layout_pci64_base(vm->mem.size, vm->mem.plug ? vm->mem.plug->room : 0), &in.rsdp);
	if (r < 0)
		return failed(ret_reason, r, "writing the ACPI tables");
	r = smbios_build(&vm->mem, &vm->config);
	if (r < 0)
		return failed(ret_reason, r, "writing the SMBIOS tables");
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
			return failed(reason, r, stage);
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
		{build_kvm, VM_BOOT_KVM},       /* the vm, */
		{build_memory, VM_BOOT_MEMORY}, /* its slots, then the interrupt chip, */
		{map_stats, VM_BOOT_X_MAX},
		{build_bus, VM_BOOT_X_MAX},
		{build_vcpus, VM_BOOT_VCPUS}, /* then vCPUs, */
		{build_chardevs, VM_BOOT_X_MAX},
		{vm_iothreads_start, VM_BOOT_X_MAX},
		{build_devices, VM_BOOT_DEVICES}, /* then irqfds and ioeventfds */
		{build_power_on, VM_BOOT_LOADED},
	};
	_cleanup_(vm_freep) struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm) {
		vm_fds_done(fds);
		return failed(ret_reason, -ENOMEM, "the vm");
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
