/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The floor: the least program that runs a PVH guest under KVM. No checks, no devices but the debug exit, memory slot
 * before split interrupt chip. Usage: raw-kvm GUEST MIB [CMDLINE]. Exits with the guest's code.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define DIE(what)                                                                                  \
	do {                                                                                       \
		(void)!write(2, what "\n", sizeof(what));                                          \
		_exit(111);                                                                        \
	} while (0)

static uint32_t load(const char *path, uint8_t *ram)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf32_Ehdr eh;
	Elf32_Phdr ph;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		DIE("kernel");
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)) != sizeof(ph))
			DIE("header");
		if (ph.p_type == PT_LOAD &&
			pread(fd, ram + ph.p_paddr, ph.p_filesz, ph.p_offset) !=
				(ssize_t)ph.p_filesz)
			DIE("segment");
	}
	(void)close(fd);
	return eh.e_entry;
}

static void set_registers(int vcpu, uint32_t entry)
{
	struct kvm_segment code = {
		.limit = ~0U, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_segment data = {
		.limit = ~0U, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_regs regs = {.rip = entry, .rbx = 0x7000, .rflags = 2};
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		DIE("KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x11;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		DIE("KVM_SET_REGS");
}

/* All that KVM supports, as any monitor would give. */
static void set_cpuid(int kvm, int vcpu)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = {.head.nent = 256};

	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 ||
		ioctl(vcpu, KVM_SET_CPUID2, &cpuid) < 0)
		DIE("KVM_SET_CPUID2");
}

static void run(int vcpu, struct kvm_run *state)
{
	for (;;) {
		if (ioctl(vcpu, KVM_RUN, 0) < 0)
			DIE("KVM_RUN");
		if (state->exit_reason == KVM_EXIT_IO) {
			uint8_t *data = (uint8_t *)state + state->io.data_offset;

			if (state->io.direction == KVM_EXIT_IO_OUT && state->io.port == 0x501)
				_exit(*data);
			if (state->io.direction == KVM_EXIT_IO_IN)
				*data = 3;
		} else if (state->exit_reason != KVM_EXIT_MMIO) {
			DIE("exit");
		}
	}
}

int main(int argc, char **argv)
{
	size_t size = (size_t)(argc > 2 ? atoi(argv[2]) : 64) << 20;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, vcpu, run_size;
	uint8_t *ram;
	uint64_t start_info[8] = {0x336ec578 | UINT64_C(1) << 32, 0, 0, 0x20000};
	struct kvm_userspace_memory_region slot = {.memory_size = size};
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	uint32_t entry;

	if (argc < 2 || kvm < 0)
		DIE("usage: raw-kvm GUEST MIB [CMDLINE]");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	slot.userspace_addr = (uintptr_t)ram;
	if (vm < 0 || ram == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0 ||
		ioctl(vm, KVM_ENABLE_CAP, &split) < 0)
		DIE("KVM_CREATE_VM");
	entry = load(argv[1], ram);
	start_info[3] = 0x20000;
	memcpy(ram + 0x7000, start_info, sizeof(start_info));
	if (argc > 3)
		memcpy(ram + 0x20000, argv[3], strlen(argv[3]) + 1);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, entry);
	run(vcpu, mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0));
	return 0;
}
