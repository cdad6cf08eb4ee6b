/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vCPU's registers at power-on (Intel SDM volume 3, 9.1; AMD APM volume 2, 14.1), and for vCPU 0 what the boot loader
 * wants instead. See vcpu.h.
 *
 * Tested by tests/guest/test-guests.c.
 */
#include "vmm-core/vcpu.h"

#include <errno.h>
#include <string.h>

/* Local APIC registers, offsets in its page (Intel SDM volume 3, table 11-1). */
#define LAPIC_ID          0x20
#define LAPIC_VERSION     0x30
#define LAPIC_DFR         0xe0
#define LAPIC_SVR         0xf0
#define LAPIC_LVT_FIRST   0x320
#define LAPIC_LVT_LINT0   0x350
#define LAPIC_LVT_LINT1   0x360
#define LAPIC_LVT_LAST    0x370
#define LAPIC_LVT_CMCI    0x2f0
#define LAPIC_LVT_MASKED  0x10000
#define LAPIC_DFR_FLAT    0xffffffff
#define LAPIC_SVR_RESET   0xff
#define LAPIC_MODE_EXTINT 0x700
#define LAPIC_MODE_NMI    0x400

#define MSR_TSC        0x10
#define MSR_TSC_ADJUST 0x3b

#define APIC_BASE_BSP    (1U << 8)
#define APIC_BASE_ENABLE (1U << 11)

static struct kvm_segment to_kvm(const struct boot_segment *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->type,
		.present = s->present,
		.dpl = s->dpl,
		.db = s->db,
		.s = s->s,
		.l = s->l,
		.g = s->g,
		.avl = s->avl,
		.unusable = !s->present,
	};
}

/* What every processor has after RESET. */
static void power_on_sregs(struct kvm_sregs *sregs, bool bsp)
{
	const struct kvm_segment data = {.limit = 0xffff, .type = 3, .present = 1, .s = 1};
	struct kvm_segment code = {.base = 0xffff0000,
		.limit = 0xffff,
		.selector = 0xf000,
		.type = 11,
		.present = 1,
		.s = 1};
	const struct kvm_segment task = {.limit = 0xffff, .type = 11, .present = 1};
	const struct kvm_segment ldt = {.limit = 0xffff, .type = 2, .present = 1};

	*sregs = (struct kvm_sregs){
		.cs = code,
		.ds = data,
		.es = data,
		.fs = data,
		.gs = data,
		.ss = data,
		.tr = task,
		.ldt = ldt,
		.gdt.limit = 0xffff,
		.idt.limit = 0xffff,
		.cr0 = 0x60000010,
		.apic_base = 0xfee00000 | APIC_BASE_ENABLE | (bsp ? APIC_BASE_BSP : 0),
	};
}

static void boot_sregs(struct kvm_sregs *sregs, const struct boot_entry *entry)
{
	const struct kvm_segment data = to_kvm(&entry->data);

	sregs->cs = to_kvm(&entry->code);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = to_kvm(&entry->task);
	sregs->gdt.base = entry->gdt_base;
	sregs->gdt.limit = entry->gdt_limit;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
	sregs->cr0 = entry->cr0;
	sregs->cr3 = entry->cr3;
	sregs->cr4 = entry->cr4;
	sregs->efer = entry->efer;
}

static void lapic_put(struct kvm_lapic_state *lapic, unsigned offset, uint32_t value)
{
	memcpy(lapic->regs + offset, &value, sizeof(value));
}

/* Power-on state (SDM volume 3, 11.4.7.1): nothing pending, all masked; id and version stay. */
static int reset_lapic(struct vcpu *vcpu, bool fresh)
{
	struct kvm_lapic_state lapic, old;
	int r;

	r = kvm_vcpu_get_lapic(vcpu->fd, &old);
	if (r < 0)
		return r;
	lapic = fresh ? old : (struct kvm_lapic_state){0};
	if (!fresh) {
		/* From x2APIC to xAPIC mode: the register has another form, which not every KVM gives it. */
		lapic_put(&lapic, LAPIC_ID, vcpu->apic_id << 24);
		memcpy(lapic.regs + LAPIC_VERSION, old.regs + LAPIC_VERSION, sizeof(uint32_t));
		lapic_put(&lapic, LAPIC_DFR, LAPIC_DFR_FLAT);
		lapic_put(&lapic, LAPIC_SVR, LAPIC_SVR_RESET);
		lapic_put(&lapic, LAPIC_LVT_CMCI, LAPIC_LVT_MASKED);
		for (unsigned lvt = LAPIC_LVT_FIRST; lvt <= LAPIC_LVT_LAST; lvt += 0x10)
			lapic_put(&lapic, lvt, LAPIC_LVT_MASKED);
	}
	/* Firmware leaves virtual wire mode on the boot processor: the PIC reaches it through LINT0. */
	if (vcpu->index == 0)
		lapic_put(&lapic, LAPIC_LVT_LINT0, LAPIC_MODE_EXTINT);
	lapic_put(&lapic, LAPIC_LVT_LINT1, LAPIC_MODE_NMI);
	return kvm_vcpu_set_lapic(vcpu->fd, &lapic);
}

static int set_registers(struct vcpu *vcpu, const char **ret_stage)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = 0xfff0, .rflags = 2};
	int r;

	power_on_sregs(&sregs, vcpu->index == 0);
	if (vcpu->index == 0 && vcpu->entry.kind != BOOT_NONE) {
		boot_sregs(&sregs, &vcpu->entry);
		regs = (struct kvm_regs){
			.rip = vcpu->entry.rip,
			.rsp = vcpu->entry.rsp,
			.rbx = vcpu->entry.rbx,
			.rsi = vcpu->entry.rsi,
			.rflags = vcpu->entry.rflags,
		};
	}
	*ret_stage = "KVM_SET_SREGS";
	r = kvm_vcpu_set_sregs(vcpu->fd, &sregs);
	if (r < 0)
		return r;
	*ret_stage = "KVM_SET_REGS";
	return kvm_vcpu_set_regs(vcpu->fd, &regs);
}

/* What only a vCPU that ran before can have left over. */
static int clear_leftovers(struct vcpu *vcpu, const char **ret_stage)
{
	struct kvm_vcpu_events events = {0};
	struct kvm_fpu fpu = {.fcw = 0x37f, .mxcsr = 0x1f80};
	struct kvm_debugregs debug = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = 1}}};
	int r;

	*ret_stage = "KVM_SET_VCPU_EVENTS";
	r = kvm_vcpu_set_events(vcpu->fd, &events);
	if (r < 0)
		return r;
	*ret_stage = "KVM_SET_FPU";
	r = kvm_vcpu_set_fpu(vcpu->fd, &fpu);
	if (r < 0)
		return r;
	*ret_stage = "KVM_SET_DEBUGREGS";
	r = kvm_vcpu_set_debugregs(vcpu->fd, &debug);
	if (r < 0)
		return r;
	*ret_stage = "KVM_SET_XCRS";
	r = kvm_vcpu_set_xcrs(vcpu->fd, &xcrs);
	/* A processor without XSAVE has no XCR0. */
	return r == -EINVAL ? 0 : r;
}

/* KVM takes vCPUs whose TSCs are written at one time to be meant to agree; one alone would not. */
static bool is_clock(uint32_t msr)
{
	return msr == MSR_TSC || msr == MSR_TSC_ADJUST;
}

int vcpu_reset(struct vcpu *vcpu, enum vcpu_reset kind, const char **ret_stage)
{
	struct cpuid_msr msrs[CPUID_MAX_MSRS];
	bool fresh = kind == VCPU_FRESH;
	unsigned n = cpuid_msrs(vcpu->cpuid, fresh, msrs);
	int r = 0;

	if (!fresh)
		r = clear_leftovers(vcpu, ret_stage);
	if (r >= 0)
		r = set_registers(vcpu, ret_stage);
	for (unsigned i = 0; r >= 0 && i < n; i++) {
		if (kind == VCPU_ALONE && is_clock(msrs[i].index))
			continue;
		/* Each is optional: the host may not have it. */
		r = kvm_vcpu_set_msr(vcpu->fd, msrs[i].index, msrs[i].value);
		if (r == -ENOENT || r == -EINVAL)
			r = 0;
		*ret_stage = "KVM_SET_MSRS";
	}
	if (r < 0)
		return r;
	*ret_stage = "KVM_SET_LAPIC";
	r = reset_lapic(vcpu, fresh);
	if (r < 0)
		return r;
	*ret_stage = "KVM_SET_MP_STATE";
	return kvm_vcpu_set_mp_state(
		vcpu->fd, vcpu->index == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED);
}
