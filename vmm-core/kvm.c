/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The KVM ioctls: see kvm.h. */
#include "vmm-core/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm-core/base/macro.h"

/* Where Intel processors without unrestricted guests want three pages of their own. */
#define TSS_ADDR          0xfffbd000UL
#define IDENTITY_MAP_ADDR UINT64_C(0xfffbc000)

static int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static int kvm_ioctl_long(int fd, unsigned long request, unsigned long arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static int check_extension(int fd, long capability)
{
	return MAX(kvm_ioctl_long(fd, KVM_CHECK_EXTENSION, (unsigned long)capability), 0);
}

int kvm_init(struct kvm *kvm, int dev_fd, const char **ret_stage)
{
	static const struct {
		long capability;
		const char *name;
	} needed[] = {
		{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
		{KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
		{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
		{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
		{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
		{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
		{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	};
	int r;

	*kvm = (struct kvm){.dev_fd = dev_fd, .vm_fd = -EBADF, .stats_fd = -EBADF};
	*ret_stage = "KVM_GET_API_VERSION";
	r = kvm_ioctl_long(dev_fd, KVM_GET_API_VERSION, 0);
	if (r < 0)
		return r;
	if (r != KVM_API_VERSION)
		return -EPROTO;
	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++) {
		*ret_stage = needed[i].name;
		if (!check_extension(dev_fd, needed[i].capability))
			return -ENOTSUP;
	}
	*ret_stage = "KVM_GET_VCPU_MMAP_SIZE";
	r = kvm_ioctl_long(dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < 0)
		return r;
	if ((size_t)r < sizeof(struct kvm_run))
		return -EPROTO;
	kvm->run_size = (uint32_t)r;
	kvm->tsc_deadline = check_extension(dev_fd, KVM_CAP_TSC_DEADLINE_TIMER);
	kvm->tsc_control = check_extension(dev_fd, KVM_CAP_TSC_CONTROL);
	kvm->max_vcpus = (uint32_t)MAX(check_extension(dev_fd, KVM_CAP_MAX_VCPUS), 1);
	return 0;
}

void kvm_done(struct kvm *kvm)
{
	kvm->stats_fd = safe_close(kvm->stats_fd);
	kvm->vm_fd = safe_close(kvm->vm_fd);
	kvm->dev_fd = safe_close(kvm->dev_fd);
}

void kvm_close_dev(struct kvm *kvm)
{
	kvm->dev_fd = safe_close(kvm->dev_fd);
}

/* The same request for a vm and for a vCPU. */
int kvm_vcpu_stats_fd(int fd)
{
	return kvm_ioctl_long(fd, KVM_GET_STATS_FD, 0);
}

int kvm_create_vm(struct kvm *kvm, const char **ret_stage)
{
	uint64_t identity_map = IDENTITY_MAP_ADDR;
	int r;

	*ret_stage = "KVM_CREATE_VM";
	do
		r = kvm_ioctl_long(kvm->dev_fd, KVM_CREATE_VM, 0);
	while (r == -EINTR);
	if (r < 0)
		return r;
	kvm->vm_fd = r;
	kvm->stats_fd = kvm_vcpu_stats_fd(kvm->vm_fd);
	/* Of use to old Intel processors only; the others answer 0 or do not know it. */
	(void)kvm_ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	(void)kvm_ioctl_long(kvm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDR);
	return 0;
}

int kvm_plug_memory(struct kvm *kvm, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_set_memory(struct kvm *kvm, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	assert(!kvm->irqchip_created);
	return kvm_plug_memory(kvm, slot, gpa, size, host);
}

int kvm_set_halt_poll(struct kvm *kvm, uint32_t us)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_HALT_POLL, .args = {us * UINT64_C(1000)}};

	if (!check_extension(kvm->vm_fd, KVM_CAP_HALT_POLL))
		return -ENOTSUP;
	return kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &cap);
}

int kvm_split_irqchip(struct kvm *kvm, unsigned pins)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {pins}};
	struct kvm_enable_cap x2apic = {
		.cap = KVM_CAP_X2APIC_API,
		.args = {KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK},
	};
	int r;

	r = kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &split);
	if (r < 0)
		return r;
	kvm->irqchip_created = true;
	/* Needed for APIC ids above 254 only; the builder asks x2apic_api then. */
	kvm->x2apic_api = kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &x2apic) >= 0;
	return 0;
}

int kvm_supported_cpuid(struct kvm *kvm, struct kvm_cpuid_entry2 *entries, unsigned *n)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[KVM_MAX_CPUID_ENTRIES];
	} cpuid = {.head.nent = KVM_MAX_CPUID_ENTRIES};
	int r;

	r = kvm_ioctl(kvm->dev_fd, KVM_GET_SUPPORTED_CPUID, &cpuid);
	if (r < 0)
		return r;
	if (cpuid.head.nent > *n)
		return -E2BIG;
	memcpy(entries, cpuid.entries, cpuid.head.nent * sizeof(*entries));
	*n = cpuid.head.nent;
	return 0;
}

int kvm_vcpu_set_tsc_khz(int fd, uint32_t khz)
{
	return kvm_ioctl_long(fd, KVM_SET_TSC_KHZ, khz);
}

uint32_t kvm_tsc_khz(struct kvm *kvm, int vcpu_fd)
{
	(void)kvm;
	return (uint32_t)MAX(kvm_ioctl_long(vcpu_fd, KVM_GET_TSC_KHZ, 0), 0);
}

/* Destination ids above 255: the guest writes bits 8-14 into bits 5-11 of the address, KVM wants them in its upper half. */
static uint64_t kvm_msi_address(const struct kvm *kvm, uint64_t address)
{
	uint64_t extended = address & 0xfe0;

	return kvm->x2apic_api ? (address & ~extended) | extended << 35 : address;
}

int kvm_set_routes(struct kvm *kvm, const struct irq_route *routes, unsigned n_routes)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[LAYOUT_GSI_MAX];
	} table;

	if (n_routes > LAYOUT_GSI_MAX)
		return -E2BIG;
	memset(&table, 0, sizeof(table.head) + n_routes * sizeof(table.entries[0]));
	table.head.nr = n_routes;
	for (unsigned i = 0; i < n_routes; i++) {
		struct kvm_irq_routing_entry *e = &table.entries[i];
		uint64_t address = kvm_msi_address(kvm, routes[i].address);

		e->gsi = routes[i].gsi;
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = (uint32_t)address;
		e->u.msi.address_hi = (uint32_t)(address >> 32);
		e->u.msi.data = routes[i].data;
	}
	return kvm_ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, &table);
}

int kvm_irqfd(struct kvm *kvm, int event_fd, uint32_t gsi, bool on)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)event_fd,
		.gsi = gsi,
		.flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return kvm_ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd);
}

int kvm_signal_msi(struct kvm *kvm, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {.data = data};

	address = kvm_msi_address(kvm, address);
	msi.address_lo = (uint32_t)address;
	msi.address_hi = (uint32_t)(address >> 32);

	return kvm_ioctl(kvm->vm_fd, KVM_SIGNAL_MSI, &msi);
}

int kvm_ioeventfd(
	struct kvm *kvm, enum bus_space space, uint64_t addr, unsigned size, int event_fd, bool on)
{
	struct kvm_ioeventfd io = {
		.addr = addr,
		.len = size,
		.fd = event_fd,
		.flags = (space == BUS_PIO ? KVM_IOEVENTFD_FLAG_PIO : 0U) |
			(on ? 0U : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return kvm_ioctl(kvm->vm_fd, KVM_IOEVENTFD, &io);
}

int kvm_vcpu_create(struct kvm *kvm, unsigned apic_id, int *ret_fd, struct kvm_run **ret_run)
{
	_cleanup_(closep) int fd = kvm_ioctl_long(kvm->vm_fd, KVM_CREATE_VCPU, apic_id);
	void *run;

	if (fd < 0)
		return fd;
	run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	*ret_run = run;
	return 0;
}

int kvm_vcpu_set_cpuid(int fd, const struct kvm_cpuid_entry2 *entries, unsigned n)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[KVM_MAX_CPUID_ENTRIES];
	} cpuid = {.head.nent = n};

	if (n > KVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	memcpy(cpuid.entries, entries, n * sizeof(*entries));
	return kvm_ioctl(fd, KVM_SET_CPUID2, &cpuid);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

int kvm_vcpu_set_msr(int fd, uint32_t index, uint64_t value)
{
	struct one_msr msr = {.head.nmsrs = 1, .entry = {.index = index, .data = value}};
	int r = kvm_ioctl(fd, KVM_SET_MSRS, &msr);

	return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

int kvm_vcpu_get_msr(int fd, uint32_t index, uint64_t *ret_value)
{
	struct one_msr msr = {.head.nmsrs = 1, .entry = {.index = index}};
	int r = kvm_ioctl(fd, KVM_GET_MSRS, &msr);

	if (r < 0)
		return r;
	if (r != 1)
		return -ENOENT;
	*ret_value = msr.entry.data;
	return 0;
}

/* ioctl() takes no const; what the kernel only reads is copied. */
#define VCPU_SET(name, type, request)                                                              \
	int name(int fd, const type *arg)                                                          \
	{                                                                                          \
		type copy = *arg;                                                                  \
                                                                                                   \
		return kvm_ioctl(fd, request, &copy);                                              \
	}
#define VCPU_GET(name, type, request)                                                              \
	int name(int fd, type *ret)                                                                \
	{                                                                                          \
		return kvm_ioctl(fd, request, ret);                                                \
	}

VCPU_GET(kvm_vcpu_get_regs, struct kvm_regs, KVM_GET_REGS)
VCPU_SET(kvm_vcpu_set_regs, struct kvm_regs, KVM_SET_REGS)
VCPU_SET(kvm_vcpu_set_sregs, struct kvm_sregs, KVM_SET_SREGS)
VCPU_SET(kvm_vcpu_set_fpu, struct kvm_fpu, KVM_SET_FPU)
VCPU_GET(kvm_vcpu_get_lapic, struct kvm_lapic_state, KVM_GET_LAPIC)
VCPU_SET(kvm_vcpu_set_lapic, struct kvm_lapic_state, KVM_SET_LAPIC)
VCPU_SET(kvm_vcpu_set_xcrs, struct kvm_xcrs, KVM_SET_XCRS)
VCPU_SET(kvm_vcpu_set_debugregs, struct kvm_debugregs, KVM_SET_DEBUGREGS)
VCPU_SET(kvm_vcpu_set_events, struct kvm_vcpu_events, KVM_SET_VCPU_EVENTS)

int kvm_vcpu_set_mp_state(int fd, uint32_t state)
{
	struct kvm_mp_state mp = {.mp_state = state};

	return kvm_ioctl(fd, KVM_SET_MP_STATE, &mp);
}

int kvm_vcpu_interrupt(int fd, uint8_t vector)
{
	struct kvm_interrupt irq = {.irq = vector};

	return kvm_ioctl(fd, KVM_INTERRUPT, &irq);
}

int kvm_vcpu_nmi(int fd)
{
	return kvm_ioctl_long(fd, KVM_NMI, 0);
}

int kvm_vcpu_clock_paused(int fd)
{
	return kvm_ioctl_long(fd, KVM_KVMCLOCK_CTRL, 0);
}

int kvm_vcpu_run(int fd)
{
	return kvm_ioctl_long(fd, KVM_RUN, 0);
}
