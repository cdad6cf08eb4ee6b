/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * KVM's binary statistics: a file of a vm or vCPU with a header, descriptors (names) and data. KVM_GET_STATS_FD in
 * Documentation/virt/kvm/api.rst is the specification. Names are looked up once; values are read when somebody asks.
 *
 * Threads: any.
 *
 * Tested by tests/unit/test-kvm-stats.c.
 */
#pragma once

#include "vmm-core/base/macro.h"

#define KVM_STATS_MAX_DESCRIPTORS 1024
#define KVM_STATS_MAX_NAME        256
#define KVM_STATS_MAX_WANTED      32
#define KVM_STATS_MAX_DATA        (64U * 1024)

/* Where in the file of 'fd' the values called 'names' (at most KVM_STATS_MAX_WANTED) are; 0: this kernel has none, or it is no single
 * number. Returns 0, -EBADMSG when the file is none of KVM's, -ENOMEM, or read's error. */
int kvm_stats_find(int fd, const char *const *names, unsigned n, uint64_t *ret_offsets);

/* Add the values at 'offsets' to 'sums'; offset 0 adds nothing. Returns 0, -EBADMSG or read's error; nothing is added then. */
int kvm_stats_add(int fd, const uint64_t *offsets, unsigned n, uint64_t *sums);
