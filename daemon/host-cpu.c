/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host's processor: see host-cpu.h. */
#include "daemon/host-cpu.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/kvm-probe.h"

static void cpuid_of_host(
	void *opaque, uint32_t leaf, uint32_t subleaf, uint32_t ret[CPU_REGISTER_X_MAX])
{
	(void)opaque;
	__cpuid_count(leaf, subleaf, ret[CPU_EAX], ret[CPU_EBX], ret[CPU_ECX], ret[CPU_EDX]);
}

/* Leaves beyond the last repeat another one (Intel SDM, CPUID): only what is there may be asked. */
static bool has_leaf(host_cpuid_fn cpuid, void *opaque, uint32_t leaf, uint32_t subleaf)
{
	uint32_t regs[CPU_REGISTER_X_MAX] = {0};

	cpuid(opaque, leaf & UINT32_C(0x80000000), 0, regs);
	if (leaf > regs[CPU_EAX])
		return false;
	if (leaf != 7 || !subleaf)
		return true;
	cpuid(opaque, 7, 0, regs);
	return subleaf <= regs[CPU_EAX];
}

void host_features_read(host_cpuid_fn cpuid, void *opaque, struct cpu_feature_set *ret_features)
{
	uint32_t regs[CPU_REGISTER_X_MAX] = {0};
	const struct cpu_feature *last = NULL;

	*ret_features = (struct cpu_feature_set){0};
	for (unsigned i = 0; i < cpu_n_features; i++) {
		const struct cpu_feature *f = &cpu_features[i];

		if (!last || f->leaf != last->leaf || f->subleaf != last->subleaf) {
			memset(regs, 0, sizeof(regs));
			if (has_leaf(cpuid, opaque, f->leaf, f->subleaf))
				cpuid(opaque, f->leaf, f->subleaf, regs);
			last = f;
		}
		if (regs[f->reg] >> f->bit & 1 && !cpu_feature_follows(i))
			cpu_feature_add(ret_features, i);
	}
}

static void read_cpuid(struct cpu_host *ret)
{
	uint32_t regs[CPU_REGISTER_X_MAX];
	char vendor[13] = "";

	host_features_read(cpuid_of_host, NULL, &ret->features);
	cpuid_of_host(NULL, 0, 0, regs);
	memcpy(vendor, &regs[CPU_EBX], 4);
	memcpy(vendor + 4, &regs[CPU_EDX], 4);
	memcpy(vendor + 8, &regs[CPU_ECX], 4);
	ret->vendor = cpu_vendor_find(vendor);
	cpuid_of_host(NULL, 1, 0, regs);
	ret->signature = regs[CPU_EAX];
}

void cpu_host_of(const struct cpuid_host *kvm, struct cpu_host *ret)
{
	ret->vendor = cpuid_host_vendor(kvm);
	ret->signature = cpuid_host_signature(kvm);
	cpuid_host_features(kvm, &ret->features);
}

/* Add what only KVM tells: the bits of MSR 0x10a. */
static void add_msr_features(struct cpu_host *host, const struct cpu_host *kvm)
{
	for (unsigned i = 0; i < cpu_n_features; i++)
		if (cpu_features[i].leaf == CPU_ARCH_CAPABILITIES &&
			cpu_feature_in(&kvm->features, i))
			cpu_feature_add(&host->features, i);
}

int cpu_host_read(const char *kvm_path, struct cpu_host *ret, struct error *error)
{
	_cleanup_(closep) int fd = open(kvm_path ? kvm_path : "/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_probe probe;
	struct cpu_host kvm;
	int r = fd < 0 ? -errno : kvm_probe(fd, &probe);

	if (r == 0)
		cpu_host_of(&probe.host, &kvm);
	if (!kvm_path) {
		read_cpuid(ret);
		if (r == 0)
			add_msr_features(ret, &kvm);
		return 0;
	}
	if (r < 0)
		return error_set(error, ERROR_NOT_SUPPORTED, "KVM is not there: %s: %s", kvm_path,
			strerror(-r));
	*ret = kvm;
	return 0;
}
