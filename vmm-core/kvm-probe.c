/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What KVM offers: see kvm-probe.h. */
#include "vmm-core/kvm-probe.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_ARCH_CAPABILITIES 0x10a

/* KVM_CAP_GET_MSR_FEATURES: on /dev/kvm itself, the bits that guests can have. */
static void read_arch_capabilities(int dev_fd, struct cpuid_host *host)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {.head.nmsrs = 1, .entry.index = MSR_ARCH_CAPABILITIES};

	if (ioctl(dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_GET_MSR_FEATURES) <= 0 ||
		ioctl(dev_fd, KVM_GET_MSRS, &msrs) != 1)
		return;
	host->arch_capabilities = true;
	host->arch_capabilities_msr = msrs.entry.data;
}

int kvm_probe(int dev_fd, struct kvm_probe *ret)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[KVM_PROBE_ENTRIES];
	} cpuid = {.head.nent = KVM_PROBE_ENTRIES};

	*ret = (struct kvm_probe){0};
	if (ioctl(dev_fd, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0)
		return -errno;
	if (cpuid.head.nent > KVM_PROBE_ENTRIES)
		return -E2BIG;
	memcpy(ret->entries, cpuid.entries, cpuid.head.nent * sizeof(ret->entries[0]));
	ret->host.supported = ret->entries;
	ret->host.n_supported = cpuid.head.nent;
	ret->host.tsc_deadline = ioctl(dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	ret->tsc_scaling = ioctl(dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0;
	read_arch_capabilities(dev_fd, &ret->host);
	return 0;
}
