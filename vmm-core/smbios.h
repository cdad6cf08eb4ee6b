/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SMBIOS 3.x (DSP0134 3.4): what dmidecode shows. Types 0, 1, 2, 3, 4, 11, 16, 17, 19, 32 and 127, from <sysinfo> where
 * the configuration enables it, else vmmd's own words. Both entry points are written, "_SM3_" and the older
 * "_SM_", at LAYOUT_SMBIOS_BASE, where guests scan for them.
 *
 * Pure: needs no KVM. Threads: any, while no vCPU runs.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/guest-mem.h"

/* 'config' has been validated. Returns 0, -ENOSPC (larger than LAYOUT_SMBIOS_SIZE: cannot happen with a valid
 * configuration) or -EFAULT (the place is no RAM). */
int smbios_build(struct guest_mem *mem, const struct vm_config *config);

/* The same into a buffer that stands for guest memory at 'base': the entry points at its start (SMBIOS_ENTRY3, then
 * SMBIOS_ENTRY2), the structures at SMBIOS_TABLE. Returns 0 with the length in '*ret_len', or -ENOSPC. */
#define SMBIOS_ENTRY3 0
#define SMBIOS_ENTRY2 0x20
#define SMBIOS_TABLE  0x40
int smbios_make(
	const struct vm_config *config, uint32_t base, uint8_t *buf, size_t size, size_t *ret_len);
